/* SPDX-License-Identifier: MIT */
/*
 * test_ring.c - the record ring between two honest ends: boundaries, wraps, claims that change.
 */
#include "shm/ring.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

#define CAPACITY RING_BYTES_MIN
#define PAYLOAD_MAX (CAPACITY / 4 - 16)

/* Both ends of one ring. */
struct ends {
    struct ring_shared *shared;
    struct ring_tx tx;
    struct ring_rx rx;
};

static struct ends ends_at(uint64_t position)
{
    struct ends ends = {.shared = ring_memory_map(CAPACITY, position)};
    ring_tx_init(&ends.tx, ends.shared, CAPACITY);
    ring_rx_init(&ends.rx, ends.shared, CAPACITY);
    return ends;
}

static void ends_finish(struct ends *ends)
{
    ring_tx_check(&ends->tx);
    ring_rx_check(&ends->rx);
    ring_memory_unmap(ends->shared, CAPACITY);
}

static struct record meta_of(uint32_t bytes, uint32_t sequence)
{
    return (struct record){.bytes = bytes, .kind = RECORD_CHUNK, .sequence = sequence};
}

static int put(struct ends *ends, uint32_t bytes, uint32_t sequence)
{
    void *payload;
    int rc = ring_claim(&ends->tx, bytes, &payload);
    if (rc != 0)
        return rc;
    pattern_fill(payload, 0, bytes, sequence);
    struct record meta = meta_of(bytes, sequence);
    ring_commit(&ends->tx, &meta);
    return 0;
}

static void expect(struct ends *ends, uint32_t bytes, uint32_t sequence)
{
    struct record meta;
    const void *payload;
    assert_int_equal(ring_peek(&ends->rx, &meta, &payload), 1);
    assert_int_equal(meta.bytes, bytes);
    assert_int_equal(meta.kind, RECORD_CHUNK);
    assert_int_equal(meta.sequence, sequence);
    assert_true(pattern_holds(payload, bytes, sequence));
}

static void expect_nothing(struct ends *ends)
{
    struct record meta;
    const void *payload;
    assert_int_equal(ring_peek(&ends->rx, &meta, &payload), 0);
    assert_true(ring_is_empty(&ends->rx));
}

/* Moves both ends of an empty ring forward to `offset`. */
static void step_to(struct ends *ends, uint32_t offset)
{
    while ((ends->tx.tail & (CAPACITY - 1)) != offset) {
        assert_int_equal(put(ends, 0, 0), 0);
        expect(ends, 0, 0);
        ring_release(&ends->rx);
    }
}

/* ---- one record ------------------------------------------------------------------------------ */

static void a_fresh_ring_is_empty(void **state)
{
    (void)state;
    struct ends ends = ends_at(0);
    expect_nothing(&ends);
    assert_false(ring_release(&ends.rx));
    ends_finish(&ends);
}

static void a_record_without_payload_travels(void **state)
{
    (void)state;
    struct ends ends = ends_at(0);
    assert_int_equal(put(&ends, 0, 7), 0);
    assert_false(ring_is_empty(&ends.rx));
    expect(&ends, 0, 7);
    expect_nothing(&ends);
    ends_finish(&ends);
}

static void every_header_field_travels_unchanged(void **state)
{
    (void)state;
    struct ends ends = ends_at(0);
    const struct record sent = {
        .bytes = 3,
        .slot = 0xfffe,
        .kind = 0xff,
        .flags = 0xa5,
        .generation = 0xdeadbeef,
        .sequence = UINT32_MAX,
    };
    void *room;
    assert_int_equal(ring_claim(&ends.tx, 3, &room), 0);
    memcpy(room, "abc", 3);
    ring_commit(&ends.tx, &sent);

    struct record meta;
    const void *payload;
    assert_int_equal(ring_peek(&ends.rx, &meta, &payload), 1);
    assert_memory_equal(&meta, &sent, sizeof meta);
    assert_memory_equal(payload, "abc", 3);
    ends_finish(&ends);
}

