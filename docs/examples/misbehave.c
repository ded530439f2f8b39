/* SPDX-License-Identifier: MIT */
/*
 * misbehave.c - everything a pipeline should not do, for tests of what happens then.
 *
 *     cc -shared -fPIC misbehave.c -o misbehave.so $(pkg-config --cflags millrace)
 *     millrace serve misbehave.so
 *     curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
 *          -d '{"inputs":[{"type":"string","value":"crash"},{"type":"integer","value":3},
 *                         {"type":"integer","value":null}]}'
 *
 * Streams the integers 0 .. k-1 and then, as chunk k, does what `how` names (the table `ways` below
 * lists them); a negative k does it in the pipe, before there is a stream. What survives it is
 * followed by the end. `seed` chooses the random bytes of scribble and the lines of a flood.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <millrace/pipeline.h>

#define MEGABYTE ((size_t)1024 * 1024)
#define FLOOD_LINES 100000
#define SCRIBBLE_ROUNDS 20

struct misbehaviour;

struct way {
    const char *how;
    /* Does it, and writes a value if it survives. */
    int (*act)(struct misbehaviour *it, struct mr_value *out);
};

struct misbehaviour {
    const struct way *way;
    int64_t k;
    int64_t next;
    uint64_t seed;
};

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* ---- processes that end, or do not --------------------------------------------------------- */

static int crash(struct misbehaviour *it, struct mr_value *out)
{
    (void)out;
    /* Not visibly NULL, or the compiler would make something else of it. */
    int *nowhere = (int *)(uintptr_t)(it->way->how[0] - 'c');
    *nowhere = 1;
    return MR_END;
}

static int do_abort(struct misbehaviour *it, struct mr_value *out)
{
    (void)it;
    (void)out;
    abort();
}

static int do_exit(struct misbehaviour *it, struct mr_value *out)
{
    (void)it;
    (void)out;
    exit(3);
}

/* Never comes back and never asks whether it was cancelled. */
static int hang(struct misbehaviour *it, struct mr_value *out)
{
    (void)out;
    while (it->way)
        pause();
    return MR_END;
}

/* Likewise, with the processor busy: this sequence never comes to 0. */
static int spin(struct misbehaviour *it, struct mr_value *out)
{
    (void)out;
    it->seed |= 1;
    while (random_next(&it->seed) != 0)
        continue;
    return MR_END;
}

static int allocate(struct misbehaviour *it, struct mr_value *out)
{
    for (;;) {
        char *memory = malloc(16 * MEGABYTE);
        if (!memory)
            return mr_value_fail(out, MR_ERROR_OOM, "out of memory");
        memset(memory, (int)it->seed | 1, 16 * MEGABYTE); /* and never freed */
    }
}

/* ---- memory that is not ours --------------------------------------------------------------- */

/* Where the memory shared with the server is mapped. */
static bool find_segment(char **start, char **end)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    if (!maps)
        return false;
    char line[512];
    bool is_found = false;
    while (!is_found && fgets(line, sizeof line, maps)) {
        uintptr_t from;
        uintptr_t to;
        if (!strstr(line, "memfd:") || sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &from, &to) != 2)
            continue;
        *start = (char *)from;
        *end = (char *)to;
        is_found = true;
    }
    fclose(maps);
    return is_found;
}

/* Overwrites all of it, or with an odd seed the second half, where mostly replies are: then the
 * control words stay good and what they point at is garbage. */
static int scribble(struct misbehaviour *it, struct mr_value *out)
{
    char *start;
    char *end;
    if (!find_segment(&start, &end))
        return -ENOENT;
    uint64_t state = it->seed * 2 + 1;
    if (it->seed % 2 == 1)
        start += (end - start) / 2;
    for (int round = 0; round < SCRIBBLE_ROUNDS; round++) {
        for (char *at = start; at < end; at += sizeof state) {
            random_next(&state);
            memcpy(at, &state, sizeof state);
        }
    }
    return mr_value_integer(out, it->k);
}

/* ---- output -------------------------------------------------------------------------------- */

static int flood(struct misbehaviour *it, struct mr_value *out, FILE *stream, int fd)
{
    uint64_t lines = it->seed ? it->seed : FLOOD_LINES;
    for (uint64_t i = 0; i < lines; i++) {
        char line[64];
        int bytes = snprintf(line, sizeof line, "flood %" PRIu64 " of %" PRIu64 "\n", i, lines);
        if (stream)
            fputs(line, stream);
        else if (write(fd, line, (size_t)bytes) == -1)
            return -errno;
    }
    return mr_value_integer(out, it->k);
}

