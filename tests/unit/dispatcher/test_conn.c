/* SPDX-License-Identifier: MIT */
/*
 * test_conn.c - ends of connections: who has left, what is still answered, what is cut, on the
 * stage.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/dispatcher/stage_run.h"

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

#define LIVEZ "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
#define AHEAD_BYTES_MAX (64u * 1024)

static int scene_open(void **state)
{
    (void)state;
    stage_open(&(struct stage_options){.worker_count = 1});
    return 0;
}

static int scene_open_patient(void **state)
{
    scene_open(state);
    stage.config.keep_half_closed = true;
    return 0;
}

/* How often a text stands in what the client has got. */
static unsigned count_of(uint32_t client, const char *text)
{
    const struct stage_client *it = &stage.clients[client];
    unsigned count = 0;
    size_t bytes = strlen(text);
    for (size_t i = 0; i + bytes <= it->count; i++)
        count += memcmp(it->bytes + i, text, bytes) == 0;
    return count;
}

static void say_and_hang_up(uint32_t client, const char *text)
{
    stage_say_bytes(client, text, strlen(text));
    stage_hang_up(client);
    stage_settle();
}

static void post_put(char *text, size_t room, int minor)
{
    snprintf(text, room,
             "POST " STREAM_PATH " HTTP/1.%d\r\nHost: a\r\nContent-Length: %zu\r\n\r\n" RUN_BODY,
             minor, strlen(RUN_BODY));
}

/* ---- half-closed ---- */

static void what_was_asked_before_the_half_close_is_answered(void **state)
{
    (void)state;
    uint32_t client = stage_connect();
    say_and_hang_up(client, LIVEZ LIVEZ LIVEZ);
    assert_int_equal(count_of(client, "HTTP/1.1 200 OK"), 3);
    /* Only the last one says that it is. */
    assert_int_equal(count_of(client, "Connection: close"), 1);
    assert_true(stage_is_closed(client));
}

static void a_request_cut_by_the_half_close_is_not(void **state)
{
    (void)state;
    uint32_t client = stage_connect();
    say_and_hang_up(client, LIVEZ LIVEZ "GET /livez HTT");
    assert_int_equal(count_of(client, "HTTP/1.1 200 OK"), 2);
    assert_true(stage_is_closed(client));
}

static void a_body_cut_by_the_half_close_is_not(void **state)
{
    (void)state;
    uint32_t client = stage_connect();
    say_and_hang_up(client, LIVEZ "POST " STREAM_PATH
                                  " HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n" RUN_BODY);
    assert_int_equal(count_of(client, "HTTP/1.1 200 OK"), 1);
    assert_true(stage_is_closed(client));
    assert_int_equal(stage.server->runs.count, 0);
}

/* A client that closed its sending side is taken for one that left, as ever. */
static void a_run_behind_the_half_close_is_cancelled(void **state)
{
    (void)state;
    char text[512] = LIVEZ;
    uint32_t client = stage_connect();
    post_put(text + strlen(text), sizeof(text) - strlen(text), 1);
    say_and_hang_up(client, text);
    assert_int_equal(count_of(client, "HTTP/1.1 200 OK"), 1);
    assert_true(stage_is_closed(client));
}

static void patiently_runs_behind_it_are_served_one_after_the_other(void **state)
{
    (void)state;
    char text[1024];
    uint32_t client = stage_connect();
    post_put(text, sizeof(text), 1);
    post_put(text + strlen(text), sizeof(text) - strlen(text), 1);
    stage_say_bytes(client, text, strlen(text));
    stage_hang_up(client);
    stage_settle();
    for (int i = 0; i < 2; i++) {
        struct stage_run run = {.client = client};
        assert_false(stage_is_closed(client));
        assert_true(stage_run_take(&run));
        stage_run_number(&run);
        stage_run_end(&run);
        stage_settle();
    }
    assert_int_equal(count_of(client, "Millrace-Run-State: completed"), 2);
    assert_int_equal(count_of(client, "Connection: close"), 1);
    assert_true(stage_is_closed(client));
}

/* ---- receiving is paused ---- */

