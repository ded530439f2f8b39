/* SPDX-License-Identifier: MIT */
/*
 * test_pipeline_fsm.c - the pipeline table keeps its promises: runs are taken when a worker can
 * serve them, refused when none will, and nothing but a proof ends a quarantine.
 *
 * What is true in each state is written down here. The table is right when there is a cell for
 * exactly the pairs that can happen, and every cell leads to a state in which is true what the
 * event says.
 */
#include "dispatcher/runs/pipeline_fsm.h"

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
#define WORKER_COUNT 3u
#define DEATHS_MAX 3u

struct truth {
    bool has_been_ready; /* or nobody has asked for it, and then that does not matter */
    bool is_served;      /* a worker is ready */
    bool is_closed;      /* the quarantine */
    bool is_idle;        /* no worker is wanted */
    bool is_waking;      /* the first one that is wanted again starts */
};

static const struct truth truths[PIPELINE_STATE_COUNT] = {
    [PIPELINE_LOADING] = {.is_served = false},
    [PIPELINE_FAILED] = {.is_served = false},
    [PIPELINE_READY] = {.has_been_ready = true, .is_served = true},
    [PIPELINE_RESTARTING] = {.has_been_ready = true},
    [PIPELINE_QUARANTINED] = {.is_closed = true},
    [PIPELINE_TRIAL] = {.has_been_ready = true, .is_served = true, .is_closed = true},
    [PIPELINE_IDLE] = {.has_been_ready = true, .is_idle = true},
    [PIPELINE_WAKING] = {.has_been_ready = true, .is_waking = true},
};

static bool can_happen(enum pipeline_state state, enum pipeline_event event)
{
    const struct truth *now = &truths[state];
    if (now->is_idle) /* who goes is not told of any more */
        return event == PIPELINE_EV_WANTED;
    switch (event) {
    case PIPELINE_EV_SERVED:
    case PIPELINE_EV_FAILED:
    case PIPELINE_EV_LOST: /* or there was none */
    case PIPELINE_EV_GIVEN_UP:
        return true;
    case PIPELINE_EV_DOUBTED:
        return now->is_served;
    case PIPELINE_EV_PROVED: /* a run was taken before */
        return now->has_been_ready || now->is_closed;
    case PIPELINE_EV_UNWANTED: /* a quarantine goes on until it is known how it ends */
        return (now->has_been_ready && !now->is_closed) || state == PIPELINE_LOADING;
    case PIPELINE_EV_WANTED:
    case PIPELINE_EV_COUNT:
        break;
    }
    return false;
}

#define FOR_EACH_PAIR(state, event)                                                                \
    for (enum pipeline_state state = 0; state < PIPELINE_STATE_COUNT; state++)                     \
        for (enum pipeline_event event = 0; event < PIPELINE_EV_COUNT; event++)

static void there_is_a_cell_for_exactly_the_pairs_that_can_happen(void **state_)
{
    (void)state_;
    FOR_EACH_PAIR(state, event)
    if (can_happen(state, event) !=
        (pipeline_fsm_cell(state, event).action != PIPELINE_ACT_INVALID))
        fail_msg("%s in %s", pipeline_event_name(event), pipeline_state_name(state));
}

/* What must be true after an event, whatever was before. */
static bool is_true_after(enum pipeline_event event, const struct truth *before,
                          const struct truth *next)
{
    switch (event) {
    case PIPELINE_EV_SERVED:
        return next->is_served && next->is_closed == before->is_closed;
    case PIPELINE_EV_FAILED:
        return next->is_served == before->is_served && next->is_closed == before->is_closed;
    case PIPELINE_EV_LOST:
        return !next->is_served && next->is_closed == before->is_closed;
    case PIPELINE_EV_DOUBTED:
        return next->is_served && next->is_closed;
    case PIPELINE_EV_GIVEN_UP:
        return !next->is_served && next->is_closed;
    case PIPELINE_EV_PROVED:
        return next->is_served == before->is_served && !next->is_closed;
    case PIPELINE_EV_UNWANTED:
        return next->is_idle;
    case PIPELINE_EV_WANTED:
        return next->is_waking;
    case PIPELINE_EV_COUNT:
        break;
    }
    return false;
}

static void every_event_makes_true_what_it_says(void **state_)
{
    (void)state_;
    FOR_EACH_PAIR(state, event)
    {
        struct pipeline_step step = pipeline_fsm_cell(state, event);
        if (step.action != PIPELINE_ACT_INVALID &&
            !is_true_after(event, &truths[state], &truths[step.next]))
            fail_msg("%s in %s leads to %s", pipeline_event_name(event), pipeline_state_name(state),
                     pipeline_state_name(step.next));
    }
}

