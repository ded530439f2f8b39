/* SPDX-License-Identifier: MIT */
/* test_exchange.c - the seam above connections: somebody else answers, who collects nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "dispatcher/http/collector.h"
#include "dispatcher/http/response.h"
#include "tests/unit/dispatcher/stage.h"
#include "tests/unit/shm/ring_memory.h"

#define SPAN_COUNT_MAX 16u

/* Takes spans as they come, and remembers what it was told. */
static struct stream {
    char text[4096];
    size_t bytes;
    size_t spans[SPAN_COUNT_MAX]; /* their sizes */
    uint32_t span_count, last_count;
    int refuse_at; /* it answers in place of taking this span; -1: none */
    int fail_with; /* what it says of each span, if not 0 */
    bool is_streamed;
    uint32_t hold_at; /* it wants no more after so many spans; 0: it always does */
    uint64_t body_bytes_max;
    bool collects; /* it wants the whole body, which was here: */
    struct http_text whole;
    uint64_t charge;
    uint32_t expired_count, gone_count;
    enum exchange_end end;
} stream;

static void answer(struct conn *conn, int status)
{
    conn_detach(conn);
    response_send(&stage.server->front, conn,
                  &(struct response){.status = status, .body = "{}\n", .body_bytes = 3});
}

static bool on_head(void *owner, struct conn *conn, const struct http_head *head)
{
    assert_ptr_equal(owner, &stream);
    conn->request.method = head->method;
    conn->request.minor = head->minor;
    conn->request.keep_alive = head->keep_alive;
    conn->request.has_body = true;
    conn->request.is_trusted = true;
    conn->request.is_streamed = stream.is_streamed;
    conn->request.body_bytes_max = stream.body_bytes_max;
    conn->pending = &stream;
    return true;
}

static int on_body(void *owner, struct conn *conn, struct http_text span, bool is_last)
{
    (void)owner;
    assert_ptr_equal(conn->pending, &stream);
    assert_int_equal(stream.last_count, 0);
    assert_true(stream.span_count < SPAN_COUNT_MAX);
    if (stream.collects) {
        assert_int_equal(collector_take(&stage.server->front, conn, span, is_last, &stream.whole),
                         0);
        if (is_last)
            conn_answer_begin(&stage.server->front, conn);
        return 0;
    }
    if (stream.fail_with != 0)
        return stream.fail_with;
    if ((int)stream.span_count == stream.refuse_at) {
        conn_answer_begin(&stage.server->front, conn);
        answer(conn, 415);
        return 0;
    }
    assert_true(stream.bytes + span.bytes <= sizeof(stream.text));
    if (span.bytes > 0)
        memcpy(stream.text + stream.bytes, span.data, span.bytes);
    stream.bytes += span.bytes;
    stream.spans[stream.span_count++] = span.bytes;
    stream.last_count += is_last;
    if (is_last)
        conn_answer_begin(&stage.server->front, conn);
    else if (stream.span_count == stream.hold_at)
        conn_hold(&stage.server->front, conn);
    return 0;
}

static void on_sent(void *owner, struct conn *conn, uint64_t charge)
{
    (void)owner, (void)conn;
    stream.charge += charge;
}

static void on_expired(void *owner, struct conn *conn)
{
    (void)owner;
    stream.expired_count++;
    answer(conn, 504);
}

static void on_gone(void *owner, struct conn *conn, enum exchange_end end)
{
    (void)owner;
    stream.gone_count++;
    stream.end = end;
    conn_detach(conn);
}

static const struct exchange_ops stream_ops = {
    .head = on_head, .body = on_body, .sent = on_sent, .expired = on_expired, .gone = on_gone};

static int scene_open(void **state)
{
    (void)state;
    stream = (struct stream){.refuse_at = -1};
    stage_open(&(struct stage_options){0});
    stage.server->front.ops = &stream_ops;
    stage.server->front.owner = &stream;
    return 0;
}

static int scene_close(void **state)
{
    (void)state;
    stage_settle();
    assert_int_equal(stage.server->input.bytes, 0);
    stage_close();
    return 0;
}

