/* SPDX-License-Identifier: MIT */
/*
 * explore_doorbell.c - no wake-up is lost, whatever the order: shm/doorbell.c, and what wakers
 * publish (records, room, cancel words, delivered counts), in all runs of the explorer.
 *
 * The sides do what worker and dispatcher do, each in the order that shm/doorbell.h asks for. Two
 * that do not show that the explorer would notice.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include "millrace/limits.h"
#include "millrace/protocol.h"
#include "shm/doorbell.h"
#include "shm/ring.h"
#include "shm/slot.h"

#include <cmocka.h>

#include "tests/explore/explorer.h"

#define CAPACITY RING_BYTES_MIN
#define RECORDS_IN_FULL_RING 4u
#define GENERATION 3u
#define WATCHDOG_S 60u

/* Requests go to the worker, replies to the dispatcher; each sleeps on the bell that is its own. */
struct world {
    struct doorbell_shared worker_bell;
    struct doorbell_shared dispatcher_bell;
    struct slot_shared slot;
    _Atomic uint64_t cancel_count;
    _Alignas(128) uint8_t replies[sizeof(struct ring_shared) + CAPACITY];
};

#define REPLIES(word) (offsetof(struct world, replies) + offsetof(struct ring_shared, word))

static const struct explorer_name names[] = {
    {REPLIES(tail), "tail"},
    {REPLIES(head), "head"},
    {offsetof(struct world, worker_bell.asleep), "asleep (worker)"},
    {offsetof(struct world, dispatcher_bell.asleep), "asleep (dispatcher)"},
    {offsetof(struct world, slot.cancel), "cancel"},
    {offsetof(struct world, slot.delivered), "delivered"},
    {offsetof(struct world, cancel_count), "cancel count"},
};

static struct ring_shared *replies_of(struct world *world)
{
    return (void *)world->replies;
}

static struct doorbell worker_bell(struct world *world)
{
    return (struct doorbell){.shared = &world->worker_bell, .fd = explorer_bell(0)};
}

static struct doorbell dispatcher_bell(struct world *world)
{
    return (struct doorbell){.shared = &world->dispatcher_bell, .fd = explorer_bell(1)};
}

static void explore(void (*begin)(void *), void (*worker)(void *), void (*dispatcher)(void *),
                    enum explorer_finding expected)
{
    static struct explorer_result result;
    static struct world world;
    const struct explorer_side sides[] = {{"worker", worker}, {"dispatcher", dispatcher}};
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
    if (expected == EXPLORER_NOTHING || result.finding != expected)
        explorer_print(&result);
    assert_int_equal(result.finding, expected);
}

/* ---- records --------------------------------------------------------------------------------- */

static void ring_begin(void *argument)
{
    struct world *world = argument;
    ring_format(replies_of(world), CAPACITY);
}

static void commit(struct ring_tx *tx, uint32_t sequence, uint32_t bytes)
{
    void *payload;
    explorer_expect(ring_claim(tx, bytes, &payload) == 0);
    memcpy(payload, &sequence, sizeof sequence);
    ring_commit(tx, &(struct record){
                        .bytes = bytes,
                        .kind = RECORD_CHUNK,
                        .sequence = sequence,
                    });
}

/* Takes what is there, and gives it back. */
static uint32_t drain(struct ring_rx *rx, uint32_t taken)
{
    struct record meta;
    const void *payload;
    int rc;
    while ((rc = ring_peek(rx, &meta, &payload)) == 1) {
        uint32_t sequence;
        memcpy(&sequence, payload, sizeof sequence);
        explorer_expect(sequence == taken);
        explorer_expect(meta.sequence == taken);
        taken++;
    }
    explorer_expect(rc == 0);
    ring_release(rx);
    return taken;
}

static void send_records(struct world *world, uint32_t count)
{
    struct doorbell bell = dispatcher_bell(world);
    struct ring_tx tx;
    ring_tx_init(&tx, replies_of(world), CAPACITY);
    for (uint32_t i = 0; i < count; i++) {
        commit(&tx, i, sizeof i);
        doorbell_ring(&bell, DOORBELL_WORK);
    }
}

static void worker_sends_one(void *argument)
{
    send_records(argument, 1);
}

static void worker_sends_two(void *argument)
{
    send_records(argument, 2);
}

/* The sleeper's loop of doorbell.h. `self_wakes`: how often a timer may wake it as well. */
static void take_records(struct world *world, uint32_t count, uint32_t self_wakes)
{
    struct doorbell bell = dispatcher_bell(world);
    struct ring_rx rx;
    ring_rx_init(&rx, replies_of(world), CAPACITY);
    uint32_t taken = drain(&rx, 0);
    while (taken < count) {
        doorbell_arm(&bell, DOORBELL_WORK);
        if (ring_is_empty(&rx)) {
            if (self_wakes > 0 && explorer_choose(2) == 1)
                self_wakes--;
            else
                explorer_sleep(bell.fd);
        }
        doorbell_disarm(&bell);
        taken = drain(&rx, taken);
    }
}