static int flood_stdout(struct misbehaviour *it, struct mr_value *out)
{
    return flood(it, out, stdout, -1);
}

static int flood_stderr(struct misbehaviour *it, struct mr_value *out)
{
    return flood(it, out, stderr, -1);
}

static int flood_descriptor(struct misbehaviour *it, struct mr_value *out)
{
    return flood(it, out, NULL, STDOUT_FILENO);
}

/* A child prints, and a line is left unfinished. */
static int print_from_child(struct misbehaviour *it, struct mr_value *out)
{
    pid_t child = fork();
    if (child == 0) {
        printf("a line of the child\n");
        _exit(0);
    }
    if (child > 0)
        waitpid(child, NULL, 0);
    printf("no end of this line");
    return mr_value_integer(out, it->k);
}

/* A line that is longer than a log line may be. */
static int print_long(struct misbehaviour *it, struct mr_value *out)
{
    for (int i = 0; i < 1000; i++)
        printf("%04d \xe2\x82\xac ", i);
    printf("\n");
    return mr_value_integer(out, it->k);
}

/* Prints while a value is half written. */
static int print_inside(struct misbehaviour *it, struct mr_value *out)
{
    mr_value_array(out, 2);
    mr_value_string(out, "before", 6);
    for (uint64_t i = 0; i < it->seed; i++)
        printf("line %" PRIu64 " inside a value\n", i);
    return mr_value_string(out, "after", 5);
}

/* ---- values -------------------------------------------------------------------------------- */

static int invalid_utf8(struct misbehaviour *it, struct mr_value *out)
{
    (void)it;
    return mr_value_string(out, "\xc3\x28 \xff", 4);
}

static int not_a_number(struct misbehaviour *it, struct mr_value *out)
{
    (void)it;
    return mr_value_fp(out, NAN);
}

static int infinity(struct misbehaviour *it, struct mr_value *out)
{
    (void)it;
    return mr_value_fp(out, -INFINITY);
}

static int short_array(struct misbehaviour *it, struct mr_value *out)
{
    (void)it;
    mr_value_array(out, 3);
    mr_value_integer(out, 1);
    return mr_value_integer(out, 2);
}

static int long_array(struct misbehaviour *it, struct mr_value *out)
{
    (void)it;
    mr_value_array(out, 1);
    mr_value_integer(out, 1);
    mr_value_integer(out, 2);
    return MR_ITEM; /* although the last call failed */
}

static int short_dictionary(struct misbehaviour *it, struct mr_value *out)
{
    (void)it;
    mr_value_dictionary(out, 2);
    mr_value_string(out, "a", 1);
    mr_value_integer(out, 1);
    return mr_value_string(out, "b", 1);
}

static int integer_key(struct misbehaviour *it, struct mr_value *out)
{
    (void)it;
    mr_value_dictionary(out, 1);
    mr_value_integer(out, 1);
    return mr_value_integer(out, 2);
}

static int two_values(struct misbehaviour *it, struct mr_value *out)
{
    (void)it;
    mr_value_integer(out, 1);
    return mr_value_integer(out, 2);
}

static int no_value(struct misbehaviour *it, struct mr_value *out)
{
    (void)it;
    (void)out;
    return MR_ITEM;
}

static int value_at_end(struct misbehaviour *it, struct mr_value *out)
{
    (void)it;
    mr_value_none(out);
    return MR_END;
}

static int nested(struct mr_value *out, int depth)
{
    for (int i = 0; i < depth; i++)
        mr_value_array(out, 1);
    return mr_value_none(out);
}

static int nested_30(struct misbehaviour *it, struct mr_value *out)
{
    (void)it;
    return nested(out, 30);
}

static int nested_100(struct misbehaviour *it, struct mr_value *out)
{
    (void)it;
    return nested(out, 100);
}

static int text_of(struct mr_value *out, size_t bytes)
{
    char *text = malloc(bytes);
    if (!text)
        return mr_value_fail(out, MR_ERROR_OOM, "out of memory");
    for (size_t i = 0; i < bytes; i++)
        text[i] = (char)('a' + i % 26);
    int rc = mr_value_string(out, text, bytes);
    free(text);
    return rc;
}

