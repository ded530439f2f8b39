/* SPDX-License-Identifier: MIT */
/* conn.c - the life of a connection and its sending side; conn_input.c is the receiving side. */
#include "dispatcher/http/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/http/front.h"
#include "dispatcher/http/response.h"
#include "dispatcher/http/transport.h"

#define LINGER_MS 2000u

#define TOO_MANY "{\"detail\":\"Too many connections.\"}\n"
#define TOO_MANY_OF_CLIENT "{\"detail\":\"Too many connections from one address.\"}\n"
#define FORBIDDEN "{\"detail\":\"Only root and the user of the server may connect here.\"}\n"
_Static_assert(sizeof TOO_MANY - 1 == 35, "its Content-Length");
_Static_assert(sizeof TOO_MANY_OF_CLIENT - 1 == 52, "its Content-Length");
_Static_assert(sizeof FORBIDDEN - 1 == 68, "its Content-Length");

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
static const char forbidden[] = "HTTP/1.1 403 Forbidden\r\n"
                                "Content-Type: application/json\r\n"
                                "Content-Length: 68\r\n"
                                "Connection: close\r\n\r\n" FORBIDDEN;

static struct uring_ref conn_ref(const struct conn *conn, enum uring_op op);
static bool conn_enter_client(struct front *front, int fd, uint32_t *client_index);
static void conn_turn_away(struct front *front, int fd, const struct transport *transport,
                           enum request_refusal refusal);
static void conn_leave_client(struct front *front, uint32_t client_index);
static void conn_act(struct front *front, struct conn *conn, enum conn_action action);

static uint64_t conn_due_ms(const struct front *front, const struct conn *conn);
static void conn_reset_at_close(const struct conn *conn, bool does);
static void conn_next(struct front *front, struct conn *conn);
static void conn_return(struct front *front, struct conn *conn);

void conn_open(struct front *front, int fd, const struct transport *transport)
{
    struct conn *conn = front->free;
    uint32_t client_index;
    void *state = NULL;
    if (!conn) {
        conn_turn_away(front, fd, transport, REQUEST_REFUSAL_CONNECTIONS);
        return;
    }
    if (!conn_enter_client(front, fd, &client_index)) {
        conn_turn_away(front, fd, transport, REQUEST_REFUSAL_CLIENT_CONNECTIONS);
        return;
    }
    if (transport->open && transport->open(&state) < 0) {
        conn_leave_client(front, client_index);
        conn_turn_away(front, fd, transport, REQUEST_REFUSAL_MEMORY);
        return;
    }
    front->free = conn->next;
    front->conn_count++;
    front->counts.accepted_count++;
    if (conn->index - front->index_base >= front->opened_count)
        front->opened_count = conn->index - front->index_base + 1;
    *conn = (struct conn){.index = conn->index,
                          .generation = conn->generation + 1,
                          .timer = conn->timer,
                          .client_index = client_index,
                          .transport = transport,
                          .transport_state = state,
                          .fd = fd};
    conn_event(front, conn, CONN_EV_ACCEPTED);
}

void conn_refuse_peer(struct front *front, int fd, const struct transport *transport)
{
    conn_turn_away(front, fd, transport, REQUEST_REFUSAL_FORBIDDEN);
}

const char *conn_client(struct conn *conn)
{
    if (conn->client[0] == '\0') {
        struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
        socklen_t bytes = sizeof address;
        const void *part = &((const struct sockaddr_in *)&address)->sin_addr;
        if (getpeername(conn->fd, (struct sockaddr *)&address, &bytes) == -1)
            address.ss_family = AF_UNSPEC;
        if (address.ss_family == AF_INET6)
            part = &((const struct sockaddr_in6 *)&address)->sin6_addr;
        if (!inet_ntop(address.ss_family, part, conn->client, sizeof conn->client))
            memcpy(conn->client, "?", 2);
    }
    return conn->client[0] == '?' ? NULL : conn->client;
}

void conn_event(struct front *front, struct conn *conn, enum conn_event event)
{
    const struct conn_step step = conn_fsm_step(conn->state, event);
    if (step.next != conn->state) {
        conn->state = step.next;
        conn->phase_ms = front->reactor->now_ms;
        conn_update_timer(front, conn);
    }
    if (step.action != CONN_ACT_NONE)
        conn_act(front, conn, step.action);
}

/* ---- time ---------------------------------------------------------------------------------- */

/* Lazy: a timer that fires too early looks again, so states may change without touching the
 * heap. */
void conn_update_timer(struct front *front, struct conn *conn)
{
    uint64_t due_ms = conn_due_ms(front, conn);
    if (due_ms != UINT64_MAX && (conn->timer.position == 0 || due_ms < conn->timer.due_ms))
        timer_set(&front->reactor->timers, &conn->timer, due_ms);
}

