/* SPDX-License-Identifier: MIT */
/* fetcher_confine.c - limits, files that it may read, and a list of system calls. */
#include "dispatcher/fetcher/fetcher_confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dispatcher/reactor/servant_confine.h"
#include "millrace/check.h"

#define MEMORY_BYTES (UINT64_C(384) * 1024 * 1024)

/* Transfers, each with a file and sockets; look-ups of names, likewise. */
#define FD_COUNT_MAX 512u

/* Memory, threads (a name is looked up by one of its own), the network, files that are there, and
 * its end. The rest is what sanitizers ask for. Nothing here names another process. */
static const uint16_t calls[] = {
    SYS_brk,
    SYS_mmap,
    SYS_munmap,
    SYS_mremap,
    SYS_madvise,
    SYS_mprotect,
    SYS_futex,
    SYS_set_robust_list,
    SYS_rseq,
    SYS_sched_yield,
    SYS_exit,
    SYS_exit_group,
    SYS_getrandom,
    SYS_getpid,
    SYS_gettid,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_sysinfo,
    SYS_uname,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sigaltstack,
    SYS_restart_syscall,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_nanosleep,
    SYS_sched_getaffinity,
    SYS_connect,
    SYS_bind,
    SYS_getsockname,
    SYS_getpeername,
    SYS_setsockopt,
    SYS_getsockopt,
    SYS_sendto,
    SYS_recvfrom,
    SYS_sendmsg,
    SYS_recvmsg,
    SYS_sendmmsg,
    SYS_shutdown,
    SYS_ppoll,
    SYS_pselect6,
    SYS_pipe2,
    SYS_eventfd2,
    SYS_openat,
    SYS_close,
    SYS_read,
    SYS_write,
    SYS_pread64,
    SYS_pwrite64,
    SYS_lseek,
    SYS_fstat,
    SYS_newfstatat,
    SYS_statx,
    SYS_getdents64,
    SYS_readlinkat,
    SYS_faccessat,
    SYS_getcwd,
#if defined(__x86_64__)
    SYS_poll,
    SYS_select,
    SYS_open,
    SYS_stat,
    SYS_lstat,
    SYS_access,
    SYS_readlink,
    SYS_time,
    SYS_gettimeofday,
#endif
};

/* Threads, but no processes. Sockets of the internet, and the one that is asked for the machine's
 * addresses; pairs are for waking. Of descriptors their flags: with others of its commands, one can
 * be told to send a signal. */
static const struct servant_call checked[] = {
    {SYS_clone, 0, CLONE_THREAD, CLONE_THREAD}, {SYS_socket, 0, UINT32_MAX, AF_INET},
    {SYS_socket, 0, UINT32_MAX, AF_INET6},      {SYS_socket, 0, UINT32_MAX, AF_NETLINK},
    {SYS_socketpair, 0, UINT32_MAX, AF_UNIX},   {SYS_fcntl, 1, UINT32_MAX, F_GETFL},
    {SYS_fcntl, 1, UINT32_MAX, F_SETFL},        {SYS_fcntl, 1, UINT32_MAX, F_GETFD},
    {SYS_fcntl, 1, UINT32_MAX, F_SETFD},        {SYS_ioctl, 1, UINT32_MAX, FIONREAD},
    {SYS_ioctl, 1, UINT32_MAX, FIONBIO},
};

static bool confine_limits_set(uint64_t file_bytes_max);
static bool confine_files_limit(void);

bool fetcher_confine(pid_t parent, uint64_t file_bytes_max)
{
    return servant_user_leave() && confine_limits_set(file_bytes_max) && servant_tie(parent) &&
           confine_files_limit() &&
           servant_calls_limit(
               &(struct servant_calls){calls, ARRAY_COUNT(calls), checked, ARRAY_COUNT(checked)});
}

/* Not of processes: its threads would count, together with all else that its user has. */
static bool confine_limits_set(uint64_t file_bytes_max)
{
    return servant_memory_limit(MEMORY_BYTES) && servant_limit_set(RLIMIT_CORE, 0) &&
           servant_limit_set(RLIMIT_NOFILE, FD_COUNT_MAX) && servant_limit_set(RLIMIT_MEMLOCK, 0) &&
           servant_limit_set(RLIMIT_FSIZE, file_bytes_max);
}

/* ---- files --------------------------------------------------------------------------------- */

#define READING (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)

/* All rights of the first version; and to change a file's length, which the headers at hand do not
 * have. */
#define ALL_RIGHTS UINT64_C(0x1fff)
#define RIGHT_TRUNCATE UINT64_C(0x4000)
#define VERSION_TRUNCATE 3

static bool confine_file_allow(int ruleset, const char *path)
{
    struct landlock_path_beneath_attr rule = {
        .allowed_access = READING, .parent_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)};
    if (rule.parent_fd == -1)
        return true; /* there is nothing to read */
    long rc = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    close(rule.parent_fd);
    return rc == 0;
}

/* The folder in which a file really lies, which may be replaced in it. */
static bool confine_place_allow(int ruleset, const char *path)
{
    char *real = realpath(path, NULL);
    char *slash = real ? strrchr(real, '/') : NULL;
    if (slash)
        *slash = '\0';
    bool is_allowed = !slash || slash == real || confine_file_allow(ruleset, real);
    free(real);
    return is_allowed;
}

/* Where the kernel has no Landlock, the user it is has to do. Descriptors that it is given are open
 * already. */
static bool confine_files_limit(void)
{
    static const char *const folders[] = {"/etc", "/usr", "/lib", "/lib64"};
    static const char *const files[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf",
                                        "/etc/ssl/certs/ca-certificates.crt"};
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1)
        return true;
    struct landlock_ruleset_attr attributes = {
        .handled_access_fs = ALL_RIGHTS | (version >= VERSION_TRUNCATE ? RIGHT_TRUNCATE : 0)};
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
    if (ruleset == -1)
        return false;
    bool is_made = true;
    for (size_t i = 0; is_made && i < ARRAY_COUNT(folders); i++)
        is_made = confine_file_allow(ruleset, folders[i]);
    for (size_t i = 0; is_made && i < ARRAY_COUNT(files); i++)
        is_made = confine_place_allow(ruleset, files[i]);
    is_made = is_made && syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    close(ruleset);
    return is_made;
}
