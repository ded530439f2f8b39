/* SPDX-License-Identifier: MIT */
/*
 * test_overload.c - what is refused when requests hold as much memory, or wait in as many places,
 * as they may; and that nobody else notices.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/dispatcher/stage_run.h"

#include <cmocka.h>

#include "dispatcher/runs/pipeline.h"
#include "tests/unit/shm/ring_memory.h"

#define PIECE_BYTES 4000u

static int scene_open(void **state)
{
    (void)state;
    stage_open(&(struct stage_options){.concurrency = 2, .queue_count_max = 8});
    return 0;
}

static struct pipeline *pipeline(void)
{
    return stage.server->runs.pipelines[0];
}

static uint64_t refused(enum refusal refusal)
{
    return pipeline()->tally->refusals[refusal];
}

static uint64_t request_refused(enum request_refusal refusal)
{
    return stage.server->front.counts.refusals[refusal];
}

static uint32_t ask(void)
{
    uint32_t client = stage_connect();
    stage_say(client, STREAM_PATH, RUN_BODY, 1);
    return client;
}

/* The head of a request whose body of `count` bytes is to come, and a part of that. */
static uint32_t upload_begin(size_t count, size_t sent)
{
    char text[PIECE_BYTES];
    uint32_t client = stage_connect();
    int head = snprintf(text, sizeof(text),
                        "POST /v4/runs HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", count);
    assert_true(head > 0);
    stage_say_bytes(client, text, (size_t)head);
    memset(text, ' ', sizeof(text));
    for (size_t part; sent > 0 && !stage.server->front.conns[client].recv_paused; sent -= part) {
        part = sent < sizeof(text) ? sent : sizeof(text);
        stage_say_bytes(client, text, part);
    }
    return client;
}

static void expect_overload(uint32_t client)
{
    answer_to(client);
    assert_true(answer.complete);
    assert_int_equal(answer.status, 503);
    assert_non_null(strstr(answer.head_text, "\r\nRetry-After: 1\r\n"));
    assert_non_null(strstr(answer.head_text, "\r\nConnection: close\r\n"));
    assert_non_null(strstr(answer.lines[0], "No memory for this request now."));
}

/* ---- memory ---- */

static void who_needs_more_memory_than_is_left_is_refused_and_nobody_else(void **state)
{
    (void)state;
    stage.server->input.bytes_max = 40000;
    uint32_t first = upload_begin(30001, 30000);
    assert_true(stage.server->input.bytes >= 30000);
    uint32_t second = upload_begin(30001, 20000);
    expect_overload(second);
    assert_int_equal(request_refused(REQUEST_REFUSAL_INPUT_MEMORY), 1);
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1); /* came whole, needs none */
    stage_run_end(&run);
    assert_int_equal(answer_to(run.client)->status, 200);
    assert_int_equal(stage.clients[first].count, 0);
    stage_say_bytes(first, "]", 1);
    assert_int_equal(answer_to(first)->status, 422); /* it was read to its end */
    assert_int_equal(stage.server->input.bytes, 0);
}

static void room_grows_only_as_far_as_there_is_some(void **state)
{
    (void)state;
    stage.server->input.bytes_max = 20000;
    upload_begin(20001, 20000); /* doubled, it would need 32 KiB */
    assert_int_equal(request_refused(REQUEST_REFUSAL_INPUT_MEMORY), 0);
    assert_int_equal(stage.server->input.bytes, 20000);
}

static void a_part_of_a_head_that_cannot_be_kept_is_refused(void **state)
{
    (void)state;
    char head[3000] = "GET /livez HTTP/1.1\r\nHost: a\r\nX-Long: ";
    size_t count = strlen(head);
    memset(head + count, 'x', sizeof(head) - count);
    stage.server->input.bytes_max = 5000;
    upload_begin(4097, 4096);
    uint32_t client = stage_connect();
    stage_say_bytes(client, head, sizeof(head));
    expect_overload(client);
    client = stage_connect();
    stage_say_bytes(client, head, 100);
    assert_int_equal(stage.server->input.bytes, 4096 + 100);
    stage_say_bytes(client, head + 100, sizeof(head) - 100);
    expect_overload(client);
    assert_int_equal(stage.server->input.bytes, 4096);
}

/* The run that is being answered goes on; the request behind it is lost with the connection. */
static void what_is_sent_ahead_is_lost_before_what_is_being_answered(void **state)
{
    (void)state;
    char ahead[PIECE_BYTES];
    memset(ahead, 'x', sizeof(ahead));
    memcpy(ahead, "GET /", 5);
    stage.server->input.bytes_max = 5000;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_run_number(&run);
    stage_settle();
    stage_say_bytes(run.client, ahead, sizeof(ahead));
    stage_say_bytes(run.client, ahead, sizeof(ahead));
    assert_int_equal(request_refused(REQUEST_REFUSAL_INPUT_MEMORY), 1);
    assert_int_equal(stage.server->input.bytes, 0);
    assert_true(stage.server->front.conns[run.client].recv_paused);
    stage_run_number(&run);
    stage_run_end(&run);
    answer_to(run.client);
    assert_true(answer.complete);
    assert_int_equal(answer.line_count, 2);
    assert_int_equal(stage.server->front.conns[run.client].state, CONN_LINGERING);
}

