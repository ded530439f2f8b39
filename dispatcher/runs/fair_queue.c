/* SPDX-License-Identifier: MIT */
/* fair_queue.c - accounts in virtual time, and a heap of flows for each class. */
#include "dispatcher/runs/fair_queue.h"

#include <errno.h>
#include <stdlib.h>

#define FLOW_NONE UINT32_MAX
#define BUCKET_COUNT (2 * FAIR_FLOW_COUNT_MAX)
#define FLOW_COUNT_ALL (FAIR_FLOW_COUNT_MAX + RUN_CLASS_COUNT)

/* Before anything has ended. */
#define ESTIMATE_FIRST_US UINT64_C(1000)
#define MEAN_SHIFT 3u /* a new one counts an eighth */

/* What a flow that waits for nothing still owes: so many of its items. */
#define DEBT_ITEM_COUNT 4u

static uint32_t flow_place(struct fair_queue *queue, uint32_t class, uint64_t tenant);
static struct fair_flow *flow_find(const struct fair_queue *queue, uint32_t class, uint64_t tenant);
static void flow_idle_add(struct fair_queue *queue, uint32_t at);
static void flow_idle_remove(struct fair_queue *queue, uint32_t at);
static void flow_take_out(struct fair_queue *queue, struct fair_item *item);
static void heap_add(struct fair_queue *queue, struct fair_flow *flow);
static void heap_remove(struct fair_queue *queue, struct fair_flow *flow);
static void heap_settle(struct fair_queue *queue, struct fair_flow *flow);
static struct fair_flow *heap_least(struct fair_queue *queue, struct fair_class *class,
                                    uint64_t now_us);

/* ---- accounts ------------------------------------------------------------------------------ */

/* Virtual times are compared as positions are: they may wrap. */
static bool time_is_before(uint64_t a_us, uint64_t b_us)
{
    return (int64_t)(a_us - b_us) < 0;
}

static uint64_t account_elapsed(const struct fair_account *account, uint64_t now_us)
{
    return account->active_count * now_us - account->started_sum_us;
}

static uint64_t account_key(const struct fair_account *account, uint64_t now_us)
{
    uint64_t used_us = account_elapsed(account, now_us);
    if (used_us < account->estimate_us)
        used_us = account->estimate_us;
    return account->base_us + (used_us << account->shift);
}

/* What is active of it is charged as time passes from now on, and its estimates no more. */
static void account_move(struct fair_account *account, uint64_t to_us, uint64_t now_us)
{
    account->estimate_us = 0;
    account->epoch++;
    account->base_us = to_us - (account_elapsed(account, now_us) << account->shift);
}

/* One that has waited for nothing is moved up to those that have, and what it was charged too much
 * does not come back as time that was saved up. */
static void account_move_up(struct fair_account *account, uint64_t to_us, uint64_t now_us)
{
    if (time_is_before(account_key(account, now_us), to_us))
        account_move(account, to_us, now_us);
}

static void account_start(struct fair_account *account, uint64_t estimate_us, uint64_t now_us)
{
    account->active_count++;
    account->started_sum_us += now_us;
    account->estimate_us += estimate_us;
}

static void account_end(struct fair_account *account, const struct fair_item *item, uint32_t epoch,
                        uint64_t now_us)
{
    mr_assert(account->active_count > 0);
    account->active_count--;
    account->started_sum_us -= item->started_us;
    account->base_us += (now_us - item->started_us) << account->shift;
    if (epoch == account->epoch)
        account->estimate_us -= item->estimate_us;
}

static void mean_note(uint64_t *mean_us, uint64_t took_us)
{
    *mean_us =
        *mean_us == 0 ? took_us : *mean_us - (*mean_us >> MEAN_SHIFT) + (took_us >> MEAN_SHIFT);
}

/* ---- the queue ----------------------------------------------------------------------------- */

