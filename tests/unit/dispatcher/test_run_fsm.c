/* SPDX-License-Identifier: MIT */
/*
 * test_run_fsm.c - the run table keeps its promise: every run ends exactly once.
 *
 * What a run holds in each state is written down here (a client to answer, files on their way, a
 * place in the queue, a slot), and what each action does to that. The table is right when every
 * cell's action turns what its state holds into what the next state holds, and when there is a cell
 * for exactly the pairs that can happen.
 */
#include "dispatcher/runs/run_fsm.h"

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
#define RUN_COUNT 64u

struct holds {
    int client; /* somebody waits for the answer */
    int files;
    int queue;
    int slot;
};

static const struct holds held[RUN_STATE_COUNT] = {
    [RUN_FREE] = {0},
    [RUN_STAGING] = {.client = 1, .files = 1},
    [RUN_QUEUED] = {.client = 1, .queue = 1},
    [RUN_ACTIVE] = {.client = 1, .slot = 1},
    [RUN_CANCELLING] = {.slot = 1},
};

/* What an action does, and whether it is the one answer. */
struct effect {
    struct holds change;
    bool answers;
    bool frees;  /* besides, whatever is still held */
    bool admits; /* with a client, and its files are there if it had any */
};

static const struct effect effects[RUN_ACT_COUNT] = {
    [RUN_ACT_NONE] = {.answers = false},
    [RUN_ACT_WAIT] = {.change = {.client = 1, .files = 1}},
    [RUN_ACT_WAIT_AGAIN] = {.change = {.files = 1, .queue = -1}},
    [RUN_ACT_QUEUE] = {.change = {.queue = 1}, .admits = true},
    [RUN_ACT_OFFER] = {.change = {.queue = -1, .slot = 1}},
    [RUN_ACT_LINE] = {.answers = false},
    [RUN_ACT_COMPLETE] = {.change = {.client = -1, .slot = -1}, .answers = true},
    [RUN_ACT_FAIL] = {.change = {.client = -1}, .answers = true, .frees = true},
    [RUN_ACT_DROP] = {.change = {.client = -1}, .frees = true},
    [RUN_ACT_TELL_WORKER] = {.change = {.client = -1}},
    [RUN_ACT_FAIL_AND_TELL_WORKER] = {.change = {.client = -1}, .answers = true},
    [RUN_ACT_RELEASE] = {.change = {.slot = -1}},
    [RUN_ACT_KILL_WORKER] = {.answers = false},
};

static bool can_happen(enum run_state state, enum run_event event)
{
    const struct holds *now = &held[state];
    switch (event) {
    case RUN_EV_ADMIT:
        return state == RUN_FREE || now->files;
    case RUN_EV_STAGE:
        return state == RUN_FREE || now->queue;
    case RUN_EV_ASSIGN:
        return now->queue;
    case RUN_EV_CHUNK:
    case RUN_EV_END:
    case RUN_EV_ERROR:
        return now->slot;
    case RUN_EV_WORKER_LOST:
        return now->slot || now->queue;
    case RUN_EV_CLIENT_GONE:
    case RUN_EV_CANCEL:
        return state != RUN_FREE;
    case RUN_EV_GRACE_OVER:
        return now->slot && !now->client;
    case RUN_EV_COUNT:
        break;
    }
    return false;
}

static struct holds after(enum run_state state, enum run_action action)
{
    const struct effect *effect = &effects[action];
    struct holds now = held[state];
    now.client = effect->admits ? 1 : now.client + effect->change.client;
    now.files = effect->admits ? 0 : now.files + effect->change.files;
    now.queue += effect->change.queue;
    now.slot += effect->change.slot;
    if (effect->frees)
        now.files = now.queue = now.slot = 0;
    return now;
}

static void there_is_a_cell_for_exactly_the_pairs_that_can_happen(void **state_)
{
    (void)state_;
    for (enum run_state state = 0; state < RUN_STATE_COUNT; state++)
        for (enum run_event event = 0; event < RUN_EV_COUNT; event++)
            if (can_happen(state, event) != (run_fsm_cell(state, event).action != RUN_ACT_INVALID))
                fail_msg("%s in %s", run_event_name(event), run_state_name(state));
}

