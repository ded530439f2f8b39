/* SPDX-License-Identifier: MIT */
/*
 * test_worker_fsm.c - the worker table keeps its promises: one process a place, killed once at
 * most, reclaimed exactly once, and never waited for without end.
 *
 * What is true of a place in each state is written down here, and what each action makes true. The
 * table is right when every cell's action turns the one into the other, and when there is a cell
 * for exactly the pairs that can happen.
 */
#include "dispatcher/workers/worker_fsm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/dispatcher/aborts.h"
#include "tests/unit/shm/ring_memory.h"

#define STEP_COUNT 4000000u
#define PLACE_COUNT 16u

struct place {
    bool spare;   /* vacant, and nothing follows of itself */
    bool awaited; /* the spawner was asked, and there is no answer yet */
    bool process;
    bool warms;    /* has a run of nobody */
    bool serves;   /* takes new runs */
    bool served;   /* had runs, or may still have them */
    bool replaced; /* its successor starts beside it */
    bool asked;    /* was sent STOP */
    bool killed;
};

static const struct place places[WORKER_STATE_COUNT] = {
    [WORKER_EMPTY] = {.process = false},
    [WORKER_SPARE] = {.spare = true},
    [WORKER_SPAWNING] = {.awaited = true},
    [WORKER_STARTING] = {.process = true},
    [WORKER_LOADED] = {.process = true},
    [WORKER_WARMING] = {.process = true, .warms = true},
    [WORKER_READY] = {.process = true, .serves = true, .served = true},
    [WORKER_OUTGOING] = {.process = true, .serves = true, .served = true, .replaced = true},
    [WORKER_RETIRING] = {.process = true, .served = true, .asked = true},
    [WORKER_STOPPING] = {.process = true, .served = true, .asked = true},
    [WORKER_DYING] = {.process = true, .killed = true},
};

static bool can_happen(enum worker_state state, enum worker_event event)
{
    const struct place *now = &places[state];
    switch (event) {
    case WORKER_EV_START:
        return !now->process && !now->awaited;
    case WORKER_EV_STARTED:
    case WORKER_EV_SPAWNER_LOST:
        return now->awaited;
    case WORKER_EV_START_FAILED: /* there is none, or it could not become the worker */
        return now->awaited || state == WORKER_STARTING;
    case WORKER_EV_HELLO:
    case WORKER_EV_READY:
    case WORKER_EV_FAILED:
    case WORKER_EV_PROGRESS:
        return now->process;
    case WORKER_EV_WARM:
    case WORKER_EV_CUT:
        return now->warms;
    case WORKER_EV_COLD: /* its variables show it */
        return now->warms || state == WORKER_STARTING;
    case WORKER_EV_EXIT:
    case WORKER_EV_DIED:
        return now->process && !now->replaced;
    case WORKER_EV_GONE: /* of one that serves no more it is not in the state whether it is
                          * replaced */
        return now->process && (now->replaced || now->asked || now->killed);
    case WORKER_EV_HAND_OVER:
        return now->serves && !now->replaced;
    case WORKER_EV_RELIEVED:
    case WORKER_EV_STAY:
        return now->replaced;
    case WORKER_EV_DISMISSED:
        return !now->process && !now->awaited;
    case WORKER_EV_ORPHANED:
        return now->spare;
    case WORKER_EV_TIMEOUT:
        return now->process && !now->serves && !now->killed;
    case WORKER_EV_HUNG: /* of a process that has runs, or had some when it was killed */
        return now->served || now->killed;
    case WORKER_EV_RETIRE: /* after a run: of a process that served, or had served */
        return now->served || now->killed || state == WORKER_EMPTY || now->spare;
    case WORKER_EV_MISBEHAVED:
        return !now->awaited;
    case WORKER_EV_STOP:
    case WORKER_EV_DEVICE_LOST:
        return true;
    case WORKER_EV_COUNT:
        break;
    }
    return false;
}

