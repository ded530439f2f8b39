/* SPDX-License-Identifier: MIT */
/*
 * test_worker_runs.c - runs that go well on a real millrace-worker, seen through the rings.
 */
#include "tests/unit/worker/harness.h"

#define MS UINT64_C(1000000)

static void words_come_one_by_one_and_then_the_end(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "words.so", .name = "my_pipeline"});
    harness_expect_ready(&h);
    uint64_t start_ns = harness_now_ns();
    harness_run_text(&h, 0, "hello there world");
    harness_expect_chunk(&h, 0, 0, "[\"hello \"]");
    assert_true(harness_now_ns() - start_ns >= 100 * MS);
    harness_expect_chunk(&h, 0, 1, "[\"there \"]");
    harness_expect_chunk(&h, 0, 2, "[\"world \"]");
    assert_true(harness_now_ns() - start_ns >= 300 * MS);
    harness_expect_end(&h, 0, 3);
    harness_stop(&h);
}

static void a_stream_without_items_ends_at_once(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "numbers.so"});
    harness_expect_ready(&h);
    for (int i = 0; i < 3; i++) {
        harness_run_numbers(&h, 0, 0, "", 0);
        harness_expect_end(&h, 0, 0);
    }
    harness_stop(&h);
}

/* The `i` of a chunk of numbers.c. */
static int64_t number_of(const struct harness_record *record)
{
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t offset = 0;
    assert_int_equal(
        msgpack_unpack_next(&unpacked, (const char *)record->payload, record->meta.bytes, &offset),
        MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(unpacked.data.type, MSGPACK_OBJECT_ARRAY);
    const msgpack_object *map = &unpacked.data.via.array.ptr[0];
    assert_int_equal(map->type, MSGPACK_OBJECT_MAP);
    assert_int_equal(map->via.map.size, 3);
    int64_t number = map->via.map.ptr[0].val.via.i64;
    msgpack_unpacked_destroy(&unpacked);
    return number;
}

static void a_flood_arrives_complete_and_in_order(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "numbers.so"});
    harness_expect_ready(&h);
    harness_run_numbers(&h, 0, 200000, "0123456789", 0);
    for (uint32_t i = 0; i < 200000; i++) {
        struct harness_record record = harness_next(&h);
        assert_int_equal(record.meta.kind, RECORD_CHUNK);
        assert_int_equal(record.meta.sequence, i);
        assert_int_equal(number_of(&record), i);
        free(record.payload);
    }
    harness_expect_end(&h, 0, 200000);
    harness_stop(&h);
}

static void a_ring_that_is_full_is_waited_for(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "numbers.so",
                                                .reply_ring_bytes = RING_BYTES_MIN,
                                                .window_bytes = 1u << 20});
    harness_expect_ready(&h);
    harness_run_numbers(&h, 0, 100, "0123456789", 0);
    for (uint32_t i = 0; i < 100; i++) {
        harness_wait_asleep(&h); /* each time it has filled the ring, or is done */
        struct harness_record record = harness_next(&h);
        assert_int_equal(record.meta.kind, RECORD_CHUNK);
        assert_int_equal(number_of(&record), i);
        free(record.payload);
    }
    harness_expect_end(&h, 0, 100);
    harness_stop(&h);
}

static void the_window_is_used_up_to_the_last_chunk_and_no_further(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "misbehave.so", .window_bytes = 4096});
    harness_expect_ready(&h);
    h.holds_window = true;
    msgpack_sbuffer request;
    msgpack_packer packer;
    harness_request(&request, &packer, 3);
    msgpack_pack_str_with_body(&packer, "endless", 7);
    msgpack_pack_int(&packer, 0);
    msgpack_pack_nil(&packer);
    harness_run(&h, 0, &request);
    harness_wait_asleep(&h);
    /* Each chunk is an array of one small number: two bytes. */
    const uint32_t fit = 4096 / (CHUNK_CHARGE_BYTES + 2);
    uint32_t sequence = 0;
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < fit; i++)
            harness_expect_chunk(&h, 0, sequence++, "[0]");
        harness_wait_asleep(&h);
        assert_true(ring_is_empty(&h.reply));
        harness_deliver(&h, 0);
    }
    harness_cancel(&h, 0, CANCEL_STALLED);
    harness_finish(&h);
}

