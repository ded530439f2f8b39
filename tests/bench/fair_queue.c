/* SPDX-License-Identifier: MIT */
/*
 * fair_queue.c - nanoseconds that one run costs in a fair queue, from when it joins to its end, by
 * how many runs and tenants wait; and what it costs to find out who makes room in a full one.
 *
 * Each figure is the best of several rounds, which is what a noisy machine can say about code.
 */
#include "dispatcher/runs/fair_queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUND_COUNT 7
#define TURN_COUNT 100000u
#define ITEM_COUNT_MAX 100000u
#define SLOT_US 1000u

static struct fair_queue queue;
static struct fair_item items[ITEM_COUNT_MAX];

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The one that ended joins again: so many wait always. */
static uint64_t turns_ns(uint32_t tenant_count, uint64_t *at_us)
{
    uint64_t began_ns = now_ns();
    for (uint32_t i = 0; i < TURN_COUNT; i++) {
        struct fair_item *item = fair_queue_next(&queue, *at_us);
        fair_queue_start(&queue, item, *at_us);
        *at_us += SLOT_US + i % 7;
        fair_queue_end(&queue, item, *at_us);
        fair_queue_join(&queue, item, 2, i % tenant_count + 1, *at_us);
    }
    return (now_ns() - began_ns) / TURN_COUNT;
}

static uint64_t displaced_ns(void)
{
    uint64_t began_ns = now_ns();
    uint64_t found = 0;
    for (uint32_t i = 0; i < TURN_COUNT / 10; i++)
        found += fair_queue_displaced(&queue, 2, UINT64_MAX - i) != NULL;
    return found > TURN_COUNT ? 0 : (now_ns() - began_ns) / (TURN_COUNT / 10);
}

static void report(uint32_t item_count, uint32_t tenant_count)
{
    uint64_t at_us = 1, best_ns = UINT64_MAX, room_ns = UINT64_MAX;
    if (fair_queue_init(&queue) < 0)
        exit(1);
    for (uint32_t i = 0; i < item_count; i++) {
        items[i] = (struct fair_item){.flow = 0};
        fair_queue_join(&queue, &items[i], 2, i % tenant_count + 1, at_us);
    }
    for (int round = 0; round < ROUND_COUNT; round++) {
        uint64_t ns = turns_ns(tenant_count, &at_us);
        best_ns = ns < best_ns ? ns : best_ns;
        ns = displaced_ns();
        room_ns = ns < room_ns ? ns : room_ns;
    }
    printf("%8u %8u %10llu %14llu\n", item_count, tenant_count, (unsigned long long)best_ns,
           (unsigned long long)room_ns);
    fair_queue_finish(&queue);
}

int main(void)
{
    printf("%8s %8s %10s %14s\n", "waiting", "tenants", "a run, ns", "make room, ns");
    report(10, 10);
    report(1000, 10);
    report(10000, 1);
    report(10000, 10);
    report(10000, 1000);
    report(10000, 10000);
    report(100000, 1000);
    return 0;
}
