/* SPDX-License-Identifier: MIT */
/*
 * test_strangers.c - what clients without a good token can have of the server's memory, on the
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

#define TOKEN "a"
#define GOOD "Authorization: Bearer " TOKEN "\r\n"
#define HOST "Host: a\r\n"
#define RUNS "GET /v4/runs HTTP/1.1\r\n" HOST "\r\n"
#define LIVEZ "GET /livez HTTP/1.1\r\n" HOST "\r\n"
#define GOOD_LIVEZ "GET /livez HTTP/1.1\r\n" HOST GOOD "\r\n"
#define PIECE_BYTES 4000u

/* More of a head, as much as fits a receive. */
static char filler[PIECE_BYTES];

static int scene_open(void **state)
{
    (void)state;
    char hash[TOKEN_HASH_BYTES];
    struct token_entry *entry = calloc(1, sizeof(*entry));
    assert_non_null(entry);
    stage_open(&(struct stage_options){.concurrency = 2, .output_bytes_max = 1u << 20});
    entry->name = strdup("alice");
    token_hash(TOKEN, strlen(TOKEN), hash);
    for (size_t i = 0; i < sizeof(entry->hash); i++)
        entry->hash[i] =
            (uint8_t)(http_hex_value(hash[2 * i]) * 16 + http_hex_value(hash[2 * i + 1]));
    stage.config.tokens = (struct tokens){.entries = entry, .count = 1};
    memset(filler, 'x', sizeof(filler));
    return 0;
}

static void say(uint32_t client, const char *text)
{
    stage_say_bytes(client, text, strlen(text));
}

/* How often a text stands in what the client has got. */
static unsigned count_of(uint32_t client, const char *text)
{
    const struct stage_client *it = &stage.clients[client];
    unsigned count = 0;
    for (size_t i = 0; i + strlen(text) <= it->count; i++)
        count += memcmp(it->bytes + i, text, strlen(text)) == 0;
    return count;
}

static struct conn *conn_of(uint32_t client)
{
    return &stage.server->front.conns[client];
}

/* A new client, of whose head there is so much, and no end of it. */
static uint32_t head_begin(const char *start, size_t count)
{
    uint32_t client = stage_connect();
    say(client, start);
    for (size_t part, sent = strlen(start); sent < count && !conn_is_answered(conn_of(client));
         sent += part) {
        part = count - sent < sizeof(filler) ? count - sent : sizeof(filler);
        stage_say_bytes(client, filler, part);
    }
    return client;
}

#define LONG_HEAD "GET /livez HTTP/1.1\r\n" HOST "X-Long: "

static void leave(uint32_t client)
{
    if (conn_of(client)->recv_paused)
        stage_complete(&stage.clients[client].gone, POLLRDHUP);
    else
        stage_hang_up(client);
    stage_settle();
    assert_true(stage_is_closed(client));
}

/* A run of someone who may, whose body comes in two parts. */
static void expect_served(void)
{
    uint32_t client = stage_connect();
    struct stage_run run = {.client = client};
    say(client, "POST " STREAM_PATH " HTTP/1.1\r\n" HOST GOOD "Content-Length: 13\r\n\r\n{\"inp");
    say(client, "uts\":[]}");
    assert_true(stage_run_take(&run));
    stage_run_number(&run);
    stage_run_end(&run);
    assert_int_equal(answer_to(client)->status, 200);
    assert_int_equal(answer.line_count, 1);
    leave(client);
}

/* ---- requests ---- */

static void who_shows_no_token_is_answered_once_and_nothing_more_is_held(void **state)
{
    (void)state;
    uint32_t client = stage_connect();
    say(client, RUNS RUNS RUNS);
    assert_int_equal(stage.server->input.bytes, 0);
    assert_true(conn_of(client)->recv_paused);
    stage_settle();
    assert_int_equal(count_of(client, "HTTP/1.1 401 "), 1);
    assert_int_equal(count_of(client, "\r\nConnection: close\r\n"), 1);
    assert_int_equal(conn_of(client)->state, CONN_LINGERING);
    stage_say_bytes(client, filler, sizeof(filler)); /* read away */
    assert_int_equal(stage.server->input.bytes, 0);
    expect_served();
}

static void a_body_behind_a_bad_token_is_neither_asked_for_nor_held(void **state)
{
    (void)state;
    uint32_t client = stage_connect();
    say(client, "POST " STREAM_PATH " HTTP/1.1\r\n" HOST "Authorization: Bearer b\r\n"
                "Expect: 100-continue\r\nContent-Length: 16000000\r\n\r\n{");
    assert_int_equal(stage.server->input.bytes, 0);
    assert_true(conn_of(client)->recv_paused);
    assert_int_equal(answer_to(client)->status, 401);
    assert_int_equal(count_of(client, "HTTP/1.1 "), 1);
}

