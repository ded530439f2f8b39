/* SPDX-License-Identifier: MIT */
/* conn.c - the life of a connection and its sending side; conn_input.c is the receiving side. */
#include "dispatcher/http/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/http/front.h"
#include "dispatcher/http/response.h"

#define LINGER_MS 2000u

#define TOO_MANY "{\"detail\":\"Too many connections.\"}\n"
#define TOO_MANY_OF_CLIENT "{\"detail\":\"Too many connections from one address.\"}\n"
_Static_assert(sizeof(TOO_MANY) - 1 == 35, "its Content-Length");
_Static_assert(sizeof(TOO_MANY_OF_CLIENT) - 1 == 52, "its Content-Length");

static const char too_many[] = "HTTP/1.1 503 Service Unavailable\r\n"
                               "Content-Type: application/json\r\n"
                               "Content-Length: 35\r\n"
                               "Retry-After: 1\r\n"
                               "Connection: close\r\n\r\n" TOO_MANY;
static const char too_many_of_client[] = "HTTP/1.1 429 Too Many Requests\r\n"
                                         "Content-Type: application/json\r\n"
                                         "Content-Length: 52\r\n"
                                         "Retry-After: 1\r\n"
                                         "Connection: close\r\n\r\n" TOO_MANY_OF_CLIENT;

/* Nothing is kept for it, so what a full socket would not take is lost with it. */
static void refuse(struct front *front, int fd, enum request_refusal refusal, const char *text,
                   size_t count)
{
    front_count_refusal(front, refusal);
    ssize_t sent = send(fd, text, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)sent;
    close(fd);
}

/* False: its client has as many as it may. */
static bool client_enter(struct front *front, int fd, uint32_t *client_index)
{
    struct sockaddr_storage address;
    socklen_t bytes = sizeof(address);
    *client_index = CLIENT_NONE;
    if (front->config->conn_per_client_max == 0 ||
        getpeername(fd, (struct sockaddr *)&address, &bytes) == -1)
        return true; /* the one, or it has left already */
    *client_index = clients_enter(&front->clients, &address, front->config->conn_per_client_max);
    return *client_index != CLIENT_NONE;
}

void conn_open(struct front *front, int fd)
{
    struct conn *conn = front->free;
    uint32_t client_index;
    if (!conn) {
        refuse(front, fd, REQUEST_REFUSAL_CONNECTIONS, too_many, sizeof(too_many) - 1);
        return;
    }
    if (!client_enter(front, fd, &client_index)) {
        refuse(front, fd, REQUEST_REFUSAL_CLIENT_CONNECTIONS, too_many_of_client,
               sizeof(too_many_of_client) - 1);
        return;
    }
    front->free = conn->next;
    front->conn_count++;
    front->counts.accepted_count++;
    uint32_t index = conn->index, generation = conn->generation + 1;
    struct timer timer = conn->timer;
    memset(conn, 0, sizeof(*conn));
    conn->index = index;
    conn->generation = generation;
    conn->timer = timer;
    conn->client_index = client_index;
    conn->fd = fd;
    conn_enter(front, conn, CONN_IDLE);
    uring_recv(front->reactor->uring, fd, (struct uring_ref){URING_RECV, index, generation});
    conn->recv_queued = true;
}

static struct uring_ref ref_of(const struct conn *conn, enum uring_op op)
{
    return (struct uring_ref){op, conn->index, conn->generation};
}

void conn_enter(struct front *front, struct conn *conn, enum conn_state state)
{
    conn->state = state;
    conn->phase_ms = front->reactor->now_ms;
    conn_timer_update(front, conn);
}

/* When the present state ends by itself; UINT64_MAX: never. */
static uint64_t due_ms(const struct front *front, const struct conn *conn)
{
    const struct config *config = front->config;
    switch (conn->state) {
    case CONN_IDLE:
        return conn->phase_ms + config->idle_timeout_ms;
    case CONN_HEAD:
        return conn->phase_ms + config->head_timeout_ms;
    case CONN_BODY: {
        /* The moment at which the bytes so far become too few. */
        uint64_t paid_ms = conn->body_bytes * 1000 / HTTP_BODY_RATE_MIN;
        return conn->phase_ms + HTTP_BODY_GRACE_MS + paid_ms;
    }
    case CONN_RESPONDING:
        if (conn->due_ms != 0)
            return conn->due_ms;
        return conn->send_queued ? conn->sent_ms + config->stall_timeout_ms : UINT64_MAX;
    case CONN_LINGERING:
        return conn->phase_ms + LINGER_MS;
    case CONN_FREE:
    case CONN_CLOSING:
    case CONN_STATE_COUNT:
        break;
    }
    return UINT64_MAX;
}

