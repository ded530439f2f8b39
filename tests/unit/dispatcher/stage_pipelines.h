/* SPDX-License-Identifier: MIT */
/*
 * stage_pipelines.h - pipelines that come, grow, shrink and go on the stage, and workers that do
 * what they are told.
 */
#ifndef TESTS_DISPATCHER_STAGE_PIPELINES_H
#define TESTS_DISPATCHER_STAGE_PIPELINES_H

#include "tests/unit/dispatcher/stage_run.h"

static inline struct runs *runs(void)
{
    return &stage.server->runs;
}

static inline struct fleet *fleet(void)
{
    return &stage.server->fleet;
}

static inline struct worker *worker(uint32_t index)
{
    mr_assert(index < fleet()->worker_count);
    return fleet()->workers[index];
}

static inline struct worker_pool *pool(void)
{
    return runs()->pipelines[0]->pool;
}

/* The one that has this number and is not about to be replaced; NULL: there is none. */
static inline struct worker *worker_of(uint32_t number)
{
    for (uint32_t i = 0; i < pool()->place_count; i++) {
        struct worker *found = pool()->places[i];
        if (found->number == number && !found->successor && found->state != WORKER_SPARE)
            return found;
    }
    return NULL;
}

static inline int resize_to(uint32_t worker_count, char reason[RUNS_REASON_BYTES])
{
    return runs_scale_pipeline(runs(), runs()->pipelines[0], worker_count, worker_count, reason);
}

static inline void resize(uint32_t worker_count)
{
    char reason[RUNS_REASON_BYTES];
    int rc = resize_to(worker_count, reason);
    mr_assert(rc == 0);
    server_check(stage.server);
}

static inline uint32_t pipelines_leaving(void)
{
    uint32_t count = 0;
    for (const struct pipeline *at = runs()->leaving; at; at = at->next)
        count++;
    return count;
}

static inline uint32_t places_count(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < fleet()->worker_count; i++)
        count += fleet()->workers[i] != NULL;
    return count;
}

/* Room in the heap of timers that is not for places, pipelines and runs: it never changes. */
static inline uint32_t timers_of_others(void)
{
    return stage.server->reactor.timers.count_max - 3 * places_count() -
           2 * (runs()->pipeline_count + pipelines_leaving()) - RUN_SLAB_COUNT * runs()->slab_count;
}

/* What the workers of the stage know: whether they were told to stop, and runs that they began. */
static struct known {
    bool was_told[STAGE_WORKER_COUNT_MAX];
    struct stage_run begun[64];
    uint32_t begun_count;
} known;

static inline void known_add(uint32_t index, const struct record *start)
{
    struct stage_run run = {.worker = index,
                            .next = {.slot = start->slot, .generation = start->generation}};
    mr_assert(start->kind == RECORD_START);
    mr_assert(known.begun_count < ARRAY_COUNT(known.begun));
    if (slot_move(stage_run_slot(&run), start->generation, SLOT_OFFERED, SLOT_RUNNING))
        known.begun[known.begun_count++] = run;
}

/* Takes what waits for it. */
static inline void worker_listens(uint32_t index)
{
    struct record record;
    while (stage_request(index, &record))
        if (record.kind == RECORD_STOP)
            known.was_told[index] = true;
        else
            known_add(index, &record);
}

/* Runs that have ended, and those of workers that are gone, are nobody's any more. */
static inline void known_forget(void)
{
    for (uint32_t i = known.begun_count; i-- > 0;) {
        const struct stage_run *run = &known.begun[i];
        const struct worker *its = worker(run->worker);
        if (!its || !stage.workers[run->worker].lives || !its->slots[run->next.slot].run ||
            its->slots[run->next.slot].generation != run->next.generation)
            known.begun[i] = known.begun[--known.begun_count];
    }
}

