/* SPDX-License-Identifier: MIT */
/*
 * test_fair_queue.c - who is next: single rules, and a simulation of tenants, classes and slots
 * that says who got what. N is how many seeds there are, SEED the first one.
 */
#include "dispatcher/runs/fair_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

#define SEED_COUNT 40u
#define SLOT_COUNT 64u
#define TENANT_COUNT 48u
#define ITEM_COUNT 16384u
#define MS UINT64_C(1000)
#define BATCH_MEAN_US (80 * MS)

static struct fair_queue queue;

static int queue_open(void **state)
{
    (void)state;
    return fair_queue_init(&queue);
}

static int queue_close(void **state)
{
    (void)state;
    fair_queue_finish(&queue);
    return 0;
}

/* ---- single rules -------------------------------------------------------------------------- */

static void start_next(struct fair_item *expected, uint64_t now_us)
{
    struct fair_item *next = fair_queue_next(&queue, now_us);
    assert_ptr_equal(next, expected);
    fair_queue_start(&queue, next, now_us);
    fair_queue_check(&queue);
}

static void of_one_tenant_who_came_first_is_first(void **state)
{
    (void)state;
    struct fair_item items[4];
    memset(items, 0, sizeof items);
    assert_null(fair_queue_next(&queue, 0));
    for (uint32_t i = 0; i < 4; i++)
        fair_queue_join(&queue, &items[i], 2, 7, 0);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(fair_queue_position(&queue, &items[i]), i);
    fair_queue_leave(&queue, &items[1]);
    fair_queue_check(&queue);
    start_next(&items[0], 0);
    assert_int_equal(fair_queue_position(&queue, &items[2]), 0);
    start_next(&items[2], 0);
    start_next(&items[3], 0);
    assert_null(fair_queue_next(&queue, 0));
    for (uint32_t i = 0; i < 4; i++)
        if (i != 1)
            fair_queue_end(&queue, &items[i], 5);
    fair_queue_check(&queue);
}

static void a_position_only_falls(void **state)
{
    (void)state;
    struct fair_item items[6];
    memset(items, 0, sizeof items);
    for (uint32_t i = 0; i < 5; i++)
        fair_queue_join(&queue, &items[i], 2, 7, 0);
    fair_queue_leave(&queue, &items[1]);
    fair_queue_leave(&queue, &items[2]);
    assert_int_equal(fair_queue_position(&queue, &items[4]), 4);
    fair_queue_join(&queue, &items[5], 2, 7, 0);
    assert_int_equal(fair_queue_position(&queue, &items[4]), 4);
    start_next(&items[0], 0);
    assert_int_equal(fair_queue_position(&queue, &items[3]), 0);
    assert_int_equal(fair_queue_position(&queue, &items[4]), 1);
}

static void who_comes_to_a_flood_is_next(void **state)
{
    (void)state;
    static struct fair_item flood[100];
    struct fair_item polite = {.flow = 0};
    memset(flood, 0, sizeof flood);
    for (uint32_t i = 0; i < 100; i++)
        fair_queue_join(&queue, &flood[i], 2, 1, 0);
    for (uint32_t i = 0; i < 4; i++)
        start_next(&flood[i], i * MS);
    fair_queue_join(&queue, &polite, 2, 2, 5 * MS);
    assert_int_equal(fair_queue_position(&queue, &polite), 0);
    start_next(&polite, 5 * MS);
}

static void a_better_class_goes_first_and_the_other_one_is_not_forgotten(void **state)
{
    (void)state;
    static struct fair_item batch[10], first[100];
    memset(batch, 0, sizeof batch);
    memset(first, 0, sizeof first);
    for (uint32_t i = 0; i < 10; i++)
        fair_queue_join(&queue, &batch[i], 3, 1, 0);
    for (uint32_t i = 0; i < 100; i++)
        fair_queue_join(&queue, &first[i], 0, 1, 0);
    uint32_t batch_count = 0;
    for (uint64_t now_us = 0; now_us < 90 * MS; now_us += MS) {
        struct fair_item *next = fair_queue_next(&queue, now_us);
        fair_queue_start(&queue, next, now_us);
        batch_count += next >= batch && next < batch + 10;
        fair_queue_end(&queue, next, now_us + MS);
        fair_queue_check(&queue);
    }
    assert_int_equal(batch_count, 10); /* one of nine: a weight of 1 beside one of 8 */
}

