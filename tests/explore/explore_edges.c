/* SPDX-License-Identifier: MIT */
/*
 * explore_edges.c - each edge R/A of docs/internals/memory.md carries what it is there for: plain
 * bytes that nothing else orders, in all runs of the explorer.
 *
 * Each side does its part once and looks once, so that no bell and no second look orders by itself
 * what the edge should.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include "millrace/limits.h"
#include "millrace/protocol.h"
#include "shm/ring.h"
#include "shm/slot.h"

#include <cmocka.h>

#include "tests/explore/explorer.h"

#define CAPACITY RING_BYTES_MIN
#define RECORDS_IN_FULL_RING 4u
#define GENERATION 3u
#define WATCHDOG_S 60u

struct world {
    struct slot_shared slot;
    _Atomic uint64_t cancel_count;
    uint64_t input;    /* R3 of the offer */
    uint64_t output;   /* R3 of the worker's last move */
    uint64_t reason;   /* R4, and with it R6 */
    uint64_t delivery; /* R5 */
    _Alignas(128) uint8_t ring[sizeof(struct ring_shared) + CAPACITY];
};

#define RING(word) (offsetof(struct world, ring) + offsetof(struct ring_shared, word))

static const struct explorer_name names[] = {
    {RING(tail), "tail"},
    {RING(head), "head"},
    {RING(data), "the first record"},
    {offsetof(struct world, slot.word), "slot"},
    {offsetof(struct world, slot.cancel), "cancel"},
    {offsetof(struct world, slot.delivered), "delivered"},
    {offsetof(struct world, cancel_count), "cancel count"},
    {offsetof(struct world, input), "input"},
    {offsetof(struct world, output), "output"},
    {offsetof(struct world, reason), "reason"},
    {offsetof(struct world, delivery), "delivery"},
};

static struct ring_shared *ring_of(struct world *world)
{
    return (void *)world->ring;
}

/* How many runs had what this is about in them; each looks at something that need not be there. */
static uint64_t seen_count;

static void explore(void (*begin)(void *), void (*dispatcher)(void *), void (*worker)(void *))
{
    static struct world world;
    static struct explorer_result result;
    const struct explorer_side sides[] = {{"dispatcher", dispatcher}, {"worker", worker}};
    seen_count = 0;
    explorer_explore(
        &(struct explorer_world){
            .memory = &world,
            .bytes = sizeof world,
            .begin = begin,
            .sides = sides,
            .side_count = ARRAY_COUNT(sides),
            .names = names,
            .name_count = ARRAY_COUNT(names),
        },
        &result);
    explorer_print(&result);
    assert_int_equal(result.finding, EXPLORER_NOTHING);
    assert_true(seen_count > 0);
    assert_true(seen_count < result.run_count);
}

/* ---- ring ------------------------------------------------------------------------------------ */

static void ring_begin(void *argument)
{
    ring_format(ring_of(argument), CAPACITY);
}

static void commit(struct ring_tx *tx, uint32_t bytes, uint64_t word)
{
    void *payload;
    explorer_expect(ring_claim(tx, bytes, &payload) == 0);
    memcpy(payload, &word, sizeof word);
    ring_commit(tx, &(struct record){.bytes = bytes, .kind = RECORD_CHUNK});
}

static void full_ring_begin(void *argument)
{
    struct ring_tx tx;
    ring_begin(argument);
    ring_tx_init(&tx, ring_of(argument), CAPACITY);
    for (uint32_t i = 0; i < RECORDS_IN_FULL_RING; i++)
        commit(&tx, ring_payload_max(CAPACITY), i);
}

/* One that does not fit before the wrap, so that a pad is in front of it. */
static void padded_ring_begin(void *argument)
{
    struct ring_tx tx;
    struct ring_rx rx;
    struct record meta;
    const void *payload;
    ring_begin(argument);
    ring_tx_init(&tx, ring_of(argument), CAPACITY);
    for (uint32_t i = 0; i < RECORDS_IN_FULL_RING; i++)
        commit(&tx, ring_payload_max(CAPACITY) - RECORD_ALIGN, i);
    ring_rx_init(&rx, ring_of(argument), CAPACITY);
    for (uint32_t i = 0; i < RECORDS_IN_FULL_RING; i++)
        mr_assert(ring_peek(&rx, &meta, &payload) == 1);
    ring_release(&rx);
}

static void worker_commits(void *argument)
{
    struct ring_tx tx;
    ring_tx_init(&tx, ring_of(argument), CAPACITY);
    commit(&tx, 3 * sizeof(uint64_t), 7);
}

static void worker_commits_large(void *argument)
{
    struct ring_tx tx;
    ring_tx_init(&tx, ring_of(argument), CAPACITY);
    commit(&tx, 256, 7);
}

static void dispatcher_peeks(void *argument)
{
    struct ring_rx rx;
    struct record meta;
    const void *payload;
    ring_rx_init(&rx, ring_of(argument), CAPACITY);
    int rc = ring_peek(&rx, &meta, &payload);
    if (rc == 0)
        return;
    uint64_t word;
    explorer_expect(rc == 1);
    memcpy(&word, payload, sizeof word);
    explorer_expect(word == 7);
    explorer_expect(meta.kind == RECORD_CHUNK);
    seen_count++;
}

static void dispatcher_releases_a_full_ring(void *argument)
{
    struct ring_rx rx;
    struct record meta;
    const void *payload;
    ring_rx_init(&rx, ring_of(argument), CAPACITY);
    for (uint64_t i = 0; i < RECORDS_IN_FULL_RING; i++) {
        uint64_t word;
        explorer_expect(ring_peek(&rx, &meta, &payload) == 1);
        memcpy(&word, payload, sizeof word);
        explorer_expect(word == i);
        ring_release(&rx);
    }
}