static void dispatcher_takes_one(void *argument)
{
    take_records(argument, 1, 0);
}

static void dispatcher_takes_two(void *argument)
{
    take_records(argument, 2, 0);
}

static void dispatcher_with_a_timer_takes_two(void *argument)
{
    take_records(argument, 2, 1);
}

static void a_record_wakes_its_reader(void **state)
{
    (void)state;
    explore(ring_begin, worker_sends_one, dispatcher_takes_one, EXPLORER_NOTHING);
}

static void every_record_of_several_wakes_its_reader(void **state)
{
    (void)state;
    explore(ring_begin, worker_sends_two, dispatcher_takes_two, EXPLORER_NOTHING);
}

static void a_reader_that_also_wakes_by_itself_is_woken_again(void **state)
{
    (void)state;
    explore(ring_begin, worker_sends_two, dispatcher_with_a_timer_takes_two, EXPLORER_NOTHING);
}

/* ---- room ------------------------------------------------------------------------------------ */

static void full_ring_begin(void *argument)
{
    struct world *world = argument;
    struct ring_tx tx;
    ring_begin(world);
    ring_tx_init(&tx, replies_of(world), CAPACITY);
    for (uint32_t i = 0; i < RECORDS_IN_FULL_RING; i++)
        commit(&tx, i, ring_payload_max(CAPACITY));
}

/* As reply_claim() of the worker: claim, arm, claim again, sleep. */
static void *claim_or_sleep(struct doorbell *bell, struct ring_tx *tx, uint32_t bytes)
{
    for (;;) {
        void *payload;
        int rc = ring_claim(tx, bytes, &payload);
        if (rc == 0)
            return payload;
        explorer_expect(rc == -EAGAIN);
        doorbell_arm(bell, DOORBELL_SPACE);
        rc = ring_claim(tx, bytes, &payload);
        if (rc == -EAGAIN)
            explorer_sleep(bell->fd);
        doorbell_disarm(bell);
        if (rc == 0)
            return payload;
    }
}

static void worker_sends_into_a_full_ring(void *argument)
{
    struct world *world = argument;
    struct doorbell own = worker_bell(world);
    struct doorbell bell = dispatcher_bell(world);
    const uint32_t bytes = ring_payload_max(CAPACITY);
    const uint32_t sequence = RECORDS_IN_FULL_RING;
    struct ring_tx tx;
    ring_tx_init(&tx, replies_of(world), CAPACITY);
    memcpy(claim_or_sleep(&own, &tx, bytes), &sequence, sizeof sequence);
    ring_commit(&tx, &(struct record){.bytes = bytes, .kind = RECORD_CHUNK, .sequence = sequence});
    doorbell_ring(&bell, DOORBELL_WORK);
}

static void dispatcher_gives_room(void *argument)
{
    struct world *world = argument;
    struct doorbell bell = worker_bell(world);
    struct ring_rx rx;
    ring_rx_init(&rx, replies_of(world), CAPACITY);
    explorer_expect(drain(&rx, 0) == RECORDS_IN_FULL_RING);
    doorbell_ring(&bell, DOORBELL_SPACE);
}

static void room_wakes_the_writer_of_a_full_ring(void **state)
{
    (void)state;
    explore(full_ring_begin, worker_sends_into_a_full_ring, dispatcher_gives_room,
            EXPLORER_NOTHING);
}

/* ---- words of a slot ------------------------------------------------------------------------- */

/* Its window is used up: it waits until so much is delivered, or it is cancelled. */
static void wait_in_slot(struct world *world, uint32_t interests, bool for_cancel)
{
    struct doorbell bell = worker_bell(world);
    uint64_t wanted = for_cancel ? UINT64_MAX : 2;
    for (;;) {
        if (slot_cancel_count(&world->cancel_count) != 0 || slot_delivered(&world->slot) >= wanted)
            break;
        doorbell_arm(&bell, interests);
        if (slot_cancel_count(&world->cancel_count) == 0 && slot_delivered(&world->slot) < wanted)
            explorer_sleep(bell.fd);
        doorbell_disarm(&bell);
    }
    if (for_cancel)
        explorer_expect(slot_cancel_reason(&world->slot, GENERATION) == CANCEL_REQUESTED);
}

static void worker_waits_for_its_window(void *argument)
{
    wait_in_slot(argument, DOORBELL_WORK | DOORBELL_WINDOW, false);
}

static void worker_waits_for_a_cancel(void *argument)
{
    wait_in_slot(argument, DOORBELL_WORK, true);
}

static void dispatcher_delivers_two(void *argument)
{
    struct world *world = argument;
    struct doorbell bell = worker_bell(world);
    for (uint32_t i = 1; i <= 2; i++) {
        slot_deliver(&world->slot, i);
        doorbell_ring(&bell, DOORBELL_WINDOW);
    }
}