/* The `t_ns` of a chunk of numbers.c. */
static uint64_t time_of(const struct harness_record *record)
{
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t offset = 0;
    assert_int_equal(
        msgpack_unpack_next(&unpacked, (const char *)record->payload, record->meta.bytes, &offset),
        MSGPACK_UNPACK_SUCCESS);
    uint64_t time_ns = unpacked.data.via.array.ptr[0].via.map.ptr[1].val.via.u64;
    msgpack_unpacked_destroy(&unpacked);
    return time_ns;
}

/* Takes `count` chunks, after which the worker sleeps and there is no further one. */
static void expect_numbers_until_asleep(struct harness *h, uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        struct harness_record record = harness_next(h);
        assert_int_equal(record.meta.kind, RECORD_CHUNK);
        assert_int_equal(number_of(&record), i);
        free(record.payload);
    }
    harness_wait_asleep(h);
    assert_true(ring_is_empty(&h->reply));
}

static void a_run_without_a_window_is_not_stepped(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "numbers.so", .window_bytes = 4096});
    harness_expect_ready(&h);
    h.holds_window = true;
    harness_run_numbers(&h, 0, 100, "", 0);
    expect_numbers_until_asleep(&h, 0, 11); /* of 321 to 384 each; what is left holds no chunk */
    uint64_t before_ns = harness_now_ns();
    harness_deliver(&h, 0);
    struct harness_record record = harness_next(&h);
    assert_int_equal(number_of(&record), 11);
    assert_true(time_of(&record) >= before_ns);
    free(record.payload);
    harness_finish(&h);
}

static void a_value_that_turns_out_not_to_fit_the_window_is_kept(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "numbers.so", .window_bytes = 5000});
    harness_expect_ready(&h);
    h.holds_window = true;
    char text[1001];
    memset(text, 'x', 1000);
    text[1000] = '\0';
    harness_run_numbers(&h, 0, 7, text, 0);
    /* Of about 1,350 each: three fit, and 900 bytes of window remain for a small one. */
    expect_numbers_until_asleep(&h, 0, 3);
    uint64_t before_ns = harness_now_ns();
    harness_deliver(&h, 0);
    struct harness_record record = harness_next(&h);
    assert_int_equal(number_of(&record), 3);
    assert_true(time_of(&record) < before_ns); /* it was made before, and not made again */
    free(record.payload);
    expect_numbers_until_asleep(&h, 4, 2);
    harness_deliver(&h, 0);
    record = harness_next(&h);
    assert_int_equal(number_of(&record), 6);
    free(record.payload);
    harness_expect_end(&h, 0, 7);
    harness_stop(&h);
}

/* Not one after the other: while one is on its way the next is made, and no third. */
static void of_chunks_larger_than_the_window_two_are_on_their_way(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "numbers.so", .window_bytes = 400});
    harness_expect_ready(&h);
    h.holds_window = true;
    char text[1001];
    memset(text, 'x', 1000);
    text[1000] = '\0';
    harness_run_numbers(&h, 0, 6, text, 0);
    for (uint32_t i = 0; i < 6; i += 2) {
        for (uint32_t k = i; k < i + 2; k++) {
            struct harness_record record = harness_next(&h);
            assert_int_equal(number_of(&record), k);
            free(record.payload);
        }
        if (i < 4) {
            harness_wait_asleep(&h);
            assert_true(ring_is_empty(&h.reply));
        }
        harness_deliver(&h, 0);
    }
    harness_expect_end(&h, 0, 6);
    harness_stop(&h);
}

static void a_chunk_much_larger_than_the_window_passes_alone(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "numbers.so", .window_bytes = 400});
    harness_expect_ready(&h);
    h.holds_window = true;
    char text[4001];
    memset(text, 'x', 4000);
    text[4000] = '\0';
    harness_run_numbers(&h, 0, 3, text, 0);
    for (uint32_t i = 0; i < 3; i++) {
        struct harness_record record = harness_next(&h);
        assert_int_equal(number_of(&record), i);
        free(record.payload);
        /* Not stepped for long: the next chunk only waits, or is made and set aside. */
        if (i < 2) {
            harness_wait_asleep(&h);
            assert_true(ring_is_empty(&h.reply));
        }
        harness_deliver(&h, 0);
    }
    harness_expect_end(&h, 0, 3);
    harness_stop(&h);
}

