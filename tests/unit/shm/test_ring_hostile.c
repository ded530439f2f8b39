/* SPDX-License-Identifier: MIT */
/*
 * test_ring_hostile.c - a ring whose other end writes what it likes: every nonsense is -EPROTO,
 * nothing outside the ring is touched (guard pages), and no call runs on for ever (alarm).
 */
#include "shm/clock.h"
#include "shm/ring.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

#define CAPACITY RING_BYTES_MIN
#define PAYLOAD_MAX (CAPACITY / 4 - 16)
#define START UINT64_C(1048576) /* where rings start here: far from 0, at offset 0 */

static void set_tail(struct ring_shared *shared, uint64_t tail)
{
    atomic_store_explicit(&shared->tail, tail, memory_order_release);
}

static void set_head(struct ring_shared *shared, uint64_t head)
{
    atomic_store_explicit(&shared->head, head, memory_order_release);
}

static void write_header(struct ring_shared *shared, uint64_t position, uint32_t bytes,
                         enum record_kind kind)
{
    struct record meta = {.bytes = bytes, .kind = (uint8_t)kind};
    memcpy(shared->data + (position & (CAPACITY - 1)), &meta, sizeof meta);
}

/* One peek of a fresh consumer at `position` of a ring that the test has written. */
static int peek_at(struct ring_shared *shared, uint64_t position, struct record *meta)
{
    struct ring_rx rx;
    const void *payload = shared;
    set_head(shared, position);
    ring_rx_init(&rx, shared, CAPACITY);
    int rc = ring_peek(&rx, meta, &payload);
    if (rc != 1)
        assert_ptr_equal(payload, shared);
    ring_rx_check(&rx);
    return rc;
}

/* ---- what the consumer refuses --------------------------------------------------------------- */

static void a_tail_must_be_aligned_and_between_the_last_one_and_a_full_ring(void **state)
{
    (void)state;
    const struct {
        uint64_t tail;
        int rc;
    } cases[] = {
        {START, 0},
        {START + 32, 1},
        {START + CAPACITY, 1},
        {START + 1, -EPROTO},
        {START + 8, -EPROTO},
        {START + CAPACITY + 16, -EPROTO},
        {START + 2 * CAPACITY, -EPROTO},
        {START - 16, -EPROTO},
        {0, -EPROTO},
        {UINT64_MAX, -EPROTO},
        {UINT64_MAX & ~UINT64_C(15), -EPROTO},
        {START + (UINT64_C(1) << 63), -EPROTO},
    };
    struct ring_shared *shared = ring_memory_map(CAPACITY, START);
    write_header(shared, START, 16, RECORD_CHUNK);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct record meta;
        set_tail(shared, cases[i].tail);
        assert_int_equal(peek_at(shared, START, &meta), cases[i].rc);
    }
    ring_memory_unmap(shared, CAPACITY);
}

static void a_tail_that_moves_back_is_refused(void **state)
{
    (void)state;
    struct ring_shared *shared = ring_memory_map(CAPACITY, START);
    struct ring_rx rx;
    struct record meta;
    const void *payload;
    ring_rx_init(&rx, shared, CAPACITY);
    write_header(shared, START, 16, RECORD_CHUNK);
    set_tail(shared, START + 32);
    assert_int_equal(ring_peek(&rx, &meta, &payload), 1);
    set_tail(shared, START + 16);
    assert_int_equal(ring_peek(&rx, &meta, &payload), -EPROTO);
    assert_false(ring_is_empty(&rx)); /* so that whoever looks before sleeping finds out */
    set_tail(shared, START + 32);
    assert_int_equal(ring_peek(&rx, &meta, &payload), 0);
    ring_memory_unmap(shared, CAPACITY);
}

static void a_tail_may_not_lap_what_was_peeked_and_not_released(void **state)
{
    (void)state;
    struct ring_shared *shared = ring_memory_map(CAPACITY, START);
    struct ring_rx rx;
    struct record meta;
    const void *payload;
    ring_rx_init(&rx, shared, CAPACITY);
    write_header(shared, START, 16, RECORD_CHUNK);
    set_tail(shared, START + 32);
    assert_int_equal(ring_peek(&rx, &meta, &payload), 1);
    set_tail(shared, START + CAPACITY + 32);
    assert_int_equal(ring_peek(&rx, &meta, &payload), -EPROTO);
    assert_true(ring_release(&rx));
    assert_int_equal(ring_peek(&rx, &meta, &payload), -EPROTO); /* what lies there is a zero pad */
    ring_memory_unmap(shared, CAPACITY);
}