static void the_largest_payload_is_a_quarter_of_the_ring_less_the_header(void **state)
{
    (void)state;
    assert_int_equal(ring_payload_max(RING_BYTES_MIN), RING_BYTES_MIN / 4 - 16);
    assert_int_equal(ring_payload_max(RING_BYTES_MAX), RING_BYTES_MAX / 4 - 16);

    struct ends ends = ends_at(0);
    void *payload = &ends;
    assert_int_equal(ring_claim(&ends.tx, PAYLOAD_MAX + 1, &payload), -EMSGSIZE);
    assert_int_equal(ring_claim(&ends.tx, UINT32_MAX, &payload), -EMSGSIZE);
    assert_ptr_equal(payload, &ends);
    assert_int_equal(put(&ends, PAYLOAD_MAX, 1), 0);
    expect(&ends, PAYLOAD_MAX, 1);
    ends_finish(&ends);
}

static void a_claimed_record_is_invisible_until_the_commit(void **state)
{
    (void)state;
    struct ends ends = ends_at(0);
    void *payload;
    assert_int_equal(ring_claim(&ends.tx, 100, &payload), 0);
    pattern_fill(payload, 0, 100, 1);
    expect_nothing(&ends);
    struct record meta = meta_of(100, 1);
    ring_commit(&ends.tx, &meta);
    expect(&ends, 100, 1);
    ends_finish(&ends);
}

static void an_aborted_claim_leaves_nothing(void **state)
{
    (void)state;
    struct ends ends = ends_at(CAPACITY - 64);
    void *payload;
    assert_int_equal(ring_claim(&ends.tx, 200, &payload), 0);
    pattern_fill(payload, 0, 200, 1);
    ring_abort(&ends.tx);
    expect_nothing(&ends);
    assert_int_equal(put(&ends, 20, 2), 0);
    expect(&ends, 20, 2);
    assert_int_equal(ends.tx.tail, (uint64_t)CAPACITY - 16);
    ends_finish(&ends);
}

static void a_commit_of_fewer_bytes_gives_the_rest_back(void **state)
{
    (void)state;
    struct ends ends = ends_at(0);
    void *payload;
    assert_int_equal(ring_claim(&ends.tx, PAYLOAD_MAX, &payload), 0);
    pattern_fill(payload, 0, 5, 1);
    struct record meta = meta_of(5, 1);
    ring_commit(&ends.tx, &meta);
    assert_int_equal(ends.tx.tail, 32);
    assert_int_equal(put(&ends, 1, 2), 0);
    expect(&ends, 5, 1);
    expect(&ends, 1, 2);
    ends_finish(&ends);
}

/* ---- the wrap -------------------------------------------------------------------------------- */

static void a_record_that_ends_at_the_wrap_needs_no_pad(void **state)
{
    (void)state;
    struct ends ends = ends_at(CAPACITY - 64);
    assert_int_equal(put(&ends, 48, 1), 0);
    assert_int_equal(ends.tx.tail, CAPACITY);
    expect(&ends, 48, 1);
    expect_nothing(&ends);
    ends_finish(&ends);
}

static void a_record_one_byte_too_long_for_the_rest_goes_behind_a_pad(void **state)
{
    (void)state;
    struct ends ends = ends_at(CAPACITY - 64);
    assert_int_equal(put(&ends, 49, 1), 0);
    assert_int_equal(ends.tx.tail, CAPACITY + 80);
    expect(&ends, 49, 1);
    assert_int_equal(ends.rx.next, CAPACITY + 80);
    ends_finish(&ends);
}

static void a_pad_may_be_a_header_alone(void **state)
{
    (void)state;
    struct ends ends = ends_at(CAPACITY - 16);
    assert_int_equal(put(&ends, 1, 1), 0);
    expect(&ends, 1, 1);
    assert_int_equal(put(&ends, 0, 2), 0);
    expect(&ends, 0, 2);
    ends_finish(&ends);
}

