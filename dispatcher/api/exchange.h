/* SPDX-License-Identifier: MIT */
/*
 * exchange.h - what connections tell of the answers they wait for.
 */
#ifndef DISPATCHER_API_EXCHANGE_H
#define DISPATCHER_API_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

struct api;
struct conn;

/* The connection is gone, or is given up since its client reads nothing. */
void api_conn_gone(struct api *api, struct conn *conn, bool is_stalled);

/* Output of this charge has left. */
void api_conn_sent(struct api *api, struct conn *conn, uint64_t charge);

/* The time that conn_set_due() gave the answer is over. */
void api_conn_expired(struct api *api, struct conn *conn);

#endif
