/* SPDX-License-Identifier: MIT */
/*
 * test_engine_driven.c - runs that a host drives itself: lines, window, cancellation, end.
 *
 * The host is a script. There is one run, in slot 1.
 */
#include "worker/engine/engine_parts.h"

#include "shm/clock.h"
#include "tests/unit/shm/slot_view.h"
#include "tests/unit/worker/both_ends.h"

/* Two chunks of one number fit, a third does not. */
#define WINDOW_BYTES (2 * (CHUNK_CHARGE_BYTES + 2))

struct fixture {
    struct host host; /* first */
    int start_count, finish_count, cancel_count, resume_count;
    struct job *job;
    struct context context;
    struct both_ends ends;
    struct engine engine;
    struct doorbell worker_bell;
};

static int host_start(struct host *host, struct job *job)
{
    struct fixture *f = (struct fixture *)(void *)host;
    f->start_count++;
    f->job = job;
    return HOST_DRIVEN;
}

static void host_finish(struct host *host, struct job *job)
{
    (void)job;
    ((struct fixture *)(void *)host)->finish_count++;
}

static void host_cancel(struct host *host, struct job *job)
{
    (void)job;
    ((struct fixture *)(void *)host)->cancel_count++;
}

static void host_resume(struct host *host, struct job *job)
{
    (void)job;
    ((struct fixture *)(void *)host)->resume_count++;
}

static void start(struct fixture *f)
{
    *f = (struct fixture){.host = {.start = host_start,
                                   .finish = host_finish,
                                   .cancel = host_cancel,
                                   .resume = host_resume}};
    const struct segment_options options = {.slot_count = 2,
                                            .request_ring_bytes = RING_BYTES_MIN,
                                            .reply_ring_bytes = RING_BYTES_MIN,
                                            .window_bytes = WINDOW_BYTES};
    both_ends_init(&f->ends, &f->context, &options);
    f->worker_bell = f->context.attachment.bell;
    assert_int_equal(engine_init(&f->engine, &f->context, &f->host), 0);
}

static void finish(struct fixture *f)
{
    engine_finish(&f->engine);
    both_ends_finish(&f->ends);
}

/* A run is driven; the engine has come back for it. */
static void start_run(struct fixture *f)
{
    start(f);
    both_ends_offer(&f->ends, 1, "\x92\xa1r\x90", 4);
    engine_run(&f->engine);
    assert_int_equal(f->start_count, 1);
    assert_true(f->engine.has_driven);
    assert_int_equal(f->job->state, JOB_DRIVEN);
}

static bool turn(struct fixture *f, uint64_t *due_ns)
{
    *due_ns = 4711;
    return engine_turn(&f->engine, due_ns);
}

static bool send_line(struct fixture *f, int64_t number)
{
    struct mr_value *value = engine_open_line(&f->engine, f->job);
    assert_ptr_equal(f->context.current, f->job);
    assert_int_equal(value_outputs(value, 1), 0);
    value_expect(value);
    assert_int_equal(value_integer(value, number), MR_ITEM);
    bool is_sent = engine_send_line(&f->engine, f->job);
    assert_null(f->context.current);
    return is_sent;
}

/* The next record's kind; its payload is in *payload. */
static int next_kind(struct fixture *f, const char **payload)
{
    struct record record;
    const void *bytes;
    int rc = ring_peek(&f->ends.replies, &record, &bytes);
    assert_true(rc >= 0);
    if (rc == 0)
        return -1;
    assert_int_equal(record.slot, 1);
    assert_int_equal(record.generation, f->ends.generations[1]);
    *payload = bytes;
    ring_release(&f->ends.replies);
    return record.kind;
}

static void expect_chunk(struct fixture *f, char number)
{
    const char *payload;
    assert_int_equal(next_kind(f, &payload), RECORD_CHUNK);
    assert_int_equal(payload[1], number);
}

static void a_driven_run_makes_its_lines_and_its_end(void **state)
{
    (void)state;
    struct fixture f;
    const char *payload;
    uint64_t due_ns;
    start_run(&f);
    assert_true(turn(&f, &due_ns));
    assert_true(due_ns == CLOCK_NEVER);
    assert_true(send_line(&f, 1));
    assert_true(send_line(&f, 2));
    expect_chunk(&f, 1);
    expect_chunk(&f, 2);
    engine_end_driven(&f.engine, f.job);
    assert_int_equal(next_kind(&f, &payload), RECORD_END);
    assert_int_equal(f.finish_count, 1);
    assert_int_equal(f.job->state, JOB_NONE);
    assert_int_equal(slot_load(&f.context.attachment.segment.slots[1]).state, SLOT_ENDED);
    finish(&f);
}

static void a_line_beyond_the_window_is_kept_and_the_host_resumed(void **state)
{
    (void)state;
    struct fixture f;
    const char *payload;
    uint64_t due_ns;
    start_run(&f);
    assert_true(send_line(&f, 1));
    assert_true(send_line(&f, 2));
    assert_false(send_line(&f, 3));
    assert_true(turn(&f, &due_ns));
    assert_int_equal(f.resume_count, 0);
    expect_chunk(&f, 1);
    expect_chunk(&f, 2);
    assert_int_equal(next_kind(&f, &payload), -1);
    slot_deliver(&f.context.attachment.segment.slots[1], WINDOW_BYTES);
    assert_true(turn(&f, &due_ns));
    assert_int_equal(f.resume_count, 1);
    expect_chunk(&f, 3);
    assert_true(send_line(&f, 4));
    expect_chunk(&f, 4);
    finish(&f);
}

