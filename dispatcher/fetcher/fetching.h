/* SPDX-License-Identifier: MIT */
/*
 * fetching.h - the loop and its fetcher: what is to be fetched from URLs or posted to them waits
 * here, and is told here.
 *
 * The process is started when there is something to do, and ended when there was nothing for a
 * while. As many are under way as FETCH_GET_COUNT_MAX and FETCH_POST_COUNT_MAX say; others wait.
 * Whoever has fewest under way is next, the first that came of those; and nobody has more than
 * three quarters of the places, or of those that wait. One that dies or hangs fails what it had,
 * and is followed by another.
 */
#ifndef DISPATCHER_FETCHING_H
#define DISPATCHER_FETCHING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/config/config.h"
#include "dispatcher/fetcher/fetch_address.h"
#include "dispatcher/fetcher/fetch_message.h"
#include "dispatcher/reactor/reactor.h"
#include "dispatcher/reactor/servant.h"
#include "millrace/check.h"

/* That wait, of both kinds. */
#define FETCH_WAITING_COUNT_MAX 1024u

/* What of a number of places one may have. */
#define FETCH_SHARE(count) ((count) / 4 * 3)

/* What is slower than FETCH_SLOW_BYTES a second for so long is given up. */
#define FETCH_SLOW_S 30u

#define FETCH_POST_TIMEOUT_MS 10000u

struct fetch_job;

/* What came of it. Texts live during the call. */
struct fetch_result {
    uint32_t status;  /* of HTTP; of a file 200 to 299 */
    uint64_t bytes;   /* of the file */
    const char *name; /* as whoever sent it calls it, which may be anything; "": nothing */
};

struct fetch_failure {
    enum fetch_fault fault;
    uint32_t status;    /* of HTTP; 0: there was none */
    const char *reason; /* a sentence without its end */
};

/* Told to whoever began the job, never inside fetch_begin() or fetch_drop(). After `done` and
 * `failed` the job is the caller's again, and may be begun anew within the call. */
struct fetch_ops {
    /* A file has so many bytes by now; at least once for each FETCH_PROGRESS_BYTES. NULL: nobody
     * wants to know. It may be dropped. */
    void (*progress)(struct fetch_job *job, uint64_t bytes);
    void (*done)(struct fetch_job *job, const struct fetch_result *result);
    void (*failed)(struct fetch_job *job, const struct fetch_failure *failure);
};

enum fetch_job_state {
    FETCH_JOB_NONE = 0,
    FETCH_JOB_WAITING,
    FETCH_JOB_UNDER_WAY,
    FETCH_JOB_STATE_COUNT
};

/* Owned by whoever begins it; zero is one that was not begun. */
struct fetch_job {
    enum fetch_job_state state;
    enum fetch_kind kind;
    const struct fetch_ops *ops;
    void *owner;
    char *url; /* owned, until it is over */
    int fd;    /* borrowed */
    uint64_t bytes;
    uint64_t due_ms;
    uint32_t slow_s;
    uint32_t share;
    uint32_t place;                    /* where it is under way */
    struct fetch_job *next, *previous; /* of those that wait */
};

struct fetch_options {
    const char *url;
    size_t url_bytes;
    /* Of a GET: an empty regular file, open for writing; of a POST: what is sent, as
     * application/json, from its first byte on. It stays open until the job is over. */
    int fd;
    uint64_t bytes;      /* GET: at most so many; POST: of the body */
    uint32_t timeout_ms; /* in all, waiting included */
    uint32_t slow_s;     /* FETCH_SLOW_S, or 0 */
    uint32_t share;      /* whose it is: the owner of a run */
    const struct fetch_ops *ops;
    void *owner;
};

/* What is under way; the fetcher may still work at one that nobody waits for. */
struct fetch_place {
    uint64_t number; /* 0: nothing is */
    struct fetch_job *job;
    enum fetch_kind kind;
    uint64_t bytes, bytes_max;
    uint32_t share;
    bool must_cancel; /* which could not be said yet */
};

struct fetch_queue {
    struct fetch_job *first, *last;
};

/* Owned by the server. */
struct fetching {
    const struct config *config;
    struct reactor *reactor;
    struct fetch_rules *rules; /* owned */
    bool is_off;               /* --fetch-allow none */
    bool is_outdated;          /* the fetcher has other rules: it ends what it has, and goes */

    struct servant fetcher;
    struct fetch_place places[FETCH_COUNT_MAX];
    uint32_t busy_counts[FETCH_KIND_COUNT];
    struct fetch_queue queues[FETCH_KIND_COUNT];
    uint32_t waiting_count;
    uint64_t number;    /* of the last one */
    uint64_t opened_ms; /* when it was started, or when that failed */
    uint64_t heard_ms;  /* when it said something, or got something to do */
    struct timer timer;

    /* For GET /metrics. */
    uint64_t counts[FETCH_KIND_COUNT]
                   [FETCH_FAULT_COUNT]; /* that are over; FETCH_FAULT_NONE: done */
    uint64_t byte_count;                /* of files that came whole */
    uint64_t lost_count;
};

/* Nothing runs. 0 or -ENOMEM; fetching_finish() in either case, which forgets jobs that are not
 * over without telling: they are still there then. */
int fetching_init(struct fetching *fetching, const struct config *config,
                  struct reactor *reactor) MUST_USE;
void fetching_finish(struct fetching *fetching);

/* The configuration is another one from now on. What is under way goes on as it began. */
void fetching_follow(struct fetching *fetching, const struct config *config);

/* Begins a job, of which nothing is set; `kind` is FETCH_GET or FETCH_POST. 0: `done` or `failed`
 * will be told, unless it is dropped. Or why not, with a sentence without its end in `reason`:
 * -EINVAL, the URL is none that is fetched; -EACCES, nothing is fetched from the address in it;
 * -EPERM, nothing is fetched at all; -EBUSY, too many wait; -ENOMEM. */
int fetch_begin(struct fetching *fetching, struct fetch_job *job, enum fetch_kind kind,
                const struct fetch_options *options, char reason[FETCH_REASON_BYTES]) MUST_USE;

/* Nobody waits for it any more, and its file may be closed. One that is over may be dropped,
 * too. */
void fetch_drop(struct fetching *fetching, struct fetch_job *job);

/* What fetch_begin() would say of the URL: 0, -EINVAL, -EACCES or -EPERM. */
int fetch_check(const struct fetching *fetching, const char *url, size_t url_bytes,
                char reason[FETCH_REASON_BYTES]) MUST_USE;

void fetching_on_fetcher(struct fetching *fetching, const struct uring_event *event);
void fetching_on_timer(struct fetching *fetching);

#endif
