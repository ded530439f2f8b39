/* SPDX-License-Identifier: MIT */
/*
 * start_report.h - says how far the worker is with its start: PROGRESS messages (protocol.h).
 *
 * User code may say it as often as it likes. About ten a second are sent, after a first handful,
 * and other words sooner than other fractions; what is held back goes with the next one, and before
 * HELLO, READY or FAILED. Nothing waits: where the socket is full, it is held back as well.
 */
#ifndef WORKER_START_REPORT_H
#define WORKER_START_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/protocol.h"

struct start_report_words {
    uint32_t permille;
    uint32_t text_bytes;
    char text[MESSAGE_PROGRESS_TEXT_BYTES_MAX];
};

/* Zero is a start of which nothing was said. */
struct start_report {
    bool is_over;      /* it serves: nothing is said of its start any more */
    bool is_held_back; /* `last` was not sent */
    struct start_report_words last;
    uint64_t sent_ns;  /* when the last one was */
    uint64_t spent_ns; /* up to when what may be sent was used up */
};

/* `fraction` from 0 to 1; less, or not a number: it is not known. `text` NULL: none, else its first
 * line as far as there is room. */
void start_report_say(struct start_report *report, int socket, double fraction, const char *text);

/* Sends what was held back, if the socket has room. */
void start_report_flush(struct start_report *report, int socket);

/* The start is over. */
void start_report_end(struct start_report *report, int socket);

#endif
