/* SPDX-License-Identifier: MIT */
/* bench_conn.c - one client of a load run. */
#include "dispatcher/cli/bench_conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "millrace/limits.h"

/* ---- lines ------------------------------------------------------------------------------------
 */

/* The number behind `key` in a line; false when it is not there. */
static bool number_find(const char *line, size_t count, const char *key, size_t key_count,
                        uint64_t *out)
{
    const char *at = memmem(line, count, key, key_count);
    if (!at)
        return false;
    const char *end = line + count;
    uint64_t number = 0;
    at += key_count;
    if (at == end || *at < '0' || *at > '9')
        return false;
    for (; at < end && *at >= '0' && *at <= '9'; at++)
        number = number * 10 + (uint64_t)(*at - '0');
    *out = number;
    return true;
}

#define NUMBER_FIND(line, count, key, out) number_find(line, count, key, sizeof(key) - 1, out)

/* Lines that are no results: blank ones, and what server-sent events add. */
static bool line_counts(const struct bench_plan *plan, const char *line, size_t count)
{
    if (!plan->is_events)
        return count > 0;
    return count > 6 && memcmp(line, "data: ", 6) == 0 && line[6] == '{';
}

static void line_take(struct bench_plan *plan, struct bench_conn *conn, const char *line,
                      size_t count, uint64_t now_ns)
{
    uint64_t number;
    if (!line_counts(plan, line, count))
        return;
    conn->lines++;
    plan->stats.line_count++;
    if (!plan->look_at_lines)
        return;
    if (NUMBER_FIND(line, count, "\"i\":", &number) && number != conn->lines - 1)
        conn->is_wrong = true;
    if (NUMBER_FIND(line, count, "\"t_ns\":", &number) && now_ns > number)
        histogram_add(&plan->stats.latency, now_ns - number);
}

/* The last line of an answer says whether the run failed. */
static bool line_is_failure(const char *line, size_t count)
{
    static const char mark[] = "\"outputs\":null,\"error\":{";
    return memmem(line, count, mark, sizeof(mark) - 1) != NULL;
}

static void line_keep(struct bench_conn *conn, const char *bytes, size_t count)
{
    if (conn->line_count < BENCH_LINE_BYTES_MAX) {
        size_t room = BENCH_LINE_BYTES_MAX - conn->line_count;
        memcpy(conn->line + conn->line_count, bytes, count < room ? count : room);
    }
    conn->line_count += count;
}

static size_t kept(const struct bench_conn *conn)
{
    return conn->line_count < BENCH_LINE_BYTES_MAX ? conn->line_count : BENCH_LINE_BYTES_MAX;
}

static void span_take(struct bench_plan *plan, struct bench_conn *conn, const char *bytes,
                      size_t count, uint64_t now_ns)
{
    uint64_t before = conn->lines;
    const char *end = bytes + count;
    const char *last = NULL;
    size_t last_count = 0;
    while (bytes < end) {
        const char *newline = memchr(bytes, '\n', (size_t)(end - bytes));
        if (!newline) {
            line_keep(conn, bytes, (size_t)(end - bytes));
            break;
        }
        last = bytes;
        last_count = (size_t)(newline - bytes);
        if (conn->line_count > 0) {
            line_keep(conn, bytes, last_count);
            last = conn->line;
            last_count = kept(conn);
            conn->line_count = 0;
        }
        line_take(plan, conn, last, last_count, now_ns);
        bytes = newline + 1;
    }
    if (last && line_is_failure(last, last_count))
        conn->has_error = true;
    if (conn->lines == before)
        return;
    if (before == 0)
        histogram_add(&plan->stats.first_line, now_ns - conn->begin_ns);
    else
        histogram_add(&plan->stats.gap, now_ns - conn->last_line_ns);
    conn->last_line_ns = now_ns;
}

/* ---- ends -------------------------------------------------------------------------------------
 */

