/* SPDX-License-Identifier: MIT */
/* devices.c - scanners are started, heard and replaced, and what they found is kept. */
#include "dispatcher/devices/devices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/devices/care.h"
#include "dispatcher/devices/scanner.h"
#include "dispatcher/devices/watch.h"

#define GONE_LOOK_COUNT 100u /* and then: */
#define GONE_LOOK_MS_MAX 1000u
#define AGAIN_MS_MIN 1000u
#define AGAIN_SHIFT_MAX 16u

static const char *const words[DEVICE_SOURCE_COUNT] = {
    [DEVICE_SOURCE_CUDA] = "cuda",           [DEVICE_SOURCE_HIP] = "hip",
    [DEVICE_SOURCE_VULKAN] = "vulkan",       [DEVICE_SOURCE_NUMA] = "cpu",
    [DEVICE_SOURCE_CORES] = SCAN_CORES_WORD,
};

static void devices_begin(struct devices *devices, struct devices_source *source);

int devices_init(struct devices *devices, struct reactor *reactor, const struct devices_ops *ops,
                 void *owner)
{
    *devices = (struct devices){
        .reactor = reactor, .ops = ops, .owner = owner, .timer = {.kind = TIMER_DEVICES}};
    for (uint32_t i = 0; i < DEVICE_SOURCE_COUNT; i++)
        scan_init(&devices->sources[i].scan);
    watch_init(&devices->watch);
    return timers_reserve(&reactor->timers, 1);
}

void devices_finish(struct devices *devices)
{
    watch_finish(&devices->watch);
    cares_finish(devices);
    for (uint32_t i = 0; i < DEVICE_SOURCE_COUNT; i++) {
        scan_finish(&devices->sources[i].scan);
        free(devices->sources[i].found);
        free(devices->sources[i].uses);
        devices->sources[i].found = NULL;
        devices->sources[i].uses = NULL;
    }
}

const char *device_source_name(enum device_source source)
{
    mr_assert(source < DEVICE_SOURCE_COUNT);
    return words[source];
}

enum device_source device_source_of(enum device_kind kind, bool is_per_core)
{
    switch (kind) {
    case DEVICE_CUDA:
        return DEVICE_SOURCE_CUDA;
    case DEVICE_HIP:
        return DEVICE_SOURCE_HIP;
    case DEVICE_VULKAN:
        return DEVICE_SOURCE_VULKAN;
    case DEVICE_CPU:
        return is_per_core ? DEVICE_SOURCE_CORES : DEVICE_SOURCE_NUMA;
    case DEVICE_LEVEL_ZERO:
    case DEVICE_OPENCL:
    case DEVICE_KIND_COUNT:
        break;
    }
    mr_unreachable("a kind of device that is not found");
}

/* A scanner is started where the loop's turn allows it: by the timer. */
void devices_want(struct devices *devices, enum device_source source)
{
    struct devices_source *wanted = &devices->sources[source];
    if (wanted->is_wanted)
        return;
    wanted->is_wanted = true;
    wanted->again_ms = devices->reactor->now_ms + 1;
    devices_wake(devices, wanted->again_ms);
}

void devices_look_later(struct devices *devices, enum device_source source, uint64_t pause_ms)
{
    struct devices_source *wanted = &devices->sources[source];
    uint64_t due_ms = devices->reactor->now_ms + pause_ms;
    if (wanted->scan.state == SCAN_UNDER_WAY ||
        (wanted->again_ms != 0 && wanted->again_ms <= due_ms))
        return;
    wanted->again_ms = due_ms;
    devices_wake(devices, due_ms);
}

void devices_look_again(struct devices *devices)
{
    for (uint32_t i = 0; i < DEVICE_SOURCE_COUNT; i++) {
        struct devices_source *source = &devices->sources[i];
        if (!source->is_wanted || source->scan.state == SCAN_UNDER_WAY)
            continue;
        source->again_ms = devices->reactor->now_ms + 1;
        devices_wake(devices, source->again_ms);
    }
}

/* ---- what is known ------------------------------------------------------------------------- */

static struct uring_ref devices_ref(const struct devices *devices,
                                    const struct devices_source *source)
{
    return (struct uring_ref){URING_SCANNER, (uint32_t)(source - devices->sources),
                              source->scan.scanner.generation};
}

/* Where that is what was known before, and worked, it stays as it is. */
static void devices_fail(struct devices *devices, struct devices_source *source, const char *reason)
{
    uint64_t pause_ms = devices_pause_ms(AGAIN_MS_MIN, source->failure_streak);
    bool is_said = source->failure_streak == 0 || strcmp(source->reason, reason) != 0;
    source->failure_streak++;
    source->failure_count++;
    source->again_ms = devices->reactor->now_ms + pause_ms;
    devices_wake(devices, source->again_ms);
    snprintf(source->reason, sizeof source->reason, "%s", reason);
    log_event(&devices->reactor->log, is_said ? LEVEL_ERROR : LEVEL_DEBUG, "devices_failed",
              LOG_WORD("kind", words[source - devices->sources]), LOG_NATURAL("again_ms", pause_ms),
              LOG_TEXT("reason", source->reason));
    if (source->knowledge == DEVICES_UNKNOWN || source->knowledge == DEVICES_ABSENT)
        source->knowledge = DEVICES_FAILED;
}

