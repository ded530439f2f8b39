/* SPDX-License-Identifier: MIT */
/*
 * servant_confine.h - what a servant gives up before it touches anything that a stranger sent.
 */
#ifndef DISPATCHER_SERVANT_CONFINE_H
#define DISPATCHER_SERVANT_CONFINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* A system call that a servant may make where the lower half of one argument and the mask are the
 * value. */
struct servant_call {
    uint16_t number;
    uint8_t argument;
    uint32_t mask, value;
};

/* What it may call: these with whatever arguments, and those with some. */
struct servant_calls {
    const uint16_t *free;
    size_t free_count;
    const struct servant_call *checked;
    size_t checked_count;
};

#define SERVANT_CALL_COUNT_MAX 160u /* of both */

/* Of a servant of a root server: it becomes nobody, since root's rights are none that a stranger's
 * bytes should meet. False: the kernel refused. */
bool servant_user_leave(void);

/* Soft and hard limit of it, at most as it was before. */
bool servant_limit_set(unsigned resource, rlim_t value);

/* Such a limit on private memory: so much more than it has already. */
bool servant_memory_limit(rlim_t more_bytes);

/* After the change of user: it ends with its parent, gets no more rights by any exec, and is out of
 * reach of other processes of its user. False: the parent has gone already, or the kernel
 * refused. */
bool servant_tie(pid_t parent);

/* From now on all other calls fail with EPERM, which no library takes for its end; clone3() fails
 * with ENOSYS, since its flags cannot be looked at, and libraries use clone() then. */
bool servant_calls_limit(const struct servant_calls *calls);

#endif
