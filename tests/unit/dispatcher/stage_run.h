/* SPDX-License-Identifier: MIT */
/*
 * stage_run.h - one run of the stage, from its request to the records its worker writes and the
 * answer its client reads.
 */
#ifndef TESTS_DISPATCHER_STAGE_RUN_H
#define TESTS_DISPATCHER_STAGE_RUN_H

#include "tests/unit/dispatcher/stage_answer.h"

#define STREAM_PATH "/v4/runs/stream"
#define RESULT_PATH "/v4/runs"
#define RUN_BODY "{\"inputs\":[]}"

/* A chunk of one output, the number 7, and what becomes of it. */
static const uint8_t number_chunk[] = {0x91, 0x07};
#define NUMBER_OUTPUTS "\"outputs\":[{\"type\":\"integer\",\"value\":7,\"file\":null}]"

struct stage_run {
    uint32_t client, worker;
    struct record next; /* the header of its next record */
};

static inline struct slot_shared *stage_run_slot(const struct stage_run *run)
{
    return &stage.workers[run->worker].segment.slots[run->next.slot];
}

/* The dispatcher's own, while it has a slot. */
static inline struct run *stage_run_of(const struct stage_run *run)
{
    struct run *found = stage.server->fleet.workers[run->worker]->slots[run->next.slot].run;
    mr_assert(found);
    return found;
}

/* The client that waits for it. */
static inline uint32_t stage_client_of(const struct run *run)
{
    return answer_of(run->sink)->conn->index;
}

/* Why the worker is to stop it; 0: it is not. */
static inline uint32_t stage_run_reason(const struct stage_run *run)
{
    return slot_cancel_reason(stage_run_slot(run), run->next.generation);
}

/* The worker takes the request that waits for it, and begins the run unless it was revoked. */
static inline bool stage_run_take(struct stage_run *run)
{
    struct record start;
    for (run->worker = 0; run->worker < stage.server->fleet.worker_count; run->worker++) {
        if (!stage.workers[run->worker].lives || !stage_request(run->worker, &start))
            continue;
        mr_assert(start.kind == RECORD_START);
        run->next = (struct record){.slot = start.slot, .generation = start.generation};
        return slot_move(stage_run_slot(run), start.generation, SLOT_OFFERED, SLOT_RUNNING);
    }
    return false;
}

/* A new client asks for a run, and a worker begins it. */
static inline struct stage_run stage_run_begin(const char *path, const char *body, int minor)
{
    struct stage_run run = {.client = stage_connect()};
    stage_say(run.client, path, body, minor);
    mr_assert(stage_run_take(&run));
    return run;
}

static inline void stage_run_put(struct stage_run *run, enum record_kind kind, uint8_t flags,
                                 const void *payload, size_t bytes)
{
    struct record record = run->next;
    record.kind = (uint8_t)kind;
    record.flags = flags;
    record.bytes = (uint32_t)bytes;
    mr_assert(stage_put(run->worker, record, payload));
    run->next.sequence++;
}

static inline void stage_run_number(struct stage_run *run)
{
    stage_run_put(run, RECORD_CHUNK, 0, number_chunk, sizeof(number_chunk));
}

/* As a worker does: the slot first, then the record. */
static inline void stage_run_end(struct stage_run *run)
{
    (void)!slot_move(stage_run_slot(run), run->next.generation, SLOT_RUNNING, SLOT_ENDED);
    stage_run_put(run, RECORD_END, 0, NULL, 0);
}

/* The answer that a test looks at; scene_close() gives its memory back. */
static struct client_answer answer;

/* What a client has got when nothing moves any more. */
static inline const struct client_answer *answer_to(uint32_t client)
{
    stage_settle();
    answer_finish(&answer);
    client_answer_of(&answer, client);
    return &answer;
}

/* The teardown of every test on the stage, whose setups are the files' own scene_open(). */
static inline int scene_close(void **state)
{
    (void)state;
    answer_finish(&answer);
    stage_close();
    return 0;
}

#endif