static void a_large_body_of_a_request_that_needs_no_token_needs_one(void **state)
{
    (void)state;
    static const char body_to_come[] =
        "GET /livez HTTP/1.1\r\n" HOST "Content-Length: 16385\r\n\r\n";
    uint32_t client = stage_connect();
    say(client, body_to_come);
    assert_int_equal(answer_to(client)->status, 413);
    client = stage_connect();
    say(client, "GET /livez HTTP/1.1\r\n" HOST GOOD "Content-Length: 16385\r\n\r\n");
    stage_say_bytes(client, filler, sizeof(filler));
    assert_int_equal(conn_of(client)->state, CONN_BODY);
    assert_int_equal(stage.server->front.stranger_input_bytes, 0);
    assert_true(stage.server->input.bytes >= sizeof(filler));
}

static void slow_heads_and_bodies_of_strangers_share_a_part_of_the_memory(void **state)
{
    (void)state;
    uint32_t clients[3];
    stage.server->input.bytes_max = 3 * 8192 * STRANGER_SHARE;
    for (int i = 0; i < 2; i++)
        clients[i] = head_begin(LONG_HEAD, 8000);
    clients[2] = head_begin("GET /livez HTTP/1.1\r\n" HOST "Content-Length: 9000\r\n\r\n", 8000);
    assert_int_equal(stage.server->front.stranger_input_bytes, 3 * 8192);
    assert_int_equal(stage.server->front.stranger_input_bytes, stage.server->input.bytes);
    uint32_t late = head_begin(LONG_HEAD, 8000);
    assert_int_equal(answer_to(late)->status, 503);
    assert_non_null(strstr(answer.head_text, "\r\nRetry-After: 1\r\n"));
    assert_int_equal(stage.server->front.counts.refusals[REQUEST_REFUSAL_INPUT_MEMORY], 1);
    late = stage_connect();
    say(late, "GET /livez HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\n12345678");
    assert_int_equal(answer_to(late)->status, 503);
    assert_int_equal(stage.server->front.counts.refusals[REQUEST_REFUSAL_INPUT_MEMORY], 2);
    stage_say_bytes(clients[2], filler, 100);
    assert_int_equal(answer_to(clients[2])->status, 503);
    assert_int_equal(stage.server->front.stranger_input_bytes, 2 * 8192);
    /* Whoever may call is served meanwhile, and a head that comes in one piece needs no room. */
    stage_say_bytes(clients[0], filler, 192);
    expect_served();
    for (int i = 0; i < 2; i++)
        leave(clients[i]);
    assert_int_equal(stage.server->front.stranger_input_bytes, 0);
    assert_int_equal(stage.server->input.bytes, 0);
}

static void who_has_shown_a_token_is_no_stranger_with_the_next_request(void **state)
{
    (void)state;
    uint32_t known = stage_connect();
    stage.server->input.bytes_max = 8192 * STRANGER_SHARE;
    say(known, GOOD_LIVEZ);
    stage_settle();
    assert_int_equal(count_of(known, "HTTP/1.1 200 "), 1);
    head_begin(LONG_HEAD, 8000);
    say(known, LONG_HEAD);
    for (int i = 0; i < 3; i++)
        stage_say_bytes(known, filler, sizeof(filler));
    assert_int_equal(conn_of(known)->state, CONN_HEAD);
    assert_int_equal(stage.server->front.stranger_input_bytes, 8192);
    say(known, "\r\n\r\n"); /* without a token it is one again */
    stage_settle();
    assert_int_equal(count_of(known, "HTTP/1.1 200 "), 2);
    assert_false(conn_of(known)->is_known);
    say(known, LONG_HEAD);
    stage_settle();
    assert_int_equal(count_of(known, "HTTP/1.1 503 "), 1);
}

static void a_stranger_who_sends_more_than_a_head_ahead_is_answered_for_the_last_time(void **state)
{
    (void)state;
    uint32_t client = stage_connect();
    say(client, LIVEZ);
    say(client, LIVEZ); /* the first is not sent yet */
    assert_int_equal(stage.server->front.stranger_input_bytes, 1024);
    for (int i = 0; i < 4 && !conn_of(client)->recv_paused; i++)
        stage_say_bytes(client, filler, sizeof(filler));
    assert_false(conn_of(client)->recv_paused);
    stage_say_bytes(client, filler, 1000);
    assert_true(conn_of(client)->recv_paused);
    assert_int_equal(stage.server->input.bytes, 0);
    stage_settle();
    assert_int_equal(count_of(client, "HTTP/1.1 200 "), 1);
    assert_int_equal(conn_of(client)->state, CONN_LINGERING);
}

static void a_request_that_is_said_to_be_the_last_is(void **state)
{
    (void)state;
    uint32_t client = stage_connect();
    say(client, "GET /livez HTTP/1.1\r\n" HOST GOOD "Connection: close\r\n\r\n" LIVEZ);
    assert_int_equal(stage.server->input.bytes, 0);
    assert_true(conn_of(client)->recv_paused);
    stage_settle();
    assert_int_equal(count_of(client, "HTTP/1.1 200 "), 1);
    assert_int_equal(conn_of(client)->state, CONN_LINGERING);
}

