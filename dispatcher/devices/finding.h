/* SPDX-License-Identifier: MIT */
/*
 * finding.h - in the scanner: what it has found so far, and the looks for each kind.
 *
 * Nothing here is shared: the scanner is a process that may hang or die of each of these.
 */
#ifndef DISPATCHER_FINDING_H
#define DISPATCHER_FINDING_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/devices/device_message.h"

struct finding {
    struct device devices[DEVICE_COUNT_MAX];
    uint32_t count;
    uint32_t left_out; /* more than fit */
    struct device_use uses[SCAN_USE_COUNT_MAX];
    uint32_t use_count;             /* of them; those that do not fit are not told */
    char reason[SCAN_REASON_BYTES]; /* for people */
};

/* The next device, of which nothing is known but its index; it counts when it is kept. NULL: there
 * is no room, and it was counted as left out. */
struct device *finding_next(struct finding *finding, enum device_kind kind);
void finding_keep(struct finding *finding);

/* Adds to the reason, behind what it says already. */
void finding_say(struct finding *finding, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Says why a library cannot be used. SCAN_ABSENT: there is none; else SCAN_FAILED. */
enum scan_message_kind finding_no_library(struct finding *finding, const char *library,
                                          const char *why);

/* A UUID that several devices have tells none of them. */
void finding_uuids_check(struct finding *finding);

/* Each looks for devices, in a file of its own name, and says how that ended: SCAN_DONE,
 * SCAN_ABSENT or SCAN_FAILED. */
enum scan_message_kind scan_nvml(struct finding *finding);   /* cuda, by NVIDIA's library */
enum scan_message_kind scan_kfd(struct finding *finding);    /* hip, by files of the kernel */
enum scan_message_kind scan_vulkan(struct finding *finding); /* by its loader */
enum scan_message_kind scan_cpu(struct finding *finding);    /* NUMA nodes with cores, by hwloc */
enum scan_message_kind scan_cpu_cores(struct finding *finding); /* likewise cores */

/* scan_place.c: adds what is near to those that are on a PCI bus. */
void scan_place(struct finding *finding);

#endif
