/* SPDX-License-Identifier: MIT */
/* pool.c - places for workers are made and given back. */
#include "dispatcher/workers/pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dispatcher/config/preload.h"
#include "dispatcher/workers/output.h"
#include "dispatcher/workers/placement.h"
#include "dispatcher/workers/worker_start.h"
#include "millrace/protocol.h"

#define TIMERS_PER_PLACE 3u /* its own, and those of two outputs */

static int pool_place_add(struct worker_pool *pool, uint32_t number, enum worker_state state,
                          char reason[CGROUP_REASON_BYTES]);
static void pool_place_remove(struct worker_pool *pool, uint32_t place);
static void pool_place_give_back(struct worker *worker);
static int pool_template_add(struct worker_pool *pool, char reason[CGROUP_REASON_BYTES]);
static bool pool_template_is_vacant(const struct worker_pool *pool);
static void pool_share(struct fleet *fleet);
static int pool_record_fit(struct fleet *fleet, uint32_t ring_bytes);

static bool pool_is_spare(const struct worker *worker);
static bool pool_has_number(const struct worker_pool *pool, uint32_t number);

int pool_groups_prepare(struct fleet *fleet, char reason[CGROUP_REASON_BYTES])
{
    const struct config *config = fleet->config;
    uint32_t limited = 0;
    for (uint32_t i = 0; i < config->pipeline_count; i++)
        limited += config->pipelines[i].confinement.memory_bytes_max > 0;
    if (limited == 0)
        return 0;
    int rc = cgroup_find(fleet->group_folder, reason);
    return rc < 0 ? rc : cgroup_prepare(fleet->group_folder, reason);
}

int pool_create(struct fleet *fleet, const struct pipeline_config *config, uint32_t worker_count,
                void *owner, struct worker_pool **out, char reason[CGROUP_REASON_BYTES])
{
    struct worker_pool *pool = calloc(1, sizeof *pool);
    struct worker_pool **pools =
        realloc(fleet->pools, (fleet->pool_count + 1) * sizeof *fleet->pools);
    if (pools)
        fleet->pools = pools;
    if (!pool || !pools) {
        free(pool);
        snprintf(reason, CGROUP_REASON_BYTES, "not enough memory");
        return -ENOMEM;
    }
    if (pool_record_fit(fleet, config->options.reply_ring_bytes) < 0) {
        free(pool);
        snprintf(reason, CGROUP_REASON_BYTES, "not enough memory");
        return -ENOMEM;
    }
    placement_want(fleet, config);
    *pool = (struct worker_pool){.fleet = fleet,
                                 .owner = owner,
                                 .config = config,
                                 .worker_capacity = config->options.concurrency,
                                 .index = fleet->made_pool_count++};
    fleet->pools[fleet->pool_count++] = pool;
    pool_share(fleet);
    int rc = pool_resize(pool, worker_count, reason);
    if (rc == 0 && config->options.recycle_overlap)
        rc = pool_place_add(pool, pool->worker_count, WORKER_SPARE, reason);
    if (rc == 0)
        rc = pool_template_add(pool, reason);
    if (rc < 0)
        pool_destroy(pool);
    else
        *out = pool;
    return rc;
}

void pool_destroy(struct worker_pool *pool)
{
    struct fleet *fleet = pool->fleet;
    uint32_t at = 0;
    while (pool->place_count > 0)
        pool_place_remove(pool, pool->place_count - 1);
    if (pool->template.worker)
        pool_place_give_back(pool->template.worker);
    while (fleet->pools[at] != pool)
        at++;
    memmove(&fleet->pools[at], &fleet->pools[at + 1],
            (--fleet->pool_count - at) * sizeof fleet->pools[0]);
    if (fleet->pool_count > 0)
        pool_share(fleet);
    variables_finish(&pool->variables);
    free(pool->places);
    free(pool);
}

int pool_resize(struct worker_pool *pool, uint32_t worker_count, char reason[CGROUP_REASON_BYTES])
{
    int rc = 0;
    uint32_t place_count = pool->place_count;
    for (uint32_t number = 0; number < worker_count && rc == 0; number++)
        if (!pool_has_number(pool, number))
            rc = pool_place_add(pool, number, WORKER_EMPTY, reason);
    if (rc < 0) {
        while (pool->place_count > place_count)
            pool_place_remove(pool, pool->place_count - 1);
        return rc;
    }
    pool->worker_count = worker_count;
    /* A number is in two places while one worker takes over from another: both are wanted, or
     * neither is. Those that were not wanted, and have not gone yet, may be wanted again. */
    for (uint32_t i = 0; i < pool->place_count; i++) {
        struct worker *worker = pool->places[i];
        if (pool->is_leaving || !pool_is_spare(worker))
            worker->is_surplus = worker->number >= worker_count;
    }
    return 0;
}

