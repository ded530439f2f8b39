/* SPDX-License-Identifier: MIT */
/*
 * device_message.h - what a scanner says: a process that looks for the devices of one kind.
 *
 *     scanner                                    who started it
 *     SCAN_FOUND, a device, each         ------->
 *     SCAN_DONE: these were all that     ------->
 *     can be used, and which cannot
 *  or SCAN_ABSENT: there can be none,    ------->
 *     and why: no such driver here
 *  or SCAN_FAILED: it cannot be told,    ------->
 *     and why
 *
 * Where the driver tells what processes use of a device's memory, SCAN_USE says so of each, behind
 * the devices.
 *
 * One packet each. It asks nothing, says one of the last three once, and exits. Its driver may hang
 * or kill it: so it is waited for a while, and what it says is checked.
 *
 * One that watches says SCAN_EVENT, a device by its UUID and a number: what its driver reports.
 */
#ifndef DISPATCHER_DEVICE_MESSAGE_H
#define DISPATCHER_DEVICE_MESSAGE_H

#include <stdint.h>

#include "dispatcher/devices/device.h"

#define SCAN_MAGIC 0x6d726473u
#define SCAN_REASON_BYTES 200u
#define SCAN_USE_COUNT_MAX 1024u

/* What a process uses of a device's memory. */
struct device_use {
    uint32_t index; /* of the device */
    uint32_t pid;   /* as the driver knows it */
    uint64_t bytes;
};

enum scan_message_kind {
    SCAN_FOUND = 0,
    SCAN_DONE,
    SCAN_ABSENT,
    SCAN_FAILED,
    SCAN_EVENT,
    SCAN_USE,
    SCAN_MESSAGE_KIND_COUNT
};

struct scan_message {
    uint32_t magic;
    uint32_t kind;
    uint32_t number;                /* of SCAN_EVENT, an Xid (scanner.h) */
    struct device device;           /* of SCAN_FOUND */
    struct device_use use;          /* of SCAN_USE */
    char reason[SCAN_REASON_BYTES]; /* ends with a NUL; of SCAN_DONE it is "" when all is well */
};

#endif
