/* SPDX-License-Identifier: MIT */
/*
 * test_config_hold.c - who holds on to a configuration, and that it goes with the last one.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dispatcher/config/config_hold.h"
#include "tests/unit/dispatcher/allocs.h"

#include <cmocka.h>

static struct config config;
static struct log log_kept;

static int config_made(void **state)
{
    (void)state;
    char reason[CLI_REASON_BYTES];
    config_init(&config);
    assert_int_equal(config_add_pipeline(&config, "me/words:v1=words.so", reason), 0);
    log_init(&log_kept, memfd_create("log", MFD_CLOEXEC), LEVEL_DEBUG);
    return 0;
}

static int config_gone(void **state)
{
    (void)state;
    config_finish(&config);
    close(log_kept.fd);
    return 0;
}

/* What was logged so far. */
static const char *logged(void)
{
    static char text[4096];
    log_flush(&log_kept);
    ssize_t count = pread(log_kept.fd, text, sizeof text - 1, 0);
    text[count > 0 ? count : 0] = '\0';
    return text;
}

static const char *holders_of(const struct config *held, size_t bytes)
{
    static char text[256];
    mr_assert(bytes <= sizeof text);
    memset(text, '#', sizeof text);
    config_holders_format(held, text, bytes);
    mr_assert(memchr(text, '\0', bytes));
    mr_assert(bytes == sizeof text || text[bytes] == '#');
    return text;
}

static void the_last_one_frees_it(void **state)
{
    (void)state;
    struct config_hold server, pipelines[2];
    assert_int_equal(config_hand_over(&config, 7, &server, "server"), 0);
    assert_int_equal(config.pipeline_count, 0);
    assert_null(config.worker_path);
    const struct config *held = server.config;
    const char *pointer = held->pipelines[0].pointer;
    assert_string_equal(pointer, "me/words:v1");
    assert_int_equal(held->holders->number, 7);
    for (int i = 0; i < 2; i++)
        config_hold(held, &pipelines[i], "pipeline", pointer);
    assert_int_equal(held->holders->count, 3);
    assert_string_equal(holders_of(held, 256),
                        "server, pipeline me/words:v1, pipeline me/words:v1");
    config_let_go(&pipelines[0], &log_kept);
    assert_null(pipelines[0].config);
    config_let_go(&server, &log_kept);
    assert_string_equal(holders_of(held, 256), "pipeline me/words:v1");
    assert_string_equal(logged(), "");
    config_let_go(&pipelines[1], &log_kept); /* a leak, if it did not go with it */
    assert_non_null(strstr(logged(), " debug config_end number=7\n"));
}

static void who_holds_nothing_lets_nothing_go(void **state)
{
    (void)state;
    struct config_hold none = {0};
    config_let_go(&none, &log_kept);
    struct config_hold server;
    assert_int_equal(config_hand_over(&config, 1, &server, "server"), 0);
    config_let_go(&server, NULL);
    config_let_go(&server, NULL);
    assert_string_equal(logged(), "");
}

static void one_that_was_not_handed_over_stays(void **state)
{
    (void)state;
    struct config_hold holds[3];
    assert_int_equal(config_open(&config, 1), 0);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3; i++)
            config_hold(&config, &holds[i], "pipeline", (const char *[]){"a", "b", "c"}[i]);
        assert_string_equal(holders_of(&config, 256), "pipeline a, pipeline b, pipeline c");
        config_let_go(&holds[1], &log_kept);
        assert_string_equal(holders_of(&config, 256), "pipeline a, pipeline c");
        config_let_go(&holds[2], &log_kept);
        config_let_go(&holds[0], &log_kept);
        assert_string_equal(holders_of(&config, 256), "");
    }
    assert_int_equal(config.pipeline_count, 1);
    assert_string_equal(logged(), "");
}

static void those_for_whom_there_is_no_room_are_counted(void **state)
{
    (void)state;
    struct config_hold holds[10];
    assert_int_equal(config_open(&config, 1), 0);
    for (int i = 0; i < 10; i++)
        config_hold(&config, &holds[i], "pipeline", "me/words:v1");
    assert_string_equal(holders_of(&config, 60), "pipeline me/words:v1 and 9 more");
    assert_string_equal(holders_of(&config, 70),
                        "pipeline me/words:v1, pipeline me/words:v1 and 8 more");
    assert_string_equal(holders_of(&config, 24), "10 more");
    for (size_t bytes = 24; bytes < 256; bytes++)
        holders_of(&config, bytes);
    for (int i = 0; i < 10; i++)
        config_let_go(&holds[i], NULL);
}

static void without_memory_nothing_is_handed_over(void **state)
{
    (void)state;
    struct config_hold server;
    for (unsigned count = 0; count < 2; count++) {
        allocs_left = count;
        int rc = config_hand_over(&config, 1, &server, "server");
        allocs_left = UINT_MAX;
        assert_int_equal(rc, -ENOMEM);
        assert_null(config.holders);
        assert_int_equal(config.pipeline_count, 1);
    }
}

#define HELD_TEST(name) cmocka_unit_test_setup_teardown(name, config_made, config_gone)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        HELD_TEST(the_last_one_frees_it),
        HELD_TEST(who_holds_nothing_lets_nothing_go),
        HELD_TEST(one_that_was_not_handed_over_stays),
        HELD_TEST(those_for_whom_there_is_no_room_are_counted),
        HELD_TEST(without_memory_nothing_is_handed_over),
    };
    return cmocka_run_group_tests_name("config_hold", tests, NULL, NULL);
}
