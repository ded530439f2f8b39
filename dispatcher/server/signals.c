/* SPDX-License-Identifier: MIT */
/* signals.c - blocked, then fatal in an orderly way, then read. */
#include "dispatcher/server/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What a server takes, and for what. What is not here keeps its usual action: it is harmless anyway
 * (SIGWINCH), stops and continues a job (SIGTSTP), or asks for a core (SIGABRT). */
static const struct signal_taken {
    int number;
    enum signal_role role;
    const char *name;
} taken[] = {
    {SIGTERM, SIGNAL_STOPS, "SIGTERM"},       {SIGINT, SIGNAL_STOPS, "SIGINT"},
    {SIGQUIT, SIGNAL_STOPS, "SIGQUIT"},       {SIGHUP, SIGNAL_RELOADS, "SIGHUP"},
    {SIGXCPU, SIGNAL_ENDS_TIME, "SIGXCPU"},   {SIGUSR1, SIGNAL_REOPENS, "SIGUSR1"},
    {SIGUSR2, SIGNAL_RENEWS, "SIGUSR2"},      {SIGALRM, SIGNAL_NOTHING, "SIGALRM"},
    {SIGVTALRM, SIGNAL_NOTHING, "SIGVTALRM"}, {SIGPROF, SIGNAL_NOTHING, "SIGPROF"},
    {SIGIO, SIGNAL_NOTHING, "SIGIO"},         {SIGPWR, SIGNAL_NOTHING, "SIGPWR"},
    {SIGTTIN, SIGNAL_NOTHING, "SIGTTIN"},     {SIGTTOU, SIGNAL_NOTHING, "SIGTTOU"},
};

static void on_early_stop(int number);
static void signals_cpu_limit_part(void);

/* Called by the loader when nothing else is ready, not even a sanitizer. */
__attribute__((no_sanitize("address", "thread", "undefined"))) void signals_hold(void)
{
    uint64_t set = 0; /* the kernel's, of which signal 1 is the lowest bit */
    for (unsigned i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
        if (taken[i].role != SIGNAL_ENDS_TIME)
            set |= UINT64_C(1) << (taken[i].number - 1);
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, sizeof(set));
}

void signals_begin(void)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_COUNT(taken); i++) {
        int number = taken[i].number;
        struct sigaction former;
        if (taken[i].role != SIGNAL_STOPS)
            continue;
        if (sigaction(number, NULL, &former) == 0 && former.sa_handler == SIG_DFL)
            sigaction(number, &(struct sigaction){.sa_handler = on_early_stop}, NULL);
        sigaddset(&set, number);
    }
    sigaction(SIGXFSZ, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    signals_cpu_limit_part();
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

int signals_open(void)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_COUNT(taken); i++)
        sigaddset(&set, taken[i].number);
    if (sigprocmask(SIG_BLOCK, &set, NULL) == -1)
        return -errno;
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    /* Without O_NONBLOCK: io_uring waits on it. */
    int fd = signalfd(-1, &set, SFD_CLOEXEC);
    return fd == -1 ? -errno : fd;
}

enum signal_role signals_role(uint32_t number, const char **name)
{
    size_t i = 0;
    while (i < ARRAY_COUNT(taken) && (uint32_t)taken[i].number != number)
        i++;
    mr_assert(i < ARRAY_COUNT(taken)); /* no other one was asked for */
    *name = taken[i].name;
    return taken[i].role;
}

static void on_early_stop(int number)
{
    (void)number;
    _exit(0);
}

/* Where the soft limit is the hard one, the kernel kills without a word. */
static void signals_cpu_limit_part(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_CPU, &limit) == -1 || limit.rlim_max == RLIM_INFINITY ||
        limit.rlim_max < 2 || limit.rlim_cur < limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max - 1 - limit.rlim_max / 16;
    (void)setrlimit(RLIMIT_CPU, &limit);
}
