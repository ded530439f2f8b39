/* SPDX-License-Identifier: MIT */
/* bench_run.c - the loop around the clients of a load run. */
#include "dispatcher/cli/bench/bench_run.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "shm/clock.h"

#define EVENTS_PER_WAIT 512
#define TICK_MS 50 /* how often slow clients read, and the time is looked at */
/* Connections being made at once: fewer than a server's backlog holds. */
#define CONNECTING_COUNT_MAX 256u
/* Descriptors that are not clients: standard streams, epoll, what libraries keep open. */
#define DESCRIPTOR_COUNT_OTHER 16u
/* Of one address there are 28,000 ports to connect from; 127.0.0.0/8 has many addresses. */
#define CONNECTIONS_PER_SOURCE 16384u
#define IDLE_CONNECT_TIMEOUT_S 5

struct bench_loop {
    struct bench_plan *plan;
    const struct bench_shape *shape;
    struct bench_conn *conns;
    char *kept; /* of all clients, see bench_lines.h */
    int *idle;  /* descriptors */
    uint32_t idle_count_max;
    uint32_t started_count;
    uint32_t wanted_count; /* of clients: fewer when requests run out before all have begun */
    uint64_t begin_ns, warm_ns, progress_ns, progress_line_count;
    double cpu_seconds;
};

static void bench_run_loop_run(struct bench_loop *loop);
static int64_t bench_run_descriptors_get(const struct bench_shape *shape);

static double bench_run_cpu_seconds_used(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* ---- idle connections ------------------------------------------------------------------------ */

/* Ports of one source address are few, so a loopback target gets many sources. */
static void bench_run_source_bind(const struct bench_plan *plan, int fd, uint32_t index)
{
    int on = 1;
    struct sockaddr_in source = {.sin_family = AF_INET};
    const struct sockaddr_in *target = (const struct sockaddr_in *)(const void *)&plan->address;
    if (plan->address.ss_family != AF_INET || ntohl(target->sin_addr.s_addr) >> 24 != 127)
        return;
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + index / CONNECTIONS_PER_SOURCE);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    if (bind(fd, (const struct sockaddr *)&source, sizeof(source)) == -1)
        return; /* then the kernel chooses, as long as there are ports */
}

/* As many as can be had. */
static void bench_run_idle_open(struct bench_loop *loop)
{
    const struct bench_plan *plan = loop->plan;
    const struct timeval timeout = {.tv_sec = IDLE_CONNECT_TIMEOUT_S};
    struct bench_stats *stats = &loop->plan->stats;
    for (uint32_t i = 0; i < loop->idle_count_max; i++) {
        int fd = socket(plan->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd == -1)
            return;
        bench_run_source_bind(plan, fd, i);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
        if (connect(fd, (const struct sockaddr *)&plan->address, plan->address_bytes) == -1) {
            close(fd);
            stats->idle_refused_count++;
            return;
        }
        loop->idle[stats->idle_count++] = fd;
    }
}

static void bench_run_idle_close(struct bench_loop *loop)
{
    char byte;
    struct bench_stats *stats = &loop->plan->stats;
    for (uint64_t i = 0; i < stats->idle_count; i++) {
        ssize_t count = recv(loop->idle[i], &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        if (count >= 0 || errno != EAGAIN)
            stats->idle_closed_count++;
        close(loop->idle[i]);
    }
}

/* ---- the loop -------------------------------------------------------------------------------- */

int bench_run(struct bench_plan *plan, const struct bench_shape *shape)
{
    int rc = 0;
    int64_t left = bench_run_descriptors_get(shape);
    if (left < 0)
        return (int)left;
    /* One more of each, so that none of them is empty. */
    struct bench_loop loop = {.plan = plan,
                              .shape = shape,
                              .wanted_count = shape->connections,
                              .idle_count_max = left < shape->idle ? (uint32_t)left : shape->idle,
                              .conns = calloc(shape->connections + 1, sizeof(*loop.conns)),
                              .kept = calloc(shape->connections + 1, BENCH_LOOK_BYTES_MAX),
                              .idle = calloc(shape->idle + 1, sizeof(*loop.idle))};
    plan->read_buffer = malloc(BENCH_READ_BYTES);
    plan->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!loop.conns || !loop.kept || !loop.idle || !plan->read_buffer) {
        rc = -ENOMEM;
    } else if (plan->epoll == -1) {
        rc = -EMFILE;
    } else {
        bench_run_idle_open(&loop);
        bench_run_loop_run(&loop);
        bench_run_idle_close(&loop);
    }
    if (plan->epoll != -1)
        close(plan->epoll);
    free(plan->read_buffer);
    free(loop.idle);
    free(loop.kept);
    free(loop.conns);
    return rc;
}

