/* SPDX-License-Identifier: MIT */
/* bench_conn.c - one client of a load run. */
#include "dispatcher/cli/bench/bench_conn.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "millrace/limits.h"
#include "shm/clock.h"

/* Reads of one client before others have their turn. */
#define READS_PER_TURN 4
#define SLOW_HEAD_BYTES 4096u
#define BODY_BYTES_MAX (INT64_MAX / 16)

static void conn_drop(struct bench_plan *plan, struct bench_conn *conn);
static void conn_watch(struct bench_plan *plan, struct bench_conn *conn, int operation,
                       uint32_t events);
static bool conn_connect_begin(struct bench_plan *plan, struct bench_conn *conn);
static bool conn_read_some(struct bench_plan *plan, struct bench_conn *conn, size_t bytes_max);
static void conn_read_turn(struct bench_plan *plan, struct bench_conn *conn);
static void conn_connect_end(struct bench_plan *plan, struct bench_conn *conn);

static void conn_span_take(struct bench_plan *plan, struct bench_conn *conn, struct http_text data,
                           uint64_t now_ns)
{
    struct bench_stats *stats = &plan->stats;
    uint64_t before = conn->lines.count;
    bench_lines_take(&plan->look, &conn->lines, data.data, data.bytes, now_ns, &stats->latency);
    if (conn->lines.count == before)
        return;
    stats->line_count += conn->lines.count - before;
    if (before == 0)
        histogram_add(&stats->first_line, now_ns - conn->begin_ns);
    else
        histogram_add(&stats->gap, now_ns - conn->last_line_ns);
    conn->last_line_ns = now_ns;
}

/* ---- ends ------------------------------------------------------------------------------------ */

void bench_conn_abandon(struct bench_plan *plan, struct bench_conn *conn)
{
    if (conn->state != BENCH_IDLE)
        plan->stats.unfinished_count++;
    conn_drop(plan, conn);
}

static void conn_enter(struct bench_plan *plan, struct bench_conn *conn,
                       enum bench_conn_state state)
{
    if (!conn->is_slow)
        plan->under_way += (uint64_t)(state != BENCH_IDLE) - (uint64_t)(conn->state != BENCH_IDLE);
    plan->connecting_count +=
        (uint64_t)(state == BENCH_CONNECTING) - (uint64_t)(conn->state == BENCH_CONNECTING);
    conn->state = state;
}

static void conn_drop(struct bench_plan *plan, struct bench_conn *conn)
{
    if (conn->fd >= 0)
        close(conn->fd);
    free(conn->head);
    conn->head = NULL;
    conn->head_count = 0;
    conn->fd = -1;
    conn_enter(plan, conn, BENCH_IDLE);
}

static void conn_answer_is_whole(struct bench_plan *plan, struct bench_conn *conn, uint64_t now_ns)
{
    struct bench_stats *stats = &plan->stats;
    histogram_add(&stats->total, now_ns - conn->begin_ns);
    const struct bench_lines *lines = &conn->lines;
    bool miscounted = plan->lines_wanted > 0 && lines->count != plan->lines_wanted;
    if (lines->status != 200 || lines->is_failure) {
        stats->failed_count++;
        bench_lines_end(&conn->lines);
    } else if (miscounted || lines->is_wrong) {
        stats->wrong_count++;
        bench_example_say(&stats->examples, BENCH_WRONG,
                          "%" PRIu64 " lines where %" PRIu64 " were to come, the last one: %.*s",
                          lines->count, plan->lines_wanted, (int)lines->last_count, lines->last);
    } else {
        stats->complete_count++;
    }
    if (!plan->keep_alive || !conn->keeps)
        conn_drop(plan, conn);
    conn_enter(plan, conn, BENCH_IDLE);
    bench_conn_next(plan, conn, now_ns);
}

/* `why`, or without one the server closed the connection. */
static void conn_answer_is_cut(struct bench_plan *plan, struct bench_conn *conn, const char *why,
                               uint64_t now_ns)
{
    plan->stats.truncated_count++;
    bench_example_say(&plan->stats.examples, BENCH_TRUNCATED, "%s, %s, after %" PRIu64 " lines",
                      why ? why : "the connection was closed",
                      conn->state == BENCH_BODY ? "in the body" : "before the body",
                      conn->lines.count);
    conn_drop(plan, conn);
    bench_conn_next(plan, conn, now_ns);
}

