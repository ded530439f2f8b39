/* SPDX-License-Identifier: MIT */
/*
 * test_batch_loop.c - runs that meet at a batched pipe: one call, and for each what is its own.
 */
#include <errno.h>

#include "shm/calls.h"
#include "tests/unit/worker/batched.h"

/* Each number says what becomes of its call. */
enum {
    NUMBER_FAILS = 50,
    NUMBER_WRITES_NOTHING,
    NUMBER_WRITES_TEXT,
    NUMBER_FAILS_ALL,
    NUMBER_RETURNS_BADLY,
    NUMBER_RETURNS_LATER,
    NUMBER_CANCELS_FIRST,
    NUMBER_STREAMS
};

static const struct batch_limits at_once = {.count_max = SLOT_COUNT};

static struct fixture f;
static uint32_t call_counts[SLOT_COUNT + 1]; /* of calls with so many items */
static uint32_t closed_count;
static bool was_cancelled;

/* Doubles numbers. */
static int twice(struct mr_call *const *calls, size_t count)
{
    int rc = 0;
    call_counts[count]++;
    for (size_t i = 0; i < count; i++) {
        int64_t number = number_of_call(calls[i]);
        if (number == NUMBER_FAILS)
            call_fail(calls[i], "of one");
        else if (number == NUMBER_WRITES_TEXT)
            value_string(&calls[i]->value, "text", 4);
        else if (number == NUMBER_FAILS_ALL)
            rc = batch_fail("of %s", "all");
        else if (number == NUMBER_RETURNS_BADLY)
            rc = -EIO;
        else if (number == NUMBER_RETURNS_LATER)
            rc = MR_LATER;
        else if (number == NUMBER_CANCELS_FIRST)
            both_ends_cancel(&f.ends, 0, CANCEL_REQUESTED);
        if (number < NUMBER_FAILS)
            value_integer(&calls[i]->value, 2 * number);
        else if (number == NUMBER_CANCELS_FIRST)
            value_integer(&calls[i]->value, 1);
    }
    assert_true(batch_call_is_made());
    was_cancelled = batch_call_is_cancelled();
    return rc;
}

static int minus_one(struct mr_call *call)
{
    int64_t number = number_of_call(call);
    return number == 0 ? call_fail(call, "of zero") : value_integer(&call->value, number - 1);
}

static int next(void *state, struct mr_value *out)
{
    uint8_t *left = state;
    return *left == 0 ? MR_END : value_integer(out, (*left)--);
}

static void count_closed(void *state)
{
    (void)state;
    closed_count++;
}

/* Counts down from the number. */
static int stream(struct mr_call *call)
{
    uint8_t *left = job_alloc(call->job, 1);
    *left = (uint8_t)number_of_call(call);
    return call_return_stream(
        call, &(struct mr_iterator){.state = left, .next = next, .close = count_closed});
}

static int streams(struct mr_call *const *calls, size_t count)
{
    call_counts[count]++;
    for (size_t i = 0; i < count; i++) {
        stream(calls[i]);
        if (number_of_call(calls[i]) == NUMBER_CANCELS_FIRST)
            both_ends_cancel(&f.ends, 0, CANCEL_REQUESTED);
    }
    return 0;
}

/* ---- scenes ---------------------------------------------------------------------------------- */

static void forget(void)
{
    memset(call_counts, 0, sizeof call_counts);
    closed_count = 0;
    was_cancelled = false;
}

static void start_within(mr_batch_fn *function, enum mr_type type,
                         const struct batch_limits *limits)
{
    forget();
    mr_variable number = batched_graph(&f);
    graph_output(&f.graph, batched_pipe(&f, function, type, number));
    batched_start(&f, limits);
}

static void start_with(mr_batch_fn *function, enum mr_type type)
{
    start_within(function, type, &at_once);
}

/* A batch of fewer than three waits: a call took an hour. */
static void start_patient(void)
{
    start_within(twice, MR_INTEGER,
                 &(struct batch_limits){.count_max = 3, .wait_ns = 3600 * CLOCK_NS_PER_S});
    struct batch_model *model = &f.loop.pipes[0].model;
    uint64_t now_ns = clock_now_ns();
    batch_model_begin(model, now_ns - 3600 * CLOCK_NS_PER_S, 2);
    batch_model_end(model, now_ns);
}

/* Rounds until there is nothing to do now. */
static void settle(void)
{
    uint64_t due_ns;
    for (int i = 0; i < 100; i++) {
        assert_true(batch_loop_round(&f.loop, &due_ns));
        if (due_ns == CLOCK_NEVER)
            return;
    }
    fail_msg("the loop does not come to rest");
}

static void expect_chunk(uint32_t slot, int number)
{
    uint32_t taken = 0;
    int got;
    char text[512];
    int kind = take(&f, &taken, &got, text, sizeof text);
    assert_int_equal(kind, RECORD_CHUNK);
    assert_int_equal(taken, slot);
    assert_int_equal(got, number);
}

