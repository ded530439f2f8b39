/* SPDX-License-Identifier: MIT */
/*
 * test_sink.c - the seam below runs: a run that no connection asked for, whose output goes to a
 * sink of the test's own.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "tests/unit/dispatcher/stage_run.h"

#include <cmocka.h>

/* The calls in their order, a letter each: (b)egin, (v)alue, (k)eepalive, (f)inish, (d)rop. */
struct journal {
    struct sink sink;
    char calls[64];
    char id[RUN_ID_BYTES];
    uint64_t charge;
    size_t bytes;
    int value_rc; /* what it says of a value */
    bool is_slow; /* it does not say that values have left */
    bool failed;  /* finished with a failure, of this type: */
    enum error_type type;
    char message[128];
};

static struct journal journal;

static void note(struct sink *sink, char call)
{
    struct journal *to = (struct journal *)sink;
    size_t length = strlen(to->calls);
    assert_ptr_equal(to, &journal);
    assert_true(length + 1 < sizeof to->calls);
    to->calls[length] = call;
}

static void journal_begin(struct sink *sink, const struct run *run)
{
    note(sink, 'b');
    memcpy(journal.id, run->id, sizeof journal.id);
}

static int journal_value(struct sink *sink, struct run *run, const uint8_t *data, size_t bytes,
                         uint64_t charge)
{
    note(sink, 'v');
    assert_non_null(data);
    if (journal.value_rc < 0)
        return journal.value_rc;
    journal.bytes += bytes;
    journal.charge += charge;
    if (!journal.is_slow)
        run_delivered(run, charge);
    return 0;
}

static void journal_keepalive(struct sink *sink, struct run *run)
{
    (void)run;
    note(sink, 'k');
}

static int journal_finish(struct sink *sink, struct run *run, const struct run_failure *failure)
{
    (void)run;
    note(sink, 'f');
    journal.failed = failure != NULL;
    if (!failure)
        return 299; /* a sink may know a status that no server says */
    journal.type = failure->type;
    snprintf(journal.message, sizeof journal.message, "%.*s", (int)failure->message_count,
             failure->message);
    return 0;
}

static int journal_drop(struct sink *sink, struct run *run)
{
    (void)run;
    note(sink, 'd');
    return 0;
}

static const struct sink_ops journal_ops = {
    .begin = journal_begin,
    .value = journal_value,
    .keepalive = journal_keepalive,
    .finish = journal_finish,
    .drop = journal_drop,
};

static int scene_open(void **state)
{
    (void)state;
    journal = (struct journal){.sink.ops = &journal_ops};
    stage_open(&(struct stage_options){0});
    return 0;
}

static int scene_shut(void **state)
{
    (void)state;
    stage_settle();
    assert_int_equal(stage.server->runs.count, 0);
    stage_close();
    return 0;
}

static struct run *make_run(void)
{
    struct runs *runs = &stage.server->runs;
    struct run *run = run_create(
        runs, &(struct run_options){.pipeline = runs->pipelines[0], .sink = &journal.sink});
    assert_non_null(run);
    return run;
}

/* As a queue would: the request is packed already, and nobody is connected. */
static struct stage_run begin(void)
{
    static const uint8_t request[] = {0x92, 0xa1, 'x', 0x90};
    struct runs *runs = &stage.server->runs;
    struct run *run = make_run();
    uint8_t *payload = malloc(sizeof request);
    assert_non_null(payload);
    memcpy(payload, request, sizeof request);
    run_payload_take(runs, run, payload, sizeof request);
    run_admit(runs, run);
    pipeline_schedule(runs, run->pipeline);
    stage_pass();
    struct stage_run play = {0};
    assert_true(stage_run_take(&play));
    assert_ptr_equal(stage_run_of(&play), run);
    return play;
}

static void a_run_without_a_connection_tells_its_sink_everything_in_order(void **state)
{
    (void)state;
    struct stage_run run = begin();
    assert_string_equal(journal.id, stage_run_of(&run)->id);
    stage_run_number(&run);
    stage_run_number(&run);
    stage_run_end(&run);
    stage_settle();
    assert_string_equal(journal.calls, "bvvf");
    assert_false(journal.failed);
    assert_int_equal(journal.bytes, 2 * sizeof number_chunk);
    assert_int_equal(journal.charge, 2 * (sizeof number_chunk + CHUNK_CHARGE_BYTES));
    assert_int_equal(stage.server->front.conn_count, 0);
}

