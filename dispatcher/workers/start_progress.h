/* SPDX-License-Identifier: MIT */
/*
 * start_progress.h - how far a process is with its start, as it says itself.
 *
 * It is for people, and for guesses: nothing but words and times of waiting follows from it.
 */
#ifndef DISPATCHER_START_PROGRESS_H
#define DISPATCHER_START_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/protocol.h"

/* "62 %, loading shard 5 of 8", and more around it. */
#define START_PROGRESS_WORDS_BYTES (MESSAGE_PROGRESS_TEXT_BYTES_MAX + 16)
#define START_PROGRESS_REASON_BYTES (START_PROGRESS_WORDS_BYTES + 80)

struct start_progress {
    uint64_t said_ms;                               /* 0: this process has said nothing */
    uint32_t permille;                              /* MESSAGE_PROGRESS_UNKNOWN: it is not known */
    char text[MESSAGE_PROGRESS_TEXT_BYTES_MAX + 1]; /* a line of UTF-8; "": none */
};

/* Reads the body of a PROGRESS message but for the time, from untrusted bytes. Text that cannot be
 * shown becomes question marks. False: it is something else, and `out` is untouched. */
bool start_progress_read(const uint8_t *body, size_t bytes, struct start_progress *out);

/* "62 %, loading shard 5 of 8"; "": nothing is known. */
void start_progress_words(const struct start_progress *progress,
                          char words[START_PROGRESS_WORDS_BYTES]);

/* Why a process is ended that was not ready in time, or said nothing for so long. */
void start_progress_overdue(const struct start_progress *progress, uint32_t timeout_ms,
                            char reason[START_PROGRESS_REASON_BYTES]);

/* What is left of a start that has taken so long, in ms, if it goes on as it did until it said how
 * far it was. -1: that is not known. */
int64_t start_progress_left_ms(const struct start_progress *progress, uint64_t started_ms,
                               uint64_t now_ms);

#endif
