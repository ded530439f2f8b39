/* SPDX-License-Identifier: MIT */
/* control_devices.h - the devices in GET /control/state, and who holds them. */
#ifndef DISPATCHER_CONTROL_DEVICES_H
#define DISPATCHER_CONTROL_DEVICES_H

#include "dispatcher/text/text.h"
#include "dispatcher/workers/fleet.h"

/* Adds ,"devices":[...],"device_sources":[...]: what is known of each device, and of each source
 * that is looked at. */
void control_devices_format(const struct fleet *fleet, struct text *text);

#endif
