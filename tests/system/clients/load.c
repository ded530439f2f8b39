/* SPDX-License-Identifier: MIT */
/*
 * load.c - sends many requests at once and keeps every byte of the answers, at next to no cost.
 *
 *     load PORT COUNT REQUESTS ANSWERS
 *
 * REQUESTS holds COUNT requests, each after its length (4 bytes, native order); they must say
 * "Connection: close". All connections are made first, then all requests are sent, then everything
 * is read until every server side closed. ANSWERS gets each answer after its length (8 bytes).
 * Prints the seconds from the first request to the last byte.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES (256u * 1024)
#define EVENT_COUNT 256

struct stream {
    int fd;
    char *request;
    uint32_t request_bytes;
    char *answer;
    uint64_t count, room;
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void request_read(FILE *file, struct stream *stream)
{
    if (fread(&stream->request_bytes, sizeof(stream->request_bytes), 1, file) != 1)
        fail("length of a request");
    stream->request = malloc(stream->request_bytes);
    if (!stream->request || fread(stream->request, stream->request_bytes, 1, file) != 1)
        fail("request");
}

static void stream_connect(struct stream *stream, uint16_t port)
{
    int on = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    stream->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (stream->fd == -1 || connect(stream->fd, (struct sockaddr *)&address, sizeof(address)) == -1)
        fail("connect");
    setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* A request is far smaller than an empty send buffer. */
static void stream_send(const struct stream *stream)
{
    if (send(stream->fd, stream->request, stream->request_bytes, MSG_NOSIGNAL) !=
        (ssize_t)stream->request_bytes)
        fail("send");
}

/* Returns false at the end. */
static int stream_receive(struct stream *stream)
{
    if (stream->room - stream->count < READ_BYTES) {
        stream->room = stream->room ? stream->room * 2 : 2 * READ_BYTES;
        stream->answer = realloc(stream->answer, stream->room);
        if (!stream->answer)
            fail("realloc");
    }
    ssize_t count = recv(stream->fd, stream->answer + stream->count, READ_BYTES, 0);
    if (count == -1)
        fail("recv");
    stream->count += (uint64_t)count;
    return count > 0;
}

static void receive_all(struct stream *streams, uint32_t count)
{
    struct epoll_event events[EVENT_COUNT];
    int epoll = epoll_create1(0);
    for (uint32_t i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, streams[i].fd, &event) == -1)
            fail("epoll_ctl");
    }
    for (uint32_t open = count; open > 0;) {
        int ready = epoll_wait(epoll, events, EVENT_COUNT, -1);
        for (int i = 0; i < ready; i++) {
            struct stream *stream = &streams[events[i].data.u32];
            if (stream_receive(stream))
                continue;
            close(stream->fd);
            open--;
        }
    }
    close(epoll);
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    uint16_t port = (uint16_t)strtol(argv[1], NULL, 10);
    uint32_t count = (uint32_t)strtol(argv[2], NULL, 10);
    struct rlimit limit;
    struct stream *streams = calloc(count, sizeof(*streams));
    FILE *requests = fopen(argv[3], "rb"), *answers = fopen(argv[4], "wb");
    if (!streams || !requests || !answers || getrlimit(RLIMIT_NOFILE, &limit) == -1)
        fail("start");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) == -1)
        fail("setrlimit");
    for (uint32_t i = 0; i < count; i++) {
        request_read(requests, &streams[i]);
        stream_connect(&streams[i], port);
    }
    double began_s = now_s();
    for (uint32_t i = 0; i < count; i++)
        stream_send(&streams[i]);
    receive_all(streams, count);
    printf("%.6f\n", now_s() - began_s);
    for (uint32_t i = 0; i < count; i++)
        if (fwrite(&streams[i].count, sizeof(streams[i].count), 1, answers) != 1 ||
            fwrite(streams[i].answer, 1, streams[i].count, answers) != streams[i].count)
            fail("write");
    return fclose(answers) == 0 ? 0 : 1;
}
