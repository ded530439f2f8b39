/* SPDX-License-Identifier: MIT */
/* placement.c - what was said of devices, and what was found, become a device for each worker. */
#include "dispatcher/workers/placement.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/devices/care.h"
#include "dispatcher/devices/device_visible.h"
#include "dispatcher/text/size_text.h"
#include "dispatcher/workers/device_room.h"
#include "dispatcher/workers/fleet.h"

/* Where there is not what was said, it may come. */
#define MISSING_AGAIN_MS 60000u

/* The devices that are said and there, one after the other. Zero: none. */
struct candidates {
    const struct device_choice *choice;
    const struct devices_source *source; /* NULL: they are counted, not found */
    uint32_t at;
};

void placement_want(struct fleet *fleet, const struct pipeline_config *config)
{
    for (uint32_t i = 0; i < DEVICE_SOURCE_COUNT; i++)
        if (placement_is_of(&config->devices, (enum device_source)i))
            devices_want(fleet->devices, (enum device_source)i);
}

/* ---- candidates ---------------------------------------------------------------------------- */

/* The source of the devices; NULL with DEVICES_FOUND: they are counted. Of GPUs of any kind, one
 * kind: NVIDIA's where there is one. */
static enum device_knowledge placement_source(const struct fleet *fleet,
                                              const struct device_choice *choice,
                                              const struct devices_source **out)
{
    const struct devices_source *sources = fleet->devices->sources;
    const struct devices_source *cuda = &sources[DEVICE_SOURCE_CUDA];
    const struct devices_source *hip = &sources[DEVICE_SOURCE_HIP];
    *out = NULL;
    if (choice->kind == DEVICE_CHOICE_COUNT)
        return DEVICES_FOUND;
    *out = choice->is_of_any ? cuda : &sources[device_source_of(choice->of, choice->is_per_core)];
    if (!choice->is_of_any || cuda->count > 0)
        return (*out)->knowledge;
    if (cuda->knowledge == DEVICES_UNKNOWN || hip->knowledge == DEVICES_UNKNOWN)
        return DEVICES_UNKNOWN;
    if (hip->count > 0 || hip->knowledge == DEVICES_FAILED)
        *out = hip;
    return (*out)->knowledge;
}

static bool placement_pick_is(const struct device_pick *pick, const struct device *device)
{
    if (!pick->uuid)
        return pick->index == device->index;
    return strlen(device->uuid) == pick->uuid_bytes &&
           memcmp(device->uuid, pick->uuid, pick->uuid_bytes) == 0;
}

static const struct device *placement_pick_find(const struct devices_source *source,
                                                const struct device_pick *pick)
{
    for (uint32_t i = 0; i < source->count; i++)
        if (placement_pick_is(pick, &source->found[i]))
            return &source->found[i];
    return NULL;
}

/* The next one; false: that was all. */
static bool candidates_next(struct candidates *candidates, struct device *out)
{
    const struct device_choice *choice = candidates->choice;
    const struct devices_source *source = candidates->source;
    if (choice->kind == DEVICE_CHOICE_COUNT && candidates->at < choice->count) {
        *out = (struct device){.kind = choice->of, .index = candidates->at++, .numa_node = -1};
        return true;
    }
    while (choice->kind == DEVICE_CHOICE_PICKS && candidates->at < choice->pick_count) {
        const struct device *found = placement_pick_find(source, &choice->picks[candidates->at++]);
        if (found) {
            *out = *found;
            return true;
        }
    }
    while (choice->kind == DEVICE_CHOICE_ALL && source && candidates->at < source->count) {
        *out = source->found[candidates->at++];
        if (device_is_visible(out))
            return true;
    }
    return false;
}

static uint32_t candidates_count(struct candidates candidates)
{
    struct device unused;
    uint32_t count = 0;
    while (candidates_next(&candidates, &unused))
        count++;
    return count;
}

/* `auto` where there is no GPU: the workers run without. */
static bool placement_does_without(const struct device_choice *choice,
                                   enum device_knowledge knowledge)
{
    return choice->kind == DEVICE_CHOICE_ALL && choice->is_of_any &&
           (knowledge == DEVICES_ABSENT || knowledge == DEVICES_FOUND);
}

