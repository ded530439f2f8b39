/* SPDX-License-Identifier: MIT */
/*
 * fetcher_transfer.h - in the fetcher: what is under way, by libcurl's multi interface.
 *
 * A transfer is one request after another where it is redirected, each on a connection of its own
 * to an address that was checked when it was connected to.
 */
#ifndef DISPATCHER_FETCHER_TRANSFER_H
#define DISPATCHER_FETCHER_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/fetcher/fetch_address.h"
#include "dispatcher/fetcher/fetch_message.h"
#include "dispatcher/fetcher/fetch_url.h"
#include "dispatcher/fetcher/fetcher_library.h"

struct transfers;

struct transfer {
    uint64_t number; /* 0: there is none */
    enum fetch_kind kind;
    int fd; /* owned */
    uint64_t bytes, bytes_max, told_bytes;
    uint64_t due_ms;
    uint32_t timeout_ms, slow_s;
    uint32_t redirect_count;
    struct fetch_url url; /* of this request */

    struct transfers *transfers;
    CURL *easy;
    struct curl_slist *headers;
    uint64_t head_bytes, dropped_bytes;
    bool is_encoded; /* the answer */
    bool has_enough; /* what follows in the answer is not wanted */
    char name[FETCH_NAME_BYTES];
    enum fetch_fault fault; /* what was wrong first; */
    char reason[FETCH_REASON_BYTES];
    const char *refused; /* an address of it, and what that is */
};

/* One to a process. */
struct transfers {
    CURLM *multi;
    struct fetch_rules rules;
    struct transfer items[FETCH_COUNT_MAX];
    uint32_t count;
    void (*say)(const struct fetch_answer *answer);
};

/* Begins what is asked, of which `text` is the URL; takes the file over. */
void transfer_begin(struct transfers *transfers, const struct fetch_request *request,
                    const char *text, int fd);

/* Ends it, if it is not over; says so. */
void transfer_cancel(struct transfers *transfers, uint64_t number);

/* Says what came of those that libcurl has done with, or sends them where they are redirected. */
void transfers_reap(struct transfers *transfers);

#endif
