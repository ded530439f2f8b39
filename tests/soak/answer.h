/* SPDX-License-Identifier: MIT */
/*
 * answer.h - one answer of the server, checked byte by byte as it arrives.
 *
 * An answer is a head and a body of known length, or of chunks with trailers. Lines of the body go
 * to `on_line`. Whatever is not as docs/api.md says is a violation: answer_add() returns what it
 * is.
 */
#ifndef TESTS_SOAK_ANSWER_H
#define TESTS_SOAK_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ANSWER_LINE_BYTES 8192u

enum answer_part {
    PART_HEAD,
    PART_LENGTH,
    PART_SIZE,
    PART_DATA,
    PART_DATA_END,
    PART_TRAILER,
    PART_DONE
};

struct answer {
    enum answer_part part;
    int status;
    uint64_t left;                /* bytes of the chunk, or of the body */
    uint64_t byte_count;          /* received in all */
    char text[ANSWER_LINE_BYTES]; /* the head, a size, or a trailer, as far as it has come */
    size_t text_bytes;
    char line[ANSWER_LINE_BYTES]; /* of the body */
    size_t line_bytes;
    bool says_completed, says_failed; /* the trailers */
    uint64_t says_lines;
    bool is_chunked;
    const char *(*on_line)(void *context, const char *line); /* what is wrong with it, or NULL */
    void *context;
};

/* Takes bytes up to the end of the answer; `used` says how many. Returns what is wrong, or NULL. */
const char *answer_add(struct answer *answer, const char *bytes, size_t count, size_t *used);

#endif