/* Lazy: a timer that fires too early looks again, so states may change without touching the
 * heap. */
void conn_timer_update(struct front *front, struct conn *conn)
{
    uint64_t due = due_ms(front, conn);
    if (due != UINT64_MAX && (conn->timer.position == 0 || due < conn->timer.due_ms))
        timer_set(&front->reactor->timers, &conn->timer, due);
}

void conn_on_timer(struct front *front, struct conn *conn)
{
    if (front->reactor->now_ms < due_ms(front, conn)) {
        conn_timer_update(front, conn);
        return;
    }
    switch (conn->state) {
    case CONN_HEAD:
        conn_enter(front, conn, CONN_RESPONDING);
        response_refuse(front, conn, 408, "The request head did not arrive in time.");
        break;
    case CONN_BODY:
        conn_enter(front, conn, CONN_RESPONDING);
        response_refuse(front, conn, 408, "The request body arrives too slowly.");
        break;
    case CONN_RESPONDING:
        if (conn->due_ms != 0) {
            front->ops->expired(front->owner, conn);
            break;
        }
        front->counts.stall_count++;
        log_line(&front->reactor->log, LEVEL_INFO, "client_stalled", "conn=%u waiting_bytes=%llu",
                 conn->index, (unsigned long long)conn->out.bytes);
        conn_abandon(front, conn, EXCHANGE_STALLED);
        conn_close(front, conn);
        break;
    case CONN_IDLE:
    case CONN_LINGERING:
        conn_close(front, conn);
        break;
    case CONN_FREE:
    case CONN_CLOSING:
    case CONN_STATE_COUNT:
        break;
    }
}

void conn_mark_dirty(struct front *front, struct conn *conn)
{
    if (conn->is_dirty)
        return;
    conn->is_dirty = true;
    conn->next = NULL;
    if (front->dirty)
        front->dirty_last->next = conn;
    else
        front->dirty = conn;
    front->dirty_last = conn;
}

void conn_doom(struct front *front, struct conn *conn)
{
    conn->is_doomed = true;
    conn_mark_dirty(front, conn);
}

void conn_response_done(struct front *front, struct conn *conn)
{
    mr_assert(conn->state == CONN_RESPONDING || conn->state == CONN_CLOSING);
    conn->response_done = true;
    conn_mark_dirty(front, conn);
}

void conn_answer_begin(struct front *front, struct conn *conn)
{
    mr_assert(conn->state == CONN_BODY);
    front->counts.request_count++;
    if (!http_body_is_complete(&conn->framing))
        conn->request.keep_alive = false; /* what follows is not looked at */
    conn_enter(front, conn, CONN_RESPONDING);
}

void conn_set_due(struct front *front, struct conn *conn, uint64_t due_ms)
{
    mr_assert(conn->pending && due_ms != 0);
    conn->due_ms = due_ms;
    conn_timer_update(front, conn);
}

void conn_detach(struct conn *conn)
{
    conn->pending = NULL;
    conn->due_ms = 0;
}

void conn_abandon(struct front *front, struct conn *conn, enum exchange_end end)
{
    if (!conn->pending)
        return;
    front->ops->gone(front->owner, conn, end);
    mr_assert(!conn->pending);
}

bool conn_answer_fits(struct front *front, struct conn *conn, size_t bytes)
{
    if (conn->request.is_trusted)
        return true;
    uint64_t cost = (bytes / OUT_BLOCK_ROOM + 1) * OUT_BLOCK_BYTES;
    uint64_t held = front->stranger_output_bytes + cost;
    /* The only one may be larger than the share of a small pool. */
    if (front->stranger_output_bytes > 0 && held > front->config->output_bytes_max / STRANGER_SHARE)
        return false;
    front->stranger_output_bytes = held;
    conn->stranger_output_bytes += (uint32_t)cost;
    return true;
}

static void answer_left(struct front *front, struct conn *conn)
{
    mr_assert(front->stranger_output_bytes >= conn->stranger_output_bytes);
    front->stranger_output_bytes -= conn->stranger_output_bytes;
    conn->stranger_output_bytes = 0;
}

static void conn_free(struct front *front, struct conn *conn)
{
    if (conn->recv_queued || conn->send_queued || conn->gone_queued || conn->is_dirty)
        return;
    out_clear(&front->out, &conn->out);
    answer_left(front, conn);
    timer_clear(&front->reactor->timers, &conn->timer);
    conn_input_finish(front, conn);
    close(conn->fd);
    conn->fd = -1;
    if (conn->client_index != CLIENT_NONE)
        clients_leave(&front->clients, conn->client_index);
    conn->state = CONN_FREE;
    conn->next = front->free;
    front->free = conn;
    front->conn_count--;
    /* A descriptor is free again: those who wait in the backlog need not wait for the timer. */
    if (front->accept_timer.position != 0)
        timer_set(&front->reactor->timers, &front->accept_timer, front->reactor->now_ms);
}