static void a_record_must_end_before_the_tail(void **state)
{
    (void)state;
    struct ring_shared *shared = ring_memory_map(CAPACITY, START);
    struct record meta;
    set_tail(shared, START + 64);
    write_header(shared, START, 48, RECORD_CHUNK);
    assert_int_equal(peek_at(shared, START, &meta), 1);
    assert_int_equal(meta.bytes, 48);
    write_header(shared, START, 49, RECORD_CHUNK);
    assert_int_equal(peek_at(shared, START, &meta), -EPROTO);
    assert_int_equal(meta.bytes, 48); /* untouched */
    write_header(shared, START, UINT32_MAX, RECORD_CHUNK);
    assert_int_equal(peek_at(shared, START, &meta), -EPROTO);
    write_header(shared, START, UINT32_MAX - 15, RECORD_CHUNK); /* with the header: 2^32 */
    assert_int_equal(peek_at(shared, START, &meta), -EPROTO);
    ring_memory_unmap(shared, CAPACITY);
}

static void a_record_must_end_before_the_wrap(void **state)
{
    (void)state;
    struct ring_shared *shared = ring_memory_map(CAPACITY, START);
    struct record meta;
    uint64_t position = START + CAPACITY - 64;
    set_tail(shared, position + CAPACITY);
    write_header(shared, position, 48, RECORD_CHUNK);
    assert_int_equal(peek_at(shared, position, &meta), 1);
    write_header(shared, position, 49, RECORD_CHUNK);
    assert_int_equal(peek_at(shared, position, &meta), -EPROTO);
    ring_memory_unmap(shared, CAPACITY);
}

static void a_record_is_at_most_a_quarter_of_the_ring(void **state)
{
    (void)state;
    struct ring_shared *shared = ring_memory_map(CAPACITY, START);
    struct record meta;
    set_tail(shared, START + CAPACITY);
    write_header(shared, START, PAYLOAD_MAX, RECORD_CHUNK);
    assert_int_equal(peek_at(shared, START, &meta), 1);
    write_header(shared, START, PAYLOAD_MAX + 1, RECORD_CHUNK);
    assert_int_equal(peek_at(shared, START, &meta), -EPROTO);
    ring_memory_unmap(shared, CAPACITY);
}

static void a_pad_must_end_at_the_wrap_with_a_record_behind_it(void **state)
{
    (void)state;
    const uint32_t rest = 64;
    struct ring_shared *shared = ring_memory_map(CAPACITY, START);
    struct record meta;
    uint64_t position = START + CAPACITY - rest;
    set_tail(shared, position + rest + 32);
    write_header(shared, position + rest, 9, RECORD_CHUNK);

    write_header(shared, position, rest - 16, RECORD_PAD);
    assert_int_equal(peek_at(shared, position, &meta), 1);
    assert_int_equal(meta.bytes, 9);
    const uint32_t wrong[] = {0, rest - 17, rest - 15, rest, rest + CAPACITY - 16, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        write_header(shared, position, wrong[i], RECORD_PAD);
        assert_int_equal(peek_at(shared, position, &meta), -EPROTO);
    }

    write_header(shared, position, rest - 16, RECORD_PAD);
    set_tail(shared, position + rest); /* the pad alone */
    assert_int_equal(peek_at(shared, position, &meta), -EPROTO);
    ring_memory_unmap(shared, CAPACITY);
}

static void a_pad_is_shorter_than_the_longest_record(void **state)
{
    (void)state;
    struct ring_shared *shared = ring_memory_map(CAPACITY, START);
    struct record meta;
    for (uint32_t rest = 16; rest < CAPACITY; rest += 16) {
        uint64_t position = START + CAPACITY - rest;
        memset(shared->data, 0, CAPACITY);
        write_header(shared, position, rest - 16, RECORD_PAD);
        write_header(shared, START + CAPACITY, 0, RECORD_END);
        set_tail(shared, position + CAPACITY);
        assert_int_equal(peek_at(shared, position, &meta), rest < CAPACITY / 4 ? 1 : -EPROTO);
    }
    ring_memory_unmap(shared, CAPACITY);
}

static void no_pad_follows_a_pad(void **state)
{
    (void)state;
    struct ring_shared *shared = ring_memory_map(CAPACITY, START);
    struct record meta;
    uint64_t position = START + CAPACITY - 64;
    write_header(shared, position, 48, RECORD_PAD);
    set_tail(shared, position + CAPACITY);
    const uint32_t lengths[] = {0, 48, PAYLOAD_MAX, CAPACITY - 16, CAPACITY - 64 - 16};
    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        write_header(shared, START + CAPACITY, lengths[i], RECORD_PAD);
        assert_int_equal(peek_at(shared, position, &meta), -EPROTO);
        assert_int_equal(peek_at(shared, START + CAPACITY, &meta), -EPROTO);
    }
    ring_memory_unmap(shared, CAPACITY);
}

