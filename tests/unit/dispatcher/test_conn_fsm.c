/* SPDX-License-Identifier: MIT */
/*
 * test_conn_fsm.c - the connection table keeps its promises: one request at a time is answered
 * once, and whatever ends a connection waits for the kernel.
 *
 * What is true in each state is written down here. The table is right when there is a cell for
 * exactly the pairs that can happen, and every cell leads to where the promises hold.
 */
#include "dispatcher/http/conn_fsm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/dispatcher/aborts.h"
#include "tests/unit/shm/ring_memory.h"

#define STEP_COUNT 1000000u

struct truth {
    bool is_open;      /* there is a socket */
    bool awaits_head;  /* the next bytes are of a head */
    bool awaits_body;  /* or of a body */
    bool is_answered;  /* the answer to the only request is being made or sent */
    bool is_complete;  /* all of it is there */
    bool ends;         /* nothing but the end follows */
    bool is_with_none; /* nobody can wait for it but the kernel */
};

static const struct truth truths[CONN_STATE_COUNT] = {
    [CONN_FREE] = {.is_open = false},
    [CONN_IDLE] = {.is_open = true, .awaits_head = true},
    [CONN_HEAD] = {.is_open = true, .awaits_head = true},
    [CONN_BODY] = {.is_open = true, .awaits_body = true},
    [CONN_RESPONDING] = {.is_open = true, .is_answered = true},
    [CONN_SENDING] = {.is_open = true, .is_answered = true, .is_complete = true},
    [CONN_LINGERING] = {.is_open = true, .is_complete = true, .ends = true},
    [CONN_DOOMED] = {.is_open = true, .ends = true},
    [CONN_CLOSING] = {.is_open = true, .ends = true, .is_with_none = true},
};

static bool is_cut(const struct truth *now)
{
    return now->ends && !now->is_complete;
}

static bool can_happen(enum conn_state state, enum conn_event event)
{
    const struct truth *now = &truths[state];
    bool is_made = now->is_answered && !now->is_complete;
    switch (event) {
    case CONN_EV_ACCEPTED:
        return !now->is_open;
    case CONN_EV_INPUT:
    case CONN_EV_LEFT:
        return now->is_open;
    case CONN_EV_HEAD_PART:
    case CONN_EV_HEAD:
        return now->awaits_head;
    case CONN_EV_WANTED:
    case CONN_EV_DUE:
        return is_made;
    case CONN_EV_TAKEN:
        return now->awaits_body;
    case CONN_EV_REFUSED:
        return now->awaits_head || now->awaits_body || is_made;
    case CONN_EV_ANSWERED: /* who answers may not have heard of the end */
        return is_made || is_cut(now);
    case CONN_EV_SENT:
    case CONN_EV_SENT_LAST:
        return now->is_answered && now->is_complete;
    case CONN_EV_ENDED:
        return now->is_answered;
    case CONN_EV_TIME_OVER:
        return now->is_open && !is_cut(now);
    case CONN_EV_DOOMED:
        return now->awaits_body || is_made || is_cut(now);
    case CONN_EV_RETURNED:
        return now->is_with_none;
    case CONN_EV_COUNT:
        break;
    }
    return false;
}

#define FOR_EACH_PAIR(state, event)                                                                \
    for (enum conn_state state = 0; state < CONN_STATE_COUNT; state++)                             \
        for (enum conn_event event = 0; event < CONN_EV_COUNT; event++)

#define FOR_EACH_CELL(state, event, step)                                                          \
    FOR_EACH_PAIR(state, event)                                                                    \
    for (struct conn_step step = conn_fsm_cell(state, event); step.action != CONN_ACT_INVALID;     \
         step.action = CONN_ACT_INVALID)

static void there_is_a_cell_for_exactly_the_pairs_that_can_happen(void **state_)
{
    (void)state_;
    FOR_EACH_PAIR(state, event)
    if (can_happen(state, event) != (conn_fsm_cell(state, event).action != CONN_ACT_INVALID))
        fail_msg("%s in %s", conn_event_name(event), conn_state_name(state));
}

static void input_is_parsed_kept_or_thrown_away_as_the_state_says(void **state_)
{
    (void)state_;
    for (enum conn_state state = CONN_FREE + 1; state < CONN_STATE_COUNT; state++) {
        struct conn_step step = conn_fsm_cell(state, CONN_EV_INPUT);
        const struct truth *now = &truths[state];
        assert_int_equal(step.next, state);
        assert_int_equal(step.action == CONN_ACT_PARSE_HEAD, now->awaits_head);
        assert_int_equal(step.action == CONN_ACT_PARSE_BODY, now->awaits_body);
        assert_int_equal(step.action == CONN_ACT_KEEP, now->is_answered);
        assert_int_equal(step.action == CONN_ACT_IGNORE, now->ends);
    }
}

