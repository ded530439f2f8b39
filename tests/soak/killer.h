/* SPDX-License-Identifier: MIT */
/*
 * killer.h - kills workers of one pipeline at a steady rate, whichever chance picks.
 */
#ifndef TESTS_SOAK_KILLER_H
#define TESTS_SOAK_KILLER_H

#include <stdint.h>
#include <sys/types.h>

struct killer {
    pid_t server_pid;
    const char *pointer; /* of the pipeline */
    uint32_t kills_per_second;
    uint64_t next_ms;
    uint64_t kill_count;
};

/* Kills as many as are due by now, of those that are alive. */
void killer_tick(struct killer *killer, uint64_t now_ms, uint64_t *random);

#endif