/* Each place has the user of its index, and those below the first that is free are taken first. */
uint32_t pool_user_room(const struct worker_pool *pool)
{
    const struct fleet *fleet = pool->fleet;
    uint32_t user_count = fleet->config->own_users.count, taken = 0;
    uint32_t spare_count = (uint32_t)pool->config->options.recycle_overlap + pool->has_extra;
    if (pool->config->confinement.owner != OWNER_EACH)
        return UINT32_MAX;
    for (uint32_t i = 0; i < fleet->worker_count && i < user_count; i++)
        taken += fleet->workers[i] != NULL;
    return pool->place_count - spare_count + user_count - taken;
}

void pool_template_want(struct worker_pool *pool, bool is_wanted)
{
    if (pool->template.worker)
        pool->template.worker->is_surplus = !is_wanted;
}

void pool_leave(struct worker_pool *pool)
{
    char reason[CGROUP_REASON_BYTES];
    pool->is_leaving = true;
    pool_template_want(pool, false);
    int rc = pool_resize(pool, 0, reason);
    mr_assert(rc == 0); /* no place is added */
}

/* Where one is not wanted any more, it is there for nothing, and goes like that of a renewal. */
static int pool_spare_set(struct worker_pool *pool, bool has_spare,
                          char reason[CGROUP_REASON_BYTES])
{
    if (pool->config->options.recycle_overlap == has_spare)
        return 0;
    if (has_spare && !pool->has_extra)
        return pool_place_add(pool, pool->worker_count, WORKER_SPARE, reason);
    pool->has_extra = !has_spare;
    return 0;
}

int pool_move(struct worker_pool *pool, const struct pipeline_config *config, uint32_t worker_count,
              char reason[CGROUP_REASON_BYTES])
{
    uint32_t before = pool->worker_count;
    bool had_spare = pool->config->options.recycle_overlap;
    int rc = 0;
    if (worker_count != before)
        rc = pool_resize(pool, worker_count, reason);
    if (rc == 0)
        rc = pool_spare_set(pool, config->options.recycle_overlap, reason);
    if (rc == 0) {
        pool->config = config;
        for (uint32_t i = 0; i < pool->place_count; i++)
            channel_set_step_budget(&pool->places[i]->channel, config->options.step_budget);
        pool->fleet->is_shrinking |= had_spare && !config->options.recycle_overlap;
    } else if (pool->worker_count != before) {
        char unused[CGROUP_REASON_BYTES];
        int back = pool_resize(pool, before, unused);
        mr_assert(back == 0); /* no place has gone yet */
    }
    return rc;
}

bool pool_trim(struct worker_pool *pool)
{
    const struct renewal *renewal = &pool->fleet->renewal;
    bool is_renewed = renewal->is_on && renewal->pool == pool;
    const struct worker *template = pool->template.worker;
    bool is_left = pool->has_extra && !is_renewed && !pool_extra_remove(pool);
    is_left |= template && template->is_surplus && !pool_template_is_vacant(pool);
    for (uint32_t i = pool->place_count; i-- > 0;) {
        if (!pool->places[i]->is_surplus)
            continue;
        if (pool_place_is_vacant(pool->places[i]) && !pool->places[i]->predecessor)
            pool_place_remove(pool, i);
        else
            is_left = true;
    }
    return is_left;
}

struct worker *pool_spare(const struct worker_pool *pool)
{
    for (uint32_t i = 0; i < pool->place_count; i++)
        if (pool_is_spare(pool->places[i]) && !pool->places[i]->is_surplus)
            return pool->places[i];
    return NULL;
}

int pool_extra_add(struct worker_pool *pool, char reason[CGROUP_REASON_BYTES])
{
    mr_assert(!pool->has_extra);
    int rc = pool_place_add(pool, pool->worker_count, WORKER_SPARE, reason);
    pool->has_extra = rc == 0;
    return rc;
}

bool pool_extra_remove(struct worker_pool *pool)
{
    for (uint32_t i = 0; i < pool->place_count && pool->has_extra; i++) {
        if (!pool_is_spare(pool->places[i]) || !pool_place_is_vacant(pool->places[i]))
            continue;
        pool_place_remove(pool, i);
        pool->has_extra = false;
    }
    return !pool->has_extra;
}

uint32_t pool_ready_count(const struct worker_pool *pool)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < pool->place_count; i++)
        count += worker_serves(pool->places[i]);
    return count;
}