static void a_record_of_any_length_travels_from_any_offset(void **state)
{
    (void)state;
    const uint32_t lengths[] = {0,   1,   15,  16,  17,  PAYLOAD_MAX / 2, PAYLOAD_MAX - 16,
                                500, 512, 513, 767, 800, PAYLOAD_MAX - 1, PAYLOAD_MAX};
    for (uint32_t offset = 0; offset < CAPACITY; offset += RECORD_ALIGN) {
        for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
            struct ends ends = ends_at(offset);
            assert_int_equal(put(&ends, lengths[i], offset), 0);
            expect(&ends, lengths[i], offset);
            expect_nothing(&ends);
            assert_true(ring_release(&ends.rx));
            ends_finish(&ends);
        }
    }
}

static void positions_may_pass_the_end_of_64_bits(void **state)
{
    (void)state;
    struct ends ends = ends_at(UINT64_MAX - CAPACITY + 1 - 256);
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(put(&ends, i * 9, i), 0);
        expect(&ends, i * 9, i);
        ring_release(&ends.rx);
    }
    assert_true(ends.tx.tail < UINT64_MAX / 2);
    ends_finish(&ends);
}

/* ---- full and empty -------------------------------------------------------------------------- */

static void the_ring_fills_to_its_last_byte(void **state)
{
    (void)state;
    struct ends ends = ends_at(CAPACITY / 2);
    for (uint32_t i = 0; i < CAPACITY / 32; i++)
        assert_int_equal(put(&ends, 16, i), 0);
    assert_int_equal(put(&ends, 0, 0), -EAGAIN);
    assert_int_equal(ring_claimable(&ends.tx), 0);
    for (uint32_t i = 0; i < CAPACITY / 32; i++)
        expect(&ends, 16, i);
    expect_nothing(&ends);
    ends_finish(&ends);
}

static void room_comes_back_with_the_release_and_not_with_the_peek(void **state)
{
    (void)state;
    struct ends ends = ends_at(0);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(put(&ends, PAYLOAD_MAX, i), 0);
    expect(&ends, PAYLOAD_MAX, 0);
    assert_int_equal(put(&ends, 0, 4), -EAGAIN);
    assert_true(ring_release(&ends.rx));
    assert_false(ring_release(&ends.rx));
    assert_int_equal(put(&ends, PAYLOAD_MAX, 4), 0);
    assert_int_equal(put(&ends, 0, 5), -EAGAIN);
    for (uint32_t i = 1; i < 5; i++)
        expect(&ends, PAYLOAD_MAX, i);
    expect_nothing(&ends);
    ends_finish(&ends);
}

static void a_refused_claim_changes_nothing(void **state)
{
    (void)state;
    struct ends ends = ends_at(0);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(put(&ends, PAYLOAD_MAX - 16, i), 0);
    struct ring_tx before = ends.tx;
    void *payload = &before;
    assert_int_equal(ring_claim(&ends.tx, 64, &payload), -EAGAIN);
    assert_ptr_equal(payload, &before);
    assert_int_equal(ends.tx.tail, before.tail);
    assert_int_equal(ends.tx.claimed, 0);
    assert_int_equal(put(&ends, 48, 4), 0);
    ends_finish(&ends);
}

static void claimable_is_what_a_claim_gets_and_no_byte_less(void **state)
{
    (void)state;
    uint64_t seed = 11;
    struct ends ends = ends_at(0);
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t bytes = ring_claimable(&ends.tx);
        void *payload;
        if (bytes > 0) {
            assert_int_equal(ring_claim(&ends.tx, random_below(&seed, bytes + 1), &payload), 0);
            ring_abort(&ends.tx);
            assert_int_equal(ring_claim(&ends.tx, bytes, &payload), 0);
            ring_abort(&ends.tx);
        }
        int expected = bytes == PAYLOAD_MAX ? -EMSGSIZE : -EAGAIN;
        assert_int_equal(ring_claim(&ends.tx, bytes + 1, &payload), expected);

        while (put(&ends, random_below(&seed, PAYLOAD_MAX + 1), i) == 0)
            continue;
        uint32_t taken = random_below(&seed, 4);
        struct record meta;
        const void *peeked;
        for (uint32_t j = 0; j < taken && ring_peek(&ends.rx, &meta, &peeked) == 1; j++)
            continue;
        ring_release(&ends.rx);
    }
    ends_finish(&ends);
}

