/* SPDX-License-Identifier: MIT */
/* conn_input.c - the receiving side of a connection: bytes become requests. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dispatcher/http/collector.h"
#include "dispatcher/http/conn.h"
#include "dispatcher/http/front.h"
#include "dispatcher/http/response.h"
#include "dispatcher/http/transport.h"

/* What a client may send ahead of the response it waits for: then it is not received any more, but
 * for what the kernel has taken from it before it hears of that. */
#define INPUT_BYTES_MAX (64u * 1024)
/* Likewise a stranger, who has no reason to: then it is answered for the last time. And the body of
 * a request that needs no token, and no body. */
#define STRANGER_BYTES_MAX HTTP_HEAD_BYTES_MAX

/* Buffers of a streamed body that are received in one pass. */
#define LARGE_RECEIVE_COUNT 8u

static void conn_input_free(struct front *front, struct conn *conn);
static void conn_input_count(struct front *front, struct conn *conn);
static void conn_input_take(struct front *front, struct conn *conn, const char *bytes,
                            size_t count);
static bool conn_is_left(const struct front *front, const struct conn *conn);
static void conn_receive_again(struct front *front, struct conn *conn);
static int conn_received(struct front *front, struct conn *conn, const char *data, size_t bytes);
static int conn_receive_rest(struct front *front, struct conn *conn);

void conn_input_finish(struct front *front, struct conn *conn)
{
    collector_drop(front, conn);
    conn_input_free(front, conn);
    conn_input_count(front, conn);
}

void conn_input_process(struct front *front, struct conn *conn, const char *bytes, size_t count)
{
    if (conn->input_lost || conn_is_ending(conn))
        return;
    conn_input_take(front, conn, bytes, count);
    conn_input_count(front, conn);
}

void conn_input_end(struct front *front, struct conn *conn)
{
    conn_event(front, conn, conn_is_left(front, conn) ? CONN_EV_LEFT : CONN_EV_ENDED);
}

void conn_hold(struct front *front, struct conn *conn)
{
    mr_assert(conn->state == CONN_BODY && conn->request.is_streamed);
    conn->is_held = true;
    if (!conn->recv_paused)
        conn_pause(front, conn);
}

void conn_release(struct front *front, struct conn *conn)
{
    if (!conn->is_held)
        return;
    conn->is_held = false;
    if (conn->state == CONN_BODY && conn->input.bytes > 0)
        conn_input_process(front, conn, NULL, 0);
    if (conn->state == CONN_BODY && !conn->is_held)
        conn_resume(front, conn);
}

void conn_on_gone(struct front *front, const struct uring_event *event)
{
    struct conn *conn = front_conn(front, event->ref);
    if (!conn)
        return;
    conn->kernel &= (uint8_t)~CONN_OP_GONE;
    if (conn->state == CONN_CLOSING)
        conn_mark_dirty(front, conn); /* to be freed at the end of the pass */
    else if (!conn->recv_paused)
        return; /* what is received says it, in its turn */
    else if (event->result < 0)
        conn_pause(front, conn); /* it was cancelled, and is wanted again */
    else if (event->result & (POLLHUP | POLLERR) ||
             (conn->state != CONN_BODY && conn_is_left(front, conn)))
        conn_event(front, conn, CONN_EV_LEFT);
}