static int text_10_mb(struct misbehaviour *it, struct mr_value *out)
{
    (void)it;
    return text_of(out, 10 * MEGABYTE);
}

static int text_65_mb(struct misbehaviour *it, struct mr_value *out)
{
    (void)it;
    return text_of(out, 65 * MEGABYTE);
}

/* ---- failures, and words that are not kept ------------------------------------------------- */

static int fail(struct misbehaviour *it, struct mr_value *out)
{
    (void)it;
    return mr_value_fail(out, MR_ERROR_CUDA_OOM, "no room on device %d", 7);
}

static int fail_errno(struct misbehaviour *it, struct mr_value *out)
{
    (void)it;
    (void)out;
    return -ENOENT;
}

static int fail_number(struct misbehaviour *it, struct mr_value *out)
{
    (void)it;
    (void)out;
    return -4711;
}

static int later_without_time(struct misbehaviour *it, struct mr_value *out)
{
    (void)it;
    (void)out;
    return MR_LATER;
}

static int result_99(struct misbehaviour *it, struct mr_value *out)
{
    (void)it;
    (void)out;
    return 99;
}

/* Chunks without end, as fast as possible. */
static int endless(struct misbehaviour *it, struct mr_value *out)
{
    it->next--;
    return mr_value_integer(out, it->k);
}

/* The message of each failure says which way was taken, so the names are part of tests. */
static const struct way ways[] = {
    {"crash", crash},
    {"abort", do_abort},
    {"exit", do_exit},
    {"hang", hang},
    {"spin", spin},
    {"allocate", allocate},
    {"scribble", scribble},
    {"flood_stdout", flood_stdout},
    {"flood_stderr", flood_stderr},
    {"flood_descriptor", flood_descriptor},
    {"print_from_child", print_from_child},
    {"print_long", print_long},
    {"print_inside", print_inside},
    {"invalid_utf8", invalid_utf8},
    {"nan", not_a_number},
    {"infinity", infinity},
    {"short_array", short_array},
    {"long_array", long_array},
    {"short_dictionary", short_dictionary},
    {"integer_key", integer_key},
    {"two_values", two_values},
    {"no_value", no_value},
    {"value_at_end", value_at_end},
    {"nested_30", nested_30},
    {"nested_100", nested_100},
    {"text_10_mb", text_10_mb},
    {"text_65_mb", text_65_mb},
    {"fail", fail},
    {"fail_errno", fail_errno},
    {"fail_number", fail_number},
    {"later_without_time", later_without_time},
    {"result_99", result_99},
    {"endless", endless},
};

static int misbehave_next(void *state, struct mr_value *out)
{
    struct misbehaviour *it = state;
    if (it->next > it->k)
        return MR_END;
    int64_t index = it->next++;
    return index < it->k ? mr_value_integer(out, index) : it->way->act(it, out);
}

static void misbehave_close(void *state)
{
    struct misbehaviour *it = state;
    mr_log(MR_LOG_DEBUG, "closed %s", it->way->how);
    free(it);
}

static int misbehave(struct mr_call *call)
{
    struct misbehaviour *it = calloc(1, sizeof *it);
    if (!it)
        return mr_fail(call, MR_ERROR_OOM, "out of memory");
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        if (strcmp(ways[i].how, mr_arg_string(call, 0)) == 0)
            it->way = &ways[i];
    }
    if (!it->way) {
        free(it);
        return mr_fail(call, MR_ERROR_INPUT, "no such way: %s", mr_arg_string(call, 0));
    }
    it->k = mr_arg_integer(call, 1);
    it->seed = (uint64_t)mr_arg_integer(call, 2);
    if (it->k < 0) {
        int rc = it->way->act(it, mr_return(call));
        free(it);
        return rc;
    }
    const struct mr_iterator iterator = {
        .state = it,
        .next = misbehave_next,
        .close = misbehave_close,
    };
    return mr_return_stream(call, &iterator);
}

MR_PIPELINE(misbehave)
{
    mr_variable how = mr_input(builder, MR_STRING, .title = "how");
    mr_variable k = mr_input(builder, MR_INTEGER, .title = "k");
    mr_variable seed = mr_input(builder, MR_INTEGER, .title = "seed", .optional = true);
    mr_output(builder, mr_pipe(builder, misbehave, MR_STREAM, how, k, seed));
}
