/* SPDX-License-Identifier: MIT */
/* test_deadline.c - which limit a run reaches next, phase by phase. */
#include "dispatcher/runs/deadline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct deadline_limits all = {.queue_ms = 100,
                                           .first_chunk_ms = 200,
                                           .progress_ms = 300,
                                           .total_ms = 5000,
                                           .keepalive_ms = 1000,
                                           .grace_ms = 50};

static void expect(struct deadline_view view, struct deadline_limits limits,
                   enum deadline_kind kind, uint64_t due_ms)
{
    uint64_t due;
    assert_int_equal(deadline_next(&view, &limits, &due), kind);
    if (kind != DEADLINE_NONE)
        assert_int_equal(due, due_ms);
}

static void a_queued_run_may_wait_only_so_long(void **state)
{
    (void)state;
    struct deadline_view view = {
        .state = RUN_QUEUED, .created_ms = 1000, .queued_ms = 1000, .last_line_ms = 1000};
    expect(view, all, DEADLINE_QUEUE, 1100);
}

static void the_first_chunk_has_a_limit_of_its_own(void **state)
{
    (void)state;
    struct deadline_view view = {
        .state = RUN_ACTIVE, .created_ms = 1000, .started_ms = 1050, .last_line_ms = 1000};
    expect(view, all, DEADLINE_FIRST_CHUNK, 1250);
    view.last_chunk_ms = 1200;
    expect(view, all, DEADLINE_PROGRESS, 1500);
}

static void a_sign_of_life_counts_as_progress_also_in_the_future(void **state)
{
    (void)state;
    struct deadline_view view = {.state = RUN_ACTIVE,
                                 .created_ms = 1000,
                                 .started_ms = 1000,
                                 .last_chunk_ms = 1100,
                                 .last_line_ms = 1100,
                                 .alive_ms = 1700};
    expect(view, all, DEADLINE_PROGRESS, 2000);
    view.alive_ms = 1900;
    expect(view, all, DEADLINE_KEEPALIVE, 2100);
}

static void a_run_that_waits_for_its_client_is_not_hung(void **state)
{
    (void)state;
    struct deadline_view view = {.state = RUN_ACTIVE,
                                 .created_ms = 1000,
                                 .started_ms = 1000,
                                 .last_chunk_ms = 1100,
                                 .last_line_ms = 5900,
                                 .waits_for_client = true};
    expect(view, all, DEADLINE_TOTAL, 6000);
}

static void a_cancelled_run_has_its_grace_and_nothing_else(void **state)
{
    (void)state;
    struct deadline_view view = {.state = RUN_CANCELLING, .cancelled_ms = 9000};
    expect(view, all, DEADLINE_GRACE, 9050);
}

static void zero_means_no_limit(void **state)
{
    (void)state;
    struct deadline_limits none = {0};
    expect((struct deadline_view){.state = RUN_QUEUED}, none, DEADLINE_NONE, 0);
    expect((struct deadline_view){.state = RUN_ACTIVE}, none, DEADLINE_NONE, 0);
    expect((struct deadline_view){.state = RUN_FREE}, all, DEADLINE_NONE, 0);
}

static void messages_name_the_limit(void **state)
{
    (void)state;
    char text[128];
    deadline_message(DEADLINE_QUEUE, &all, text, sizeof(text));
    assert_non_null(strstr(text, "0.1 s"));
    deadline_message(DEADLINE_FIRST_CHUNK, &all, text, sizeof(text));
    assert_non_null(strstr(text, "0.2 s"));
    deadline_message(DEADLINE_PROGRESS, &all, text, sizeof(text));
    assert_non_null(strstr(text, "0.3 s"));
    deadline_message(DEADLINE_TOTAL, &all, text, sizeof(text));
    assert_non_null(strstr(text, "5 s"));
}

int main(void)
{
    alarm(10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_queued_run_may_wait_only_so_long),
        cmocka_unit_test(the_first_chunk_has_a_limit_of_its_own),
        cmocka_unit_test(a_sign_of_life_counts_as_progress_also_in_the_future),
        cmocka_unit_test(a_run_that_waits_for_its_client_is_not_hung),
        cmocka_unit_test(a_cancelled_run_has_its_grace_and_nothing_else),
        cmocka_unit_test(zero_means_no_limit),
        cmocka_unit_test(messages_name_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
