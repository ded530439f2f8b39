/* SPDX-License-Identifier: MIT */
/* care.c - probes are begun and heard, memory is waited for, and what follows is done. */
#include "dispatcher/devices/care.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/devices/scanner.h"

#define PROBE_PAUSE_MS_MIN 100u
/* One that is lost again so soon is probed later each time: a probe is no load. */
#define LOST_SOON_MS 60000u
#define OUTDATED_COUNT_MAX 10u
/* Before it is looked again whether a probe is gone that cannot end. */
#define PROBE_GONE_MS 1000u
#define SETTLE_LOOK_MS 200u
#define SETTLE_STILL_COUNT 3u
/* Memory that a driver keeps for itself, or that another process has taken meanwhile. */
#define SETTLE_SLACK_SHARE 16u

static struct uring_ref care_ref(const struct devices *devices, const struct device_care *care)
{
    uint32_t number = 0;
    while (devices->cares[number] != care)
        number++;
    return (struct uring_ref){URING_SCANNER, DEVICE_SOURCE_COUNT + number,
                              care->probe.scanner.generation};
}

struct device_care *care_find(const struct devices *devices, const struct device *device)
{
    for (uint32_t i = 0; i < devices->care_count; i++)
        if (device_is_same(&devices->cares[i]->device, device))
            return devices->cares[i];
    return NULL;
}

/* Whether devices of the kind are among those of a source. */
static bool care_is_of(enum device_source source, enum device_kind kind)
{
    if (kind == DEVICE_CPU)
        return source == DEVICE_SOURCE_NUMA || source == DEVICE_SOURCE_CORES;
    return device_kind_is_found(kind) && device_source_of(kind, false) == source;
}

/* Whether it is where it should be; where nobody has looked, it may be. */
static bool care_is_found(const struct devices *devices, const struct device *device)
{
    bool is_known = false;
    for (uint32_t i = 0; i < DEVICE_SOURCE_COUNT; i++) {
        const struct devices_source *source = &devices->sources[i];
        if (!care_is_of((enum device_source)i, (enum device_kind)device->kind) ||
            (source->knowledge != DEVICES_FOUND && source->knowledge != DEVICES_ABSENT))
            continue;
        is_known = true;
        for (uint32_t k = 0; k < source->count; k++)
            if (device_is_same(&source->found[k], device))
                return true;
    }
    return !is_known;
}

/* Its place stays, and the number of its last probe: a word of that is not taken for one of the
 * next. */
static void care_reset(struct devices *devices, struct device_care *care,
                       const struct device *device)
{
    struct scan probe = care->probe;
    probe.state = SCAN_NEVER;
    *care = (struct device_care){
        .device = *device, .number = devices->made_care_count++, .probe = probe};
}

static bool care_may_be_forgotten(const struct devices *devices, struct device_care *care)
{
    return !care_is_found(devices, &care->device) &&
           !devices->ops->is_held(devices->owner, &care->device) &&
           care->probe.state != SCAN_UNDER_WAY && scan_is_gone(&care->probe);
}

/* NULL: there is none. */
static struct device_care *care_forget_oldest(struct devices *devices)
{
    struct device_care *oldest = NULL;
    for (uint32_t i = 0; i < devices->care_count; i++) {
        struct device_care *care = devices->cares[i];
        if ((!oldest || care->number < oldest->number) && care_may_be_forgotten(devices, care))
            oldest = care;
    }
    return oldest;
}

/* NULL: no memory, or too many; of such a device nothing is known. */
static struct device_care *care_make(struct devices *devices, const struct device *device)
{
    struct device_care *care = care_find(devices, device);
    if (care)
        return care;
    if (devices->care_count == DEVICE_COUNT_MAX) {
        care = care_forget_oldest(devices);
        if (care)
            care_reset(devices, care, device);
        return care;
    }
    struct device_care **cares =
        realloc(devices->cares, (devices->care_count + 1) * sizeof(struct device_care *));
    if (!cares)
        return NULL;
    devices->cares = cares;
    care = calloc(1, sizeof *care);
    if (!care)
        return NULL;
    scan_init(&care->probe);
    care_reset(devices, care, device);
    cares[devices->care_count++] = care;
    return care;
}

