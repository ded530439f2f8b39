/* SPDX-License-Identifier: MIT */
/* test_collected.c - what plain runs hold of their results: counted, bounded, given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/dispatcher/stage_run.h"

#include <cmocka.h>

#include "dispatcher/workers/unfinished.h"
#include "tests/unit/shm/ring_memory.h"

/* With rings that long values fit into. */
static int scene_open(void **state)
{
    (void)state;
    stage_open(&(struct stage_options){.concurrency = 2, .reply_ring_bytes = 65536});
    return 0;
}

static struct stage_run begin_plain(void)
{
    return stage_run_begin(RESULT_PATH, RUN_BODY, 1);
}

/* Chunks that are texts of VALUE_BYTES each. */
#define VALUE_BYTES 8000u

static void put_values(struct stage_run *run, unsigned count)
{
    static uint8_t chunk[4 + VALUE_BYTES] = {0x91, 0xda, VALUE_BYTES >> 8, VALUE_BYTES & 0xff};
    memset(chunk + 4, 'a', VALUE_BYTES);
    for (unsigned i = 0; i < count; i++) {
        stage_run_put(run, RECORD_CHUNK, 0, chunk, sizeof(chunk));
        stage_settle();
    }
}

static uint64_t held_bytes(void)
{
    assert_int_equal(stage.server->runs.pipelines[0]->collected_bytes,
                     stage.server->api.collected_bytes);
    return stage.server->api.collected_bytes;
}

static void what_a_plain_run_holds_is_counted_as_it_grows_and_back_when_it_ends(void **state)
{
    (void)state;
    struct stage_run run = begin_plain(), stream = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    put_values(&stream, 3);
    assert_int_equal(held_bytes(), 0);
    for (unsigned i = 1; i <= 20; i++) {
        put_values(&run, 1);
        assert_in_range(held_bytes(), i * VALUE_BYTES, i * (VALUE_BYTES + 3) * 5 / 4 + 1024);
    }
    stage_run_end(&run);
    assert_true(answer_to(run.client)->complete);
    assert_true(answer.body_count > 20 * VALUE_BYTES);
    assert_int_equal(held_bytes(), 0);
}

static const struct run_failure asked = {
    .type = ERROR_UNKNOWN, .status = 200, .message = "", .reason = CANCEL_REQUESTED};

enum plain_end {
    PLAIN_ERROR,
    PLAIN_NOT_UTF8,
    PLAIN_CANCELLED,
    PLAIN_CLIENT_GONE,
    PLAIN_TOO_LATE,
    PLAIN_TOO_LARGE,
    PLAIN_WORKER_LOST,
    PLAIN_CHUNK_BROKEN,
    PLAIN_END_COUNT
};

/* True where nothing is left of the run when its worker has not let go of it. */
static bool end_plain(struct stage_run *run, enum plain_end end)
{
    switch (end) {
    case PLAIN_ERROR:
        stage_run_put(run, RECORD_ERROR, 0, "\x93\x04\xa1x\xc0", 5);
        break;
    case PLAIN_NOT_UTF8:
        stage_run_put(run, RECORD_CHUNK, 0, "\x91\xa1\xff", 3);
        break;
    case PLAIN_CANCELLED:
        run_cancel(&stage.server->runs, stage_run_of(run), &asked);
        break;
    case PLAIN_CLIENT_GONE:
        stage_hang_up(run->client);
        break;
    case PLAIN_TOO_LATE:
        stage_later(stage.config.pipelines[0].options.run_timeout_ms);
        break;
    case PLAIN_TOO_LARGE:
        put_values(run, 1);
        break;
    case PLAIN_WORKER_LOST:
        stage_exit(0, CLD_KILLED, SIGSEGV);
        break;
    case PLAIN_CHUNK_BROKEN:
        stage_run_put(run, RECORD_CHUNK, 0, "\xc1", 1);
        stage_settle();
        assert_int_equal(stage.workers[0].kill_count, 1);
        stage_exit(0, CLD_KILLED, SIGKILL);
        break;
    case PLAIN_END_COUNT:
        mr_unreachable("the count of the ways a run can end is none of them");
    }
    stage_settle();
    return end != PLAIN_ERROR && end != PLAIN_WORKER_LOST && end != PLAIN_CHUNK_BROKEN;
}

