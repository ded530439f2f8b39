/* SPDX-License-Identifier: MIT */
/*
 * test_giving.c - files that runs give out, on the stage: what workers say and are told, what is
 * kept, and what is left of a run that ends before its line.
 */
#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/dispatcher/stage_run.h"

#include <cmocka.h>

#include "dispatcher/files/intake.h"
#include "tests/unit/shm/ring_memory.h"

#define DISK_MS 10000
#define RETRY_MS 5u
#define FILE_CHUNK "\x91\xd6\x01\x00\x00\x00\x00"

static char path[64];

static int open_with(char *files_path)
{
    stage_open(&(struct stage_options){.files_path = files_path, .concurrency = 2});
    return 0;
}

static int scene_open(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/millrace-giving-XXXXXX");
    assert_non_null(mkdtemp(path));
    return open_with(path);
}

static int scene_open_without(void **state)
{
    (void)state;
    return open_with(NULL);
}

static int remove_one(const char *name, const struct stat *status, int kind, struct FTW *at)
{
    (void)status, (void)kind, (void)at;
    return remove(name);
}

static int scene_close_all(void **state)
{
    int rc = scene_close(state);
    return rc < 0 ? rc : nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- the worker ----------------------------------------------------------------------------- */

static void tell(const struct stage_run *run, uint32_t number, uint64_t bytes)
{
    struct stage_worker *worker = &stage.workers[run->worker];
    const struct message_file file = {.number = number, .bytes = bytes};
    const struct message head = {.magic = MESSAGE_MAGIC,
                                 .version = PROTOCOL_VERSION,
                                 .kind = MESSAGE_FILE,
                                 .bytes = sizeof file + 5,
                                 .slot = run->next.slot,
                                 .generation = run->next.generation};
    char packet[sizeof head + sizeof file + 5];
    memcpy(packet, &head, sizeof head);
    memcpy(packet + sizeof head, &file, sizeof file);
    memcpy(packet + sizeof head + sizeof file, "a.bin", 5);
    assert_int_equal(send(worker->socket, packet, sizeof packet, 0), sizeof packet);
    stage_event((struct uring_event){.ref = worker->on_socket, .result = POLLIN, .more = true});
    stage_pass();
}

/* The FILE record that is next, and the text in it. */
static struct record heard(const struct stage_run *run, char text[256])
{
    struct ring_rx *requests = &stage.workers[run->worker].requests;
    struct record record;
    const void *payload;
    struct file_record head;
    assert_int_equal(ring_peek(requests, &record, &payload), 1);
    assert_int_equal(record.kind, RECORD_FILE);
    assert_int_equal(record.slot, run->next.slot);
    assert_int_equal(record.generation, run->next.generation);
    assert_true(record.bytes >= sizeof head && record.bytes < sizeof head + 256);
    memcpy(&head, payload, sizeof head);
    assert_int_equal(head.number, 0);
    memcpy(text, (const char *)payload + sizeof head, record.bytes - sizeof head);
    text[record.bytes - sizeof head] = '\0';
    ring_release(requests);
    return record;
}

static void expect_ended(const struct stage_run *run, const char *reason)
{
    char text[256];
    assert_int_equal(heard(run, text).flags, 0);
    if (!strstr(text, reason) || (*reason == '\0') != (*text == '\0'))
        fail_msg("it is told \"%s\"", text);
}

static void expect_nothing_said(const struct stage_run *run)
{
    struct record record;
    const void *payload;
    assert_int_equal(ring_peek(&stage.workers[run->worker].requests, &record, &payload), 0);
}

/* The end to write to. */
static int expect_pipe(const struct stage_run *run)
{
    struct message header;
    uint64_t number;
    struct iovec parts[] = {{&header, sizeof header}, {&number, sizeof number}};
    char text[256];
    int fd;
    assert_int_equal(heard(run, text).flags, RECORD_BLOB);
    assert_true(descriptors_receive(stage.workers[run->worker].socket,
                                    &(struct packet){parts, 2, &fd, 1}, MSG_DONTWAIT) > 0);
    assert_int_equal(header.kind, MESSAGE_PIPE);
    assert_int_equal(header.generation, run->next.generation);
    assert_int_equal(number, 0);
    assert_true(fd >= 0);
    return fd;
}

/* ---- the disk ------------------------------------------------------------------------------- */

static struct files *files(void)
{
    return &stage.server->files;
}

/* A thread has done what it had to do. */
static void disk_done(void)
{
    struct pollfd done = {.fd = files()->disk.done_fds[0], .events = POLLIN};
    assert_int_equal(poll(&done, 1, DISK_MS), 1);
    stage_event((struct uring_event){.ref = {.op = URING_DISK}, .result = POLLIN, .more = true});
    stage_pass();
}

static void disk_settle(void)
{
    while (files()->disk.job_count > 0)
        disk_done();
}

/* Something came through the pipe of the only file that is on its way. */
static void pipe_filled(void)
{
    stage_event((struct uring_event){
        .ref = {URING_INTAKE, 0, files()->intakes[0]->generation}, .result = POLLIN, .more = true});
    stage_pass();
    disk_settle();
}

/* The worker's run has one file of ten bytes, which is kept. */
static struct stage_run begin_with_file(const char *where)
{
    struct stage_run run = stage_run_begin(where, RUN_BODY, 1);
    tell(&run, 0, 10);
    int fd = expect_pipe(&run);
    assert_int_equal(write(fd, "01234", 5), 5);
    pipe_filled();
    expect_nothing_said(&run);
    assert_int_equal(write(fd, "56789", 5), 5);
    pipe_filled();
    close(fd);
    expect_ended(&run, "");
    assert_int_equal(files()->file_count, 1);
    return run;
}

static void expect_nothing_left(void)
{
    disk_settle();
    assert_int_equal(files()->file_count, 0);
    assert_int_equal(files()->intake_count, 0);
    assert_int_equal(files()->bytes + files()->reserved_bytes, 0);
    assert_int_equal(stage.server->input.file_count, 0);
    assert_null(stage.server->giving.unsaid);
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void a_file_is_kept_and_then_its_line_shows_it(void **state)
{
    struct stage_run run = begin_with_file(STREAM_PATH);
    char expected[512];
    (void)state;
    stage_run_put(&run, RECORD_CHUNK, 0, FILE_CHUNK, sizeof FILE_CHUNK - 1);
    const char *line = answer_to(run.client)->lines[0];
    snprintf(expected, sizeof expected,
             "\"outputs\":[{\"type\":\"file\",\"value\":null,\"file\":{\"name\":\"a.bin\","
             "\"path\":\"%s\",\"size\":10,\"url\":\"",
             files()->newest->about.id);
    if (!strstr(line, expected))
        fail_msg("no %s in %s", expected, line);
    stage_run_end(&run);
    stage_settle();
    disk_settle();
    assert_int_equal(files()->file_count, 1);
    assert_int_equal(files()->newest->user_count, 0);
}

static void a_file_that_no_line_has_shown_goes_with_its_run(void **state)
{
    struct stage_run run = begin_with_file(RESULT_PATH);
    (void)state;
    stage_run_end(&run);
    stage_settle();
    expect_nothing_left();
}

static void a_file_that_was_kept_goes_with_its_worker(void **state)
{
    struct stage_run run = begin_with_file(STREAM_PATH);
    (void)state;
    stage_exit(run.worker, CLD_KILLED, SIGKILL);
    stage_settle();
    expect_nothing_left();
}

static void a_file_that_is_on_its_way_is_dropped_with_its_client(void **state)
{
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    (void)state;
    tell(&run, 0, 10);
    int fd = expect_pipe(&run);
    assert_int_equal(write(fd, "01234", 5), 5);
    pipe_filled();
    stage_hang_up(run.client);
    stage_settle();
    expect_nothing_left();
    struct pollfd end = {.fd = fd, .events = POLLOUT};
    assert_int_equal(poll(&end, 1, 0), 1);
    assert_true(end.revents & POLLERR); /* nobody reads */
    close(fd);
    tell(&run, 1, 10); /* it had not heard of that */
    expect_nothing_said(&run);
    assert_int_equal(stage.workers[0].kill_count, 0);
}

static void a_pipe_that_is_closed_too_early_is_a_file_that_became_shorter(void **state)
{
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    (void)state;
    tell(&run, 0, 10);
    int fd = expect_pipe(&run);
    assert_int_equal(write(fd, "01234", 5), 5);
    close(fd);
    pipe_filled();
    expect_ended(&run, "it became shorter");
    expect_nothing_left();
}

static void a_file_without_a_byte_needs_no_pipe(void **state)
{
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    (void)state;
    tell(&run, 0, 0);
    disk_settle();
    expect_ended(&run, "");
    assert_int_equal(files()->newest->about.bytes, 0);
}

static void what_has_no_room_in_the_ring_is_said_when_it_has(void **state)
{
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    struct ring_tx *ring = &stage.server->fleet.workers[0]->channel.requests;
    struct record filler = {.kind = RECORD_STOP, .bytes = 48};
    struct record taken;
    uint32_t count = 0;
    void *room;
    (void)state;
    for (; ring_claim(ring, filler.bytes, &room) == 0; count++) {
        memset(room, 0, filler.bytes);
        ring_commit(ring, &filler);
    }
    tell(&run, 0, 10);
    assert_non_null(stage.server->giving.unsaid);
    stage_later(RETRY_MS);
    assert_non_null(stage.server->giving.unsaid);
    for (; count > 0; count--)
        assert_true(stage_request(0, &taken));
    stage_later(RETRY_MS);
    assert_null(stage.server->giving.unsaid);
    close(expect_pipe(&run));
    stage_hang_up(run.client);
    stage_settle();
    expect_nothing_left();
}

static void files_wait_for_descriptors_but_one_of_them_never_does(void **state)
{
    struct stage_run runs[2];
    (void)state;
    stage.server->input.file_count_max = 0; /* uploads have them all */
    for (uint32_t i = 0; i < 2; i++)
        runs[i] = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    for (uint32_t i = 0; i < 2; i++)
        tell(&runs[i], 0, 10);
    assert_int_equal(files()->intake_count, 1);
    for (uint32_t i = 0; i < 2; i++) {
        int fd = expect_pipe(&runs[i]);
        expect_nothing_said(&runs[i]); /* nor to the other one */
        assert_int_equal(write(fd, "0123456789", 10), 10);
        close(fd);
        pipe_filled();
        expect_ended(&runs[i], "");
    }
    assert_int_equal(files()->file_count, 2);
}

static void expect_killed(const char *why)
{
    const struct worker *worker = stage.server->fleet.workers[0];
    assert_int_equal(worker->state, WORKER_DYING);
    if (!strstr(worker->kill_reason, why))
        fail_msg("killed, but for \"%s\"", worker->kill_reason);
}

static void a_second_file_before_the_first_one_ended_costs_the_worker_its_life(void **state)
{
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    (void)state;
    tell(&run, 0, 10);
    tell(&run, 1, 10);
    expect_killed("it told of a file out of turn");
}

static void a_line_that_names_a_file_which_is_not_kept_costs_the_worker_its_life(void **state)
{
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    (void)state;
    tell(&run, 0, 10);
    stage_run_put(&run, RECORD_CHUNK, 0, FILE_CHUNK, sizeof FILE_CHUNK - 1);
    stage_settle();
    expect_killed("it sent a chunk that is not msgpack");
}

static void a_server_without_files_says_so_once_and_the_worker_has_to_end_the_run(void **state)
{
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    (void)state;
    tell(&run, 0, 10);
    expect_ended(&run, "the server keeps no files: serve it with --files DIR");
    stage_settle();
    assert_int_equal(stage.workers[0].kill_count, 0);
    tell(&run, 1, 10);
    stage_settle();
    expect_killed("it told of a file after one was refused");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_is_kept_and_then_its_line_shows_it),
        TEST(a_file_that_no_line_has_shown_goes_with_its_run),
        TEST(a_file_that_was_kept_goes_with_its_worker),
        TEST(a_file_that_is_on_its_way_is_dropped_with_its_client),
        TEST(a_pipe_that_is_closed_too_early_is_a_file_that_became_shorter),
        TEST(a_file_without_a_byte_needs_no_pipe),
        TEST(what_has_no_room_in_the_ring_is_said_when_it_has),
        TEST(files_wait_for_descriptors_but_one_of_them_never_does),
        TEST(a_second_file_before_the_first_one_ended_costs_the_worker_its_life),
        TEST(a_line_that_names_a_file_which_is_not_kept_costs_the_worker_its_life),
        cmocka_unit_test_setup_teardown(
            a_server_without_files_says_so_once_and_the_worker_has_to_end_the_run,
            scene_open_without, scene_close),
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
