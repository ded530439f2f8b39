/* SPDX-License-Identifier: MIT */
/*
 * answer.h - the answer to a request for a run, while it is being made: what a connection, the
 * reader and the run's sink have in common.
 *
 * It begins when the body of the request is complete and ends with the response; one whose client
 * does not wait (async_run) loses its connection and ends with its run.
 */
#ifndef DISPATCHER_ANSWER_H
#define DISPATCHER_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/api/bases.h"
#include "dispatcher/http/conn.h"
#include "dispatcher/reader/read_job.h"
#include "dispatcher/runs/run.h"
#include "dispatcher/runs/sink.h"
#include "dispatcher/text/text.h"

struct alias;
struct api;
struct format;
struct pipeline;
struct stream_words;

#define ANSWER_PREFIX_BYTES_MAX 288u

/* An output of a result, as far as it has come. */
struct collected {
    struct text text; /* JSON: a plain output as it is told, of a stream its items */
    /* Of the first item, which may be all there is: its type (NULL: there is none yet), whether it
     * is a file, in its wrapper, and its part of the text. */
    const char *first_type;
    bool is_first_file;
    size_t first_bytes;
};

struct answer {
    struct sink sink; /* first: the run tells it */
    struct api *api;
    struct conn *conn; /* NULL: nobody waits */
    struct run *run;   /* NULL: there is none yet, or it was told the end */
    const struct format *format;
    struct alias *alias;   /* that was asked for, and is kept; NULL: none */
    bool final_line;       /* asked for a status line at the end */
    bool waits_for_load;   /* its run waits until its pipeline is loaded */
    bool head_sent;        /* the response has begun; its status is said */
    bool is_async;         /* nobody will wait for the run */
    char *callback_url;    /* where its result is posted then; owned; NULL: nowhere */
    char base[BASE_BYTES]; /* of urls */
    int status;            /* what was said before its connection left it; 0: nothing */

    /* While there is no run yet, since the reader reads the body. */
    struct read_job job;
    struct pipeline *pipeline; /* of the run there will be; NULL: unknown */
    struct run_rank rank;      /* likewise, once that is known */

    uint32_t output_count;

    /* Of a stream: the constant part of its lines. */
    const struct stream_words *words;
    uint32_t tail_bytes;
    uint64_t prefix_pass; /* the pass whose time `prefix` shows */
    uint32_t prefix_bytes;
    uint32_t updated_offset; /* of the time inside prefix */
    char prefix[ANSWER_PREFIX_BYTES_MAX];

    /* Of a result: what has come of each output. */
    struct collected *collected; /* owned */
    uint64_t collected_bytes;    /* that they hold */

    struct answer *next; /* free list */
};

/* One for this connection, which waits for it; NULL: no memory. */
struct answer *answer_take(struct api *api, struct conn *conn, const struct format *format);

/* It is made, or nobody wants it: given back, and its connection knows it no more. Returns the
 * status that was said, 0: none. */
int answer_give(struct answer *answer);

/* The pipeline that its body was read for need not wait for the run there will be. */
void answer_forget_pipeline(struct answer *answer);

/* Nobody waits for it any more, and its run goes on. */
void answer_let_go(struct answer *answer);

/* Of a sink that is an answer's. */
static inline struct answer *answer_of(struct sink *sink)
{
    return (struct answer *)sink;
}

/* Answers with the failure's status and this body, which is given back; `content_type` NULL: JSON,
 * `headers` as in struct response. */
void answer_failure(struct answer *answer, const struct run_failure *failure,
                    const char *content_type, const char *headers, struct text *body);

/* Whether there is somebody who can still be told something. */
bool answer_is_heard(const struct answer *answer);

/* All there ever were. */
void answers_finish(struct api *api);

#endif