static void conn_enter(struct bench_plan *plan, struct bench_conn *conn,
                       enum bench_conn_state state)
{
    if (!conn->is_slow)
        plan->under_way += (uint64_t)(state != BENCH_IDLE) - (uint64_t)(conn->state != BENCH_IDLE);
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

static void answer_is_whole(struct bench_plan *plan, struct bench_conn *conn, uint64_t now_ns)
{
    struct bench_stats *stats = &plan->stats;
    histogram_add(&stats->total, now_ns - conn->begin_ns);
    bool miscounted = plan->lines_wanted > 0 && conn->lines != plan->lines_wanted;
    if (conn->has_error)
        stats->failed_count++;
    else if (miscounted || conn->is_wrong)
        stats->wrong_count++;
    else
        stats->complete_count++;
    if (!plan->keep_alive || !conn->keeps)
        conn_drop(plan, conn);
    conn_enter(plan, conn, BENCH_IDLE);
    bench_conn_next(plan, conn, now_ns);
}

static void answer_is_cut(struct bench_plan *plan, struct bench_conn *conn, uint64_t now_ns)
{
    plan->stats.truncated_count++;
    conn_drop(plan, conn);
    bench_conn_next(plan, conn, now_ns);
}

void bench_conn_abandon(struct bench_plan *plan, struct bench_conn *conn)
{
    if (conn->state != BENCH_IDLE)
        plan->stats.left_count++;
    conn_drop(plan, conn);
}

/* ---- requests ---------------------------------------------------------------------------------
 */

static void watch(struct bench_plan *plan, struct bench_conn *conn, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = conn};
    int rc = epoll_ctl(plan->epoll, operation, conn->fd, &event);
    mr_assert(rc == 0);
}

static bool connect_begin(struct bench_plan *plan, struct bench_conn *conn)
{
    int on = 1;
    conn->fd = socket(plan->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd == -1)
        return false;
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(conn->fd, (const struct sockaddr *)&plan->address, plan->address_bytes) == -1 &&
        errno != EINPROGRESS) {
        conn_drop(plan, conn);
        return false;
    }
    conn_enter(plan, conn, BENCH_CONNECTING);
    watch(plan, conn, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
    return true;
}

static void request_send(struct bench_plan *plan, struct bench_conn *conn, uint64_t now_ns)
{
    while (conn->sent < plan->request_bytes) {
        ssize_t sent = send(conn->fd, plan->request + conn->sent, plan->request_bytes - conn->sent,
                            MSG_NOSIGNAL);
        if (sent == -1 && errno == EAGAIN)
            return;
        if (sent <= 0) {
            answer_is_cut(plan, conn, now_ns);
            return;
        }
        conn->sent += (size_t)sent;
    }
    conn_enter(plan, conn, BENCH_HEAD);
    http_scan_init_response(&conn->scan);
    watch(plan, conn, EPOLL_CTL_MOD, EPOLLIN);
}