void conn_close(struct front *front, struct conn *conn)
{
    if (conn->state == CONN_CLOSING)
        return;
    conn_enter(front, conn, CONN_CLOSING);
    conn_abandon(front, conn, EXCHANGE_LEFT);
    /* All operations come back soon after. A FIN would look like the end of an unframed
     * response. */
    if (!conn->is_unframed)
        shutdown(conn->fd, SHUT_RDWR);
    else if (conn->send_queued)
        uring_cancel(front->reactor->uring, ref_of(conn, URING_SEND));
    if (conn->recv_queued)
        uring_cancel(front->reactor->uring, ref_of(conn, URING_RECV));
    if (conn->gone_queued)
        uring_cancel(front->reactor->uring, ref_of(conn, URING_GONE));
    conn_mark_dirty(front, conn);
}

/* With this, close() sends RST in place of FIN. */
static void resets_at_close(const struct conn *conn, bool does)
{
    struct linger linger = {.l_onoff = does, .l_linger = 0};
    setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

void conn_unframed(struct conn *conn)
{
    conn->is_unframed = true;
    resets_at_close(conn, true);
}

/* Everything but a connection that is still being answered waits for bytes: for the rest of a head
 * or a body, for the next request, or for the end of what is read away. */
static void recv_resume(struct front *front, struct conn *conn)
{
    if (!conn->recv_paused || conn->state == CONN_RESPONDING || conn->state == CONN_CLOSING)
        return;
    conn->recv_paused = false;
    if (conn->gone_queued)
        uring_cancel(front->reactor->uring, ref_of(conn, URING_GONE));
    if (conn->recv_queued)
        return; /* its end is on the way, and then it is queued again */
    uring_recv(front->reactor->uring, conn->fd, ref_of(conn, URING_RECV));
    conn->recv_queued = true;
}

/* The response has left; what comes next? */
static void conn_next(struct front *front, struct conn *conn)
{
    conn->response_done = false;
    mr_assert(!conn->pending);
    answer_left(front, conn);
    if (conn->is_unframed)
        resets_at_close(conn, false);
    conn->is_unframed = false;
    if (conn->client_eof && !conn->request.keep_alive) {
        conn_close(front, conn);
    } else if (!conn->request.keep_alive) {
        conn_input_finish(front, conn); /* what followed is never looked at */
        shutdown(conn->fd, SHUT_WR);
        conn_enter(front, conn, CONN_LINGERING);
    } else {
        conn_enter(front, conn, CONN_IDLE);
        if (conn->input.bytes > 0)
            conn_input_process(front, conn, NULL, 0);
        if (conn->client_eof)
            conn_input_end(front, conn);
    }
    recv_resume(front, conn);
}

void conn_flush(struct front *front, struct conn *conn)
{
    conn->is_dirty = false;
    if (conn->state == CONN_CLOSING) {
        conn_free(front, conn);
        return;
    }
    if (conn->is_doomed) {
        conn_close(front, conn); /* dirty again, and freed at its next turn */
        return;
    }
    if (conn->send_queued)
        return;
    uint32_t count = out_lend(&conn->out, conn->vectors, OUT_IOVEC_COUNT_MAX);
    if (count == 0) {
        if (conn->response_done)
            conn_next(front, conn);
        return;
    }
    conn->message = (struct msghdr){.msg_iov = conn->vectors, .msg_iovlen = count};
    uring_send(front->reactor->uring, conn->fd, &conn->message,
               (struct uring_ref){URING_SEND, conn->index, conn->generation});
    conn->send_queued = true;
    conn->sent_ms = front->reactor->now_ms;
    front->counts.send_count++;
    conn_timer_update(front, conn);
}

void conn_on_send(struct front *front, const struct uring_event *event)
{
    struct conn *conn = front_conn(front, event->ref);
    if (!conn)
        return;
    conn->send_queued = false;
    uint64_t charge =
        out_sent(&front->out, &conn->out, event->result > 0 ? (size_t)event->result : 0);
    if (conn->state == CONN_CLOSING) {
        conn_free(front, conn);
        return;
    }
    if (event->result < 0 && event->result != -EINTR && event->result != -EAGAIN) {
        conn_close(front, conn);
        return;
    }
    conn->sent_ms = front->reactor->now_ms;
    if (event->result > 0)
        front->counts.sent_byte_count += (uint64_t)event->result;
    if (charge > 0 && conn->pending)
        front->ops->sent(front->owner, conn, charge);
    if (!out_is_empty(&conn->out) || conn->response_done)
        conn_mark_dirty(front, conn);
}
