/* SPDX-License-Identifier: MIT */
/* device_room.c - what is reserved, who waits, and what workers were seen to use. */
#include "dispatcher/workers/device_room.h"

#include "dispatcher/devices/care.h"

/* Before the free memory is looked at again that is too little, and that of a worker that was
 * measured before: a look is a process. */
#define LOOK_AGAIN_MS 1000u
#define LEARN_AGAIN_MS 10000u
/* More than what was seen may be needed, and never less than what a context of CUDA takes. */
#define LEARNED_MORE_SHARE 8u
#define LEARNED_BYTES_MIN (UINT64_C(256) << 20)

bool device_room_counts(const struct worker_pool *pool)
{
    return pipeline_options_reserve(&pool->config->options);
}

uint64_t device_room_need(const struct worker_pool *pool, const struct device *device)
{
    const struct pipeline_options *options = &pool->config->options;
    uint64_t learned_bytes = pool->room.learned_bytes;
    if (!options->device_memory_learned)
        return options->device_memory_bytes;
    learned_bytes += learned_bytes / LEARNED_MORE_SHARE;
    if (learned_bytes == 0 || learned_bytes > device->memory_bytes)
        return device->memory_bytes;
    return learned_bytes;
}

/* So much has to be free, as the driver sees it. Of what was learned that is what was seen: with
 * the eighth more, a model that takes most of its device would never be loaded again, since a
 * driver keeps some of it. 0: it is not known. */
static uint64_t room_need_free(const struct worker_pool *pool, const struct device *device)
{
    uint64_t need = device_room_need(pool, device), seen = pool->room.learned_bytes;
    return pool->config->options.device_memory_learned && seen < need ? seen : need;
}

static bool room_has(const struct worker *worker, const struct device *device)
{
    return worker && worker->reserved_bytes > 0 && worker->has_device &&
           device_is_same(&worker->device, device);
}

uint64_t device_room_held(const struct worker_pool *pool, const struct device *device)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < pool->place_count; i++)
        if (room_has(pool->places[i], device))
            bytes += pool->places[i]->reserved_bytes;
    return bytes;
}

uint64_t device_room_reserved(const struct fleet *fleet, const struct device *device)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < fleet->pool_count; i++)
        bytes += device_room_held(fleet->pools[i], device);
    return bytes;
}

/* ---- who waits ----------------------------------------------------------------------------- */

struct worker *device_room_waiting(const struct worker_pool *pool)
{
    struct worker *first = NULL;
    for (uint32_t i = 0; i < pool->place_count; i++) {
        struct worker *worker = pool->places[i];
        if (worker->room_since_ms != 0 && !worker->is_surplus && !worker->predecessor &&
            (!first || worker->number < first->number))
            first = worker;
    }
    return first;
}

static bool room_is_leaving(const struct worker *worker)
{
    return worker->is_surplus || worker->state == WORKER_RETIRING ||
           worker->state == WORKER_STOPPING || worker->state == WORKER_DYING;
}

uint32_t device_room_count(const struct worker_pool *pool)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < pool->place_count; i++)
        count += pool->places[i]->reserved_bytes > 0 && !room_is_leaving(pool->places[i]);
    return count;
}

/* More workers of a pipeline that has one are worth waiting for, but not that another one goes. */
bool device_room_is_in_line(const struct worker *worker)
{
    const struct worker_pool *pool = worker->pool;
    uint32_t first_count = pool->room.least_count > 0 ? pool->room.least_count : 1;
    return pool->room.is_needed && device_room_count(pool) < first_count &&
           device_room_waiting(pool) == worker;
}

bool device_room_is_before(const struct worker *worker, const struct worker *other)
{
    bool is_in_line = device_room_is_in_line(worker);
    if (is_in_line != device_room_is_in_line(other))
        return is_in_line;
    if (worker->room_since_ms != other->room_since_ms)
        return worker->room_since_ms < other->room_since_ms;
    return worker->index < other->index;
}

void device_room_wait(struct fleet *fleet, struct worker *worker)
{
    if (worker->room_since_ms == 0) {
        worker->room_since_ms = fleet->reactor->now_ms;
        fleet->room_has_moved = true;
    }
    fleet->is_crowded = fleet->reactor->has_chores = true;
}