/* What has come before the kernel heard that no more is wanted is kept, and no room beside it. */
static void what_is_counted_is_what_is_held(void **state)
{
    (void)state;
    struct stage_run run = {.client = stage_connect()};
    say(run.client,
        "POST " STREAM_PATH " HTTP/1.1\r\n" HOST GOOD "Content-Length: 13\r\n\r\n" RUN_BODY);
    assert_true(stage_run_take(&run));
    memcpy(stage.receive, filler, sizeof(filler));
    for (int i = 0; i < 40; i++)
        stage_event((struct uring_event){.ref = stage.clients[run.client].recv,
                                         .result = sizeof(filler),
                                         .more = true,
                                         .has_buffer = true});
    stage_loop_pass();
    assert_true(conn_of(run.client)->recv_paused);
    assert_int_equal(stage.server->input.bytes, 40 * sizeof(filler));
    leave(run.client);
}

static void nobody_is_received_once_the_next_receive_may_be_too_much(void **state)
{
    (void)state;
    struct stage_run run = {.client = stage_connect()};
    say(run.client,
        "POST " STREAM_PATH " HTTP/1.1\r\n" HOST GOOD "Content-Length: 13\r\n\r\n" RUN_BODY);
    assert_true(stage_run_take(&run));
    uint32_t sent = 0;
    for (; !conn_of(run.client)->recv_paused; sent += 1000)
        stage_say_bytes(run.client, filler, 1000);
    assert_true(sent + RECEIVE_BUFFER_BYTES > 64 * 1024 && sent <= 64 * 1024);
    assert_int_equal(stage.server->input.bytes, 64 * 1024);
    leave(run.client);
}

/* ---- answers ---- */

/* The share of a pool of 1 MiB: eight answers of one block. */
static void answers_that_strangers_do_not_read_are_a_part_of_the_memory(void **state)
{
    (void)state;
    uint32_t clients[9], known = stage_connect();
    for (int i = 0; i < 9; i++) {
        clients[i] = stage_connect();
        say(clients[i], i % 2 ? LIVEZ : RUNS);
    }
    assert_int_equal(stage.server->front.stranger_output_bytes, 8 * OUT_BLOCK_BYTES);
    assert_int_equal(stage.server->front.counts.refusals[REQUEST_REFUSAL_MEMORY], 1);
    say(known, GOOD_LIVEZ); /* what is left is for who may call */
    assert_int_equal(stage.server->front.stranger_output_bytes, 8 * OUT_BLOCK_BYTES);
    stage_settle();
    assert_true(stage_is_closed(clients[8]));
    assert_int_equal(stage.clients[clients[8]].count, 0);
    assert_int_equal(count_of(known, "HTTP/1.1 200 "), 1);
    for (int i = 0; i < 8; i++)
        assert_int_equal(count_of(clients[i], i % 2 ? "HTTP/1.1 200 " : "HTTP/1.1 401 "), 1);
    assert_int_equal(stage.server->front.stranger_output_bytes, 0);
    expect_served();
}

static void memory_of_an_answer_comes_back_when_its_client_leaves(void **state)
{
    (void)state;
    uint32_t client = stage_connect();
    say(client, LIVEZ);
    assert_int_equal(stage.server->front.stranger_output_bytes, OUT_BLOCK_BYTES);
    stage_sent(client, -ECONNRESET);
    stage_settle();
    stage_complete(&stage.clients[client].recv, -ECONNRESET);
    stage_settle();
    assert_true(stage_is_closed(client));
    assert_int_equal(stage.server->front.stranger_output_bytes, 0);
}

#define STRANGER_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        STRANGER_TEST(who_shows_no_token_is_answered_once_and_nothing_more_is_held),
        STRANGER_TEST(a_body_behind_a_bad_token_is_neither_asked_for_nor_held),
        STRANGER_TEST(a_large_body_of_a_request_that_needs_no_token_needs_one),
        STRANGER_TEST(slow_heads_and_bodies_of_strangers_share_a_part_of_the_memory),
        STRANGER_TEST(who_has_shown_a_token_is_no_stranger_with_the_next_request),
        STRANGER_TEST(a_stranger_who_sends_more_than_a_head_ahead_is_answered_for_the_last_time),
        STRANGER_TEST(a_request_that_is_said_to_be_the_last_is),
        STRANGER_TEST(what_is_counted_is_what_is_held),
        STRANGER_TEST(nobody_is_received_once_the_next_receive_may_be_too_much),
        STRANGER_TEST(answers_that_strangers_do_not_read_are_a_part_of_the_memory),
        STRANGER_TEST(memory_of_an_answer_comes_back_when_its_client_leaves),
    };
    return cmocka_run_group_tests_name("strangers", tests, descriptors_note, descriptors_compare);
}