static void it_is_given_back_at_every_other_end_before_the_worker_lets_go(void **state)
{
    (void)state;
    for (enum plain_end end = 0; end < PLAIN_END_COUNT; end++) {
        stage_close();
        scene_open(state);
        stage.config.pipelines[0].options.run_timeout_ms = 4000;
        stage.config.body_bytes_max = 4 * VALUE_BYTES;
        struct stage_run run = begin_plain();
        put_values(&run, 3);
        assert_true(held_bytes() >= 3 * VALUE_BYTES);
        bool lingers = end_plain(&run, end);
        assert_int_equal(held_bytes(), 0);
        assert_int_equal(stage.server->runs.count, lingers);
        if (lingers)
            put_values(&run, 1); /* it was on its way */
        assert_int_equal(held_bytes(), 0);
        if (lingers)
            stage_run_end(&run);
        stage_settle();
        assert_int_equal(held_bytes(), 0);
        assert_int_equal(stage.server->runs.count, 0);
    }
}

static void the_outputs_of_an_asynchronous_run_are_the_historys_when_it_ends(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(RESULT_PATH, "{\"async_run\":true,\"inputs\":[]}", 1);
    put_values(&run, 3);
    assert_true(held_bytes() >= 3 * VALUE_BYTES);
    stage_run_end(&run);
    stage_settle();
    assert_int_equal(held_bytes(), 0);
    assert_true(stage.server->runs.history.output_bytes > 3 * VALUE_BYTES);
}

static void the_plain_run_that_needs_more_than_there_is_fails_and_others_go_on(void **state)
{
    (void)state;
    stage_close();
    stage_open(&(struct stage_options){
        .concurrency = 3, .reply_ring_bytes = 65536, .output_bytes_max = 1u << 20});
    struct stage_run first = begin_plain(), second = begin_plain(),
                     stream = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    put_values(&first, 40);
    uint64_t first_bytes = held_bytes();
    put_values(&second, 40); /* it fits without room to spare */
    assert_int_equal(stage.clients[second.client].count, 0);
    put_values(&second, 15);
    assert_true(answer_to(second.client)->complete);
    assert_non_null(strstr(answer.lines[0], "\"type\":\"oom\""));
    assert_non_null(strstr(answer.lines[0], "no memory left for the output of runs"));
    assert_int_equal(stage_run_reason(&second), CANCEL_BAD_VALUE);
    assert_int_equal(held_bytes(), first_bytes);
    put_values(&stream, 5);
    put_values(&first, 5);
    stage_run_end(&first);
    stage_run_end(&stream);
    assert_true(answer_to(first.client)->complete);
    assert_true(answer.body_count > 45 * VALUE_BYTES);
    assert_int_equal(answer_to(stream.client)->line_count, 5);
    assert_int_equal(held_bytes(), 0);
}

/* The last value is part of what the run had, and of what clients are told. */
static void the_value_that_is_too_much_is_counted(void **state)
{
    (void)state;
    stage.config.body_bytes_max = 4 * VALUE_BYTES;
    struct stage_run large = begin_plain();
    put_values(&large, 4);
    answer_to(large.client);
    assert_non_null(strstr(answer.lines[0], "chunk 4 cannot be sent: more output than one"));
    assert_int_equal(stage_run_of(&large)->value_count, 4);
    stage_run_end(&large);
    struct stage_run broken = begin_plain();
    put_values(&broken, 1);
    stage_run_put(&broken, RECORD_CHUNK, 0, "\x91\xa1\xff", 3);
    answer_to(broken.client);
    assert_non_null(strstr(answer.lines[0], "chunk 2 cannot be sent: text that is not"));
    assert_int_equal(stage_run_of(&broken)->value_count, 1);
    stage_run_end(&broken);
}

static void what_clients_do_not_read_leaves_less_to_collect(void **state)
{
    (void)state;
    stage_close();
    stage_open(&(struct stage_options){.reply_ring_bytes = 65536, .output_bytes_max = 1u << 20});
    struct stage_run run = begin_plain();
    struct out_pool *pool = &stage.server->front.out;
    put_values(&run, 1);
    uint64_t taken = pool->block_count_max - 2;
    pool->extent_cost += taken;
    put_values(&run, 5);
    assert_int_equal(stage_run_reason(&run), CANCEL_BAD_VALUE);
    pool->extent_cost -= taken;
    stage_settle();
    assert_int_equal(held_bytes(), 0);
}