static void every_action_turns_what_a_state_holds_into_what_the_next_one_holds(void **state_)
{
    (void)state_;
    for (enum run_state state = 0; state < RUN_STATE_COUNT; state++)
        for (enum run_event event = 0; event < RUN_EV_COUNT; event++) {
            struct run_step step = run_fsm_cell(state, event);
            if (step.action == RUN_ACT_INVALID)
                continue;
            struct holds now = after(state, step.action);
            const struct holds *next = &held[step.next];
            if (memcmp(&now, next, sizeof now) != 0)
                fail_msg("%s in %s: %s does not lead to %s", run_event_name(event),
                         run_state_name(state), run_action_name(step.action),
                         run_state_name(step.next));
        }
}

static void nothing_leads_back_to_a_client_that_was_answered(void **state_)
{
    (void)state_;
    for (enum run_state state = 0; state < RUN_STATE_COUNT; state++)
        for (enum run_event event = 0; event < RUN_EV_COUNT; event++) {
            struct run_step step = run_fsm_cell(state, event);
            if (effects[step.action].answers)
                assert_true(held[state].client && !held[step.next].client);
            if (step.action != RUN_ACT_INVALID && !held[state].client && state != RUN_FREE)
                assert_false(held[step.next].client);
        }
}

static void a_chunk_becomes_a_line_only_while_the_client_waits(void **state_)
{
    (void)state_;
    assert_int_equal(run_fsm_step(RUN_ACTIVE, RUN_EV_CHUNK).action, RUN_ACT_LINE);
    assert_int_equal(run_fsm_step(RUN_CANCELLING, RUN_EV_CHUNK).action, RUN_ACT_NONE);
}

static void the_end_of_a_run_is_told_as_the_worker_said(void **state_)
{
    (void)state_;
    assert_int_equal(run_fsm_step(RUN_ACTIVE, RUN_EV_END).action, RUN_ACT_COMPLETE);
    assert_int_equal(run_fsm_step(RUN_ACTIVE, RUN_EV_ERROR).action, RUN_ACT_FAIL);
    assert_int_equal(run_fsm_step(RUN_ACTIVE, RUN_EV_WORKER_LOST).action, RUN_ACT_FAIL);
}

static void nobody_is_answered_who_went_away(void **state_)
{
    (void)state_;
    assert_int_equal(run_fsm_step(RUN_STAGING, RUN_EV_CLIENT_GONE).action, RUN_ACT_DROP);
    assert_int_equal(run_fsm_step(RUN_QUEUED, RUN_EV_CLIENT_GONE).action, RUN_ACT_DROP);
    assert_int_equal(run_fsm_step(RUN_ACTIVE, RUN_EV_CLIENT_GONE).action, RUN_ACT_TELL_WORKER);
}

static void only_a_run_that_does_not_end_costs_its_worker(void **state_)
{
    (void)state_;
    for (enum run_state state = 0; state < RUN_STATE_COUNT; state++)
        for (enum run_event event = 0; event < RUN_EV_COUNT; event++)
            assert_int_equal(run_fsm_cell(state, event).action == RUN_ACT_KILL_WORKER,
                             state == RUN_CANCELLING && event == RUN_EV_GRACE_OVER);
}

static void take_step(void *argument)
{
    const int *pair = argument;
    run_fsm_step((enum run_state)pair[0], (enum run_event)pair[1]);
}

static void a_pair_that_cannot_happen_ends_the_process(void **state_)
{
    (void)state_;
    for (int state = 0; state <= RUN_STATE_COUNT; state++)
        for (int event = 0; event <= RUN_EV_COUNT; event++) {
            bool exists = state < RUN_STATE_COUNT && event < RUN_EV_COUNT &&
                          can_happen((enum run_state)state, (enum run_event)event);
            if (!exists)
                assert_true(aborts(take_step, (int[]){state, event}));
        }
}

static void everything_has_a_name_of_its_own(void **state_)
{
    (void)state_;
    for (unsigned i = 0; i < RUN_STATE_COUNT; i++)
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(run_state_name(i), run_state_name(k));
    for (unsigned i = 0; i < RUN_EV_COUNT; i++)
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(run_event_name(i), run_event_name(k));
    for (unsigned i = 0; i < RUN_ACT_COUNT; i++)
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(run_action_name(i), run_action_name(k));
    assert_string_equal(run_state_name(RUN_STATE_COUNT), "?");
    assert_string_equal(run_event_name(RUN_EV_COUNT), "?");
    assert_string_equal(run_action_name(RUN_ACT_COUNT), "?");
}

