/* SPDX-License-Identifier: MIT */
/*
 * test_worker_failures.c - pipelines that fail, crash, print and are cancelled; dispatchers that
 * go.
 */
#include "tests/unit/worker/harness.h"

#define MS UINT64_C(1000000)

/* Starts a run of misbehave.c. */
static void run_way(struct harness *h, uint32_t slot, const char *how, int64_t k, int64_t seed)
{
    msgpack_sbuffer request;
    msgpack_packer packer;
    harness_request(&request, &packer, 3);
    msgpack_pack_str_with_body(&packer, how, strlen(how));
    msgpack_pack_int64(&packer, k);
    msgpack_pack_int64(&packer, seed);
    harness_run(h, slot, &request);
}

static void start_misbehave(struct harness *h, uint32_t slot_count)
{
    harness_start(h, &(struct harness_options){.source = "misbehave.so", .slot_count = slot_count});
    harness_expect_ready(h);
}

/* ---- failures ------------------------------------------------------------------------------ */

struct expected {
    const char *how;
    enum error_type type;
    const char *message;
};

static const struct expected failures[] = {
    {"short_array", ERROR_PIPELINE, "pipe misbehave: an array announced 3 items and 2 came"},
    {"long_array", ERROR_PIPELINE, "more values were written than the one that is wanted"},
    {"short_dictionary", ERROR_PIPELINE, "announced 2 pairs and 1 came, then a key without"},
    {"integer_key", ERROR_PIPELINE, "a dictionary's key is not a string"},
    {"two_values", ERROR_PIPELINE, "more values were written than the one that is wanted"},
    {"no_value", ERROR_PIPELINE, "no value was written"},
    {"value_at_end", ERROR_PIPELINE, "wrote a value and returned MR_END"},
    {"nested_100", ERROR_PIPELINE, "nested deeper than 30"},
    {"text_65_mb", ERROR_PIPELINE, "larger than 67108864 bytes"},
    {"fail", ERROR_CUDA_OOM, "pipe misbehave: no room on device 7"},
    {"fail_errno", ERROR_PIPELINE, "pipe misbehave returned -2 (No such file or directory)"},
    {"fail_number", ERROR_PIPELINE, "pipe misbehave returned -4711\""},
    {"later_without_time", ERROR_PIPELINE, "MR_LATER without saying until when"},
    {"result_99", ERROR_PIPELINE, "next() returned 99"},
    {"no way", ERROR_INPUT, "pipe misbehave: no such way: no way"},
};

static void each_failure_says_what_happened_and_the_worker_goes_on(void **state)
{
    (void)state;
    struct harness h;
    start_misbehave(&h, 1);
    for (size_t i = 0; i < ARRAY_COUNT(failures); i++) {
        run_way(&h, 0, failures[i].how, 1, 0);
        if (failures[i].type != ERROR_INPUT)
            harness_expect_chunk(&h, 0, 0, "[0]");
        harness_expect_error(&h, 0, failures[i].type, failures[i].message);
    }
    harness_stop(&h);
}

static void a_pipe_without_a_stream_that_is_declared_fails(void **state)
{
    (void)state;
    struct harness h;
    start_misbehave(&h, 1);
    run_way(&h, 0, "fail", -1, 0);
    harness_expect_error(&h, 0, ERROR_CUDA_OOM, "pipe misbehave: no room on device 7");
    run_way(&h, 0, "nan", -1, 0);
    harness_expect_error(&h, 0, ERROR_PIPELINE, "it returned no stream");
    run_way(&h, 0, "short_array", -1, 0);
    harness_expect_error(&h, 0, ERROR_PIPELINE, "it returned no stream");
    harness_stop(&h);
}

static void values_the_dispatcher_judges_pass_the_worker(void **state)
{
    (void)state;
    struct harness h;
    start_misbehave(&h, 1);
    run_way(&h, 0, "invalid_utf8", 0, 0);
    struct harness_record record = harness_next(&h);
    assert_int_equal(record.meta.kind, RECORD_CHUNK);
    assert_memory_equal(record.payload, "\x91\xa4\xc3\x28 \xff", 6);
    free(record.payload);
    harness_expect_end(&h, 0, 1);
    run_way(&h, 0, "nan", 0, 0);
    record = harness_next(&h);
    assert_int_equal(record.meta.bytes, 10);
    assert_int_equal(record.payload[1], 0xcb);
    free(record.payload);
    harness_expect_end(&h, 0, 1);
    harness_stop(&h);
}

/* ---- death --------------------------------------------------------------------------------- */

