/* SPDX-License-Identifier: MIT */
/*
 * load.c - a client for floods: many streams at once, every chunk checked.
 *
 *     load ADDRESS:PORT STREAMS CHUNKS TEXT_BYTES MS
 *
 * Starts STREAMS runs of the example pipeline `numbers`, each of CHUNKS chunks with a text of
 * TEXT_BYTES, one every MS milliseconds (0: as fast as possible), and reads them to their end.
 * Checked: the framing, that each line has its number, in order and without a gap, and that each
 * stream ends complete. One line of JSON says how long it took, from the first request on, what it
 * cost here, and with MS above 0 how old chunks were when their lines were read.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "dispatcher/http/http_body.h"
#include "dispatcher/http/http_response.h"

#define READ_BYTES (256u * 1024)
#define CARRY_BYTES_MAX (64u * 1024)
#define NUMBER_KEY "{\"i\":"
#define TIME_KEY "\"t_ns\":"
#define AGE_COUNT_MAX 1000000u

/* One connection and its run. */
struct stream {
    int fd;
    bool has_head, is_complete;
    struct http_scan scan;
    struct http_body body;
    char *carry; /* a head, or a line, of which only a part has come */
    size_t carry_count;
    size_t number_offset; /* of the chunk's number in its line; 0: not known yet */
    uint64_t next;
};

static struct load {
    uint64_t chunk_count;
    uint64_t line_count, byte_count;
    bool wants_ages;
    uint32_t *ages_us; /* AGE_COUNT_MAX of them */
    size_t age_count;
} load;

static _Noreturn void give_up(const char *what, const char *detail)
{
    fprintf(stderr, "load: %s: %s\n", what, detail);
    exit(1);
}

static uint64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t number_read(const char *at, const char *end)
{
    uint64_t number = 0;
    for (; at < end && *at >= '0' && *at <= '9'; at++)
        number = number * 10 + (uint64_t)(*at - '0');
    return number;
}

/* ---- lines ---- */

static void age_note(const char *line, size_t count)
{
    const char *time = memmem(line, count, TIME_KEY, strlen(TIME_KEY));
    if (!time || load.age_count == AGE_COUNT_MAX)
        return;
    uint64_t made_ns = number_read(time + strlen(TIME_KEY), line + count);
    load.ages_us[load.age_count++] = (uint32_t)((now_ns(CLOCK_MONOTONIC) - made_ns) / 1000);
}

/* Everything before the number has the same length in all lines of a run. */
static void line_check(struct stream *stream, const char *line, size_t count)
{
    if (count == 0)
        return; /* keep-alive */
    if (stream->number_offset == 0) {
        const char *key = memmem(line, count, NUMBER_KEY, strlen(NUMBER_KEY));
        if (!key)
            give_up("a line without a number", line);
        stream->number_offset = (size_t)(key - line) + strlen(NUMBER_KEY);
    }
    const char *number = line + stream->number_offset;
    if (count <= stream->number_offset || number[-1] != ':' || line[count - 1] != '}' ||
        number_read(number, line + count) != stream->next)
        give_up("a chunk is missing, or not in its place", line);
    stream->next++;
    load.line_count++;
    if (load.wants_ages)
        age_note(line, count);
}

static void carry_add(struct stream *stream, const char *bytes, size_t count)
{
    if (stream->carry_count + count > CARRY_BYTES_MAX)
        give_up("too long", "a head or a line");
    memcpy(stream->carry + stream->carry_count, bytes, count);
    stream->carry_count += count;
}

static void lines_take(struct stream *stream, const char *bytes, size_t count)
{
    const char *end = bytes + count, *newline;
    while ((newline = memchr(bytes, '\n', (size_t)(end - bytes))) != NULL) {
        if (stream->carry_count > 0) {
            carry_add(stream, bytes, (size_t)(newline - bytes));
            line_check(stream, stream->carry, stream->carry_count);
            stream->carry_count = 0;
        } else {
            line_check(stream, bytes, (size_t)(newline - bytes));
        }
        bytes = newline + 1;
    }
    carry_add(stream, bytes, (size_t)(end - bytes));
}