/* Who was killed is gone, and so is who was told to stop and has no run. True: something was. */
static inline bool workers_obey(void)
{
    bool is_any = false;
    for (uint32_t i = 0; i < STAGE_WORKER_COUNT_MAX; i++) {
        if (!stage.workers[i].lives) {
            known.was_told[i] = false;
            continue;
        }
        worker_listens(i);
        bool is_killed = stage.workers[i].kill_count > 0;
        if (!is_killed && !(known.was_told[i] && worker(i)->active_count == 0))
            continue;
        known.was_told[i] = false;
        stage_exit(i, is_killed ? CLD_KILLED : CLD_EXITED, is_killed ? SIGKILL : 0);
        is_any = true;
    }
    return is_any;
}

/* Who has just been started says so. */
static inline bool workers_greet(void)
{
    bool is_any = false;
    for (uint32_t i = 0; i < fleet()->worker_count; i++)
        if (stage.workers[i].lives && worker(i) && worker(i)->state == WORKER_STARTING) {
            stage_hello(i);
            is_any = true;
        }
    return is_any;
}

/* Until all do what they should, and nothing moves; bounded. */
static inline void workers_settle(void)
{
    for (uint32_t i = 0, quiet_count = 0; i < 100; i++) {
        stage_settle();
        stage_later(1);
        bool is_any = workers_obey();
        is_any |= workers_greet();
        quiet_count = is_any ? 0 : quiet_count + 1;
        if (quiet_count == 3)
            return;
    }
    mr_assert(stage.now_ns == 0); /* they do not settle */
}

/* Makes a pipeline of this number in the configuration; its workers are started. */
static inline struct pipeline *pipeline_add(uint32_t number)
{
    struct pipeline *added;
    char reason[RUNS_REASON_BYTES];
    int rc = runs_add_pipeline(runs(), &stage.config, number, &added, reason);
    mr_assert(rc == 0);
    supervisor_resize(fleet(), added->pool);
    server_check(stage.server);
    return added;
}

static inline void pipeline_remove(struct pipeline *pipeline)
{
    runs_remove_pipeline(runs(), pipeline);
    server_check(stage.server);
}

/* ---- scenes ---- */

static uint32_t others; /* timers_of_others() */

static inline int pool_open(const struct stage_options *options)
{
    known = (struct known){0};
    stage_open(options);
    others = timers_of_others();
    return 0;
}

static inline int one_open(void **state)
{
    (void)state;
    return pool_open(&(struct stage_options){.worker_count = 1, .concurrency = 2});
}

/* Two workers, in the places 0 and 1. */
static inline int two_open(void **state)
{
    (void)state;
    return pool_open(&(struct stage_options){.worker_count = 2});
}

/* Likewise; 2 is the spare one. */
static inline int overlap_open(void **state)
{
    (void)state;
    pool_open(&(struct stage_options){.worker_count = 2, .recycle_overlap = true});
    stage.config.pipelines[0].options.recycle_run_count = 1;
    return 0;
}

/* So many workers, all of them ready, nothing of any other one, and nobody is blamed. */
static inline void expect_workers(uint32_t count, uint32_t spare_count)
{
    const struct pipeline *pipeline = runs()->pipelines[0];
    assert_false(fleet()->is_shrinking);
    assert_int_equal(pool()->place_count, count + spare_count);
    assert_int_equal(places_count(), count + spare_count);
    assert_int_equal(pool_ready_count(pool()), count);
    for (uint32_t number = 0; number < count; number++) {
        assert_non_null(worker_of(number));
        assert_int_equal(worker_of(number)->state, WORKER_READY);
        assert_int_equal(worker_of(number)->death_streak, 0);
    }
    assert_int_equal(timers_of_others(), others);
    assert_int_equal(pipeline->state, PIPELINE_READY);
    assert_string_equal(pipeline->failure, "");
}

static inline void nobody_is_blamed(void)
{
    for (uint32_t i = 0; i < fleet()->worker_count; i++)
        if (worker(i))
            worker(i)->death_streak = 0;
    runs()->pipelines[0]->failure[0] = '\0';
}

#endif
