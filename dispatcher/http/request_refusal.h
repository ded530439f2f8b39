/* SPDX-License-Identifier: MIT */
/*
 * request_refusal.h - why a request or a connection was not taken.
 */
#ifndef DISPATCHER_REQUEST_REFUSAL_H
#define DISPATCHER_REQUEST_REFUSAL_H

enum request_refusal {
    REQUEST_REFUSAL_NONE = 0,
    REQUEST_REFUSAL_UNAUTHORIZED,
    REQUEST_REFUSAL_FORBIDDEN, /* from a web page, see origin.h */
    REQUEST_REFUSAL_NOT_FOUND,
    REQUEST_REFUSAL_BAD_REQUEST,
    REQUEST_REFUSAL_TOO_LARGE,
    REQUEST_REFUSAL_TOO_SLOW,
    REQUEST_REFUSAL_MEMORY,       /* there is none for the request */
    REQUEST_REFUSAL_INPUT_MEMORY, /* requests hold as much as they may: --input-memory */
    REQUEST_REFUSAL_READER, /* the process that reads large bodies could not, or not in time */
    /* connections */
    REQUEST_REFUSAL_CONNECTIONS,
    REQUEST_REFUSAL_CLIENT_CONNECTIONS, /* from one address */
    REQUEST_REFUSAL_COUNT
};

/* The word of the label: "unauthorized". */
const char *request_refusal_name(enum request_refusal refusal);

/* What a request is refused for that is answered with this status. */
enum request_refusal request_refusal_of_status(int status);

#endif