/* What the action leaves of a place. */
static struct place after(struct place now, enum worker_action action)
{
    switch (action) {
    case WORKER_ACT_SPAWN:
        now = (struct place){.awaited = true};
        break;
    case WORKER_ACT_CALL:
        now.replaced = true;
        break;
    case WORKER_ACT_KEEP:
        now.replaced = false;
        break;
    case WORKER_ACT_INHERIT:
        now.spare = false;
        break;
    case WORKER_ACT_DISMISS:
    case WORKER_ACT_MAKE_SPARE:
        now = (struct place){.spare = true};
        break;
    case WORKER_ACT_WATCH:
        now = (struct place){.process = true};
        break;
    case WORKER_ACT_WARM_UP:
        now.warms = true;
        break;
    case WORKER_ACT_SERVE:
        now.warms = false;
        now.serves = now.served = true;
        break;
    case WORKER_ACT_KILL:
        now = (struct place){.process = true, .killed = true};
        break;
    case WORKER_ACT_RETIRE:
    case WORKER_ACT_ASK_STOP:
        now.serves = now.replaced = false;
        now.asked = true;
        break;
    case WORKER_ACT_RETRY:
    case WORKER_ACT_ASK_AGAIN:
    case WORKER_ACT_RECLAIM:
    case WORKER_ACT_REPLACE:
    case WORKER_ACT_RECLAIM_LAST:
        now = (struct place){.process = false};
        break;
    case WORKER_ACT_NONE:
    case WORKER_ACT_LEARN:
    case WORKER_ACT_NOTE_FAILURE:
    case WORKER_ACT_GO_ON:
    case WORKER_ACT_CUT:
    case WORKER_ACT_INVALID:
    case WORKER_ACT_COUNT:
        break;
    }
    return now;
}

static bool same(struct place a, struct place b)
{
    return a.spare == b.spare && a.replaced == b.replaced && a.awaited == b.awaited &&
           a.process == b.process && a.warms == b.warms && a.serves == b.serves &&
           a.served == b.served && a.asked == b.asked && a.killed == b.killed;
}

static bool reclaims(enum worker_action action)
{
    return action == WORKER_ACT_RECLAIM || action == WORKER_ACT_REPLACE ||
           action == WORKER_ACT_RECLAIM_LAST || action == WORKER_ACT_MAKE_SPARE;
}

static void there_is_a_cell_for_exactly_the_pairs_that_can_happen(void **state_)
{
    (void)state_;
    for (enum worker_state state = 0; state < WORKER_STATE_COUNT; state++)
        for (enum worker_event event = 0; event < WORKER_EV_COUNT; event++)
            if (can_happen(state, event) !=
                (worker_fsm_cell(state, event).action != WORKER_ACT_INVALID))
                fail_msg("%s in %s", worker_event_name(event), worker_state_name(state));
}

static void every_action_makes_true_what_the_next_state_says(void **state_)
{
    (void)state_;
    for (enum worker_state state = 0; state < WORKER_STATE_COUNT; state++)
        for (enum worker_event event = 0; event < WORKER_EV_COUNT; event++) {
            struct worker_step step = worker_fsm_cell(state, event);
            if (step.action != WORKER_ACT_INVALID &&
                !same(after(places[state], step.action), places[step.next]))
                fail_msg("%s in %s: %s does not lead to %s", worker_event_name(event),
                         worker_state_name(state), worker_action_name(step.action),
                         worker_state_name(step.next));
        }
}

static void an_end_is_reclaimed_from_every_state(void **state_)
{
    (void)state_;
    const enum worker_event ends[] = {WORKER_EV_EXIT, WORKER_EV_DIED};
    for (enum worker_state state = 0; state < WORKER_STATE_COUNT; state++) {
        for (size_t i = 0; i < ARRAY_COUNT(ends); i++) {
            struct worker_step step = worker_fsm_cell(state, ends[i]);
            if (!places[state].process || places[state].replaced)
                continue;
            assert_int_equal(step.next, WORKER_EMPTY);
            assert_true(reclaims(step.action));
            /* Only one that went as it was asked to has a successor without a pause. */
            assert_int_equal(step.action == WORKER_ACT_REPLACE,
                             state == WORKER_RETIRING && ends[i] == WORKER_EV_EXIT);
            assert_int_equal(step.action == WORKER_ACT_RECLAIM_LAST, state == WORKER_STOPPING);
        }
    }
}

static void nothing_but_an_end_reclaims_and_nobody_is_killed_twice(void **state_)
{
    (void)state_;
    for (enum worker_state state = 0; state < WORKER_STATE_COUNT; state++)
        for (enum worker_event event = 0; event < WORKER_EV_COUNT; event++) {
            enum worker_action action = worker_fsm_cell(state, event).action;
            if (event != WORKER_EV_EXIT && event != WORKER_EV_DIED && event != WORKER_EV_GONE)
                assert_false(reclaims(action));
            if (action == WORKER_ACT_KILL)
                assert_true(places[state].process && !places[state].killed);
        }
}