/* A tenant is charged far too much at first, and waits for nothing while others go on. */
static void nobody_saves_up_time_for_later(void **state)
{
    (void)state;
    static struct fair_item items[2][256];
    memset(items, 0, sizeof items);
    uint64_t now_us = 0;
    for (uint32_t i = 0; i < 9; i++) {
        fair_queue_join(&queue, &items[1][i], 2, 2, now_us);
        fair_queue_start(&queue, &items[1][i], now_us);
        if (i == 0)
            fair_queue_end(&queue, &items[1][i], now_us += 10000 * MS);
    }
    for (uint32_t i = 0; i < 192; i++) {
        fair_queue_join(&queue, &items[0][i], 2, 1, now_us);
        fair_queue_start(&queue, &items[0][i], now_us);
        if (i % 64 == 63) {
            now_us += 1000 * MS;
            for (uint32_t k = i - 63; k <= i; k++)
                fair_queue_end(&queue, &items[0][k], now_us);
        }
    }
    for (uint32_t i = 192; i < 256; i++) {
        fair_queue_join(&queue, &items[0][i], 2, 1, now_us);
        fair_queue_join(&queue, &items[1][i], 2, 2, now_us);
    }
    for (uint32_t i = 1; i < 9; i++)
        fair_queue_end(&queue, &items[1][i], now_us);
    uint32_t counts[2] = {0};
    for (uint32_t i = 0; i < 20; i++) {
        struct fair_item *next = fair_queue_next(&queue, now_us);
        counts[next >= items[1]]++;
        fair_queue_start(&queue, next, now_us);
        fair_queue_end(&queue, next, now_us += 100000 * MS);
    }
    assert_in_range(counts[0], 9, 11);
}

static void more_tenants_than_places_share_one(void **state)
{
    (void)state;
    enum { COUNT = 10000 };
    static struct fair_item items[COUNT];
    memset(items, 0, sizeof items);
    for (uint32_t i = 0; i < COUNT; i++)
        fair_queue_join(&queue, &items[i], 2, i + 1, 0);
    fair_queue_check(&queue);
    assert_int_equal(queue.busy_count, FAIR_FLOW_COUNT_MAX + 1);
    assert_int_equal(fair_queue_position(&queue, &items[FAIR_FLOW_COUNT_MAX - 1]), 0);
    assert_int_equal(fair_queue_position(&queue, &items[COUNT - 1]),
                     COUNT - FAIR_FLOW_COUNT_MAX - 1);
    for (uint32_t i = 0; i < COUNT; i++) {
        struct fair_item *next = fair_queue_next(&queue, i * MS);
        fair_queue_start(&queue, next, i * MS);
        fair_queue_end(&queue, next, (i + 1) * MS);
    }
    fair_queue_check(&queue);
    assert_int_equal(queue.busy_count, 0);
    /* Places of tenants that are gone are free for others. */
    for (uint32_t i = 0; i < FAIR_FLOW_COUNT_MAX; i++)
        fair_queue_join(&queue, &items[i], 7, i + 1, COUNT * MS);
    fair_queue_check(&queue);
    assert_int_equal(queue.busy_count, FAIR_FLOW_COUNT_MAX);
}

