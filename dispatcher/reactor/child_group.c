/* SPDX-License-Identifier: MIT */
/* child_group.c - waitid(2) for a group, one child after the other. */
#include "dispatcher/reactor/child_group.h"

#include <stddef.h>
#include <sys/wait.h>

bool child_group_reap(pid_t group, bool (*is_known)(const void *context, pid_t pid),
                      const void *context)
{
    for (siginfo_t info = {0}; waitid(P_PGID, (id_t)group, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
         info.si_pid = 0) {
        if (info.si_pid == 0 || is_known(context, info.si_pid))
            return false;
        waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
    }
    return true;
}
