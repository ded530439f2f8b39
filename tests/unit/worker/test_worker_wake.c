/* SPDX-License-Identifier: MIT */
/*
 * test_worker_wake.c - a real worker whose runs are woken by threads and descriptors: wake.c.
 */
#include "tests/unit/worker/compiler.h"
#include "tests/unit/worker/harness.h"

#define MS UINT64_C(1000000)

static void start(struct harness *h, const char *name, uint32_t slot_count)
{
    harness_start(
        h, &(struct harness_options){.source = "wake.so", .name = name, .slot_count = slot_count});
    harness_expect_ready(h);
}

static void run_of(struct harness *h, uint32_t slot, int64_t count)
{
    msgpack_sbuffer request;
    msgpack_packer packer;
    harness_request(&request, &packer, 1);
    msgpack_pack_int64(&packer, count);
    harness_run(h, slot, &request);
}

/* Takes what comes until so many runs have ended; each has its chunks in order. */
static void take_until_ended(struct harness *h, uint32_t run_count, uint32_t *chunk_counts)
{
    for (uint32_t ended = 0; ended < run_count;) {
        struct harness_record record = harness_next(h);
        uint32_t slot = record.meta.slot;
        assert_int_equal(record.meta.sequence, chunk_counts[slot]);
        if (record.meta.kind == RECORD_CHUNK) {
            chunk_counts[slot]++;
        } else {
            assert_int_equal(record.meta.kind, RECORD_END);
            slot_free(&h->segment.slots[slot], h->generations[slot]);
            ended++;
        }
        free(record.payload);
    }
}

static void threads_of_eight_runs_wake_each_its_own(void **state)
{
    (void)state;
    struct harness h;
    start(&h, "primes", 8);
    for (int round = 0; round < 20; round++) {
        uint32_t chunk_counts[8] = {0};
        for (uint32_t slot = 0; slot < 8; slot++)
            run_of(&h, slot, 100 + slot);
        take_until_ended(&h, 8, chunk_counts);
        for (uint32_t slot = 0; slot < 8; slot++)
            assert_int_equal(chunk_counts[slot], 100 + slot);
    }
    harness_stop(&h);
}

static void what_a_thread_found_arrives_in_order(void **state)
{
    (void)state;
    static const char *const primes[] = {"[2]", "[3]", "[5]", "[7]", "[11]"};
    struct harness h;
    start(&h, "primes", 1);
    run_of(&h, 0, 5);
    for (uint32_t i = 0; i < 5; i++)
        harness_expect_chunk(&h, 0, i, primes[i]);
    harness_expect_end(&h, 0, 5);
    run_of(&h, 0, 0);
    harness_expect_end(&h, 0, 0);
    run_of(&h, 0, -1);
    harness_expect_error(&h, 0, ERROR_INPUT, "from 0 to 1000000 primes");
    harness_stop(&h);
}

/* Its thread is joined in close(), in the middle of its work, and the slot is another's then. */
static void a_run_that_is_cancelled_is_closed_while_its_thread_works(void **state)
{
    (void)state;
    struct harness h;
    start(&h, "primes", 1);
    for (int round = 0; round < 20; round++) {
        run_of(&h, 0, 1000000);
        struct harness_record record = harness_next(&h);
        assert_int_equal(record.meta.kind, RECORD_CHUNK);
        harness_cancel(&h, 0, CANCEL_REQUESTED);
        while (record.meta.kind == RECORD_CHUNK) {
            free(record.payload);
            record = harness_next(&h);
        }
        assert_int_equal(record.meta.kind, RECORD_ERROR);
        free(record.payload);
        slot_free(&h.segment.slots[0], h.generations[0]);
        run_of(&h, 0, 1);
        harness_expect_chunk(&h, 0, 0, "[2]");
        harness_expect_end(&h, 0, 1);
    }
    harness_stop(&h);
}

static void descriptors_of_eight_runs_wake_each_its_own(void **state)
{
    (void)state;
    struct harness h;
    start(&h, "ticks", 8);
    uint64_t start_ns = harness_now_ns();
    uint32_t chunk_counts[8] = {0};
    for (uint32_t slot = 0; slot < 8; slot++)
        run_of(&h, slot, 1 + slot % 4);
    take_until_ended(&h, 8, chunk_counts);
    for (uint32_t slot = 0; slot < 8; slot++)
        assert_int_equal(chunk_counts[slot], 1 + slot % 4);
    assert_true(harness_now_ns() - start_ns >= 4 * 50 * MS);
    harness_stop(&h);
}

/* In state S between the ticks, and armed: it does not poll. */
static void who_waits_for_a_descriptor_sleeps(void **state)
{
    (void)state;
    struct harness h;
    start(&h, "ticks", 1);
    run_of(&h, 0, 1);
    harness_wait_asleep(&h);
    harness_expect_chunk(&h, 0, 0, "[1]");
    harness_expect_end(&h, 0, 1);
    harness_stop(&h);
}

static void a_startup_hook_has_no_run_that_could_be_woken(void **state)
{
    (void)state;
    const char *const none[] = {NULL};
    struct harness h;
    harness_start(&h, &(struct harness_options){
                          .source = compile("cc", FIXTURES "alloc.c", none, "alloc_wake.so"),
                          .name = "hooked_waker"});
    uint8_t body[4096];
    char printed[4096];
    size_t bytes;
    assert_int_equal(harness_message(&h, body, sizeof body, &bytes), MESSAGE_HELLO);
    assert_int_equal(harness_message(&h, body, sizeof body, &bytes), MESSAGE_FAILED);
    harness_print(body, bytes, printed, sizeof printed);
    assert_non_null(strstr(printed, "startup hook 1: mr_waker_get() in a startup hook"));
    harness_expect_exit(&h, WORKER_EXIT_STARTUP);
    harness_finish(&h);
}

static void what_is_no_descriptor_fails_the_run(void **state)
{
    (void)state;
    const char *const none[] = {NULL};
    struct harness h;
    harness_start(&h, &(struct harness_options){
                          .source = compile("cc", FIXTURES "alloc.c", none, "alloc_wake.so"),
                          .name = "waiting_for_nothing"});
    harness_expect_ready(&h);
    for (int i = 0; i < 2; i++) {
        run_of(&h, 0, 1);
        harness_expect_error(&h, 0, ERROR_PIPELINE,
                             "pipe wait_for_nothing: descriptor -1 cannot be waited for: Bad file "
                             "descriptor");
    }
    harness_stop(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_of_eight_runs_wake_each_its_own),
        cmocka_unit_test(what_a_thread_found_arrives_in_order),
        cmocka_unit_test(a_run_that_is_cancelled_is_closed_while_its_thread_works),
        cmocka_unit_test(descriptors_of_eight_runs_wake_each_its_own),
        cmocka_unit_test(who_waits_for_a_descriptor_sleeps),
        cmocka_unit_test(what_is_no_descriptor_fails_the_run),
        cmocka_unit_test(a_startup_hook_has_no_run_that_could_be_woken),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