int fair_queue_init(struct fair_queue *queue)
{
    *queue = (struct fair_queue){.idle_oldest = FLOW_NONE, .idle_newest = FLOW_NONE};
    queue->flows = calloc(FLOW_COUNT_ALL, sizeof *queue->flows);
    queue->buckets = malloc(BUCKET_COUNT * sizeof *queue->buckets);
    bool is_whole = queue->flows && queue->buckets;
    for (uint32_t i = 0; i < RUN_CLASS_COUNT; i++) {
        queue->classes[i].account.shift = FAIR_CLASS_SHIFT;
        queue->classes[i].heap = malloc((FAIR_FLOW_COUNT_MAX + 1) * sizeof(uint32_t));
        is_whole = is_whole && queue->classes[i].heap;
    }
    if (!is_whole) {
        fair_queue_finish(queue);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < BUCKET_COUNT; i++)
        queue->buckets[i] = FLOW_NONE;
    for (uint32_t i = 0; i < RUN_CLASS_COUNT; i++)
        queue->flows[FAIR_FLOW_COUNT_MAX + i] =
            (struct fair_flow){.class = i, .is_shared = true, .account = {.shift = i}};
    return 0;
}

void fair_queue_finish(struct fair_queue *queue)
{
    for (uint32_t i = 0; i < RUN_CLASS_COUNT; i++)
        free(queue->classes[i].heap);
    free(queue->buckets);
    free(queue->flows);
    *queue = (struct fair_queue){0};
}

static bool flow_is_busy(const struct fair_flow *flow)
{
    return flow->waiting_count > 0 || flow->account.active_count > 0;
}

static uint64_t queue_estimate(const struct fair_queue *queue, const struct fair_flow *flow)
{
    if (flow->mean_us > 0)
        return flow->mean_us;
    return queue->mean_us > 0 ? queue->mean_us : ESTIMATE_FIRST_US;
}

/* It waits from now on, beside those of its class, which may be ahead of others: where a class
 * would have starved, what its flows got is nobody's debt. */
static void flow_begin(const struct fair_queue *queue, struct fair_flow *flow, uint64_t now_us)
{
    struct fair_account *account = &flow->account;
    uint64_t to_us = queue->classes[flow->class].now_us;
    if (time_is_before(to_us, queue->now_us))
        to_us = queue->now_us;
    uint64_t item_count = account->active_count + UINT64_C(1) * DEBT_ITEM_COUNT;
    uint64_t most_us = to_us + (item_count * queue_estimate(queue, flow) << account->shift);
    account_move_up(account, to_us, now_us);
    if (time_is_before(most_us, account_key(account, now_us)))
        account_move(account, most_us, now_us);
    flow->key_us = account_key(account, now_us);
}

void fair_queue_join(struct fair_queue *queue, struct fair_item *item, uint32_t class,
                     uint64_t tenant, uint64_t now_us)
{
    mr_assert(class < RUN_CLASS_COUNT);
    mr_assert(!item->is_waiting && !item->is_active);
    struct fair_class *its = &queue->classes[class];
    uint32_t at = flow_place(queue, class, tenant);
    struct fair_flow *flow = &queue->flows[at];
    queue->busy_count += !flow_is_busy(flow);
    *item = (struct fair_item){
        .flow = at, .is_waiting = true, .number = flow->next_number++, .previous = flow->last};
    if (flow->last)
        flow->last->next = item;
    else
        flow->first = item;
    flow->last = item;
    if (its->waiting_count++ == 0) {
        account_move_up(&its->account, account_key(&queue->total, now_us), now_us);
        its->now_us = queue->now_us;
    }
    if (flow->waiting_count++ == 0) {
        flow_begin(queue, flow, now_us);
        heap_add(queue, flow);
    }
    queue->waiting_count++;
}

/* Of those that wait the one with the least account, of equals that of the first class; NULL: none
 * waits. There are ten classes, so each is looked at. */
static struct fair_flow *queue_least(struct fair_queue *queue, uint64_t now_us)
{
    struct fair_flow *least = NULL;
    for (uint32_t i = 0; i < RUN_CLASS_COUNT; i++) {
        if (queue->classes[i].waiting_count == 0)
            continue;
        struct fair_flow *flow = heap_least(queue, &queue->classes[i], now_us);
        if (!least || time_is_before(flow->key_us, least->key_us))
            least = flow;
    }
    return least;
}

/* The class that waits longest beyond its part; NULL: none does. */
static struct fair_class *queue_starving(struct fair_queue *queue, uint64_t now_us)
{
    struct fair_class *starving = NULL;
    uint64_t least_us = account_key(&queue->total, now_us);
    for (uint32_t i = 0; i < RUN_CLASS_COUNT; i++) {
        struct fair_class *class = &queue->classes[i];
        uint64_t key_us = account_key(&class->account, now_us);
        if (class->waiting_count == 0 || !time_is_before(key_us, least_us))
            continue;
        starving = class;
        least_us = key_us;
    }
    return starving;
}