/* Both in one pass: one ring says all. */
static void dispatcher_delivers_and_cancels(void *argument)
{
    struct world *world = argument;
    struct doorbell bell = worker_bell(world);
    slot_deliver(&world->slot, 1);
    slot_cancel(&world->slot, &world->cancel_count, GENERATION, CANCEL_REQUESTED);
    doorbell_ring(&bell, DOORBELL_WINDOW | DOORBELL_WORK);
}

static void a_delivered_count_wakes_a_run_whose_window_is_used_up(void **state)
{
    (void)state;
    explore(NULL, worker_waits_for_its_window, dispatcher_delivers_two, EXPLORER_NOTHING);
}

static void a_cancel_wakes_who_does_not_wait_for_his_window(void **state)
{
    (void)state;
    explore(NULL, worker_waits_for_a_cancel, dispatcher_delivers_and_cancels, EXPLORER_NOTHING);
}

/* ---- both at once ---------------------------------------------------------------------------- */

static void dispatcher_gives_room_and_waits(void *argument)
{
    struct world *world = argument;
    struct doorbell own = dispatcher_bell(world);
    struct doorbell bell = worker_bell(world);
    struct ring_rx rx;
    ring_rx_init(&rx, replies_of(world), CAPACITY);
    for (uint32_t taken = 0; taken <= RECORDS_IN_FULL_RING;) {
        taken = drain(&rx, taken);
        doorbell_ring(&bell, DOORBELL_SPACE);
        doorbell_arm(&own, DOORBELL_WORK);
        if (taken <= RECORDS_IN_FULL_RING && ring_is_empty(&rx))
            explorer_sleep(own.fd);
        doorbell_disarm(&own);
    }
}

static void each_wakes_the_other(void **state)
{
    (void)state;
    explore(full_ring_begin, worker_sends_into_a_full_ring, dispatcher_gives_room_and_waits,
            EXPLORER_NOTHING);
}

/* ---- those who do not keep to the order ------------------------------------------------------ */

static void dispatcher_does_not_look_again(void *argument)
{
    struct world *world = argument;
    struct doorbell bell = dispatcher_bell(world);
    struct ring_rx rx;
    ring_rx_init(&rx, replies_of(world), CAPACITY);
    while (drain(&rx, 0) == 0) {
        doorbell_arm(&bell, DOORBELL_WORK);
        explorer_sleep(bell.fd);
        doorbell_disarm(&bell);
    }
}

static void dispatcher_looks_before_it_arms(void *argument)
{
    struct world *world = argument;
    struct doorbell bell = dispatcher_bell(world);
    struct ring_rx rx;
    ring_rx_init(&rx, replies_of(world), CAPACITY);
    while (drain(&rx, 0) == 0) {
        bool is_empty = ring_is_empty(&rx);
        doorbell_arm(&bell, DOORBELL_WORK);
        if (is_empty)
            explorer_sleep(bell.fd);
        doorbell_disarm(&bell);
    }
}

static void worker_rings_before_it_commits(void *argument)
{
    struct world *world = argument;
    struct doorbell bell = dispatcher_bell(world);
    struct ring_tx tx;
    ring_tx_init(&tx, replies_of(world), CAPACITY);
    doorbell_ring(&bell, DOORBELL_WORK);
    commit(&tx, 0, sizeof(uint32_t));
}

static void worker_rings_for_something_else(void *argument)
{
    struct world *world = argument;
    struct doorbell bell = dispatcher_bell(world);
    struct ring_tx tx;
    ring_tx_init(&tx, replies_of(world), CAPACITY);
    commit(&tx, 0, sizeof(uint32_t));
    doorbell_ring(&bell, DOORBELL_SPACE | DOORBELL_WINDOW);
}

static void another_order_loses_a_wake_up(void **state)
{
    (void)state;
    explore(ring_begin, worker_sends_one, dispatcher_does_not_look_again, EXPLORER_STUCK);
    explore(ring_begin, worker_sends_one, dispatcher_looks_before_it_arms, EXPLORER_STUCK);
    explore(ring_begin, worker_rings_before_it_commits, dispatcher_takes_one, EXPLORER_STUCK);
    explore(ring_begin, worker_rings_for_something_else, dispatcher_takes_one, EXPLORER_STUCK);
}

int main(void)
{
    alarm(WATCHDOG_S);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_wakes_its_reader),
        cmocka_unit_test(every_record_of_several_wakes_its_reader),
        cmocka_unit_test(a_reader_that_also_wakes_by_itself_is_woken_again),
        cmocka_unit_test(room_wakes_the_writer_of_a_full_ring),
        cmocka_unit_test(a_delivered_count_wakes_a_run_whose_window_is_used_up),
        cmocka_unit_test(a_cancel_wakes_who_does_not_wait_for_his_window),
        cmocka_unit_test(each_wakes_the_other),
        cmocka_unit_test(another_order_loses_a_wake_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