static void a_pipeline_collects_no_more_than_its_share(void **state)
{
    (void)state;
    stage_close();
    stage_open(&(struct stage_options){.reply_ring_bytes = 65536,
                                       .output_bytes_max = 4 * (uint64_t)VALUE_BYTES_MAX});
    struct stage_run run = begin_plain();
    stage.server->fleet.pools[0]->unfinished.bytes_max /= 2; /* as if there were another one */
    stage.server->runs.pipelines[0]->collected_bytes =
        stage.server->fleet.pools[0]->unfinished.bytes_max - 2 * VALUE_BYTES;
    stage.server->api.collected_bytes = stage.server->runs.pipelines[0]->collected_bytes;
    put_values(&run, 1);
    assert_int_equal(stage_run_reason(&run), CANCEL_NONE);
    put_values(&run, 1);
    assert_int_equal(stage_run_reason(&run), CANCEL_BAD_VALUE);
    assert_non_null(strstr(answer_to(run.client)->lines[0], "all of its share"));
}

static void a_value_where_a_stream_was_said_is_told_as_it_is(void **state)
{
    (void)state;
    static const struct {
        uint64_t plain;
        const char *chunk, *outputs;
    } cases[] = {
        {0, "\x91\x07", "[{\"type\":\"array\",\"value\":[7,7],\"file\":null}]"},
        {1, "\x91\x07", "[{\"type\":\"integer\",\"value\":7,\"file\":null}]"},
        {1, "\x91\xa1x", "[{\"type\":\"string\",\"value\":\"x\",\"file\":null}]"},
        {1, "\x91\xc3", "[{\"type\":\"boolean\",\"value\":true,\"file\":null}]"},
        {UINT64_MAX - 1, "\x91\x07", "[{\"type\":\"array\",\"value\":[7,7],\"file\":null}]"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct stage_run run = begin_plain();
        const struct end_plain plain = {.outputs = cases[i].plain};
        for (unsigned line = 0; line < 2; line++)
            stage_run_put(&run, RECORD_CHUNK, 0, cases[i].chunk, strlen(cases[i].chunk));
        stage_run_put(&run, RECORD_END, 0, &plain, sizeof plain);
        stage_settle();
        assert_non_null(strstr(answer_to(run.client)->lines[0], cases[i].outputs));
        assert_int_equal(held_bytes(), 0);
    }
}

static void of_a_stream_without_values_nothing_can_be_plain(void **state)
{
    (void)state;
    struct stage_run run = begin_plain();
    const struct end_plain plain = {.outputs = UINT64_MAX};
    stage_run_put(&run, RECORD_END, 0, &plain, sizeof plain);
    stage_settle();
    assert_non_null(strstr(answer_to(run.client)->lines[0], "\"value\":[]"));
}

static void an_end_with_words_that_it_does_not_have_costs_the_worker_its_life(void **state)
{
    static const struct {
        const char *bytes;
        size_t count;
        enum record_flag flags;
    } bad[] = {
        {"1234567", 7, 0}, {"123456789", 9, 0}, {"\xc0", 1, 0}, {"12345678", 8, RECORD_MORE}};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        stage_close();
        scene_open(state);
        struct stage_run run = begin_plain();
        stage_run_put(&run, RECORD_END, bad[i].flags, bad[i].bytes, bad[i].count);
        stage_pass();
        assert_int_equal(stage.workers[0].kill_count, 1);
    }
}

#define COLLECTED_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        COLLECTED_TEST(what_a_plain_run_holds_is_counted_as_it_grows_and_back_when_it_ends),
        COLLECTED_TEST(it_is_given_back_at_every_other_end_before_the_worker_lets_go),
        COLLECTED_TEST(the_outputs_of_an_asynchronous_run_are_the_historys_when_it_ends),
        COLLECTED_TEST(the_plain_run_that_needs_more_than_there_is_fails_and_others_go_on),
        COLLECTED_TEST(the_value_that_is_too_much_is_counted),
        COLLECTED_TEST(what_clients_do_not_read_leaves_less_to_collect),
        COLLECTED_TEST(a_pipeline_collects_no_more_than_its_share),
        COLLECTED_TEST(a_value_where_a_stream_was_said_is_told_as_it_is),
        COLLECTED_TEST(of_a_stream_without_values_nothing_can_be_plain),
        COLLECTED_TEST(an_end_with_words_that_it_does_not_have_costs_the_worker_its_life),
    };
    return cmocka_run_group_tests_name("collected", tests, descriptors_note, descriptors_compare);
}