static void nonsense_behind_good_records_costs_only_what_lies_behind(void **state)
{
    (void)state;
    struct ring_shared *shared = ring_memory_map(CAPACITY, START);
    struct ring_rx rx;
    struct record meta;
    const void *payload;
    ring_rx_init(&rx, shared, CAPACITY);
    write_header(shared, START, 16, RECORD_CHUNK);
    write_header(shared, START + 32, 16, RECORD_CHUNK);
    write_header(shared, START + 64, CAPACITY, RECORD_CHUNK);
    set_tail(shared, START + 96);
    assert_int_equal(ring_peek(&rx, &meta, &payload), 1);
    assert_int_equal(ring_peek(&rx, &meta, &payload), 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ring_peek(&rx, &meta, &payload), -EPROTO);
    assert_true(ring_release(&rx));
    assert_int_equal(rx.head, START + 64);
    ring_memory_unmap(shared, CAPACITY);
}

static void the_shared_capacity_is_never_read_back(void **state)
{
    (void)state;
    struct ring_shared *shared = ring_memory_map(CAPACITY, START);
    struct record meta;
    shared->capacity = RING_BYTES_MAX;
    uint64_t position = START + CAPACITY - 32;
    set_tail(shared, position + CAPACITY);
    write_header(shared, position, 16, RECORD_CHUNK);
    assert_int_equal(peek_at(shared, position, &meta), 1);
    write_header(shared, position, 17, RECORD_CHUNK);
    assert_int_equal(peek_at(shared, position, &meta), -EPROTO);
    ring_memory_unmap(shared, CAPACITY);
}

/* ---- what the producer refuses --------------------------------------------------------------- */

static void a_head_must_be_aligned_and_between_the_last_one_and_the_tail(void **state)
{
    (void)state;
    const struct {
        uint64_t head;
        int rc;
    } cases[] = {
        {START + 1024, 0},
        {START + 2048, 0},
        {START + CAPACITY, 0},
        {START, -EAGAIN},
        {START + 1008, -EAGAIN},
        {START + 1025, -EPROTO},
        {START + CAPACITY + 16, -EPROTO},
        {START - 16, -EPROTO},
        {0, -EPROTO},
        {UINT64_MAX & ~UINT64_C(15), -EPROTO},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct ring_shared *shared = ring_memory_map(CAPACITY, START);
        struct ring_tx tx;
        void *payload;
        ring_tx_init(&tx, shared, CAPACITY);
        for (uint32_t j = 0; j < 4; j++) {
            assert_int_equal(ring_claim(&tx, PAYLOAD_MAX, &payload), 0);
            struct record meta = {.bytes = PAYLOAD_MAX, .kind = RECORD_CHUNK};
            ring_commit(&tx, &meta);
        }
        set_head(shared, cases[i].head);
        payload = shared;
        assert_int_equal(ring_claim(&tx, PAYLOAD_MAX, &payload), cases[i].rc);
        if (cases[i].rc == 0)
            ring_abort(&tx);
        else
            assert_ptr_equal(payload, shared);
        if (cases[i].rc == -EPROTO)
            assert_int_equal(ring_claimable(&tx), 0);
        ring_tx_check(&tx);
        ring_memory_unmap(shared, CAPACITY);
    }
}

static void a_head_that_moves_back_is_refused(void **state)
{
    (void)state;
    struct ring_shared *shared = ring_memory_map(CAPACITY, START);
    struct ring_tx tx;
    void *payload;
    ring_tx_init(&tx, shared, CAPACITY);
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(ring_claim(&tx, PAYLOAD_MAX, &payload), 0);
        struct record meta = {.bytes = PAYLOAD_MAX, .kind = RECORD_CHUNK};
        ring_commit(&tx, &meta);
        set_head(shared, tx.tail);
    }
    assert_int_equal(ring_claimable(&tx), PAYLOAD_MAX); /* all of it was given back, */
    set_head(shared, START + 4096);
    assert_int_equal(ring_claimable(&tx), 0);          /* and now some of it is taken away */
    assert_int_equal(ring_claim(&tx, 0, &payload), 0); /* what was seen once is good for ever */
    ring_abort(&tx);
    ring_memory_unmap(shared, CAPACITY);
}

/* ---- everything at random -------------------------------------------------------------------- */

