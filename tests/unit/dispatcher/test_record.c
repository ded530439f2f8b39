/* SPDX-License-Identifier: MIT */
/*
 * test_record.c - what a worker writes into its reply ring, and what that does to it, its runs and
 * nobody else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/dispatcher/stage_run.h"

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

static int scene_open(void **state)
{
    (void)state;
    stage_open(&(struct stage_options){.worker_count = 2, .concurrency = 2});
    return 0;
}

static struct stage_run begin(void)
{
    return stage_run_begin(STREAM_PATH, RUN_BODY, 1);
}

static const struct client_answer *read_answer(const struct stage_run *play)
{
    answer_finish(&answer);
    client_answer_of(&answer, play->client);
    return &answer;
}

/* The run failed with these words, its worker was killed for them, and the other one was not. */
static void expect_killed(const struct stage_run *play, const char *why)
{
    /* All records are read before anything counts as delivered. */
    for (int i = 0; i < 8; i++)
        stage_pass();
    stage_settle();
    assert_int_equal(stage.workers[play->worker].kill_count, 1);
    assert_int_equal(stage.workers[1 - play->worker].kill_count, 0);
    stage_exit(play->worker, CLD_KILLED, SIGKILL);
    stage_settle();
    read_answer(play);
    assert_true(answer.complete);
    assert_non_null(strstr(answer.lines[answer.line_count - 1], why));
    assert_non_null(strstr(answer.lines[answer.line_count - 1], "\"pipeline_error\""));
}

static void a_chunk_becomes_a_line_and_an_end_the_end(void **state)
{
    (void)state;
    struct stage_run play = begin();
    stage_run_number(&play);
    stage_settle();
    read_answer(&play);
    assert_int_equal(answer.status, 200);
    assert_false(answer.complete);
    assert_int_equal(answer.line_count, 1);
    assert_non_null(strstr(answer.lines[0], NUMBER_OUTPUTS));
    stage_run_put(&play, RECORD_END, 0, NULL, 0);
    stage_settle();
    assert_true(read_answer(&play)->complete && answer.line_count == 1);
    assert_non_null(strstr(answer.head_text, "application/x-ndjson"));
}

static void an_error_after_chunks_is_the_last_line(void **state)
{
    (void)state;
    static const uint8_t error[] = "\x93\x04\xa4"
                                   "oops\xa2tb";
    static const char *const told[] = {[TRACEBACKS_LOG] = "null}", [TRACEBACKS_CLIENT] = "\"tb\"}"};
    struct stage_run play;
    for (unsigned i = TRACEBACKS_LOG; i <= TRACEBACKS_CLIENT; i++) {
        stage.config.tracebacks = (enum tracebacks)i;
        play = begin();
        stage_run_number(&play);
        stage_run_put(&play, RECORD_ERROR, 0, error, sizeof(error) - 1);
        stage_settle();
        assert_true(read_answer(&play)->complete && answer.line_count == 2);
        const char *rest =
            strstr(answer.lines[1], "\"type\":\"pipeline_error\",\"message\":\"oops\","
                                    "\"traceback\":");
        assert_true(rest && strstr(rest, told[i]));
    }
    assert_int_equal(stage.workers[play.worker].kill_count, 0);
}

static void an_error_that_cannot_be_read_is_an_error_all_the_same(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t count;
    } bad[] = {{"", 0}, {"\xc1", 1}, {"\x93\x63\xa1x\xc0", 5}, {"\x93\x04\xa9x", 4}, {"\x90", 1}};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct stage_run play = begin();
        stage_run_put(&play, RECORD_ERROR, 0, bad[i].bytes, bad[i].count);
        stage_settle();
        assert_true(read_answer(&play)->complete);
        assert_non_null(strstr(answer.lines[0], "cannot be read"));
        assert_int_equal(stage.workers[play.worker].kill_count, 0);
    }
}

