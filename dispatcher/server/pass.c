/* SPDX-License-Identifier: MIT */
/* pass.c - one pass of the loop, and the wait before it. */
#include "dispatcher/server/server.h"
#include "dispatcher/workers/drain.h"
#include "dispatcher/workers/renewal.h"
#include "dispatcher/workers/supervisor.h"
#include "dispatcher/workers/workers.h"
#include "shm/clock.h"

#define EVENTS_PER_REAP 64u
#define REAPS_PER_PASS 64u
#define RECEIVED_PER_PASS_BYTES (512u * 1024) /* and what one reap has more */
#define TIMERS_PER_PASS 4096u

static uint32_t pass_bell_interests(const struct server *server);
static bool pass_events(struct server *server);
static void pass_timers(struct server *server);
static void pass_log(struct reactor *reactor);
static void pass_chores(struct server *server);

/* Submits what the last pass queued, and sleeps unless there is more to do at once. The sleeper's
 * protocol of shm/doorbell.h. */
int server_wait(struct server *server, bool is_busy)
{
    struct reactor *reactor = &server->reactor;
    if (is_busy)
        return uring_wait(reactor->uring, 0);
    uint64_t timeout_ns = UINT64_MAX;
    uint64_t next_ms = timers_next_ms(&reactor->timers);
    if (next_ms != UINT64_MAX)
        timeout_ns = next_ms > reactor->now_ms ? (next_ms - reactor->now_ms) * CLOCK_NS_PER_MS : 0;
    workers_arm(&server->fleet, pass_bell_interests(server));
    if (workers_have_records(&server->fleet) ||
        (server->runs.queue_count > 0 && runs_can_offer(&server->runs)))
        timeout_ns = 0;
    else
        reactor->wait_count++;
    int rc = uring_wait(reactor->uring, timeout_ns);
    workers_disarm(&server->fleet);
    return rc;
}

bool server_pass(struct server *server)
{
    server->reactor.pass++;
    reactor_clocks_read(&server->reactor);
    bool is_more = pass_events(server);
    uint32_t drained = drain_all(&server->fleet);
    if (server->runs.queue_count > 0)
        runs_schedule(&server->runs);
    if (server->giving.unsaid)
        giving_say(&server->giving);
    pass_timers(server);
    if (server->reactor.has_chores)
        pass_chores(server);
    uint32_t sent = front_flush(&server->front);
    if (server->input.going_count > 0)
        is_more |= input_memory_sweep(&server->input);
    workers_ring(&server->fleet);
    pass_log(&server->reactor);
    return is_more || drained > 0 || sent > 0;
}

/* Room in a request ring matters only to a run that waits for it. */
static uint32_t pass_bell_interests(const struct server *server)
{
    return server->runs.queue_count > 0 ? DOORBELL_WORK | DOORBELL_SPACE : DOORBELL_WORK;
}

/* True: there may be more. Clients who send large bodies could fill all receive buffers each pass,
 * and what is in them has to be put somewhere. */
static bool pass_events(struct server *server)
{
    struct uring_event events[EVENTS_PER_REAP];
    uint64_t received = server->front.counts.received_byte_count;
    for (uint32_t i = 0; i < REAPS_PER_PASS; i++) {
        uint32_t count = uring_reap(server->reactor.uring, events, EVENTS_PER_REAP);
        for (uint32_t k = 0; k < count; k++)
            server_on_event(server, &events[k]);
        if (count < EVENTS_PER_REAP)
            return false;
        if (server->front.counts.received_byte_count - received >= RECEIVED_PER_PASS_BYTES)
            break;
    }
    return true;
}

static void pass_timers(struct server *server)
{
    struct reactor *reactor = &server->reactor;
    for (uint32_t i = 0; i < TIMERS_PER_PASS; i++) {
        struct timer *timer = timers_take(&reactor->timers, reactor->now_ms);
        if (!timer)
            return;
        if (i == 0)
            buckets_add(&reactor->lateness, &bucket_scale_passes,
                        (reactor->now_ms - timer->due_ms) * CLOCK_NS_PER_MS);
        server_on_timer(server, timer);
    }
}

static void pass_log(struct reactor *reactor)
{
    const char *data;
    if (!log_waits(&reactor->log))
        return;
    size_t count = log_take(&reactor->log, &data);
    if (count > 0)
        uring_write(reactor->uring, reactor->log.fd, data, (uint32_t)count,
                    (struct uring_ref){URING_LOG, 0, 0});
}

/* What is rarely there to do. */
static void pass_chores(struct server *server)
{
    if (server->fleet.has_suspects)
        supervisor_judge(&server->fleet);
    if (server->fleet.renewal.is_on)
        renewal_step(&server->fleet);
    if (server->fleet.is_shrinking && server->fleet.has_moved)
        supervisor_trim(&server->fleet);
    if (server->fleet.is_crowded)
        runs_make_room(&server->runs);
    if (server->runs.leaving)
        runs_sweep(&server->runs);
    if (reload_has_chores(&server->reload))
        reload_step(server);
    control_step(&server->control);
    if (!server->start_is_said)
        server_check_start(server);
    if (server->state != SERVER_SERVING)
        server_check_stop(server);
    server->reactor.has_chores =
        !server->is_settled || server->fleet.has_suspects || server->fleet.is_shrinking ||
        server->fleet.is_crowded || server->fleet.renewal.is_on || server->runs.leaving ||
        reload_has_chores(&server->reload) || control_has_chores(&server->control);
}