static void devices_keep(struct devices *devices, struct devices_source *source)
{
    const struct scan *scan = &source->scan;
    struct device *found = calloc(scan->count > 0 ? scan->count : 1, sizeof *found);
    struct device_use *uses = calloc(scan->use_count > 0 ? scan->use_count : 1, sizeof *uses);
    if (!found || !uses) {
        free(found);
        free(uses);
        devices_fail(devices, source, "not enough memory");
        return;
    }
    if (scan->count > 0)
        memcpy(found, scan->devices, scan->count * sizeof *found);
    if (scan->use_count > 0)
        memcpy(uses, scan->uses, scan->use_count * sizeof *uses);
    bool is_news = source->knowledge == DEVICES_UNKNOWN || source->count != scan->count ||
                   strcmp(source->reason, scan->reason) != 0;
    free(source->found);
    free(source->uses);
    source->uses = uses;
    source->use_count = scan->use_count;
    source->found = found;
    source->count = scan->count;
    source->knowledge = scan->state == SCAN_ALL_FOUND ? DEVICES_FOUND : DEVICES_ABSENT;
    source->failure_streak = 0;
    source->again_ms = 0;
    source->found_ms = source->began_ms;
    source->kept_ms = devices->reactor->now_ms;
    snprintf(source->reason, sizeof source->reason, "%s", scan->reason);
    log_event(&devices->reactor->log, is_news ? LEVEL_INFO : LEVEL_DEBUG, "devices_found",
              LOG_WORD("kind", words[source - devices->sources]),
              LOG_NATURAL("count", source->count),
              *source->reason != '\0' ? LOG_TEXT("reason", source->reason) : LOG_NOTHING);
}

static void devices_take(struct devices *devices, struct devices_source *source)
{
    if (source->scan.state == SCAN_UNKNOWN)
        devices_fail(devices, source, source->scan.reason);
    else
        devices_keep(devices, source);
    devices_wake(devices, devices->reactor->now_ms + DEVICES_GONE_LOOK_MS);
    care_review(devices, (enum device_source)(source - devices->sources));
    devices->ops->changed(devices->owner, (enum device_source)(source - devices->sources));
}

/* ---- scanners ------------------------------------------------------------------------------ */

uint64_t devices_pause_ms(uint64_t ms_min, uint32_t failure_count)
{
    uint64_t ms = ms_min << (failure_count < AGAIN_SHIFT_MAX ? failure_count : AGAIN_SHIFT_MAX);
    return ms < DEVICES_PAUSE_MS_MAX ? ms : DEVICES_PAUSE_MS_MAX;
}

void devices_wake(struct devices *devices, uint64_t due_ms)
{
    struct timer *timer = &devices->timer;
    if (timer->position == 0 || timer->due_ms > due_ms)
        timer_set(&devices->reactor->timers, timer, due_ms);
}

static void devices_begin(struct devices *devices, struct devices_source *source)
{
    const char *word = words[source - devices->sources];
    char reason[SCAN_REASON_BYTES];
    int rc = scan_begin(&source->scan, word, devices->reactor->now_ms, SCAN_TIMEOUT_MS);
    if (rc < 0) {
        snprintf(reason, sizeof reason, "the process that asks the driver cannot be started: %s",
                 strerror(-rc));
        devices_fail(devices, source, reason);
        devices->ops->changed(devices->owner, (enum device_source)(source - devices->sources));
        return;
    }
    source->again_ms = 0;
    source->began_ms = devices->reactor->now_ms;
    uring_poll(devices->reactor->uring, source->scan.scanner.socket, devices_ref(devices, source));
    devices_wake(devices, source->scan.due_ms);
}

bool devices_scan_has_ended(struct devices *devices, struct scan *scan,
                            const struct uring_event *event)
{
    if (scan->state != SCAN_UNDER_WAY || event->result < 0 ||
        event->ref.generation != scan->scanner.generation)
        return false;
    int socket = scan->scanner.socket;
    if (!scan_hear(scan)) {
        if (!event->more)
            uring_poll(devices->reactor->uring, socket, event->ref);
        return false;
    }
    if (event->more)
        uring_cancel(devices->reactor->uring, event->ref);
    return true;
}

void devices_on_scanner(struct devices *devices, const struct uring_event *event)
{
    if (event->ref.index == WATCH_REF_INDEX) {
        watch_on_event(devices, event);
        return;
    }
    if (event->ref.index >= DEVICE_SOURCE_COUNT) {
        care_on_probe(devices, event->ref.index - DEVICE_SOURCE_COUNT, event);
        return;
    }
    struct devices_source *source = &devices->sources[event->ref.index];
    if (devices_scan_has_ended(devices, &source->scan, event))
        devices_take(devices, source);
}

/* One that hangs in its driver may not even die: nothing is begun while it is there. */
static void devices_source_look(struct devices *devices, struct devices_source *source)
{
    struct scan *scan = &source->scan;
    uint64_t now_ms = devices->reactor->now_ms;
    if (scan->state == SCAN_UNDER_WAY) {
        struct uring_ref ref = devices_ref(devices, source);
        if (!scan_expire(scan, now_ms)) {
            devices_wake(devices, scan->due_ms);
            return;
        }
        uring_cancel(devices->reactor->uring, ref);
        devices_take(devices, source);
    }
    bool is_gone = scan_is_gone(scan);
    source->look_count = is_gone ? 0 : source->look_count + 1;
    if (!is_gone)
        devices_wake(devices, now_ms + (source->look_count < GONE_LOOK_COUNT ? DEVICES_GONE_LOOK_MS
                                                                             : GONE_LOOK_MS_MAX));
    if (source->again_ms == 0)
        return;
    if (is_gone && now_ms >= source->again_ms)
        devices_begin(devices, source);
    else if (is_gone)
        devices_wake(devices, source->again_ms);
}

void devices_on_timer(struct devices *devices)
{
    for (uint32_t i = 0; i < DEVICE_SOURCE_COUNT; i++)
        devices_source_look(devices, &devices->sources[i]);
    care_on_timer(devices);
    watch_on_timer(devices);
}
