/* SPDX-License-Identifier: MIT */
/*
 * stage_renewal.h - all workers are replaced on the stage: what tests of that have in common.
 */
#ifndef TESTS_DISPATCHER_STAGE_RENEWAL_H
#define TESTS_DISPATCHER_STAGE_RENEWAL_H

#include "tests/unit/dispatcher/stage_pipelines.h"

/* One worker of each. */
static inline int both_open(void **state)
{
    (void)state;
    return pool_open(&(struct stage_options){.pipeline_count = 2});
}

static inline void renew(void)
{
    assert_int_equal(runs_renew(runs(), NULL), 0);
    stage_loop_pass();
    stage_later(0);
}

/* `count` workers have been replaced, and nothing is left of how. */
static inline void expect_over(uint32_t count)
{
    uint64_t renewed_count = 0;
    assert_false(fleet()->renewal.is_on);
    for (uint32_t i = 0; i < fleet()->pool_count; i++) {
        assert_false(fleet()->pools[i]->has_extra);
        renewed_count += fleet()->pools[i]->restarts[WORKER_END_RENEWED];
    }
    for (uint32_t i = 0; i < fleet()->worker_count; i++)
        assert_true(!worker(i) || (!worker(i)->is_stale && !worker(i)->successor));
    assert_int_equal(renewed_count, count);
}

/* Worker 0 goes on until its successor, worker 2, is ready. */
static inline void expect_first_turn(void)
{
    assert_int_equal(worker(0)->state, WORKER_OUTGOING);
    assert_int_equal(worker(1)->state, WORKER_READY);
    assert_int_equal(worker(2)->state, WORKER_STARTING);
    assert_ptr_equal(worker(2)->predecessor, worker(0));
}

static inline void expect_served(const char *body)
{
    struct stage_run run = stage_run_begin(STREAM_PATH, body, 1);
    stage_run_number(&run);
    stage_run_end(&run);
    assert_true(answer_to(run.client)->complete);
    assert_non_null(strstr(answer.body, NUMBER_OUTPUTS));
}

static inline void exits_as_told(uint32_t index)
{
    worker_listens(index);
    assert_true(known.was_told[index]);
    known.was_told[index] = false;
    stage_exit(index, CLD_EXITED, 0);
    stage_settle();
    stage_later(0);
}

/* Worker 2 follows worker 0, which is gone; the next one's turn begins. */
static inline void take_first_turn(void)
{
    expect_first_turn();
    stage_hello(2);
    stage_settle();
    assert_int_equal(worker(0)->state, WORKER_RETIRING);
    exits_as_told(0);
}

#endif
