/* SPDX-License-Identifier: MIT */
/*
 * test_supervisor.c - how workers are started, heard, replaced and ended, on the stage.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/workers/output.h"
#include "tests/unit/dispatcher/stage_run.h"

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"
#include "tests/unit/shm/slot_view.h"

static int scene_open(void **state)
{
    (void)state;
    stage_open(&(struct stage_options){.queue_count_max = 3});
    return 0;
}

static int scene_open_starting(void **state)
{
    (void)state;
    stage_open(&(struct stage_options){.no_hello = true});
    return 0;
}

static struct worker *worker(void)
{
    return stage.server->fleet.workers[0];
}

static void die(void)
{
    stage_exit(0, CLD_KILLED, SIGSEGV);
    stage_settle();
}

/* The worker starts `ms` from now, and not a millisecond earlier. */
static void expect_start_after(uint64_t ms)
{
    uint32_t before = stage.spawn_count;
    stage_later(ms - 1);
    assert_int_equal(stage.spawn_count, before);
    stage_later(1);
    assert_int_equal(stage.spawn_count, before + 1);
}

static void expect_killed(const char *why)
{
    assert_int_equal(worker()->state, WORKER_DYING);
    assert_int_equal(stage.workers[0].kill_count, 1);
    if (!strstr(worker()->kill_reason, why))
        fail_msg("killed, but for \"%s\"", worker()->kill_reason);
}

/* ---- starting ---- */

static void a_worker_that_dies_comes_back_after_twice_the_time_each_time(void **state)
{
    (void)state;
    uint64_t wait_ms = WORKER_BACKOFF_MS_MIN;
    for (int i = 0; i < 14; i++) {
        die();
        assert_int_equal(worker()->state, WORKER_EMPTY);
        expect_start_after(wait_ms);
        wait_ms = 2 * wait_ms < WORKER_BACKOFF_MS_MAX ? 2 * wait_ms : WORKER_BACKOFF_MS_MAX;
    }
    assert_int_equal(wait_ms, WORKER_BACKOFF_MS_MAX);
}

static void a_completed_run_takes_the_pause_away(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        die();
        stage_later(WORKER_BACKOFF_MS_MAX);
    }
    stage_hello(0);
    stage_settle();
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_run_end(&run);
    stage_settle();
    die();
    expect_start_after(1);
}

static void a_process_that_cannot_be_started_is_tried_again(void **state)
{
    (void)state;
    stage.spawn_error = EAGAIN;
    die();
    stage_later(WORKER_BACKOFF_MS_MIN);
    assert_int_equal(worker()->state, WORKER_EMPTY);
    assert_int_equal(worker()->channel.segment.fd, -1);
    assert_int_equal(worker()->channel.socket, -1);
    stage.spawn_error = 0;
    expect_start_after(2 * WORKER_BACKOFF_MS_MIN);
    stage_hello(0);
    stage_settle();
    assert_int_equal(worker()->state, WORKER_READY);
}

static void a_new_process_finds_a_new_segment(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_run_number(&run);
    die();
    stage_later(WORKER_BACKOFF_MS_MIN);
    assert_true(ring_is_empty(&stage.workers[0].requests));
    assert_int_equal(slot_load(&stage.workers[0].segment.slots[0]).state, SLOT_FREE);
    stage_hello(0);
    stage_settle();
    struct stage_run again = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_run_number(&again);
    stage_run_end(&again);
    stage_settle();
    client_answer_of(&answer, again.client);
    assert_true(answer.complete);
    assert_int_equal(answer.line_count, 1);
}

static void who_is_not_ready_in_time_is_killed(void **state)
{
    (void)state;
    stage_later(stage.config.pipelines[0].options.start_timeout_ms - 1);
    assert_int_equal(stage.workers[0].kill_count, 0);
    stage_later(1);
    expect_killed("it was not ready in time");
}

static void who_is_loaded_but_never_ready_is_killed(void **state)
{
    (void)state;
    stage_hello(0);
    struct stage_worker *process = &stage.workers[0];
    char packet[512];
    assert_true(recv(worker()->channel.socket, packet, sizeof(packet), MSG_DONTWAIT | MSG_PEEK) >
                0);
    /* HELLO alone: what follows is taken out of the socket. */
    ssize_t hello = recv(worker()->channel.socket, packet, sizeof(packet), MSG_DONTWAIT);
    char ready[64];
    assert_true(recv(worker()->channel.socket, ready, sizeof(ready), MSG_DONTWAIT) > 0);
    assert_int_equal(send(process->socket, packet, (size_t)hello, MSG_DONTWAIT), hello);
    stage_settle();
    assert_int_equal(worker()->state, WORKER_LOADED);
    stage_later(stage.config.pipelines[0].options.start_timeout_ms);
    expect_killed("it was not ready in time");
}