/* Whoever waits is refused when nothing is there to wait for, and the log says when that begins and
 * ends. */
static void the_action_is_what_the_change_needs(void **state_)
{
    (void)state_;
    FOR_EACH_PAIR(state, event)
    {
        struct pipeline_step step = pipeline_fsm_cell(state, event);
        if (step.action == PIPELINE_ACT_INVALID)
            continue;
        const struct truth *before = &truths[state], *next = &truths[step.next];
        bool closes = !before->is_closed && next->is_closed;
        assert_int_equal(step.action == PIPELINE_ACT_CLOSE || step.action == PIPELINE_ACT_DOUBT,
                         closes);
        assert_int_equal(step.action == PIPELINE_ACT_DOUBT || step.action == PIPELINE_ACT_TRY,
                         step.next == PIPELINE_TRIAL && state != PIPELINE_TRIAL);
        assert_int_equal(step.action == PIPELINE_ACT_REFUSE,
                         state == PIPELINE_TRIAL && step.next == PIPELINE_QUARANTINED);
        assert_int_equal(step.action == PIPELINE_ACT_RELEASE,
                         before->is_closed && !next->is_closed);
        assert_int_equal(step.action == PIPELINE_ACT_OPEN,
                         event == PIPELINE_EV_SERVED && !before->is_closed);
        assert_int_equal(step.action == PIPELINE_ACT_ANSWER,
                         event == PIPELINE_EV_FAILED &&
                             (before->is_waking || state == PIPELINE_LOADING));
    }
}

static void a_pipeline_that_was_ready_never_only_loads_again(void **state_)
{
    (void)state_;
    FOR_EACH_PAIR(state, event)
    {
        struct pipeline_step step = pipeline_fsm_cell(state, event);
        if (step.action != PIPELINE_ACT_INVALID && state != PIPELINE_LOADING)
            assert_int_not_equal(step.next, PIPELINE_LOADING);
        if (step.action != PIPELINE_ACT_INVALID && truths[state].has_been_ready)
            assert_int_not_equal(step.next, PIPELINE_FAILED);
    }
}

static void take_step(void *argument)
{
    const int *pair = argument;
    pipeline_fsm_step((enum pipeline_state)pair[0], (enum pipeline_event)pair[1]);
}

static void a_pair_that_cannot_happen_ends_the_process(void **state_)
{
    (void)state_;
    for (int state = 0; state <= PIPELINE_STATE_COUNT; state++)
        for (int event = 0; event <= PIPELINE_EV_COUNT; event++) {
            bool exists = state < PIPELINE_STATE_COUNT && event < PIPELINE_EV_COUNT &&
                          can_happen((enum pipeline_state)state, (enum pipeline_event)event);
            if (!exists)
                assert_true(aborts(take_step, (int[]){state, event}));
        }
}

static void everything_has_a_name_of_its_own(void **state_)
{
    (void)state_;
    for (unsigned i = 0; i < PIPELINE_STATE_COUNT; i++)
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(pipeline_state_name(i), pipeline_state_name(k));
    for (unsigned i = 0; i < PIPELINE_EV_COUNT; i++)
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(pipeline_event_name(i), pipeline_event_name(k));
    for (unsigned i = 0; i < PIPELINE_ACT_COUNT; i++)
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(pipeline_action_name(i), pipeline_action_name(k));
    assert_string_equal(pipeline_state_name(PIPELINE_STATE_COUNT), "?");
    assert_string_equal(pipeline_event_name(PIPELINE_EV_COUNT), "?");
    assert_string_equal(pipeline_action_name(PIPELINE_ACT_COUNT), "?");
}

/* ---- random lives ---- */

struct worker_life {
    bool is_ready, retires; /* neither: it starts, or waits for that */
    bool is_old;            /* has been ready for long enough */
    unsigned deaths;        /* in a row */
};

struct life {
    enum pipeline_state state;
    bool is_idle;
    struct worker_life workers[WORKER_COUNT];
};

static unsigned seen[PIPELINE_STATE_COUNT][PIPELINE_EV_COUNT];

static void tell(struct life *life, enum pipeline_event event)
{
    seen[life->state][event]++;
    life->state = pipeline_fsm_step(life->state, event).next;
}