static void a_line_that_is_given_up_leaves_nothing(void **state)
{
    (void)state;
    struct fixture f;
    const char *payload;
    start_run(&f);
    assert_int_equal(value_outputs(engine_open_line(&f.engine, f.job), 1), 0);
    engine_abort_line(&f.engine);
    assert_null(f.context.current);
    error_set(&f.context.error, ERROR_INPUT, "wrong");
    error_set_traceback(&f.context.error, "there", 5);
    engine_end_driven(&f.engine, f.job);
    assert_int_equal(next_kind(&f, &payload), RECORD_ERROR);
    const char expected[] = "\x93\x00\xa5wrong\xa5there";
    assert_memory_equal(payload, expected, sizeof expected - 1);
    assert_false(f.context.error.is_set);
    finish(&f);
}

static void a_cancellation_is_told_once_and_is_the_end_whatever_the_host_says(void **state)
{
    (void)state;
    struct fixture f;
    const char *payload;
    uint64_t due_ns;
    start_run(&f);
    both_ends_cancel(&f.ends, 1, CANCEL_REQUESTED);
    for (int i = 0; i < 3; i++)
        assert_true(turn(&f, &due_ns));
    assert_int_equal(f.cancel_count, 1);
    assert_int_equal(f.job->state, JOB_DRIVEN);
    engine_end_driven(&f.engine, f.job);
    assert_int_equal(next_kind(&f, &payload), RECORD_ERROR);
    assert_non_null(strstr(payload + 3, "cancelled: on request"));
    finish(&f);
}

/* Its host may be about to end it, and has no other turn before. */
static void
a_cancellation_that_the_last_look_of_a_turn_finds_leaves_the_run_to_its_host(void **state)
{
    (void)state;
    struct fixture f;
    const char *payload;
    start_run(&f);
    both_ends_cancel(&f.ends, 1, CANCEL_REQUESTED);
    engine_watch(&f.engine, f.engine.active_count);
    assert_int_equal(f.job->state, JOB_DRIVEN);
    assert_int_equal(f.cancel_count, 1);
    engine_end_driven(&f.engine, f.job);
    assert_int_equal(next_kind(&f, &payload), RECORD_ERROR);
    assert_int_equal(f.engine.ready.count, 0);
    finish(&f);
}

static void a_cancellation_drops_the_line_that_waits(void **state)
{
    (void)state;
    struct fixture f;
    const char *payload;
    uint64_t due_ns;
    start_run(&f);
    for (int i = 1; i <= 3; i++)
        assert_int_equal(send_line(&f, i), i < 3);
    both_ends_cancel(&f.ends, 1, CANCEL_CLIENT_GONE);
    assert_true(turn(&f, &due_ns));
    assert_int_equal(f.cancel_count, 1);
    assert_int_equal(f.resume_count, 0);
    engine_end_driven(&f.engine, f.job);
    expect_chunk(&f, 1);
    expect_chunk(&f, 2);
    assert_int_equal(next_kind(&f, &payload), RECORD_ERROR);
    finish(&f);
}

static void turns_end_with_the_last_run_after_a_stop(void **state)
{
    (void)state;
    struct fixture f;
    uint64_t due_ns;
    start_run(&f);
    both_ends_stop(&f.ends);
    assert_true(turn(&f, &due_ns));
    assert_true(turn(&f, &due_ns));
    engine_end_driven(&f.engine, f.job);
    assert_false(turn(&f, &due_ns));
    finish(&f);
}

static void a_turn_leaves_the_doorbell_armed_for_what_is_waited_for(void **state)
{
    (void)state;
    struct fixture f;
    uint64_t due_ns;
    start_run(&f);
    assert_true(turn(&f, &due_ns));
    assert_true(doorbell_ring(&f.worker_bell, DOORBELL_WORK));
    assert_true(turn(&f, &due_ns));
    for (int i = 1; i <= 3; i++)
        assert_int_equal(send_line(&f, i), i < 3);
    assert_true(turn(&f, &due_ns));
    assert_true(doorbell_ring(&f.worker_bell, DOORBELL_WINDOW));
    slot_deliver(&f.context.attachment.segment.slots[1], WINDOW_BYTES);
    assert_true(turn(&f, &due_ns));
    engine_end_driven(&f.engine, f.job);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_driven_run_makes_its_lines_and_its_end),
        cmocka_unit_test(a_line_beyond_the_window_is_kept_and_the_host_resumed),
        cmocka_unit_test(a_line_that_is_given_up_leaves_nothing),
        cmocka_unit_test(a_cancellation_is_told_once_and_is_the_end_whatever_the_host_says),
        cmocka_unit_test(
            a_cancellation_that_the_last_look_of_a_turn_finds_leaves_the_run_to_its_host),
        cmocka_unit_test(a_cancellation_drops_the_line_that_waits),
        cmocka_unit_test(turns_end_with_the_last_run_after_a_stop),
        cmocka_unit_test(a_turn_leaves_the_doorbell_armed_for_what_is_waited_for),
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