static void chunks_committed_before_a_crash_stay_readable(void **state)
{
    (void)state;
    const char *const ways[] = {"crash", "abort", "exit"};
    for (size_t i = 0; i < ARRAY_COUNT(ways); i++) {
        struct harness h;
        start_misbehave(&h, 1);
        run_way(&h, 0, ways[i], 5, 0);
        int status = harness_wait(&h);
        assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        if (i == 2)
            assert_int_equal(WEXITSTATUS(status), 3);
        char text[8];
        for (uint32_t k = 0; k < 5; k++) {
            snprintf(text, sizeof text, "[%u]", k);
            harness_expect_chunk(&h, 0, k, text);
        }
        struct harness_record record = harness_next_within(&h, 0);
        assert_int_equal(record.meta.kind, RECORD_PAD);
        free(record.payload);
        harness_finish(&h);
    }
}

static void an_idle_worker_leaves_when_the_dispatcher_vanishes(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "words.so"});
    harness_expect_ready(&h);
    harness_wait_asleep(&h);
    uint64_t start_ns = harness_now_ns();
    shutdown(h.socket, SHUT_RDWR);
    harness_expect_exit(&h, WORKER_EXIT_ORPHAN);
    assert_true(harness_now_ns() - start_ns < 1000 * MS);
    assert_non_null(strstr(h.text, "the dispatcher vanished"));
    harness_finish(&h);
}

static void a_busy_worker_leaves_when_the_dispatcher_vanishes(void **state)
{
    (void)state;
    struct harness h;
    start_misbehave(&h, 2);
    h.holds_window = true;
    run_way(&h, 0, "endless", 0, 0);
    free(harness_next(&h).payload);
    uint64_t start_ns = harness_now_ns();
    shutdown(h.socket, SHUT_RDWR);
    harness_expect_exit(&h, WORKER_EXIT_ORPHAN);
    assert_true(harness_now_ns() - start_ns < 1000 * MS);
    harness_finish(&h);
}

static void a_worker_whose_ring_is_full_leaves_when_the_dispatcher_vanishes(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "misbehave.so",
                                                .window_bytes = 1u << 24,
                                                .reply_ring_bytes = RING_BYTES_MIN});
    harness_expect_ready(&h);
    run_way(&h, 0, "endless", 0, 0);
    harness_wait_asleep(&h);
    shutdown(h.socket, SHUT_RDWR);
    harness_expect_exit(&h, WORKER_EXIT_ORPHAN);
    harness_finish(&h);
}

static void a_corrupt_request_ring_ends_the_worker(void **state)
{
    (void)state;
    struct harness h;
    start_misbehave(&h, 1);
    atomic_store_explicit(&h.segment.request_ring->tail, 12345, memory_order_release);
    doorbell_ring(&h.worker_bell, DOORBELL_ANY);
    harness_expect_exit(&h, WORKER_EXIT_PROTOCOL);
    assert_non_null(strstr(h.text, "request ring is corrupt"));
    harness_finish(&h);
}

static void a_slot_word_that_is_overwritten_ends_the_worker(void **state)
{
    (void)state;
    struct harness h;
    start_misbehave(&h, 1);
    run_way(&h, 0, "scribble", 0, 2);
    int status = harness_wait(&h);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), WORKER_EXIT_PROTOCOL);
    harness_finish(&h);
}

/* ---- cancellation -------------------------------------------------------------------------- */

static uint32_t count_logs(const struct harness *h, const char *text)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < h->log_count; i++)
        count += strcmp(h->logs[i].text, text) == 0;
    return count;
}

static void a_cancelled_flood_is_closed_once_and_ends(void **state)
{
    (void)state;
    struct harness h;
    start_misbehave(&h, 1);
    run_way(&h, 0, "endless", 0, 0);
    for (int i = 0; i < 1000; i++)
        free(harness_next(&h).payload);
    harness_cancel(&h, 0, CANCEL_CLIENT_GONE);
    /* What is in the ring now was committed before the worker could look, but for one step. */
    uint64_t seen = atomic_load_explicit(&h.segment.reply_ring->tail, memory_order_acquire);
    struct harness_record record = harness_next(&h);
    while (record.meta.kind == RECORD_CHUNK) {
        free(record.payload);
        record = harness_next(&h);
    }
    assert_int_equal(record.meta.kind, RECORD_ERROR);
    free(record.payload);
    uint64_t end = atomic_load_explicit(&h.segment.reply_ring->tail, memory_order_acquire);
    assert_true(end - seen < 512); /* one chunk, the log line of close(), the error */
    assert_int_equal(count_logs(&h, "closed endless"), 1);
    assert_int_equal(slot_load(&h.segment.slots[0]).state, SLOT_ENDED);
    harness_stop(&h);
}