/* ---- claims that grow ------------------------------------------------------------------------ */

static void a_claim_grows_in_place_while_it_fits_before_the_wrap(void **state)
{
    (void)state;
    struct ends ends = ends_at(0);
    void *payload;
    void *grown;
    assert_int_equal(ring_claim(&ends.tx, 10, &payload), 0);
    pattern_fill(payload, 0, 10, 1);
    assert_int_equal(ring_extend(&ends.tx, 10, PAYLOAD_MAX, &grown), 0);
    assert_ptr_equal(grown, payload);
    pattern_fill(grown, 10, PAYLOAD_MAX, 1);
    struct record meta = meta_of(PAYLOAD_MAX, 1);
    ring_commit(&ends.tx, &meta);
    expect(&ends, PAYLOAD_MAX, 1);
    ends_finish(&ends);
}

static void a_claim_that_grows_past_the_wrap_takes_its_bytes_along(void **state)
{
    (void)state;
    for (uint32_t rest = 16; rest < CAPACITY / 4; rest += 16) {
        struct ends ends = ends_at(CAPACITY - rest);
        uint32_t used = rest - 16;
        void *payload;
        assert_int_equal(ring_claim(&ends.tx, used, &payload), 0);
        pattern_fill(payload, 0, used, rest);
        assert_int_equal(ring_extend(&ends.tx, used, used + 1, &payload), 0);
        assert_ptr_equal(payload, ends.shared->data + sizeof(struct record));
        pattern_fill(payload, used, used + 1, rest);
        assert_int_equal(ring_extend(&ends.tx, used + 1, PAYLOAD_MAX, &payload), 0);
        assert_ptr_equal(payload, ends.shared->data + sizeof(struct record));
        pattern_fill(payload, used + 1, PAYLOAD_MAX, rest);
        expect_nothing(&ends);
        struct record meta = meta_of(PAYLOAD_MAX, rest);
        ring_commit(&ends.tx, &meta);
        expect(&ends, PAYLOAD_MAX, rest);
        expect_nothing(&ends);
        ends_finish(&ends);
    }
}

static void a_claim_that_cannot_grow_stands_as_it_was(void **state)
{
    (void)state;
    struct ends ends = ends_at(0);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(put(&ends, PAYLOAD_MAX, i), 0);
    assert_int_equal(put(&ends, PAYLOAD_MAX - 256, 3), 0);

    void *payload;
    void *grown = NULL;
    assert_int_equal(ring_claim(&ends.tx, 100, &payload), 0);
    pattern_fill(payload, 0, 100, 4);
    assert_int_equal(ring_extend(&ends.tx, 100, 300, &grown), -EAGAIN);
    assert_int_equal(ring_extend(&ends.tx, 100, PAYLOAD_MAX + 1, &grown), -EMSGSIZE);
    assert_null(grown);
    struct record meta = meta_of(100, 4);
    ring_commit(&ends.tx, &meta);
    for (uint32_t i = 0; i < 3; i++)
        expect(&ends, PAYLOAD_MAX, i);
    expect(&ends, PAYLOAD_MAX - 256, 3);
    expect(&ends, 100, 4);
    ends_finish(&ends);
}

static void a_claim_refused_at_the_wrap_grows_once_there_is_room(void **state)
{
    (void)state;
    struct ends ends = ends_at(128);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(put(&ends, PAYLOAD_MAX, i), 0);
    assert_int_equal(put(&ends, PAYLOAD_MAX - 256, 3), 0);

    void *payload; /* 128 bytes to the wrap, 128 behind it */
    assert_int_equal(ring_claim(&ends.tx, 100, &payload), 0);
    pattern_fill(payload, 0, 100, 4);
    assert_int_equal(ring_extend(&ends.tx, 100, 113, &payload), -EAGAIN);
    expect(&ends, PAYLOAD_MAX, 0);
    assert_true(ring_release(&ends.rx));
    assert_int_equal(ring_extend(&ends.tx, 100, 113, &payload), 0);
    pattern_fill(payload, 100, 113, 4);
    struct record meta = meta_of(113, 4);
    ring_commit(&ends.tx, &meta);
    for (uint32_t i = 1; i < 3; i++)
        expect(&ends, PAYLOAD_MAX, i);
    expect(&ends, PAYLOAD_MAX - 256, 3);
    expect(&ends, 113, 4);
    ends_finish(&ends);
}

