/* SPDX-License-Identifier: MIT */
/*
 * bench_conn.h - one client of a load run: sends a request, reads the answer, looks at its lines.
 */
#ifndef DISPATCHER_BENCH_CONN_H
#define DISPATCHER_BENCH_CONN_H

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "dispatcher/cli/bench/bench_lines.h"
#include "dispatcher/cli/bench/bench_stats.h"
#include "dispatcher/http/http_body.h"
#include "dispatcher/http/http_response.h"
#include "millrace/check.h"

#define BENCH_READ_BYTES (128u * 1024)

/* What all clients of a run share; constant but for the counts. */
struct bench_plan {
    struct sockaddr_storage address;
    socklen_t address_bytes;
    const char *request; /* head and body */
    size_t request_bytes;
    uint64_t request_count_max; /* 0: as many as fit into the time */
    uint64_t begun_count;       /* of them, also before the end of the warm-up */
    uint64_t lines_wanted;      /* of each answer; 0: any number */
    uint64_t leave_after;       /* a leaver closes after so many lines */
    uint64_t slow_bytes_per_s;  /* that slow clients read of a body; 0: nothing */
    bool keep_alive;
    struct bench_look look;
    bool is_over;              /* no new requests */
    uint64_t under_way;        /* clients with a request, slow ones not counted */
    uint64_t connecting_count; /* clients whose connection is not there yet */
    int epoll;
    char *read_buffer;             /* BENCH_READ_BYTES */
    struct http_response response; /* of the head being parsed */
    struct http_head body_head;    /* the shape http_body wants */
    struct bench_stats stats;
};

enum bench_conn_state {
    BENCH_IDLE = 0, /* no connection */
    BENCH_CONNECTING,
    BENCH_SENDING,
    BENCH_HEAD,
    BENCH_BODY,
    BENCH_STATE_COUNT
};

struct bench_conn {
    int fd; /* -1: none */
    enum bench_conn_state state;
    bool is_slow;        /* reads its head, then little or nothing */
    bool is_leaver;      /* closes after leave_after lines */
    bool keeps;          /* the server keeps the connection */
    bool is_until_close; /* the body ends with the connection */
    size_t sent;
    struct http_scan scan;
    struct http_body body;
    char *head; /* owned; of an answer whose head came in pieces */
    size_t head_count;
    struct bench_lines lines;
    uint64_t begin_ns, last_line_ns;
    uint64_t slow_ns; /* until when a slow client has read */
};

/* Begins the next request, on a new connection where there is none. False: none is wanted. */
bool bench_conn_next(struct bench_plan *plan, struct bench_conn *conn, uint64_t now_ns);

/* The descriptor is ready. */
void bench_conn_ready(struct bench_plan *plan, struct bench_conn *conn);

/* A slow client reads as much as it may by now. */
void bench_conn_read_slowly(struct bench_plan *plan, struct bench_conn *conn, uint64_t now_ns);

/* Gives up what is under way, when the time is over. */
void bench_conn_abandon(struct bench_plan *plan, struct bench_conn *conn);

#endif