bool bench_conn_next(struct bench_plan *plan, struct bench_conn *conn, uint64_t now_ns)
{
    struct bench_stats *stats = &plan->stats;
    if (plan->is_over ||
        (plan->request_count_max > 0 && stats->request_count >= plan->request_count_max)) {
        conn_drop(plan, conn);
        return false;
    }
    stats->request_count++;
    conn->sent = 0;
    conn->lines = 0;
    conn->line_count = 0;
    conn->has_error = conn->is_wrong = false;
    conn->begin_ns = now_ns;
    if (conn->fd == -1) {
        if (!connect_begin(plan, conn)) {
            stats->refused_count++;
            return false;
        }
        return true;
    }
    conn_enter(plan, conn, BENCH_SENDING);
    watch(plan, conn, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    return true;
}

/* ---- answers ----------------------------------------------------------------------------------
 */

static void body_take(struct bench_plan *plan, struct bench_conn *conn, const char *bytes,
                      size_t count, uint64_t now_ns)
{
    for (;;) {
        struct http_text data;
        size_t used;
        const char *reason;
        int rc = http_body_feed(&conn->body, bytes, count, &used, &data, &reason);
        if (rc < 0) {
            answer_is_cut(plan, conn, now_ns);
            return;
        }
        bytes += used;
        count -= used;
        if (rc == HTTP_BODY_DATA)
            span_take(plan, conn, data.bytes, data.count, now_ns);
        if (conn->is_leaver && conn->lines >= plan->leave_after) {
            plan->stats.left_count++;
            conn_drop(plan, conn);
            bench_conn_next(plan, conn, now_ns);
            return;
        }
        if (rc == HTTP_BODY_MORE)
            return;
        if (rc == HTTP_BODY_COMPLETE) {
            answer_is_whole(plan, conn, now_ns);
            return;
        }
    }
}

static bool head_keep(struct bench_conn *conn, const char *bytes, size_t count)
{
    char *grown = realloc(conn->head, conn->head_count + count);
    if (!grown)
        return false;
    memcpy(grown + conn->head_count, bytes, count);
    conn->head = grown;
    conn->head_count += count;
    return true;
}

static void head_take(struct bench_plan *plan, struct bench_conn *conn, const char *bytes,
                      size_t count, uint64_t now_ns)
{
    const char *reason;
    char *whole = NULL;
    if (conn->head_count > 0) {
        if (!head_keep(conn, bytes, count)) {
            answer_is_cut(plan, conn, now_ns);
            return;
        }
        whole = conn->head;
        bytes = whole;
        count = conn->head_count;
    }
    struct http_response *response = &plan->response;
    int used = http_parse_response_head(&conn->scan, bytes, count, response, &reason);
    if (used == 0 && (whole || head_keep(conn, bytes, count)))
        return;
    conn->head = NULL;
    conn->head_count = 0;
    if (used <= 0) {
        answer_is_cut(plan, conn, now_ns);
    } else {
        conn_enter(plan, conn, BENCH_BODY);
        conn->keeps = response->keep_alive;
        conn->has_error = response->status != 200;
        plan->body_head.chunked = response->chunked;
        plan->body_head.has_length = response->has_length;
        plan->body_head.content_length = response->content_length;
        int rc = http_body_init(&conn->body, &plan->body_head, INT64_MAX / 16, &reason);
        mr_assert(rc == 0);
        if (conn->is_slow)
            watch(plan, conn, EPOLL_CTL_MOD, 0);
        else
            body_take(plan, conn, bytes + used, count - (size_t)used, now_ns);
    }
    free(whole);
}

static void read_some(struct bench_plan *plan, struct bench_conn *conn, uint64_t now_ns)
{
    ssize_t count = recv(conn->fd, plan->read_buffer, BENCH_READ_BYTES, 0);
    if (count == -1 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0) {
        answer_is_cut(plan, conn, now_ns);
        return;
    }
    plan->stats.byte_count += (uint64_t)count;
    if (conn->state == BENCH_HEAD)
        head_take(plan, conn, plan->read_buffer, (size_t)count, now_ns);
    else if (conn->state == BENCH_BODY)
        body_take(plan, conn, plan->read_buffer, (size_t)count, now_ns);
}

static void connect_end(struct bench_plan *plan, struct bench_conn *conn, uint64_t now_ns)
{
    int error = 0;
    socklen_t bytes = sizeof(error);
    getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
    if (error != 0) {
        plan->stats.refused_count++;
        conn_drop(plan, conn);
        return;
    }
    conn_enter(plan, conn, BENCH_SENDING);
    request_send(plan, conn, now_ns);
}

void bench_conn_ready(struct bench_plan *plan, struct bench_conn *conn, uint64_t now_ns)
{
    switch (conn->state) {
    case BENCH_CONNECTING:
        connect_end(plan, conn, now_ns);
        break;
    case BENCH_SENDING:
        request_send(plan, conn, now_ns);
        break;
    case BENCH_HEAD:
    case BENCH_BODY:
        read_some(plan, conn, now_ns);
        break;
    case BENCH_IDLE:
    case BENCH_STATE_COUNT:
        break;
    }
}
