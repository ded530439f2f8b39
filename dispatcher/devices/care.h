/* SPDX-License-Identifier: MIT */
/*
 * care.h - the health of each device that workers have, or had: device_fsm.h, with its probes.
 *
 * A probe is a fresh process that uses the device (probe.h). No worker starts on a device that is
 * suspect, lost, or whose memory the process before has not given back yet; that is waited for at
 * most CARE_SETTLE_MS_MAX. Of more devices than fit, those are forgotten that are not there and
 * that nobody has, the oldest first.
 */
#ifndef DISPATCHER_CARE_H
#define DISPATCHER_CARE_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/devices/device_fsm.h"
#include "dispatcher/devices/devices.h"
#include "millrace/check.h"

#define CARE_SETTLE_MS_MAX 10000u

/* Owned by the devices. */
struct device_care {
    struct device device;
    uint64_t number; /* the older ones have smaller ones */
    enum device_state state;
    char reason[SCAN_REASON_BYTES]; /* of what happened last; "": nothing has */
    struct scan probe;
    uint64_t probe_ms;       /* when a probe is to begin; 0: none is */
    bool is_outdated;        /* something failed since the probe began: that it passes is no news */
    uint32_t outdated_count; /* of probes in a row that were */
    uint64_t lost_ms;        /* when it was lost last; 0: never */
    uint32_t failure_streak; /* of probes, and of losses soon after the last one */
    uint64_t loss_count;
    uint64_t settle_from_ms;     /* since when its memory is waited for; 0: it is not */
    uint64_t settle_free_bytes;  /* that are to be free, */
    uint64_t settle_last_bytes;  /* and were, when it was looked last; */
    uint32_t settle_still_count; /* with so many looks in a row that saw no more */
    bool settle_is_shared;       /* others have the device: no more may come */
};

/* What is known of a device; NULL: nothing has happened to it. */
struct device_care *care_find(const struct devices *devices, const struct device *device);

/* Whether a worker may start on it. 0; -EAGAIN: it is probed, or its memory is waited for; -EIO: it
 * is lost, and care_find() tells why. */
int care_may_start(const struct devices *devices, const struct device *device) MUST_USE;

/* A worker is about to have it: it is to be noticed when it vanishes. */
void care_watch(struct devices *devices, const struct device *device);

/* Something happened to it. `reason` is one phrase for people. */
void care_event(struct devices *devices, const struct device *device, enum device_event event,
                const char *reason);

/* A process that had the device is gone: as much of its memory is to be free as was before the
 * process had it, which `device` says; or, where other processes of ours have it (`is_shared`),
 * what comes. */
void care_note_end(struct devices *devices, const struct device *device, bool is_shared);

/* Of devices.c: what was found of a source is other than before; completions; the timer; the end of
 * the program. */
void care_review(struct devices *devices, enum device_source source);
void care_on_probe(struct devices *devices, uint32_t number, const struct uring_event *event);
void care_on_timer(struct devices *devices);
void cares_finish(struct devices *devices);

#endif