/* ---- hearing ---- */

static void a_worker_whose_source_changed_is_not_served(void **state)
{
    (void)state;
    die();
    stage_later(WORKER_BACKOFF_MS_MIN);
    stage.plain_output_count = 1; /* one output more than before */
    stage_hello(0);
    stage_pass();
    expect_killed("the source changed");
}

static void who_says_why_it_cannot_start_is_left_to_exit_by_itself(void **state)
{
    (void)state;
    stage_message(0, MESSAGE_FAILED, "\x93\x05\xa3why\xc0", 7);
    stage_pass();
    assert_int_equal(worker()->state, WORKER_STARTING);
    assert_int_equal(stage.workers[0].kill_count, 0);
    assert_string_equal(stage.server->runs.pipelines[0]->failure, "why");
    stage_exit(0, CLD_EXITED, WORKER_EXIT_STARTUP);
    stage_settle();
    assert_string_equal(stage.server->runs.pipelines[0]->failure, "why");
    expect_start_after(WORKER_BACKOFF_MS_MIN);
}

static void what_belongs_to_the_last_process_does_not_touch_the_next(void **state)
{
    (void)state;
    struct uring_ref pidfd = stage.workers[0].on_pidfd, bell = stage.workers[0].on_bell,
                     socket = stage.workers[0].on_socket;
    die();
    stage_later(WORKER_BACKOFF_MS_MIN);
    stage_hello(0);
    stage_settle();
    stage_event((struct uring_event){.ref = pidfd, .result = POLLIN});
    stage_event((struct uring_event){.ref = bell, .result = POLLIN});
    stage_event((struct uring_event){.ref = socket, .result = POLLIN | POLLHUP});
    stage_settle();
    assert_int_equal(worker()->state, WORKER_READY);
    assert_int_equal(stage.workers[0].kill_count, 0);
}

/* ---- ends ---- */

static void clients_are_told_how_the_process_ended(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_exit(0, CLD_EXITED, 3);
    stage_settle();
    client_answer_of(&answer, run.client);
    assert_non_null(strstr(answer.lines[0], "the worker process exited with code 3"));
}

static void a_worker_that_served_long_is_replaced_at_once(void **state)
{
    (void)state;
    struct record record;
    stage.config.pipelines[0].options.recycle_run_count = 2;
    for (int i = 0; i < 2; i++) {
        struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
        stage_run_end(&run);
        stage_settle();
    }
    assert_int_equal(worker()->state, WORKER_RETIRING);
    assert_true(stage_request(0, &record));
    assert_int_equal(record.kind, RECORD_STOP);
    uint32_t client = stage_connect(), before = stage.spawn_count;
    stage_say(client, STREAM_PATH, RUN_BODY, 1); /* waits for the next process */
    stage_exit(0, CLD_EXITED, 0);
    stage_settle();
    stage_later(0);
    assert_int_equal(stage.spawn_count, before + 1);
    stage_hello(0);
    stage_settle();
    struct stage_run run = {.client = client};
    assert_true(stage_run_take(&run));
}

static void a_worker_that_retires_and_does_not_go_is_killed(void **state)
{
    (void)state;
    stage.config.pipelines[0].options.recycle_run_count = 1;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_run_end(&run);
    stage_settle();
    assert_int_equal(worker()->state, WORKER_RETIRING);
    stage_later(stage.config.pipelines[0].options.cancel_grace_ms - 1);
    assert_int_equal(stage.workers[0].kill_count, 0);
    stage_later(1);
    expect_killed("it did not stop in time");
}

static void retire(void)
{
    stage.config.pipelines[0].options.recycle_run_count = 1;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_run_end(&run);
    stage_settle();
    assert_int_equal(worker()->state, WORKER_RETIRING);
}

