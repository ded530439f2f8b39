/* SPDX-License-Identifier: MIT */
/*
 * isolation.h - a Landlock domain: out of other processes, and to no more files than were allowed.
 *
 * Workers and the dispatcher run as one user, who may open what is in the memory and the
 * descriptors of any of his processes (ptrace, /proc/PID/mem, /proc/PID/fd, pidfd_getfd). A worker
 * therefore enters a Landlock domain of its own: the kernel lets it look into nothing but itself
 * and its children, and signal nobody else where the kernel is 6.12 or later. Those who look from
 * outside (gdb) are not restricted. Files and connections are only where that was asked for.
 */
#ifndef WORKER_ISOLATION_H
#define WORKER_ISOLATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"
#include "millrace/confine.h"

/* What a restricted worker may nevertheless do, beyond the tables of isolation.c. */
struct isolation {
    bool restricts_reading, restricts_writing, restricts_connecting;
    bool guards_proc; /* of /proc, only what is its own is written */
    const char *reads[CONFINE_PATH_COUNT_MAX];
    size_t read_count;
    const char *writes[CONFINE_PATH_COUNT_MAX]; /* and read */
    size_t write_count;
    const char *scratch;      /* likewise: its own; NULL: none */
    const char *inputs;       /* read where its names are known; NULL: none */
    const char *device_nodes; /* files below /dev, parted by ':', in place of those of all cards;
                                 NULL: those */
    uint16_t ports[CONFINE_PORT_COUNT_MAX]; /* of TCP, to connect to; listening is denied */
    size_t port_count;
};

/* Sets what `key` names. True: it is a key of these, and the text is sound. */
bool isolation_parse(struct isolation *out, const char *key, const char *text);

/* Once, before there are threads; needs no_new_privs. 0, or -errno with a sentence in `reason`:
 * the kernel has no Landlock (5.19), or one that cannot do it; then nothing is in force. */
int isolation_enter(const struct isolation *isolation, char *reason, size_t reason_bytes) MUST_USE;

/* Whether the domain of this kernel keeps the worker from signalling others. */
bool isolation_keeps_signals(void);

#endif
