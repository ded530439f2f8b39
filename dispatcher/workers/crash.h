/* SPDX-License-Identifier: MIT */
/*
 * crash.h - what a worker that died of a signal left in its segment.
 */
#ifndef DISPATCHER_CRASH_H
#define DISPATCHER_CRASH_H

#include <stdbool.h>
#include <stddef.h>

#include "millrace/layout.h"

/* A checked private copy. The text is as untrusted as everything from a worker: it is shown as
 * text. */
struct crash_report {
    int number;       /* of the signal; 0: there is none */
    uint64_t address; /* of a fault; 0 also where there was none */
    uint32_t sender;  /* process that sent the signal; 0: nobody else */
    bool is_fault;
    size_t text_count;
    char text[CRASH_TEXT_BYTES];
};

/* Copies the report of a worker whose process has ended by signal `number`; one about another
 * signal is none (user code raised it, or wrote nonsense there). */
void crash_read(struct crash_report *out, const struct crash_shared *shared, int number);

#endif
