/* SPDX-License-Identifier: MIT */
/*
 * test_lockstep.c - outputs in lock-step: repeats, exhaustion, half-built lines, and who is closed
 * when.
 */
#include "worker/engine/lockstep.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

/* A stream that follows a script: '0'..'9' an item, 'l' later, 'e' the end, 'x' a failure, and for
 * each a count of what was asked of it. */
struct script {
    const char *at;
    int next_count;
    int close_count;
};

static int script_next(void *state, struct mr_value *out)
{
    struct script *script = state;
    script->next_count++;
    switch (*script->at) {
    case 'l':
        script->at++;
        out->is_later = true;
        out->due_ns = 77;
        return MR_LATER;
    case 'e':
        return MR_END;
    case 'x':
        return -EPERM;
    default:
        return value_integer(out, *script->at++ - '0');
    }
}

static void script_close(void *state)
{
    struct script *script = state;
    script->close_count++;
}

struct fixture {
    struct error error;
    struct buffer buffer;
    struct mr_value value;
    struct lockstep_output outputs[3];
    struct script scripts[2];
    struct lockstep lockstep;
};

static struct lockstep_output stream_of(struct script *script)
{
    return (struct lockstep_output){
        .iterator = {script, script_next, script_close},
        .is_stream = true,
        .is_open = true,
        .name = "scripted",
    };
}

/* stream, plain "s", stream */
static void start(struct fixture *f, const char *first, const char *second)
{
    *f = (struct fixture){.scripts = {{.at = first}, {.at = second}}};
    error_clear(&f->error);
    f->outputs[0] = stream_of(&f->scripts[0]);
    f->outputs[1] = (struct lockstep_output){.packed = (const uint8_t *)"\xa1s", .packed_bytes = 2};
    f->outputs[2] = stream_of(&f->scripts[1]);
    lockstep_start(&f->lockstep, f->outputs, 3);
    value_start_in_buffer(&f->value, &f->buffer, &f->error);
}

static void finish(struct fixture *f)
{
    lockstep_close(&f->lockstep);
    assert_int_equal(f->scripts[0].close_count, 1);
    assert_int_equal(f->scripts[1].close_count, 1);
    buffer_finish(&f->buffer);
}

/* The next step completes a line of these bytes: an array of three. */
static void expect_line(struct fixture *f, const char *bytes, size_t count)
{
    assert_int_equal(lockstep_step(&f->lockstep, &f->value), LOCKSTEP_ITEM);
    assert_int_equal(f->value.at - f->value.begin, count);
    assert_memory_equal(f->value.begin, bytes, count);
    value_start_in_buffer(&f->value, &f->buffer, &f->error);
}

static void streams_advance_together_and_the_last_line_is_not_sent(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, "1234e", "78e");
    expect_line(&f, "\x93\x01\xa1s\x07", 5);
    expect_line(&f, "\x93\x02\xa1s\x08", 5);
    expect_line(&f, "\x93\x03\xa1s" CHUNK_EXHAUSTED, 7);
    assert_int_equal(f.scripts[1].close_count, 1); /* when it was exhausted */
    assert_int_equal(f.scripts[0].close_count, 0);
    expect_line(&f, "\x93\x04\xa1s" CHUNK_EXHAUSTED, 7);
    assert_int_equal(lockstep_step(&f.lockstep, &f.value), LOCKSTEP_END);
    assert_int_equal(lockstep_step(&f.lockstep, &f.value), LOCKSTEP_END);
    assert_int_equal(f.scripts[0].next_count, 5);
    assert_int_equal(f.scripts[1].next_count, 3); /* not asked again after its end */
    finish(&f);
}

static void streams_that_are_empty_give_no_line(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, "e", "e");
    assert_int_equal(lockstep_step(&f.lockstep, &f.value), LOCKSTEP_END);
    finish(&f);
}

static void a_half_built_line_goes_on_where_it_stopped(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, "l1e", "ll2e");
    assert_int_equal(lockstep_step(&f.lockstep, &f.value), LOCKSTEP_LATER); /* the first stream */
    assert_int_equal(f.value.due_ns, 77);
    assert_int_equal(f.value.at - f.value.begin, 1);
    assert_int_equal(lockstep_step(&f.lockstep, &f.value), LOCKSTEP_LATER); /* the second */
    assert_int_equal(f.value.at - f.value.begin, 4);
    assert_int_equal(lockstep_step(&f.lockstep, &f.value), LOCKSTEP_LATER);
    assert_int_equal(f.scripts[0].next_count, 2); /* its item is kept, it is not asked again */
    expect_line(&f, "\x93\x01\xa1s\x02", 5);
    assert_int_equal(lockstep_step(&f.lockstep, &f.value), LOCKSTEP_END);
    finish(&f);
}

static void a_failure_names_its_pipe_and_closes_once(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, "1", "x");
    assert_int_equal(lockstep_step(&f.lockstep, &f.value), LOCKSTEP_FAILED);
    assert_string_equal(f.error.text, "pipe scripted returned -1 (Operation not permitted)");
    lockstep_close(&f.lockstep);
    finish(&f);
}

static void a_failure_of_an_output_without_a_name_stays_as_it_is(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, "1", "x");
    f.outputs[2].name = NULL;
    error_set(&f.error, ERROR_PIPELINE, "ValueError('as it is')");
    assert_int_equal(lockstep_step(&f.lockstep, &f.value), LOCKSTEP_FAILED);
    assert_string_equal(f.error.text, "ValueError('as it is')");
    lockstep_close(&f.lockstep);
    finish(&f);
}

static void without_a_stream_there_is_one_line(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, "", "");
    lockstep_start(&f.lockstep, &f.outputs[1], 1);
    expect_line(&f, "\x91\xa1s", 3);
    assert_int_equal(lockstep_step(&f.lockstep, &f.value), LOCKSTEP_END);
    lockstep_start(&f.lockstep, f.outputs, 3);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_advance_together_and_the_last_line_is_not_sent),
        cmocka_unit_test(streams_that_are_empty_give_no_line),
        cmocka_unit_test(a_half_built_line_goes_on_where_it_stopped),
        cmocka_unit_test(a_failure_names_its_pipe_and_closes_once),
        cmocka_unit_test(a_failure_of_an_output_without_a_name_stays_as_it_is),
        cmocka_unit_test(without_a_stream_there_is_one_line),
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