void conn_on_recv(struct front *front, const struct uring_event *event)
{
    bool is_broken = false;
    struct conn *conn = front_conn(front, event->ref);
    if (conn && !event->more)
        conn->kernel &= (uint8_t)~CONN_OP_RECV;
    if (conn && event->result > 0) {
        mr_assert(event->has_buffer);
        front->counts.received_byte_count += (uint64_t)event->result;
        is_broken =
            conn_received(front, conn, uring_buffer(front->reactor->uring, event->buffer),
                          (size_t)event->result) < 0 ||
            (conn->is_large && !event->more && event->result == (int32_t)RECEIVE_BUFFER_BYTES &&
             conn_receive_rest(front, conn) < 0);
    }
    if (event->has_buffer)
        uring_buffer_return(front->reactor->uring, event->buffer);
    if (!conn)
        return;
    if (conn->state == CONN_CLOSING) {
        conn_mark_dirty(front, conn); /* to be freed at the end of the pass */
        return;
    }
    if (is_broken)
        conn_event(front, conn, CONN_EV_LEFT);
    else if (event->result == 0 && conn->state == CONN_BODY && conn->is_held)
        return; /* it comes again once what has arrived before was taken */
    else if (event->result == 0)
        conn_input_end(front, conn);
    else if (event->result < 0 && event->result != -ENOBUFS && event->result != -ECANCELED &&
             event->result != -EINTR && event->result != -EAGAIN)
        conn_event(front, conn, CONN_EV_LEFT);
    else if (conn_is_answered(conn) && !conn->recv_paused &&
             (conn->input.bytes + RECEIVE_BUFFER_BYTES > INPUT_BYTES_MAX || conn->input_lost))
        conn_pause(front, conn);
    conn_receive_again(front, conn);
}

static void conn_input_free(struct front *front, struct conn *conn)
{
    input_buffer_free(&conn->input, front->input);
}

/* Brings what strangers hold up to date with what this connection does. */
static void conn_input_count(struct front *front, struct conn *conn)
{
    const uint32_t held = conn->is_known ? 0 : conn->input.room + conn->body.kept.room;
    front->stranger_input_bytes += held;
    front->stranger_input_bytes -= conn->stranger_input_bytes;
    conn->stranger_input_bytes = held;
}

/* Whether so much more of this connection may be held, as far as it is a stranger. */
static bool conn_input_fits(const struct front *front, const struct conn *conn, size_t bytes)
{
    return conn->is_known ||
           front->stranger_input_bytes + bytes <= front->input->bytes_max / STRANGER_SHARE;
}

static void conn_input_refuse(struct front *front, struct conn *conn, int status,
                              const char *reason)
{
    conn_event(front, conn, CONN_EV_REFUSED);
    response_refuse(front, conn, status, reason);
}

/* There is no memory for more of the request that arrives. What is being answered goes on: then it
 * is the next request that is lost, and with it the connection, once the answer is complete. */
static void conn_input_overload(struct front *front, struct conn *conn, int rc)
{
    mr_assert(rc == -ENOMEM || rc == -ENOBUFS);
    conn_input_free(front, conn);
    front_count_refusal(front,
                        rc == -ENOBUFS ? REQUEST_REFUSAL_INPUT_MEMORY : REQUEST_REFUSAL_MEMORY);
    conn->input_lost = true;
    if (conn_is_answered(conn)) {
        conn->request.keep_alive = false;
        return;
    }
    conn_event(front, conn, CONN_EV_REFUSED);
    response_overload(front, conn);
}

/* False: the rest of the body is not taken. */
static bool conn_input_give(struct front *front, struct conn *conn, struct http_text span,
                            bool is_last)
{
    int rc = front->ops->body(front->owner, conn, span, is_last);
    if (rc < 0)
        conn_input_overload(front, conn, rc);
    return conn->state == CONN_BODY;
}

/* How much of what there is of a body is looked at together. */
static size_t conn_input_piece(const struct conn *conn, size_t count)
{
    if (!conn->request.is_streamed)
        return count;
    return conn->is_held ? 0 : count < HTTP_PIECE_BYTES ? count : HTTP_PIECE_BYTES;
}

/* Takes what there is of a body. A span is given when it is known whether it is the last one. */
static size_t conn_input_step_body(struct front *front, struct conn *conn, const char *bytes,
                                   size_t count)
{
    struct http_text span = {0};
    size_t used = 0;
    for (;;) {
        struct http_text next;
        size_t consumed = 0;
        const char *reason = NULL;
        const size_t offered = conn_input_piece(conn, count - used);
        int rc = http_body_feed(&conn->framing, bytes + used, offered, &consumed, &next, &reason);
        if (rc < 0) {
            conn_input_refuse(front, conn, -rc, reason);
            return count;
        }
        used += consumed;
        conn->body_bytes += consumed;
        if (rc == HTTP_BODY_COMPLETE) {
            if (conn->client_eof && used == count)
                conn->request.keep_alive = false; /* it is the last one */
            conn_input_give(front, conn, span, true);
            return used;
        }
        if (span.bytes > 0 && !conn_input_give(front, conn, span, false))
            return count;
        span = rc == HTTP_BODY_DATA ? next : (struct http_text){0};
        if (rc == HTTP_BODY_MORE)
            return used;
    }
}