static void conn_is_refused(struct bench_plan *plan, struct bench_conn *conn, int error)
{
    plan->stats.refused_count++;
    bench_example_say(&plan->stats.examples, BENCH_REFUSED, "%s", strerror(error));
    conn_drop(plan, conn);
}

/* ---- requests -------------------------------------------------------------------------------- */

bool bench_conn_next(struct bench_plan *plan, struct bench_conn *conn, uint64_t now_ns)
{
    if (plan->is_over ||
        (plan->request_count_max > 0 && plan->begun_count >= plan->request_count_max)) {
        conn_drop(plan, conn);
        return false;
    }
    plan->begun_count++;
    plan->stats.request_count++;
    conn->sent = 0;
    bench_lines_begin(&conn->lines);
    conn->begin_ns = now_ns;
    if (conn->fd == -1)
        return conn_connect_begin(plan, conn);
    conn_enter(plan, conn, BENCH_SENDING);
    conn_watch(plan, conn, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    return true;
}

static void conn_watch(struct bench_plan *plan, struct bench_conn *conn, int operation,
                       uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = conn};
    int rc = epoll_ctl(plan->epoll, operation, conn->fd, &event);
    mr_assert(rc == 0);
}

static bool conn_connect_begin(struct bench_plan *plan, struct bench_conn *conn)
{
    int on = 1;
    conn->fd = socket(plan->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd == -1) {
        conn_is_refused(plan, conn, errno);
        return false;
    }
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(conn->fd, (const struct sockaddr *)&plan->address, plan->address_bytes) == -1 &&
        errno != EINPROGRESS) {
        conn_is_refused(plan, conn, errno);
        return false;
    }
    conn_enter(plan, conn, BENCH_CONNECTING);
    conn_watch(plan, conn, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
    return true;
}

static void conn_request_send(struct bench_plan *plan, struct bench_conn *conn)
{
    while (conn->sent < plan->request_bytes) {
        ssize_t sent = send(conn->fd, plan->request + conn->sent, plan->request_bytes - conn->sent,
                            MSG_NOSIGNAL);
        if (sent == -1 && errno == EAGAIN)
            return;
        if (sent <= 0) {
            conn_answer_is_cut(plan, conn, strerror(errno), clock_now_ns());
            return;
        }
        conn->sent += (size_t)sent;
    }
    conn_enter(plan, conn, BENCH_HEAD);
    http_scan_init_response(&conn->scan);
    conn_watch(plan, conn, EPOLL_CTL_MOD, EPOLLIN);
}

/* ---- answers --------------------------------------------------------------------------------- */

void bench_conn_read_slowly(struct bench_plan *plan, struct bench_conn *conn, uint64_t now_ns)
{
    if (conn->state != BENCH_BODY || plan->slow_bytes_per_s == 0)
        return;
    uint64_t bytes =
        (now_ns - conn->slow_ns) / 1000 * plan->slow_bytes_per_s / (CLOCK_NS_PER_S / 1000);
    if (bytes == 0)
        return;
    conn->slow_ns = now_ns;
    conn_read_some(plan, conn, bytes < BENCH_READ_BYTES ? (size_t)bytes : BENCH_READ_BYTES);
}

void bench_conn_ready(struct bench_plan *plan, struct bench_conn *conn)
{
    switch (conn->state) {
    case BENCH_CONNECTING:
        conn_connect_end(plan, conn);
        break;
    case BENCH_SENDING:
        conn_request_send(plan, conn);
        break;
    case BENCH_HEAD:
    case BENCH_BODY:
        conn_read_turn(plan, conn);
        break;
    case BENCH_IDLE:
    case BENCH_STATE_COUNT:
        break;
    }
}

static void conn_body_take(struct bench_plan *plan, struct bench_conn *conn, const char *bytes,
                           size_t count, uint64_t now_ns)
{
    for (;;) {
        struct http_text data;
        size_t used;
        const char *reason;
        int rc = http_body_feed(&conn->body, bytes, count, &used, &data, &reason);
        if (rc < 0) {
            conn_answer_is_cut(plan, conn, reason, now_ns);
            return;
        }
        bytes += used;
        count -= used;
        if (rc == HTTP_BODY_DATA)
            conn_span_take(plan, conn, data, now_ns);
        if (conn->is_leaver && conn->lines.count >= plan->leave_after) {
            plan->stats.left_count++;
            conn_drop(plan, conn);
            bench_conn_next(plan, conn, now_ns);
            return;
        }
        if (rc == HTTP_BODY_MORE)
            return;
        if (rc == HTTP_BODY_COMPLETE) {
            conn_answer_is_whole(plan, conn, now_ns);
            return;
        }
    }
}