static void the_newest_of_the_longest_makes_room(void **state)
{
    (void)state;
    struct fair_item items[8];
    memset(items, 0, sizeof items);
    assert_null(fair_queue_displaced(&queue, 2, 1));
    for (uint32_t i = 0; i < 4; i++)
        fair_queue_join(&queue, &items[i], 2, 1, 0);
    assert_null(fair_queue_displaced(&queue, 2, 1));
    assert_ptr_equal(fair_queue_displaced(&queue, 2, 2), &items[3]);
    assert_ptr_equal(fair_queue_displaced(&queue, 7, 1), &items[3]); /* another flow */
    for (uint32_t i = 4; i < 7; i++)
        fair_queue_join(&queue, &items[i], 2, 2, 0);
    assert_null(fair_queue_displaced(&queue, 2, 2)); /* 4 and 3 would be 3 and 4 */
    fair_queue_leave(&queue, &items[4]);
    assert_ptr_equal(fair_queue_displaced(&queue, 2, 2), &items[3]);
    fair_queue_leave(&queue, &items[0]);
    fair_queue_leave(&queue, &items[1]);
    fair_queue_join(&queue, &items[4], 7, 3, 0);
    fair_queue_join(&queue, &items[0], 7, 3, 0);
    /* Of three with two each, the one of the last class. */
    assert_ptr_equal(fair_queue_displaced(&queue, 0, 9), &items[0]);
}

/* ---- the simulation ------------------------------------------------------------------------ */

/* Each keeps so many waiting or active: a flood many, a polite one as many as it needs to have
 * some that wait always. */
struct tenant {
    uint32_t class;
    uint32_t outstanding_max;
    uint64_t mean_us;
    uint32_t outstanding;
    uint64_t used_us;
    uint64_t number, started_number; /* of its items, in the order they came */
    uint64_t gap_us, started_us;     /* longest time between two of its starts */
    uint32_t active_count, held;     /* slots that it has, and that it had before its last start */
    double gap_part;                 /* the most, of what a class may wait */
};

struct sim_item {
    struct fair_item fair;
    struct sim_item *next;
    uint32_t tenant;
    uint64_t number;
    uint64_t end_us;
};

static struct {
    struct tenant tenants[TENANT_COUNT];
    uint32_t tenant_count, slot_count;
    struct sim_item *slots[SLOT_COUNT];
    struct sim_item items[ITEM_COUNT];
    struct sim_item *free;
    uint64_t now_us, chance;
    uint64_t longest_us;
} sim;

static void sim_begin(uint64_t seed, uint32_t slot_count)
{
    fair_queue_finish(&queue);
    assert_int_equal(fair_queue_init(&queue), 0);
    memset(&sim, 0, sizeof sim);
    sim.chance = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    sim.slot_count = slot_count;
    for (uint32_t i = 0; i < ITEM_COUNT; i++) {
        sim.items[i].next = sim.free;
        sim.free = &sim.items[i];
    }
}

static void sim_tenant(uint32_t class, uint32_t outstanding_max, uint64_t mean_us)
{
    sim.tenants[sim.tenant_count++] =
        (struct tenant){.class = class, .outstanding_max = outstanding_max, .mean_us = mean_us};
}

static void sim_arrive(void)
{
    for (uint32_t i = 0; i < sim.tenant_count; i++) {
        struct tenant *tenant = &sim.tenants[i];
        for (; tenant->outstanding < tenant->outstanding_max; tenant->outstanding++) {
            struct sim_item *item = sim.free;
            sim.free = item->next;
            item->tenant = i;
            item->number = tenant->number++;
            fair_queue_join(&queue, &item->fair, tenant->class, i + 1, sim.now_us);
        }
    }
}

/* From a tenth to three times the mean, most of them short. */
static uint64_t sim_duration(const struct tenant *tenant)
{
    uint64_t part = random_next(&sim.chance) % 1000;
    return tenant->mean_us / 10 + tenant->mean_us * 29 / 10 * part * part / 1000000;
}

/* What the header says of a class, where all that is there of it is this tenant. */
static double sim_bound_us(const struct tenant *tenant)
{
    double runs = (1.0 + tenant->held) * FAIR_CLASS_PART + sim.slot_count + RUN_CLASS_COUNT;
    return runs * 3.0 * BATCH_MEAN_US / sim.slot_count;
}

static void sim_note_gap(struct tenant *tenant)
{
    uint64_t gap_us = sim.now_us - tenant->started_us;
    double part = (double)gap_us / sim_bound_us(tenant);
    if (gap_us > tenant->gap_us)
        tenant->gap_us = gap_us;
    if (part > tenant->gap_part)
        tenant->gap_part = part;
    tenant->started_us = sim.now_us;
    tenant->held = tenant->active_count++;
}

