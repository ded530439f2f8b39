/* SPDX-License-Identifier: MIT */
/*
 * devices.h - which devices there are, as far as somebody wants to know: the state of this room.
 *
 * Nothing is looked for until it is wanted. What cannot be told is looked for again, later and
 * later; what was found once stays known while that goes on.
 */
#ifndef DISPATCHER_DEVICES_H
#define DISPATCHER_DEVICES_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/devices/device.h"
#include "dispatcher/devices/scan.h"
#include "dispatcher/reactor/reactor.h"
#include "millrace/check.h"

/* What is looked for by one scanner. */
enum device_source {
    DEVICE_SOURCE_CUDA = 0,
    DEVICE_SOURCE_HIP,
    DEVICE_SOURCE_VULKAN,
    DEVICE_SOURCE_NUMA,  /* of the kind cpu, the cores of each NUMA node */
    DEVICE_SOURCE_CORES, /* likewise, each core */
    DEVICE_SOURCE_COUNT
};

enum device_knowledge {
    DEVICES_UNKNOWN = 0, /* it is being looked */
    DEVICES_FOUND,       /* all of them; there may be none */
    DEVICES_ABSENT,      /* there can be none: no such driver is here */
    DEVICES_FAILED,      /* nobody can tell now; it is looked for again */
    DEVICE_KNOWLEDGE_COUNT
};

/* Told in the middle of a pass. */
struct devices_ops {
    /* Something else is known of a source. */
    void (*changed)(void *owner, enum device_source source);
    /* Nothing can be done on a device any more. */
    void (*lost)(void *owner, const struct device *device, const char *reason);
    /* A process failed on it, nobody can say which. */
    void (*doubted)(void *owner, const struct device *device, const char *reason);
    /* Workers that waited for it may start. */
    void (*released)(void *owner, const struct device *device);
    /* Whether a process has it. */
    bool (*is_held)(void *owner, const struct device *device);
};

/* How often it is looked whether a process has ended that was killed. */
#define DEVICES_GONE_LOOK_MS 10u

/* Between tries of what fails again and again. */
#define DEVICES_PAUSE_MS_MAX 60000u

struct devices_source {
    bool is_wanted;
    enum device_knowledge knowledge;
    struct scan scan;
    struct device *found; /* count of them, by index; owned */
    uint32_t count;
    struct device_use *uses; /* use_count of them, of these devices; owned */
    uint32_t use_count;
    char reason[SCAN_REASON_BYTES]; /* why there are none, or it cannot be told; "": it can */
    uint64_t began_ms;              /* the last look */
    uint64_t found_ms, kept_ms;     /* when the last one that found them began, and ended */
    uint32_t failure_streak;
    uint64_t failure_count;
    uint64_t again_ms;   /* when it is looked for again; 0: it is not */
    uint32_t look_count; /* for the end of the last scanner */
};

/* watch.h: what NVIDIA's driver reports. */
struct device_watch {
    struct servant watcher;
    uint64_t again_ms; /* when another one is begun; 0: it is not */
    uint32_t failure_streak;
};

struct device_care;

/* Owned by the server. */
struct devices {
    struct reactor *reactor;
    const struct devices_ops *ops;
    void *owner;
    struct devices_source sources[DEVICE_SOURCE_COUNT];
    struct device_care **cares; /* care.h: care_count of them; owned */
    uint32_t care_count;
    uint64_t made_care_count; /* ever */
    struct device_watch watch;
    struct timer timer;
};

/* 0 or -ENOMEM; devices_finish() in either case. */
int devices_init(struct devices *devices, struct reactor *reactor, const struct devices_ops *ops,
                 void *owner) MUST_USE;
void devices_finish(struct devices *devices);

/* From now on it is to be known which there are; the first time somebody looks at once. */
void devices_want(struct devices *devices, enum device_source source);

/* Somebody lacks a device: it is looked at again in so long, or before. */
void devices_look_later(struct devices *devices, enum device_source source, uint64_t pause_ms);

/* It is looked at again, where anybody wants to know. */
void devices_look_again(struct devices *devices);

/* The source that has devices of a kind; of cores, which. The kind is one of those that are found
 * (device_kind_is_found()). */
enum device_source device_source_of(enum device_kind kind, bool is_per_core);

/* The word of a source, for people and for its scanner. */
const char *device_source_name(enum device_source source);

/* ---- for care.c and watch.c ---------------------------------------------------------------- */

/* devices_on_timer() is called then, or before. */
void devices_wake(struct devices *devices, uint64_t due_ms);

/* Before the next try after so many failures in a row: twice as long each time. */
uint64_t devices_pause_ms(uint64_t ms_min, uint32_t failure_count);

/* A completion for a scan: true when it has ended by that. */
bool devices_scan_has_ended(struct devices *devices, struct scan *scan,
                            const struct uring_event *event);

/* ---- for the loop -------------------------------------------------------------------------- */

/* A completion, and the timer. */
void devices_on_scanner(struct devices *devices, const struct uring_event *event);
void devices_on_timer(struct devices *devices);

#endif