/* When a client begins: one in each of so many equal parts of the ramp, and there at a time that
 * depends on its index alone, so that every run is the same and none is in step with a period of
 * the server's. The mixing is the one of SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t bench_run_client_begin_ns(const struct bench_loop *loop, uint32_t index)
{
    uint64_t mixed = (index + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    double share = (double)((mixed ^ (mixed >> 31)) >> 11) / (double)(UINT64_C(1) << 53);
    double step_ns = (double)loop->shape->ramp_ns / loop->shape->connections;
    return loop->begin_ns + (uint64_t)((index + share) * step_ns);
}

/* Not all at once: a server's backlog is short, and a connection that finds it full waits a
 * second. */
static void bench_run_clients_start(struct bench_loop *loop, uint64_t now_ns)
{
    const struct bench_shape *shape = loop->shape;
    while (loop->started_count < loop->wanted_count &&
           loop->plan->connecting_count < CONNECTING_COUNT_MAX &&
           now_ns >= bench_run_client_begin_ns(loop, loop->started_count)) {
        uint32_t i = loop->started_count++;
        struct bench_conn *conn = &loop->conns[i];
        conn->fd = -1;
        conn->lines.examples = &loop->plan->stats.examples;
        conn->lines.kept = loop->kept + (size_t)i * BENCH_LOOK_BYTES_MAX;
        conn->is_slow = i < shape->slow;
        conn->is_leaver = i >= shape->slow && i - shape->slow < shape->leavers;
        if (!bench_conn_next(loop->plan, conn, clock_now_ns()))
            loop->wanted_count = loop->started_count;
    }
}

/* Waits for sockets, until the next client begins at most. */
static int bench_run_events_wait(const struct bench_loop *loop, struct epoll_event *events,
                                 uint64_t now_ns)
{
    uint64_t wait_ns = TICK_MS * CLOCK_NS_PER_MS;
    if (loop->started_count < loop->wanted_count) {
        uint64_t begin_ns = bench_run_client_begin_ns(loop, loop->started_count);
        uint64_t left_ns = begin_ns > now_ns ? begin_ns - now_ns : 0;
        /* One that is due and has not begun waits for connections being made. */
        if (left_ns > 0 && left_ns < wait_ns)
            wait_ns = left_ns;
    }
    const struct timespec timeout = {.tv_nsec = (long)wait_ns};
    return epoll_pwait2(loop->plan->epoll, events, EVENTS_PER_WAIT, &timeout, NULL);
}

static bool bench_run_is_under_way(const struct bench_loop *loop, uint64_t now_ns)
{
    if (now_ns - loop->begin_ns >= loop->shape->duration_ns)
        return false;
    return loop->plan->under_way > 0 || loop->started_count < loop->wanted_count ||
           loop->shape->connections == 0;
}

