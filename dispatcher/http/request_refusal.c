/* SPDX-License-Identifier: MIT */
/* request_refusal.c - the words for refusals, and which status means which. */
#include "dispatcher/http/request_refusal.h"

static const char *const request_refusal_names[REQUEST_REFUSAL_COUNT] = {
    [REQUEST_REFUSAL_NONE] = "none",
    [REQUEST_REFUSAL_UNAUTHORIZED] = "unauthorized",
    [REQUEST_REFUSAL_FORBIDDEN] = "forbidden",
    [REQUEST_REFUSAL_NOT_FOUND] = "not_found",
    [REQUEST_REFUSAL_BAD_REQUEST] = "bad_request",
    [REQUEST_REFUSAL_TOO_LARGE] = "too_large",
    [REQUEST_REFUSAL_TOO_SLOW] = "too_slow",
    [REQUEST_REFUSAL_MEMORY] = "memory",
    [REQUEST_REFUSAL_INPUT_MEMORY] = "input_memory",
    [REQUEST_REFUSAL_READER] = "reader",
    [REQUEST_REFUSAL_CONNECTIONS] = "connections",
    [REQUEST_REFUSAL_CLIENT_CONNECTIONS] = "client_connections",
};

const char *request_refusal_name(enum request_refusal refusal)
{
    return refusal < REQUEST_REFUSAL_COUNT ? request_refusal_names[refusal] : "?";
}

enum request_refusal request_refusal_of_status(int status)
{
    switch (status) {
    case 401:
        return REQUEST_REFUSAL_UNAUTHORIZED;
    case 403:
        return REQUEST_REFUSAL_FORBIDDEN;
    case 404:
        return REQUEST_REFUSAL_NOT_FOUND;
    case 408:
        return REQUEST_REFUSAL_TOO_SLOW;
    case 413:
    case 414:
    case 431:
        return REQUEST_REFUSAL_TOO_LARGE;
    case 503:
        return REQUEST_REFUSAL_MEMORY;
    default:
        return REQUEST_REFUSAL_BAD_REQUEST;
    }
}
