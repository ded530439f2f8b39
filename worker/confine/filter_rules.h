/* SPDX-License-Identifier: MIT */
/*
 * filter_rules.h - rules of the filter of system calls, by what they are about.
 *
 * A rule denies with EPERM. libseccomp allows one comparison for each argument of a rule, all 64
 * bits of which count, while the kernel takes the low 32 bits of what is an int to it: so whoever
 * sets the upper ones must not get past a rule. Rules for one call add up.
 */
#ifndef WORKER_FILTER_RULES_H
#define WORKER_FILTER_RULES_H

#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"

/* ---- single rules; each 0 or -errno, and 0 when the rule was there already ----------------- */

int rules_deny_calls(scmp_filter_ctx context, const int *calls, size_t count) MUST_USE;

/* When both comparisons hold, of two arguments. */
int rules_deny_pair(scmp_filter_ctx context, int call, const struct scmp_arg_cmp pair[2]) MUST_USE;

/* When the bits of `argument` that are in `mask` are those of `number`. */
int rules_deny_masked(scmp_filter_ctx context, int call, unsigned argument, uint64_t mask,
                      uint64_t number) MUST_USE;

/* When `argument` is this number, of which the kernel reads the low 32 bits. */
int rules_deny_number(scmp_filter_ctx context, int call, unsigned argument,
                      uint32_t number) MUST_USE;

/* When `argument` is from `first` to `last`, of which the kernel reads the low 32 bits. */
int rules_deny_range(scmp_filter_ctx context, int call, unsigned argument, uint32_t first,
                     uint32_t last) MUST_USE;

/* When `argument` has any of these bits. */
int rules_deny_bits(scmp_filter_ctx context, int call, unsigned argument, uint64_t bits) MUST_USE;

/* When the comparison holds for all 64 bits. */
int rules_deny_if(scmp_filter_ctx context, int call, unsigned argument,
                  enum scmp_compare comparison, uint64_t number) MUST_USE;

/* ---- what they are about ------------------------------------------------------------------- */

/* filter_neighbours.c. The priority, the processors, the limits of any process but this one, and
 * of its threads where they cannot be told from others'. */
int neighbours_deny_settings(scmp_filter_ctx context) MUST_USE;

/* Looking into any process, its own children included. */
int neighbours_deny_looks(scmp_filter_ctx context) MUST_USE;

/* Signals to the dispatcher and its spawner, in each way that there is to send one. */
int neighbours_deny_signals(scmp_filter_ctx context) MUST_USE;

/* filter_network.c. Sockets but local ones. */
int network_deny(scmp_filter_ctx context) MUST_USE;

/* Whatever reaches a port past the rules of Landlock, which know bind(2) and connect(2) of TCP. */
int network_deny_detours(scmp_filter_ctx context) MUST_USE;

#endif
