/* SPDX-License-Identifier: MIT */
/* xid.c - numbers of errors and their words. */
#include "dispatcher/devices/xid.h"

#include <stdbool.h>
#include <stddef.h>

#include "millrace/check.h"

/* Those that are not here blame the device. */
static const struct xid {
    uint32_t number;
    bool is_of_process;
    const char *text;
} xids[] = {
    {13, true, "graphics engine exception"},
    {31, true, "memory page fault"},
    {43, true, "reset channel verification error"},
    {45, true, "preemptive channel removal"},
    {48, false, "double bit ECC error"},
    {63, false, "row remapping event"},
    {64, false, "row remapping failure"},
    {68, true, "video processor exception"},
    {74, false, "NVLink error"},
    {79, false, "it has fallen off the bus"},
    {92, false, "high rate of single bit ECC errors"},
    {94, false, "contained memory error"},
    {95, false, "uncontained memory error"},
    {109, true, "context switch timeout"},
    {119, false, "GSP RPC timeout"},
    {120, false, "GSP error"},
};

static const struct xid *xid_find(uint32_t number)
{
    for (size_t i = 0; i < ARRAY_COUNT(xids); i++)
        if (xids[i].number == number)
            return &xids[i];
    return NULL;
}

enum device_event xid_event(uint32_t number)
{
    const struct xid *xid = xid_find(number);
    return xid && xid->is_of_process ? DEVICE_EV_PROCESS_FAULT : DEVICE_EV_DEVICE_FAULT;
}

const char *xid_text(uint32_t number)
{
    const struct xid *xid = xid_find(number);
    return xid ? xid->text : "an error of the device";
}