static void fragments_become_one_value_in_their_order(void **state)
{
    (void)state;
    struct stage_run play = begin();
    uint8_t text[3003] = {0x91, 0xda, 0x0b, 0xb7};
    memset(text + 4, 'a', sizeof(text) - 4);
    text[sizeof(text) - 1] = 'z';
    stage_run_put(&play, RECORD_CHUNK, RECORD_MORE, NULL, 0);
    stage_run_put(&play, RECORD_CHUNK, RECORD_MORE, text, 1);
    for (size_t at = 1; at < sizeof(text); at += 500)
        stage_run_put(&play, RECORD_CHUNK, at + 500 < sizeof(text) ? RECORD_MORE : 0, text + at,
                      sizeof(text) - at < 500 ? sizeof(text) - at : 500);
    stage_run_number(&play);
    stage_settle();
    read_answer(&play);
    assert_int_equal(answer.line_count, 2);
    assert_non_null(strstr(answer.lines[0], "aaaz\",\"file\":null"));
    assert_non_null(strstr(answer.lines[1], NUMBER_OUTPUTS));
}

static void a_log_record_has_no_place_in_the_sequence(void **state)
{
    (void)state;
    static const uint8_t words[] = "\x92\x01\xa5"
                                   "hello";
    struct stage_run play = begin();
    stage_run_number(&play);
    struct record record = play.next;
    record.kind = RECORD_LOG;
    record.sequence = 0;
    record.bytes = sizeof(words) - 1;
    assert_true(stage_put(play.worker, record, words));
    record.slot = 77; /* of no run: still a line of its worker */
    assert_true(stage_put(play.worker, record, words));
    record.bytes = 1; /* and nonsense is passed over */
    assert_true(stage_put(play.worker, record, "\xc1"));
    stage_run_number(&play);
    stage_settle();
    assert_int_equal(read_answer(&play)->line_count, 2);
    assert_int_equal(stage.workers[play.worker].kill_count, 0);
}

static void a_record_of_another_slot_costs_the_worker_its_life(void **state)
{
    (void)state;
    struct stage_run play = begin();
    play.next.slot ^= 1;
    stage_run_number(&play);
    expect_killed(&play, "it sent a record of no run");
}

static void a_record_of_a_slot_there_is_not_costs_the_worker_its_life(void **state)
{
    (void)state;
    struct stage_run play = begin();
    play.next.slot = 0xffff;
    stage_run_number(&play);
    expect_killed(&play, "it sent a record of no run");
}

static void a_record_of_an_earlier_generation_costs_the_worker_its_life(void **state)
{
    (void)state;
    struct stage_run play = begin();
    play.next.generation--;
    stage_run_number(&play);
    expect_killed(&play, "it sent a record of no run");
}

static void a_record_left_out_costs_the_worker_its_life(void **state)
{
    (void)state;
    struct stage_run play = begin();
    stage_run_number(&play);
    play.next.sequence++;
    stage_run_number(&play);
    expect_killed(&play, "it sent a record out of sequence");
    assert_int_equal(answer.line_count, 2); /* what came before was sent */
}

static void a_record_sent_twice_costs_the_worker_its_life(void **state)
{
    (void)state;
    struct stage_run play = begin();
    stage_run_number(&play);
    play.next.sequence--;
    stage_run_number(&play);
    expect_killed(&play, "it sent a record out of sequence");
}

static void a_record_after_the_end_costs_the_worker_its_life(void **state)
{
    (void)state;
    struct stage_run play = begin(), other = begin();
    if (other.worker != play.worker)
        other = begin();
    assert_int_equal(other.worker, play.worker); /* whose other run shows the kill */
    stage_run_put(&play, RECORD_END, 0, NULL, 0);
    stage_run_number(&play);
    expect_killed(&other, "it sent a record of no run");
    assert_true(read_answer(&play)->complete);
    assert_int_equal(answer.line_count, 0);
}

static void a_kind_nobody_knows_costs_the_worker_its_life(void **state)
{
    (void)state;
    struct stage_run play = begin();
    stage_run_put(&play, (enum record_kind)99, 0, number_chunk, sizeof(number_chunk));
    expect_killed(&play, "it sent a record of an unknown kind");
}

static void a_request_in_the_reply_ring_costs_the_worker_its_life(void **state)
{
    (void)state;
    struct stage_run play = begin();
    stage_run_put(&play, RECORD_START, 0, number_chunk, sizeof(number_chunk));
    expect_killed(&play, "it sent a record of an unknown kind");
}

static void an_end_inside_a_value_costs_the_worker_its_life(void **state)
{
    (void)state;
    struct stage_run play = begin();
    stage_run_put(&play, RECORD_CHUNK, RECORD_MORE, number_chunk, 1);
    stage_run_put(&play, RECORD_END, 0, NULL, 0);
    expect_killed(&play, "it ended a run inside a value");
}