void conn_on_timer(struct front *front, struct conn *conn)
{
    if (front->reactor->now_ms < conn_due_ms(front, conn))
        conn_update_timer(front, conn);
    else if (conn->state == CONN_RESPONDING && conn->due_ms != 0)
        conn_event(front, conn, CONN_EV_DUE);
    else
        conn_event(front, conn, CONN_EV_TIME_OVER);
}

/* When the present state ends by itself; UINT64_MAX: never. */
static uint64_t conn_due_ms(const struct front *front, const struct conn *conn)
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
        break;
    case CONN_LINGERING:
        return conn->phase_ms + LINGER_MS;
    case CONN_FREE:
    case CONN_DOOMED:
    case CONN_CLOSING:
        return UINT64_MAX;
    case CONN_SENDING:
    case CONN_STATE_COUNT:
        break;
    }
    return conn->kernel & CONN_OP_SEND ? conn->sent_ms + config->stall_timeout_ms : UINT64_MAX;
}

/* ---- who answers --------------------------------------------------------------------------- */

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
    conn_event(front, conn, CONN_EV_DOOMED);
}

void conn_response_done(struct front *front, struct conn *conn)
{
    conn_event(front, conn, CONN_EV_ANSWERED);
}

void conn_answer_begin(struct front *front, struct conn *conn)
{
    conn_event(front, conn, CONN_EV_TAKEN);
}

void conn_set_due(struct front *front, struct conn *conn, uint64_t due_ms)
{
    mr_assert(conn->pending && due_ms != 0);
    conn->due_ms = due_ms;
    conn_update_timer(front, conn);
}

void conn_detach(struct conn *conn)
{
    conn->pending = NULL;
    conn->due_ms = 0;
}

