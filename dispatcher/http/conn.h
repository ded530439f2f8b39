/* SPDX-License-Identifier: MIT */
/*
 * conn.h - one TCP client: bytes in become requests, responses become bytes out.
 *
 * One request at a time; what a client pipelines waits in `input`. One receive (multishot), one
 * send and one poll are with the kernel at most; a connection is freed only after all came back.
 */
#ifndef DISPATCHER_CONN_H
#define DISPATCHER_CONN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "dispatcher/http/conn_fsm.h"
#include "dispatcher/http/exchange.h"
#include "dispatcher/http/http_body.h"
#include "dispatcher/http/http_parse.h"
#include "dispatcher/reactor/body.h"
#include "dispatcher/reactor/out.h"
#include "dispatcher/reactor/reactor.h"
#include "dispatcher/reactor/timer.h"
#include "dispatcher/reactor/uring.h"

struct front;
struct transport;

/* What is with the kernel, as a mask. */
enum conn_op {
    CONN_OP_RECV = 1,
    CONN_OP_SEND = 2, /* and so are `message`, `vectors` and the lent blocks */
    CONN_OP_GONE = 4, /* it watches whether the client goes */
};

/* Pieces of a streamed body. One more may come after conn_hold(). */
#define HTTP_PIECE_BYTES RECEIVE_BUFFER_BYTES

#define REQUEST_ID_BYTES_MAX 128u
#define REQUEST_ARGUMENT_BYTES_MAX 256u

/* A header by which somebody may be known: a hash of its name, and one of its value. */
#define REQUEST_KEY_COUNT_MAX 16u
struct request_key {
    uint64_t name, value;
};

/* What is kept of a head once it is parsed. */
struct request {
    const void *route; /* of the exchange: who answers */
    enum http_method method;
    unsigned minor;
    bool keep_alive;
    bool wants_events;      /* Accept: text/event-stream */
    bool wants_openmetrics; /* Accept: application/openmetrics-text */
    bool has_body;
    bool is_streamed; /* its body comes in pieces of HTTP_PIECE_BYTES at most, and may be held */
    bool is_trusted;  /* has a good token, or none is asked for; or is signed */
    bool is_signed;   /* its URL says that it may, whoever asks */
    uint64_t body_bytes_max; /* of its body; 0: as of others */
    uint32_t timeout_ms;     /* X-Request-Timeout; 0: not said */
    uint32_t list_count_max; /* ?limit= of a list; 0: not said */
    uint32_t owner;          /* of what it makes, see owner.h */
    uint32_t token_index;    /* likewise: its place among those there are */
    const char *token;       /* the name of its token; NULL: none */
    int status;              /* of the answer; 0: none is said yet */
    uint32_t page;           /* that may read the answer, see cors.h */
    uint64_t base_number; /* of the exchange: how the client calls this server; 0: it did not say */
    uint32_t class; /* X-Request-Class, where somebody looks at that; RUN_CLASS_NONE: not said */
    uint32_t key_count; /* of the headers that somebody looks at */
    struct request_key keys[REQUEST_KEY_COUNT_MAX];
    char id[REQUEST_ID_BYTES_MAX + 1];             /* X-Request-Id, echoed or made */
    char argument[REQUEST_ARGUMENT_BYTES_MAX + 1]; /* what follows the route's prefix, decoded */
};

/* Connections whose last request showed no good token, or that have made none yet, are strangers:
 * whoever reaches the port can have as many as there are. The bytes of them all are at most this
 * part of the memory for requests, and of that for responses; the rest is for those who may
 * call. */
#define STRANGER_SHARE 8u

struct conn {
    int fd;
    const struct transport *transport;
    void *transport_state; /* owned */
    uint32_t index;
    uint32_t generation;
    enum conn_state state;
    uint32_t client_index; /* in front->clients, or CLIENT_NONE */
    uint8_t kernel;        /* enum conn_op */
    bool recv_paused;      /* the client sends more than may wait */
    bool is_held;          /* of a streamed body no more is taken for now */
    bool is_large;         /* it has sent such a body: one buffer is received at a time, since a
                              multishot receive takes in all that the socket has */
    bool input_lost;   /* what follows is thrown away: it was too much, or there was no memory */
    bool client_eof;   /* it sends no more; what it has sent is still answered */
    bool is_known;     /* no stranger */
    bool is_unframed;  /* nothing but the end of the connection ends the response */
    bool is_dirty;     /* on the front's list of connections to flush */
    struct conn *next; /* dirty list, or free list */

