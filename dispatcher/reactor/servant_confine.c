/* SPDX-License-Identifier: MIT */
/* servant_confine.c - limits, and a filter of system calls. */
#include "dispatcher/reactor/servant_confine.h"

#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "millrace/check.h"

#define NOBODY 65534u

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

bool servant_user_leave(void)
{
    if (geteuid() != 0)
        return true;
    /* Where there is no such user, as in some namespaces, it stays what it is. */
    if (setgroups(0, NULL) == -1 || setresgid(NOBODY, NOBODY, NOBODY) == -1)
        return true;
    return setresuid(NOBODY, NOBODY, NOBODY) == 0 || errno == EINVAL;
}

bool servant_limit_set(unsigned resource, rlim_t value)
{
    struct rlimit limit;
    if (getrlimit((__rlimit_resource_t)resource, &limit) == -1)
        return false;
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < value)
        value = limit.rlim_max;
    limit.rlim_cur = limit.rlim_max = value;
    return setrlimit((__rlimit_resource_t)resource, &limit) == 0;
}

/* What there is already is much under a sanitizer. */
bool servant_memory_limit(rlim_t more_bytes)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file && fscanf(file, "%*u %*u %*u %*u %*u %lu", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    rlim_t now_bytes = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
    return servant_limit_set(RLIMIT_DATA, now_bytes + more_bytes);
}

bool servant_tie(pid_t parent)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_DUMPABLE, 0) == 0 &&
           prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent;
}

/* ---- the filter ---------------------------------------------------------------------------- */

enum { HEAD_COUNT = 4, CALL_PART_COUNT = 6, TAIL_COUNT = 3 };

struct confine_program {
    struct sock_filter parts[HEAD_COUNT + SERVANT_CALL_COUNT_MAX * CALL_PART_COUNT + TAIL_COUNT];
    uint16_t count;
};

static void confine_add(struct confine_program *program, struct sock_filter part)
{
    program->parts[program->count++] = part;
}

static void confine_load_number(struct confine_program *program)
{
    confine_add(program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                                      offsetof(struct seccomp_data, nr)));
}

static void confine_return(struct confine_program *program, uint32_t action)
{
    confine_add(program, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

/* Goes on behind so many parts where the word that was loaded is not this one. */
static void confine_unless(struct confine_program *program, uint32_t value, uint8_t skipped_count)
{
    confine_add(program,
                (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skipped_count));
}

static void confine_add_checked(struct confine_program *program, const struct servant_call *call)
{
    /* The lower half comes first on both architectures. */
    uint32_t offset = (uint32_t)offsetof(struct seccomp_data, args) + 8u * call->argument;
    confine_unless(program, call->number, CALL_PART_COUNT - 1);
    confine_add(program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset));
    confine_add(program, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, call->mask));
    confine_unless(program, call->value, 1);
    confine_return(program, SECCOMP_RET_ALLOW);
    confine_load_number(program);
}

bool servant_calls_limit(const struct servant_calls *calls)
{
    struct confine_program program = {.count = 0};
    mr_assert(calls->free_count + calls->checked_count <= SERVANT_CALL_COUNT_MAX);
    confine_add(&program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                                       offsetof(struct seccomp_data, arch)));
    confine_add(&program,
                (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0));
    confine_return(&program, SECCOMP_RET_KILL_PROCESS);
    confine_load_number(&program);
    for (size_t i = 0; i < calls->free_count; i++) {
        confine_unless(&program, calls->free[i], 1);
        confine_return(&program, SECCOMP_RET_ALLOW);
    }
    for (size_t i = 0; i < calls->checked_count; i++)
        confine_add_checked(&program, &calls->checked[i]);
    confine_unless(&program, SYS_clone3, 1);
    confine_return(&program, SECCOMP_RET_ERRNO | ENOSYS);
    confine_return(&program, SECCOMP_RET_ERRNO | EPERM);
    struct sock_fprog filter = {program.count, program.parts};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0 || errno == EINVAL;
}