/* As the dispatcher does after everything that happens to a worker. */
static void review(struct life *life)
{
    bool is_hopeful = false, is_served = false;
    for (unsigned i = 0; i < WORKER_COUNT; i++) {
        is_hopeful |= life->workers[i].deaths < DEATHS_MAX || life->workers[i].is_old;
        is_served |= life->workers[i].is_ready;
    }
    if (!is_served)
        tell(life, is_hopeful ? PIPELINE_EV_LOST : PIPELINE_EV_GIVEN_UP);
    else if (!is_hopeful)
        tell(life, PIPELINE_EV_DOUBTED);
    assert_int_equal(truths[life->state].is_served, is_served);
    if (is_hopeful && is_served)
        assert_int_equal(life->state, PIPELINE_READY);
    if (!is_hopeful)
        assert_true(truths[life->state].is_closed);
}

static void worker_dies(struct life *life, struct worker_life *worker)
{
    worker->is_ready = worker->retires = worker->is_old = false;
    worker->deaths++;
    tell(life, PIPELINE_EV_FAILED);
    review(life);
}

static void run_finishes(struct life *life, struct worker_life *worker)
{
    worker->deaths = 0;
    if (life->state != PIPELINE_READY)
        tell(life, PIPELINE_EV_PROVED);
    review(life);
}

/* A trial of nothing but being ready. */
static void time_passes(struct life *life)
{
    if (life->state != PIPELINE_TRIAL)
        return;
    for (unsigned i = 0; i < WORKER_COUNT; i++)
        life->workers[i].is_old = life->workers[i].is_ready;
    tell(life, PIPELINE_EV_PROVED);
    review(life);
}

/* All of them go, or start anew: both only where the pipeline is open, and has been; or go before
 * any has been tried. */
static void number_changes(struct life *life)
{
    if (!life->is_idle && !can_happen(life->state, PIPELINE_EV_UNWANTED))
        return;
    tell(life, life->is_idle ? PIPELINE_EV_WANTED : PIPELINE_EV_UNWANTED);
    life->is_idle = !life->is_idle;
    assert_int_equal(truths[life->state].is_idle, life->is_idle);
    memset(life->workers, 0, sizeof life->workers);
}

static void life_step(struct life *life, struct worker_life *worker, uint64_t what)
{
    if (what == 10)
        number_changes(life);
    else if (life->is_idle)
        return;
    else if (what == 0)
        *life = (struct life){0}; /* another pipeline */
    else if (what == 1)
        time_passes(life);
    else if (what < 6)
        worker_dies(life, worker);
    else if (what < 9 && (worker->is_ready || worker->retires))
        run_finishes(life, worker);
    else if (what == 9 && worker->is_ready)
        worker->is_ready = worker->is_old = false, worker->retires = true, review(life);
    else if (!worker->is_ready && !worker->retires)
        worker->is_ready = true, tell(life, PIPELINE_EV_SERVED), review(life);
}

static void any_life_is_open_exactly_while_there_is_hope(void **state_)
{
    (void)state_;
    uint64_t seed = environment_number("SEED", 20260131), chance = seed;
    struct life life = {0};
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (uint32_t i = 0; i < STEP_COUNT; i++) {
        struct worker_life *worker = &life.workers[random_below(&chance, WORKER_COUNT)];
        uint64_t what = random_below(&chance, 16);
        bool is_rare = what == 10 && random_below(&chance, 50) > 0;
        life_step(&life, worker, is_rare ? 15 : what);
    }
    FOR_EACH_PAIR(state, event)
    {
        if (!can_happen(state, event))
            assert_int_equal(seen[state][event], 0);
    }
    for (enum pipeline_state state = 0; state < PIPELINE_STATE_COUNT; state++)
        assert_true(seen[state][PIPELINE_EV_FAILED] > 0 || truths[state].is_idle);
    assert_true(seen[PIPELINE_WAKING][PIPELINE_EV_UNWANTED] > 0);
    /* By a run that a retiring worker finishes; the rarest of them. */
    assert_true(seen[PIPELINE_QUARANTINED][PIPELINE_EV_PROVED] > 0);
    assert_true(seen[PIPELINE_TRIAL][PIPELINE_EV_PROVED] > 0);
    assert_true(seen[PIPELINE_READY][PIPELINE_EV_DOUBTED] > 0);
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_is_a_cell_for_exactly_the_pairs_that_can_happen),
        cmocka_unit_test(every_event_makes_true_what_it_says),
        cmocka_unit_test(the_action_is_what_the_change_needs),
        cmocka_unit_test(a_pipeline_that_was_ready_never_only_loads_again),
        cmocka_unit_test(a_pair_that_cannot_happen_ends_the_process),
        cmocka_unit_test(everything_has_a_name_of_its_own),
        cmocka_unit_test(any_life_is_open_exactly_while_there_is_hope),
    };
    return cmocka_run_group_tests_name("pipeline_fsm", tests, descriptors_note,
                                       descriptors_compare);
}