/* ---- streams ---- */

static void body_take(struct stream *stream, const char *bytes, size_t count)
{
    int rc = HTTP_BODY_DATA;
    for (size_t at = 0; rc == HTTP_BODY_DATA;) {
        size_t consumed;
        struct http_text data;
        const char *reason;
        rc = http_body_feed(&stream->body, bytes + at, count - at, &consumed, &data, &reason);
        if (rc < 0)
            give_up("bad framing", reason);
        if (data.count > 0)
            lines_take(stream, data.bytes, data.count);
        at += consumed;
    }
    if (rc != HTTP_BODY_COMPLETE)
        return;
    if (stream->next != load.chunk_count)
        give_up("a stream ended early", stream->carry);
    stream->is_complete = true;
}

/* The head is read from the carry, which holds no line yet. */
static void head_take(struct stream *stream, const char *bytes, size_t count)
{
    static struct http_response response;
    const char *reason = "";
    carry_add(stream, bytes, count);
    int head = http_parse_response_head(&stream->scan, stream->carry, stream->carry_count,
                                        &response, &reason);
    if (head < 0)
        give_up("bad head", reason);
    if (head == 0)
        return;
    if (response.status != 200 || !response.chunked)
        give_up("not a stream", stream->carry);
    const struct http_head framing = {.chunked = true};
    if (http_body_init(&stream->body, &framing, INT64_MAX / 16, &reason) < 0)
        give_up("bad body", reason);
    stream->has_head = true;
    size_t left = stream->carry_count - (size_t)head;
    char *rest = malloc(left + 1);
    if (!rest)
        give_up("no memory", "");
    memcpy(rest, stream->carry + head, left);
    stream->carry_count = 0;
    body_take(stream, rest, left);
    free(rest);
}

/* Reads once what is there. */
static void stream_read(struct stream *stream)
{
    static char bytes[READ_BYTES];
    /* A head fits the carry, whatever comes with it. */
    size_t room = stream->has_head ? sizeof(bytes) : CARRY_BYTES_MAX / 2;
    ssize_t count = read(stream->fd, bytes, room);
    if (count == -1 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0)
        give_up("the connection ended", count == 0 ? "closed" : strerror(errno));
    load.byte_count += (uint64_t)count;
    if (stream->has_head)
        body_take(stream, bytes, (size_t)count);
    else
        head_take(stream, bytes, (size_t)count);
}

static void stream_open(struct stream *stream, const struct sockaddr_in *address)
{
    int on = 1;
    stream->carry = malloc(CARRY_BYTES_MAX + 1);
    if (!stream->carry)
        give_up("no memory", "");
    stream->carry[CARRY_BYTES_MAX] = '\0';
    stream->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (stream->fd == -1 ||
        connect(stream->fd, (const struct sockaddr *)address, sizeof(*address)) == -1)
        give_up("connect", strerror(errno));
    setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    http_scan_init_response(&stream->scan);
}

static void stream_start(struct stream *stream, const char *request, size_t count)
{
    if (write(stream->fd, request, count) != (ssize_t)count)
        give_up("write", strerror(errno));
}

/* ---- the whole ---- */

static uint64_t argument(const char *text, uint64_t least, uint64_t most)
{
    char *end;
    uint64_t number = strtoull(text, &end, 10);
    if (*end != '\0' || end == text || number < least || number > most)
        give_up("not a number in its bounds", text);
    return number;
}

static struct sockaddr_in address_read(char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char *colon = strrchr(text, ':');
    if (!colon)
        give_up("not ADDRESS:PORT", text);
    *colon = '\0';
    address.sin_port = htons((uint16_t)argument(colon + 1, 1, 65535));
    if (inet_pton(AF_INET, text, &address.sin_addr) != 1)
        give_up("not an address", text);
    return address;
}