static void memory_comes_back_when_a_client_leaves(void **state)
{
    (void)state;
    uint32_t client = upload_begin(50000, 30000);
    assert_true(stage.server->input.bytes >= 30000);
    stage_hang_up(client);
    stage_settle();
    assert_true(stage_is_closed(client));
    assert_int_equal(stage.server->input.bytes, 0);
}

static void runs_that_wait_hold_memory_and_those_with_a_slot_do_not(void **state)
{
    (void)state;
    struct stage_run runs[2];
    for (int i = 0; i < 2; i++)
        runs[i] = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    assert_int_equal(stage.server->input.bytes, 0);
    ask();
    uint64_t each = stage.server->input.bytes;
    assert_true(each > RUN_ID_BYTES);
    stage.server->input.bytes_max = 3 * each - 1;
    uint32_t second = ask();
    assert_int_equal(stage.server->input.bytes, 2 * each);
    uint32_t third = ask();
    assert_int_equal(answer_to(third)->status, 503);
    assert_non_null(strstr(answer.head_text, "\r\nRetry-After: 1\r\n"));
    assert_non_null(strstr(answer.lines[0], "\"state\":\"no_resources_available\""));
    assert_non_null(strstr(answer.lines[0], "no memory left for requests that wait"));
    assert_int_equal(refused(REFUSAL_INPUT_MEMORY), 1);
    assert_int_equal(pipeline()->tally->accepted_count, 4);
    stage_hang_up(second);
    stage_settle();
    assert_int_equal(stage.server->input.bytes, each);
    for (int i = 0; i < 2; i++)
        stage_run_end(&runs[i]);
    stage_settle();
    assert_int_equal(stage.server->input.bytes, 0);
}

static void who_gets_a_slot_at_once_needs_no_memory_to_wait(void **state)
{
    (void)state;
    stage.server->input.bytes_max = 4096;
    upload_begin(4097, 4096);
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_run_end(&run);
    assert_int_equal(answer_to(run.client)->status, 200);
}

/* What a worker has not read fills its socket, but for one small packet. */
static void fill_socket(const struct worker *worker)
{
    char packet[64] = "";
    while (send(worker->channel.socket, packet, sizeof(packet), MSG_DONTWAIT) > 0)
        ;
    assert_int_equal(recv(stage.workers[0].socket, packet, sizeof(packet), 0), sizeof(packet));
}

static bool find_message(uint16_t kind, struct message *found)
{
    struct message header = {.kind = 0};
    while (recv(stage.workers[0].socket, &header, sizeof(header), MSG_DONTWAIT) > 0)
        if (header.kind == kind) {
            *found = header;
            return true;
        }
    return false;
}

static void what_was_sent_for_a_run_that_was_put_off_is_never_taken_for_another_ones(void **state)
{
    static const uint8_t files[] = {0x92, 0xa1, 'f', 0x91, 0xa1, 'n'};
    struct worker *worker = stage.server->fleet.workers[0];
    struct message left;
    uint32_t slot;
    (void)state;
    fill_socket(worker);
    int fd = memfd_create("request", MFD_CLOEXEC);
    const struct worker_offer offer = {
        .payload_fd = fd, .payload_bytes = 1, .files = files, .files_bytes = sizeof(files)};
    assert_int_equal(worker_offer(worker, &offer, &slot), -EAGAIN);
    close(fd);
    assert_true(find_message(MESSAGE_BLOB, &left)); /* there was room for this, not for FILES */
    assert_false(find_message(MESSAGE_FILES, &left));
    worker->is_full = false;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    assert_int_equal(run.next.slot, left.slot);
    assert_int_not_equal(run.next.generation, left.generation);
    stage_run_end(&run);
    assert_int_equal(answer_to(run.client)->status, 200);
}

static void what_clients_send_at_once_is_taken_a_part_in_each_pass(void **state)
{
    (void)state;
    const uint32_t count = 192, bytes = sizeof(stage.receive);
    uint32_t client = upload_begin(count * bytes + 1, 0);
    uint64_t before = stage.server->front.counts.received_byte_count;
    for (uint32_t i = 0; i < count; i++)
        stage_event((struct uring_event){.ref = stage.clients[client].recv,
                                         .result = (int32_t)bytes,
                                         .more = true,
                                         .has_buffer = true});
    assert_true(stage_loop_pass()); /* there is more to do at once */
    uint64_t taken = stage.server->front.counts.received_byte_count - before;
    assert_in_range(taken, 256 * 1024, 640 * 1024);
    stage_loop_pass();
    assert_int_equal(stage.server->front.counts.received_byte_count - before, count * bytes);
}