static uint64_t conn_input_body_max(const struct front *front, const struct conn *conn)
{
    if (conn->request.body_bytes_max > 0)
        return conn->request.body_bytes_max;
    const uint32_t limit = front->config->body_bytes_max;
    return conn->is_known || limit < STRANGER_BYTES_MAX ? limit : STRANGER_BYTES_MAX;
}

/* Takes a head when all of it is there. Returns the bytes used; 0: more is needed. */
static size_t conn_input_step_head(struct front *front, struct conn *conn, const char *bytes,
                                   size_t count)
{
    const char *reason = NULL;
    struct http_head *head = &front->head;
    int used = http_parse_head(&conn->scan, bytes, count, head, &reason);
    /* Nothing of the last request is left, also for a head that never comes to its end. */
    conn->request = (struct request){.minor = 1};
    if (used == 0) {
        conn_event(front, conn, CONN_EV_HEAD_PART);
        return 0;
    }
    memset(&conn->scan, 0, sizeof conn->scan);
    if (used < 0) {
        conn_input_refuse(front, conn, -used, reason);
        return count;
    }
    conn_event(front, conn, CONN_EV_HEAD);
    const bool is_wanted = front->ops->head(front->owner, conn, head);
    conn->is_known = conn->request.is_trusted;
    if (!is_wanted)
        return (size_t)used;
    int rc = http_body_init(&conn->framing, head, conn_input_body_max(front, conn), &reason);
    if (rc < 0) {
        conn_input_refuse(front, conn, -rc, reason);
        return count;
    }
    conn->body_bytes = 0;
    conn->is_held = false;
    if (conn->request.is_streamed)
        conn_receive_singly(front, conn);
    conn_event(front, conn, CONN_EV_WANTED);
    if (conn->request.has_body && !conn_input_fits(front, conn, count - (size_t)used)) {
        conn_input_overload(front, conn, -ENOBUFS);
        return count;
    }
    if (head->expect_continue && (size_t)used == count) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        if (out_append(&front->out, &conn->out, go_on, sizeof go_on - 1, false) < 0) {
            conn_doom(front, conn);
            return count;
        }
        conn_mark_dirty(front, conn);
    }
    return (size_t)used + conn_input_step_body(front, conn, bytes + used, count - (size_t)used);
}

/* Room for `more` bytes behind the first `count`. 0 or what input_buffer_reserve() says. */
static int conn_input_reserve(struct front *front, struct conn *conn, uint32_t count, size_t more)
{
    if (!conn_input_fits(front, conn, more))
        return -ENOBUFS;
    return input_buffer_reserve(&conn->input, front->input, count, more,
                                INPUT_BYTES_MAX + RECEIVE_BUFFER_BYTES);
}

/* Whether the connection ends with the answer that is being made, so that nobody will look at the
 * `count` bytes behind its request. */
static bool conn_input_is_surplus(const struct conn *conn, size_t count)
{
    const bool is_too_much = !conn->is_known && count > STRANGER_BYTES_MAX;
    return conn_is_answered(conn) && (!conn->request.keep_alive || is_too_much);
}

static void conn_input_drop_surplus(struct front *front, struct conn *conn)
{
    conn_input_free(front, conn);
    conn->request.keep_alive = false;
    conn->input_lost = true;
}