struct fair_item *fair_queue_next(struct fair_queue *queue, uint64_t now_us)
{
    if (queue->waiting_count == 0)
        return NULL;
    struct fair_class *starving = queue_starving(queue, now_us);
    return starving ? heap_least(queue, starving, now_us)->first
                    : queue_least(queue, now_us)->first;
}

static void time_follow(uint64_t *now_us, uint64_t least_us)
{
    if (time_is_before(*now_us, least_us))
        *now_us = least_us;
}

void fair_queue_start(struct fair_queue *queue, struct fair_item *item, uint64_t now_us)
{
    mr_assert(item->is_waiting);
    struct fair_flow *flow = &queue->flows[item->flow];
    struct fair_class *class = &queue->classes[flow->class];
    time_follow(&queue->now_us, queue_least(queue, now_us)->key_us);
    time_follow(&class->now_us, heap_least(queue, class, now_us)->key_us);
    account_move(&class->account, account_key(&queue->total, now_us), now_us);
    item->is_active = true;
    item->started_us = now_us;
    item->estimate_us = queue_estimate(queue, flow);
    item->flow_epoch = flow->account.epoch;
    item->class_epoch = class->account.epoch;
    account_start(&flow->account, item->estimate_us, now_us);
    account_start(&class->account, item->estimate_us, now_us);
    account_start(&queue->total, item->estimate_us, now_us);
    flow->key_us = account_key(&flow->account, now_us);
    flow_take_out(queue, item);
}

void fair_queue_leave(struct fair_queue *queue, struct fair_item *item)
{
    mr_assert(item->is_waiting);
    struct fair_flow *flow = &queue->flows[item->flow];
    flow_take_out(queue, item);
    if (flow_is_busy(flow))
        return;
    queue->busy_count--;
    flow_idle_add(queue, item->flow);
}

void fair_queue_end(struct fair_queue *queue, struct fair_item *item, uint64_t now_us)
{
    mr_assert(item->is_active);
    struct fair_flow *flow = &queue->flows[item->flow];
    struct fair_class *class = &queue->classes[flow->class];
    uint64_t took_us = now_us - item->started_us;
    item->is_active = false;
    account_end(&flow->account, item, item->flow_epoch, now_us);
    account_end(&class->account, item, item->class_epoch, now_us);
    account_end(&queue->total, item, queue->total.epoch, now_us);
    mean_note(&flow->mean_us, took_us);
    mean_note(&queue->mean_us, took_us);
    if (flow->waiting_count > 0) {
        flow->key_us = account_key(&flow->account, now_us);
        heap_settle(queue, flow);
    } else if (!flow_is_busy(flow)) {
        queue->busy_count--;
        flow_idle_add(queue, item->flow);
    }
}

uint32_t fair_queue_position(const struct fair_queue *queue, const struct fair_item *item)
{
    mr_assert(item->is_waiting);
    const struct fair_flow *flow = &queue->flows[item->flow];
    return (uint32_t)(item->number - flow->first->number);
}

/* Of those with as many, the one of the last class. */
static const struct fair_flow *flow_longest(const struct fair_queue *queue)
{
    const struct fair_flow *longest = NULL;
    for (uint32_t i = 0; i < FLOW_COUNT_ALL; i++) {
        if (i == queue->flow_count)
            i = FAIR_FLOW_COUNT_MAX;
        const struct fair_flow *flow = &queue->flows[i];
        if (!longest || flow->waiting_count > longest->waiting_count ||
            (flow->waiting_count == longest->waiting_count && flow->class > longest->class))
            longest = flow;
    }
    return longest;
}

struct fair_item *fair_queue_displaced(const struct fair_queue *queue, uint32_t class,
                                       uint64_t tenant)
{
    const struct fair_flow *own = flow_find(queue, class, tenant);
    const struct fair_flow *longest = flow_longest(queue);
    uint32_t own_count = own ? own->waiting_count : 0;
    return longest->waiting_count >= own_count + 2 ? longest->last : NULL;
}