static void expect_end(uint32_t slot)
{
    uint32_t taken = 0;
    int got;
    char text[512];
    assert_int_equal(take(&f, &taken, &got, text, sizeof text), RECORD_END);
    assert_int_equal(taken, slot);
}

static void expect_error(uint32_t slot, const char *part)
{
    uint32_t taken = 0;
    int got;
    char text[512];
    assert_int_equal(take(&f, &taken, &got, text, sizeof text), RECORD_ERROR);
    assert_int_equal(taken, slot);
    if (!strstr(text + 2, part))
        fail_msg("no '%s' in '%s'", part, text + 2);
}

static void expect_nothing(void)
{
    uint32_t slot;
    int number;
    char text[512];
    assert_int_equal(take(&f, &slot, &number, text, sizeof text), -1);
}

static void offer_all(const uint8_t *numbers, uint16_t count)
{
    for (uint16_t slot = 0; slot < count; slot++)
        offer(&f, slot, numbers[slot]);
    settle();
}

/* ---- the tests ------------------------------------------------------------------------------- */

static void runs_that_come_together_are_one_call(void **state)
{
    (void)state;
    start_with(twice, MR_INTEGER);
    offer_all((const uint8_t[]){3, 4, 5}, 3);
    assert_int_equal(call_counts[3], 1);
    for (uint32_t slot = 0; slot < 3; slot++) {
        expect_chunk(slot, 2 * (int)(slot + 3));
        expect_end(slot);
    }
    struct calls seen = {0}, total = {0};
    calls_collect(&f.context.attachment.segment.header->batches, &seen, &total);
    assert_int_equal(calls_count(&total), 1);
    assert_int_equal(total.item_count, 3);
    finish(&f);
}

static void more_than_fit_are_several_calls(void **state)
{
    (void)state;
    start_within(twice, MR_INTEGER, &(struct batch_limits){.count_max = 3});
    offer_all((const uint8_t[]){1, 2, 3, 4, 5, 6, 7, 8}, 8);
    assert_int_equal(call_counts[3], 2);
    assert_int_equal(call_counts[2], 1);
    finish(&f);
}

static void each_item_fails_for_itself(void **state)
{
    (void)state;
    start_with(twice, MR_INTEGER);
    offer_all((const uint8_t[]){NUMBER_FAILS, 7, NUMBER_WRITES_NOTHING, NUMBER_WRITES_TEXT}, 4);
    assert_int_equal(call_counts[4], 1);
    expect_error(0, "pipe batched: of one");
    expect_error(2, "pipe batched: no value was written");
    expect_error(3, "pipe batched: it returned a string, the graph declares an integer");
    expect_chunk(1, 14);
    expect_end(1);
    finish(&f);
}

static void a_failure_of_the_call_is_that_of_all_without_a_result(void **state)
{
    (void)state;
    start_with(twice, MR_INTEGER);
    offer_all((const uint8_t[]){NUMBER_FAILS_ALL, 7, NUMBER_FAILS, NUMBER_WRITES_NOTHING}, 4);
    expect_error(0, "pipe batched: of all");
    expect_error(2, "pipe batched: of one");
    expect_error(3, "pipe batched: of all");
    expect_chunk(1, 14);
    expect_end(1);
    offer_all((const uint8_t[]){NUMBER_RETURNS_BADLY, 8}, 2);
    expect_error(0, "pipe batched returned -5");
    expect_chunk(1, 16);
    expect_end(1);
    offer_all((const uint8_t[]){NUMBER_RETURNS_LATER, 9}, 2);
    expect_error(0, "it returned MR_LATER, which only next() may");
    expect_chunk(1, 18);
    finish(&f);
}

static void who_was_cancelled_before_is_not_in_the_call(void **state)
{
    (void)state;
    start_with(twice, MR_INTEGER);
    offer(&f, 0, 3);
    offer(&f, 1, 4);
    both_ends_cancel(&f.ends, 0, CANCEL_REQUESTED);
    settle();
    assert_int_equal(call_counts[1], 1);
    assert_int_equal(call_counts[2], 0);
    expect_error(0, "cancelled: on request");
    expect_chunk(1, 8);
    expect_end(1);
    finish(&f);
}

static void who_is_cancelled_meanwhile_is_dropped_and_the_others_are_not(void **state)
{
    (void)state;
    start_with(twice, MR_INTEGER);
    offer_all((const uint8_t[]){3, NUMBER_CANCELS_FIRST, 5}, 3);
    assert_int_equal(call_counts[3], 1);
    assert_false(was_cancelled);
    expect_error(0, "cancelled: on request");
    expect_chunk(1, 1);
    expect_end(1);
    expect_chunk(2, 10);
    expect_end(2);
    offer_all((const uint8_t[]){NUMBER_CANCELS_FIRST}, 1);
    assert_true(was_cancelled);
    expect_error(0, "cancelled: on request");
    finish(&f);
}

