/* SPDX-License-Identifier: MIT */
/*
 * scan.h - one look for the devices of a kind, by a scanner (scanner.h), for whoever has a loop.
 *
 *     scan_begin ──► SCAN_UNDER_WAY ──scan_hear────► SCAN_ALL_FOUND, SCAN_NONE_HERE, SCAN_UNKNOWN
 *                                   └─scan_expire──► SCAN_UNKNOWN
 *
 * The owner waits for the socket to be readable, or hung up, and for the time `due_ms`. However it
 * ended, the process is killed then, and scan_is_gone() is asked now and again until it is true.
 * Nothing here waits, but scan_begin() for the exec.
 */
#ifndef DISPATCHER_SCAN_H
#define DISPATCHER_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/devices/device_message.h"
#include "dispatcher/reactor/servant.h"
#include "millrace/check.h"

enum scan_state {
    SCAN_NEVER = 0,
    SCAN_UNDER_WAY, /* the devices are those said so far */
    SCAN_ALL_FOUND, /* there may be none; the reason says what could not be asked, or is "" */
    SCAN_NONE_HERE, /* no such driver: the reason says which */
    SCAN_UNKNOWN,   /* it failed: the reason says how; the devices are those said before */
    SCAN_STATE_COUNT
};

/* Owned by who begins it. Between scan_begin()s the devices and the reason stay as they are. */
struct scan {
    struct servant scanner; /* its socket is to be polled while SCAN_UNDER_WAY */
    enum scan_state state;
    enum device_kind kind;
    struct device *devices;  /* room for DEVICE_COUNT_MAX, kept until scan_finish(); or NULL */
    uint32_t count;          /* of them; each is sound, of this kind, and has its place for index */
    struct device_use *uses; /* likewise room for SCAN_USE_COUNT_MAX; each is of one of these */
    uint32_t use_count;      /* of them */
    uint32_t timeout_ms;
    uint64_t due_ms;     /* when scan_expire() has something to do */
    bool is_probe;       /* devices[0] is there already, and is tried */
    bool is_unexplained; /* it ended of itself, and nobody has looked how */
    char reason[SCAN_REASON_BYTES];
};

/* Nothing is under way; nothing is known. */
void scan_init(struct scan *scan);

/* Starts a scanner with that word (scanner.h), which is one. 0; or -errno, and all is as it was. No
 * other scan may be under way here, and nothing be left of the last one. */
int scan_begin(struct scan *scan, const char *word, uint64_t now_ms, uint32_t timeout_ms) MUST_USE;

/* Likewise a probe of one device, which is the only one that is found then: as it was, but for its
 * free memory. */
int scan_begin_probe(struct scan *scan, const struct device *device, uint64_t now_ms,
                     uint32_t timeout_ms) MUST_USE;

/* While SCAN_UNDER_WAY: takes what was said since. True: it has ended, and the socket is closed. */
bool scan_hear(struct scan *scan);

/* While SCAN_UNDER_WAY: true when its time is over, and so it has ended. */
bool scan_expire(struct scan *scan, uint64_t now_ms);

/* When it has ended: true when nothing is left of the process, and another scan may begin. The
 * reason may say more then: which signal ended it. */
bool scan_is_gone(struct scan *scan);

/* For the end of this program: ends what is under way, waits for it a second at most, and frees. */
void scan_finish(struct scan *scan);

#endif