static void a_run_that_waits_for_a_time_is_cancelled_at_once(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "numbers.so", .slot_count = 3});
    harness_expect_ready(&h);
    harness_run_numbers(&h, 0, 1, "", 3600000);
    harness_run_numbers(&h, 1, 1, "", 30);
    harness_run_numbers(&h, 2, 1, "", 3600000);
    harness_wait_asleep(&h);
    harness_cancel(&h, 0, CANCEL_REQUESTED);
    harness_expect_error(&h, 0, ERROR_UNKNOWN, "cancelled: on request");
    harness_run_numbers(&h, 0, 1, "", 3600000); /* its slot waits for a time again */
    free(harness_next(&h).payload);             /* the due times of the others stand */
    harness_expect_end(&h, 1, 1);
    harness_cancel(&h, 2, CANCEL_DEADLINE);
    harness_expect_error(&h, 2, ERROR_UNKNOWN, "cancelled: its deadline passed");
    harness_cancel(&h, 0, CANCEL_BAD_VALUE);
    harness_expect_error(&h, 0, ERROR_UNKNOWN, "cancelled: a value could not be sent");
    harness_stop(&h);
}

static void each_of_many_waiting_runs_is_cancelled_at_once(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "numbers.so", .slot_count = 64});
    harness_expect_ready(&h);
    for (uint32_t slot = 0; slot < 64; slot++)
        harness_run_numbers(&h, slot, 1, "", 3600000);
    harness_wait_asleep(&h);
    for (uint32_t i = 0; i < 64; i++) {
        uint32_t slot = i * 37 % 64;
        harness_cancel(&h, slot, CANCEL_DRAIN);
        harness_expect_error(&h, slot, ERROR_UNKNOWN, "cancelled: the server stops");
        harness_wait_asleep(&h);
    }
    harness_stop(&h);
}

static void a_run_that_waits_for_its_window_is_cancelled_at_once(void **state)
{
    (void)state;
    struct harness h;
    start_misbehave(&h, 1);
    h.holds_window = true;
    run_way(&h, 0, "endless", 0, 0);
    harness_wait_asleep(&h);
    harness_cancel(&h, 0, CANCEL_STALLED);
    struct harness_record record = harness_next(&h);
    while (record.meta.kind == RECORD_CHUNK) {
        free(record.payload);
        record = harness_next(&h);
    }
    assert_int_equal(record.meta.kind, RECORD_ERROR);
    assert_non_null(memmem(record.payload, record.meta.bytes, "stopped reading", 15));
    free(record.payload);
    assert_int_equal(count_logs(&h, "closed endless"), 1);
    harness_stop(&h);
}

static void an_iterator_is_closed_once_however_its_run_ends(void **state)
{
    (void)state;
    struct harness h;
    start_misbehave(&h, 1);
    run_way(&h, 0, "nan", 1, 0);
    free(harness_next(&h).payload);
    free(harness_next(&h).payload);
    harness_expect_end(&h, 0, 2);
    assert_int_equal(count_logs(&h, "closed nan"), 1);
    run_way(&h, 0, "fail", 0, 0);
    harness_expect_error(&h, 0, ERROR_CUDA_OOM, "");
    assert_int_equal(count_logs(&h, "closed fail"), 1);
    harness_stop(&h);
}

/* ---- output -------------------------------------------------------------------------------- */

static void printed_lines_carry_the_run_that_printed_them(void **state)
{
    (void)state;
    struct harness h;
    start_misbehave(&h, 3);
    h.generations[2] = 41;
    run_way(&h, 2, "flood_stdout", 0, 3);
    harness_expect_chunk(&h, 2, 0, "[0]");
    harness_expect_end(&h, 2, 1);
    run_way(&h, 1, "flood_stderr", 0, 2);
    harness_expect_chunk(&h, 1, 0, "[0]");
    harness_expect_end(&h, 1, 1);
    const struct {
        uint32_t slot, generation, level;
        const char *text;
    } lines[] = {
        {2, 42, 1, "flood 0 of 3"},        {2, 42, 1, "flood 1 of 3"}, {2, 42, 1, "flood 2 of 3"},
        {2, 42, 0, "closed flood_stdout"}, {1, 1, 2, "flood 0 of 2"},  {1, 1, 2, "flood 1 of 2"},
        {1, 1, 0, "closed flood_stderr"},
    };
    assert_int_equal(h.log_count, ARRAY_COUNT(lines));
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        assert_string_equal(h.logs[i].text, lines[i].text);
        assert_int_equal(h.logs[i].slot, lines[i].slot);
        assert_int_equal(h.logs[i].generation, lines[i].generation);
        assert_int_equal(h.logs[i].level, lines[i].level);
    }
    harness_stop(&h);
}

static void a_value_that_is_half_written_survives_what_is_printed(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "misbehave.so",
                                                .reply_ring_bytes = RING_BYTES_MIN});
    harness_expect_ready(&h);
    run_way(&h, 0, "print_inside", 0, 200);
    harness_expect_chunk(&h, 0, 0, "[[\"before\", \"after\"]]");
    harness_expect_end(&h, 0, 1);
    assert_int_equal(h.log_count, 201); /* and the one of close() */
    harness_stop(&h);
}