void cares_finish(struct devices *devices)
{
    for (uint32_t i = 0; i < devices->care_count; i++) {
        scan_finish(&devices->cares[i]->probe);
        free(devices->cares[i]);
    }
    free(devices->cares);
    devices->cares = NULL;
    devices->care_count = 0;
}

int care_may_start(const struct devices *devices, const struct device *device)
{
    const struct device_care *care = care_find(devices, device);
    if (!care)
        return 0;
    if (care->state == DEVICE_LOST)
        return -EIO;
    return care->state == DEVICE_SUSPECT || care->settle_from_ms != 0 ? -EAGAIN : 0;
}

/* ---- what happens to it -------------------------------------------------------------------- */

static void care_probe_at(struct devices *devices, struct device_care *care, uint64_t due_ms)
{
    care->probe_ms = due_ms;
    devices_wake(devices, due_ms);
}

/* What it is now. */
static void care_log(struct devices *devices, const struct device_care *care, enum log_level level)
{
    struct log *log = &devices->reactor->log;
    const struct log_field kind =
        LOG_WORD("kind", device_kind_name((enum device_kind)care->device.kind));
    const struct log_field index = LOG_NATURAL("index", care->device.index);
    const struct log_field uuid = LOG_WORD("uuid", care->device.uuid);
    const struct log_field reason = LOG_TEXT("reason", care->reason);
    if (care->state == DEVICE_OK)
        log_event(log, level, "device_ok", kind, index, uuid);
    else if (care->state == DEVICE_SUSPECT)
        log_event(log, level, "device_suspect", kind, index, uuid, reason);
    else
        log_event(log, level, "device_lost", kind, index, uuid, reason);
}

static void act_probe(struct devices *devices, struct device_care *care)
{
    care->is_outdated = care->probe.state == SCAN_UNDER_WAY;
    if (!care->is_outdated)
        care_probe_at(devices, care, devices->reactor->now_ms + 1);
}

static void act_take_out(struct devices *devices, struct device_care *care)
{
    uint64_t now_ms = devices->reactor->now_ms;
    bool is_soon = care->lost_ms != 0 && now_ms < care->lost_ms + LOST_SOON_MS;
    care_log(devices, care, LEVEL_ERROR);
    care->loss_count++;
    care->failure_streak = is_soon ? care->failure_streak + 1 : 0;
    care->lost_ms = now_ms;
    care->settle_from_ms = 0;
    care->is_outdated = care->probe.state == SCAN_UNDER_WAY;
    care_probe_at(devices, care,
                  devices->reactor->now_ms +
                      devices_pause_ms(PROBE_PAUSE_MS_MIN, care->failure_streak));
    devices->ops->lost(devices->owner, &care->device, care->reason);
}

static void act_wait(struct devices *devices, struct device_care *care)
{
    care->failure_streak++;
    care_log(devices, care, LEVEL_DEBUG);
    care_probe_at(devices, care,
                  devices->reactor->now_ms +
                      devices_pause_ms(PROBE_PAUSE_MS_MIN, care->failure_streak));
}

static void act_release(struct devices *devices, struct device_care *care)
{
    care->reason[0] = '\0';
    care->probe_ms = 0;
    care_log(devices, care, LEVEL_INFO);
    devices->ops->released(devices->owner, &care->device);
}

static void care_step(struct devices *devices, struct device_care *care, enum device_event event,
                      const char *reason)
{
    struct device_step step = device_fsm_step(care->state, event);
    /* Why it is lost is what made it so. */
    if (step.action != DEVICE_ACT_NONE)
        snprintf(care->reason, sizeof care->reason, "%s", reason);
    bool is_news = care->state != step.next;
    care->state = step.next;
    if (is_news && care->state == DEVICE_SUSPECT)
        care_log(devices, care, LEVEL_WARNING);
    switch (step.action) {
    case DEVICE_ACT_PROBE:
        act_probe(devices, care);
        break;
    case DEVICE_ACT_TAKE_OUT:
        act_take_out(devices, care);
        break;
    case DEVICE_ACT_WAIT:
        act_wait(devices, care);
        break;
    case DEVICE_ACT_RELEASE:
        act_release(devices, care);
        break;
    case DEVICE_ACT_NONE:
        break;
    case DEVICE_ACT_INVALID:
    case DEVICE_ACT_COUNT:
        mr_unreachable("device_fsm_step() gave an action that is none");
    }
}