static void a_run_that_waits_for_its_client_delays_no_other(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){
                          .source = "numbers.so", .slot_count = 2, .window_bytes = 4096});
    harness_expect_ready(&h);
    h.holds_window = true;
    harness_run_numbers(&h, 0, 1000, "", 0);
    harness_wait_asleep(&h);
    while (!ring_is_empty(&h.reply)) {
        struct harness_record record = harness_next(&h);
        assert_int_equal(record.meta.slot, 0);
        free(record.payload);
    }
    for (int i = 0; i < 20; i++) {
        harness_run_numbers(&h, 1, 5, "", 0);
        for (uint32_t k = 0; k < 5; k++) {
            struct harness_record record = harness_next(&h);
            assert_int_equal(record.meta.slot, 1);
            assert_int_equal(number_of(&record), k);
            free(record.payload);
        }
        harness_expect_end(&h, 1, 5);
    }
    harness_finish(&h);
}

/* Two floods: each has several lines in a row, and neither more than its share. */
static void floods_take_turns_of_a_bounded_size(void **state)
{
    (void)state;
    const uint64_t share = 128u * 1024;
    const uint32_t count = 20000;
    struct harness h;
    harness_start(&h, &(struct harness_options){
                          .source = "numbers.so", .slot_count = 2, .window_bytes = 1u << 30});
    harness_expect_ready(&h);
    harness_run_numbers(&h, 0, count, "0123456789", 0);
    harness_run_numbers(&h, 1, count, "0123456789", 0);
    uint32_t change_count = 0, ended = 0;
    uint64_t charge = 0;
    for (uint32_t last = UINT32_MAX; ended < 2;) {
        struct harness_record record = harness_next(&h);
        if (record.meta.slot != last) {
            last = record.meta.slot;
            change_count++;
            charge = 0;
        }
        charge += record.meta.bytes + CHUNK_CHARGE_BYTES;
        /* The first turn is as long as the second flood takes to be there. */
        if (ended == 0 && change_count > 1)
            assert_true(charge <= share + record.meta.bytes + CHUNK_CHARGE_BYTES);
        ended += record.meta.kind == RECORD_END;
        free(record.payload);
    }
    assert_true(change_count > count / (share / CHUNK_CHARGE_BYTES));
    assert_true(change_count < count);
    harness_stop(&h);
}

static void outputs_advance_in_lock_step(void **state)
{
    (void)state;
    const char *const names[] = {"lockstep", "paced"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        struct harness h;
        harness_start(&h, &(struct harness_options){.source = "several.so", .name = names[i]});
        harness_expect_ready(&h);
        for (int round = 0; round < 2; round++) {
            msgpack_sbuffer request;
            msgpack_packer packer;
            harness_request(&request, &packer, 0);
            harness_run(&h, 0, &request);
            harness_expect_chunk(&h, 0, 0, "[1, \"static\", \"hello\"]");
            harness_expect_chunk(&h, 0, 1, "[2, \"static\", \"world\"]");
            harness_expect_chunk(&h, 0, 2, "[3, \"static\", (ext: 0)\"\\x00\"]");
            harness_expect_chunk(&h, 0, 3, "[4, \"static\", (ext: 0)\"\\x00\"]");
            harness_expect_end(&h, 0, 4);
        }
        harness_stop(&h);
    }
}

static void pipes_feed_each_other_and_share_a_state(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "several.so", .name = "several"});
    harness_expect_ready(&h);
    for (int run = 0; run < 2; run++) {
        msgpack_sbuffer request;
        msgpack_packer packer;
        char line[128];
        harness_request(&request, &packer, 2);
        msgpack_pack_str_with_body(&packer, "  ab c  ", 8);
        msgpack_pack_nil(&packer);
        harness_run(&h, 0, &request);
        const char *const starts[] = {"\"ab\", \"a\"", "\"c\", \"b\"", "(ext: 0)\"\\x00\", \" \"",
                                      "(ext: 0)\"\\x00\", \"c\""};
        for (uint32_t i = 0; i < ARRAY_COUNT(starts); i++) {
            snprintf(line, sizeof line, "[%s, {\"bytes\"=>4, \"run\"=>%d, \"started\"=>true}]",
                     starts[i], run);
            harness_expect_chunk(&h, 0, i, line);
        }
        harness_expect_end(&h, 0, 4);
    }
    assert_int_equal(h.log_count, 1);
    assert_string_equal(h.logs[0].text, "several is ready");
    assert_int_equal(h.logs[0].slot, 0);
    assert_int_equal(h.logs[0].generation, 0);
    harness_stop(&h);
}