static char *request_make(uint64_t chunks, size_t text_bytes, uint64_t pace_ms, size_t *count)
{
    char *text = malloc(text_bytes + 1), *request = NULL, *body = NULL;
    if (!text)
        give_up("no memory", "");
    memset(text, 'x', text_bytes);
    text[text_bytes] = '\0';
    int body_count = asprintf(&body,
                              "{\"inputs\":[{\"type\":\"integer\",\"value\":%llu},"
                              "{\"type\":\"string\",\"value\":\"%s\"},"
                              "{\"type\":\"integer\",\"value\":%llu}]}",
                              (unsigned long long)chunks, text, (unsigned long long)pace_ms);
    int request_count =
        body_count < 0 ? -1
                       : asprintf(&request,
                                  "POST /v4/runs/stream HTTP/1.1\r\nHost: bench\r\n"
                                  "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                                  body_count, body);
    if (request_count < 0)
        give_up("no memory", "");
    free(text);
    free(body);
    *count = (size_t)request_count;
    return request;
}

static void read_all(int epoll, struct stream *streams, size_t stream_count)
{
    struct epoll_event events[256];
    size_t complete_count = 0;
    while (complete_count < stream_count) {
        int count = epoll_wait(epoll, events, (int)ARRAY_COUNT(events), -1);
        if (count == -1 && errno != EINTR)
            give_up("epoll_wait", strerror(errno));
        for (int i = 0; i < count; i++) {
            struct stream *stream = &streams[events[i].data.u64];
            stream_read(stream);
            if (stream->is_complete) {
                complete_count++;
                close(stream->fd);
            }
        }
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t age_at(double part)
{
    if (load.age_count == 0)
        return 0;
    return load.ages_us[(size_t)(part * (double)(load.age_count - 1))];
}

static void figures_print(uint64_t wall_ns)
{
    uint64_t cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    qsort(load.ages_us, load.age_count, sizeof(load.ages_us[0]), by_value);
    printf("{\"lines\":%llu,\"bytes\":%llu,\"wall_s\":%.6f,\"client_cpu_s\":%.6f,"
           "\"age_us\":{\"p50\":%u,\"p99\":%u,\"max\":%u}}\n",
           (unsigned long long)load.line_count, (unsigned long long)load.byte_count,
           (double)wall_ns / 1e9, (double)cpu_ns / 1e9, age_at(0.5), age_at(0.99), age_at(1));
}

int main(int argc, char **argv)
{
    if (argc != 6)
        give_up("usage", "load ADDRESS:PORT STREAMS CHUNKS TEXT_BYTES MS");
    const struct sockaddr_in address = address_read(argv[1]);
    size_t stream_count = (size_t)argument(argv[2], 1, 10000);
    load.chunk_count = argument(argv[3], 0, UINT32_MAX);
    size_t text_bytes = (size_t)argument(argv[4], 0, 16384);
    uint64_t pace_ms = argument(argv[5], 0, 60000);
    load.wants_ages = pace_ms > 0;
    load.ages_us = calloc(AGE_COUNT_MAX, sizeof(load.ages_us[0]));
    struct stream *streams = calloc(stream_count, sizeof(*streams));
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!load.ages_us || !streams || epoll == -1)
        give_up("no memory", "");

    size_t request_bytes;
    char *request = request_make(load.chunk_count, text_bytes, pace_ms, &request_bytes);
    for (size_t i = 0; i < stream_count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = i};
        stream_open(&streams[i], &address);
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, streams[i].fd, &event) == -1)
            give_up("epoll_ctl", strerror(errno));
    }
    uint64_t began_ns = now_ns(CLOCK_MONOTONIC);
    for (size_t i = 0; i < stream_count; i++)
        stream_start(&streams[i], request, request_bytes);
    read_all(epoll, streams, stream_count);
    figures_print(now_ns(CLOCK_MONOTONIC) - began_ns);

    for (size_t i = 0; i < stream_count; i++)
        free(streams[i].carry);
    free(streams);
    free(request);
    free(load.ages_us);
    close(epoll);
    return 0;
}