/* ---- flows --------------------------------------------------------------------------------- */

static uint32_t *flow_bucket(const struct fair_queue *queue, uint32_t class, uint64_t tenant)
{
    /* The tenant is a keyed hash already. */
    return &queue->buckets[(tenant + class * UINT64_C(0x9e3779b97f4a7c15)) % BUCKET_COUNT];
}

static struct fair_flow *flow_find(const struct fair_queue *queue, uint32_t class, uint64_t tenant)
{
    for (uint32_t i = *flow_bucket(queue, class, tenant); i != FLOW_NONE; i = queue->flows[i].chain)
        if (queue->flows[i].tenant == tenant && queue->flows[i].class == class)
            return &queue->flows[i];
    return NULL;
}

static void flow_forget(struct fair_queue *queue, uint32_t at)
{
    uint32_t *link = flow_bucket(queue, queue->flows[at].class, queue->flows[at].tenant);
    while (*link != at)
        link = &queue->flows[*link].chain;
    *link = queue->flows[at].chain;
    flow_idle_remove(queue, at);
}

/* A place that was never used, or that of whoever has been idle for longest. */
static uint32_t flow_place_free(struct fair_queue *queue)
{
    if (queue->flow_count < FAIR_FLOW_COUNT_MAX)
        return queue->flow_count++;
    uint32_t at = queue->idle_oldest;
    if (at != FLOW_NONE)
        flow_forget(queue, at);
    return at;
}

static uint32_t flow_place(struct fair_queue *queue, uint32_t class, uint64_t tenant)
{
    struct fair_flow *known = flow_find(queue, class, tenant);
    if (known) {
        uint32_t at = (uint32_t)(known - queue->flows);
        if (!flow_is_busy(known))
            flow_idle_remove(queue, at);
        return at;
    }
    uint32_t at = flow_place_free(queue);
    if (at == FLOW_NONE)
        return FAIR_FLOW_COUNT_MAX + class;
    uint32_t *bucket = flow_bucket(queue, class, tenant);
    queue->flows[at] = (struct fair_flow){
        .tenant = tenant,
        .class = class,
        .chain = *bucket,
        .account = {.base_us = queue->now_us, .shift = class},
    };
    *bucket = at;
    return at;
}

static void flow_idle_add(struct fair_queue *queue, uint32_t at)
{
    struct fair_flow *flow = &queue->flows[at];
    if (flow->is_shared)
        return;
    flow->newer = FLOW_NONE;
    flow->older = queue->idle_newest;
    if (queue->idle_newest != FLOW_NONE)
        queue->flows[queue->idle_newest].newer = at;
    else
        queue->idle_oldest = at;
    queue->idle_newest = at;
}

static void flow_idle_remove(struct fair_queue *queue, uint32_t at)
{
    const struct fair_flow *flow = &queue->flows[at];
    if (flow->older != FLOW_NONE)
        queue->flows[flow->older].newer = flow->newer;
    else
        queue->idle_oldest = flow->newer;
    if (flow->newer != FLOW_NONE)
        queue->flows[flow->newer].older = flow->older;
    else
        queue->idle_newest = flow->older;
}

static void flow_take_out(struct fair_queue *queue, struct fair_item *item)
{
    struct fair_flow *flow = &queue->flows[item->flow];
    if (item->previous)
        item->previous->next = item->next;
    else
        flow->first = item->next;
    if (item->next)
        item->next->previous = item->previous;
    else
        flow->last = item->previous;
    item->next = item->previous = NULL;
    item->is_waiting = false;
    queue->classes[flow->class].waiting_count--;
    queue->waiting_count--;
    if (--flow->waiting_count == 0)
        heap_remove(queue, flow);
    else
        heap_settle(queue, flow);
}

/* ---- the heap of a class ------------------------------------------------------------------- */

static struct fair_flow *heap_flow(const struct fair_queue *queue, const struct fair_class *class,
                                   uint32_t at)
{
    return &queue->flows[class->heap[at]];
}

static void heap_put(struct fair_queue *queue, struct fair_class *class, uint32_t at,
                     uint32_t index)
{
    class->heap[at] = index;
    queue->flows[index].heap_at = at;
}