static void a_bad_input_never_reaches_the_batch(void **state)
{
    (void)state;
    forget();
    mr_variable number = batched_graph(&f);
    mr_variable less = plain_pipe(&f, minus_one, MR_INTEGER, number);
    graph_output(&f.graph, batched_pipe(&f, twice, MR_INTEGER, less));
    batched_start(&f, &at_once);
    offer_all((const uint8_t[]){0, 5}, 2);
    assert_int_equal(call_counts[1], 1);
    expect_error(0, "pipe plain: of zero");
    expect_chunk(1, 8);
    expect_end(1);
    finish(&f);
}

/* The second batched pipe gets what the first and a plain one between made of a run, and what
 * follows streams. */
static void pipes_before_between_and_behind_have_their_turn(void **state)
{
    (void)state;
    forget();
    mr_variable number = batched_graph(&f);
    mr_variable first = batched_pipe(&f, twice, MR_INTEGER, number);
    mr_variable less = plain_pipe(&f, minus_one, MR_INTEGER, first);
    mr_variable second = batched_pipe(&f, twice, MR_INTEGER, less);
    graph_output(&f.graph, plain_pipe(&f, stream, MR_STREAM, second));
    batched_start(&f, &at_once);
    offer_all((const uint8_t[]){1, NUMBER_FAILS, 2, 0}, 4);
    assert_int_equal(call_counts[4], 1);
    assert_int_equal(call_counts[2], 1);
    expect_error(1, "of one");
    expect_error(3, "pipe plain: of zero");
    expect_chunk(0, 2);
    expect_chunk(0, 1);
    expect_end(0);
    expect_chunk(2, 6);
    expect_chunk(2, 5);
    expect_chunk(2, 4);
    expect_nothing(); /* the window is full */
    both_ends_deliver(&f.ends, 2);
    settle();
    expect_chunk(2, 3);
    expect_chunk(2, 2);
    expect_chunk(2, 1);
    both_ends_deliver(&f.ends, 2);
    settle();
    expect_end(2);
    assert_int_equal(closed_count, 2);
    finish(&f);
}

static void a_batched_pipe_may_give_streams(void **state)
{
    (void)state;
    start_with(streams, MR_STREAM);
    offer_all((const uint8_t[]){2, 1, NUMBER_CANCELS_FIRST}, 3);
    assert_int_equal(call_counts[3], 1);
    expect_error(0, "cancelled: on request");
    assert_int_equal(closed_count, 2);
    expect_chunk(1, 1);
    expect_end(1);
    both_ends_cancel(&f.ends, 2, CANCEL_REQUESTED);
    settle();
    for (int i = 0; i < (int)WINDOW_CHUNK_COUNT; i++)
        expect_chunk(2, NUMBER_CANCELS_FIRST - i);
    expect_error(2, "cancelled: on request");
    assert_int_equal(closed_count, 3);
    finish(&f);
}

/* A wait is one sleep: the round says when it ends, and a run that is cancelled in it goes. */
static void a_batch_that_waits_says_until_when(void **state)
{
    (void)state;
    start_patient();
    uint64_t due_ns, now_ns = clock_now_ns();
    offer(&f, 0, 1);
    assert_true(batch_loop_round(&f.loop, &due_ns));
    assert_true(due_ns > now_ns + CLOCK_NS_PER_S && due_ns != CLOCK_NEVER);
    expect_nothing();
    both_ends_cancel(&f.ends, 0, CANCEL_REQUESTED);
    settle();
    expect_error(0, "cancelled: on request");
    offer(&f, 0, 1);
    offer(&f, 1, 2);
    assert_true(batch_loop_round(&f.loop, &due_ns));
    assert_true(due_ns > now_ns + CLOCK_NS_PER_S);
    offer(&f, 2, 3);
    settle();
    assert_int_equal(call_counts[3], 1);
    finish(&f);
}

/* No others come to a worker that stops. */
static void a_worker_that_stops_does_not_wait(void **state)
{
    (void)state;
    start_patient();
    uint64_t due_ns;
    offer(&f, 0, 1);
    assert_true(batch_loop_round(&f.loop, &due_ns));
    expect_nothing();
    both_ends_stop(&f.ends);
    while (batch_loop_round(&f.loop, &due_ns))
        assert_true(due_ns == 0);
    expect_chunk(0, 2);
    expect_end(0);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_that_come_together_are_one_call),
        cmocka_unit_test(more_than_fit_are_several_calls),
        cmocka_unit_test(each_item_fails_for_itself),
        cmocka_unit_test(a_failure_of_the_call_is_that_of_all_without_a_result),
        cmocka_unit_test(who_was_cancelled_before_is_not_in_the_call),
        cmocka_unit_test(who_is_cancelled_meanwhile_is_dropped_and_the_others_are_not),
        cmocka_unit_test(a_bad_input_never_reaches_the_batch),
        cmocka_unit_test(pipes_before_between_and_behind_have_their_turn),
        cmocka_unit_test(a_batched_pipe_may_give_streams),
        cmocka_unit_test(a_batch_that_waits_says_until_when),
        cmocka_unit_test(a_worker_that_stops_does_not_wait),
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