/* A run whose client has sent so much ahead that nothing more is received. */
static struct stage_run run_ahead(void)
{
    static const char more[2048];
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_run_number(&run);
    stage_settle();
    for (size_t sent = 0; !stage.server->front.conns[run.client].recv_paused;
         sent += sizeof(more)) {
        assert_true(sent + sizeof(more) <= AHEAD_BYTES_MAX);
        stage_say_bytes(run.client, more, sizeof(more));
    }
    stage_settle();
    assert_int_equal(stage.clients[run.client].recv.op, URING_NONE);
    assert_int_equal(stage.clients[run.client].gone.op, URING_GONE);
    return run;
}

static void a_client_that_leaves_while_nothing_is_received_is_noticed(void **state)
{
    (void)state;
    struct stage_run run = run_ahead();
    stage_complete(&stage.clients[run.client].gone, POLLRDHUP);
    stage_settle();
    assert_true(stage_is_closed(run.client));
    assert_int_equal(slot_cancel_reason(stage_run_slot(&run), run.next.generation),
                     CANCEL_CLIENT_GONE);
}

static void patiently_only_a_client_that_is_all_gone_has_left(void **state)
{
    (void)state;
    struct stage_run run = run_ahead();
    stage_complete(&stage.clients[run.client].gone, POLLRDHUP);
    stage_settle();
    assert_false(stage_is_closed(run.client));
    stage_run_end(&run);
    stage_settle();
    assert_int_equal(count_of(run.client, "Millrace-Run-State: completed"), 1);
    run = run_ahead();
    stage_complete(&stage.clients[run.client].gone, POLLRDHUP | POLLHUP | POLLERR);
    stage_settle();
    assert_true(stage_is_closed(run.client));
}

static void who_is_received_again_is_not_watched(void **state)
{
    (void)state;
    struct stage_run run = run_ahead();
    stage_run_end(&run);
    stage_settle();
    struct conn *conn = &stage.server->front.conns[run.client];
    assert_int_equal(stage.clients[run.client].gone.op, URING_NONE);
    assert_false(conn->kernel & CONN_OP_GONE);
    assert_false(conn->recv_paused);
    assert_int_equal(stage.clients[run.client].recv.op, URING_RECV);
    stage_hang_up(run.client);
    stage_settle();
    assert_true(stage_is_closed(run.client));
}

/* ---- a response without framing ---- */

static struct stage_run run_unframed(void)
{
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 0);
    stage_run_number(&run);
    stage_settle();
    assert_true(stage.server->front.conns[run.client].is_unframed);
    return run;
}

static void what_is_cut_is_not_shut_down(void **state)
{
    (void)state;
    struct stage_run run = run_unframed();
    stage_run_number(&run);
    stage_pass();
    assert_int_equal(stage.clients[run.client].send.op, URING_SEND);
    stage_later(stage.config.stall_timeout_ms);
    /* Nobody else gives the send back: it is cancelled, and then the connection is freed. */
    stage_settle();
    assert_true(stage_is_closed(run.client));
}

static void what_is_complete_ends_in_an_orderly_way(void **state)
{
    (void)state;
    struct stage_run run = run_unframed();
    stage_run_end(&run);
    stage_settle();
    assert_false(stage.server->front.conns[run.client].is_unframed);
    assert_int_equal(stage.server->front.conns[run.client].state, CONN_LINGERING);
}

#define CONN_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)
#define PATIENT_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open_patient, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        CONN_TEST(what_was_asked_before_the_half_close_is_answered),
        CONN_TEST(a_request_cut_by_the_half_close_is_not),
        CONN_TEST(a_body_cut_by_the_half_close_is_not),
        CONN_TEST(a_run_behind_the_half_close_is_cancelled),
        PATIENT_TEST(patiently_runs_behind_it_are_served_one_after_the_other),
        CONN_TEST(a_client_that_leaves_while_nothing_is_received_is_noticed),
        PATIENT_TEST(patiently_only_a_client_that_is_all_gone_has_left),
        CONN_TEST(who_is_received_again_is_not_watched),
        CONN_TEST(what_is_cut_is_not_shut_down),
        CONN_TEST(what_is_complete_ends_in_an_orderly_way),
    };
    return cmocka_run_group_tests_name("conn", tests, descriptors_note, descriptors_compare);
}