static void say(uint32_t client, const char *text)
{
    stage_say_bytes(client, text, strlen(text));
    assert_int_equal(stage.server->input.bytes, 0); /* nothing of it is kept */
}

static struct conn *conn_of(uint32_t client)
{
    return &stage.server->front.conns[client];
}

static void expect_status(uint32_t client, const char *status)
{
    stage_settle();
    assert_true(stage.clients[client].count > strlen(status));
    assert_memory_equal(stage.clients[client].bytes, status, strlen(status));
}

static void spans_come_as_they_arrive_and_are_kept_nowhere(void **state)
{
    (void)state;
    uint32_t client = stage_connect();
    say(client, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    assert_int_equal(stream.span_count, 0);
    say(client, "abcd");
    say(client, "ef");
    assert_int_equal(stream.span_count, 2);
    assert_int_equal(stream.last_count, 0);
    assert_int_equal(conn_of(client)->state, CONN_BODY);
    say(client, "ghi");
    assert_int_equal(stream.span_count, 3);
    assert_int_equal(stream.last_count, 1);
    assert_memory_equal(stream.text, "abcdefghi", 9);
    assert_int_equal(stream.spans[0], 4);
    assert_int_equal(stream.spans[1], 2);
    assert_int_equal(conn_of(client)->state, CONN_RESPONDING);
    answer(conn_of(client), 200);
    expect_status(client, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(stage.server->front.counts.request_count, 1);
    assert_int_equal(stream.gone_count, 0);
}

static void chunks_are_spans_and_an_empty_body_is_one_empty_span(void **state)
{
    (void)state;
    uint32_t client = stage_connect();
    say(client, "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    assert_int_equal(stream.span_count, 2);
    assert_int_equal(stream.last_count, 1);
    assert_memory_equal(stream.text, "abcde", 5);
    answer(conn_of(client), 200);
    stage_settle();
    stream = (struct stream){.refuse_at = -1};
    say(client, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(stream.span_count, 1);
    assert_int_equal(stream.bytes, 0);
    assert_int_equal(stream.last_count, 1);
    answer(conn_of(client), 200);
}

static void a_body_in_one_piece_is_collected_without_a_copy(void **state)
{
    (void)state;
    static const char head[] = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n";
    char text[128];
    uint32_t client = stage_connect();
    stream.collects = true;
    snprintf(text, sizeof(text), "%sabcd", head);
    say(client, text);
    assert_ptr_equal(stream.whole.data, stage.receive + strlen(head));
    assert_int_equal(stream.whole.bytes, 4);
    answer(conn_of(client), 200);
    stage_settle();
    say(client, head);
    stage_say_bytes(client, "ab", 2);
    assert_int_equal(stage.server->input.bytes, conn_of(client)->body.kept.room);
    stage_say_bytes(client, "cd", 2);
    assert_ptr_equal(stream.whole.data, conn_of(client)->body.kept.data);
    assert_int_equal(stream.whole.bytes, 4);
    assert_memory_equal(stream.whole.data, "abcd", 4);
    collector_drop(&stage.server->front, conn_of(client));
    answer(conn_of(client), 200);
}

static void an_answer_before_the_body_ends_it_and_the_connection(void **state)
{
    (void)state;
    uint32_t client = stage_connect();
    stream.refuse_at = 1;
    say(client, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    say(client, "abcd");
    say(client, "ef");
    say(client, "ghiGET /y HTTP/1.1\r\n");
    assert_int_equal(stream.span_count, 1);
    expect_status(client, "HTTP/1.1 415 ");
    assert_non_null(memmem(stage.clients[client].bytes, stage.clients[client].count,
                           "\r\nConnection: close\r\n", 21));
    assert_int_equal(conn_of(client)->state, CONN_LINGERING);
    assert_int_equal(stream.gone_count, 0);
}

static void a_span_without_memory_is_answered_by_the_front(void **state)
{
    (void)state;
    uint32_t client = stage_connect();
    stream.fail_with = -ENOBUFS;
    say(client, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd");
    expect_status(client, "HTTP/1.1 503 ");
    assert_int_equal(stream.gone_count, 1);
    assert_int_equal(stream.end, EXCHANGE_REFUSED);
    assert_int_equal(stage.server->front.counts.refusals[REQUEST_REFUSAL_INPUT_MEMORY], 1);
}

static void a_broken_body_is_answered_by_the_front(void **state)
{
    (void)state;
    uint32_t client = stage_connect();
    say(client, "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    say(client, "xyz\r\n");
    expect_status(client, "HTTP/1.1 400 ");
    assert_int_equal(stream.end, EXCHANGE_REFUSED);
    assert_int_equal(stream.gone_count, 1);
}

static void a_body_that_is_too_slow_is_answered_by_the_front(void **state)
{
    (void)state;
    uint32_t client = stage_connect();
    say(client, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabcd");
    stage_later(HTTP_BODY_GRACE_MS + 1000);
    expect_status(client, "HTTP/1.1 408 ");
    assert_int_equal(stream.gone_count, 1);
    assert_int_equal(stream.end, EXCHANGE_REFUSED);
}

static void a_client_that_leaves_in_its_body_is_told_of_once(void **state)
{
    (void)state;
    uint32_t client = stage_connect();
    say(client, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabcd");
    stage_hang_up(client);
    stage_settle();
    assert_true(stage_is_closed(client));
    assert_int_equal(stream.gone_count, 1);
    assert_int_equal(stream.end, EXCHANGE_LEFT);
    assert_int_equal(stream.last_count, 0);
}

static const char chunks[] = "3\r\nabc\r\n1\r\nd\r\n2\r\nef\r\n0\r\n\r\n";

static void what_comes_of_a_held_body_waits_until_it_is_released(void **state)
{
    (void)state;
    uint32_t client = stage_connect();
    stream.is_streamed = true;
    stream.hold_at = 1;
    say(client, "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    stage_settle();
    stage_say_bytes(client, chunks, sizeof chunks - 1);
    assert_true(conn_of(client)->recv_paused);
    assert_int_equal(stream.bytes, 4); /* the piece behind the one with which it was held */
    assert_int_equal(conn_of(client)->state, CONN_BODY);
    assert_int_equal(stage.server->input.bytes, conn_of(client)->input.room);
    stage_settle();
    assert_int_equal(stream.bytes, 4);
    conn_release(&stage.server->front, conn_of(client));
    assert_int_equal(stream.last_count, 1);
    assert_memory_equal(stream.text, "abcdef", 6);
    assert_int_equal(conn_of(client)->state, CONN_RESPONDING);
    answer(conn_of(client), 200);
    expect_status(client, "HTTP/1.1 200 OK\r\n");
    assert_false(conn_of(client)->recv_paused);
}

static void a_held_body_is_received_again_when_it_is_released(void **state)
{
    (void)state;
    uint32_t client = stage_connect();
    stream.is_streamed = true;
    stream.hold_at = 1;
    say(client, "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    stage_settle();
    stage_say_bytes(client, chunks, sizeof chunks - 8);
    stage_settle();
    conn_release(&stage.server->front, conn_of(client));
    assert_memory_equal(stream.text, "abcdef", 6);
    assert_int_equal(conn_of(client)->state, CONN_BODY);
    assert_false(conn_of(client)->recv_paused);
    stage_settle();
    stage_say_bytes(client, chunks + sizeof chunks - 8, 7);
    assert_int_equal(stream.last_count, 1);
    answer(conn_of(client), 200);
    expect_status(client, "HTTP/1.1 200 OK\r\n");
}

static void a_streamed_body_is_received_a_buffer_at_a_time_and_what_follows(void **state)
{
    (void)state;
    uint32_t client = stage_connect();
    assert_false(stage.clients[client].recv_is_single);
    stream.is_streamed = true;
    for (int i = 0; i < 2; i++) {
        stream.span_count = stream.last_count = 0;
        say(client, "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        stage_settle();
        assert_true(stage.clients[client].recv_is_single);
        stage_say_bytes(client, chunks, sizeof chunks - 8);
        assert_int_equal(stage.clients[client].recv.op, URING_RECV); /* again */
        stage_say_bytes(client, chunks + sizeof chunks - 8, 7);
        assert_int_equal(stream.last_count, 1);
        answer(conn_of(client), 200);
        expect_status(client, "HTTP/1.1 200 OK\r\n");
        stage.clients[client].count = 0;
    }
}

static void a_streamed_body_may_have_a_limit_of_its_own(void **state)
{
    (void)state;
    char head[128];
    uint32_t client = stage_connect();
    stream.is_streamed = true;
    stream.body_bytes_max = 10;
    say(client, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n");
    expect_status(client, "HTTP/1.1 413 ");
    assert_int_equal(stream.end, EXCHANGE_REFUSED);
    client = stage_connect();
    stream.body_bytes_max = (uint64_t)stage.config.body_bytes_max * 3;
    snprintf(head, sizeof head, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %llu\r\n\r\n",
             (unsigned long long)stream.body_bytes_max);
    say(client, head);
    assert_int_equal(conn_of(client)->state, CONN_BODY);
    stage_settle();
    stage_hang_up(client);
    stage_settle();
    assert_int_equal(stream.end, EXCHANGE_LEFT);
}

static void what_has_left_is_told_by_its_charge_and_a_stall_as_one(void **state)
{
    (void)state;
    struct front *front = &stage.server->front;
    uint32_t client = stage_connect();
    say(client, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(out_append(&front->out, &conn_of(client)->out, "line\n", 5, false), 0);
        out_charge(&conn_of(client)->out, 7);
        conn_mark_dirty(front, conn_of(client));
        stage_pass();
        if (i == 0)
            stage_sent(client, 5);
        stage_pass();
        assert_int_equal(stream.charge, 7);
    }
    stage_later(stage.config.stall_timeout_ms);
    assert_int_equal(stream.gone_count, 1);
    assert_int_equal(stream.end, EXCHANGE_STALLED);
    stage_sent(client, -ECANCELED);
    stage_settle();
    assert_true(stage_is_closed(client));
}

static void an_answer_that_is_due_is_asked_for(void **state)
{
    (void)state;
    uint32_t client = stage_connect();
    say(client, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    conn_set_due(&stage.server->front, conn_of(client), stage.server->reactor.now_ms + 500);
    stage_later(499);
    assert_int_equal(stream.expired_count, 0);
    stage_later(1);
    assert_int_equal(stream.expired_count, 1);
    expect_status(client, "HTTP/1.1 504 ");
    assert_int_equal(stream.gone_count, 0);
}

#define EXCHANGE_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        EXCHANGE_TEST(spans_come_as_they_arrive_and_are_kept_nowhere),
        EXCHANGE_TEST(chunks_are_spans_and_an_empty_body_is_one_empty_span),
        EXCHANGE_TEST(a_body_in_one_piece_is_collected_without_a_copy),
        EXCHANGE_TEST(an_answer_before_the_body_ends_it_and_the_connection),
        EXCHANGE_TEST(a_span_without_memory_is_answered_by_the_front),
        EXCHANGE_TEST(a_broken_body_is_answered_by_the_front),
        EXCHANGE_TEST(a_body_that_is_too_slow_is_answered_by_the_front),
        EXCHANGE_TEST(a_client_that_leaves_in_its_body_is_told_of_once),
        EXCHANGE_TEST(what_comes_of_a_held_body_waits_until_it_is_released),
        EXCHANGE_TEST(a_held_body_is_received_again_when_it_is_released),
        EXCHANGE_TEST(a_streamed_body_is_received_a_buffer_at_a_time_and_what_follows),
        EXCHANGE_TEST(a_streamed_body_may_have_a_limit_of_its_own),
        EXCHANGE_TEST(what_has_left_is_told_by_its_charge_and_a_stall_as_one),
        EXCHANGE_TEST(an_answer_that_is_due_is_asked_for),
    };
    return cmocka_run_group_tests_name("exchange", tests, descriptors_note, descriptors_compare);
}
