/* SPDX-License-Identifier: MIT */
/* watch.c - the watcher is started and heard, and what it says is passed on. */
#include "dispatcher/devices/watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/devices/care.h"
#include "dispatcher/devices/scanner.h"
#include "dispatcher/devices/xid.h"

#define AGAIN_MS_MIN 1000u
/* Of what it says, in a pass. */
#define HEAR_COUNT_MAX 16u

void watch_init(struct device_watch *watch)
{
    *watch = (struct device_watch){.again_ms = 0};
    servant_init(&watch->watcher);
}

void watch_finish(struct device_watch *watch)
{
    if (watch->watcher.state == SERVANT_RUNNING)
        servant_kill(&watch->watcher); /* it waits for its driver, not for us */
    servant_close(&watch->watcher);
}

static struct uring_ref watch_ref(const struct device_watch *watch)
{
    return (struct uring_ref){URING_SCANNER, WATCH_REF_INDEX, watch->watcher.generation};
}

/* What a GPU does, its slices do. */
static void watch_pass_on(struct devices *devices, const struct scan_message *message)
{
    const struct devices_source *source = &devices->sources[DEVICE_SOURCE_CUDA];
    enum device_event event = xid_event(message->number);
    char reason[SCAN_REASON_BYTES];
    snprintf(reason, sizeof reason, "Xid %u (%s)", message->number, xid_text(message->number));
    for (uint32_t i = 0; i < source->count; i++) {
        const struct device device = source->found[i];
        if (strcmp(device.uuid, message->device.uuid) != 0 &&
            strcmp(device.parent, message->device.uuid) != 0)
            continue;
        care_event(devices, &device, event, reason);
        if (event == DEVICE_EV_PROCESS_FAULT)
            devices->ops->doubted(devices->owner, &device, reason);
    }
}

static void watch_end(struct devices *devices)
{
    struct device_watch *watch = &devices->watch;
    watch->again_ms =
        devices->reactor->now_ms + devices_pause_ms(AGAIN_MS_MIN, watch->failure_streak);
    watch->failure_streak++;
    servant_kill(&watch->watcher);
    devices_wake(devices, watch->again_ms);
}

/* False: it was given up. */
static bool watch_hear(struct devices *devices)
{
    struct device_watch *watch = &devices->watch;
    struct scan_message message;
    for (uint32_t i = 0; i < HEAR_COUNT_MAX; i++) {
        int rc = servant_hear(&watch->watcher, &message, sizeof(message));
        if (rc == 0)
            return true;
        bool is_sound = rc == 1 && message.magic == SCAN_MAGIC && message.kind == SCAN_EVENT &&
                        memchr(message.device.uuid, '\0', DEVICE_UUID_BYTES) &&
                        message.device.uuid[0] != '\0';
        if (!is_sound) {
            watch_end(devices);
            return false;
        }
        watch->failure_streak = 0;
        watch_pass_on(devices, &message);
    }
    return true;
}

void watch_on_event(struct devices *devices, const struct uring_event *event)
{
    struct device_watch *watch = &devices->watch;
    if (watch->watcher.state != SERVANT_RUNNING || event->result < 0 ||
        event->ref.generation != watch->watcher.generation)
        return;
    int socket = watch->watcher.socket;
    if (!watch_hear(devices)) {
        if (event->more)
            uring_cancel(devices->reactor->uring, event->ref);
        return;
    }
    /* A poll that goes on tells of what comes, and a new one of what is left. */
    if (event->more)
        uring_cancel(devices->reactor->uring, event->ref);
    uring_poll(devices->reactor->uring, socket, event->ref);
}

static void watch_begin(struct devices *devices)
{
    struct device_watch *watch = &devices->watch;
    watch->again_ms = 0;
    if (servant_open(&watch->watcher, SCANNER_NAME, SCAN_WATCH_WORD) < 0) {
        watch->again_ms = devices->reactor->now_ms + DEVICES_PAUSE_MS_MAX;
        devices_wake(devices, watch->again_ms);
        return;
    }
    uring_poll(devices->reactor->uring, watch->watcher.socket, watch_ref(watch));
}

/* One that hangs in its driver may not even die: nothing is begun while it is there. */
void watch_on_timer(struct devices *devices)
{
    struct device_watch *watch = &devices->watch;
    uint64_t now_ms = devices->reactor->now_ms;
    if (watch->watcher.state == SERVANT_RUNNING || devices->sources[DEVICE_SOURCE_CUDA].count == 0)
        return;
    bool is_gone = watch->watcher.state == SERVANT_NONE || servant_is_gone(&watch->watcher);
    if (is_gone && now_ms >= watch->again_ms)
        watch_begin(devices);
    else
        devices_wake(devices, is_gone ? watch->again_ms : now_ms + AGAIN_MS_MIN);
}