/* How often each result came, to show that none of the ways was left out. */
struct results {
    uint64_t records;
    uint64_t nothings;
    uint64_t refusals;
};

static uint64_t bytes_sum; /* keeps the reads of payloads alive */

/* One peek, and everything a consumer may rely on after it. */
static int peek_checked(struct ring_rx *rx, struct results *results)
{
    struct record meta;
    const void *payload;
    uint64_t before = rx->next;
    int rc = ring_peek(rx, &meta, &payload);
    ring_rx_check(rx);
    switch (rc) {
    case 1:
        results->records++;
        assert_true(meta.bytes <= PAYLOAD_MAX);
        assert_true((const uint8_t *)payload >= rx->data);
        assert_true((const uint8_t *)payload + meta.bytes <= rx->data + CAPACITY);
        assert_true(rx->next - before >= sizeof meta);
        for (uint32_t i = 0; i < meta.bytes; i++)
            bytes_sum += ((const uint8_t *)payload)[i];
        break;
    case 0:
        results->nothings++;
        break;
    default:
        assert_int_equal(rc, -EPROTO);
        results->refusals++;
        break;
    }
    return rc;
}

/* A header that is right more often than chance would have it. */
static void scribble_header(struct ring_shared *shared, uint64_t *seed)
{
    uint32_t offset = random_below(seed, CAPACITY / 16) * 16;
    const uint32_t lengths[] = {
        0,
        random_below(seed, 64),
        random_below(seed, PAYLOAD_MAX),
        CAPACITY - offset - 16,
        random_next(seed),
    };
    struct record meta = {
        .bytes = lengths[random_below(seed, ARRAY_COUNT(lengths))],
        .kind = (uint8_t)random_below(seed, RECORD_KIND_COUNT),
    };
    memcpy(shared->data + offset, &meta, sizeof meta);
}

/* A position near the one that the other end has published, or anything. */
static uint64_t scribble_position(uint64_t near, uint64_t *seed)
{
    switch (random_below(seed, 8)) {
    case 0:
        return ((uint64_t)random_next(seed) << 32) | random_next(seed);
    case 1:
        return near + random_below(seed, 2 * CAPACITY);
    default:
        return near + random_below(seed, CAPACITY / 16) * 16;
    }
}

static void fill_with_records(struct ring_shared *shared, uint64_t *seed)
{
    struct ring_tx tx;
    void *payload;
    ring_tx_init(&tx, shared, CAPACITY);
    for (uint32_t i = random_below(seed, 12); i > 0; i--) {
        struct record meta = {.bytes = random_below(seed, PAYLOAD_MAX), .kind = RECORD_CHUNK};
        if (ring_claim(&tx, meta.bytes, &payload) == 0)
            ring_commit(&tx, &meta);
    }
}

static void a_consumer_bears_any_content(void **state)
{
    (void)state;
    uint64_t seed = 20240117;
    struct results results = {0};
    struct ring_shared *shared = ring_memory_map(CAPACITY, START);
    for (uint32_t round = 0; round < 20000; round++) {
        uint64_t position = START + random_below(&seed, CAPACITY / 16) * 16;
        set_head(shared, position);
        set_tail(shared, position);
        fill_with_records(shared, &seed);
        for (uint32_t i = random_below(&seed, 32); i > 0; i--)
            scribble_header(shared, &seed);
        if (random_below(&seed, 2) == 0)
            set_tail(shared, scribble_position(position, &seed));
        struct ring_rx rx;
        ring_rx_init(&rx, shared, CAPACITY);
        uint32_t peeks = 0;
        while (peek_checked(&rx, &results) == 1)
            assert_true(++peeks <= CAPACITY / 16);
    }
    assert_true(results.records > 10000);
    assert_true(results.nothings > 1000);
    assert_true(results.refusals > 10000);
    ring_memory_unmap(shared, CAPACITY);
}

/* A process that writes over the whole ring, headers and positions above all, until it is
 * killed. */
static pid_t scribbler_start(struct ring_shared *shared)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(60);
    uint64_t seed = 4711;
    for (;;) {
        uint64_t head = atomic_load_explicit(&shared->head, memory_order_relaxed);
        uint64_t tail = atomic_load_explicit(&shared->tail, memory_order_relaxed);
        if (random_below(&seed, 4) == 0)
            set_tail(shared, scribble_position(head, &seed));
        if (random_below(&seed, 16) == 0)
            set_head(shared, scribble_position(tail - CAPACITY, &seed));
        for (uint32_t i = 0; i < 4; i++)
            scribble_header(shared, &seed);
    }
}

