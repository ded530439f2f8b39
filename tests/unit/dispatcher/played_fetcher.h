/* SPDX-License-Identifier: MIT */
/*
 * played_fetcher.h - the loop's side of the fetcher, with a test that plays the process, the kernel
 * and the clock. One program, one of it: the header defines functions.
 */
#ifndef TESTS_DISPATCHER_PLAYED_FETCHER_H
#define TESTS_DISPATCHER_PLAYED_FETCHER_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/fetcher/fetcher.h"
#include "dispatcher/fetcher/fetching.h"
#include "dispatcher/reactor/child.h"
#include "shm/descriptors.h"
#include "tests/unit/dispatcher/fds.h"

#define FETCHER_PID 3000000
#define URL "http://files.example/x"
#define JOB_COUNT 40u

static struct config config;
static struct reactor reactor;
static struct fetching fetching;
static struct fetch_job jobs[JOB_COUNT];
static char reason[FETCH_REASON_BYTES];
static int fd_count;

/* The process that the test plays. */
static struct played {
    int socket; /* -1: it is gone */
    uint32_t start_count, start_error, kill_count;
    bool stays;                   /* though it was killed */
    struct fetch_request request; /* the last one it was told */
    char text[FETCH_URL_BYTES_MAX + 1];
    int fd; /* that came with it */
} played;

/* What was told of each job. */
static struct told {
    uint32_t done_count, failed_count, progress_count;
    struct fetch_result result;
    enum fetch_fault fault;
    char text[FETCH_REASON_BYTES];
} told[JOB_COUNT];

/* ---- the kernel ---- */

int child_start(pid_t *pid, const char *name, const char *word, int socket)
{
    mr_assert(strcmp(name, FETCHER_NAME) == 0 && strtoull(word, NULL, 10) == 1 << 20);
    if (played.start_error)
        return -(int)played.start_error;
    descriptor_close(&played.socket);
    played.socket = fcntl(socket, F_DUPFD_CLOEXEC, 0);
    *pid = FETCHER_PID;
    played.start_count++;
    return 0;
}

int kill(pid_t pid, int number)
{
    mr_assert(pid == FETCHER_PID && number == SIGKILL);
    played.kill_count++;
    return 0;
}

int waitid(idtype_t type, id_t id, siginfo_t *info, int flags)
{
    mr_assert(type == P_PID && id == FETCHER_PID && (flags & WNOHANG));
    info->si_pid = played.stays ? 0 : FETCHER_PID;
    return 0;
}

void uring_poll(struct uring *uring, int fd, struct uring_ref ref)
{
    (void)uring, (void)fd;
    mr_assert(ref.op == URING_FETCHER);
}

void uring_cancel(struct uring *uring, struct uring_ref ref)
{
    (void)uring;
    mr_assert(ref.op == URING_FETCHER);
}

/* So much later; and all timers that are due. */
static inline void pass_after(uint64_t ms)
{
    struct timer *timer;
    uint64_t until_ms = reactor.now_ms + ms;
    for (;;) {
        uint64_t next_ms = timers_next_ms(&reactor.timers);
        if (next_ms > until_ms)
            break;
        reactor.now_ms = next_ms > reactor.now_ms ? next_ms : reactor.now_ms;
        while ((timer = timers_take(&reactor.timers, reactor.now_ms)) != NULL)
            fetching_on_timer(&fetching);
    }
    reactor.now_ms = until_ms;
}

/* ---- the process ---- */

/* The next thing it is told; false: nothing. */
static inline bool hear(void)
{
    descriptor_close(&played.fd);
    struct iovec parts[] = {{&played.request, sizeof(played.request)},
                            {played.text, sizeof(played.text) - 1}};
    ssize_t count = descriptors_receive(
        played.socket, &(struct packet){parts, ARRAY_COUNT(parts), &played.fd, 1}, MSG_DONTWAIT);
    if (count == -EAGAIN)
        return false;
    assert_true(count >= (ssize_t)sizeof(played.request));
    played.text[(size_t)count - sizeof(played.request)] = '\0';
    assert_int_equal(played.request.magic, FETCH_MAGIC);
    return true;
}

