/* SPDX-License-Identifier: MIT */
/*
 * probe.h - in a scanner: a device is used, by a process that never used one before.
 *
 * Each takes finding->devices[0], and notes there how much of its memory is free. SCAN_DONE: it can
 * be used, or that cannot be tried here, as the reason says then; SCAN_FAILED: it cannot.
 */
#ifndef DISPATCHER_PROBE_H
#define DISPATCHER_PROBE_H

#include "dispatcher/devices/finding.h"

/* By the driver's own interface, libcuda.so.1: a context, some memory, written and read back. */
enum scan_message_kind probe_cuda(struct finding *finding);

#endif