uint32_t placement_room(const struct fleet *fleet, const struct pipeline_config *config)
{
    struct candidates candidates = {.choice = &config->devices};
    if (!device_choice_binds(&config->devices))
        return 0;
    uint32_t said_count = device_choice_count(&config->devices);
    if (said_count > 0)
        return said_count * config->options.workers_per_device;
    placement_source(fleet, &config->devices, &candidates.source);
    uint32_t room = candidates_count(candidates) * config->options.workers_per_device;
    return room < WORKER_COUNT_MAX ? room : WORKER_COUNT_MAX;
}

/* ---- a choice ------------------------------------------------------------------------------ */

struct device_load {
    uint32_t of_pool, of_all;
};

/* Processes that have the device, or are about to; but for `self`. */
static struct device_load placement_load(const struct fleet *fleet, const struct worker *self,
                                         const struct device *device)
{
    struct device_load load = {0, 0};
    for (uint32_t i = 0; i < fleet->worker_count; i++) {
        const struct worker *worker = fleet->workers[i];
        if (!worker || worker == self || !worker->has_device || worker->state == WORKER_EMPTY ||
            worker->state == WORKER_SPARE || !device_is_same(&worker->device, device))
            continue;
        load.of_all++;
        load.of_pool += worker->pool == self->pool;
    }
    return load;
}

static bool placement_find(const struct fleet *fleet, const struct worker *worker,
                           struct candidates candidates, struct device *out)
{
    uint32_t room = worker->pool->config->options.workers_per_device;
    struct device_load least = {UINT32_MAX, UINT32_MAX};
    struct device device;
    while (candidates_next(&candidates, &device)) {
        struct device_load load = placement_load(fleet, worker, &device);
        if (load.of_pool >= room || care_may_start(fleet->devices, &device) == -EIO)
            continue;
        if (worker->has_device && device_is_same(&worker->device, &device)) {
            *out = device;
            return true;
        }
        if (load.of_pool > least.of_pool ||
            (load.of_pool == least.of_pool && load.of_all >= least.of_all))
            continue;
        least = load;
        *out = device;
    }
    return least.of_all != UINT32_MAX;
}

/* Likewise where memory is kept for it: the device on which there is room, or will be first. Its
 * own one before others that are as good, then one as above. */
static enum room_state placement_find_room(const struct fleet *fleet, const struct worker *worker,
                                           struct candidates candidates, struct device *out)
{
    struct room_plan best = {.state = ROOM_STATE_COUNT};
    struct device device;
    while (candidates_next(&candidates, &device)) {
        struct device_load load = placement_load(fleet, worker, &device);
        if (load.of_pool >= worker->pool->config->options.workers_per_device ||
            care_may_start(fleet->devices, &device) == -EIO)
            continue;
        struct room_plan plan = device_room_plan(fleet, worker, &device, NULL);
        if (plan.state == ROOM_THERE) {
            bool is_own = worker->has_device && device_is_same(&worker->device, &device);
            plan.rank = is_own ? 0 : (uint64_t)load.of_pool << 32 | (load.of_all + 1);
        }
        if (!room_plan_is_better(&plan, &best))
            continue;
        best = plan;
        *out = device;
    }
    return best.state;
}

/* One of them that is lost; NULL: none is. */
static const struct device_care *placement_lost(const struct fleet *fleet,
                                                struct candidates candidates)
{
    struct device device;
    while (candidates_next(&candidates, &device))
        if (care_may_start(fleet->devices, &device) == -EIO)
            return care_find(fleet->devices, &device);
    return NULL;
}

/* The device with the most memory. */
static struct device placement_largest(struct candidates candidates)
{
    struct device largest = {.memory_bytes = 0}, device;
    bool is_first = true;
    while (candidates_next(&candidates, &device)) {
        if (is_first || device.memory_bytes > largest.memory_bytes)
            largest = device;
        is_first = false;
    }
    return largest;
}

