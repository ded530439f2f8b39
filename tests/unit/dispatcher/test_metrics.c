/* SPDX-License-Identifier: MIT */
/* test_metrics.c - what is counted where it happens, on the stage; and the words for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/dispatcher/stage_run.h"

#include <cmocka.h>

#include "dispatcher/runs/tally.h"
#include "tests/unit/shm/ring_memory.h"

static int scene_open(void **state)
{
    (void)state;
    stage_open(&(struct stage_options){.concurrency = 2});
    return 0;
}

static const struct tally *tally(void)
{
    return stage.server->runs.pipelines[0]->tally;
}

static uint64_t count_of(const struct buckets *buckets)
{
    uint64_t count = 0;
    for (unsigned i = 0; i <= BUCKET_BOUND_COUNT_MAX; i++)
        count += buckets->counts[i];
    return count;
}

static void expect_tally(uint64_t accepted, uint64_t active, uint64_t completed, uint64_t failed,
                         uint64_t cancelled)
{
    uint64_t ended = 0, gone = 0;
    for (unsigned end = 1; end < RUN_END_COUNT; end++)
        ended += tally()->ends[end];
    assert_int_equal(tally()->accepted_count, accepted);
    assert_int_equal(tally()->active_count, active);
    assert_int_equal(tally()->ends[0], completed);
    assert_int_equal(ended, failed);
    for (unsigned reason = 0; reason < CANCEL_REASON_COUNT; reason++)
        gone += tally()->cancels[reason];
    assert_int_equal(gone, cancelled);
    assert_int_equal(accepted, active + completed + failed + cancelled +
                                   stage.server->runs.pipelines[0]->queue_count);
}

static void the_tally_adds_up_at_each_step_of_a_run(void **state)
{
    (void)state;
    struct stage_run runs[2];
    for (unsigned i = 0; i < 2; i++) {
        runs[i] = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
        expect_tally(i + 1, i + 1, 0, 0, 0);
    }
    uint32_t waiting = stage_connect();
    stage_say(waiting, STREAM_PATH, RUN_BODY, 1);
    expect_tally(3, 2, 0, 0, 0);
    stage_run_end(&runs[0]);
    stage_settle();
    expect_tally(3, 2, 1, 0, 0);   /* the one that waited is on its slot */
    stage_hang_up(runs[1].client); /* has ended, although its worker does not know yet */
    stage_settle();
    expect_tally(3, 1, 1, 0, 1); /* cancelled, which is no failure */
    stage_run_end(&runs[1]);
    stage_settle();
    expect_tally(3, 1, 1, 0, 1);
    stage_exit(0, CLD_KILLED, SIGSEGV);
    stage_settle();
    expect_tally(3, 0, 1, 1, 1);
    assert_int_equal(tally()->ends[1 + ERROR_PIPELINE], 1);
    assert_int_equal(tally()->cancels[CANCEL_CLIENT_GONE], 1);
    assert_int_equal(count_of(&tally()->duration), 3);
}

static void numbers_come(struct stage_run *run, uint64_t later_ms, unsigned count)
{
    stage_later(later_ms);
    for (unsigned i = 0; i < count; i++)
        stage_run_number(run);
    stage_pass();
}

static void chunks_are_counted_by_the_time_since_the_one_before(void **state)
{
    (void)state;
    const struct buckets *first = &tally()->first_chunk, *gap = &tally()->gap;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    numbers_come(&run, 30, 3);
    assert_int_equal(count_of(first), 1);
    assert_int_equal(first->counts[4], 1); /* above 25 ms, not above 50 */
    assert_int_equal(first->sum, 30000000);
    numbers_come(&run, 3, 1);
    assert_int_equal(gap->counts[0], 2); /* the three came together */
    assert_int_equal(gap->counts[2], 1); /* above 2 ms, not above 4 */
    assert_int_equal(gap->sum, 3000000);
    numbers_come(&run, 100, 2);
    assert_int_equal(gap->counts[7], 1); /* above 64 ms, not above 128 */
    stage_run_end(&run);
    stage_settle();
    assert_int_equal(gap->counts[0], 3);
    assert_int_equal(count_of(gap), 5);
    assert_int_equal(gap->sum, 103000000);
    assert_int_equal(count_of(first), 1);
}

static void what_comes_of_a_run_after_its_end_is_not_counted(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_hang_up(run.client);
    stage_settle();
    numbers_come(&run, 5, 2);
    stage_run_end(&run);
    stage_settle();
    assert_int_equal(count_of(&tally()->first_chunk), 0);
    assert_int_equal(count_of(&tally()->gap), 0);
    assert_int_equal(count_of(&tally()->duration), 1);
}

