/* SPDX-License-Identifier: MIT */
/*
 * bench_example.h - the first answer of each bad kind in a load run, in a sentence.
 *
 * Counts say that something is wrong; what it is shows in one of them.
 */
#ifndef DISPATCHER_BENCH_EXAMPLE_H
#define DISPATCHER_BENCH_EXAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_EXAMPLE_BYTES 512u
/* Of a line that is shown as it came. */
#define BENCH_SHOWN_BYTES 400u

enum bench_bad {
    BENCH_FAILED = 0,
    BENCH_TRUNCATED,
    BENCH_WRONG,
    BENCH_REFUSED, /* a connection */
    BENCH_BAD_COUNT
};

/* NUL-terminated; "": there was none. What comes after the first is not kept. */
struct bench_examples {
    char texts[BENCH_BAD_COUNT][BENCH_EXAMPLE_BYTES];
};

static inline bool bench_example_is_wanted(const struct bench_examples *examples,
                                           enum bench_bad kind)
{
    return examples->texts[kind][0] == '\0';
}

void bench_example_say(struct bench_examples *examples, enum bench_bad kind, const char *format,
                       ...) __attribute__((format(printf, 3, 4)));

/* An answer with this status whose body has this line, which says that it failed: what it says. */
void bench_example_failed(struct bench_examples *examples, unsigned status, const char *line,
                          size_t count);

/* The line has this number, and another one was to come. */
void bench_example_out_of_order(struct bench_examples *examples, uint64_t number, uint64_t expected,
                                const char *line, size_t count);

#endif