static void no_process_is_waited_for_without_end(void **state_)
{
    (void)state_;
    for (enum worker_state state = 0; state < WORKER_STATE_COUNT; state++) {
        const struct place *now = &places[state];
        if (now->process && !now->serves && !now->killed)
            assert_int_equal(worker_fsm_step(state, WORKER_EV_TIMEOUT).action, WORKER_ACT_KILL);
    }
}

static void garbage_costs_every_process_its_life(void **state_)
{
    (void)state_;
    for (enum worker_state state = 0; state < WORKER_STATE_COUNT; state++)
        if (places[state].process)
            assert_int_equal(worker_fsm_step(state, WORKER_EV_MISBEHAVED).next, WORKER_DYING);
}

static void runs_come_only_after_hello_ready_and_the_warm_up_in_this_order(void **state_)
{
    (void)state_;
    for (enum worker_state state = 0; state < WORKER_STATE_COUNT; state++)
        for (enum worker_event event = 0; event < WORKER_EV_COUNT; event++) {
            struct worker_step step = worker_fsm_cell(state, event);
            if (step.action == WORKER_ACT_INVALID || step.next == state)
                continue;
            if (step.next == WORKER_LOADED)
                assert_true(state == WORKER_STARTING && event == WORKER_EV_HELLO);
            if (step.next == WORKER_WARMING)
                assert_true(state == WORKER_LOADED && event == WORKER_EV_READY);
            if (step.next == WORKER_READY && event != WORKER_EV_STAY) /* of one that serves */
                assert_true(state == WORKER_WARMING && event == WORKER_EV_WARM);
        }
}

static void a_stopping_server_ends_what_has_no_runs_at_once_and_asks_the_others(void **state_)
{
    (void)state_;
    assert_int_equal(worker_fsm_step(WORKER_STARTING, WORKER_EV_STOP).action, WORKER_ACT_KILL);
    assert_int_equal(worker_fsm_step(WORKER_LOADED, WORKER_EV_STOP).action, WORKER_ACT_KILL);
    assert_int_equal(worker_fsm_step(WORKER_WARMING, WORKER_EV_STOP).action, WORKER_ACT_KILL);
    assert_int_equal(worker_fsm_step(WORKER_READY, WORKER_EV_STOP).action, WORKER_ACT_ASK_STOP);
    assert_int_equal(worker_fsm_step(WORKER_RETIRING, WORKER_EV_STOP).action, WORKER_ACT_ASK_STOP);
    assert_int_equal(worker_fsm_step(WORKER_STOPPING, WORKER_EV_STOP).action, WORKER_ACT_NONE);
}

static void a_warm_up_that_is_cut_has_no_more_than_the_grace(void **state_)
{
    (void)state_;
    assert_int_equal(worker_fsm_step(WORKER_WARMING, WORKER_EV_CUT).next, WORKER_WARMING);
    assert_int_equal(worker_fsm_step(WORKER_WARMING, WORKER_EV_TIMEOUT).next, WORKER_DYING);
    assert_int_equal(worker_fsm_step(WORKER_WARMING, WORKER_EV_COLD).next, WORKER_DYING);
}

static void who_waits_for_the_spawner_waits_for_an_answer_or_its_end(void **state_)
{
    (void)state_;
    assert_int_equal(worker_fsm_step(WORKER_SPAWNING, WORKER_EV_STARTED).next, WORKER_STARTING);
    assert_int_equal(worker_fsm_step(WORKER_SPAWNING, WORKER_EV_START_FAILED).next, WORKER_EMPTY);
    assert_int_equal(worker_fsm_step(WORKER_SPAWNING, WORKER_EV_SPAWNER_LOST).next, WORKER_EMPTY);
    assert_int_equal(worker_fsm_step(WORKER_SPAWNING, WORKER_EV_STOP).next, WORKER_SPAWNING);
}

