/* SPDX-License-Identifier: MIT */
/*
 * api_exchange.h - requests of connections become calls of handlers, and answers hear what becomes
 * of their connections.
 */
#ifndef DISPATCHER_API_EXCHANGE_H
#define DISPATCHER_API_EXCHANGE_H

#include "dispatcher/http/exchange.h"

/* The front's owner is a struct api; conn->pending is a struct answer, or a struct transfer, which
 * begins with one. */
extern const struct exchange_ops api_exchange_ops;

#endif
