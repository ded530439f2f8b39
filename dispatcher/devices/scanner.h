/* SPDX-License-Identifier: MIT */
/*
 * scanner.h - the process that asks a driver which devices there are, so that nobody else hangs or
 * dies with it.
 */
#ifndef DISPATCHER_SCANNER_H
#define DISPATCHER_SCANNER_H

/* What argv[0] of this program is when it is a scanner; argv[1] the process that started it,
 * argv[2] the name of the kind it looks for (device_kind.h): of DEVICE_CPU that are the NUMA nodes.
 * Another word is for its cores, each a device. */
#define SCANNER_NAME "millrace-scanner"
#define SCAN_CORES_WORD "cpu-cores"

/* It tries the one device that it is sent as its first packet, and says SCAN_FOUND of it and
 * SCAN_DONE, or SCAN_FAILED. */
#define SCAN_PROBE_WORD "probe"

/* It goes on for as long as it lives, and says SCAN_EVENT of what NVIDIA's driver reports. */
#define SCAN_WATCH_WORD "watch"

/* It has MPS end the work of the process that it is sent as its first packet, and says how that
 * went (mps_end.h). */
#define SCAN_MPS_WORD "mps"

/* Longer than that it is not waited for, in milliseconds. */
#define SCAN_TIMEOUT_MS 10000u

/* scanner_main.c: the process itself. Returns its exit code. */
int scanner_main(int argc, char **argv);

#endif