void conn_unframed(struct conn *conn)
{
    conn->is_unframed = true;
    conn_reset_at_close(conn, true);
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

static void conn_abandon(struct front *front, struct conn *conn, enum exchange_end end)
{
    if (!conn->pending)
        return;
    front->ops->gone(front->owner, conn, end);
    mr_assert(!conn->pending);
}

/* With this, close() sends RST in place of FIN. */
static void conn_reset_at_close(const struct conn *conn, bool does)
{
    struct linger linger = {.l_onoff = does, .l_linger = 0};
    setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

/* ---- sending ------------------------------------------------------------------------------- */

void conn_flush(struct front *front, struct conn *conn)
{
    conn->is_dirty = false;
    if (conn->state == CONN_CLOSING) {
        conn_return(front, conn);
        return;
    }
    if (conn->state == CONN_DOOMED) {
        conn_event(front, conn, CONN_EV_LEFT); /* dirty again, and freed at its next turn */
        return;
    }
    if (conn->kernel & CONN_OP_SEND)
        return;
    uint32_t count = out_lend(&conn->out, conn->vectors, OUT_IOVEC_COUNT_MAX);
    if (count == 0) {
        if (conn->state == CONN_SENDING)
            conn_next(front, conn);
        return;
    }
    conn->message = (struct msghdr){.msg_iov = conn->vectors, .msg_iovlen = count};
    conn->transport->send(front->reactor->uring, conn->fd, &conn->message,
                          conn_ref(conn, URING_SEND), conn->transport_state);
    conn->kernel |= CONN_OP_SEND;
    conn->sent_ms = front->reactor->now_ms;
    front->counts.send_count++;
    conn_update_timer(front, conn);
}

void conn_on_send(struct front *front, const struct uring_event *event)
{
    struct conn *conn = front_conn(front, event->ref);
    if (!conn)
        return;
    conn->kernel &= (uint8_t)~CONN_OP_SEND;
    size_t left = event->result > 0 ? (size_t)event->result : 0;
    if (conn->transport->sent)
        left = conn->transport->sent(left, conn->transport_state);
    uint64_t charge = out_sent(&front->out, &conn->out, left);
    if (conn->state == CONN_CLOSING) {
        conn_return(front, conn);
        return;
    }
    if (event->result < 0 && event->result != -EINTR && event->result != -EAGAIN) {
        conn_event(front, conn, CONN_EV_LEFT);
        return;
    }
    conn->sent_ms = front->reactor->now_ms;
    if (event->result > 0)
        front->counts.sent_byte_count += (uint64_t)event->result;
    if (charge > 0 && conn->pending)
        front->ops->sent(front->owner, conn, charge);
    if (!out_is_empty(&conn->out) || conn->state == CONN_SENDING)
        conn_mark_dirty(front, conn);
}

static void conn_give_output(struct front *front, struct conn *conn)
{
    mr_assert(front->stranger_output_bytes >= conn->stranger_output_bytes);
    front->stranger_output_bytes -= conn->stranger_output_bytes;
    conn->stranger_output_bytes = 0;
}

/* The response has left; what comes next? */
static void conn_next(struct front *front, struct conn *conn)
{
    mr_assert(!conn->pending);
    conn_give_output(front, conn);
    if (conn->is_unframed)
        conn_reset_at_close(conn, false);
    conn->is_unframed = false;
    if (conn->request.keep_alive)
        conn_event(front, conn, CONN_EV_SENT);
    else
        conn_event(front, conn, conn->client_eof ? CONN_EV_LEFT : CONN_EV_SENT_LAST);
}

/* It is free when nobody holds it any more. */
static void conn_return(struct front *front, struct conn *conn)
{
    if (conn->kernel == 0 && !conn->is_dirty)
        conn_event(front, conn, CONN_EV_RETURNED);
}

/* ---- receiving ----------------------------------------------------------------------------- */

void conn_receive(struct front *front, struct conn *conn)
{
    conn->transport->recv(front->reactor->uring, conn->fd, conn_ref(conn, URING_RECV),
                          conn->is_large, conn->transport_state);
    conn->kernel |= CONN_OP_RECV;
}

void conn_receive_singly(struct front *front, struct conn *conn)
{
    if (conn->is_large)
        return;
    conn->is_large = true;
    if (conn->kernel & CONN_OP_RECV)
        uring_cancel(front->reactor->uring, conn_ref(conn, URING_RECV)); /* and then again */
}

void conn_pause(struct front *front, struct conn *conn)
{
    conn->recv_paused = true;
    if (conn->kernel & CONN_OP_RECV)
        uring_cancel(front->reactor->uring, conn_ref(conn, URING_RECV));
    if (!(conn->kernel & CONN_OP_GONE))
        uring_poll_gone(front->reactor->uring, conn->fd, conn_ref(conn, URING_GONE));
    conn->kernel |= CONN_OP_GONE;
}

static struct uring_ref conn_ref(const struct conn *conn, enum uring_op op)
{
    return (struct uring_ref){op, conn->index, conn->generation};
}

/* Everything but a connection that is still being answered waits for bytes: for the rest of a head
 * or a body, for the next request, or for the end of what is read away. */
void conn_resume(struct front *front, struct conn *conn)
{
    if (!conn->recv_paused || conn_is_answered(conn) || conn->state == CONN_DOOMED ||
        conn->state == CONN_CLOSING)
        return;
    conn->recv_paused = false;
    if (conn->kernel & CONN_OP_GONE)
        uring_cancel(front->reactor->uring, conn_ref(conn, URING_GONE));
    if (!(conn->kernel & CONN_OP_RECV))
        conn_receive(front, conn);
    /* Else its end is on the way, and then it is queued again. */
}

/* ---- actions of the table -------------------------------------------------------------------- */

static void act_forget_body(struct front *front, struct conn *conn)
{
    conn_abandon(front, conn, EXCHANGE_REFUSED);
    body_drop(&conn->body, front->input);
}

static void act_count_request(struct front *front, struct conn *conn)
{
    front->counts.request_count++;
    if (!http_body_is_complete(&conn->framing))
        conn->request.keep_alive = false; /* what follows is not looked at */
}

static void act_next(struct front *front, struct conn *conn)
{
    if (conn->input.bytes > 0)
        conn_input_process(front, conn, NULL, 0);
    if (conn->client_eof)
        conn_input_end(front, conn);
    conn_resume(front, conn);
}

static void act_linger(struct front *front, struct conn *conn)
{
    conn_input_finish(front, conn); /* what followed is never looked at */
    conn->transport->shut(conn->fd, SHUT_WR, conn->transport_state);
    conn_resume(front, conn);
}

static void act_note_end(struct conn *conn)
{
    conn->client_eof = true;
    if (conn->input.bytes == 0)
        conn->request.keep_alive = false;
}

static void act_shut(struct front *front, struct conn *conn)
{
    conn_abandon(front, conn, EXCHANGE_LEFT);
    /* All operations come back soon after. A FIN would look like the end of an unframed
     * response. */
    if (!conn->is_unframed)
        conn->transport->shut(conn->fd, SHUT_RDWR, conn->transport_state);
    else if (conn->kernel & CONN_OP_SEND)
        uring_cancel(front->reactor->uring, conn_ref(conn, URING_SEND));
    if (conn->kernel & CONN_OP_RECV)
        uring_cancel(front->reactor->uring, conn_ref(conn, URING_RECV));
    if (conn->kernel & CONN_OP_GONE)
        uring_cancel(front->reactor->uring, conn_ref(conn, URING_GONE));
    conn_mark_dirty(front, conn);
}

static void act_stall(struct front *front, struct conn *conn)
{
    front->counts.stall_count++;
    log_event(&front->reactor->log, LEVEL_INFO, "client_stalled", LOG_NATURAL("conn", conn->index),
              LOG_NATURAL("waiting_bytes", conn->out.bytes));
    conn_abandon(front, conn, EXCHANGE_STALLED);
    act_shut(front, conn);
}

static void act_release(struct front *front, struct conn *conn)
{
    out_clear(&front->out, &conn->out);
    conn_give_output(front, conn);
    timer_clear(&front->reactor->timers, &conn->timer);
    conn_input_finish(front, conn);
    if (conn->transport->close)
        conn->transport->close(conn->transport_state);
    conn->transport_state = NULL;
    close(conn->fd);
    conn->fd = -1;
    conn_leave_client(front, conn->client_index);
    conn->next = front->free;
    front->free = conn;
    front->conn_count--;
    /* A descriptor is free again: those who wait in the backlog need not wait for the timer. */
    if (front->accept_timer.position != 0)
        timer_set(&front->reactor->timers, &front->accept_timer, front->reactor->now_ms);
}

static void conn_act(struct front *front, struct conn *conn, enum conn_action action)
{
    switch (action) {
    case CONN_ACT_NONE:
        break;
    case CONN_ACT_RECEIVE:
        conn_receive(front, conn);
        break;
    case CONN_ACT_COUNT_REQUEST:
        act_count_request(front, conn);
        break;
    case CONN_ACT_FORGET_BODY:
        act_forget_body(front, conn);
        break;
    case CONN_ACT_REFUSE_HEAD:
        response_refuse(front, conn, 408, "The request head did not arrive in time.");
        break;
    case CONN_ACT_REFUSE_BODY:
        act_forget_body(front, conn);
        response_refuse(front, conn, 408, "The request body arrives too slowly.");
        break;
    case CONN_ACT_NEXT:
        act_next(front, conn);
        break;
    case CONN_ACT_LINGER:
        act_linger(front, conn);
        break;
    case CONN_ACT_NOTE_END:
        act_note_end(conn);
        break;
    case CONN_ACT_EXPIRE:
        front->ops->expired(front->owner, conn);
        break;
    case CONN_ACT_STALL:
        act_stall(front, conn);
        break;
    case CONN_ACT_FLUSH:
        conn_mark_dirty(front, conn);
        break;
    case CONN_ACT_SHUT:
        act_shut(front, conn);
        break;
    case CONN_ACT_RELEASE:
        act_release(front, conn);
        break;
    case CONN_ACT_PARSE_HEAD: /* of input, which conn_input_process() has */
    case CONN_ACT_PARSE_BODY:
    case CONN_ACT_KEEP:
    case CONN_ACT_IGNORE:
    case CONN_ACT_INVALID:
    case CONN_ACT_COUNT:
        mr_unreachable("an action of input, or none");
    }
}

/* ---- who may come ---------------------------------------------------------------------------- */

/* Nothing is kept for it, so what a full socket would not take is lost with it. */
static void conn_turn_away(struct front *front, int fd, const struct transport *transport,
                           enum request_refusal refusal)
{
    front_count_refusal(front, refusal);
    if (transport->turn_away && refusal == REQUEST_REFUSAL_CLIENT_CONNECTIONS)
        transport->turn_away(fd, too_many_of_client, sizeof too_many_of_client - 1);
    else if (transport->turn_away && refusal == REQUEST_REFUSAL_FORBIDDEN)
        transport->turn_away(fd, forbidden, sizeof forbidden - 1);
    else if (transport->turn_away)
        transport->turn_away(fd, too_many, sizeof too_many - 1);
    close(fd);
}

static void conn_leave_client(struct front *front, uint32_t client_index)
{
    if (client_index != CLIENT_NONE)
        clients_leave(&front->clients, client_index);
}

/* False: its client has as many as it may. */
static bool conn_enter_client(struct front *front, int fd, uint32_t *client_index)
{
    struct sockaddr_storage address = {0};
    socklen_t bytes = sizeof address;
    *client_index = CLIENT_NONE;
    if (front->config->conn_per_client_max == 0 ||
        getpeername(fd, (struct sockaddr *)&address, &bytes) == -1 || address.ss_family == AF_UNIX)
        return true; /* the one; or it has left already; or it has no address: an operator */
    *client_index = clients_enter(&front->clients, &address, front->config->conn_per_client_max);
    return *client_index != CLIENT_NONE;
}
