/* SPDX-License-Identifier: MIT */
/*
 * fair_queue.h - who is next: classes, tenants within a class, and first come first served within a
 * tenant. A pure rule: it is told the time, and knows items and not runs.
 *
 * Start-time fair queueing. A flow is what one tenant has in one class. Each flow has an account in
 * virtual time: the slot time that its items have used, times 2^class; the flow with the least is
 * next. An item that starts is charged an estimate; what it uses beyond that is charged while it
 * runs, and when it ends it has paid what it took. Who begins to wait begins at the account of who
 * waits and has least, or at its own if that is more, by a few items at most: nobody saves up for
 * later, nor pays for long ago.
 *
 * Besides, each class has an account: its slot time since it started last, times FAIR_CLASS_PART.
 * One that waits and is behind the slot time of all since then goes first. So no class starves, how
 * many tenants there may be of better ones.
 *
 * What follows, with S slots and slot times of L at most (docs/decisions/0039-fair-schedules.md):
 *   - two flows of a class that both wait differ by 2 S L of slot time at most;
 *   - between two starts of a class that waits, all together use no more slot time than
 *     ((1 + H) FAIR_CLASS_PART + S + RUN_CLASS_COUNT) L, where H are the slots that it has.
 *
 * Next, joining and leaving cost O(log flows). When there are more tenants than places, those that
 * find none share one flow of their class.
 */
#ifndef DISPATCHER_FAIR_QUEUE_H
#define DISPATCHER_FAIR_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/text/run_class.h"
#include "millrace/check.h"

#define FAIR_FLOW_COUNT_MAX 1024u
#define FAIR_CLASS_SHIFT 8u
#define FAIR_CLASS_PART (1u << FAIR_CLASS_SHIFT)

/* Of what waits or is on a slot; its memory is the caller's. */
struct fair_item {
    struct fair_item *next, *previous; /* of its flow, while it waits */
    uint64_t number;                   /* likewise: in the order of that flow */
    uint32_t flow;
    bool is_waiting, is_active;

    /* While it is active: */
    uint64_t started_us;
    uint64_t estimate_us;
    uint32_t flow_epoch, class_epoch; /* of accounts that its estimate is in */
};

/* What a flow, a class, or all have used, in virtual time. */
struct fair_account {
    uint64_t base_us;        /* by items that ended */
    uint64_t estimate_us;    /* of active ones of this epoch */
    uint64_t started_sum_us; /* of all active ones; wraps */
    uint32_t active_count;
    uint32_t epoch; /* of estimates: a new one when the account was moved up */
    uint32_t shift; /* its time counts 2^shift fold */
};

struct fair_flow {
    struct fair_account account;
    uint64_t tenant;
    uint32_t class;
    bool is_shared;                 /* of those who found no place */
    struct fair_item *first, *last; /* that wait */
    uint32_t waiting_count;
    uint64_t next_number;
    uint64_t mean_us;      /* of its items' times on slots, of late; 0: none ended */
    uint64_t key_us;       /* of its account when that was looked at last, */
    uint32_t heap_at;      /* and its place in the heap, while it waits */
    uint32_t chain;        /* the next one of its bucket */
    uint32_t older, newer; /* of those that are idle */
};

struct fair_class {
    struct fair_account account;
    uint64_t now_us; /* virtual: the least of its flows that waited, at its last start */
    uint32_t *heap;  /* of flows that wait, by their accounts; owned */
    uint32_t heap_count;
    uint32_t waiting_count;
};

/* Owned by its pipeline. */
struct fair_queue {
    struct fair_flow *flows; /* owned; behind FAIR_FLOW_COUNT_MAX of them one shared one a class */
    uint32_t flow_count;     /* places that were ever used */
    uint32_t *buckets;       /* of flows by their tenants; owned */
    uint32_t idle_oldest, idle_newest;
    uint32_t busy_count;       /* flows that wait or are active */
    uint64_t now_us;           /* virtual: the least of flows that waited, at the last start */
    struct fair_account total; /* of all classes */
    uint64_t mean_us;          /* of all items' times on slots, of late */
    uint32_t waiting_count;
    struct fair_class classes[RUN_CLASS_COUNT];
};

/* 0 or -ENOMEM. */
int fair_queue_init(struct fair_queue *queue) MUST_USE;
void fair_queue_finish(struct fair_queue *queue);

/* It waits from now on, as the last of its flow. `class` is below RUN_CLASS_COUNT. */
void fair_queue_join(struct fair_queue *queue, struct fair_item *item, uint32_t class,
                     uint64_t tenant, uint64_t now_us);

/* The one whose turn it is; NULL: none waits. It waits until it is told to start or leave. */
struct fair_item *fair_queue_next(struct fair_queue *queue, uint64_t now_us);

/* One that waits does so no more: it has a slot from now on, or it is gone. */
void fair_queue_start(struct fair_queue *queue, struct fair_item *item, uint64_t now_us);
void fair_queue_leave(struct fair_queue *queue, struct fair_item *item);

/* One that was started gave its slot back. */
void fair_queue_end(struct fair_queue *queue, struct fair_item *item, uint64_t now_us);

/* How many of its flow wait before it, at most: those that left before their turn are counted as
 * long as one waits that came before them. It only falls, and is 0 for the first one. */
uint32_t fair_queue_position(const struct fair_queue *queue, const struct fair_item *item);

/* Who is to make room for one more of this tenant where there is none left: the newest one of the
 * flow with most that wait, if that is to have no fewer than the tenant afterwards; NULL: nobody.
 * O(flows). */
struct fair_item *fair_queue_displaced(const struct fair_queue *queue, uint32_t class,
                                       uint64_t tenant);

/* Every invariant; O(flows). */
void fair_queue_check(const struct fair_queue *queue);

#endif