static void bench_run_warmup_end(struct bench_loop *loop, uint64_t now_ns)
{
    struct bench_stats *stats = &loop->plan->stats;
    if (loop->warm_ns > 0 || now_ns - loop->begin_ns < loop->shape->warmup_ns)
        return;
    const uint64_t answered = stats->complete_count + stats->failed_count + stats->truncated_count +
                              stats->wrong_count + stats->left_count;
    const uint64_t under_way = stats->request_count - answered; /* or refused, which counts */
    char *refused = stats->examples.texts[BENCH_REFUSED];
    char example[BENCH_EXAMPLE_BYTES];
    memcpy(example, refused, sizeof(example));
    *stats = (struct bench_stats){.warmup_line_count = stats->line_count,
                                  .request_count = under_way,
                                  .idle_count = stats->idle_count,
                                  .idle_refused_count = stats->idle_refused_count,
                                  .refused_count = stats->refused_count};
    memcpy(refused, example, sizeof(example));
    loop->warm_ns = now_ns;
    loop->cpu_seconds = bench_run_cpu_seconds_used();
    loop->progress_line_count = 0;
}

static void bench_run_progress_show(struct bench_loop *loop, uint64_t now_ns)
{
    const struct bench_stats *stats = &loop->plan->stats;
    uint64_t elapsed_ns = now_ns - loop->progress_ns;
    if (!loop->shape->shows_progress || elapsed_ns < CLOCK_NS_PER_S)
        return;
    uint64_t bad = stats->failed_count + stats->truncated_count + stats->wrong_count;
    fprintf(stderr,
            "\r%6.1f s  %" PRIu64 " connections  %" PRIu64 " answers  %" PRIu64 " bad  %" PRIu64
            " lines  %.0f lines/s    ",
            (double)(now_ns - loop->begin_ns) / 1e9, loop->plan->under_way, stats->complete_count,
            bad, stats->line_count,
            (double)(stats->line_count - loop->progress_line_count) * 1e9 / (double)elapsed_ns);
    loop->progress_ns = now_ns;
    loop->progress_line_count = stats->line_count;
}

static void bench_run_loop_run(struct bench_loop *loop)
{
    struct epoll_event events[EVENTS_PER_WAIT];
    struct bench_plan *plan = loop->plan;
    uint64_t now_ns = clock_now_ns(), slow_ns = now_ns;
    loop->begin_ns = loop->progress_ns = now_ns;
    bench_run_warmup_end(loop, now_ns);
    bench_run_clients_start(loop, now_ns);
    while (bench_run_is_under_way(loop, now_ns)) {
        int count = bench_run_events_wait(loop, events, now_ns);
        for (int i = 0; i < count; i++)
            bench_conn_ready(plan, events[i].data.ptr);
        now_ns = clock_now_ns();
        bench_run_clients_start(loop, now_ns);
        bench_run_warmup_end(loop, now_ns);
        bench_run_progress_show(loop, now_ns);
        if (now_ns - slow_ns < TICK_MS * CLOCK_NS_PER_MS)
            continue;
        slow_ns = now_ns;
        for (uint32_t i = 0; i < loop->shape->slow && i < loop->started_count; i++)
            bench_conn_read_slowly(plan, &loop->conns[i], now_ns);
    }
    plan->stats.seconds = (double)(now_ns - loop->warm_ns) / 1e9;
    plan->stats.cpu_seconds = bench_run_cpu_seconds_used() - loop->cpu_seconds;
    plan->is_over = true;
    for (uint32_t i = 0; i < loop->started_count; i++)
        bench_conn_abandon(plan, &loop->conns[i]);
    if (loop->shape->shows_progress)
        fprintf(stderr, "\r%100s\r", "");
}

/* The limit, raised as far as it goes, less what is not for idle connections; negative errno when
 * not even the clients fit. */
static int64_t bench_run_descriptors_get(const struct bench_shape *shape)
{
    struct rlimit limit;
    uint64_t taken = (uint64_t)shape->connections + DESCRIPTOR_COUNT_OTHER;
    if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
        return -errno;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) == -1)
        return -errno;
    uint64_t count = limit.rlim_max < UINT32_MAX ? limit.rlim_max : UINT32_MAX;
    return count >= taken ? (int64_t)(count - taken) : -EMFILE;
}
