/* SPDX-License-Identifier: MIT */
/*
 * fetch_message.h - what the server and its fetcher say to each other.
 *
 *     server                                  fetcher
 *     ALLOW, a rule of --fetch-allow  ----->  keeps it; these come first
 *     GET, a URL, an empty file       ----->  fetches it into the file
 *     or POST, a URL, a file          ----->  posts what is in the file
 *                                     <-----  PROGRESS, each MiB of a GET
 *                                     <-----  ALIVE, each second as long as it has something to do
 *                                     <-----  DONE, or FAILED
 *     CANCEL                          ----->  ends it; FAILED, unless it had answered already
 *
 * Several are under way at once, each with a number. A message is one packet. The fetcher hears
 * strangers, so what it says is checked like what a worker says; it never sends a descriptor.
 */
#ifndef DISPATCHER_FETCH_MESSAGE_H
#define DISPATCHER_FETCH_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#define FETCH_MAGIC 0x6d726665u

#define FETCH_URL_BYTES_MAX 4096u
#define FETCH_REASON_BYTES 512u
#define FETCH_NAME_BYTES 256u

/* Under way at once, of each kind; so files that come slowly hold up no callbacks. */
#define FETCH_GET_COUNT_MAX 24u
#define FETCH_POST_COUNT_MAX 8u
#define FETCH_COUNT_MAX (FETCH_GET_COUNT_MAX + FETCH_POST_COUNT_MAX)

#define FETCH_PROGRESS_BYTES (1024u * 1024)
#define FETCH_ALIVE_MS 1000u

enum fetch_kind {
    FETCH_NONE = 0,
    FETCH_ALLOW, /* has no answer */
    FETCH_GET,
    FETCH_POST,
    FETCH_CANCEL,
    FETCH_KIND_COUNT
};

enum fetch_said {
    FETCH_SAID_NOTHING = 0,
    FETCH_PROGRESS, /* `bytes` so far */
    FETCH_ALIVE,    /* of none in particular */
    FETCH_DONE,     /* `status`; of a GET, which was 200 to 299, `bytes` and `name`, too */
    FETCH_FAILED,   /* `fault` and `reason`; `status`, where there was one */
    FETCH_SAID_COUNT
};

/* Whose fault it is that something was not fetched, or not posted. */
enum fetch_fault {
    FETCH_FAULT_NONE = 0,
    FETCH_FAULT_URL,     /* it is none that is fetched */
    FETCH_FAULT_ADDRESS, /* nothing is fetched from there */
    FETCH_FAULT_CONNECT, /* there is no such host, or no connection to it, or it was cut */
    FETCH_FAULT_TIMEOUT, /* it took too long, or came too slowly */
    FETCH_FAULT_STATUS,  /* a GET was answered with another status than 200 to 299 */
    FETCH_FAULT_SIZE,    /* it has more bytes than are taken */
    FETCH_FAULT_ANSWER,  /* what came is no answer that is taken */
    FETCH_FAULT_DISK,    /* it could not be written */
    FETCH_FAULT_OURS,    /* the server, or its fetcher, could not */
    FETCH_FAULT_COUNT
};

/* Is followed by the URL, or the rule. */
struct fetch_request {
    uint32_t magic;
    uint32_t kind;
    uint64_t number; /* answers say it again */
    uint64_t bytes;  /* GET: at most so many; POST: of the body */
    uint32_t timeout_ms;
    uint32_t slow_s; /* no fewer than FETCH_SLOW_BYTES a second for so long; 0: no such limit */
    uint32_t text_bytes;
    uint32_t pad;
};

#define FETCH_SLOW_BYTES 1024u

/* Whatever is not said is zero. */
struct fetch_answer {
    uint32_t magic;
    uint32_t kind; /* enum fetch_said */
    uint64_t number;
    uint64_t bytes;
    uint32_t status;
    uint32_t fault;
    char reason[FETCH_REASON_BYTES]; /* a sentence without its end */
    char name[FETCH_NAME_BYTES];     /* as a stranger gave it; "": none */
};

/* A word for metrics; of FETCH_FAULT_NONE "done". */
const char *fetch_fault_name(enum fetch_fault fault);

/* What is wrong with an answer whoever it is for, as words for the log; NULL: it may be believed as
 * far as it goes. */
const char *fetch_answer_check(const struct fetch_answer *answer);

#endif