static void a_chunk_that_is_not_msgpack_costs_the_worker_its_life(void **state)
{
    (void)state;
    struct stage_run play = begin();
    stage_run_put(&play, RECORD_CHUNK, 0, "\xc1\xc1", 2);
    stage_run_number(&play); /* not looked at any more */
    expect_killed(&play, "it sent a chunk that is not msgpack");
    assert_int_equal(answer.line_count, 1);
}

static void a_chunk_with_too_few_outputs_costs_the_worker_its_life(void **state)
{
    (void)state;
    struct stage_run play = begin();
    stage_run_put(&play, RECORD_CHUNK, 0, "\x90", 1);
    expect_killed(&play, "it sent a chunk that is not msgpack");
}

static void a_tail_that_is_nonsense_costs_the_worker_its_life(void **state)
{
    (void)state;
    struct stage_run play = begin();
    stage_run_number(&play);
    stage_settle();
    atomic_store(&stage.workers[play.worker].segment.reply_ring->tail, 12345);
    expect_killed(&play, "its reply ring is corrupt");
}

static void a_record_longer_than_the_ring_costs_the_worker_its_life(void **state)
{
    (void)state;
    struct stage_run play = begin();
    struct stage_worker *worker = &stage.workers[play.worker];
    struct record record = {.bytes = UINT32_MAX, .kind = RECORD_CHUNK};
    memcpy(worker->replies.data, &record, sizeof(record));
    atomic_store(&worker->segment.reply_ring->tail, 64);
    expect_killed(&play, "its reply ring is corrupt");
}

static void a_worker_that_ignores_its_window_loses_its_life(void **state)
{
    (void)state;
    stage_close();
    stage_open(&(struct stage_options){.worker_count = 2, .window_bytes = 1000});
    struct stage_run play = begin();
    for (int i = 0; i < 4; i++)
        stage_run_number(&play); /* 322 of charge each */
    expect_killed(&play, "it sent more than its window allows");
    assert_int_equal(answer.line_count, 4); /* three, and the error */
}

static void a_window_is_as_wide_again_once_its_lines_are_sent(void **state)
{
    (void)state;
    stage_close();
    stage_open(&(struct stage_options){.worker_count = 2, .window_bytes = 1000});
    struct stage_run play = begin();
    for (int i = 0; i < 10; i++) {
        uint64_t delivered =
            slot_delivered(&stage.workers[play.worker].segment.slots[play.next.slot]);
        assert_int_equal(delivered, (uint64_t)i * (sizeof(number_chunk) + CHUNK_CHARGE_BYTES) * 3);
        for (int k = 0; k < 3; k++)
            stage_run_number(&play);
        stage_settle();
    }
    assert_int_equal(read_answer(&play)->line_count, 30);
    assert_int_equal(stage.workers[play.worker].kill_count, 0);
}

static void of_values_larger_than_the_window_two_may_wait(void **state)
{
    (void)state;
    stage_close();
    stage_open(&(struct stage_options){.worker_count = 2, .window_bytes = 1000});
    struct stage_run play = begin();
    uint8_t text[900] = {0x91, 0xda, 0x03, 0x80};
    memset(text + 4, 'a', sizeof(text) - 4);
    for (int i = 0; i < 3; i++) {
        stage_run_put(&play, RECORD_CHUNK, 0, text, sizeof(text));
        stage_run_put(&play, RECORD_CHUNK, 0, text, sizeof(text));
        stage_settle();
    }
    assert_int_equal(read_answer(&play)->line_count, 6);
    for (int i = 0; i < 3; i++)
        stage_run_put(&play, RECORD_CHUNK, 0, text, sizeof(text));
    expect_killed(&play, "it sent more than its window allows");
}

static void a_value_much_larger_than_the_window_passes_alone(void **state)
{
    (void)state;
    stage_close();
    stage_open(&(struct stage_options){.worker_count = 2, .window_bytes = 100});
    struct stage_run play = begin();
    uint8_t text[900] = {0x91, 0xda, 0x03, 0x80};
    memset(text + 4, 'a', sizeof(text) - 4);
    for (int i = 0; i < 3; i++) {
        stage_run_put(&play, RECORD_CHUNK, 0, text, sizeof(text));
        stage_settle();
    }
    assert_int_equal(read_answer(&play)->line_count, 3);
    stage_run_put(&play, RECORD_CHUNK, 0, text, sizeof(text));
    stage_run_put(&play, RECORD_CHUNK, 0, text, sizeof(text));
    expect_killed(&play, "it sent more than its window allows");
}

