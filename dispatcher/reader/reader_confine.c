/* SPDX-License-Identifier: MIT */
/* reader_confine.c - limits and a list of system calls. */
#include "dispatcher/reader/reader_confine.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "dispatcher/reactor/servant_confine.h"
#include "millrace/check.h"
#include "millrace/limits.h"

#define MEMORY_BYTES (UINT64_C(384) * 1024 * 1024)
#define MEMORY_PER_BYTE 8u

/* Descriptors it may have: three, the socket, and one that comes with a request. */
#define FD_COUNT_MAX 16u

/* Memory, the socket, the files it is given, and its end; sysinfo() is how qsort() asks for the
 * memory there is. The rest is what sanitizers ask for. Nothing here names another process. */
static const uint16_t calls[] = {
    SYS_brk,      SYS_mmap,          SYS_munmap,       SYS_mremap,          SYS_madvise,
    SYS_mprotect, SYS_recvmsg,       SYS_sendto,       SYS_write,           SYS_close,
    SYS_exit,     SYS_exit_group,    SYS_getrandom,    SYS_rt_sigreturn,    SYS_futex,
    SYS_getpid,   SYS_gettid,        SYS_rt_sigaction, SYS_sigaltstack,     SYS_rt_sigprocmask,
    SYS_fstat,    SYS_clock_gettime, SYS_sched_yield,  SYS_restart_syscall, SYS_sysinfo,
};

/* It seals a file, and no more: with others of its commands, a descriptor can be told to send a
 * signal. */
static const struct servant_call checked[] = {{SYS_fcntl, 1, UINT32_MAX, F_ADD_SEALS}};

static bool confine_limits_set(uint64_t body_bytes_max);

bool reader_confine(pid_t parent, uint64_t body_bytes_max)
{
    prctl(PR_SET_NAME, "mr-reader");
    return servant_user_leave() && confine_limits_set(body_bytes_max) && servant_tie(parent) &&
           servant_calls_limit(
               &(struct servant_calls){calls, ARRAY_COUNT(calls), checked, ARRAY_COUNT(checked)});
}

/* Of memory what a body may take: its tree, its strings, the packing that doubles its buffer. */
static bool confine_limits_set(uint64_t body_bytes_max)
{
    return servant_memory_limit(MEMORY_BYTES + MEMORY_PER_BYTE * body_bytes_max) &&
           servant_limit_set(RLIMIT_CORE, 0) && servant_limit_set(RLIMIT_NPROC, 0) &&
           servant_limit_set(RLIMIT_NOFILE, FD_COUNT_MAX) && servant_limit_set(RLIMIT_MEMLOCK, 0) &&
           servant_limit_set(RLIMIT_FSIZE, VALUE_BYTES_MAX);
}
