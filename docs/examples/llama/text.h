/* SPDX-License-Identifier: MIT */
/*
 * text.h - an answer on its way from tokens to its client.
 *
 *     bytes of tokens -> [ may be the beginning of a stop string | not a whole character ] -> ready
 *
 * What is ready is UTF-8, and no stop string is in it. The rest is held back until more comes.
 */
#ifndef LLAMA_TEXT_H
#define LLAMA_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#define STOP_COUNT_MAX 16
#define STOP_BYTES_MAX 256
/* A piece can be as long as the vocabulary likes; longer ones are cut into several. */
#define TEXT_PIECE_BYTES_MAX 1024

struct stop {
    const char *bytes;
    size_t count;
};

struct text {
    const struct stop *stops; /* the caller's */
    size_t stop_count;
    bool is_stopped; /* a stop string came: what was before it is ready, and nothing follows */
    size_t ready;    /* of these, bytes that can be sent */
    size_t count;
    size_t half; /* at the end, of a character that is not whole yet */
    char bytes[4 * (STOP_BYTES_MAX + TEXT_PIECE_BYTES_MAX)];
};

/* `bytes` are at most TEXT_PIECE_BYTES_MAX. What was ready has been taken. */
void text_add(struct text *text, const char *bytes, size_t count);

/* No more comes: what was held back is ready, but for half characters, which become U+FFFD. */
void text_end(struct text *text);

/* Forgets what was ready. */
void text_take(struct text *text);

bool utf8_is_valid(const char *bytes, size_t count);

/* Copies `count` bytes, each that is no UTF-8 as U+FFFD, to `out`, which has room for three times
 * as many. A character at the end that may become whole is left out: `*held` is how many bytes it
 * has; NULL: there will be no more of it. Returns how many bytes were written. */
size_t utf8_clean(char *out, const char *bytes, size_t count, size_t *held);

#endif
