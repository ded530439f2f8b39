/* SPDX-License-Identifier: MIT */
/* test_front.c - the front without a server around it: its beginning, its end, its invariants. */
#include "dispatcher/http/front.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/dispatcher/aborts.h"
#include "tests/unit/dispatcher/stage.h"
#include "tests/unit/shm/ring_memory.h"

#define CONN_COUNT 3u

static struct config config;
static struct reactor reactor;
static struct input_memory input;
static struct front front;
static const struct exchange_ops nobody;

static int scene_open(void **state)
{
    (void)state;
    config = (struct config){
        .conn_count_max = CONN_COUNT, .output_bytes_max = 1u << 20, .idle_timeout_ms = 1000};
    stage = (struct stage){0};
    reactor_init(&reactor, STDERR_FILENO, LEVEL_ERROR);
    input_memory_init(&input, 1u << 20, 1);
    return front_init(&front, &(struct front_options){.config = &config,
                                                      .reactor = &reactor,
                                                      .input = &input,
                                                      .ops = &nobody,
                                                      .conn_count_max = CONN_COUNT,
                                                      .output_bytes_max = 1u << 20});
}

static int scene_close(void **state)
{
    (void)state;
    front_finish(&front);
    reactor_finish(&reactor);
    return 0;
}

static void connect_one(void)
{
    conn_open(&front, open("/dev/null", O_RDWR | O_CLOEXEC), &transport_plain);
}

static void its_end_leaves_no_timer_and_no_descriptor_behind(void **state)
{
    (void)state;
    connect_one();
    connect_one();
    timer_set(&reactor.timers, &front.accept_timer, 5);
    assert_int_equal(reactor.timers.count, 3);
    assert_int_equal(reactor.timers.count_max, CONN_COUNT + 1);
    front_finish(&front);
    assert_int_equal(reactor.timers.count, 0);
    assert_int_equal(reactor.timers.count_max, 0);
}

static void a_connection_too_many_is_refused_and_counted(void **state)
{
    (void)state;
    for (uint32_t i = 0; i <= CONN_COUNT; i++)
        connect_one();
    front_check(&front);
    assert_int_equal(front.conn_count, CONN_COUNT);
    assert_int_equal(front.counts.accepted_count, CONN_COUNT);
    assert_int_equal(front.counts.refusals[REQUEST_REFUSAL_CONNECTIONS], 1);
}

static void check_it(void *context)
{
    (void)context;
    front_check(&front);
}

static void what_does_not_add_up_is_noticed(void **state)
{
    (void)state;
    connect_one();
    front_check(&front);
    front.conn_count++;
    assert_true(aborts(check_it, NULL));
    front.conn_count--;
    front.stranger_input_bytes++;
    assert_true(aborts(check_it, NULL));
    front.stranger_input_bytes--;
    front.conns[1].is_dirty = true;
    assert_true(aborts(check_it, NULL));
    front.conns[1].is_dirty = false;
    front.conns[0].due_ms = 1; /* nobody is pending who could say so */
    assert_true(aborts(check_it, NULL));
    front.conns[0].due_ms = 0;
    front_check(&front);
}

#define FRONT_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        FRONT_TEST(its_end_leaves_no_timer_and_no_descriptor_behind),
        FRONT_TEST(a_connection_too_many_is_refused_and_counted),
        FRONT_TEST(what_does_not_add_up_is_noticed),
    };
    return cmocka_run_group_tests_name("front", tests, descriptors_note, descriptors_compare);
}