/* Cores do not vanish. */
void care_watch(struct devices *devices, const struct device *device)
{
    if (device->kind != DEVICE_CPU && !care_make(devices, device))
        log_event(&devices->reactor->log, LEVEL_DEBUG, "devices_failed",
                  LOG_TEXT("reason", "too many devices to keep the health of all"));
}

void care_event(struct devices *devices, const struct device *device, enum device_event event,
                const char *reason)
{
    struct device_care *care = care_make(devices, device);
    if (care)
        care_step(devices, care, event, reason);
}

/* ---- probes -------------------------------------------------------------------------------- */

static void care_probe_end(struct devices *devices, struct device_care *care)
{
    const struct scan *probe = &care->probe;
    char reason[SCAN_REASON_BYTES];
    snprintf(reason, sizeof reason, "%s", probe->reason);
    bool is_news = probe->state != SCAN_ALL_FOUND || !care->is_outdated;
    care->is_outdated = false;
    care->outdated_count = is_news ? 0 : care->outdated_count + 1;
    if (!is_news && care->outdated_count <= OUTDATED_COUNT_MAX) {
        care_probe_at(devices, care, devices->reactor->now_ms + 1);
        return;
    }
    if (!is_news) {
        care_step(devices, care, DEVICE_EV_NOT_PASSED, "it fails faster than it can be tried");
        return;
    }
    if (probe->state == SCAN_ALL_FOUND && care_is_found(devices, &care->device))
        care_step(devices, care, DEVICE_EV_PASSED, "");
    else
        care_step(devices, care, DEVICE_EV_NOT_PASSED,
                  probe->state == SCAN_ALL_FOUND ? "it is not among those that are found" : reason);
}

static void care_probe_begin(struct devices *devices, struct device_care *care)
{
    uint64_t now_ms = devices->reactor->now_ms;
    char reason[SCAN_REASON_BYTES];
    int rc = scan_begin_probe(&care->probe, &care->device, now_ms, SCAN_TIMEOUT_MS);
    care->probe_ms = 0;
    /* Where it is lost, it may be among those that are found again. */
    if (care->state == DEVICE_LOST && device_kind_is_found((enum device_kind)care->device.kind))
        devices_look_again(devices);
    if (rc < 0) {
        snprintf(reason, sizeof reason, "the process that tries it cannot be started: %s",
                 strerror(-rc));
        care_step(devices, care, DEVICE_EV_NOT_PASSED, reason);
    } else if (care->probe.state != SCAN_UNDER_WAY) {
        care_probe_end(devices, care);
    } else {
        uring_poll(devices->reactor->uring, care->probe.scanner.socket, care_ref(devices, care));
        devices_wake(devices, care->probe.due_ms);
    }
}

void care_on_probe(struct devices *devices, uint32_t number, const struct uring_event *event)
{
    mr_assert(number < devices->care_count);
    struct device_care *care = devices->cares[number];
    if (!devices_scan_has_ended(devices, &care->probe, event))
        return;
    care_probe_end(devices, care);
    devices_wake(devices, devices->reactor->now_ms + 1);
}

/* ---- memory -------------------------------------------------------------------------------- */

static const struct device *care_found(const struct devices *devices, const struct device *device)
{
    const struct devices_source *source =
        &devices->sources[device_source_of((enum device_kind)device->kind, false)];
    for (uint32_t i = 0; i < source->count; i++)
        if (device_is_same(&source->found[i], device))
            return &source->found[i];
    return NULL;
}

void care_note_end(struct devices *devices, const struct device *device, bool is_shared)
{
    bool has_memory = (device->kind == DEVICE_CUDA || device->kind == DEVICE_HIP) &&
                      device->memory_free_bytes > 0;
    struct device_care *care = has_memory ? care_make(devices, device) : NULL;
    if (!care || care->state == DEVICE_LOST)
        return;
    care->settle_from_ms = devices->reactor->now_ms;
    care->settle_is_shared = is_shared;
    care->settle_last_bytes = 0;
    care->settle_still_count = 0;
    care->settle_free_bytes =
        device->memory_free_bytes - device->memory_free_bytes / SETTLE_SLACK_SHARE;
    devices_look_later(devices, device_source_of((enum device_kind)device->kind, false), 1);
    devices_wake(devices, care->settle_from_ms + CARE_SETTLE_MS_MAX);
}