static void scribbler_stop(pid_t pid)
{
    int status;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL); /* and not the alarm, or a guard page */
}

/* How long the two meet, where 3,000 of each outcome do not come sooner: they meet only while both
 * have a processor, which on a busy machine is seldom. */
#define MEETING_NS UINT64_C(20000000000)

static void a_consumer_bears_a_producer_that_scribbles_all_the_time(void **state)
{
    (void)state;
    struct results results = {0};
    struct ring_shared *shared = ring_memory_map(CAPACITY, START);
    struct ring_rx rx;
    ring_rx_init(&rx, shared, CAPACITY);
    pid_t pid = scribbler_start(shared);
    assert_true(pid > 0);
    uint64_t end_ns = clock_now_ns() + MEETING_NS;
    while ((results.records < 3000 || results.refusals < 3000) && clock_now_ns() < end_ns) {
        uint32_t peeks = 0;
        while (peek_checked(&rx, &results) == 1)
            assert_true(++peeks <= CAPACITY / 16);
        ring_release(&rx);
        /* A ring that has said -EPROTO is dead; here a new one begins at once where it stood. */
        rx.next = rx.tail_seen = rx.head;
        set_head(shared, rx.head);
        sched_yield(); /* there may be one processor for both */
    }
    scribbler_stop(pid);
    assert_true(results.records > 0);
    assert_true(results.refusals > 0);
    ring_memory_unmap(shared, CAPACITY);
}

static void a_producer_bears_a_consumer_that_scribbles_all_the_time(void **state)
{
    (void)state;
    struct ring_shared *shared = ring_memory_map(CAPACITY, START);
    uint64_t seed = 99;
    uint32_t commits = 0;
    uint32_t refusals = 0;
    struct ring_tx tx;
    ring_tx_init(&tx, shared, CAPACITY);
    pid_t pid = scribbler_start(shared);
    assert_true(pid > 0);
    uint64_t end_ns = clock_now_ns() + MEETING_NS;
    while ((commits < 3000 || refusals < 3000) && clock_now_ns() < end_ns) {
        void *payload;
        uint32_t bytes = random_below(&seed, PAYLOAD_MAX / 2);
        int rc = ring_claim(&tx, bytes, &payload);
        if (rc == 0)
            rc = ring_extend(&tx, bytes, bytes + random_below(&seed, PAYLOAD_MAX / 2), &payload);
        ring_tx_check(&tx);
        if (tx.claimed != 0) {
            assert_true((uint8_t *)payload >= tx.data);
            assert_true((uint8_t *)payload + bytes <= tx.data + CAPACITY);
            memset(payload, 0xee, bytes);
            struct record meta = {.bytes = bytes, .kind = RECORD_CHUNK};
            ring_commit(&tx, &meta);
            commits++;
        }
        if (rc != 0) {
            assert_true(rc == -EAGAIN || rc == -EPROTO);
            refusals++;
            set_head(shared, tx.tail);
            sched_yield();
        }
        assert_true(ring_claimable(&tx) <= PAYLOAD_MAX);
    }
    scribbler_stop(pid);
    assert_true(commits > 0);
    assert_true(refusals > 0);
    ring_memory_unmap(shared, CAPACITY);
}

int main(void)
{
    alarm(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tail_must_be_aligned_and_between_the_last_one_and_a_full_ring),
        cmocka_unit_test(a_tail_that_moves_back_is_refused),
        cmocka_unit_test(a_tail_may_not_lap_what_was_peeked_and_not_released),
        cmocka_unit_test(a_record_must_end_before_the_tail),
        cmocka_unit_test(a_record_must_end_before_the_wrap),
        cmocka_unit_test(a_record_is_at_most_a_quarter_of_the_ring),
        cmocka_unit_test(a_pad_must_end_at_the_wrap_with_a_record_behind_it),
        cmocka_unit_test(a_pad_is_shorter_than_the_longest_record),
        cmocka_unit_test(no_pad_follows_a_pad),
        cmocka_unit_test(nonsense_behind_good_records_costs_only_what_lies_behind),
        cmocka_unit_test(the_shared_capacity_is_never_read_back),
        cmocka_unit_test(a_head_must_be_aligned_and_between_the_last_one_and_the_tail),
        cmocka_unit_test(a_head_that_moves_back_is_refused),
        cmocka_unit_test(a_consumer_bears_any_content),
        cmocka_unit_test(a_consumer_bears_a_producer_that_scribbles_all_the_time),
        cmocka_unit_test(a_producer_bears_a_consumer_that_scribbles_all_the_time),
    };
    return cmocka_run_group_tests(tests, descriptors_note, descriptors_compare);
}