static void a_value_that_cannot_be_sent_ends_its_run_and_not_the_worker(void **state)
{
    (void)state;
    struct stage_run play = begin();
    stage_run_number(&play);
    stage_run_put(&play, RECORD_CHUNK, 0, "\x91\xa1\xff", 3); /* no UTF-8 */
    stage_run_number(&play);
    stage_settle();
    assert_true(read_answer(&play)->complete);
    assert_int_equal(answer.line_count, 2);
    assert_non_null(strstr(answer.lines[1], "chunk 2 cannot be sent"));
    struct slot_shared *slot = &stage.workers[play.worker].segment.slots[play.next.slot];
    assert_int_equal(slot_cancel_reason(slot, play.next.generation), CANCEL_BAD_VALUE);
    assert_int_equal(stage.workers[play.worker].kill_count, 0);
    stage_run_put(&play, RECORD_END, 0, NULL, 0);
    stage_settle();
    assert_int_equal(stage.server->runs.count, 0);
}

/* Again, with a ring in which large fragments have room. */
static void open_wide(struct stage_options options)
{
    stage_close();
    options.reply_ring_bytes = 65536;
    stage_open(&options);
}

/* Fragments of a value, `count` of them, each of so many bytes, without the last one. */
static void put_fragments(struct stage_run *play, enum record_kind kind, uint32_t count,
                          uint32_t bytes)
{
    static uint8_t text[8192];
    assert_true(bytes <= sizeof(text));
    for (uint32_t i = 0; i < count; i++) {
        stage_run_put(play, kind, RECORD_MORE, text, bytes);
        stage_pass();
    }
}

/* Two runs of one worker. */
static void begin_two(struct stage_run *first, struct stage_run *second)
{
    open_wide((struct stage_options){.worker_count = 1, .concurrency = 2});
    *first = begin();
    *second = begin();
    assert_int_equal(first->worker, second->worker);
}

static void fragments_of_two_values_at_once_cost_the_worker_its_life(void **state)
{
    (void)state;
    struct stage_run play, other;
    begin_two(&play, &other);
    put_fragments(&play, RECORD_CHUNK, 2, 100);
    put_fragments(&other, RECORD_CHUNK, 1, 100);
    assert_int_equal(stage.workers[0].kill_count, 1);
    assert_string_equal(stage.server->fleet.workers[0]->kill_reason,
                        "it sent another record inside a value");
}

static void any_record_of_another_run_inside_a_value_costs_the_worker_its_life(void **state)
{
    (void)state;
    static const enum record_kind kinds[] = {RECORD_CHUNK, RECORD_ERROR, RECORD_END};
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct stage_run play, other;
        begin_two(&play, &other);
        put_fragments(&play, RECORD_CHUNK, 1, 100);
        stage_run_put(&other, kinds[i], 0, number_chunk, kinds[i] == RECORD_END ? 0 : 2);
        stage_pass();
        assert_int_equal(stage.workers[0].kill_count, 1);
    }
}

static void a_log_record_may_come_inside_a_value(void **state)
{
    (void)state;
    struct stage_run play = begin();
    stage_run_put(&play, RECORD_CHUNK, RECORD_MORE, number_chunk, 1);
    assert_true(stage_put(play.worker, (struct record){.kind = RECORD_LOG, .bytes = 1}, "\xc1"));
    stage_run_put(&play, RECORD_CHUNK, 0, number_chunk + 1, 1);
    stage_settle();
    assert_int_equal(read_answer(&play)->line_count, 1);
}

static void a_value_of_empty_fragments_costs_the_worker_its_life(void **state)
{
    (void)state;
    struct stage_run play = begin();
    stage_run_put(&play, RECORD_CHUNK, RECORD_MORE, NULL, 0);
    stage_pass();
    assert_non_null(stage.server->fleet.workers[play.worker]->unfinished.bytes);
    stage_run_put(&play, RECORD_CHUNK, 0, NULL, 0);
    expect_killed(&play, "it sent a chunk that is not msgpack");
}