void device_room_log_wait(struct fleet *fleet, const struct worker *worker)
{
    const struct device *device = &worker->device;
    log_event(&fleet->reactor->log, LEVEL_INFO, "device_room_wait",
              LOG_WORD("pipeline", worker->pool->config->pointer),
              LOG_NATURAL("worker", worker->number),
              LOG_WORD("kind", device_kind_name((enum device_kind)device->kind)),
              LOG_NATURAL("index", device->index),
              LOG_NATURAL("bytes", device_room_need(worker->pool, device)),
              LOG_NATURAL("reserved", device_room_reserved(fleet, device)),
              LOG_NATURAL("device_bytes", device->memory_bytes));
}

void device_room_take(struct worker *worker)
{
    device_room_forget(worker);
    if (worker->has_device && device_room_counts(worker->pool))
        worker->reserved_bytes = device_room_need(worker->pool, &worker->device);
}

void device_room_forget(struct worker *worker)
{
    worker->room_since_ms = 0;
    worker->has_no_room = worker->is_room_taken = false;
}

struct worker *device_room_next(const struct fleet *fleet, const struct worker *last)
{
    struct worker *next = NULL;
    for (uint32_t i = 0; i < fleet->pool_count; i++) {
        struct worker *worker = device_room_waiting(fleet->pools[i]);
        if (!worker || worker == last || (last && device_room_is_before(worker, last)) ||
            (next && device_room_is_before(next, worker)))
            continue;
        next = worker;
    }
    return next;
}

/* ---- what there is ------------------------------------------------------------------------- */

/* The source that has looked at the free memory of a device; NULL: nobody does. */
static const struct devices_source *room_source(const struct fleet *fleet,
                                                const struct device *device)
{
    if (device->kind != DEVICE_CUDA && device->kind != DEVICE_HIP)
        return NULL;
    const struct devices_source *source =
        &fleet->devices->sources[device_source_of((enum device_kind)device->kind, false)];
    return source->failure_streak > 0 ? NULL : source; /* nobody can tell now */
}

/* AMD's driver does not always tell; then it is 0. */
static bool room_knows_free(const struct device *device)
{
    return device->kind == DEVICE_CUDA || device->memory_free_bytes > 0;
}

static void room_look_later(struct fleet *fleet, const struct devices_source *source, uint64_t ms)
{
    devices_look_later(fleet->devices, (enum device_source)(source - fleet->devices->sources), ms);
}

bool device_room_is_fresh(struct fleet *fleet, const struct device *device)
{
    const struct devices_source *source = room_source(fleet, device);
    if (!source || !room_knows_free(device) ||
        fleet->reactor->now_ms <= source->kept_ms + DEVICE_ROOM_FRESH_MS)
        return true;
    room_look_later(fleet, source, 1);
    return false;
}

bool device_room_is_seen(struct fleet *fleet, const struct device *device)
{
    const struct devices_source *source = room_source(fleet, device);
    if (!device_room_is_fresh(fleet, device))
        return false;
    for (uint32_t i = 0; source && room_knows_free(device) && i < fleet->worker_count; i++) {
        const struct worker *worker = fleet->workers[i];
        if (!room_has(worker, device) || worker->ready_ms == 0 ||
            worker->ready_ms < source->found_ms)
            continue;
        room_look_later(fleet, source, 1);
        return false;
    }
    return true;
}

static const struct device *room_found(const struct devices_source *source,
                                       const struct device *device)
{
    for (uint32_t i = 0; i < source->count; i++)
        if (device_is_same(&source->found[i], device))
            return &source->found[i];
    return NULL;
}

void device_room_look_again(struct fleet *fleet, const struct device *device)
{
    const struct devices_source *source = room_source(fleet, device);
    if (source)
        room_look_later(fleet, source, LOOK_AGAIN_MS);
}

uint64_t device_room_hold_end(const struct worker_pool *pool, const struct device *device)
{
    uint64_t hold_ms = pool->config->options.device_hold_ms, ready_ms = 0;
    if (pool->room.used_ms == 0 && !pool->room.is_busy && !pool->room.is_needed)
        return 0; /* it was loaded for nobody */
    if (hold_ms < pool->start_ms)
        hold_ms = pool->start_ms;
    for (uint32_t i = 0; i < pool->place_count; i++)
        if (room_has(pool->places[i], device) && pool->places[i]->ready_ms > ready_ms)
            ready_ms = pool->places[i]->ready_ms;
    return ready_ms + hold_ms;
}

