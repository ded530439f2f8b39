/* SPDX-License-Identifier: MIT */
/*
 * reference_epoll.c - the least a server can do: one process, epoll, lines made where they are
 * sent.
 *
 *     reference_epoll        prints the port it listens on, and serves until it is killed
 *
 * Answers what load.c sends with the same bytes a line as millrace, gathered into writes of up to
 * 64 KiB. No isolation, no pipeline, no msgpack, no parsing of JSON: what millrace costs beyond
 * this is the price of its processes and its ring.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "millrace/check.h"

#define CONN_COUNT_MAX 1024
#define BUFFER_BYTES (64u * 1024)
#define REQUEST_BYTES_MAX (32u * 1024)
#define CHUNK_HEAD_BYTES 6u /* "fff0\r\n" */

/* As long as those of a real run. */
#define LINE_HEAD                                                                                  \
    "{\"id\":\"run_00000000000000000000000000000000\",\"created_at\":1700000000.000000,"           \
    "\"updated_at\":1700000000.000000,"                                                            \
    "\"pipeline_id\":\"pipeline_00000000000000000000000000000000\",\"state\":\"running\","         \
    "\"queue_position\":null,\"inputs\":null,\"outputs\":[{\"type\":\"dictionary\",\"value\":"
#define LINE_TAIL ",\"file\":null}],\"error\":null}\n"
#define ANSWER_HEAD                                                                                \
    "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
#define ANSWER_TAIL "0\r\n\r\n"

struct conn {
    int fd;
    bool is_answering;
    uint64_t next, total;
    size_t text_bytes, request_count;
    size_t sent, filled; /* of `out` */
    char text[REQUEST_BYTES_MAX];
    char request[REQUEST_BYTES_MAX];
    char out[BUFFER_BYTES + sizeof(ANSWER_TAIL)];
};

static struct conn *conns[CONN_COUNT_MAX];

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static char *text_put(char *out, const char *text, size_t count)
{
    memcpy(out, text, count);
    return out + count;
}

static char *number_put(char *out, uint64_t number)
{
    char digits[20];
    size_t at = sizeof(digits);
    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return text_put(out, digits + at, sizeof(digits) - at);
}

#define PUT(out, literal) text_put(out, literal, sizeof(literal) - 1)

static char *line_put(struct conn *conn, char *out)
{
    out = PUT(out, LINE_HEAD);
    out = PUT(out, "{\"i\":");
    out = number_put(out, conn->next++);
    out = PUT(out, ",\"t_ns\":");
    out = number_put(out, now_ns());
    out = PUT(out, ",\"chunk\":\"");
    out = text_put(out, conn->text, conn->text_bytes);
    out = PUT(out, "\"}");
    return PUT(out, LINE_TAIL);
}

/* Gathers lines into one HTTP chunk, behind the head and before the end where they belong. */
static void buffer_fill(struct conn *conn)
{
    char *out = conn->out;
    if (conn->next == 0)
        out = PUT(out, ANSWER_HEAD);
    char *chunk = out;
    size_t line_bytes = sizeof(LINE_HEAD) + sizeof(LINE_TAIL) + 80 + conn->text_bytes;
    out += CHUNK_HEAD_BYTES;
    while (conn->next < conn->total && (size_t)(conn->out + BUFFER_BYTES - 2 - out) >= line_bytes)
        out = line_put(conn, out);
    size_t bytes = (size_t)(out - chunk) - CHUNK_HEAD_BYTES;
    char head[CHUNK_HEAD_BYTES + 1];
    snprintf(head, sizeof(head), "%04zx\r\n", bytes);
    memcpy(chunk, head, CHUNK_HEAD_BYTES);
    out = bytes > 0 ? PUT(out, "\r\n") : chunk;
    if (conn->next == conn->total) {
        out = PUT(out, ANSWER_TAIL);
        conn->is_answering = false;
    }
    conn->sent = 0;
    conn->filled = (size_t)(out - conn->out);
}

static void conn_close(struct conn *conn)
{
    close(conn->fd);
    conns[conn->fd] = NULL;
    free(conn);
}

/* Sends until the socket is full; false when the connection is gone. */
static bool conn_write(struct conn *conn)
{
    for (;;) {
        if (conn->sent == conn->filled) {
            if (!conn->is_answering)
                return true;
            buffer_fill(conn);
        }
        ssize_t count = write(conn->fd, conn->out + conn->sent, conn->filled - conn->sent);
        if (count == -1)
            return errno == EAGAIN;
        conn->sent += (size_t)count;
    }
}

/* The two values of load.c's request, once all of it is there. */
static bool request_read(struct conn *conn)
{
    char *request = conn->request;
    request[conn->request_count] = '\0';
    const char *length = strstr(request, "Content-Length: ");
    char *body = strstr(request, "\r\n\r\n");
    if (!length || !body ||
        conn->request_count - (size_t)(body + 4 - request) < strtoul(length + 16, NULL, 10))
        return false;
    const char *number = strstr(body, "\"value\":");
    const char *text = strstr(body, "\"string\",\"value\":\"");
    if (!number || !text)
        return false;
    text += strlen("\"string\",\"value\":\"");
    conn->total = strtoull(number + strlen("\"value\":"), NULL, 10);
    conn->text_bytes = strcspn(text, "\"");
    memcpy(conn->text, text, conn->text_bytes);
    conn->next = 0;
    conn->request_count = 0;
    return true;
}

static bool conn_read(struct conn *conn)
{
    ssize_t count = read(conn->fd, conn->request + conn->request_count,
                         sizeof(conn->request) - 1 - conn->request_count);
    if (count <= 0)
        return count == -1 && errno == EAGAIN;
    conn->request_count += (size_t)count;
    if (!conn->is_answering && request_read(conn))
        conn->is_answering = true;
    return conn_write(conn);
}

static void accept_all(int listener, int epoll)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) != -1) {
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        struct conn *conn = fd < CONN_COUNT_MAX ? calloc(1, sizeof(*conn)) : NULL;
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.fd = fd};
        if (!conn || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == -1) {
            free(conn);
            close(fd);
            continue;
        }
        conn->fd = fd;
        conns[fd] = conn;
    }
}

static int listener_open(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    mr_assert(fd != -1);
    mr_assert(bind(fd, (const struct sockaddr *)&address, bytes) == 0);
    mr_assert(listen(fd, CONN_COUNT_MAX) == 0);
    mr_assert(getsockname(fd, (struct sockaddr *)&address, &bytes) == 0);
    printf("%u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(void)
{
    int listener = listener_open();
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[256], event = {.events = EPOLLIN, .data.fd = listener};
    mr_assert(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) == 0);
    for (;;) {
        int count = epoll_wait(epoll, events, (int)ARRAY_COUNT(events), -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener) {
                accept_all(listener, epoll);
                continue;
            }
            struct conn *conn = conns[events[i].data.fd];
            if (conn && (!conn_read(conn) || !conn_write(conn)))
                conn_close(conn);
        }
    }
}