static void a_worker_that_is_replaced_serves_until_it_is_relieved(void **state_)
{
    (void)state_;
    assert_int_equal(worker_fsm_step(WORKER_READY, WORKER_EV_HAND_OVER).next, WORKER_OUTGOING);
    assert_true(places[WORKER_OUTGOING].serves);
    assert_int_equal(worker_fsm_step(WORKER_OUTGOING, WORKER_EV_RELIEVED).next, WORKER_RETIRING);
    assert_int_equal(worker_fsm_step(WORKER_OUTGOING, WORKER_EV_STAY).next, WORKER_READY);
    /* However it ends, its place is the spare one: its successor has its number. */
    for (enum worker_state state = 0; state < WORKER_STATE_COUNT; state++) {
        struct worker_step step = worker_fsm_cell(state, WORKER_EV_GONE);
        if (step.action != WORKER_ACT_INVALID)
            assert_int_equal(step.next, WORKER_SPARE);
    }
}

static void take_step(void *argument)
{
    const int *pair = argument;
    worker_fsm_step((enum worker_state)pair[0], (enum worker_event)pair[1]);
}

static void a_pair_that_cannot_happen_ends_the_process(void **state_)
{
    (void)state_;
    for (int state = 0; state <= WORKER_STATE_COUNT; state++)
        for (int event = 0; event <= WORKER_EV_COUNT; event++) {
            bool exists = state < WORKER_STATE_COUNT && event < WORKER_EV_COUNT &&
                          can_happen((enum worker_state)state, (enum worker_event)event);
            if (!exists)
                assert_true(aborts(take_step, (int[]){state, event}));
        }
}

static void everything_has_a_name_of_its_own(void **state_)
{
    (void)state_;
    for (unsigned i = 0; i < WORKER_STATE_COUNT; i++)
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(worker_state_name(i), worker_state_name(k));
    for (unsigned i = 0; i < WORKER_EV_COUNT; i++)
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(worker_event_name(i), worker_event_name(k));
    for (unsigned i = 0; i < WORKER_ACT_COUNT; i++)
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(worker_action_name(i), worker_action_name(k));
    assert_string_equal(worker_state_name(WORKER_STATE_COUNT), "?");
    assert_string_equal(worker_event_name(WORKER_EV_COUNT), "?");
    assert_string_equal(worker_action_name(WORKER_ACT_COUNT), "?");
}

/* ---- random lives ---- */

struct life {
    enum worker_state state;
    unsigned asked, answered;    /* ever: starts */
    unsigned started, reclaimed; /* ever: processes */
    unsigned kills, asks;        /* of this process */
    bool was_ready, is_replaced;
};

/* What the outside world can bring about, by the books alone. */
static bool world_allows(const struct life *life, enum worker_event event)
{
    bool process = life->started > life->reclaimed, awaited = life->asked > life->answered;
    switch (event) {
    case WORKER_EV_START:
        return !process && !awaited;
    case WORKER_EV_STARTED:
    case WORKER_EV_SPAWNER_LOST:
        return awaited;
    case WORKER_EV_START_FAILED:
        return awaited || (process && life->state == WORKER_STARTING);
    case WORKER_EV_HELLO:
    case WORKER_EV_READY:
    case WORKER_EV_FAILED:
    case WORKER_EV_PROGRESS:
        return process;
    case WORKER_EV_WARM:
    case WORKER_EV_CUT:
        return process && life->state == WORKER_WARMING;
    case WORKER_EV_COLD:
        return process && (life->state == WORKER_WARMING || life->state == WORKER_STARTING);
    case WORKER_EV_EXIT:
    case WORKER_EV_DIED:
        return process && !life->is_replaced;
    case WORKER_EV_GONE:
        return process && life->is_replaced;
    case WORKER_EV_HAND_OVER:
        return process && life->was_ready && life->asks + life->kills == 0 && !life->is_replaced;
    case WORKER_EV_RELIEVED:
    case WORKER_EV_STAY:
        return process && life->is_replaced && life->asks + life->kills == 0;
    case WORKER_EV_DISMISSED:
        return !process && !awaited;
    case WORKER_EV_ORPHANED:
        return life->state == WORKER_SPARE;
    case WORKER_EV_TIMEOUT:
        return process && life->kills == 0 && (!life->was_ready || life->asks > 0);
    case WORKER_EV_HUNG:
        return process && (life->was_ready || life->kills > 0);
    case WORKER_EV_RETIRE:
        return !awaited && (!process || life->was_ready || life->kills > 0);
    case WORKER_EV_MISBEHAVED:
        return !awaited;
    case WORKER_EV_STOP:
    case WORKER_EV_DEVICE_LOST:
        return true;
    case WORKER_EV_COUNT:
        break;
    }
    return false;
}