static void an_unfinished_value_is_counted_as_it_is_held_and_given_back_in_the_end(void **state)
{
    (void)state;
    open_wide((struct stage_options){.worker_count = 2});
    struct stage_run play = begin();
    for (uint32_t i = 1; i <= 100; i++) {
        put_fragments(&play, RECORD_CHUNK, 1, 8000);
        assert_in_range(fleet_unfinished_bytes(&stage.server->fleet), i * 8000, i * 9000 + 4096);
        assert_int_equal(stage.server->runs.pipelines[0]->pool->unfinished.bytes,
                         fleet_unfinished_bytes(&stage.server->fleet));
    }
    stage_exit(play.worker, CLD_KILLED, SIGKILL);
    stage_settle();
    assert_int_equal(fleet_unfinished_bytes(&stage.server->fleet), 0);
    assert_int_equal(stage.server->runs.pipelines[0]->pool->unfinished.bytes, 0);
}

static void a_run_cancelled_inside_a_value_holds_nothing_and_others_may_send_theirs(void **state)
{
    (void)state;
    struct stage_run play, other;
    begin_two(&play, &other);
    put_fragments(&play, RECORD_CHUNK, 3, 8000);
    stage_hang_up(play.client);
    stage_settle();
    assert_int_equal(fleet_unfinished_bytes(&stage.server->fleet), 0);
    put_fragments(&play, RECORD_CHUNK, 3, 8000); /* made before the worker saw it */
    assert_int_equal(fleet_unfinished_bytes(&stage.server->fleet), 0);
    stage_run_put(&other, RECORD_CHUNK, RECORD_MORE, number_chunk, 1);
    stage_run_put(&other, RECORD_CHUNK, 0, number_chunk + 1, 1);
    stage_settle();
    assert_int_equal(read_answer(&other)->line_count, 1);
    assert_int_equal(stage.workers[0].kill_count, 0);
}

static void
fragments_beyond_what_may_follow_cost_the_worker_its_life_and_one_value_passes_alone(void **state)
{
    (void)state;
    open_wide((struct stage_options){.worker_count = 2, .window_bytes = 2000});
    struct stage_run play = begin(), other = begin();
    put_fragments(&play, RECORD_CHUNK, 100, 8000); /* nothing waits: as long as it likes */
    assert_int_equal(stage.workers[play.worker].kill_count, 0);
    stage_run_number(&other);
    put_fragments(&other, RECORD_CHUNK, 3, 8000);
    assert_int_equal(stage.workers[other.worker].kill_count, 0); /* within 16 windows */
    put_fragments(&other, RECORD_CHUNK, 1, 8000);
    assert_int_equal(stage.workers[other.worker].kill_count, 1);
    assert_string_equal(stage.server->fleet.workers[other.worker]->kill_reason,
                        "it sent more than its window allows");
}

static void an_error_longer_than_an_honest_one_costs_the_worker_its_life(void **state)
{
    (void)state;
    open_wide((struct stage_options){.worker_count = 2});
    struct stage_run play = begin();
    put_fragments(&play, RECORD_ERROR, 4, 8192);
    assert_int_equal(stage.workers[play.worker].kill_count, 0);
    put_fragments(&play, RECORD_ERROR, 1, 8192);
    assert_int_equal(stage.workers[play.worker].kill_count, 1);
}

static void
a_value_beyond_its_pipelines_share_fails_its_run_and_the_share_is_the_pipelines_own(void **state)
{
    (void)state;
    open_wide((struct stage_options){.worker_count = 2, .output_bytes_max = 1u << 20});
    struct stage_run play = begin(), other = begin();
    assert_int_equal(stage.server->fleet.pools[0]->unfinished.bytes_max, 1u << 20);
    put_fragments(&play, RECORD_CHUNK, 100, 8000);
    put_fragments(&other, RECORD_CHUNK, 30, 8000);
    stage_settle();
    read_answer(&other);
    assert_true(answer.complete);
    assert_non_null(strstr(answer.lines[0], "\"oom\""));
    assert_non_null(strstr(answer.lines[0], "all of its share of --output-memory"));
    assert_in_range(fleet_unfinished_bytes(&stage.server->fleet), 100 * 8000, 1u << 20);
    assert_int_equal(stage.workers[other.worker].kill_count, 0);
    /* What another pipeline may hold is not less for it. */
    for (uint32_t i = 1; i < 20; i++) {
        assert_int_equal(unfinished_share_max(1u << 20, i), 1u << 20);
    }
    for (uint32_t i = 1; i < 20; i++)
        assert_int_equal(unfinished_share_max(UINT64_C(1) << 30, i),
                         i < 16 ? (UINT64_C(1) << 30) / i : VALUE_BYTES_MAX);
}