uint64_t pool_proof_ms(const struct worker *worker)
{
    return worker_serves(worker)
               ? worker->ready_ms + worker->pool->config->options.quarantine_retry_ms
               : UINT64_MAX;
}

/* Nor is there anything of its last process that is to be reaped. */
static bool pool_template_is_vacant(const struct worker_pool *pool)
{
    const struct pool_template *template = &pool->template;
    return !template->worker || (pool_place_is_vacant(template->worker) && template->group == 0);
}

bool pool_is_vacant(const struct worker_pool *pool)
{
    if (!pool_template_is_vacant(pool))
        return false;
    for (uint32_t i = 0; i < pool->place_count; i++)
        if (!pool_place_is_vacant(pool->places[i]))
            return false;
    return true;
}

uint32_t pool_active_count(const struct worker_pool *pool)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < pool->place_count; i++)
        count += pool->places[i]->active_count;
    return count;
}

bool pool_is_complete(const struct worker_pool *pool)
{
    return pool_ready_count(pool) >= pool->worker_count;
}

/* One that retires takes its time with its runs; who follows another one is nobody's first. */
uint32_t pool_absent_count(const struct worker_pool *pool)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < pool->place_count; i++) {
        const struct worker *worker = pool->places[i];
        count += !worker->is_surplus && !worker->predecessor && !worker_serves(worker) &&
                 worker->state != WORKER_RETIRING && worker->state != WORKER_SPARE;
    }
    return count;
}

bool pool_lacks_devices(const struct worker_pool *pool)
{
    uint32_t lacking_count = 0;
    for (uint32_t i = 0; i < pool->place_count; i++) {
        const struct worker *worker = pool->places[i];
        if (worker->is_surplus || pool_is_spare(worker))
            continue;
        if (!worker->lacks_device)
            return false;
        lacking_count++;
    }
    return lacking_count > 0;
}

bool pool_is_starting(const struct worker_pool *pool)
{
    if (pool->template.worker && worker_is_starting(pool->template.worker))
        return true;
    for (uint32_t i = 0; i < pool->place_count; i++) {
        if (!pool->places[i]->is_surplus && worker_loads(pool->places[i]->state))
            return true;
    }
    return false;
}

static bool pool_starts_before(const struct worker *a, const struct worker *b)
{
    bool a_says = a->progress.permille != MESSAGE_PROGRESS_UNKNOWN;
    bool b_says = b->progress.permille != MESSAGE_PROGRESS_UNKNOWN;
    if (a_says != b_says)
        return a_says;
    if (a_says && a->progress.permille != b->progress.permille)
        return a->progress.permille > b->progress.permille;
    return a->started_ms < b->started_ms;
}

const struct worker *pool_first_starting(const struct worker_pool *pool)
{
    const struct worker *first = NULL;
    if (pool->template.worker && worker_is_starting(pool->template.worker))
        first = pool->template.worker;
    for (uint32_t i = 0; i < pool->place_count; i++) {
        const struct worker *worker = pool->places[i];
        if (worker_is_starting(worker) && !worker->is_surplus &&
            (!first || pool_starts_before(worker, first)))
            first = worker;
    }
    return first;
}