/* What of a pipeline is on the device. */
static struct room_tenant room_tenant_of(const struct worker_pool *pool,
                                         const struct device *device, struct room_view *view,
                                         uint64_t found_ms)
{
    struct room_tenant tenant = {.is_busy = pool->room.is_busy};
    uint64_t ready_ms = 0;
    for (uint32_t i = 0; i < pool->place_count; i++) {
        const struct worker *worker = pool->places[i];
        if (!room_has(worker, device))
            continue;
        view->reserved_bytes += worker->reserved_bytes;
        if (worker->ready_ms == 0 || worker->ready_ms >= found_ms)
            view->untaken_bytes += worker->reserved_bytes;
        if (room_is_leaving(worker))
            view->leaving_bytes += worker->reserved_bytes;
        else if (worker->number < pool->room.least_count)
            view->lasting_bytes += worker->reserved_bytes;
        else if (pool->room.may_go && worker_serves(worker))
            tenant.bytes += worker->reserved_bytes;
        if (worker->ready_ms > ready_ms)
            ready_ms = worker->ready_ms;
    }
    tenant.used_ms =
        tenant.is_busy || pool->room.used_ms < ready_ms ? ready_ms : pool->room.used_ms;
    tenant.hold_end_ms = device_room_hold_end(pool, device);
    return tenant;
}

/* A worker that never goes for others, and whose process is about to follow the last one. */
static bool room_is_absent(const struct worker *worker, const struct device *device)
{
    return worker->number < worker->pool->room.least_count && worker->state == WORKER_EMPTY &&
           worker->timer.position != 0 && !worker->is_surplus && worker->has_device &&
           device_is_same(&worker->device, device);
}

/* What is kept of a pipeline's part while its workers are started again. */
static uint64_t room_absent(const struct worker_pool *pool, const struct device *device)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < pool->place_count && device_room_counts(pool); i++)
        count += room_is_absent(pool->places[i], device);
    return count > 0 ? count * device_room_need(pool, device) : 0;
}

/* What is promised to those who wait there before the worker. Who waits for what others than those
 * of here use may do so for ever, and keeps nobody from the rest. */
static uint64_t room_ahead(const struct fleet *fleet, const struct worker *worker,
                           const struct device *device)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < fleet->pool_count; i++) {
        const struct worker *other = device_room_waiting(fleet->pools[i]);
        if (fleet->pools[i] != worker->pool)
            bytes += room_absent(fleet->pools[i], device);
        if (other && other != worker && other->has_device && !other->is_room_taken &&
            device_room_is_in_line(other) && device_is_same(&other->device, device) &&
            device_room_is_before(other, worker))
            bytes += device_room_need(other->pool, device);
    }
    return bytes;
}

struct room_plan device_room_plan(const struct fleet *fleet, const struct worker *worker,
                                  const struct device *device,
                                  struct worker_pool *pools[ROOM_TENANT_COUNT_MAX])
{
    const struct worker_pool *pool = worker->pool;
    const struct devices_source *source = room_source(fleet, device);
    const struct device *now = source ? room_found(source, device) : NULL;
    const struct device_care *care = care_find(fleet->devices, device);
    struct room_tenant tenants[ROOM_TENANT_COUNT_MAX];
    struct room_view view = {
        .total_bytes = device->memory_bytes,
        .ahead_bytes = room_ahead(fleet, worker, device),
        .free_bytes = now && room_knows_free(now) ? now->memory_free_bytes : ROOM_FREE_UNKNOWN,
        .is_settling = care && care->settle_from_ms != 0,
        .need_bytes = device_room_need(pool, device),
        .need_free_bytes = room_need_free(pool, device),
        .tenants = tenants,
    };
    for (uint32_t i = 0; i < fleet->pool_count; i++) {
        struct worker_pool *other = fleet->pools[i];
        struct room_tenant tenant =
            room_tenant_of(other, device, &view, source ? source->found_ms : 0);
        if (tenant.bytes == 0 || other == pool || view.count == ROOM_TENANT_COUNT_MAX)
            continue;
        if (pools)
            pools[view.count] = other;
        tenants[view.count++] = tenant;
    }
    return room_plan(&view, fleet->reactor->now_ms);
}