static void what_a_dead_worker_had_committed_still_arrives(void **state)
{
    (void)state;
    struct stage_run play = begin();
    stage_run_number(&play);
    stage_run_number(&play);
    stage_exit(play.worker, CLD_KILLED, SIGSEGV);
    stage_settle();
    assert_true(read_answer(&play)->complete);
    assert_int_equal(answer.line_count, 3);
    assert_non_null(strstr(answer.lines[0], NUMBER_OUTPUTS));
    assert_non_null(strstr(answer.lines[2], "SIGSEGV"));
    assert_int_equal(stage.server->runs.count, 0);
}

static void a_run_that_a_dead_worker_had_ended_is_complete(void **state)
{
    (void)state;
    struct stage_run play = begin();
    stage_run_number(&play);
    stage_run_put(&play, RECORD_END, 0, NULL, 0);
    stage_exit(play.worker, CLD_EXITED, 1);
    stage_settle();
    assert_true(read_answer(&play)->complete);
    assert_int_equal(answer.line_count, 1);
}

#define RECORD_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        RECORD_TEST(a_chunk_becomes_a_line_and_an_end_the_end),
        RECORD_TEST(an_error_after_chunks_is_the_last_line),
        RECORD_TEST(an_error_that_cannot_be_read_is_an_error_all_the_same),
        RECORD_TEST(fragments_become_one_value_in_their_order),
        RECORD_TEST(a_log_record_has_no_place_in_the_sequence),
        RECORD_TEST(a_record_of_another_slot_costs_the_worker_its_life),
        RECORD_TEST(a_record_of_a_slot_there_is_not_costs_the_worker_its_life),
        RECORD_TEST(a_record_of_an_earlier_generation_costs_the_worker_its_life),
        RECORD_TEST(a_record_left_out_costs_the_worker_its_life),
        RECORD_TEST(a_record_sent_twice_costs_the_worker_its_life),
        RECORD_TEST(a_record_after_the_end_costs_the_worker_its_life),
        RECORD_TEST(a_kind_nobody_knows_costs_the_worker_its_life),
        RECORD_TEST(a_request_in_the_reply_ring_costs_the_worker_its_life),
        RECORD_TEST(an_end_inside_a_value_costs_the_worker_its_life),
        RECORD_TEST(a_chunk_that_is_not_msgpack_costs_the_worker_its_life),
        RECORD_TEST(a_chunk_with_too_few_outputs_costs_the_worker_its_life),
        RECORD_TEST(a_tail_that_is_nonsense_costs_the_worker_its_life),
        RECORD_TEST(a_record_longer_than_the_ring_costs_the_worker_its_life),
        RECORD_TEST(a_worker_that_ignores_its_window_loses_its_life),
        RECORD_TEST(a_window_is_as_wide_again_once_its_lines_are_sent),
        RECORD_TEST(of_values_larger_than_the_window_two_may_wait),
        RECORD_TEST(a_value_much_larger_than_the_window_passes_alone),
        RECORD_TEST(a_value_that_cannot_be_sent_ends_its_run_and_not_the_worker),
        RECORD_TEST(fragments_of_two_values_at_once_cost_the_worker_its_life),
        RECORD_TEST(any_record_of_another_run_inside_a_value_costs_the_worker_its_life),
        RECORD_TEST(a_log_record_may_come_inside_a_value),
        RECORD_TEST(a_value_of_empty_fragments_costs_the_worker_its_life),
        RECORD_TEST(an_unfinished_value_is_counted_as_it_is_held_and_given_back_in_the_end),
        RECORD_TEST(a_run_cancelled_inside_a_value_holds_nothing_and_others_may_send_theirs),
        RECORD_TEST(
            fragments_beyond_what_may_follow_cost_the_worker_its_life_and_one_value_passes_alone),
        RECORD_TEST(an_error_longer_than_an_honest_one_costs_the_worker_its_life),
        RECORD_TEST(
            a_value_beyond_its_pipelines_share_fails_its_run_and_the_share_is_the_pipelines_own),
        RECORD_TEST(what_a_dead_worker_had_committed_still_arrives),
        RECORD_TEST(a_run_that_a_dead_worker_had_ended_is_complete),
    };
    return cmocka_run_group_tests_name("record", tests, descriptors_note, descriptors_compare);
}
