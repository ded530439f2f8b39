/* SPDX-License-Identifier: MIT */
/*
 * room.h - who gets memory of a device, and who has to go for that: numbers in, a plan out.
 *
 * What workers there were promised, and what is promised to those who are before in line, is never
 * more than the device has; nor is anybody let in for whom there is not enough free. Where there is
 * too little, models go that may: those without a run first, the one whose last run is longest ago;
 * then those with runs, the one that has been there longest. None goes before its hold is over.
 *
 * Time is monotonic milliseconds, and an argument.
 */
#ifndef DISPATCHER_ROOM_H
#define DISPATCHER_ROOM_H

#include <stdbool.h>
#include <stdint.h>

#define ROOM_TENANT_COUNT_MAX 64u
#define ROOM_FREE_UNKNOWN UINT64_MAX

/* What a pipeline has on the device that may go for others: its workers beyond the least number. */
struct room_tenant {
    uint64_t bytes;
    bool is_busy;         /* it has runs */
    uint64_t used_ms;     /* when its last run ended; of a busy one, since when it is loaded */
    uint64_t hold_end_ms; /* it does not go before */
};

struct room_view {
    uint64_t total_bytes;    /* of the device; 0: not known */
    uint64_t reserved_bytes; /* promised to processes that are there, all of them */
    uint64_t lasting_bytes;  /* of these, of those that stay whatever others need */
    uint64_t leaving_bytes;  /* likewise, of those that are about to go */
    uint64_t ahead_bytes;    /* promised to those who are before in line */
    uint64_t free_bytes;     /* at the last look; or ROOM_FREE_UNKNOWN */
    uint64_t untaken_bytes;  /* of what is reserved, what was not taken yet at that look */
    bool is_settling;        /* more is about to be free */
    uint64_t need_bytes, need_free_bytes;
    const struct room_tenant *tenants; /* count of them, ROOM_TENANT_COUNT_MAX at most */
    uint32_t count;
};

/* The better, the further up. */
enum room_state {
    ROOM_THERE = 0, /* there is room now */
    ROOM_COMES,     /* there will be, by those that go already, or when others have loaded */
    ROOM_MADE,      /* there will be when the victims have gone */
    ROOM_LATER,     /* not before a hold is over */
    ROOM_FULL,      /* not before something happens that nobody here can bring about */
    ROOM_TAKEN,     /* likewise, and others use so much that it would not do if all here went */
    ROOM_NEVER,     /* not while those stay that do, or the device is as it is */
    ROOM_STATE_COUNT
};

struct room_plan {
    enum room_state state;
    uint64_t rank;    /* of two plans of one state, the lower one is better */
    bool lacks_free;  /* less is free than was promised to nobody: others use it */
    uint64_t look_ms; /* of ROOM_LATER: when the next hold is over */
    uint32_t victims[ROOM_TENANT_COUNT_MAX]; /* of ROOM_MADE: their indexes, who goes first first */
    uint32_t victim_count;
};

struct room_plan room_plan(const struct room_view *view, uint64_t now_ms);

/* Whether a plan is better than another one; of two that are as good, neither is. */
bool room_plan_is_better(const struct room_plan *plan, const struct room_plan *other);

#endif