static void sim_start(uint32_t slot)
{
    struct fair_item *next = fair_queue_next(&queue, sim.now_us);
    if (!next)
        return;
    struct sim_item *item = (struct sim_item *)next;
    struct tenant *tenant = &sim.tenants[item->tenant];
    uint64_t took_us = sim_duration(tenant);
    fair_queue_start(&queue, next, sim.now_us);
    assert_int_equal(item->number, tenant->started_number); /* first come, first served */
    tenant->started_number++;
    sim_note_gap(tenant);
    item->end_us = sim.now_us + took_us;
    if (took_us > sim.longest_us)
        sim.longest_us = took_us;
    sim.slots[slot] = item;
}

/* To the next end, which is that of the slot it returns. */
static void sim_end_next(void)
{
    uint32_t first = UINT32_MAX;
    for (uint32_t i = 0; i < sim.slot_count; i++)
        if (sim.slots[i] &&
            (first == UINT32_MAX || sim.slots[i]->end_us < sim.slots[first]->end_us))
            first = i;
    struct sim_item *item = sim.slots[first];
    struct tenant *tenant = &sim.tenants[item->tenant];
    sim.slots[first] = NULL;
    sim.now_us = item->end_us;
    tenant->used_us += item->end_us - item->fair.started_us;
    tenant->outstanding--;
    tenant->active_count--;
    fair_queue_end(&queue, &item->fair, sim.now_us);
    item->next = sim.free;
    sim.free = item;
}

static void sim_run(uint32_t end_count)
{
    for (uint32_t i = 0; i < end_count; i++) {
        sim_arrive();
        for (uint32_t slot = 0; slot < sim.slot_count; slot++)
            if (!sim.slots[slot])
                sim_start(slot);
        sim_end_next();
    }
    fair_queue_check(&queue);
}

static double sim_share(uint32_t tenant)
{
    uint64_t total_us = 0;
    for (uint32_t i = 0; i < sim.tenant_count; i++)
        total_us += sim.tenants[i].used_us;
    return (double)sim.tenants[tenant].used_us / (double)total_us;
}

static const uint32_t slot_counts[] = {1, 2, 4, 16, 64};