bool device_room_has_beside(const struct fleet *fleet, const struct worker *worker)
{
    if (!worker->has_device || !device_room_counts(worker->pool))
        return true;
    return device_room_plan(fleet, worker, &worker->device, NULL).state == ROOM_THERE;
}

/* ---- what is learned ----------------------------------------------------------------------- */

void device_room_note_run(struct fleet *fleet, const struct worker *worker)
{
    struct worker_pool *pool = worker->pool;
    pool->room.used_ms = fleet->reactor->now_ms;
    if (!pool->config->options.device_memory_learned || !worker->has_device ||
        !room_source(fleet, &worker->device))
        return;
    uint64_t pause_ms = pool->room.learned_bytes > 0 ? LEARN_AGAIN_MS : LOOK_AGAIN_MS;
    if (worker->run_count == 1)
        pause_ms = 1;
    devices_look_later(fleet->devices,
                       device_source_of((enum device_kind)worker->device.kind, false), pause_ms);
}

/* Whether what became used of the device since the worker was given it is its own, and nobody else
 * has a part of it. */
static bool room_is_alone(const struct fleet *fleet, const struct worker *worker)
{
    for (uint32_t i = 0; i < fleet->worker_count; i++) {
        const struct worker *other = fleet->workers[i];
        if (other && other != worker && other->has_device &&
            (worker_has_process(other) || other->reserved_bytes > 0) &&
            device_is_same(&other->device, &worker->device))
            return false;
    }
    return true;
}

/* What the driver says that the worker uses; else, while it is alone there, what became used since
 * it was given the device. False: neither is known. Where more is free than before, others have
 * left the device, and what of the rest is its own nobody can tell. */
static bool room_used(const struct fleet *fleet, const struct devices_source *found,
                      const struct worker *worker, const struct device *device, uint64_t *bytes)
{
    uint64_t before = worker->device.memory_free_bytes;
    for (uint32_t i = 0; i < found->use_count; i++) {
        *bytes = found->uses[i].bytes;
        if (found->uses[i].pid == (uint32_t)worker->pid && found->uses[i].index == device->index)
            return true;
    }
    if (!room_is_alone(fleet, worker) || before < device->memory_free_bytes)
        return false;
    *bytes = before - device->memory_free_bytes;
    return true;
}

static void room_learn(struct fleet *fleet, struct worker *worker, uint64_t bytes)
{
    struct worker_pool *pool = worker->pool;
    if (bytes < LEARNED_BYTES_MIN)
        bytes = LEARNED_BYTES_MIN;
    if (bytes > worker->device.memory_bytes)
        bytes = worker->device.memory_bytes;
    if (bytes > pool->room.learned_bytes) {
        pool->room.learned_bytes = bytes;
        log_event(&fleet->reactor->log, LEVEL_INFO, "device_memory_learned",
                  LOG_WORD("pipeline", pool->config->pointer), LOG_NATURAL("bytes", bytes),
                  LOG_NATURAL("reserved", device_room_need(pool, &worker->device)));
    }
    /* More than it was promised is kept for the next one: others may have the rest. */
    uint64_t need = device_room_need(pool, &worker->device);
    if (need < worker->reserved_bytes || room_is_alone(fleet, worker))
        worker->reserved_bytes = need;
    fleet->room_has_moved = true;
}

/* Of one that has served a run: before, most of what it needs may still be to come. */
void device_room_learn(struct fleet *fleet, enum device_source source)
{
    const struct devices_source *found = &fleet->devices->sources[source];
    if (found->knowledge != DEVICES_FOUND || found->failure_streak > 0)
        return;
    for (uint32_t i = 0; i < fleet->worker_count; i++) {
        struct worker *worker = fleet->workers[i];
        if (!worker || worker->reserved_bytes == 0 || worker->run_count == 0 ||
            !worker_serves(worker) || !worker->pool->config->options.device_memory_learned ||
            worker->device.memory_free_bytes == 0 || room_source(fleet, &worker->device) != found)
            continue;
        const struct device *device = room_found(found, &worker->device);
        bool is_news = device && found->found_ms > worker->ready_ms;
        uint64_t bytes;
        if (is_news && room_used(fleet, found, worker, device, &bytes))
            room_learn(fleet, worker, bytes);
    }
}