/* ---- random lives ---- */

/* One run of the simulation, with the books that prove what became of it. */
struct life {
    enum run_state state;
    unsigned answers, admissions, slots_taken, slots_freed;
    bool client_left;
};

/* Any event of the outside world, possible or not by the books of this run. */
static bool world_allows(const struct life *life, enum run_event event)
{
    bool on_slot = life->slots_taken > life->slots_freed;
    bool admitted = life->state != RUN_FREE, is_staging = life->state == RUN_STAGING;
    switch (event) {
    case RUN_EV_ADMIT:
        return !admitted || is_staging;
    case RUN_EV_STAGE:
        return !admitted || (!is_staging && life->slots_taken == 0);
    case RUN_EV_ASSIGN:
        return admitted && !is_staging && !on_slot;
    case RUN_EV_CHUNK:
    case RUN_EV_END:
    case RUN_EV_ERROR:
        return on_slot;
    case RUN_EV_WORKER_LOST:
        return admitted && !is_staging;
    case RUN_EV_CANCEL:
        return admitted;
    case RUN_EV_CLIENT_GONE:
        return admitted && !life->client_left;
    case RUN_EV_GRACE_OVER:
        return on_slot && (life->answers > 0 || life->client_left);
    case RUN_EV_COUNT:
        break;
    }
    return false;
}

static void life_step(struct life *life, enum run_event event)
{
    struct run_step step = run_fsm_step(life->state, event);
    bool on_slot = life->slots_taken > life->slots_freed;
    if (life->state == RUN_FREE)
        *life = (struct life){.admissions = 1};
    life->client_left |= event == RUN_EV_CLIENT_GONE;
    if (effects[step.action].answers) {
        life->answers++;
        assert_false(life->client_left); /* told to nobody */
    }
    life->slots_taken += step.action == RUN_ACT_OFFER;
    life->slots_freed += step.action == RUN_ACT_RELEASE || step.action == RUN_ACT_COMPLETE ||
                         (step.action == RUN_ACT_FAIL && on_slot);
    life->state = step.next;
    assert_true(life->answers <= 1);
    assert_true(life->slots_freed <= life->slots_taken);
    if (life->state == RUN_FREE) {
        assert_true(life->answers == 1 || life->client_left);
        assert_int_equal(life->slots_taken, life->slots_freed);
    }
}

static void every_run_of_any_life_is_answered_once_and_frees_its_slot_once(void **state_)
{
    (void)state_;
    uint64_t seed = environment_number("SEED", 20260131), chance = seed;
    struct life lives[RUN_COUNT] = {0};
    unsigned ended = 0, seen[RUN_STATE_COUNT][RUN_EV_COUNT] = {0};
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (uint32_t steps = 0; steps < STEP_COUNT;) {
        struct life *life = &lives[random_below(&chance, RUN_COUNT)];
        enum run_event event = (enum run_event)random_below(&chance, RUN_EV_COUNT);
        if (!world_allows(life, event))
            continue;
        steps++;
        seen[life->state][event]++;
        life_step(life, event);
        ended += life->state == RUN_FREE;
    }
    assert_true(ended > 1000);
    for (enum run_state state = 0; state < RUN_STATE_COUNT; state++)
        for (enum run_event event = 0; event < RUN_EV_COUNT; event++)
            assert_int_equal(seen[state][event] > 0, can_happen(state, event));
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_is_a_cell_for_exactly_the_pairs_that_can_happen),
        cmocka_unit_test(every_action_turns_what_a_state_holds_into_what_the_next_one_holds),
        cmocka_unit_test(nothing_leads_back_to_a_client_that_was_answered),
        cmocka_unit_test(a_chunk_becomes_a_line_only_while_the_client_waits),
        cmocka_unit_test(the_end_of_a_run_is_told_as_the_worker_said),
        cmocka_unit_test(nobody_is_answered_who_went_away),
        cmocka_unit_test(only_a_run_that_does_not_end_costs_its_worker),
        cmocka_unit_test(a_pair_that_cannot_happen_ends_the_process),
        cmocka_unit_test(everything_has_a_name_of_its_own),
        cmocka_unit_test(every_run_of_any_life_is_answered_once_and_frees_its_slot_once),
    };
    return cmocka_run_group_tests_name("run_fsm", tests, descriptors_note, descriptors_compare);
}