static inline void hear_url(void)
{
    assert_true(hear());
    assert_true(played.request.kind == FETCH_GET || played.request.kind == FETCH_POST);
    assert_string_equal(played.text, URL);
    assert_true(played.fd >= 0);
}

static inline void fetcher_event(void)
{
    struct uring_ref ref = {URING_FETCHER, 0, fetching.fetcher.generation};
    fetching_on_fetcher(&fetching, &(struct uring_event){.ref = ref, .result = 1, .more = true});
    pass_after(0);
}

static inline void say(struct fetch_answer answer)
{
    answer.magic = FETCH_MAGIC;
    assert_int_equal(send(played.socket, &answer, sizeof(answer), 0), sizeof(answer));
    fetcher_event();
}

static inline void die(void)
{
    descriptor_close(&played.socket);
    fetcher_event();
}

/* ---- who waits ---- */

static struct told *told_of(struct fetch_job *job)
{
    return &told[job - jobs];
}

static void on_progress(struct fetch_job *job, uint64_t bytes)
{
    told_of(job)->progress_count++;
    told_of(job)->result.bytes = bytes;
}

static void on_done(struct fetch_job *job, const struct fetch_result *result)
{
    assert_int_equal(job->state, FETCH_JOB_NONE);
    told_of(job)->done_count++;
    told_of(job)->result = *result;
    snprintf(told_of(job)->text, FETCH_REASON_BYTES, "%s", result->name);
}

static void on_failed(struct fetch_job *job, const struct fetch_failure *failure)
{
    assert_int_equal(job->state, FETCH_JOB_NONE);
    told_of(job)->failed_count++;
    told_of(job)->fault = failure->fault;
    snprintf(told_of(job)->text, FETCH_REASON_BYTES, "%s", failure->reason);
}

static const struct fetch_ops ops = {on_progress, on_done, on_failed};

/* Each is somebody else's, or all are one's. */
static bool is_one_share;

static inline int begin_with(uint32_t index, enum fetch_kind kind, const struct fetch_ops *with)
{
    descriptor_close(&jobs[index].fd);
    struct fetch_options options = {.url = URL,
                                    .url_bytes = strlen(URL),
                                    .fd = memfd_create("file", MFD_CLOEXEC),
                                    .bytes = 4096,
                                    .timeout_ms = 10000,
                                    .share = is_one_share ? 0 : index,
                                    .ops = with};
    int rc = fetch_begin(&fetching, &jobs[index], kind, &options, reason);
    if (rc < 0)
        close(options.fd);
    return rc;
}

static inline void begin(uint32_t index, enum fetch_kind kind)
{
    assert_int_equal(begin_with(index, kind, &ops), 0);
}

static int scene_open(void **state)
{
    (void)state;
    fd_count = fds_count();
    config = (struct config){.fetch_bytes_max = 1 << 20};
    reactor = (struct reactor){.now_ms = 1000000};
    log_init(&reactor.log, -1, LEVEL_COUNT);
    is_one_share = false;
    played = (struct played){.socket = -1, .fd = -1};
    memset(jobs, 0, sizeof(jobs));
    memset(told, 0, sizeof(told));
    for (uint32_t i = 0; i < JOB_COUNT; i++)
        jobs[i].fd = -1;
    return fetching_init(&fetching, &config, &reactor);
}

static int scene_close(void **state)
{
    (void)state;
    descriptor_close(&played.socket);
    descriptor_close(&played.fd);
    fetching_finish(&fetching);
    for (uint32_t i = 0; i < JOB_COUNT; i++)
        descriptor_close(&jobs[i].fd);
    timers_finish(&reactor.timers);
    return fds_count() == fd_count ? 0 : -1;
}

#define FETCHING_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

#endif
