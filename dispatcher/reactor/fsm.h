/* SPDX-License-Identifier: MIT */
/*
 * fsm.h - state tables: what can happen to a thing, as a pure and total function.
 *
 * A machine M has enums M_state, M_event and M_action (of which 0 is M_ACT_INVALID: it cannot
 * happen), and struct M_step {next, action}. Its file has the cells and the words, by designation:
 *
 *     static const struct M_step steps[M_STATE_COUNT][M_EV_COUNT];
 *     static const char *const state_names[], *const event_names[], *const action_names[];
 *
 * and FSM_DEFINE() makes of these the functions that its header declares:
 *
 *     M_fsm_step     the step; aborts on a pair that cannot happen, naming both
 *     M_fsm_cell     the cell itself, for tests and diagrams
 *     M_state_name, M_event_name, M_action_name
 */
#ifndef DISPATCHER_FSM_H
#define DISPATCHER_FSM_H

#include <stdio.h>
#include <stdlib.h>

#include "millrace/check.h"

static inline _Noreturn void fsm_fail(const char *machine, const char *event, const char *state)
{
    fprintf(stderr, "millrace: %s table: no step for %s in %s\n", machine, event, state);
    abort();
}

#define FSM_DEFINE(machine, MACHINE)                                                               \
    struct machine##_step machine##_fsm_cell(enum machine##_state state,                           \
                                             enum machine##_event event)                           \
    {                                                                                              \
        mr_assert(state < MACHINE##_STATE_COUNT);                                                  \
        mr_assert(event < MACHINE##_EV_COUNT);                                                     \
        return steps[state][event];                                                                \
    }                                                                                              \
                                                                                                   \
    struct machine##_step machine##_fsm_step(enum machine##_state state,                           \
                                             enum machine##_event event)                           \
    {                                                                                              \
        struct machine##_step step = machine##_fsm_cell(state, event);                             \
        if (step.action == MACHINE##_ACT_INVALID)                                                  \
            fsm_fail(#machine, event_names[event], state_names[state]);                            \
        return step;                                                                               \
    }                                                                                              \
                                                                                                   \
    const char *machine##_state_name(enum machine##_state state)                                   \
    {                                                                                              \
        return state < MACHINE##_STATE_COUNT ? state_names[state] : "?";                           \
    }                                                                                              \
                                                                                                   \
    const char *machine##_event_name(enum machine##_event event)                                   \
    {                                                                                              \
        return event < MACHINE##_EV_COUNT ? event_names[event] : "?";                              \
    }                                                                                              \
                                                                                                   \
    const char *machine##_action_name(enum machine##_action action)                                \
    {                                                                                              \
        return action < MACHINE##_ACT_COUNT ? action_names[action] : "?";                          \
    }

#endif
