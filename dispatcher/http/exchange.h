/* SPDX-License-Identifier: MIT */
/*
 * exchange.h - who answers: what connections tell upwards, by a table of functions.
 *
 * An exchange is a request and its answer; HTTP today, others may follow. Its order:
 *
 *     head        what is wanted, and whether it may be
 *     body ...    spans as they arrive, the last one marked; it may be empty
 *                 whoever answers writes to conn->out, now or later, and while it is to be told
 *                 of what becomes of the connection, conn->pending is not NULL
 *     sent ...    a part of the answer has left
 *     expired     it is later than the answerer said in conn_set_due()
 *     gone        there will be nobody to answer
 */
#ifndef DISPATCHER_EXCHANGE_H
#define DISPATCHER_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/http/http_parse.h"

struct conn;

enum exchange_end {
    EXCHANGE_LEFT = 0, /* the client, or the connection broke */
    EXCHANGE_STALLED,  /* the client reads nothing; the connection is closed */
    EXCHANGE_REFUSED,  /* the rest of its body cannot be taken; the front answers why */
    EXCHANGE_END_COUNT
};

/* All of them are there but `admits`. `owner` is that of the front. */
struct exchange_ops {
    /* Whether who has connected may; NULL: everybody may. */
    bool (*admits)(void *owner, int fd);

    /* Fills conn->request. True: the body follows; false: it is answered. */
    bool (*head)(void *owner, struct conn *conn, const struct http_head *head);

    /* A span of the body, which lives during the call only. With the last one the request is
     * complete: conn_answer_begin(), and the answer now or later. That may be called before, and
     * answered; then the rest of the body is not read, and the connection ends with the answer.
     * 0, or -ENOMEM or -ENOBUFS: the span could not be kept, and the front answers that. */
    int (*body)(void *owner, struct conn *conn, struct http_text span, bool is_last);

    /* The kernel took bytes of this charge for the client, see out_charge(). Only while somebody
     * is pending, as the following ones. */
    void (*sent)(void *owner, struct conn *conn, uint64_t charge);

    /* It was due. Something is to be answered, or due later. */
    void (*expired)(void *owner, struct conn *conn);

    /* Nobody is pending afterwards. */
    void (*gone)(void *owner, struct conn *conn, enum exchange_end end);
};

#endif