static uint64_t seed_first(void)
{
    uint64_t seed = environment_number("SEED", (uint64_t)time(NULL));
    print_message("SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static void nine_polite_tenants_have_their_shares_beside_a_flood(void **state)
{
    (void)state;
    uint64_t seed = seed_first(), count = environment_number("N", SEED_COUNT);
    double least = 1, flood_most = 0;
    for (uint64_t s = 0; s < count; s++)
        for (size_t k = 0; k < sizeof slot_counts / sizeof slot_counts[0]; k++) {
            uint32_t slots = slot_counts[k];
            sim_begin(seed + s, slots);
            sim_tenant(2, 2000, 40 * MS);
            for (uint32_t i = 0; i < 9; i++)
                sim_tenant(2, slots + 2, (10 + random_next(&sim.chance) % 70) * MS);
            sim_run(3000 + 300 * slots);
            for (uint32_t i = 1; i < 10; i++)
                least = sim_share(i) < least ? sim_share(i) : least;
            flood_most = sim_share(0) > flood_most ? sim_share(0) : flood_most;
        }
    print_message("fair share 0.100: polite least %.4f, flood most %.4f\n", least, flood_most);
    assert_true(least >= 0.9 / 10);
}

/* They have one outstanding at a time, and so each waits less than for all others once. */
static void who_sends_one_after_the_other_waits_for_each_tenant_once(void **state)
{
    (void)state;
    uint64_t seed = seed_first(), count = environment_number("N", SEED_COUNT);
    for (uint64_t s = 0; s < count; s++) {
        sim_begin(seed + s, 1);
        sim_tenant(2, 2000, 40 * MS);
        for (uint32_t i = 0; i < 9; i++)
            sim_tenant(2, 1, 40 * MS);
        sim_run(3000);
        /* Of those that take long, others get some more. */
        for (uint32_t i = 1; i < 10; i++)
            assert_true(sim.tenants[i].gap_us <= 3 * 10 * sim.longest_us);
    }
}

/* Some interactive tenants and one of batch: its share by weights, the longest that it waited as a
 * part of the bound. */
static void sim_classes(uint64_t seed, uint32_t slots, uint32_t tenant_count, double *share,
                        double *part)
{
    sim_begin(seed, slots);
    for (uint32_t i = 0; i < tenant_count; i++)
        sim_tenant(2, 200, (10 + random_next(&sim.chance) % 70) * MS);
    sim_tenant(7, slots + 2, BATCH_MEAN_US);
    sim_run(12000 + 300 * slots);
    *share = sim_share(tenant_count);
    *part = sim.tenants[tenant_count].gap_part;
}

/* What sim_classes() gave with each seed. */
struct extremes {
    double least, most; /* of the share */
    double longest;     /* of the part */
};

static struct extremes sim_extremes(uint32_t tenant_count)
{
    uint64_t seed = seed_first(), count = environment_number("N", SEED_COUNT);
    struct extremes found = {.least = 1};
    for (uint64_t s = 0; s < count; s++) {
        double share, part;
        sim_classes(seed + s, slot_counts[s % 4], tenant_count, &share, &part);
        found.least = share < found.least ? share : found.least;
        found.most = share > found.most ? share : found.most;
        found.longest = part > found.longest ? part : found.longest;
    }
    return found;
}

static void a_tenant_of_a_class_has_its_weight(void **state)
{
    (void)state;
    struct extremes found = sim_extremes(1);
    print_message("1 of 33 = %.4f: least %.4f, most %.4f\n", 1 / 33.0, found.least, found.most);
    assert_true(found.least >= 0.8 / 33);
    assert_true(found.most <= 1.25 / 33);
}

/* By weights it would have one of 1,281. */
static void a_class_that_waits_never_waits_longer_than_the_bound(void **state)
{
    (void)state;
    struct extremes found = sim_extremes(40);
    print_message("1 of 256 = %.4f: least %.4f; longest wait %.2f of the bound\n", 1 / 256.0,
                  found.least, found.longest);
    assert_true(found.longest <= 1);
    assert_true(found.least >= 0.7 / 256);
}

/* Two tenants of a class that had more than its weight, since it would have starved: what it got so
 * is nobody's debt. `does_rest`: the first one waits for nothing before the second one comes. */
static void sim_second_of_batch(uint64_t seed, uint32_t slots, bool does_rest)
{
    double share, part;
    sim_classes(seed, slots, 40, &share, &part);
    struct tenant *first = &sim.tenants[40], *second = &sim.tenants[41];
    if (does_rest) {
        uint32_t most = first->outstanding_max;
        first->outstanding_max = 0;
        while (first->outstanding > 0)
            sim_run(100);
        first->outstanding_max = most;
    }
    uint64_t first_us = first->used_us;
    sim_tenant(7, slots + 2, BATCH_MEAN_US);
    sim_run(30000);
    int64_t apart_us = (int64_t)(first->used_us - first_us) - (int64_t)second->used_us;
    uint64_t bound_us = (2 * slots + 4) * 3 * BATCH_MEAN_US;
    assert_in_range(apart_us + (int64_t)bound_us, 0, 2 * bound_us);
}

static void who_comes_to_a_class_takes_nothing_from_who_was_there(void **state)
{
    (void)state;
    uint64_t seed = seed_first(), count = environment_number("N", SEED_COUNT) / 4 + 1;
    for (uint64_t s = 0; s < count; s++) {
        sim_second_of_batch(seed + s, slot_counts[s % 3], false);
        sim_second_of_batch(seed + s, slot_counts[s % 3], true);
    }
}

/* A worse class where nobody else is, is no way to get more than those of a better one. */
static void a_flood_gains_nothing_in_a_class_of_its_own(void **state)
{
    (void)state;
    uint64_t seed = seed_first(), count = environment_number("N", SEED_COUNT);
    for (uint64_t s = 0; s < count; s++) {
        sim_begin(seed + s, slot_counts[s % 4]);
        sim_tenant(3, 2000, 40 * MS);
        for (uint32_t i = 0; i < 9; i++)
            sim_tenant(2, sim.slot_count + 2, 40 * MS);
        sim_run(6000);
        for (uint32_t i = 1; i < 10; i++)
            assert_true(sim_share(i) > 1.5 * sim_share(0));
    }
}

/* Two flows that always wait never differ by more than twice the longest on every slot. */
static void flows_that_wait_differ_by_a_bound_whatever_is_mixed(void **state)
{
    (void)state;
    uint64_t seed = seed_first(), count = environment_number("N", SEED_COUNT);
    for (uint64_t s = 0; s < count; s++) {
        sim_begin(seed + s, 1 + (uint32_t)(s % 16));
        for (uint32_t i = 0; i < 12; i++)
            sim_tenant(2, 2 * sim.slot_count + 2, (1 + random_next(&sim.chance) % 200) * MS);
        for (uint32_t step = 0; step < 50; step++) {
            sim_run(100);
            uint64_t least = UINT64_MAX, most = 0;
            for (uint32_t i = 0; i < 12; i++) {
                uint64_t used = sim.tenants[i].used_us;
                least = used < least ? used : least;
                most = used > most ? used : most;
            }
            assert_true(most - least <= 2 * sim.slot_count * sim.longest_us);
        }
    }
}

/* Joins, starts, ends and leaves in any order: nothing is lost and all adds up. */
static void whatever_comes_and_goes_all_of_it_adds_up(void **state)
{
    (void)state;
    uint64_t seed = seed_first();
    uint64_t count = environment_number("STEPS", 60000);
    sim_begin(seed, 1);
    uint64_t now_us = 0;
    for (uint64_t step = 0; step < count; step++) {
        struct sim_item *item = &sim.items[random_next(&sim.chance) % 3000];
        uint64_t chance = random_next(&sim.chance) % 8;
        now_us += chance * MS;
        if (item->fair.is_waiting && chance < 2)
            fair_queue_leave(&queue, &item->fair);
        else if (item->fair.is_active)
            fair_queue_end(&queue, &item->fair, now_us);
        else if (!item->fair.is_waiting)
            fair_queue_join(&queue, &item->fair, (uint32_t)(random_next(&sim.chance) % 10),
                            random_next(&sim.chance) % 2500, now_us);
        struct fair_item *next = chance > 3 ? fair_queue_next(&queue, now_us) : NULL;
        if (next)
            fair_queue_start(&queue, next, now_us);
        if (step % 500 == 0)
            fair_queue_check(&queue);
    }
    fair_queue_check(&queue);
}

#define QUEUE_TEST(name) cmocka_unit_test_setup_teardown(name, queue_open, queue_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        QUEUE_TEST(of_one_tenant_who_came_first_is_first),
        QUEUE_TEST(a_position_only_falls),
        QUEUE_TEST(who_comes_to_a_flood_is_next),
        QUEUE_TEST(a_better_class_goes_first_and_the_other_one_is_not_forgotten),
        QUEUE_TEST(nobody_saves_up_time_for_later),
        QUEUE_TEST(more_tenants_than_places_share_one),
        QUEUE_TEST(the_newest_of_the_longest_makes_room),
        QUEUE_TEST(nine_polite_tenants_have_their_shares_beside_a_flood),
        QUEUE_TEST(who_sends_one_after_the_other_waits_for_each_tenant_once),
        QUEUE_TEST(a_tenant_of_a_class_has_its_weight),
        QUEUE_TEST(a_class_that_waits_never_waits_longer_than_the_bound),
        QUEUE_TEST(who_comes_to_a_class_takes_nothing_from_who_was_there),
        QUEUE_TEST(a_flood_gains_nothing_in_a_class_of_its_own),
        QUEUE_TEST(flows_that_wait_differ_by_a_bound_whatever_is_mixed),
        QUEUE_TEST(whatever_comes_and_goes_all_of_it_adds_up),
    };
    return cmocka_run_group_tests_name("fair_queue", tests, descriptors_note, descriptors_compare);
}
