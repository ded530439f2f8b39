/* SPDX-License-Identifier: MIT */
/*
 * line.h - the bytes that all references send: those of millrace for tests/bench/pipelines/lines.c.
 *
 * A run's lines begin with a prefix that is formatted once; the time in it is renewed once for each
 * pass of the server, as millrace does it.
 */
#ifndef TESTS_BENCH_REFERENCE_LINE_H
#define TESTS_BENCH_REFERENCE_LINE_H

#include <stddef.h>
#include <stdint.h>

#define LINE_WALL_BYTES 17u /* "1700000000.000000" */
#define LINE_PREFIX_BYTES_MAX 320u

struct line_prefix {
    size_t count;
    char bytes[LINE_PREFIX_BYTES_MAX];
};

uint64_t line_now_ns(void); /* CLOCK_MONOTONIC */

/* The time of day, as lines show it. */
void line_wall(char text[LINE_WALL_BYTES + 1]);

void line_prefix_init(struct line_prefix *prefix, const char *wall);
void line_prefix_renew(struct line_prefix *prefix, const char *wall);

/* What a value takes at most, and a whole line. */
size_t line_value_bytes_max(size_t text_bytes);
size_t line_bytes_max(size_t text_bytes);

/* A value {"i":...,"t_ns":...,"chunk":"..."}; what surrounds it in a line. Each returns its end. */
char *line_put_value(char *out, uint64_t number, uint64_t time_ns, const char *text,
                     size_t text_bytes);
char *line_put_prefix(char *out, const struct line_prefix *prefix);
char *line_put_tail(char *out);

/* Head and end of a streamed answer, chunked. */
char *line_put_answer_head(char *out);
char *line_put_answer_end(char *out, uint64_t line_count);
#define LINE_ANSWER_BYTES_MAX 512u

#endif