static bool heap_is_before(const struct fair_queue *queue, const struct fair_class *class,
                           uint32_t a, uint32_t b)
{
    return time_is_before(heap_flow(queue, class, a)->key_us, heap_flow(queue, class, b)->key_us);
}

static void heap_swap(struct fair_queue *queue, struct fair_class *class, uint32_t a, uint32_t b)
{
    uint32_t index = class->heap[a];
    heap_put(queue, class, a, class->heap[b]);
    heap_put(queue, class, b, index);
}

/* Its key is another one: it goes up or down to where it belongs. */
static void heap_settle(struct fair_queue *queue, struct fair_flow *flow)
{
    struct fair_class *class = &queue->classes[flow->class];
    uint32_t at = flow->heap_at;
    for (; at > 0 && heap_is_before(queue, class, at, (at - 1) / 2); at = (at - 1) / 2)
        heap_swap(queue, class, at, (at - 1) / 2);
    for (;;) {
        uint32_t least = 2 * at + 1;
        if (least >= class->heap_count)
            return;
        least += least + 1 < class->heap_count && heap_is_before(queue, class, least + 1, least);
        if (!heap_is_before(queue, class, least, at))
            return;
        heap_swap(queue, class, at, least);
        at = least;
    }
}

static void heap_add(struct fair_queue *queue, struct fair_flow *flow)
{
    struct fair_class *class = &queue->classes[flow->class];
    mr_assert(class->heap_count <= FAIR_FLOW_COUNT_MAX);
    heap_put(queue, class, class->heap_count++, (uint32_t)(flow - queue->flows));
    heap_settle(queue, flow);
}

static void heap_remove(struct fair_queue *queue, struct fair_flow *flow)
{
    struct fair_class *class = &queue->classes[flow->class];
    uint32_t at = flow->heap_at, last = --class->heap_count;
    if (at == last)
        return;
    heap_put(queue, class, at, class->heap[last]);
    heap_settle(queue, heap_flow(queue, class, at));
}

/* Keys only grow while nothing starts or ends, so the least one that is up to date is the least of
 * all. Each flow is brought up to date at most once for a time. */
static struct fair_flow *heap_least(struct fair_queue *queue, struct fair_class *class,
                                    uint64_t now_us)
{
    for (;;) {
        struct fair_flow *flow = heap_flow(queue, class, 0);
        uint64_t key_us = account_key(&flow->account, now_us);
        if (key_us == flow->key_us)
            return flow;
        flow->key_us = key_us;
        heap_settle(queue, flow);
    }
}

/* ---- invariants ---------------------------------------------------------------------------- */

void fair_queue_check(const struct fair_queue *queue)
{
    uint32_t waiting_count = 0, busy_count = 0, idle_count = 0;
    for (uint32_t i = 0; i < FLOW_COUNT_ALL; i++) {
        const struct fair_flow *flow = &queue->flows[i];
        mr_assert((flow->waiting_count > 0) == (flow->first != NULL));
        mr_assert((flow->first != NULL) == (flow->last != NULL));
        if (flow->waiting_count > 0)
            mr_assert(queue->classes[flow->class].heap[flow->heap_at] == i);
        if (flow->account.active_count == 0)
            mr_assert(flow->account.estimate_us == 0 && flow->account.started_sum_us == 0);
        waiting_count += flow->waiting_count;
        busy_count += flow_is_busy(flow);
    }
    for (uint32_t i = queue->idle_oldest; i != FLOW_NONE; i = queue->flows[i].newer) {
        mr_assert(!flow_is_busy(&queue->flows[i]));
        idle_count++;
    }
    mr_assert(waiting_count == queue->waiting_count);
    mr_assert(busy_count == queue->busy_count);
    for (uint32_t i = FAIR_FLOW_COUNT_MAX; i < FLOW_COUNT_ALL; i++)
        busy_count -= flow_is_busy(&queue->flows[i]);
    mr_assert(idle_count + busy_count == queue->flow_count);
    for (uint32_t i = 0; i < RUN_CLASS_COUNT; i++) {
        const struct fair_class *class = &queue->classes[i];
        mr_assert((class->heap_count > 0) == (class->waiting_count > 0));
        for (uint32_t at = 1; at < class->heap_count; at++)
            mr_assert(!heap_is_before(queue, class, at, (at - 1) / 2));
    }
}