/* The pipe of the worker's process before this one gives so many bytes. */
static void last_words(const char *text)
{
    struct output *output = &worker()->outputs[(worker()->generation + 1) & 1];
    struct uring_ref ref = stage.workers[0].on_pipe[(output->generation & 1) * 2];
    assert_int_equal(ref.op, URING_OUTPUT_PIPE);
    memcpy(output->pipes[0].bytes, text, strlen(text));
    stage_event((struct uring_event){.ref = ref, .result = (int32_t)strlen(text)});
    stage_pass();
}

static void what_a_worker_printed_last_is_read_beside_its_successor(void **state)
{
    (void)state;
    retire();
    stage.pipes_are_held = true;
    stage_exit(0, CLD_EXITED, 0);
    stage_settle();
    stage_later(0);
    assert_int_equal(worker()->state, WORKER_STARTING);
    stage_hello(0);
    stage_settle();
    uint32_t before = worker()->log_count;
    last_words("more\n");
    last_words("and more\nwithout an end");
    assert_int_equal(worker()->log_count, before + 2);
    /* What holds them does so for good: that is waited for so long. */
    stage_later(199);
    assert_true(output_is_read(worker()));
    assert_int_equal(worker()->log_count, before + 2);
    stage_later(1);
    stage_pass();
    assert_int_equal(worker()->log_count, before + 3);
    assert_int_equal(worker()->outputs[(worker()->generation + 1) & 1].pipes[0].fd, -1);
    assert_int_equal(worker()->state, WORKER_READY);
}

static void the_pipes_of_the_last_but_one_make_room_for_the_next(void **state)
{
    (void)state;
    retire();
    stage.pipes_are_held = true;
    stage_exit(0, CLD_EXITED, 0);
    stage_settle();
    stage_later(0);
    uint32_t generation = worker()->generation;
    die();
    stage_later(WORKER_BACKOFF_MS_MIN); /* the first process printed 50 ms ago, and is given up */
    stage_later(10);
    assert_int_equal(worker()->generation, generation + 1);
    assert_int_equal(worker()->state, WORKER_STARTING);
}

static void a_stopping_server_hears_the_last_words(void **state)
{
    (void)state;
    stage.pipes_are_held = true;
    server_stop(stage.server);
    stage_settle();
    stage_exit(0, CLD_EXITED, 0);
    stage_settle();
    assert_int_equal(stage.server->state, SERVER_STOPPING);
    stage_later(200);
    stage_settle();
    assert_int_equal(stage.server->state, SERVER_STOPPED);
}

static void a_worker_that_leaves_its_runs_behind_did_not_retire(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    supervisor_event(&stage.server->fleet, worker(), WORKER_EV_RETIRE, "a test");
    stage_exit(0, CLD_EXITED, 0);
    stage_settle();
    client_answer_of(&answer, run.client);
    assert_non_null(strstr(answer.lines[0], "the worker process exited with code 0"));
    assert_int_equal(worker()->end, WORKER_END_EXITED);
    assert_int_equal(worker()->restart_count, 1);
    expect_start_after(WORKER_BACKOFF_MS_MIN);
}

static void a_worker_that_crashes_while_it_retires_has_died_like_any_other(void **state)
{
    (void)state;
    retire();
    die();
    assert_int_equal(worker()->restart_count, 1);
    expect_start_after(1);
    stage_hello(0);
    stage_settle();
    retire();
    stage_exit(0, CLD_EXITED, 1); /* asked to go, it goes with 0 */
    stage_settle();
    assert_int_equal(worker()->restart_count, 2);
    expect_start_after(WORKER_BACKOFF_MS_MIN);
}

/* Ends the process, and starts another one that is ready. */
static void follow(int code, int status)
{
    stage_exit(0, code, status);
    stage_settle();
    stage_later(WORKER_BACKOFF_MS_MAX);
    stage_hello(0);
    stage_settle();
}