static void a_descriptor_goes_to_the_pipe(void **state)
{
    (void)state;
    struct harness h;
    start_misbehave(&h, 1);
    run_way(&h, 0, "flood_descriptor", 0, 3);
    harness_expect_chunk(&h, 0, 0, "[0]");
    harness_expect_end(&h, 0, 1);
    harness_read_output(&h);
    assert_string_equal(h.text, "flood 0 of 3\nflood 1 of 3\nflood 2 of 3\n");
    assert_int_equal(count_logs(&h, "flood 0 of 3"), 0);
    harness_stop(&h);
}

static void children_print_to_the_pipe_and_unfinished_lines_are_sent(void **state)
{
    (void)state;
    struct harness h;
    start_misbehave(&h, 1);
    run_way(&h, 0, "print_from_child", 0, 0);
    harness_expect_chunk(&h, 0, 0, "[0]");
    harness_expect_end(&h, 0, 1);
    harness_read_output(&h);
    assert_string_equal(h.text, "a line of the child\n");
    assert_int_equal(count_logs(&h, "no end of this line"), 1);
    harness_stop(&h);
}

static void an_unfinished_line_is_not_continued_by_another_run(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){
                          .source = "misbehave.so", .slot_count = 2, .window_bytes = 32});
    harness_expect_ready(&h);
    h.holds_window = true; /* so small that neither run is stepped after its one chunk */
    for (uint32_t slot = 0; slot < 2; slot++) {
        run_way(&h, slot, "print_from_child", 0, 0);
        harness_expect_chunk(&h, slot, 0, "[0]");
        harness_wait_asleep(&h);
    }
    assert_int_equal(h.log_count, 1);
    assert_string_equal(h.logs[0].text, "no end of this line");
    assert_int_equal(h.logs[0].slot, 0);
    harness_deliver(&h, 1);
    harness_expect_end(&h, 1, 1);
    assert_int_equal(h.log_count, 3);
    assert_string_equal(h.logs[1].text, "closed print_from_child");
    assert_string_equal(h.logs[2].text, "no end of this line");
    assert_int_equal(h.logs[2].slot, 1);
    harness_finish(&h);
}

static void a_long_line_is_split_between_characters(void **state)
{
    (void)state;
    struct harness h;
    start_misbehave(&h, 1);
    run_way(&h, 0, "print_long", 0, 0);
    harness_expect_chunk(&h, 0, 0, "[0]");
    harness_expect_end(&h, 0, 1);
    size_t bytes = 0;
    for (uint32_t i = 0; i + 1 < h.log_count; i++) {
        size_t count = strlen(h.logs[i].text);
        bytes += count;
        /* A piece does not begin in the middle of the euro sign. */
        assert_true(((unsigned char)h.logs[i].text[0] & 0xc0) != 0x80);
        assert_true(count <= LOG_TEXT_BYTES_MAX);
    }
    assert_int_equal(bytes, 1000 * 9);
    harness_stop(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_failure_says_what_happened_and_the_worker_goes_on),
        cmocka_unit_test(a_pipe_without_a_stream_that_is_declared_fails),
        cmocka_unit_test(values_the_dispatcher_judges_pass_the_worker),
        cmocka_unit_test(chunks_committed_before_a_crash_stay_readable),
        cmocka_unit_test(an_idle_worker_leaves_when_the_dispatcher_vanishes),
        cmocka_unit_test(a_busy_worker_leaves_when_the_dispatcher_vanishes),
        cmocka_unit_test(a_worker_whose_ring_is_full_leaves_when_the_dispatcher_vanishes),
        cmocka_unit_test(a_corrupt_request_ring_ends_the_worker),
        cmocka_unit_test(a_slot_word_that_is_overwritten_ends_the_worker),
        cmocka_unit_test(a_cancelled_flood_is_closed_once_and_ends),
        cmocka_unit_test(a_run_that_waits_for_a_time_is_cancelled_at_once),
        cmocka_unit_test(each_of_many_waiting_runs_is_cancelled_at_once),
        cmocka_unit_test(a_run_that_waits_for_its_window_is_cancelled_at_once),
        cmocka_unit_test(an_iterator_is_closed_once_however_its_run_ends),
        cmocka_unit_test(printed_lines_carry_the_run_that_printed_them),
        cmocka_unit_test(a_value_that_is_half_written_survives_what_is_printed),
        cmocka_unit_test(a_descriptor_goes_to_the_pipe),
        cmocka_unit_test(children_print_to_the_pipe_and_unfinished_lines_are_sent),
        cmocka_unit_test(an_unfinished_line_is_not_continued_by_another_run),
        cmocka_unit_test(a_long_line_is_split_between_characters),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