static void worker_writes_where_there_is_room(void *argument)
{
    struct ring_tx tx;
    void *payload;
    ring_tx_init(&tx, ring_of(argument), CAPACITY);
    int rc = ring_claim(&tx, sizeof(uint64_t), &payload);
    if (rc == -EAGAIN)
        return;
    explorer_expect(rc == 0);
    memset(payload, 0, sizeof(uint64_t));
    ring_commit(&tx, &(struct record){.bytes = sizeof(uint64_t), .kind = RECORD_CHUNK});
    seen_count++;
}

static void a_record_that_is_visible_is_whole(void **state)
{
    (void)state;
    explore(ring_begin, dispatcher_peeks, worker_commits);
}

static void a_pad_is_visible_with_what_is_behind_it(void **state)
{
    (void)state;
    explore(padded_ring_begin, dispatcher_peeks, worker_commits_large);
}

static void nothing_is_overwritten_before_it_was_read(void **state)
{
    (void)state;
    explore(full_ring_begin, dispatcher_releases_a_full_ring, worker_writes_where_there_is_room);
}

/* ---- slot ------------------------------------------------------------------------------------ */

static void offered_begin(void *argument)
{
    struct world *world = argument;
    slot_offer(&world->slot, GENERATION);
}

static void dispatcher_offers(void *argument)
{
    struct world *world = argument;
    world->input = 7;
    slot_offer(&world->slot, GENERATION);
}

static void worker_takes_the_offer(void *argument)
{
    struct world *world = argument;
    if (!slot_move(&world->slot, GENERATION, SLOT_OFFERED, SLOT_RUNNING))
        return;
    explorer_expect(world->input == 7);
    explorer_expect(slot_cancel_reason(&world->slot, GENERATION) == CANCEL_NONE);
    seen_count++;
}

/* Whoever is first: the other finds what he has written before. */
static void dispatcher_revokes(void *argument)
{
    struct world *world = argument;
    world->reason = 7;
    if (slot_move(&world->slot, GENERATION, SLOT_OFFERED, SLOT_REVOKED))
        return;
    if (slot_move(&world->slot, GENERATION, SLOT_ENDED, SLOT_ENDED)) {
        explorer_expect(world->output == 9);
        seen_count++;
    }
}

static void worker_runs_unless_it_is_revoked(void *argument)
{
    struct world *world = argument;
    if (slot_move(&world->slot, GENERATION, SLOT_OFFERED, SLOT_RUNNING)) {
        world->output = 9;
        explorer_expect(slot_move(&world->slot, GENERATION, SLOT_RUNNING, SLOT_ENDED));
        return;
    }
    explorer_expect(slot_move(&world->slot, GENERATION, SLOT_REVOKED, SLOT_ENDED));
    explorer_expect(world->reason == 7);
}

static void dispatcher_cancels(void *argument)
{
    struct world *world = argument;
    world->reason = 7;
    slot_cancel(&world->slot, &world->cancel_count, GENERATION, CANCEL_REQUESTED);
}

static void worker_looks_at_its_word(void *argument)
{
    struct world *world = argument;
    if (slot_cancel_reason(&world->slot, GENERATION) == CANCEL_NONE)
        return;
    explorer_expect(world->reason == 7);
    seen_count++;
}

static void worker_looks_at_the_count(void *argument)
{
    struct world *world = argument;
    if (slot_cancel_count(&world->cancel_count) == 0)
        return;
    explorer_expect(slot_cancel_reason(&world->slot, GENERATION) == CANCEL_REQUESTED);
    explorer_expect(world->reason == 7);
    seen_count++;
}

static void dispatcher_delivers(void *argument)
{
    struct world *world = argument;
    world->delivery = 7;
    slot_deliver(&world->slot, 1);
}

static void worker_looks_at_what_is_delivered(void *argument)
{
    struct world *world = argument;
    if (slot_delivered(&world->slot) == 0)
        return;
    explorer_expect(world->delivery == 7);
    seen_count++;
}

static void an_offer_brings_what_was_written_before(void **state)
{
    (void)state;
    explore(NULL, dispatcher_offers, worker_takes_the_offer);
}

static void a_run_is_revoked_or_begun_and_either_brings_what_was_written_before(void **state)
{
    (void)state;
    explore(offered_begin, dispatcher_revokes, worker_runs_unless_it_is_revoked);
}

static void a_cancel_word_brings_what_was_written_before(void **state)
{
    (void)state;
    explore(offered_begin, dispatcher_cancels, worker_looks_at_its_word);
}

static void a_count_of_cancels_brings_the_words_that_are_counted(void **state)
{
    (void)state;
    explore(offered_begin, dispatcher_cancels, worker_looks_at_the_count);
}

static void a_delivered_count_brings_what_was_written_before(void **state)
{
    (void)state;
    explore(offered_begin, dispatcher_delivers, worker_looks_at_what_is_delivered);
}

int main(void)
{
    alarm(WATCHDOG_S);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_that_is_visible_is_whole),
        cmocka_unit_test(a_pad_is_visible_with_what_is_behind_it),
        cmocka_unit_test(nothing_is_overwritten_before_it_was_read),
        cmocka_unit_test(an_offer_brings_what_was_written_before),
        cmocka_unit_test(a_run_is_revoked_or_begun_and_either_brings_what_was_written_before),
        cmocka_unit_test(a_cancel_word_brings_what_was_written_before),
        cmocka_unit_test(a_count_of_cancels_brings_the_words_that_are_counted),
        cmocka_unit_test(a_delivered_count_brings_what_was_written_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
