/* SPDX-License-Identifier: MIT */
/*
 * test_messages.c - what a worker says before it serves, and what it must not say, on the stage.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/dispatcher/stage_run.h"

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

static int scene_open(void **state)
{
    (void)state;
    stage_open(&(struct stage_options){.no_hello = true});
    return 0;
}

static struct worker *worker(void)
{
    return stage.server->fleet.workers[0];
}

static void expect_killed(const char *why)
{
    assert_int_equal(worker()->state, WORKER_DYING);
    assert_int_equal(stage.workers[0].kill_count, 1);
    if (!strstr(worker()->kill_reason, why))
        fail_msg("killed, but for \"%s\"", worker()->kill_reason);
}

static void ready_before_hello_costs_the_worker_its_life(void **state)
{
    (void)state;
    stage_message(0, MESSAGE_READY, NULL, 0);
    stage_pass();
    expect_killed("it said READY out of turn");
}

static void a_second_hello_costs_the_worker_its_life(void **state)
{
    (void)state;
    stage_hello(0);
    stage_hello(0);
    stage_settle();
    expect_killed("it said HELLO out of turn");
}

static void a_failure_of_one_that_serves_costs_the_worker_its_life(void **state)
{
    (void)state;
    stage_hello(0);
    stage_settle();
    assert_int_equal(worker()->state, WORKER_READY);
    stage_message(0, MESSAGE_FAILED, "\x93\x05\xa3why\xc0", 7);
    stage_settle();
    expect_killed("it said FAILED out of turn");
}

static void a_hello_that_cannot_be_read_costs_the_worker_its_life(void **state)
{
    (void)state;
    stage_message(0, MESSAGE_HELLO, "\x80", 1);
    stage_pass();
    expect_killed("");
}

static void a_failure_that_cannot_be_read_costs_the_worker_its_life(void **state)
{
    (void)state;
    stage_message(0, MESSAGE_FAILED, "\x93", 1);
    stage_pass();
    expect_killed("it sent a failure that cannot be read");
}

static void a_message_of_an_unknown_kind_costs_the_worker_its_life(void **state)
{
    (void)state;
    stage_message(0, MESSAGE_KIND_COUNT, NULL, 0);
    stage_pass();
    expect_killed("it sent an unknown message");
}

static void send_raw(const void *bytes, size_t count)
{
    assert_int_equal(send(stage.workers[0].socket, bytes, count, MSG_DONTWAIT), count);
    stage_event(
        (struct uring_event){.ref = stage.workers[0].on_socket, .result = POLLIN, .more = true});
    stage_pass();
}

static void a_message_cut_short_costs_the_worker_its_life(void **state)
{
    (void)state;
    send_raw("short", 5);
    expect_killed("it sent a message cut short");
}

static void an_empty_message_is_one_cut_short(void **state)
{
    (void)state;
    assert_int_equal(send(stage.workers[0].socket, "", 0, MSG_DONTWAIT), 0);
    stage_message(0, MESSAGE_READY, NULL, 0);
    stage_pass();
    expect_killed("it sent a message cut short");
}

/* Kernels that cannot refuse them bring them. Whoever takes the packet closes them, and so it is
 * left where it is, and the spawner closes the socket. */
static void descriptors_cost_the_worker_its_life_and_are_not_taken(void **state)
{
    const int yes = 1;
    int ends[2], fds[1];
    char byte = 0;
    struct iovec part = {&byte, 1};
    (void)state;
    assert_int_equal(pipe(ends), 0);
    (void)setsockopt(worker()->channel.socket, SOL_SOCKET, 83 /* SO_PASSRIGHTS */, &yes,
                     sizeof(yes));
    worker()->channel.takes_descriptors = true;
    fds[0] = ends[1];
    assert_int_equal(
        descriptors_send(stage.workers[0].socket, &(struct packet){&part, 1, fds, 1}, 0), 0);
    close(ends[1]);
    const uint32_t poll_count = stage.workers[0].poll_count;
    stage_event(
        (struct uring_event){.ref = stage.workers[0].on_socket, .result = POLLIN, .more = true});
    stage_pass();
    expect_killed("it sent descriptors");
    assert_int_equal(stage.workers[0].poll_count, poll_count); /* what stays must not wake us */
    stage_exit(0, CLD_KILLED, SIGKILL);
    stage_settle();
    assert_int_equal(stage.let_close_count, 1);
    close(ends[0]);
}