static void a_request_is_answered_once_before_the_next_one_is_looked_at(void **state_)
{
    (void)state_;
    FOR_EACH_CELL(state, event, step)
    {
        if (step.next == CONN_SENDING && state != CONN_SENDING)
            assert_true(state == CONN_RESPONDING && event == CONN_EV_ANSWERED);
        if (step.next == CONN_IDLE && state != CONN_IDLE)
            assert_true(event == CONN_EV_ACCEPTED || event == CONN_EV_SENT);
        if (state == CONN_SENDING && step.next != state)
            assert_false(truths[step.next].is_answered);
    }
}

static void what_ends_never_comes_back_and_is_free_when_the_kernel_says_so(void **state_)
{
    (void)state_;
    FOR_EACH_CELL(state, event, step)
    {
        const struct truth *before = &truths[state], *next = &truths[step.next];
        if (before->ends)
            assert_true(next->ends || step.next == CONN_FREE);
        assert_int_equal(step.next == CONN_FREE, event == CONN_EV_RETURNED);
        assert_int_equal(step.action == CONN_ACT_RELEASE, event == CONN_EV_RETURNED);
        assert_int_equal(step.action == CONN_ACT_SHUT || step.action == CONN_ACT_STALL,
                         step.next == CONN_CLOSING && state != CONN_CLOSING);
        assert_int_equal(step.action == CONN_ACT_STALL,
                         event == CONN_EV_TIME_OVER && before->is_answered);
    }
}

/* Whoever answers is told of a body that is not taken to its end. */
static void no_body_is_forgotten_in_silence(void **state_)
{
    (void)state_;
    FOR_EACH_CELL(state, event, step)
    {
        if (state != CONN_BODY || step.next == CONN_BODY || event == CONN_EV_TAKEN)
            continue;
        assert_true(step.next == CONN_DOOMED || step.action == CONN_ACT_FORGET_BODY ||
                    step.action == CONN_ACT_REFUSE_BODY || step.action == CONN_ACT_SHUT);
    }
}

static void take_step(void *argument)
{
    const int *pair = argument;
    conn_fsm_step((enum conn_state)pair[0], (enum conn_event)pair[1]);
}

static void a_pair_that_cannot_happen_ends_the_process(void **state_)
{
    (void)state_;
    for (int state = 0; state <= CONN_STATE_COUNT; state++)
        for (int event = 0; event <= CONN_EV_COUNT; event++) {
            bool exists = state < CONN_STATE_COUNT && event < CONN_EV_COUNT &&
                          can_happen((enum conn_state)state, (enum conn_event)event);
            if (!exists)
                assert_true(aborts(take_step, (int[]){state, event}));
        }
}

/* Of the requests of one life, as many are answered as were begun, but for the one it ended in. */
static void any_life_answers_each_request_once(void **state_)
{
    (void)state_;
    uint64_t seed = environment_number("SEED", 20260131), chance = seed;
    enum conn_state state = CONN_FREE;
    uint64_t begun = 0, answered = 0, lives = 0;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (uint32_t i = 0; i < STEP_COUNT; i++) {
        enum conn_event event = (enum conn_event)random_below(&chance, CONN_EV_COUNT);
        if (!can_happen(state, event))
            continue;
        struct conn_step step = conn_fsm_step(state, event);
        begun += truths[state].awaits_head && truths[step.next].is_answered;
        answered += step.next == CONN_SENDING && state != CONN_SENDING;
        assert_true(answered <= begun);
        if (state == CONN_SENDING || truths[step.next].awaits_head)
            assert_int_equal(answered, begun);
        state = step.next;
        if (state == CONN_FREE) {
            begun = answered = 0;
            lives++;
        }
    }
    assert_true(lives > 1000);
}

static void everything_has_a_name_of_its_own(void **state_)
{
    (void)state_;
    for (unsigned i = 0; i < CONN_STATE_COUNT; i++)
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(conn_state_name(i), conn_state_name(k));
    for (unsigned i = 0; i < CONN_EV_COUNT; i++)
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(conn_event_name(i), conn_event_name(k));
    for (unsigned i = 0; i < CONN_ACT_COUNT; i++)
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(conn_action_name(i), conn_action_name(k));
    assert_string_equal(conn_state_name(CONN_STATE_COUNT), "?");
    assert_string_equal(conn_event_name(CONN_EV_COUNT), "?");
    assert_string_equal(conn_action_name(CONN_ACT_COUNT), "?");
}

int main(void)
{
    alarm(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_is_a_cell_for_exactly_the_pairs_that_can_happen),
        cmocka_unit_test(input_is_parsed_kept_or_thrown_away_as_the_state_says),
        cmocka_unit_test(a_request_is_answered_once_before_the_next_one_is_looked_at),
        cmocka_unit_test(what_ends_never_comes_back_and_is_free_when_the_kernel_says_so),
        cmocka_unit_test(no_body_is_forgotten_in_silence),
        cmocka_unit_test(a_pair_that_cannot_happen_ends_the_process),
        cmocka_unit_test(any_life_answers_each_request_once),
        cmocka_unit_test(everything_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests_name("conn_fsm", tests, descriptors_note, descriptors_compare);
}