static void every_end_is_counted_under_its_cause(void **state)
{
    (void)state;
    const uint64_t *counts = stage.server->runs.pipelines[0]->pool->restarts;
    uint64_t expected[WORKER_END_COUNT] = {0};
    follow(CLD_KILLED, SIGSEGV);
    expected[WORKER_END_CRASHED]++;
    follow(CLD_EXITED, 0);
    follow(CLD_EXITED, 3);
    expected[WORKER_END_EXITED] += 2;
    retire();
    follow(CLD_EXITED, 0);
    expected[WORKER_END_RECYCLED_RUNS]++;
    retire();
    stage_later(stage.config.pipelines[0].options.cancel_grace_ms);
    follow(CLD_KILLED, SIGKILL);
    expected[WORKER_END_STOP_TIMEOUT]++;
    stage_message(0, MESSAGE_KIND_COUNT, NULL, 0);
    stage_pass();
    follow(CLD_KILLED, SIGKILL);
    expected[WORKER_END_CORRUPT]++;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_hang_up(run.client);
    stage_settle();
    stage_later(stage.config.pipelines[0].options.cancel_grace_ms);
    expect_killed("did not end within the grace time");
    follow(CLD_KILLED, SIGKILL);
    expected[WORKER_END_HUNG]++;
    stage_exit(0, CLD_KILLED, SIGABRT);
    stage_settle();
    stage_later(WORKER_BACKOFF_MS_MAX); /* this one is never ready */
    expected[WORKER_END_CRASHED]++;
    stage_later(stage.config.pipelines[0].options.start_timeout_ms);
    follow(CLD_KILLED, SIGKILL);
    expected[WORKER_END_START_TIMEOUT]++;
    stage_exit(0, CLD_KILLED, SIGABRT);
    stage_settle();
    stage_later(WORKER_BACKOFF_MS_MAX);
    expected[WORKER_END_CRASHED]++;
    stage_message(0, MESSAGE_FAILED, "\x93\x05\xa3why\xc0", 7);
    stage_pass();
    stage.spawn_error = EAGAIN;
    stage_exit(0, CLD_EXITED, WORKER_EXIT_STARTUP);
    stage_settle();
    expected[WORKER_END_FAILED]++;
    stage_later(WORKER_BACKOFF_MS_MAX);
    expected[WORKER_END_NOT_STARTED]++;
    for (unsigned i = 0; i < WORKER_END_COUNT; i++)
        if (counts[i] != expected[i])
            fail_msg("%s: %u, not %u", worker_end_name(i), (unsigned)counts[i],
                     (unsigned)expected[i]);
}

/* What the kernel counts in the folder of the worker's control group. */
static void kill_count_write(const struct cgroup *group, unsigned count)
{
    FILE *file = fopen(group->kills.path, "w");
    assert_non_null(file);
    fprintf(file, "low 0\noom_kill %u\n", count);
    fclose(file);
}

static void expect_failure(const char *why)
{
    if (!strstr(stage.server->runs.pipelines[0]->failure, why))
        fail_msg("failed, but for \"%s\"", stage.server->runs.pipelines[0]->failure);
}

static void a_worker_over_its_limit_of_memory_is_told_from_others(void **state)
{
    (void)state;
    struct cgroup *group = calloc(1, sizeof(*group));
    assert_non_null(group);
    group->bytes_max = 5u << 20;
    snprintf(group->kills.path, sizeof(group->kills.path), "/tmp/test_supervisor.%d", getpid());
    worker()->group = group; /* the loop's now */
    const uint64_t *counts = stage.server->runs.pipelines[0]->pool->restarts;
    kill_count_write(group, 1);
    stage_exit(0, CLD_KILLED, SIGKILL);
    stage_settle();
    expect_failure("(SIGKILL): it needed more than its limit of 5 MiB of memory");
    assert_int_equal(counts[WORKER_END_OOM], 1);
    /* What the kernel has killed is not to blame for what we did about it. */
    stage_later(WORKER_BACKOFF_MS_MAX);
    kill_count_write(group, 3);
    stage_message(0, MESSAGE_KIND_COUNT, NULL, 0);
    stage_pass();
    stage_exit(0, CLD_KILLED, SIGKILL);
    stage_settle();
    assert_int_equal(counts[WORKER_END_OOM], 2);
    /* A process it had started was over the limit, not the worker; nor is the next one. */
    stage_later(WORKER_BACKOFF_MS_MAX);
    kill_count_write(group, 4);
    stage_exit(0, CLD_EXITED, 3);
    stage_settle();
    stage_later(WORKER_BACKOFF_MS_MAX);
    stage_exit(0, CLD_KILLED, SIGKILL);
    stage_settle();
    assert_int_equal(counts[WORKER_END_OOM], 2);
    assert_int_equal(counts[WORKER_END_CRASHED], 1);
    unlink(group->kills.path);
}

static void every_end_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WORKER_END_COUNT; i++)
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(worker_end_name(i), worker_end_name(k));
    assert_string_equal(worker_end_name(WORKER_END_COUNT), "?");
}

