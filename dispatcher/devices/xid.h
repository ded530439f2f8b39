/* SPDX-License-Identifier: MIT */
/*
 * xid.h - errors that NVIDIA's driver reports by number, and whom they blame.
 */
#ifndef DISPATCHER_XID_H
#define DISPATCHER_XID_H

#include <stdint.h>

#include "dispatcher/devices/device_fsm.h"

#define XID_DOUBLE_BIT_ECC 48u

/* Of a fault in what a process did, or of the device itself: NVIDIA, "XID Errors", those that
 * applications cause. */
enum device_event xid_event(uint32_t number);

/* What it is, for people. */
const char *xid_text(uint32_t number);

#endif