/* Without an event for each: what is there when the loop looks is all it is told of. */
static void more_messages_than_a_batch_are_read_to_the_last(void **state)
{
    (void)state;
    struct message failed = {
        .magic = MESSAGE_MAGIC, .version = PROTOCOL_VERSION, .kind = MESSAGE_FAILED, .bytes = 7};
    char packet[sizeof(failed) + 7];
    memcpy(packet, &failed, sizeof(failed));
    for (int i = 0; i < 40; i++) {
        char number = (char)('0' + i / 10);
        memcpy(packet + sizeof(failed), "\x93\x05\xa3why\xc0", 7);
        packet[sizeof(failed) + 5] = number;
        assert_int_equal(send(stage.workers[0].socket, packet, sizeof(packet), MSG_DONTWAIT),
                         sizeof(packet));
    }
    struct uring_event event = {.ref = stage.workers[0].on_socket, .result = POLLIN, .more = true};
    stage_event(event);
    for (int i = 0; i < 3; i++) {
        stage_pass();
        /* The kernel tells a new poll at once what is there. */
        stage_event((struct uring_event){
            .ref = stage.workers[0].on_socket, .result = POLLIN, .more = true});
        assert_int_equal(stage.workers[0].poll_count, i < 2 ? 2 + i : 3);
    }
    char byte;
    assert_int_equal(
        recv(stage.server->fleet.workers[0]->channel.socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT),
        -1);
    assert_string_equal(stage.server->runs.pipelines[0]->failure, "wh0");
    expect_killed("it said again why it failed");
}

static void what_was_said_before_the_end_is_read_to_the_last(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++)
        assert_int_equal(send(stage.workers[0].socket, "", 0, MSG_DONTWAIT), 0);
    stage_message(0, MESSAGE_FAILED, "\x93\x05\xa3why\xc0", 7);
    stage.event_count = 0; /* only the end is told of */
    stage_exit(0, CLD_EXITED, WORKER_EXIT_STARTUP);
    stage_settle();
    assert_string_equal(stage.server->runs.pipelines[0]->failure, "why");
    assert_int_equal(worker()->end, WORKER_END_CORRUPT);
    assert_true(stage.workers[0].is_reaped); /* after it was killed, or the stage had ended this */
}

static void a_worker_of_another_build_is_told_from_a_broken_one(void **state)
{
    (void)state;
    struct message message = {
        .magic = MESSAGE_MAGIC, .version = PROTOCOL_VERSION + 1, .kind = MESSAGE_READY};
    send_raw(&message, sizeof(message));
    expect_killed("not of one build");
}

static void say_progress(uint32_t permille, const char *text)
{
    struct message_progress head = {.permille = permille};
    char body[sizeof head + 256];
    size_t bytes = strlen(text);
    assert_true(bytes <= 256);
    memcpy(body, &head, sizeof head);
    memcpy(body + sizeof head, text, bytes);
    stage_message(0, MESSAGE_PROGRESS, body, sizeof head + bytes);
    stage_pass();
}

static void progress_is_known_before_and_after_hello(void **state)
{
    (void)state;
    say_progress(620, "loading shard 5 of 8");
    assert_int_equal(worker()->progress.permille, 620);
    assert_string_equal(worker()->progress.text, "loading shard 5 of 8");
    assert_int_equal(worker()->state, WORKER_STARTING);
    worker()->state = WORKER_LOADED;
    say_progress(MESSAGE_PROGRESS_UNKNOWN, "");
    assert_int_equal(worker()->progress.permille, MESSAGE_PROGRESS_UNKNOWN);
    assert_string_equal(worker()->progress.text, "");
    assert_int_equal(worker()->state, WORKER_LOADED);
}

static void what_of_progress_cannot_be_shown_becomes_question_marks(void **state)
{
    (void)state;
    say_progress(0, "a\xff\nb\xe2\x82\xac\x1b[2J\xe2\x82");
    assert_string_equal(worker()->progress.text, "a\?\?b\xe2\x82\xac\?[2J\?\?");
}

static void progress_of_one_that_serves_costs_the_worker_its_life(void **state)
{
    (void)state;
    stage_hello(0);
    stage_settle();
    say_progress(620, "");
    expect_killed("it said PROGRESS out of turn");
}

