/* SPDX-License-Identifier: MIT */
/* clients.c - a hash table of addresses with chains through an array. */
#include "dispatcher/http/clients.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

_Static_assert(CLIENT_KEY_BYTES == crypto_shorthash_KEYBYTES, "the key of the hash");

static void clients_key(const struct sockaddr_storage *address, uint8_t key[16]);
static uint32_t *clients_bucket(struct clients *clients, const uint8_t key[16]);

int clients_init(struct clients *clients, uint32_t conn_count_max)
{
    uint32_t bucket_count = 1;
    while (bucket_count < conn_count_max && bucket_count < UINT32_C(1) << 31)
        bucket_count *= 2;
    *clients = (struct clients){.bucket_count = bucket_count};
    clients->entries = calloc(conn_count_max, sizeof *clients->entries);
    clients->buckets = calloc(bucket_count, sizeof *clients->buckets);
    if (!clients->entries || !clients->buckets) {
        clients_finish(clients);
        return -ENOMEM;
    }
    memset(clients->buckets, 0xff, bucket_count * sizeof *clients->buckets);
    clients->free = CLIENT_NONE;
    for (uint32_t i = conn_count_max; i-- > 0; clients->free = i)
        clients->entries[i].next = clients->free;
    randombytes_buf(clients->key, sizeof clients->key);
    return 0;
}

void clients_finish(struct clients *clients)
{
    free(clients->entries);
    free(clients->buckets);
    *clients = (struct clients){0};
}

uint32_t clients_enter(struct clients *clients, const struct sockaddr_storage *address,
                       uint32_t count_max)
{
    uint8_t key[16];
    clients_key(address, key);
    uint32_t *bucket = clients_bucket(clients, key);
    uint32_t index = *bucket;
    while (index != CLIENT_NONE && memcmp(clients->entries[index].address, key, sizeof key) != 0)
        index = clients->entries[index].next;
    if (index == CLIENT_NONE) {
        index = clients->free;
        mr_assert(index != CLIENT_NONE); /* no more clients than connections */
        struct client_entry *entry = &clients->entries[index];
        clients->free = entry->next;
        *entry = (struct client_entry){.next = *bucket};
        memcpy(entry->address, key, sizeof key);
        *bucket = index;
    } else if (clients->entries[index].conn_count >= count_max) {
        return CLIENT_NONE;
    }
    clients->entries[index].conn_count++;
    return index;
}

void clients_leave(struct clients *clients, uint32_t index)
{
    struct client_entry *entry = &clients->entries[index];
    mr_assert(entry->conn_count > 0);
    if (--entry->conn_count > 0)
        return;
    uint32_t *link = clients_bucket(clients, entry->address);
    while (*link != index) {
        mr_assert(*link != CLIENT_NONE);
        link = &clients->entries[*link].next;
    }
    *link = entry->next;
    entry->next = clients->free;
    clients->free = index;
}

/* All addresses as IPv6 ones, cut to what counts as one client. */
static void clients_key(const struct sockaddr_storage *address, uint8_t key[16])
{
    memset(key, 0, 16);
    if (address->ss_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        key[10] = key[11] = 0xff;
        memcpy(key + 12, &in.sin_addr, 4);
    } else if (address->ss_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, address, sizeof in);
        memcpy(key, &in.sin6_addr, IN6_IS_ADDR_V4MAPPED(&in.sin6_addr) ? 16 : 8);
    }
}

static uint32_t *clients_bucket(struct clients *clients, const uint8_t key[16])
{
    uint64_t hash;
    crypto_shorthash((unsigned char *)&hash, key, 16, clients->key);
    return &clients->buckets[hash & (clients->bucket_count - 1)];
}