static bool conn_head_keep(struct bench_conn *conn, const char *bytes, size_t count)
{
    char *grown = realloc(conn->head, conn->head_count + count);
    if (!grown)
        return false;
    memcpy(grown + conn->head_count, bytes, count);
    conn->head = grown;
    conn->head_count += count;
    return true;
}

static void conn_head_take(struct bench_plan *plan, struct bench_conn *conn, const char *bytes,
                           size_t count, uint64_t now_ns)
{
    const char *reason;
    char *whole = NULL;
    if (conn->head_count > 0) {
        if (!conn_head_keep(conn, bytes, count)) {
            conn_answer_is_cut(plan, conn, strerror(ENOMEM), now_ns);
            return;
        }
        whole = conn->head;
        bytes = whole;
        count = conn->head_count;
    }
    struct http_response *response = &plan->response;
    int used = http_parse_response_head(&conn->scan, bytes, count, response, &reason);
    if (used == 0 && (whole || conn_head_keep(conn, bytes, count)))
        return;
    conn->head = NULL;
    conn->head_count = 0;
    if (used <= 0) {
        conn_answer_is_cut(plan, conn, used < 0 ? reason : strerror(ENOMEM), now_ns);
    } else {
        conn_enter(plan, conn, BENCH_BODY);
        conn->keeps = response->keep_alive;
        conn->lines.status = response->status;
        plan->body_head.chunked = response->chunked;
        plan->body_head.has_length = response->has_length;
        conn->is_until_close = !response->chunked && !response->has_length;
        plan->body_head.content_length =
            conn->is_until_close ? BODY_BYTES_MAX : response->content_length;
        int rc = http_body_init(&conn->body, &plan->body_head, BODY_BYTES_MAX, &reason);
        mr_assert(rc == 0);
        conn->slow_ns = now_ns;
        if (conn->is_slow)
            conn_watch(plan, conn, EPOLL_CTL_MOD, 0);
        if (!conn->is_slow || plan->slow_bytes_per_s > 0)
            conn_body_take(plan, conn, bytes + used, count - (size_t)used, now_ns);
    }
    free(whole);
}

/* Reads at most so much. Returns true when there may be more to read at once. */
static bool conn_read_some(struct bench_plan *plan, struct bench_conn *conn, size_t bytes_max)
{
    ssize_t count = recv(conn->fd, plan->read_buffer, bytes_max, 0);
    if (count == -1 && (errno == EAGAIN || errno == EINTR))
        return false;
    uint64_t now_ns = clock_now_ns();
    if (count == 0 && conn->state == BENCH_BODY && conn->is_until_close) {
        conn->keeps = false;
        conn_answer_is_whole(plan, conn, now_ns);
        return false;
    }
    if (count <= 0) {
        conn_answer_is_cut(plan, conn, count < 0 ? strerror(errno) : NULL, now_ns);
        return false;
    }
    plan->stats.byte_count += (uint64_t)count;
    if (conn->state == BENCH_HEAD)
        conn_head_take(plan, conn, plan->read_buffer, (size_t)count, now_ns);
    else
        conn_body_take(plan, conn, plan->read_buffer, (size_t)count, now_ns);
    return (size_t)count == bytes_max && conn->state == BENCH_BODY;
}

/* Each client has its turn, and takes enough in it to be worth the call that woke us. A slow one is
 * woken in its body only by the end of its connection. */
static void conn_read_turn(struct bench_plan *plan, struct bench_conn *conn)
{
    if (conn->is_slow) {
        conn_read_some(plan, conn, conn->state == BENCH_HEAD ? SLOW_HEAD_BYTES : BENCH_READ_BYTES);
        return;
    }
    for (int i = 0; i < READS_PER_TURN; i++)
        if (!conn_read_some(plan, conn, BENCH_READ_BYTES))
            return;
}

static void conn_connect_end(struct bench_plan *plan, struct bench_conn *conn)
{
    int error = 0;
    socklen_t bytes = sizeof(error);
    getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
    if (error != 0) {
        conn_is_refused(plan, conn, error);
        return;
    }
    conn_enter(plan, conn, BENCH_SENDING);
    conn_request_send(plan, conn);
}