static void a_state_is_destroyed_when_the_worker_stops(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "several.so", .name = "several"});
    harness_expect_ready(&h);
    void *payload;
    assert_int_equal(ring_claim(&h.request, 0, &payload), 0);
    const struct record meta = {.kind = RECORD_STOP};
    ring_commit(&h.request, &meta);
    doorbell_ring(&h.worker_bell, DOORBELL_ANY);
    harness_expect_exit(&h, WORKER_EXIT_OK);
    struct harness_record record = harness_next_within(&h, 0);
    assert_int_equal(record.meta.kind, RECORD_PAD);
    free(record.payload);
    assert_int_equal(h.log_count, 2);
    assert_string_equal(h.logs[1].text, "several served 0 runs");
    harness_finish(&h);
}

static void a_stop_lets_active_runs_finish(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "words.so", .slot_count = 2});
    harness_expect_ready(&h);
    harness_run_text(&h, 0, "one two");
    harness_run_text(&h, 1, "three");
    void *payload;
    assert_int_equal(ring_claim(&h.request, 0, &payload), 0);
    const struct record meta = {.kind = RECORD_STOP};
    ring_commit(&h.request, &meta);
    doorbell_ring(&h.worker_bell, DOORBELL_ANY);
    harness_expect_exit(&h, WORKER_EXIT_OK);
    int ends = 0;
    for (int i = 0; i < 5; i++) {
        struct harness_record record = harness_next(&h);
        ends += record.meta.kind == RECORD_END;
        free(record.payload);
    }
    assert_int_equal(ends, 2);
    harness_finish(&h);
}

static void a_revoked_run_never_starts(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "numbers.so", .slot_count = 2});
    harness_expect_ready(&h);
    slot_offer(&h.segment.slots[1], ++h.generations[1]);
    assert_true(slot_move(&h.segment.slots[1], h.generations[1], SLOT_OFFERED, SLOT_REVOKED));
    msgpack_sbuffer request;
    msgpack_packer packer;
    harness_request(&request, &packer, 3);
    msgpack_pack_int(&packer, 5);
    msgpack_pack_str_with_body(&packer, "x", 1);
    msgpack_pack_int(&packer, 0);
    harness_commit_start(&h, 1, 0, request.data, request.size);
    msgpack_sbuffer_destroy(&request);
    harness_expect_end(&h, 1, 0);
    harness_run_numbers(&h, 1, 1, "", 0);
    free(harness_next(&h).payload);
    harness_expect_end(&h, 1, 1);
    harness_stop(&h);
}

static void a_stepped_run_leaves_a_progress_stamp(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "numbers.so"});
    harness_expect_ready(&h);
    assert_int_equal(slot_last_progress(&h.segment.slots[0]), 0);
    uint64_t before_ns = harness_now_ns();
    harness_run_numbers(&h, 0, 1, "", 20);
    free(harness_next(&h).payload);
    uint64_t stamp_ns = slot_last_progress(&h.segment.slots[0]);
    assert_true(stamp_ns + 20 * MS >= before_ns); /* the coarse clock */
    assert_true(stamp_ns <= harness_now_ns());
    harness_expect_end(&h, 0, 1);
    harness_stop(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_come_one_by_one_and_then_the_end),
        cmocka_unit_test(a_stream_without_items_ends_at_once),
        cmocka_unit_test(a_flood_arrives_complete_and_in_order),
        cmocka_unit_test(a_ring_that_is_full_is_waited_for),
        cmocka_unit_test(the_window_is_used_up_to_the_last_chunk_and_no_further),
        cmocka_unit_test(a_run_without_a_window_is_not_stepped),
        cmocka_unit_test(a_value_that_turns_out_not_to_fit_the_window_is_kept),
        cmocka_unit_test(of_chunks_larger_than_the_window_two_are_on_their_way),
        cmocka_unit_test(a_chunk_much_larger_than_the_window_passes_alone),
        cmocka_unit_test(a_run_that_waits_for_its_client_delays_no_other),
        cmocka_unit_test(floods_take_turns_of_a_bounded_size),
        cmocka_unit_test(outputs_advance_in_lock_step),
        cmocka_unit_test(pipes_feed_each_other_and_share_a_state),
        cmocka_unit_test(a_state_is_destroyed_when_the_worker_stops),
        cmocka_unit_test(a_stop_lets_active_runs_finish),
        cmocka_unit_test(a_revoked_run_never_starts),
        cmocka_unit_test(a_stepped_run_leaves_a_progress_stamp),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
