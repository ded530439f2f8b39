/* SPDX-License-Identifier: MIT */
/*
 * faults.c - a pipeline to which a fault happens in a chosen phase of its run.
 *
 * Inputs: how (the table `ways`), phase and count. Streams the integers 0 .. count-1. The fault
 * happens in phase "first" instead of the first chunk, in "streaming" instead of the last one, in
 * "finishing" instead of the end. A worker that starts does what the file "startup" in TMPDIR
 * names, and removes it.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <millrace/pipeline.h>

struct faulty {
    const char *how, *phase;
    int64_t count, next;
};

static void crash(void)
{
    raise(SIGSEGV);
}

static void leave(void)
{
    exit(3);
}

static void stop(void)
{
    raise(SIGSTOP);
}

static void hang(void)
{
    for (;;)
        pause();
}

static void spin(void)
{
    struct timespec now;
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while (now.tv_sec >= 0);
}

/* Returns when there is no more. */
static void allocate(void)
{
    for (char *memory; (memory = malloc((size_t)16 << 20)) != NULL;)
        *memory = 1;
}

/* Uses it all, until somebody ends this. */
static void devour(void)
{
    for (char *memory; (memory = malloc((size_t)16 << 20)) != NULL;)
        memset(memory, 1, (size_t)16 << 20);
}

static void scribble(void)
{
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps)) {
        uintptr_t from, to;
        if (!strstr(line, "memfd:") || sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &from, &to) != 2)
            continue;
        uint64_t state = (uint64_t)getpid();
        for (char *at = (char *)from; at < (char *)to; at += sizeof state) {
            state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
            memcpy(at, &state, sizeof state);
        }
        break;
    }
    if (maps)
        fclose(maps);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Asks without a pause whether the run is cancelled, and says when it was. */
static void watch(void)
{
    mr_log(MR_LOG_INFO, "watching");
    while (!mr_cancelled())
        continue;
    mr_log(MR_LOG_INFO, "told t_ns=%" PRIu64, now_ns());
}

static void be_brief(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
}

/* A start that takes until the file "go" lies in TMPDIR. */
static void be_patient(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/go", getenv("TMPDIR"));
    while (access(path, F_OK) == -1)
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/* All that a worker has of the server. */
static void close_descriptors(void)
{
    for (int fd = 3; fd < 64; fd++)
        close(fd);
}

/* Dies, and leaves a child that would live for ever with all that it inherited. */
static void abandon(void)
{
    pid_t child = fork();
    if (child == 0)
        hang();
    mr_log(MR_LOG_INFO, "child pid=%d", (int)child);
    abort();
}

/* Has a child in its group and one in a group of its own, and stays like them. */
static void settle(void)
{
    for (int i = 0; i < 2; i++) {
        pid_t child = fork();
        if (child == 0) {
            if (i == 1)
                setpgid(0, 0);
            alarm(60); /* should the test fail */
            hang();
        }
        mr_log(MR_LOG_INFO, "child pid=%d", (int)child);
    }
    hang();
}

/* Only the way to tell it of a request too large for the ring. */
static void hang_up(void)
{
    close(6);
}

static const struct {
    const char *how;
    void (*act)(void);
} ways[] = {
    {"crash", crash},       {"abort", abort},        {"exit", leave},
    {"stop", stop},         {"hang", hang},          {"spin", spin},
    {"allocate", allocate}, {"scribble", scribble},  {"close", close_descriptors},
    {"watch", watch},       {"patient", be_patient}, {"brief", be_brief},
    {"hang_up", hang_up},   {"devour", devour},      {"abandon", abandon},
    {"settle", settle},
};

static void act(const char *how)
{
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        if (strcmp(ways[i].how, how) == 0)
            ways[i].act();
}

static int faulty_next(void *state, struct mr_value *out)
{
    struct faulty *it = state;
    int64_t at = strcmp(it->phase, "first") == 0 ? 0 : it->count - 1;
    if (strcmp(it->phase, "finishing") == 0)
        at = it->count;
    if (it->next == at) {
        if (strcmp(it->how, "wait") == 0) /* for ever, but ready to hear that it is cancelled */
            return mr_later_ms(out, 1000);
        act(it->how);
        if (strcmp(it->how, "allocate") == 0)
            return mr_value_fail(out, MR_ERROR_OOM, "out of memory");
    }
    return it->next < it->count ? mr_value_integer(out, it->next++) : MR_END;
}

static void faulty_close(void *state)
{
    mr_log(MR_LOG_INFO, "closed t_ns=%" PRIu64 " cancelled=%d", now_ns(), mr_cancelled());
    free(state);
}

static int faulty(struct mr_call *call)
{
    struct faulty *it = calloc(1, sizeof *it);
    if (!it)
        return mr_fail(call, MR_ERROR_OOM, "out of memory");
    *it = (struct faulty){.how = mr_arg_string(call, 0),
                          .phase = mr_arg_string(call, 1),
                          .count = mr_arg_integer(call, 2)};
    return mr_return_stream(call, &(struct mr_iterator){it, faulty_next, faulty_close});
}

static int on_startup(struct mr_call *call)
{
    char path[4096], how[16] = "";
    snprintf(path, sizeof path, "%s/startup", getenv("TMPDIR"));
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    if (fscanf(file, "%15s", how) == 1)
        unlink(path);
    fclose(file);
    act(how);
    return strcmp(how, "allocate") == 0 ? mr_fail(call, MR_ERROR_OOM, "out of memory") : 0;
}

MR_PIPELINE(faults)
{
    mr_on_startup(builder, on_startup);
    mr_variable how = mr_input(builder, MR_STRING);
    mr_variable phase = mr_input(builder, MR_STRING);
    mr_variable count = mr_input(builder, MR_INTEGER);
    mr_output(builder, mr_pipe(builder, faulty, MR_STREAM, how, phase, count));
}