static void a_value_that_cannot_be_sent_is_no_chunk(void **state)
{
    (void)state;
    static const uint8_t wrong[] = {0x91, 0xa1, 0xff}; /* text that is no UTF-8 */
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    numbers_come(&run, 5, 2);
    stage_later(5);
    stage_run_put(&run, RECORD_CHUNK, 0, wrong, sizeof wrong);
    stage_settle();
    assert_int_equal(count_of(&tally()->first_chunk), 1);
    assert_int_equal(count_of(&tally()->gap), 1);
    assert_int_equal(tally()->ends[1 + ERROR_PIPELINE], 1);
    stage_run_end(&run);
    stage_settle();
}

static void a_deadline_is_counted_by_its_kind(void **state)
{
    (void)state;
    stage.config.pipelines[0].options.first_chunk_timeout_ms = 1000;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_later(1000);
    stage_settle();
    assert_int_equal(tally()->timeouts[DEADLINE_FIRST_CHUNK], 1);
    assert_int_equal(tally()->cancels[CANCEL_DEADLINE], 0);
    assert_int_equal(tally()->ends[1 + ERROR_TIMEOUT], 1);
    stage_run_end(&run);
    stage_settle();
}

static void the_fill_of_a_ring_is_that_of_its_last_drain(void **state)
{
    (void)state;
    const struct worker *worker = stage.server->fleet.workers[0];
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    assert_int_equal(worker->ring_used_bytes, 0);
    for (int i = 0; i < 3; i++)
        stage_run_number(&run);
    uint64_t used = stage.workers[0].replies.tail - worker->channel.replies.head;
    stage_pass();
    assert_int_equal(worker->ring_used_bytes, used);
    assert_true(used >= 3 * sizeof(number_chunk));
    stage_pass();
    assert_int_equal(worker->ring_used_bytes, 0);
}

static void a_timer_that_fires_late_is_seen(void **state)
{
    (void)state;
    const struct buckets *lateness = &stage.server->reactor.lateness;
    stage_connect();
    uint64_t before_ns = lateness->sum;
    stage_later(stage.config.idle_timeout_ms + 300);
    assert_int_equal(lateness->sum - before_ns, UINT64_C(300) * 1000000);
}

static void responses_are_counted_by_status(void **state)
{
    (void)state;
    const uint64_t *responses = stage.server->front.counts.responses;
    uint32_t client = stage_connect();
    stage_say(client, "/nowhere", "", 1);
    stage_settle();
    assert_int_equal(responses[404 - RESPONSE_STATUS_MIN], 1);
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    assert_int_equal(responses[200 - RESPONSE_STATUS_MIN], 0); /* nothing is said yet */
    stage_run_number(&run);
    stage_settle();
    assert_int_equal(responses[200 - RESPONSE_STATUS_MIN], 1);
    stage_run_end(&run);
    stage_settle();
    assert_int_equal(responses[200 - RESPONSE_STATUS_MIN], 1);
}

static void everything_has_a_word_of_its_own(void **state)
{
    (void)state;
    for (unsigned i = 0; i < REFUSAL_COUNT; i++)
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(refusal_name(i), refusal_name(k));
    for (unsigned i = REQUEST_REFUSAL_NONE + 1; i < REQUEST_REFUSAL_COUNT; i++) {
        for (unsigned k = REQUEST_REFUSAL_NONE; k < i; k++)
            assert_string_not_equal(request_refusal_name(i), request_refusal_name(k));
        for (unsigned k = 0; k < REFUSAL_COUNT; k++)
            assert_string_not_equal(request_refusal_name(i), refusal_name(k));
    }
    for (unsigned i = 0; i < RUN_END_COUNT; i++)
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(run_end_name(i), run_end_name(k));
    for (unsigned i = 1; i < CANCEL_REASON_COUNT; i++)
        for (unsigned k = 1; k < DEADLINE_KIND_COUNT; k++)
            assert_string_not_equal(cancel_reason_name(i), deadline_kind_name(k));
    assert_string_equal(refusal_name(REFUSAL_COUNT), "?");
    assert_string_equal(request_refusal_name(REQUEST_REFUSAL_COUNT), "?");
    assert_string_equal(cancel_reason_name(CANCEL_REASON_COUNT), "?");
    assert_string_equal(deadline_kind_name(DEADLINE_KIND_COUNT), "?");
}

#define METRICS_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        METRICS_TEST(the_tally_adds_up_at_each_step_of_a_run),
        METRICS_TEST(chunks_are_counted_by_the_time_since_the_one_before),
        METRICS_TEST(what_comes_of_a_run_after_its_end_is_not_counted),
        METRICS_TEST(a_value_that_cannot_be_sent_is_no_chunk),
        METRICS_TEST(a_deadline_is_counted_by_its_kind),
        METRICS_TEST(the_fill_of_a_ring_is_that_of_its_last_drain),
        METRICS_TEST(a_timer_that_fires_late_is_seen),
        METRICS_TEST(responses_are_counted_by_status),
        cmocka_unit_test(everything_has_a_word_of_its_own),
    };
    return cmocka_run_group_tests_name("metrics", tests, descriptors_note, descriptors_compare);
}