static void a_stopping_server_lets_runs_finish_and_then_asks_the_worker_to_go(void **state)
{
    (void)state;
    struct record record;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    server_stop(stage.server);
    stage_settle();
    assert_int_equal(stage.server->state, SERVER_DRAINING);
    assert_false(stage_request(0, &record));
    stage_run_number(&run);
    stage_run_end(&run);
    stage_settle();
    client_answer_of(&answer, run.client);
    assert_true(answer.complete);
    stage_hang_up(run.client);
    stage_settle();
    assert_int_equal(stage.server->state, SERVER_STOPPING);
    assert_true(stage_request(0, &record));
    assert_int_equal(record.kind, RECORD_STOP);
    stage_exit(0, CLD_EXITED, 0);
    stage_settle();
    assert_int_equal(stage.server->state, SERVER_STOPPED);
    assert_int_equal(stage.server->exit_code, 0);
}

static void a_run_that_is_left_when_the_time_to_stop_is_over_is_told_so(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_run_number(&run);
    server_stop(stage.server);
    stage_settle();
    stage_later(stage.config.stop_timeout_ms);
    stage_settle();
    client_answer_of(&answer, run.client);
    assert_true(answer.complete);
    assert_non_null(strstr(answer.lines[answer.line_count - 1], "the server is stopping"));
    assert_int_equal(slot_cancel_reason(stage_run_slot(&run), run.next.generation), CANCEL_DRAIN);
}

static void a_worker_that_does_not_stop_is_killed(void **state)
{
    (void)state;
    server_stop(stage.server);
    stage_settle();
    assert_int_equal(worker()->state, WORKER_STOPPING);
    stage_later(stage.config.pipelines[0].options.cancel_grace_ms);
    expect_killed("it did not stop in time");
    stage_exit(0, CLD_KILLED, SIGKILL);
    stage_settle();
    assert_int_equal(stage.server->state, SERVER_STOPPED);
}

static void a_second_signal_kills_and_leaves(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    (void)run;
    server_stop(stage.server);
    server_stop(stage.server);
    assert_int_equal(stage.workers[0].kill_count, 1);
    assert_int_equal(stage.server->state, SERVER_STOPPED);
    assert_int_not_equal(stage.server->exit_code, 0);
}

#define READY_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)
#define STARTING_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open_starting, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        READY_TEST(a_worker_that_dies_comes_back_after_twice_the_time_each_time),
        READY_TEST(a_completed_run_takes_the_pause_away),
        READY_TEST(a_process_that_cannot_be_started_is_tried_again),
        READY_TEST(a_new_process_finds_a_new_segment),
        STARTING_TEST(who_is_not_ready_in_time_is_killed),
        STARTING_TEST(who_is_loaded_but_never_ready_is_killed),
        READY_TEST(a_worker_whose_source_changed_is_not_served),
        STARTING_TEST(who_says_why_it_cannot_start_is_left_to_exit_by_itself),
        READY_TEST(what_belongs_to_the_last_process_does_not_touch_the_next),
        READY_TEST(clients_are_told_how_the_process_ended),
        READY_TEST(a_worker_that_served_long_is_replaced_at_once),
        READY_TEST(a_worker_that_retires_and_does_not_go_is_killed),
        READY_TEST(what_a_worker_printed_last_is_read_beside_its_successor),
        READY_TEST(the_pipes_of_the_last_but_one_make_room_for_the_next),
        READY_TEST(a_stopping_server_hears_the_last_words),
        READY_TEST(a_worker_that_leaves_its_runs_behind_did_not_retire),
        READY_TEST(a_worker_that_crashes_while_it_retires_has_died_like_any_other),
        READY_TEST(every_end_is_counted_under_its_cause),
        READY_TEST(a_worker_over_its_limit_of_memory_is_told_from_others),
        cmocka_unit_test(every_end_has_a_name_of_its_own),
        READY_TEST(a_stopping_server_lets_runs_finish_and_then_asks_the_worker_to_go),
        READY_TEST(a_run_that_is_left_when_the_time_to_stop_is_over_is_told_so),
        READY_TEST(a_worker_that_does_not_stop_is_killed),
        READY_TEST(a_second_signal_kills_and_leaves),
    };
    return cmocka_run_group_tests_name("supervisor", tests, descriptors_note, descriptors_compare);
}
