/* SPDX-License-Identifier: MIT */
/* test_pipeline_pick.c - which run is next, and to which worker it goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/dispatcher/stage_run.h"

#include <cmocka.h>

#include "dispatcher/runs/pipeline.h"
#include "tests/unit/shm/ring_memory.h"

static int affinity_open(void **state)
{
    (void)state;
    stage_open(&(struct stage_options){.worker_count = 2, .has_affinity = true});
    return 0;
}

static int fair_open(void **state)
{
    (void)state;
    stage_open(&(struct stage_options){.is_fair = true, .queue_count_max = 4});
    return 0;
}

static struct pipeline *pipeline(void)
{
    return stage.server->runs.pipelines[0];
}

static uint64_t affinity_count(enum affinity_end end)
{
    return pipeline()->tally->affinity_counts[end];
}

static void say(uint32_t client, const char *name, const char *value)
{
    char body[128];
    snprintf(body, sizeof body, "{\"inputs\":[],\"scheduling\":{\"%s\":\"%s\"}}", name, value);
    stage_say(client, STREAM_PATH, body, 1);
}

static uint32_t ask(const char *name, const char *value)
{
    uint32_t client = stage_connect();
    say(client, name, value);
    return client;
}

static struct stage_run taken(uint32_t client)
{
    struct stage_run run = {.client = client};
    assert_true(stage_run_take(&run));
    assert_int_equal(stage_client_of(stage_run_of(&run)), client);
    return run;
}

static struct stage_run begin(const char *name, const char *value)
{
    return taken(ask(name, value));
}

static void end(struct stage_run *run)
{
    stage_run_end(run);
    stage_settle();
}

/* ---- affinity ------------------------------------------------------------------------------ */

static void who_finds_its_worker_goes_first_where_the_first_one_does_not(void **state)
{
    (void)state;
    struct stage_run a = begin("affinity", "a"), b = begin("affinity", "b");
    assert_int_not_equal(a.worker, b.worker);
    uint32_t second_a = ask("affinity", "a"), third_a = ask("affinity", "a");
    uint32_t second_b = ask("affinity", "b");
    end(&b);
    struct stage_run next = taken(second_b);
    assert_int_equal(next.worker, b.worker);
    end(&a);
    struct stage_run first = taken(second_a);
    assert_int_equal(first.worker, a.worker);
    /* There is nobody else: no slot is left empty. */
    end(&next);
    struct stage_run last = taken(third_a);
    assert_int_equal(last.worker, b.worker);
    assert_int_equal(affinity_count(AFFINITY_MISS), 2);
    assert_int_equal(affinity_count(AFFINITY_HIT), 2);
    assert_int_equal(affinity_count(AFFINITY_DIVERTED), 1);
    end(&first);
    end(&last);
}

static void nobody_is_passed_for_ever(void **state)
{
    (void)state;
    struct stage_run a = begin("affinity", "a"), b = begin("affinity", "b");
    uint32_t waiting = ask("affinity", "a"), passing = ask("affinity", "b");
    for (uint32_t count = 0; count < 16; count++) {
        uint32_t next = b.client;
        end(&b);
        b = taken(passing);
        passing = next;
        say(passing, "affinity", "b");
        stage_settle();
    }
    end(&b);
    struct stage_run last = taken(waiting);
    assert_int_equal(last.worker, b.worker);
    end(&last);
    struct stage_run after = taken(passing);
    end(&after);
    end(&a);
}

static void what_a_process_had_is_gone_with_it(void **state)
{
    (void)state;
    struct stage_run a = begin("affinity", "a");
    end(&a);
    a = begin("affinity", "a");
    end(&a);
    assert_int_equal(affinity_count(AFFINITY_HIT), 1);
    stage_exit(a.worker, CLD_KILLED, SIGKILL);
    stage_settle();
    struct stage_run again = begin("affinity", "a");
    assert_int_not_equal(again.worker, a.worker);
    assert_int_equal(affinity_count(AFFINITY_MISS), 2);
    end(&again);
}

/* ---- turns --------------------------------------------------------------------------------- */

static void tenants_take_turns(void **state)
{
    (void)state;
    struct stage_run run = begin("tenant", "flood");
    uint32_t flood[2] = {ask("tenant", "flood"), ask("tenant", "flood")};
    uint32_t polite[2] = {ask("tenant", "polite"), ask("tenant", "polite")};
    assert_int_equal(pipeline()->fair->busy_count, 2);
    const uint32_t order[] = {polite[0], polite[1], flood[0], flood[1]};
    stage_later(1000); /* which only the flood has used */
    for (size_t i = 0; i < 4; i++) {
        stage_later(100);
        end(&run);
        run = taken(order[i]);
    }
    end(&run);
    assert_int_equal(pipeline()->fair->busy_count, 0);
}

static void who_fills_the_queue_makes_room(void **state)
{
    (void)state;
    uint32_t flood[4];
    struct stage_run run = begin("tenant", "flood");
    for (uint32_t i = 0; i < 4; i++)
        flood[i] = ask("tenant", "flood");
    uint32_t refused = ask("tenant", "flood");
    assert_int_equal(answer_to(refused)->status, 429);
    assert_int_equal(pipeline()->tally->refusals[REFUSAL_QUEUE_FULL], 1);
    uint32_t polite = ask("tenant", "polite");
    assert_int_equal(answer_to(flood[3])->status, 429);
    assert_non_null(strstr(answer.head_text, "\r\nRetry-After: "));
    assert_non_null(strstr(answer.lines[0], "displaced: the queue is full"));
    assert_int_equal(pipeline()->queue_count, 4);
    assert_int_equal(pipeline()->tally->displaced_count, 1);
    end(&run);
    struct stage_run next = taken(polite);
    end(&next);
    for (uint32_t i = 0; i < 3; i++) {
        next = taken(flood[i]);
        end(&next);
    }
}

static void who_leaves_a_queue_leaves_nothing(void **state)
{
    (void)state;
    struct stage_run run = begin("tenant", "a");
    uint32_t gone = ask("tenant", "b"), stays = ask("tenant", "b");
    assert_int_equal(pipeline()->fair->busy_count, 2);
    stage_hang_up(gone);
    stage_settle();
    assert_int_equal(pipeline()->fair->waiting_count, 1);
    stage_exit(run.worker, CLD_KILLED, SIGKILL);
    stage_settle();
    assert_int_equal(pipeline()->fair->busy_count, 1);
    stage_hang_up(stays);
    stage_settle();
    assert_int_equal(pipeline()->fair->busy_count, 0);
}

#define AFFINITY_TEST(name) cmocka_unit_test_setup_teardown(name, affinity_open, scene_close)
#define FAIR_TEST(name) cmocka_unit_test_setup_teardown(name, fair_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        AFFINITY_TEST(who_finds_its_worker_goes_first_where_the_first_one_does_not),
        AFFINITY_TEST(nobody_is_passed_for_ever),
        AFFINITY_TEST(what_a_process_had_is_gone_with_it),
        FAIR_TEST(tenants_take_turns),
        FAIR_TEST(who_fills_the_queue_makes_room),
        FAIR_TEST(who_leaves_a_queue_leaves_nothing),
    };
    return cmocka_run_group_tests_name("pipeline_pick", tests, descriptors_note,
                                       descriptors_compare);
}
