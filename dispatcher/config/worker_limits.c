/* SPDX-License-Identifier: MIT */
/* worker_limits.c - what workers may have of what the server has. */
#include "dispatcher/config/worker_limits.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "dispatcher/config/config.h"
#include "dispatcher/config/refuse.h"

static void limits_print(FILE *file, const char *key, uint64_t soft, uint64_t hard);
static void limits_nofile_print(FILE *file, uint32_t nofile_max);
static void limits_nproc_print(FILE *file, const struct config *config,
                               const struct confinement *confinement);
static void limits_sigpending_print(FILE *file);

int worker_limits_check(const struct confinement *confinement, char reason[CLI_REASON_BYTES])
{
    struct rlimit nofile, core;
    if (getrlimit(RLIMIT_NOFILE, &nofile) == -1 || getrlimit(RLIMIT_CORE, &core) == -1)
        return refuse(reason, "getrlimit: %s", strerror(errno));
    if (confinement->nofile_max > nofile.rlim_max)
        return refuse(reason,
                      "--worker-nofile %u is more than the hard limit of the server, %llu "
                      "(ulimit -Hn, LimitNOFILE=)",
                      confinement->nofile_max, (unsigned long long)nofile.rlim_max);
    if (confinement->core == CORE_FILES_UNLIMITED && core.rlim_max == 0 && geteuid() != 0)
        return refuse(reason, "--worker-core unlimited: the hard limit of the server is 0 "
                              "(ulimit -Hc, LimitCORE=)");
    return 0;
}

void worker_limits_print(const struct config *config, const struct confinement *confinement,
                         FILE *file)
{
    limits_nofile_print(file, confinement->nofile_max);
    if (confinement->core != CORE_FILES_INHERIT)
        fputs(confinement->core == CORE_FILES_NONE ? "core=0:0\n" : "core=unlimited:unlimited\n",
              file);
    if (confinement->data_bytes_max != 0)
        limits_print(file, "data", confinement->data_bytes_max, confinement->data_bytes_max);
    limits_nproc_print(file, config, confinement);
    limits_sigpending_print(file);
}

static void limits_print(FILE *file, const char *key, uint64_t soft, uint64_t hard)
{
    fprintf(file, "%s=%llu:%llu\n", key, (unsigned long long)soft, (unsigned long long)hard);
}

static uint64_t limits_hard_limit(__rlimit_resource_t resource)
{
    struct rlimit own = {.rlim_max = RLIM_INFINITY};
    getrlimit(resource, &own);
    return own.rlim_max;
}

/* The server's own limit was raised for its clients' sake, and is not for its workers. What they
 * send through sockets is counted for the whole user, and compared with the limit of who sends
 * more: half of it stays the server's, which sends descriptors to each worker that starts. */
static void limits_nofile_print(FILE *file, uint32_t nofile_max)
{
    uint64_t half = limits_hard_limit(RLIMIT_NOFILE) / 2;
    uint64_t hard = half < WORKER_NOFILE_HARD ? half : WORKER_NOFILE_HARD;
    uint64_t soft = hard < WORKER_NOFILE_SOFT ? hard : WORKER_NOFILE_SOFT;
    if (nofile_max != 0)
        soft = hard = nofile_max;
    limits_print(file, "nofile", soft, hard);
}

/* Half of the threads that the kernel can have, which is what init starts with; 0: not known. */
static uint64_t limits_machine_threads(void)
{
    unsigned long long count = 0;
    FILE *file = fopen("/proc/sys/kernel/threads-max", "re");
    if (file && fscanf(file, "%llu", &count) != 1)
        count = 0;
    if (file)
        fclose(file);
    return count / 2;
}

/* Threads are counted for the whole user, too, and a quarter of them stays the server's. Workers
 * with users of their own are counted each for itself, so they share the rest. */
static void limits_nproc_print(FILE *file, const struct config *config,
                               const struct confinement *confinement)
{
    uint64_t most = limits_hard_limit(RLIMIT_NPROC);
    uint64_t machine = limits_machine_threads();
    if (machine != 0 && machine < most)
        most = machine;
    uint64_t share = most == RLIM_INFINITY ? most : most - most / 4;
    if (confinement->owner == OWNER_EACH && share != RLIM_INFINITY && config) {
        share /= config_place_count(config);
        share = share < WORKER_NPROC_MIN ? WORKER_NPROC_MIN : share;
    }
    if (confinement->nproc_max != 0)
        share = confinement->nproc_max;
    if (share != RLIM_INFINITY)
        limits_print(file, "nproc", share, share);
}

/* Likewise counted for the user. */
static void limits_sigpending_print(FILE *file)
{
    uint64_t own = limits_hard_limit(RLIMIT_SIGPENDING);
    if (own != RLIM_INFINITY)
        limits_print(file, "sigpending", own / 2, own / 2);
}
