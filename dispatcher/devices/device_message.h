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

enum scan_message_kind {
    SCAN_FOUND = 0,
    SCAN_DONE,
    SCAN_ABSENT,
    SCAN_FAILED,
    SCAN_EVENT,
    SCAN_MESSAGE_KIND_COUNT
};

struct scan_message {
    uint32_t magic;
    uint32_t kind;
    uint32_t number;                /* of SCAN_EVENT, an Xid (scanner.h) */
    struct device device;           /* of SCAN_FOUND */
    char reason[SCAN_REASON_BYTES]; /* ends with a NUL; of SCAN_DONE it is "" when all is well */
};

#endif