static void a_failure_is_the_end_and_nothing_follows(void **state)
{
    (void)state;
    struct stage_run run = begin();
    stage_run_put(&run, RECORD_ERROR, 0, "\x93\x04\xa3why\xc0", 7);
    stage_settle();
    assert_string_equal(journal.calls, "bf");
    assert_true(journal.failed);
    assert_int_equal(journal.type, ERROR_PIPELINE);
    assert_string_equal(journal.message, "why");
}

static void a_dead_worker_finishes_the_sink_once(void **state)
{
    (void)state;
    struct stage_run run = begin();
    stage_run_number(&run);
    stage_exit(run.worker, CLD_KILLED, SIGSEGV);
    stage_settle();
    assert_string_equal(journal.calls, "bvf");
    assert_non_null(strstr(journal.message, "SIGSEGV"));
}

static void a_value_that_the_sink_refuses_ends_the_run_with_its_reason(void **state)
{
    (void)state;
    struct stage_run run = begin();
    journal.value_rc = -EDQUOT;
    stage_run_number(&run);
    stage_settle();
    assert_string_equal(journal.calls, "bvf");
    assert_int_equal(journal.type, ERROR_OOM);
    assert_int_equal(stage_run_reason(&run), CANCEL_BAD_VALUE);
    stage_run_number(&run); /* what was under way is nobody's any more */
    stage_run_end(&run);
    stage_settle();
    assert_string_equal(journal.calls, "bvf");
}

static void a_value_that_is_no_msgpack_costs_the_worker_its_life(void **state)
{
    (void)state;
    struct stage_run run = begin();
    journal.value_rc = -EBADMSG;
    stage_run_number(&run);
    stage_settle();
    assert_int_equal(stage.workers[run.worker].kill_count, 1);
    stage_exit(run.worker, CLD_KILLED, SIGKILL);
    stage_settle();
    assert_string_equal(journal.calls, "bvf");
}

static void a_silent_run_is_kept_alive(void **state)
{
    (void)state;
    struct stage_run run = begin();
    stage_later(stage.config.keepalive_ms);
    assert_string_equal(journal.calls, "bk");
    stage_run_end(&run);
    stage_settle();
    assert_string_equal(journal.calls, "bkf");
}

static void the_window_opens_when_the_sink_says_that_values_have_left(void **state)
{
    (void)state;
    struct stage_run run = begin();
    journal.is_slow = true;
    stage_run_number(&run);
    stage_settle();
    assert_int_equal(slot_delivered(stage_run_slot(&run)), 0);
    run_delivered(stage_run_of(&run), journal.charge);
    stage_settle();
    assert_int_equal(slot_delivered(stage_run_slot(&run)), journal.charge);
    stage_run_end(&run);
}

static void whoever_waits_may_go_and_hears_no_more(void **state)
{
    (void)state;
    struct stage_run run = begin();
    run_client_gone(&stage.server->runs, stage_run_of(&run));
    assert_string_equal(journal.calls, "bd");
    assert_int_equal(stage_run_reason(&run), CANCEL_CLIENT_GONE);
    stage_run_number(&run);
    stage_run_end(&run);
    stage_settle();
    assert_string_equal(journal.calls, "bd");
}

static void a_run_that_never_was_drops_its_sink(void **state)
{
    (void)state;
    run_destroy(&stage.server->runs, make_run());
    assert_string_equal(journal.calls, "bd");
}

#define SINK_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_shut)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SINK_TEST(a_run_without_a_connection_tells_its_sink_everything_in_order),
        SINK_TEST(a_failure_is_the_end_and_nothing_follows),
        SINK_TEST(a_dead_worker_finishes_the_sink_once),
        SINK_TEST(a_value_that_the_sink_refuses_ends_the_run_with_its_reason),
        SINK_TEST(a_value_that_is_no_msgpack_costs_the_worker_its_life),
        SINK_TEST(a_silent_run_is_kept_alive),
        SINK_TEST(the_window_opens_when_the_sink_says_that_values_have_left),
        SINK_TEST(whoever_waits_may_go_and_hears_no_more),
        SINK_TEST(a_run_that_never_was_drops_its_sink),
    };
    return cmocka_run_group_tests_name("sink", tests, NULL, NULL);
}