/* ---- queues ---- */

static void the_queues_of_all_pipelines_have_a_bound_together(void **state)
{
    (void)state;
    stage.config.queue_total_max = 2;
    for (int i = 0; i < 4; i++)
        ask();
    assert_int_equal(pipeline()->queue_count, 2);
    assert_int_equal(answer_to(ask())->status, 429);
    assert_non_null(strstr(answer.lines[0], "the queues of all pipelines together are full"));
    assert_int_equal(refused(REFUSAL_QUEUE_TOTAL), 1);
    assert_int_equal(refused(REFUSAL_QUEUE_FULL), 0);
}

/* ---- the time to come again ---- */

static void serve_one(uint64_t ms)
{
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_later(ms);
    stage_run_end(&run);
    stage_settle();
    stage_hang_up(run.client);
    stage_settle();
}

/* Its word is that there is room: a place of its ring, each time a run comes, and too little for
 * one. */
static void a_worker_that_makes_too_little_room_makes_no_queue_longer(void **state)
{
    (void)state;
    struct ring_tx *requests = &stage.server->fleet.workers[0]->channel.requests;
    uint32_t client = 0;
    void *room;
    stage.config.pipelines[0].options.queue_count_max = 1;
    while (ring_claim(requests, 0, &room) == 0)
        ring_commit(requests, &(struct record){.kind = RECORD_STOP});
    for (uint32_t i = 0; i < 3; i++) {
        client = ask();
        stage_settle();
        assert_in_range(pipeline()->queue_count, 1, 2); /* one above, which came for a slot */
        atomic_fetch_add(&requests->shared->head, RECORD_ALIGN);
    }
    assert_int_equal(answer_to(client)->status, 429);
    assert_int_equal(refused(REFUSAL_QUEUE_FULL), 1);
}

static void the_first_runs_are_the_measure(void **state)
{
    (void)state;
    assert_int_equal(pipeline_retry_after_s(pipeline()), 1);
    serve_one(10000);
    assert_int_equal(pipeline_retry_after_s(pipeline()), 5); /* two slots */
    serve_one(30000);
    assert_int_equal(pipeline_retry_after_s(pipeline()), 10);
    for (int i = 0; i < 200; i++)
        serve_one(1000);
    assert_int_equal(pipeline_retry_after_s(pipeline()), 1);
}

static void runs_that_fail_are_measured_too(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_later(10000);
    stage_run_put(&run, RECORD_ERROR, 0, "\x93\x04\xa3why\xc0", 7);
    stage_settle();
    assert_int_equal(pipeline_retry_after_s(pipeline()), 5);
}

static void only_workers_that_serve_are_counted_on(void **state)
{
    (void)state;
    stage_close();
    stage_open(&(struct stage_options){.worker_count = 2});
    serve_one(10000);
    assert_int_equal(pipeline_retry_after_s(pipeline()), 5);
    stage_exit(1, CLD_KILLED, SIGKILL);
    stage_settle();
    assert_int_equal(pipeline_retry_after_s(pipeline()), 10);
}

#define OVERLOAD_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        OVERLOAD_TEST(who_needs_more_memory_than_is_left_is_refused_and_nobody_else),
        OVERLOAD_TEST(room_grows_only_as_far_as_there_is_some),
        OVERLOAD_TEST(a_part_of_a_head_that_cannot_be_kept_is_refused),
        OVERLOAD_TEST(what_is_sent_ahead_is_lost_before_what_is_being_answered),
        OVERLOAD_TEST(memory_comes_back_when_a_client_leaves),
        OVERLOAD_TEST(runs_that_wait_hold_memory_and_those_with_a_slot_do_not),
        OVERLOAD_TEST(who_gets_a_slot_at_once_needs_no_memory_to_wait),
        OVERLOAD_TEST(what_was_sent_for_a_run_that_was_put_off_is_never_taken_for_another_ones),
        OVERLOAD_TEST(what_clients_send_at_once_is_taken_a_part_in_each_pass),
        OVERLOAD_TEST(the_queues_of_all_pipelines_have_a_bound_together),
        OVERLOAD_TEST(a_worker_that_makes_too_little_room_makes_no_queue_longer),
        OVERLOAD_TEST(the_first_runs_are_the_measure),
        OVERLOAD_TEST(runs_that_fail_are_measured_too),
        OVERLOAD_TEST(only_workers_that_serve_are_counted_on),
    };
    return cmocka_run_group_tests_name("overload", tests, descriptors_note, descriptors_compare);
}
