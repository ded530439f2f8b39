/* SPDX-License-Identifier: MIT */
/*
 * server.h - what the references have in common: one epoll loop that accepts clients, reads their
 * requests, and lets a source of lines answer.
 *
 * A request is {"inputs":[{..."value":N},{..."value":BYTES},{..."value":MS}]}, and its answer the
 * lines of tests/bench/pipelines/lines.c.
 */
#ifndef TESTS_BENCH_REFERENCE_SERVER_H
#define TESTS_BENCH_REFERENCE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/http/http_parse.h"
#include "tests/bench/reference/buffer.h"
#include "tests/bench/reference/line.h"
#include "tests/bench/reference/stream.h"

#define CLIENT_REQUEST_BYTES_MAX 4096u

struct client {
    int fd;
    uint32_t generation; /* of its place in the table, which is its descriptor */
    bool is_answering;
    bool is_marked; /* for its source */
    struct http_scan scan;
    struct stream stream;
    struct line_prefix prefix;
    uint64_t prefix_pass; /* when the time in it was renewed */
    struct buffer out;
    size_t request_count;
    char request[CLIENT_REQUEST_BYTES_MAX];
};

struct server {
    const struct source *source;
    struct client **clients; /* by descriptor */
    uint32_t *generations;
    size_t client_count_max;
    int epoll, listener;
    uint64_t now_ns, pass;
    char wall[LINE_WALL_BYTES + 1];
    struct due_queue due;
    struct http_head head; /* of the request being read */
};

/* Where lines come from. What returns false says that the client is gone: it is closed then. */
struct source {
    /* A request has come: client->stream says what it wants. The head of its answer is in
     * client->out. */
    bool (*begin)(struct server *server, struct client *client);
    /* The socket takes bytes again. */
    bool (*go_on)(struct server *server, struct client *client);
    /* The client goes in the middle of its answer. */
    void (*leave)(struct server *server, struct client *client);
    /* Once a pass, `has_input` when `fd` has become readable. True: it wants the next one at
     * once. */
    bool (*pass)(struct server *server, bool has_input);
    int fd; /* watched besides the clients; -1: none */
};

/* Listens on a free port of 127.0.0.1, prints it, and serves until it is killed. */
_Noreturn void server_run(const struct source *source);

/* The client of a descriptor, if it still is the same one. */
struct client *server_find(const struct server *server, uint32_t fd, uint32_t generation);

/* Puts the end of the answer behind its lines; the next request may come. */
void server_end_answer(struct client *client);

void server_close(struct server *server, struct client *client);

/* A listener on a free port of 127.0.0.1, which is printed. */
int listener_open(void);

/* The next connection, without Nagle's delay, watched for everything; -1 when there is none. */
int listener_accept(int listener, int epoll);

/* Descriptors that a table must have room for. */
size_t listener_descriptor_count(void);

#endif