static void care_settled(struct devices *devices, struct device_care *care, uint64_t free_bytes,
                         bool is_free)
{
    struct log *log = &devices->reactor->log;
    const struct log_field kind =
        LOG_WORD("kind", device_kind_name((enum device_kind)care->device.kind));
    const struct log_field index = LOG_NATURAL("index", care->device.index);
    const struct log_field uuid = LOG_WORD("uuid", care->device.uuid);
    const struct log_field now = LOG_NATURAL("free_bytes", free_bytes);
    const struct log_field wanted = LOG_NATURAL("wanted_bytes", care->settle_free_bytes);
    const struct log_field ms = LOG_NATURAL("ms", devices->reactor->now_ms - care->settle_from_ms);
    care->settle_from_ms = 0;
    if (is_free)
        log_event(log, LEVEL_DEBUG, "device_memory_free", kind, index, uuid, now, wanted, ms);
    else
        log_event(log, LEVEL_WARNING, "device_memory_held", kind, index, uuid, now, wanted, ms);
    devices->ops->released(devices->owner, &care->device);
}

static void care_settle_look(struct devices *devices, struct device_care *care)
{
    const struct device *found = care_found(devices, &care->device);
    uint64_t free_bytes = found ? found->memory_free_bytes : 0;
    uint64_t end_ms = care->settle_from_ms + CARE_SETTLE_MS_MAX;
    bool is_more = free_bytes > care->settle_last_bytes;
    care->settle_still_count = is_more ? 0 : care->settle_still_count + 1;
    care->settle_last_bytes = free_bytes;
    bool is_free = free_bytes >= care->settle_free_bytes ||
                   (care->settle_is_shared && care->settle_still_count >= SETTLE_STILL_COUNT);
    if (is_free || devices->reactor->now_ms >= end_ms)
        care_settled(devices, care, free_bytes, is_free);
    else
        devices_look_later(devices, device_source_of((enum device_kind)care->device.kind, false),
                           SETTLE_LOOK_MS);
}

/* What was looked up before the process ended says nothing of what it gave back. */
void care_review(struct devices *devices, enum device_source source)
{
    for (uint32_t i = 0; i < devices->care_count; i++) {
        struct device_care *care = devices->cares[i];
        if (!care_is_of(source, (enum device_kind)care->device.kind))
            continue;
        if (care->state != DEVICE_LOST && !care_is_found(devices, &care->device))
            care_step(devices, care, DEVICE_EV_VANISHED, "it is not among those that are found");
        if (care->settle_from_ms != 0)
            care_settle_look(devices, care);
    }
}

/* ---- time ---------------------------------------------------------------------------------- */

static void care_look(struct devices *devices, struct device_care *care)
{
    uint64_t now_ms = devices->reactor->now_ms;
    if (care->settle_from_ms != 0 && now_ms >= care->settle_from_ms + CARE_SETTLE_MS_MAX)
        care_settle_look(devices, care);
    else if (care->settle_from_ms != 0)
        devices_wake(devices, care->settle_from_ms + CARE_SETTLE_MS_MAX);
    if (care->probe.state == SCAN_UNDER_WAY) {
        struct uring_ref ref = care_ref(devices, care);
        if (!scan_expire(&care->probe, now_ms)) {
            devices_wake(devices, care->probe.due_ms);
            return;
        }
        uring_cancel(devices->reactor->uring, ref);
        care_probe_end(devices, care);
    }
    if (care->probe_ms == 0)
        return;
    if (now_ms < care->probe_ms)
        devices_wake(devices, care->probe_ms);
    else if (scan_is_gone(&care->probe))
        care_probe_begin(devices, care);
    else
        care_probe_at(devices, care,
                      now_ms + (care->state == DEVICE_LOST ? PROBE_GONE_MS : DEVICES_GONE_LOOK_MS));
}

void care_on_timer(struct devices *devices)
{
    for (uint32_t i = 0; i < devices->care_count; i++)
        care_look(devices, devices->cares[i]);
}
