/* SPDX-License-Identifier: MIT */
/*
 * clients.h - how many connections each client address has, for --max-connections-per-client.
 *
 * IPv6 addresses count by their first 64 bits, which is what one client is given at least. Memory
 * is taken at the start: one entry for each connection there can be. The hash is keyed with random
 * bytes, so that nobody can choose addresses that share a bucket.
 */
#ifndef DISPATCHER_CLIENTS_H
#define DISPATCHER_CLIENTS_H

#include <stdint.h>
#include <sys/socket.h>

#include "millrace/check.h"

#define CLIENT_NONE UINT32_MAX
#define CLIENT_KEY_BYTES 16u

struct client_entry {
    uint8_t address[16];
    uint32_t conn_count;
    uint32_t next; /* in its bucket, or of the free ones; CLIENT_NONE: the last */
};

/* Owned by the loop. Zero counts nobody. */
struct clients {
    struct client_entry *entries;
    uint32_t *buckets;
    uint32_t bucket_count; /* a power of two */
    uint32_t free;
    uint8_t key[CLIENT_KEY_BYTES];
};

/* 0 or -ENOMEM. */
int clients_init(struct clients *clients, uint32_t conn_count_max) MUST_USE;
void clients_finish(struct clients *clients);

/* One more connection from this address. The entry to be left again, or CLIENT_NONE when it has
 * `count_max` of them already. */
uint32_t clients_enter(struct clients *clients, const struct sockaddr_storage *address,
                       uint32_t count_max);

/* It is closed. */
void clients_leave(struct clients *clients, uint32_t index);

#endif
