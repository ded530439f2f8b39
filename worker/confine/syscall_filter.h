/* SPDX-License-Identifier: MIT */
/*
 * syscall_filter.h - system calls that user code cannot make: they fail with EPERM.
 *
 * The lists are in syscall_filter.c, and for operators in docs/operations.md. A filter is for good,
 * and holds in everything that the process starts; filters add up.
 */
#ifndef WORKER_SYSCALL_FILTER_H
#define WORKER_SYSCALL_FILTER_H

#include <stdbool.h>
#include <stddef.h>

#include "millrace/check.h"

struct syscall_filter {
    bool denies_machine;   /* what changes the machine, other processes' settings, or widens the way
                              into the kernel */
    bool denies_others;    /* looking into other processes; where there is Landlock it does that */
    bool denies_lingering; /* sockets that keep who closes them; newer kernels (6.16) have none sent
                              to the server */
    bool denies_signals;   /* to the server; where Landlock is new enough (6.12) it does that */
    bool denies_modes;     /* whose a file is, and who may do what with it */
    bool denies_network;   /* sockets but local ones */
    bool denies_detours;   /* sockets that get past Landlock's rules for ports of TCP */
    bool denies_growth;    /* other programs, processes and sockets; an exec is one of them */
    bool permits_siblings; /* clone() with CLONE_PARENT, which denies_machine denies else: of a
                              template, whose copies deny it */
};

/* Whether it is one. */
static inline bool syscall_filter_denies(const struct syscall_filter *filter)
{
    return filter->denies_machine || filter->denies_others || filter->denies_lingering ||
           filter->denies_signals || filter->denies_modes || filter->denies_network ||
           filter->denies_detours || filter->denies_growth;
}

/* Puts it in force for all threads; needs no_new_privs. 0, or -errno with a sentence in
 * `reason`. */
int syscall_filter_enter(const struct syscall_filter *filter, char *reason,
                         size_t reason_bytes) MUST_USE;

/* A filter that denies nothing, if the kernel has filters: by their number the server tells from
 * others what a worker has started and left. */
void syscall_filter_mark(void);

#endif
