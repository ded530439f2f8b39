/* SPDX-License-Identifier: MIT */
/* workers.c - the fleet is made, driven, and given back. */
#include "dispatcher/workers/workers.h"

#include <errno.h>
#include <stdlib.h>

#include "dispatcher/workers/pool.h"
#include "dispatcher/workers/worker_start.h"

#define FLEET_TIMER_COUNT 5u

int workers_init(struct fleet *fleet, const struct fleet_options *options)
{
    *fleet = (struct fleet){.config = options->config,
                            .reactor = options->reactor,
                            .devices = options->devices,
                            .ops = options->ops,
                            .owner = options->owner,
                            .spawner_timer.kind = TIMER_SPAWNER,
                            .offer_timer.kind = TIMER_OFFER,
                            .noise_timer.kind = TIMER_NOISE,
                            .output_timer.kind = TIMER_OUTPUT,
                            .room_timer.kind = TIMER_ROOM,
                            .room_look_ms = UINT64_MAX};
    oom_watch_init(&fleet->oom);
    spawner_init(&fleet->spawner, options->config->own_users);
    return timers_reserve(&fleet->reactor->timers, FLEET_TIMER_COUNT);
}

void workers_finish(struct fleet *fleet)
{
    while (fleet->pool_count > 0)
        pool_destroy(fleet->pools[fleet->pool_count - 1]);
    spawner_close(&fleet->spawner);
    free(fleet->pools);
    free(fleet->workers);
    free(fleet->record);
}

/* ---- in a pass ----------------------------------------------------------------------------- */

/* Every ring is looked at in each pass: that there is one is all that a bell does. */
void workers_on_bell(struct fleet *fleet, const struct uring_event *event)
{
    struct worker *worker = fleet_worker(fleet, event->ref);
    if (!worker || !worker_has_process(worker) || event->result == -ECANCELED)
        return;
    worker->bells_heard++;
    if (!event->more && !worker->is_paused)
        uring_poll(fleet->reactor->uring, worker->channel.own_bell.fd, event->ref);
}

void workers_ring(struct fleet *fleet)
{
    for (uint32_t i = 0; i < fleet->worker_count; i++) {
        struct worker *worker = fleet->workers[i];
        if (worker)
            worker_ring(worker);
    }
}

void workers_arm(struct fleet *fleet, uint32_t interests)
{
    for (uint32_t i = 0; i < fleet->worker_count; i++)
        if (fleet->workers[i] && worker_is_heard(fleet->workers[i]))
            doorbell_arm(&fleet->workers[i]->channel.own_bell, interests);
}

void workers_disarm(struct fleet *fleet)
{
    for (uint32_t i = 0; i < fleet->worker_count; i++)
        if (fleet->workers[i] && worker_is_heard(fleet->workers[i]))
            doorbell_disarm(&fleet->workers[i]->channel.own_bell);
}

bool workers_have_records(const struct fleet *fleet)
{
    for (uint32_t i = 0; i < fleet->worker_count; i++)
        if (fleet->workers[i] && worker_is_heard(fleet->workers[i]) &&
            !ring_is_empty(&fleet->workers[i]->channel.replies))
            return true;
    return false;
}
