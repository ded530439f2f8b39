/* SPDX-License-Identifier: MIT */
/*
 * strict.c - one system call filter more, once the process is what it is to be.
 */
#include "worker/confine/strict.h"

#include "millrace/protocol.h"
#include "worker/confine/syscall_filter.h"
#include "worker/engine/leave.h"

void strict_enter(void)
{
    char reason[128];
    const struct syscall_filter filter = {.denies_growth = true};
    if (syscall_filter_enter(&filter, reason, sizeof reason) != 0)
        leave(WORKER_EXIT_CONFINE, "the worker cannot be confined: %s", reason);
}