    struct http_scan scan;
    struct http_body framing;
    struct input_buffer input; /* received, not yet understood */
    struct body body;          /* so far */
    /* Its part of what strangers hold. */
    uint32_t stranger_input_bytes, stranger_output_bytes;

    char client[INET6_ADDRSTRLEN]; /* its address, once somebody asked; "?": it has none */

    struct request request;
    void *pending;   /* of the exchange: whoever answers later; NULL: nobody */
    uint64_t due_ms; /* when it says that the answer has to come; 0: it does not say */

    struct out_queue out;
    struct msghdr message;
    struct iovec vectors[OUT_IOVEC_COUNT_MAX];
    uint64_t sent_ms; /* last progress of a send */

    struct timer timer;
    uint64_t phase_ms;   /* when the present state began */
    uint64_t body_bytes; /* received of the body, framing included; for the minimum rate */
};

/* Takes over an accepted socket; refuses it with 503 when there are too many. */
void conn_open(struct front *front, int fd, const struct transport *transport);

/* An accepted socket of somebody who may not: he is told so, with 403. */
void conn_refuse_peer(struct front *front, int fd, const struct transport *transport);

/* The address of its client as text, without the port; NULL: it is not known any more. */
const char *conn_client(struct conn *conn);

/* Completions. */
void conn_on_recv(struct front *front, const struct uring_event *event);
void conn_on_send(struct front *front, const struct uring_event *event);
void conn_on_gone(struct front *front, const struct uring_event *event);
void conn_on_timer(struct front *front, struct conn *conn);

/* Has something to send; it leaves at the end of the pass. */
void conn_mark_dirty(struct front *front, struct conn *conn);

/* The end of the pass: hands what waits to the kernel, or closes what is doomed. */
void conn_flush(struct front *front, struct conn *conn);

/* The response being made has no framing, so its end must be told from a cut in another way: until
 * it is complete, whatever ends the connection resets it, also the death of this process. */
void conn_unframed(struct conn *conn);

/* The response is complete in `out`; the next request follows when it has been sent. */
void conn_response_done(struct front *front, struct conn *conn);

/* The response cannot go on: the connection is closed at the end of the pass, which a client can
 * tell from a complete answer. Safe in the middle of anything. */
void conn_doom(struct front *front, struct conn *conn);

/* Whether a stranger may have an answer of so many bytes, which count until it has left; always for
 * others. */
bool conn_answer_fits(struct front *front, struct conn *conn, size_t bytes);

/* Its request is complete, or its answer does not wait for that: it is being answered. */
void conn_answer_begin(struct front *front, struct conn *conn);

/* Whoever is pending wants to be told when the answer has not come by then; UINT64_MAX: never, also
 * when the client reads nothing. */
void conn_set_due(struct front *front, struct conn *conn, uint64_t due_ms);

/* Its body is a streamed one. */
void conn_receive_singly(struct front *front, struct conn *conn);

/* Of its body, which is a streamed one, no more is wanted until conn_release(): what has arrived
 * waits, and the rest is not received. Not within a span of it is it released. */
void conn_hold(struct front *front, struct conn *conn);
void conn_release(struct front *front, struct conn *conn);

/* Nobody is pending any more: it is answered, or will not be. */
void conn_detach(struct conn *conn);

/* Whether its request is being answered: nothing of the next one is looked at. */
static inline bool conn_is_answered(const struct conn *conn)
{
    return conn->state == CONN_RESPONDING || conn->state == CONN_SENDING;
}

/* Whether its input is thrown away: nothing but its end follows. */
static inline bool conn_is_ending(const struct conn *conn)
{
    return conn->state == CONN_LINGERING || conn->state == CONN_DOOMED ||
           conn->state == CONN_CLOSING;
}

/* ---- between the files of a connection ------------------------------------------------------ */

/* Takes one step of the table and does what it says; not for CONN_EV_INPUT. */
void conn_event(struct front *front, struct conn *conn, enum conn_event event);

/* Arms the timer for the present state. */
void conn_update_timer(struct front *front, struct conn *conn);

/* Receives; and stops to do so until the answer has left, but hears when the client goes. */
void conn_receive(struct front *front, struct conn *conn);
void conn_pause(struct front *front, struct conn *conn);
void conn_resume(struct front *front, struct conn *conn);

/* conn_input.c: understands what has arrived, as far as the present state allows. */
void conn_input_process(struct front *front, struct conn *conn, const char *bytes, size_t count);

/* The client sends no more: what it has sent is answered, and nothing that would take long is
 * begun. */
void conn_input_end(struct front *front, struct conn *conn);

/* Gives back what waits of the connection's input. */
void conn_input_finish(struct front *front, struct conn *conn);

#endif