/* There is a device that is not lost and that has not its workers already: it lacks memory. */
static void placement_memory_lack(const struct worker *worker, struct candidates candidates,
                                  char reason[PLACEMENT_REASON_BYTES])
{
    const struct device device = placement_largest(candidates);
    const char *kind = device_kind_name((enum device_kind)device.kind);
    char need[SIZE_TEXT_BYTES], size[SIZE_TEXT_BYTES];
    size_text(need, device_room_need(worker->pool, &device));
    size_text(size, device.memory_bytes);
    if (device.memory_bytes == 0)
        snprintf(reason, PLACEMENT_REASON_BYTES,
                 "no device for the worker: how much memory %s device %u has is not known", kind,
                 device.index);
    else if (device_room_need(worker->pool, &device) > device.memory_bytes)
        snprintf(reason, PLACEMENT_REASON_BYTES,
                 "no device for the worker: it needs %s, and %s device %u, the largest, has %s",
                 need, kind, device.index, size);
    else
        snprintf(reason, PLACEMENT_REASON_BYTES,
                 "no device for the worker: it needs %s, and workers that always stay leave it too "
                 "little of %s device %u, which has %s",
                 need, kind, device.index, size);
}

static int placement_lack(const struct fleet *fleet, const struct worker *worker,
                          enum device_knowledge knowledge, const struct candidates *candidates,
                          bool is_for_memory, char reason[PLACEMENT_REASON_BYTES])
{
    const struct pipeline_config *config = worker->pool->config;
    const struct devices_source *source = candidates->source;
    const struct device_care *lost = placement_lost(fleet, *candidates);
    uint32_t count = candidates_count(*candidates);
    const char *name =
        source ? device_source_name((enum device_source)(source - fleet->devices->sources)) : "";
    if (source && knowledge != DEVICES_FOUND)
        snprintf(reason, PLACEMENT_REASON_BYTES, "no device for the worker: %s: %s", name,
                 source->reason);
    else if (source && count < device_choice_count(&config->devices))
        snprintf(reason, PLACEMENT_REASON_BYTES,
                 "no device for the worker: %u of %u that are said are there, of %u %s devices",
                 count, device_choice_count(&config->devices), source->count, name);
    else if (count == 0)
        snprintf(reason, PLACEMENT_REASON_BYTES, "no device for the worker: there is no %s device",
                 name);
    else if (is_for_memory)
        placement_memory_lack(worker, *candidates, reason);
    else if (lost)
        snprintf(reason, PLACEMENT_REASON_BYTES,
                 "no device for the worker: %s device %u is lost: %s",
                 device_kind_name((enum device_kind)lost->device.kind), lost->device.index,
                 lost->reason);
    else
        snprintf(reason, PLACEMENT_REASON_BYTES,
                 "no device for the worker: each of %u has %u workers", count,
                 config->options.workers_per_device);
    return -ENODEV;
}

/* There is none for it: it runs without, or lacks one. */
static int placement_miss(struct fleet *fleet, struct worker *worker,
                          enum device_knowledge knowledge, const struct candidates *candidates,
                          bool is_for_memory, char reason[PLACEMENT_REASON_BYTES])
{
    device_room_forget(worker);
    if (candidates_count(*candidates) == 0 &&
        placement_does_without(&worker->pool->config->devices, knowledge)) {
        worker->has_device = false;
        return 0;
    }
    if (candidates->source && knowledge != DEVICES_FAILED)
        devices_look_later(fleet->devices,
                           (enum device_source)(candidates->source - fleet->devices->sources),
                           MISSING_AGAIN_MS);
    return placement_lack(fleet, worker, knowledge, candidates, is_for_memory, reason);
}

/* It has a device; there may be no room there yet. */
static int placement_await_room(struct fleet *fleet, struct worker *worker, enum room_state state)
{
    bool is_news = state != ROOM_THERE && !worker->has_no_room;
    worker->has_no_room = state != ROOM_THERE;
    worker->is_room_taken = state == ROOM_TAKEN;
    if (is_news)
        device_room_log_wait(fleet, worker);
    if (state != ROOM_THERE || !device_room_is_fresh(fleet, &worker->device))
        return -EAGAIN;
    return care_may_start(fleet->devices, &worker->device);
}