/* A moving average of about four. */
void pool_note_ready(struct worker *worker, uint64_t took_ms)
{
    struct worker_pool *pool = worker->pool;
    worker->capacity = channel_capacity(&worker->channel, worker->concurrency);
    pool->worker_capacity = worker->capacity;
    uint64_t before = pool->start_ms > 0 ? pool->start_ms : took_ms;
    uint64_t ms = (3 * before + took_ms) / 4;
    pool->start_ms = ms == 0 ? 1 : ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

bool pool_place_is_vacant(const struct worker *worker)
{
    return (worker->state == WORKER_EMPTY || worker->state == WORKER_SPARE) &&
           !output_is_read(worker);
}

void pool_check(const struct worker_pool *pool)
{
    uint64_t unfinished_bytes = 0;
    uint32_t number_count = 0, spare_count = 0;
    for (uint32_t i = 0; i < pool->place_count; i++) {
        const struct worker *worker = pool->places[i];
        mr_assert(worker->pool == pool);
        worker_check(worker);
        unfinished_bytes += worker->unfinished.room;
        /* Of two that have one number, the younger one. */
        number_count += !worker->is_surplus && !worker->successor && !pool_is_spare(worker);
        spare_count += worker->successor || (!worker->is_surplus && pool_is_spare(worker));
        mr_assert(pool_is_spare(worker) ||
                  worker->is_surplus == (worker->number >= pool->worker_count));
        mr_assert(!worker->successor || worker->successor->number == worker->number);
    }
    for (uint32_t number = 0; number < pool->worker_count; number++)
        mr_assert(pool_has_number(pool, number));
    mr_assert(number_count == pool->worker_count);
    mr_assert(pool->is_leaving ||
              spare_count == (uint32_t)pool->config->options.recycle_overlap + pool->has_extra);
    mr_assert(unfinished_bytes == pool->unfinished.bytes);
}

/* Nobody has called it: its number means nothing. */
static bool pool_is_spare(const struct worker *worker)
{
    return worker->state == WORKER_SPARE && !worker->predecessor;
}

static bool pool_has_number(const struct worker_pool *pool, uint32_t number)
{
    for (uint32_t i = 0; i < pool->place_count; i++)
        if (pool->places[i]->number == number && !pool_is_spare(pool->places[i]))
            return true;
    return false;
}

/* ---- places --------------------------------------------------------------------------------- */

/* What each pipeline may hold of values that are not whole depends on how many there are. */
static void pool_share(struct fleet *fleet)
{
    uint64_t bytes_max = unfinished_share_max(fleet->config->output_bytes_max, fleet->pool_count);
    for (uint32_t i = 0; i < fleet->pool_count; i++)
        fleet->pools[i]->unfinished.bytes_max = bytes_max;
}

/* Room for the copy of a record, which is at most a quarter of a ring, or of a message. */
static int pool_record_fit(struct fleet *fleet, uint32_t ring_bytes)
{
    uint32_t bytes = ring_bytes / 4 > MESSAGE_BYTES_MAX ? ring_bytes / 4 : MESSAGE_BYTES_MAX;
    if (bytes <= fleet->record_bytes)
        return 0;
    uint8_t *record = realloc(fleet->record, bytes);
    if (!record)
        return -ENOMEM;
    fleet->record = record;
    fleet->record_bytes = bytes;
    return 0;
}

/* A free index of the fleet, or -ENOMEM. */
static int64_t pool_index_take(struct fleet *fleet)
{
    for (uint32_t i = 0; i < fleet->worker_count; i++)
        if (!fleet->workers[i])
            return i;
    struct worker **workers =
        realloc(fleet->workers, (fleet->worker_count + 1) * sizeof *fleet->workers);
    if (!workers)
        return -ENOMEM;
    fleet->workers = workers;
    fleet->workers[fleet->worker_count] = NULL;
    return fleet->worker_count++;
}

/* At the end of the server there may still be a process, and what belongs to it. */
static void pool_worker_free(struct worker *worker)
{
    if (worker->pid > 0)
        waitid(P_PIDFD, (id_t)worker->pidfd, &(siginfo_t){0}, WEXITED | WNOHANG);
    mps_end_stop(&worker->mps_end);
    worker_channel_close(worker);
    for (uint32_t i = 0; worker->outputs && i < 2; i++)
        output_close(&worker->outputs[i]);
    cgroup_destroy(worker->group);
    free(worker->slots);
    free(worker->free_slots);
    free(worker->outputs);
    free(worker);
}

static int pool_worker_lists(struct worker *worker)
{
    worker->slots = calloc(worker->concurrency, sizeof *worker->slots);
    worker->free_slots = calloc(worker->concurrency, sizeof *worker->free_slots);
    worker->outputs = calloc(2, sizeof *worker->outputs);
    for (uint32_t i = 0; worker->outputs && i < 2; i++) {
        struct output *output = &worker->outputs[i];
        output->worker = worker;
        output->pipes[0].fd = output->pipes[1].fd = -1;
        output->timer = (struct timer){.kind = TIMER_OUTPUT_END, .owner = output};
    }
    return worker->slots && worker->free_slots && worker->outputs ? 0 : -ENOMEM;
}

static struct worker *pool_worker_make(struct worker_pool *pool, uint32_t index, uint32_t number,
                                       enum worker_state state)
{
    const struct pipeline_options *options = &pool->config->options;
    struct worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return NULL;
    *worker = (struct worker){.pool = pool,
                              .index = index,
                              .generation = pool->fleet->generation_max,
                              .number = number,
                              .state = state,
                              .pidfd = -1,
                              .unfinished.slot = UNFINISHED_NONE,
                              .concurrency = options->concurrency,
                              .window_bytes = options->window_bytes,
                              .timer = {.kind = TIMER_WORKER, .owner = worker}};
    channel_init(&worker->channel);
    mps_end_init(&worker->mps_end);
    if (pool_worker_lists(worker) == 0)
        return worker;
    pool_worker_free(worker);
    return NULL;
}

static int pool_group_make(struct worker *worker, char reason[CGROUP_REASON_BYTES])
{
    struct worker_pool *pool = worker->pool;
    uint64_t bytes_max = pool->config->confinement.memory_bytes_max;
    char name[64];
    if (bytes_max > 0 && pool->fleet->group_folder[0] == '\0') {
        snprintf(reason, CGROUP_REASON_BYTES,
                 "worker-memory needs a restart: this server was started without");
        return -EINVAL;
    }
    snprintf(name, sizeof name, "millrace-%d-%u-%u", (int)getpid(), pool->index,
             pool->made_place_count++);
    return bytes_max == 0
               ? 0
               : cgroup_create(&worker->group, pool->fleet->group_folder, name, bytes_max, reason);
}

/* One that the fleet knows. */
static int pool_place_make(struct worker_pool *pool, uint32_t number, enum worker_state state,
                           struct worker **out, char reason[CGROUP_REASON_BYTES])
{
    struct fleet *fleet = pool->fleet;
    struct timers *timers = &fleet->reactor->timers;
    snprintf(reason, CGROUP_REASON_BYTES, "not enough memory");
    int64_t index = pool_index_take(fleet);
    if (index < 0)
        return -ENOMEM;
    if (pool->config->confinement.owner == OWNER_EACH && index >= fleet->config->own_users.count) {
        snprintf(reason, CGROUP_REASON_BYTES, "there are only %u users for workers",
                 fleet->config->own_users.count);
        return -ENOSPC;
    }
    if (timers_reserve(timers, TIMERS_PER_PLACE) < 0)
        return -ENOMEM;
    struct worker *worker = pool_worker_make(pool, (uint32_t)index, number, state);
    int rc = worker ? pool_group_make(worker, reason) : -ENOMEM;
    if (rc < 0) {
        if (worker)
            pool_worker_free(worker);
        timers_unreserve(timers, TIMERS_PER_PLACE);
        return rc;
    }
    fleet->workers[index] = worker;
    *out = worker;
    return 0;
}

static int pool_place_add(struct worker_pool *pool, uint32_t number, enum worker_state state,
                          char reason[CGROUP_REASON_BYTES])
{
    struct worker **places = realloc(pool->places, (pool->place_count + 1) * sizeof *pool->places);
    if (!places) {
        snprintf(reason, CGROUP_REASON_BYTES, "not enough memory");
        return -ENOMEM;
    }
    pool->places = places;
    int rc = pool_place_make(pool, number, state, &places[pool->place_count], reason);
    pool->place_count += rc == 0;
    return rc;
}

/* Where workers cannot be copies, that is said once, and they begin by themselves. */
static int pool_template_add(struct worker_pool *pool, char reason[CGROUP_REASON_BYTES])
{
    const struct pipeline_config *config = pool->config;
    const char *obstacle = preload_obstacle(config);
    if (config->options.preload == PRELOAD_NONE)
        return 0;
    if (obstacle) {
        snprintf(pool->template.reason, sizeof pool->template.reason, "%s", obstacle);
        log_event(&pool->fleet->reactor->log, LEVEL_WARNING, "template_refused",
                  LOG_WORD("pipeline", config->pointer), LOG_TEXT("reason", obstacle));
        return 0;
    }
    int rc = pool_place_make(pool, 0, WORKER_EMPTY, &pool->template.worker, reason);
    if (rc == 0)
        pool->template.worker->is_template = true;
    return rc;
}

static void pool_place_remove(struct worker_pool *pool, uint32_t place)
{
    struct worker *worker = pool->places[place];
    memmove(&pool->places[place], &pool->places[place + 1],
            (--pool->place_count - place) * sizeof pool->places[0]);
    pool_place_give_back(worker);
}

static void pool_place_give_back(struct worker *worker)
{
    struct worker_pool *pool = worker->pool;
    struct fleet *fleet = pool->fleet;
    timer_clear(&fleet->reactor->timers, &worker->timer);
    unfinished_end(&worker->unfinished);
    unfinished_free(&worker->unfinished, &pool->unfinished);
    for (uint32_t i = 0; i < 2; i++)
        timer_clear(&fleet->reactor->timers, &worker->outputs[i].timer);
    /* A completion for what was there is not for what comes there. */
    if (worker->generation > fleet->generation_max)
        fleet->generation_max = worker->generation;
    fleet->bell_count += worker->bell_count;
    fleet->workers[worker->index] = NULL;
    timers_unreserve(&fleet->reactor->timers, TIMERS_PER_PLACE);
    pool_worker_free(worker);
}
