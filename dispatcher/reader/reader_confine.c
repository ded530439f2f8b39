/* SPDX-License-Identifier: MIT */
/* reader_confine.c - limits and a list of system calls. */
#include "dispatcher/reader/reader_confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "millrace/limits.h"

#define MEMORY_BYTES (UINT64_C(384) * 1024 * 1024)
#define MEMORY_PER_BYTE 8u

#define NOBODY 65534u

/* Descriptors it may have: three, the socket, and one that comes with a request. */
#define FD_COUNT_MAX 16u

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

/* Memory, the socket, the files it is given, and its end; sysinfo() is how qsort() asks for the
 * memory there is. The rest is what sanitizers ask for. Nothing here names another process. */
static const uint16_t calls[] = {
    SYS_brk,      SYS_mmap,          SYS_munmap,       SYS_mremap,          SYS_madvise,
    SYS_mprotect, SYS_recvmsg,       SYS_sendto,       SYS_write,           SYS_close,
    SYS_exit,     SYS_exit_group,    SYS_getrandom,    SYS_rt_sigreturn,    SYS_futex,
    SYS_getpid,   SYS_gettid,        SYS_rt_sigaction, SYS_sigaltstack,     SYS_rt_sigprocmask,
    SYS_fstat,    SYS_clock_gettime, SYS_sched_yield,  SYS_restart_syscall, SYS_sysinfo,
};

static bool confine_user_leave(void);
static bool confine_limits_set(uint64_t body_bytes_max);
static bool confine_calls_limit(void);

bool reader_confine(pid_t parent, uint64_t body_bytes_max)
{
    prctl(PR_SET_NAME, "mr-reader");
    if (!confine_user_leave() || !confine_limits_set(body_bytes_max) ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
        return false;
    /* After the change of user, which takes both back. */
    if (prctl(PR_SET_DUMPABLE, 0) == -1 || prctl(PR_SET_PDEATHSIG, SIGKILL) == -1)
        return false;
    return getppid() == parent && confine_calls_limit();
}

/* Of a root server: to be parsed by root is no right of a stranger's body. */
static bool confine_user_leave(void)
{
    if (geteuid() != 0)
        return true;
    /* Where there is no such user, as in some namespaces, it stays what it is. */
    if (setgroups(0, NULL) == -1 || setresgid(NOBODY, NOBODY, NOBODY) == -1)
        return true;
    return setresuid(NOBODY, NOBODY, NOBODY) == 0 || errno == EINVAL;
}

static bool confine_limit_set(unsigned resource, rlim_t value)
{
    struct rlimit limit;
    if (getrlimit((__rlimit_resource_t)resource, &limit) == -1)
        return false;
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < value)
        value = limit.rlim_max;
    limit.rlim_cur = limit.rlim_max = value;
    return setrlimit((__rlimit_resource_t)resource, &limit) == 0;
}

/* What there is already, which under a sanitizer is much, and what a body may take: its tree, its
 * strings, the packing that doubles its buffer. */
static rlim_t confine_memory_of(uint64_t body_bytes_max)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file && fscanf(file, "%*u %*u %*u %*u %*u %lu", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + MEMORY_BYTES +
           MEMORY_PER_BYTE * body_bytes_max;
}

static bool confine_limits_set(uint64_t body_bytes_max)
{
    return confine_limit_set(RLIMIT_DATA, confine_memory_of(body_bytes_max)) &&
           confine_limit_set(RLIMIT_CORE, 0) && confine_limit_set(RLIMIT_NPROC, 0) &&
           confine_limit_set(RLIMIT_NOFILE, FD_COUNT_MAX) && confine_limit_set(RLIMIT_MEMLOCK, 0) &&
           confine_limit_set(RLIMIT_FSIZE, VALUE_BYTES_MAX);
}

/* Whatever is not in the list fails with EPERM, which no library takes for its end. fcntl() seals a
 * file, and no more: with others of its commands, a descriptor can be told to send a signal. */
static bool confine_calls_limit(void)
{
    enum { HEAD_COUNT = 7, TAIL_COUNT = 2, CALL_COUNT = sizeof(calls) / sizeof(calls[0]) };
    struct sock_filter filter[HEAD_COUNT + CALL_COUNT + TAIL_COUNT] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_ADD_SEALS, CALL_COUNT + 1, CALL_COUNT),
    };
    for (unsigned i = 0; i < CALL_COUNT; i++)
        filter[HEAD_COUNT + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i],
                                                              (uint8_t)(CALL_COUNT - i), 0);
    filter[HEAD_COUNT + CALL_COUNT] =
        (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    filter[HEAD_COUNT + CALL_COUNT + 1] =
        (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 || errno == EINVAL;
}
