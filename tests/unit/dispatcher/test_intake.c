/* SPDX-License-Identifier: MIT */
/* test_intake.c - whose files get pipes, and who waits for one. */
#include "dispatcher/files/intake.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/dispatcher/files_scene.h"

#define WRITER_COUNT 8u
#define OWN_COUNT 100u

/* A file of a writer's, and what was told of it. */
struct own {
    struct intake *intake;
    int pipe_fd, rc;
};

static struct own owns[WRITER_COUNT][OWN_COUNT];

static void on_ready(void *owner, int fd)
{
    ((struct own *)owner)->pipe_fd = fd;
}

static void on_kept(void *owner, struct file *file)
{
    (void)owner, (void)file;
    fail();
}

static void on_failed(void *owner, int rc)
{
    ((struct own *)owner)->intake = NULL;
    ((struct own *)owner)->rc = rc;
}

static const struct intake_ops ops = {on_ready, on_kept, on_failed};

static int intake_open(void **state)
{
    assert_int_equal(scene_open(state), 0);
    config.files_total_bytes = config.file_bytes_max = 1 << 20;
    input.file_count_max = 2 * INTAKE_COUNT_MAX;
    assert_int_equal(
        uring_create(&reactor.uring, &(struct uring_options){.entries = 256,
                                                             .receive_buffer_count = 2,
                                                             .receive_buffer_bytes = 4096}),
        0);
    memset(owns, 0, sizeof owns);
    return 0;
}

static void hear(void)
{
    struct pollfd done = {.fd = files.disk.done_fds[0], .events = POLLIN};
    assert_int_equal(poll(&done, 1, 10000), 1);
    disk_on_done(&files.disk, NULL, &(struct uring_event){.result = POLLIN, .more = true});
}

static void drop(struct own *own)
{
    if (own->intake)
        intake_drop(own->intake);
    if (own->pipe_fd > 0)
        close(own->pipe_fd);
    *own = (struct own){.intake = NULL};
}

static int intake_close(void **state)
{
    for (uint32_t i = 0; i < WRITER_COUNT * OWN_COUNT; i++)
        drop(&owns[i / OWN_COUNT][i % OWN_COUNT]);
    while (files.disk.job_count > 0)
        hear();
    assert_int_equal(input.file_count, 0);
    uring_destroy(reactor.uring);
    return scene_close(state);
}

static struct own *begin(uint32_t writer, uint32_t number)
{
    struct own *own = &owns[writer][number];
    own->intake = intake_begin(
        &files, &(struct intake_options){.writer = owns[writer], .name = "", .bytes = 10}, &ops,
        own, &own->rc);
    return own;
}

static uint32_t pipe_count(uint32_t writer)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < OWN_COUNT; i++)
        count += owns[writer][i].pipe_fd > 0;
    return count;
}

static void who_keeps_his_pipes_leaves_some_for_others(void **state)
{
    (void)state;
    for (uint32_t writer = 0; writer < WRITER_COUNT; writer++)
        for (uint32_t i = 0; i < OWN_COUNT; i++)
            assert_non_null(begin(writer, i)->intake);
    assert_int_equal(pipe_count(0), INTAKE_COUNT_MAX / 2);
    assert_int_equal(pipe_count(1), INTAKE_COUNT_MAX / 4);
    for (uint32_t writer = 2; writer < 7; writer++)
        assert_true(pipe_count(writer) > 0);
}

static void a_pipe_that_comes_back_is_the_first_ones_that_has_too_few(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < OWN_COUNT; i++) {
        begin(0, i);
        begin(1, i);
    }
    const uint32_t before = pipe_count(1);
    while (pipe_count(1) == before) {
        uint32_t last = OWN_COUNT;
        while (owns[0][last - 1].pipe_fd <= 0)
            last--;
        drop(&owns[0][last - 1]);
        hear();
    }
    assert_int_equal(pipe_count(1), before + 1);
    assert_true(pipe_count(0) < pipe_count(1));
}

static void one_at_a_time_has_a_pipe_while_others_have_all_descriptors(void **state)
{
    (void)state;
    input.file_count_max = 2;
    assert_true(begin(0, 0)->pipe_fd > 0);
    assert_non_null(begin(0, 1)->intake);
    assert_non_null(begin(1, 0)->intake);
    input_memory_take_file(&input); /* as uploads do */
    input_memory_take_file(&input);
    drop(&owns[0][0]);
    hear();
    assert_true(owns[0][1].pipe_fd > 0 && owns[1][0].pipe_fd <= 0);
    drop(&owns[0][1]);
    hear();
    assert_true(owns[1][0].pipe_fd > 0);
    assert_null(files.waiting);
    input_memory_give_file(&input);
    input_memory_give_file(&input);
}

#define INTAKE_TEST(name) cmocka_unit_test_setup_teardown(name, intake_open, intake_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        INTAKE_TEST(who_keeps_his_pipes_leaves_some_for_others),
        INTAKE_TEST(a_pipe_that_comes_back_is_the_first_ones_that_has_too_few),
        INTAKE_TEST(one_at_a_time_has_a_pipe_while_others_have_all_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