static int placement_choose_room(struct fleet *fleet, struct worker *worker,
                                 enum device_knowledge knowledge,
                                 const struct candidates *candidates,
                                 char reason[PLACEMENT_REASON_BYTES])
{
    struct device device;
    device_room_wait(fleet, worker);
    if (device_room_waiting(worker->pool) != worker)
        return -EAGAIN; /* one of each pipeline at a time */
    enum room_state state = placement_find_room(fleet, worker, *candidates, &device);
    if (state >= ROOM_NEVER)
        return placement_miss(fleet, worker, knowledge, candidates, state == ROOM_NEVER, reason);
    worker->has_device = true;
    worker->device = device;
    care_watch(fleet->devices, &device);
    return placement_await_room(fleet, worker, state);
}

/* Who takes over has the device of its predecessor, beside it. One that is lost may come back; else
 * its predecessor goes, and it is like any other. */
static int placement_follow(const struct fleet *fleet, struct worker *worker)
{
    const struct worker *predecessor = worker->predecessor;
    worker->has_device = predecessor->has_device;
    worker->device = predecessor->device;
    if (!worker->has_device)
        return 0;
    if (care_may_start(fleet->devices, &worker->device) < 0)
        return -EAGAIN;
    if (device_room_has_beside(fleet, worker))
        return 0;
    return predecessor->state == WORKER_OUTGOING ? -ENOSPC : -EAGAIN;
}

int placement_choose(struct fleet *fleet, struct worker *worker,
                     char reason[PLACEMENT_REASON_BYTES])
{
    const struct device_choice *choice = &worker->pool->config->devices;
    struct candidates candidates = {.choice = choice};
    if (!device_choice_binds(choice) || worker->is_template) {
        worker->has_device = false;
        return 0;
    }
    if (worker->predecessor)
        return placement_follow(fleet, worker);
    enum device_knowledge knowledge = placement_source(fleet, choice, &candidates.source);
    if (knowledge == DEVICES_UNKNOWN)
        return -EAGAIN;
    if (device_room_counts(worker->pool))
        return placement_choose_room(fleet, worker, knowledge, &candidates, reason);
    struct device device;
    if (placement_find(fleet, worker, candidates, &device)) {
        worker->has_device = true;
        worker->device = device;
        if (candidates.source)
            care_watch(fleet->devices, &device);
        return care_may_start(fleet->devices, &device);
    }
    return placement_miss(fleet, worker, knowledge, &candidates, false, reason);
}

bool placement_is_lost(const struct fleet *fleet, const struct worker *worker)
{
    return worker->has_device && care_may_start(fleet->devices, &worker->device) == -EIO;
}

void placement_note_end(struct fleet *fleet, const struct worker *worker)
{
    if (worker->has_device && !fleet->is_stopping)
        care_note_end(fleet->devices, &worker->device,
                      placement_load(fleet, worker, &worker->device).of_all > 0);
}

void placement_note_failure(struct fleet *fleet, const struct worker *worker,
                            enum device_policy policy)
{
    static const char reason[] = "a run failed on it";
    const struct device device = worker->device; /* whose worker may be ended by this */
    bool is_ended_by_it = worker->end == WORKER_END_DEVICE_LOST &&
                          (worker->state == WORKER_DYING || worker->state == WORKER_EMPTY ||
                           worker->state == WORKER_SPARE);
    if (!worker->has_device || is_ended_by_it)
        return;
    if (policy == DEVICE_POLICY_PROBE)
        care_event(fleet->devices, &device, DEVICE_EV_PROCESS_FAULT, reason);
    else if (policy == DEVICE_POLICY_QUARANTINE)
        care_event(fleet->devices, &device, DEVICE_EV_DEVICE_FAULT, reason);
}

bool placement_is_of(const struct device_choice *choice, enum device_source source)
{
    if (choice->kind != DEVICE_CHOICE_ALL && choice->kind != DEVICE_CHOICE_PICKS)
        return false;
    if (choice->is_of_any)
        return source == DEVICE_SOURCE_CUDA || source == DEVICE_SOURCE_HIP;
    return device_source_of(choice->of, choice->is_per_core) == source;
}