static void progress_cut_short_costs_the_worker_its_life(void **state)
{
    (void)state;
    stage_message(0, MESSAGE_PROGRESS, "\0\0\0", 3);
    stage_pass();
    expect_killed("it told of its start in a way that cannot be read");
}

static void progress_beyond_the_end_costs_the_worker_its_life(void **state)
{
    (void)state;
    say_progress(1001, "");
    expect_killed("it told of its start in a way that cannot be read");
}

static void progress_with_too_many_words_costs_the_worker_its_life(void **state)
{
    char text[MESSAGE_PROGRESS_TEXT_BYTES_MAX + 2];
    (void)state;
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    say_progress(1000, text + 1);
    assert_string_equal(worker()->progress.text, text + 1);
    say_progress(1000, text);
    expect_killed("it told of its start in a way that cannot be read");
}

static void who_says_how_far_its_start_is_has_the_time_again(void **state)
{
    (void)state;
    uint32_t timeout_ms = stage.config.pipelines[0].options.start_timeout_ms;
    for (uint32_t i = 0; i < 5; i++) {
        stage_later(timeout_ms - 1);
        say_progress(620, "loading shard 5 of 8");
    }
    stage_later(timeout_ms - 1);
    assert_int_equal(stage.workers[0].kill_count, 0);
    stage_later(1);
    expect_killed("it was not ready in time: no progress for 600 s, at 62 %, loading shard 5 of 8");
}

static void what_one_process_said_of_its_start_is_not_the_next_ones(void **state)
{
    (void)state;
    say_progress(990, "nearly");
    stage_exit(0, CLD_KILLED, SIGSEGV);
    stage_settle();
    stage_later(WORKER_BACKOFF_MS_MIN);
    assert_int_equal(worker()->state, WORKER_STARTING);
    assert_int_equal(worker()->progress.said_ms, 0);
    stage_later(stage.config.pipelines[0].options.start_timeout_ms);
    assert_string_equal(worker()->kill_reason, "it was not ready in time");
}

/* Which is as much noise as any other packet. */
static void a_flood_of_progress_pauses_the_worker(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < NOISE_MAX / NOISE_PACKET && !worker()->is_paused; i++)
        say_progress(i % 1000, "");
    assert_int_equal(worker()->state, WORKER_STARTING);
    say_progress(0, "");
    assert_true(worker()->is_paused);
}

#define MESSAGE_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        MESSAGE_TEST(ready_before_hello_costs_the_worker_its_life),
        MESSAGE_TEST(a_second_hello_costs_the_worker_its_life),
        MESSAGE_TEST(a_failure_of_one_that_serves_costs_the_worker_its_life),
        MESSAGE_TEST(a_hello_that_cannot_be_read_costs_the_worker_its_life),
        MESSAGE_TEST(a_failure_that_cannot_be_read_costs_the_worker_its_life),
        MESSAGE_TEST(a_message_of_an_unknown_kind_costs_the_worker_its_life),
        MESSAGE_TEST(a_message_cut_short_costs_the_worker_its_life),
        MESSAGE_TEST(an_empty_message_is_one_cut_short),
        MESSAGE_TEST(descriptors_cost_the_worker_its_life_and_are_not_taken),
        MESSAGE_TEST(more_messages_than_a_batch_are_read_to_the_last),
        MESSAGE_TEST(what_was_said_before_the_end_is_read_to_the_last),
        MESSAGE_TEST(a_worker_of_another_build_is_told_from_a_broken_one),
        MESSAGE_TEST(progress_is_known_before_and_after_hello),
        MESSAGE_TEST(what_of_progress_cannot_be_shown_becomes_question_marks),
        MESSAGE_TEST(progress_of_one_that_serves_costs_the_worker_its_life),
        MESSAGE_TEST(progress_cut_short_costs_the_worker_its_life),
        MESSAGE_TEST(progress_beyond_the_end_costs_the_worker_its_life),
        MESSAGE_TEST(progress_with_too_many_words_costs_the_worker_its_life),
        MESSAGE_TEST(who_says_how_far_its_start_is_has_the_time_again),
        MESSAGE_TEST(what_one_process_said_of_its_start_is_not_the_next_ones),
        MESSAGE_TEST(a_flood_of_progress_pauses_the_worker),
    };
    return cmocka_run_group_tests_name("messages", tests, descriptors_note, descriptors_compare);
}