static void life_step(struct life *life, enum worker_event event)
{
    struct worker_step step = worker_fsm_step(life->state, event);
    bool process = life->started > life->reclaimed;
    life->asked += step.action == WORKER_ACT_SPAWN;
    life->answered += event == WORKER_EV_STARTED || event == WORKER_EV_SPAWNER_LOST ||
                      (event == WORKER_EV_START_FAILED && !process);
    if (step.action == WORKER_ACT_WATCH) {
        life->started++;
        life->kills = life->asks = 0;
        life->was_ready = false;
    }
    life->reclaimed += reclaims(step.action) || (process && step.action == WORKER_ACT_RETRY);
    life->kills += step.action == WORKER_ACT_KILL;
    life->asks += step.action == WORKER_ACT_ASK_STOP || step.action == WORKER_ACT_RETIRE;
    life->was_ready |= step.action == WORKER_ACT_SERVE;
    life->is_replaced |= step.action == WORKER_ACT_CALL;
    life->is_replaced &= step.action != WORKER_ACT_MAKE_SPARE && step.action != WORKER_ACT_KEEP;
    life->state = step.next;
    assert_true(life->asked - life->answered <= 1);
    assert_true(life->started - life->reclaimed <= 1);
    assert_int_equal(life->asked > life->answered, places[life->state].awaited);
    assert_int_equal(life->started > life->reclaimed, places[life->state].process);
    assert_true(life->kills <= 1);
    assert_true(life->asks <= 2); /* to retire, and then to stop with the server */
    if (places[life->state].serves)
        assert_true(life->was_ready && life->asks == 0 && life->kills == 0);
}

/* Half of them lead on: of chance alone few lives would come far. */
static enum worker_event life_event(uint64_t *chance)
{
    static const enum worker_event on[] = {WORKER_EV_START, WORKER_EV_STARTED, WORKER_EV_HELLO,
                                           WORKER_EV_READY, WORKER_EV_WARM,    WORKER_EV_HAND_OVER};
    if (random_below(chance, 2) == 0)
        return on[random_below(chance, ARRAY_COUNT(on))];
    return (enum worker_event)random_below(chance, WORKER_EV_COUNT);
}

static void every_process_of_any_life_is_reclaimed_once(void **state_)
{
    (void)state_;
    uint64_t seed = environment_number("SEED", 20260131), chance = seed;
    struct life lives[PLACE_COUNT] = {0};
    unsigned seen[WORKER_STATE_COUNT][WORKER_EV_COUNT] = {0};
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (uint32_t steps = 0; steps < STEP_COUNT;) {
        struct life *life = &lives[random_below(&chance, PLACE_COUNT)];
        enum worker_event event = life_event(&chance);
        if (!world_allows(life, event))
            continue;
        steps++;
        seen[life->state][event]++;
        life_step(life, event);
    }
    for (enum worker_state state = 0; state < WORKER_STATE_COUNT; state++)
        for (enum worker_event event = 0; event < WORKER_EV_COUNT; event++)
            if ((seen[state][event] > 0) != can_happen(state, event))
                fail_msg("%s in %s", worker_event_name(event), worker_state_name(state));
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_is_a_cell_for_exactly_the_pairs_that_can_happen),
        cmocka_unit_test(every_action_makes_true_what_the_next_state_says),
        cmocka_unit_test(an_end_is_reclaimed_from_every_state),
        cmocka_unit_test(nothing_but_an_end_reclaims_and_nobody_is_killed_twice),
        cmocka_unit_test(no_process_is_waited_for_without_end),
        cmocka_unit_test(garbage_costs_every_process_its_life),
        cmocka_unit_test(runs_come_only_after_hello_ready_and_the_warm_up_in_this_order),
        cmocka_unit_test(a_stopping_server_ends_what_has_no_runs_at_once_and_asks_the_others),
        cmocka_unit_test(a_warm_up_that_is_cut_has_no_more_than_the_grace),
        cmocka_unit_test(who_waits_for_the_spawner_waits_for_an_answer_or_its_end),
        cmocka_unit_test(a_worker_that_is_replaced_serves_until_it_is_relieved),
        cmocka_unit_test(a_pair_that_cannot_happen_ends_the_process),
        cmocka_unit_test(everything_has_a_name_of_its_own),
        cmocka_unit_test(every_process_of_any_life_is_reclaimed_once),
    };
    return cmocka_run_group_tests_name("worker_fsm", tests, descriptors_note, descriptors_compare);
}
