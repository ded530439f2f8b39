/* SPDX-License-Identifier: MIT */
/* server.c - the loop that all references have in common. */
#include "tests/bench/reference/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "millrace/check.h"

#define EVENT_COUNT_MAX 512
#define NS_PER_S 1000000000

struct client *server_find(const struct server *server, uint32_t fd, uint32_t generation)
{
    struct client *client = fd < server->client_count_max ? server->clients[fd] : NULL;
    return client && client->generation == generation ? client : NULL;
}

void server_close(struct server *server, struct client *client)
{
    if (client->is_answering)
        server->source->leave(server, client);
    server->clients[client->fd] = NULL;
    close(client->fd);
    buffer_drop(&client->out);
    free(client);
}

void server_end_answer(struct client *client)
{
    char *out = buffer_room(&client->out, LINE_ANSWER_BYTES_MAX);
    mr_assert(out);
    buffer_commit(&client->out, line_put_answer_end(out, client->stream.next));
    client->is_answering = false;
}

/* ---- requests ---- */

/* The numbers of a body, in their order; false when there are not so many. */
static bool numbers_read(const char *body, size_t count, uint64_t *numbers, size_t number_count)
{
    static const char key[] = "\"value\":";
    for (size_t i = 0; i < number_count; i++) {
        const char *at = memmem(body, count, key, sizeof(key) - 1);
        if (!at)
            return false;
        char *end;
        numbers[i] = strtoull(at + sizeof(key) - 1, &end, 10);
        count -= (size_t)(end - body);
        body = end;
    }
    return true;
}

/* Begins the answer to a request once all of it is there. False when the client is to go. */
static bool request_take(struct server *server, struct client *client)
{
    const char *reason;
    uint64_t numbers[3];
    if (client->request_count == 0)
        return true;
    int head = http_parse_head(&client->scan, client->request, client->request_count, &server->head,
                               &reason);
    if (head <= 0)
        return head == 0 && client->request_count < CLIENT_REQUEST_BYTES_MAX - 1;
    const char *body = client->request + head;
    uint64_t body_bytes = server->head.content_length;
    size_t there = client->request_count - (size_t)head;
    if (there < body_bytes) {
        client->scan = (struct http_scan){0};
        return client->request_count < CLIENT_REQUEST_BYTES_MAX - 1;
    }
    if (!numbers_read(body, (size_t)body_bytes, numbers, ARRAY_COUNT(numbers)))
        return false;
    client->stream = (struct stream){.total = numbers[0],
                                     .text_bytes = (size_t)numbers[1],
                                     .pace_ns = numbers[2] * 1000000,
                                     .start_ns = line_now_ns()};
    client->request_count = there - (size_t)body_bytes;
    memmove(client->request, body + body_bytes, client->request_count);
    client->scan = (struct http_scan){0};
    line_prefix_init(&client->prefix, server->wall);
    char *out = buffer_room(&client->out, LINE_ANSWER_BYTES_MAX);
    if (!out)
        return false;
    buffer_commit(&client->out, line_put_answer_head(out));
    client->is_answering = true;
    return server->source->begin(server, client);
}

/* Reads what is there: a short read says that there is no more. False when the client is gone. */
static bool client_read(struct server *server, struct client *client)
{
    for (;;) {
        size_t room = CLIENT_REQUEST_BYTES_MAX - 1 - client->request_count;
        if (room == 0)
            return false;
        ssize_t count = recv(client->fd, client->request + client->request_count, room, 0);
        if (count <= 0)
            return count == -1 && errno == EAGAIN;
        client->request_count += (size_t)count;
        client->request[client->request_count] = '\0';
        if (!client->is_answering && !request_take(server, client))
            return false;
        if ((size_t)count < room)
            return true;
    }
}

/* ---- the loop ---- */

static void accept_all(struct server *server)
{
    int fd;
    while ((fd = listener_accept(server->listener, server->epoll)) != -1) {
        struct client *client = calloc(1, sizeof(*client));
        mr_assert(client);
        mr_assert((size_t)fd < server->client_count_max);
        client->fd = fd;
        client->generation = ++server->generations[fd];
        client->scan = (struct http_scan){0};
        server->clients[fd] = client;
    }
}

static void client_event(struct server *server, struct client *client, uint32_t events)
{
    bool lives = (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0 || client_read(server, client);
    if (lives && (events & EPOLLOUT) && buffer_waiting(&client->out) > 0)
        lives = server->source->go_on(server, client);
    if (!lives)
        server_close(server, client);
}

static void server_init(struct server *server, const struct source *source)
{
    struct epoll_event event = {.events = EPOLLIN};
    server->source = source;
    server->client_count_max = listener_descriptor_count();
    server->clients = calloc(server->client_count_max, sizeof(server->clients[0]));
    server->generations = calloc(server->client_count_max, sizeof(server->generations[0]));
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    mr_assert(server->clients && server->generations);
    mr_assert(server->epoll != -1);
    if (source->fd != -1) {
        event = (struct epoll_event){.events = EPOLLIN | EPOLLET, .data.fd = source->fd};
        mr_assert(epoll_ctl(server->epoll, EPOLL_CTL_ADD, source->fd, &event) == 0);
    }
    server->listener = listener_open();
    event = (struct epoll_event){.events = EPOLLIN, .data.fd = server->listener};
    mr_assert(epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->listener, &event) == 0);
}

void server_run(const struct source *source)
{
    static struct server server;
    static struct epoll_event events[EVENT_COUNT_MAX];
    bool at_once = false;
    server_init(&server, source);
    for (;;) {
        int64_t wait_ns = at_once ? 0 : due_wait_ns(&server.due, line_now_ns());
        struct timespec wait = {.tv_sec = wait_ns / NS_PER_S, .tv_nsec = wait_ns % NS_PER_S};
        int count =
            epoll_pwait2(server.epoll, events, EVENT_COUNT_MAX, wait_ns < 0 ? NULL : &wait, NULL);
        bool has_input = false;
        server.pass++;
        server.now_ns = line_now_ns();
        line_wall(server.wall);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == server.listener)
                accept_all(&server);
            else if (fd == source->fd)
                has_input = true;
            else if (server.clients[fd])
                client_event(&server, server.clients[fd], events[i].events);
        }
        at_once = source->pass(&server, has_input);
    }
}