/* Keeps what could not be used yet. `bytes` may lie in conn->input.data itself. */
static void conn_input_keep(struct front *front, struct conn *conn, const char *bytes, size_t count)
{
    if (count == 0) {
        conn_input_free(front, conn);
        return;
    }
    if (conn_input_is_surplus(conn, count)) {
        conn_input_drop_surplus(front, conn);
        return;
    }
    if (conn->input.data && bytes >= conn->input.data &&
        bytes < conn->input.data + conn->input.room) {
        memmove(conn->input.data, bytes, count);
    } else {
        int rc = conn_input_reserve(front, conn, 0, count);
        if (rc < 0) {
            conn_input_overload(front, conn, rc);
            return;
        }
        memcpy(conn->input.data, bytes, count);
    }
    conn->input.bytes = (uint32_t)count;
}

/* Puts what has come behind what waits. 0 or what input_buffer_reserve() says. */
static int conn_input_append(struct front *front, struct conn *conn, const char *bytes,
                             size_t count)
{
    int rc = conn_input_reserve(front, conn, conn->input.bytes, count);
    if (rc < 0)
        return rc;
    memcpy(conn->input.data + conn->input.bytes, bytes, count);
    conn->input.bytes += (uint32_t)count;
    return 0;
}

static void conn_input_take(struct front *front, struct conn *conn, const char *bytes, size_t count)
{
    if (conn_input_is_surplus(conn, conn->input.bytes + count)) {
        conn_input_drop_surplus(front, conn);
        return;
    }
    if (conn->input.bytes > 0) {
        int rc = count > 0 ? conn_input_append(front, conn, bytes, count) : 0;
        if (rc < 0) {
            conn_input_overload(front, conn, rc);
            return;
        }
        bytes = conn->input.data;
        count = conn->input.bytes;
    } else if (conn->state == CONN_BODY && !conn_input_fits(front, conn, count)) {
        conn_input_overload(front, conn, -ENOBUFS);
        return;
    }
    /* Bounded: each turn uses bytes, or ends. */
    enum conn_action action = CONN_ACT_KEEP;
    for (size_t used = 1; count > 0 && used > 0; bytes += used, count -= used) {
        action = conn_fsm_step(conn->state, CONN_EV_INPUT).action;
        used = 0;
        if (action == CONN_ACT_PARSE_HEAD)
            used = conn_input_step_head(front, conn, bytes, count);
        else if (action == CONN_ACT_PARSE_BODY)
            used = conn_input_step_body(front, conn, bytes, count);
    }
    if (action == CONN_ACT_IGNORE)
        count = 0;
    conn_input_keep(front, conn, bytes, count);
}

/* A run whose client sends no more looks like one whose client has left. */
static bool conn_is_left(const struct front *front, const struct conn *conn)
{
    return conn->state != CONN_SENDING &&
           (conn->state != CONN_RESPONDING || !front->config->keep_half_closed);
}

static void conn_receive_again(struct front *front, struct conn *conn)
{
    if (!(conn->kernel & CONN_OP_RECV) && !conn->recv_paused && !conn->client_eof &&
        conn->state != CONN_CLOSING)
        conn_receive(front, conn);
}

/* 0, or what the transport says of bytes that mean nothing. */
static int conn_received(struct front *front, struct conn *conn, const char *data, size_t bytes)
{
    const struct transport *transport = conn->transport;
    int rc = transport->received ? transport->received(&data, &bytes, conn->transport_state) : 0;
    if (rc == 0 && bytes > 0)
        conn_input_process(front, conn, data, bytes);
    return rc;
}

/* Of a streamed body, what else the socket has, as long as it is taken: a pass of the loop for each
 * buffer would be twice the work. No receive is queued, whose bytes would come later and belong in
 * front of these. Results as above. */
static int conn_receive_rest(struct front *front, struct conn *conn)
{
    int rc = 0;
    for (uint32_t i = 1;
         i < LARGE_RECEIVE_COUNT && rc == 0 && conn->state == CONN_BODY && !conn->is_held; i++) {
        ssize_t count = recv(conn->fd, front->rest, sizeof front->rest, MSG_DONTWAIT);
        if (count <= 0)
            break; /* nothing now; or its end, which is received again */
        front->counts.received_byte_count += (uint64_t)count;
        rc = conn_received(front, conn, front->rest, (size_t)count);
    }
    return rc;
}