static void extending_to_fewer_bytes_keeps_the_claim(void **state)
{
    (void)state;
    struct ends ends = ends_at(CAPACITY - 64);
    void *payload;
    void *same;
    assert_int_equal(ring_claim(&ends.tx, 200, &payload), 0);
    assert_int_equal(ring_extend(&ends.tx, 10, 20, &same), 0);
    assert_ptr_equal(same, payload);
    struct record meta = meta_of(0, 1);
    ring_commit(&ends.tx, &meta);
    expect(&ends, 0, 1);
    ends_finish(&ends);
}

/* ---- ends that come later -------------------------------------------------------------------- */

static void ends_take_over_their_own_positions(void **state)
{
    (void)state;
    struct ends ends = ends_at(0);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(put(&ends, 700, i), 0);
    expect(&ends, 700, 0);
    ring_release(&ends.rx);
    expect(&ends, 700, 1); /* peeked, not released: it comes again */

    ring_tx_init(&ends.tx, ends.shared, CAPACITY);
    ring_rx_init(&ends.rx, ends.shared, CAPACITY);
    assert_int_equal(put(&ends, 700, 3), 0);
    for (uint32_t i = 1; i < 4; i++)
        expect(&ends, 700, i);
    expect_nothing(&ends);
    ends_finish(&ends);
}

static void a_new_producer_on_a_full_ring_sees_that_it_is_full(void **state)
{
    (void)state;
    struct ends ends = ends_at(0);
    step_to(&ends, 2048);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(put(&ends, PAYLOAD_MAX, i), 0);
    ring_tx_init(&ends.tx, ends.shared, CAPACITY);
    assert_int_equal(put(&ends, 0, 4), -EAGAIN);
    ends_finish(&ends);
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_ring_is_empty),
        cmocka_unit_test(a_record_without_payload_travels),
        cmocka_unit_test(every_header_field_travels_unchanged),
        cmocka_unit_test(the_largest_payload_is_a_quarter_of_the_ring_less_the_header),
        cmocka_unit_test(a_claimed_record_is_invisible_until_the_commit),
        cmocka_unit_test(an_aborted_claim_leaves_nothing),
        cmocka_unit_test(a_commit_of_fewer_bytes_gives_the_rest_back),
        cmocka_unit_test(a_record_that_ends_at_the_wrap_needs_no_pad),
        cmocka_unit_test(a_record_one_byte_too_long_for_the_rest_goes_behind_a_pad),
        cmocka_unit_test(a_pad_may_be_a_header_alone),
        cmocka_unit_test(a_record_of_any_length_travels_from_any_offset),
        cmocka_unit_test(positions_may_pass_the_end_of_64_bits),
        cmocka_unit_test(the_ring_fills_to_its_last_byte),
        cmocka_unit_test(room_comes_back_with_the_release_and_not_with_the_peek),
        cmocka_unit_test(a_refused_claim_changes_nothing),
        cmocka_unit_test(claimable_is_what_a_claim_gets_and_no_byte_less),
        cmocka_unit_test(a_claim_grows_in_place_while_it_fits_before_the_wrap),
        cmocka_unit_test(a_claim_that_grows_past_the_wrap_takes_its_bytes_along),
        cmocka_unit_test(a_claim_that_cannot_grow_stands_as_it_was),
        cmocka_unit_test(a_claim_refused_at_the_wrap_grows_once_there_is_room),
        cmocka_unit_test(extending_to_fewer_bytes_keeps_the_claim),
        cmocka_unit_test(ends_take_over_their_own_positions),
        cmocka_unit_test(a_new_producer_on_a_full_ring_sees_that_it_is_full),
    };
    return cmocka_run_group_tests(tests, descriptors_note, descriptors_compare);
}
