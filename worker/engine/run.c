/* SPDX-License-Identifier: MIT */
/*
 * run.c - a run's request and its window.
 */
#include "worker/engine/run.h"

#include <errno.h>

#include "millrace/protocol.h"
#include "shm/window.h"
#include "worker/engine/object.h"

/* A stash that small stays with the slot. */
#define RUN_STASH_KEEP_BYTES 4096u

void run_init(struct run *run, struct slot_shared *slot, uint16_t index, uint32_t generation)
{
    mr_assert(run->state == RUN_NONE);
    struct buffer stash = run->stash;
    *run = (struct run){
        .reply = {.slot = index, .generation = generation},
        .slot = slot,
        .stash = stash,
        .id = "",
    };
}

void run_finish(struct run *run)
{
    arena_finish(&run->arena);
    buffer_trim(&run->stash, RUN_STASH_KEEP_BYTES);
    run->inputs = NULL;
    run->input_count = 0;
    run->id = "";
    run->state = RUN_NONE;
}

int run_read_request(struct run *run, uint8_t *bytes, size_t count)
{
    const struct mr_object *request;
    int rc = object_unpack(&run->arena, bytes, count, &request);
    if (rc != 0)
        return rc;
    if (request->type != MR_ARRAY || request->u.array.count != 2)
        return -EBADMSG;
    const struct mr_object *id = &request->u.array.items[0];
    const struct mr_object *inputs = &request->u.array.items[1];
    if (id->type != MR_STRING || inputs->type != MR_ARRAY)
        return -EBADMSG;
    run->id = id->u.string.bytes;
    run->inputs = inputs->u.array.items;
    run->input_count = inputs->u.array.count;
    return 0;
}

bool run_window_allows(struct run *run, uint32_t window_bytes, size_t bytes)
{
    uint64_t charge = bytes + CHUNK_CHARGE_BYTES;
    if (window_allows(run->charged - run->delivered_seen, charge, window_bytes))
        return true;
    run->delivered_seen = slot_delivered(run->slot);
    return window_allows(run->charged - run->delivered_seen, charge, window_bytes);
}

bool run_may_step(struct run *run, uint32_t window_bytes)
{
    if (run->is_line_waiting)
        return run_window_allows(run, window_bytes, run->stash.used);
    return run_window_allows(run, window_bytes, 0) ||
           run_window_allows(run, window_bytes, run->last_bytes);
}

void run_charge(struct run *run, size_t bytes)
{
    run->charged += bytes + CHUNK_CHARGE_BYTES;
    run->last_bytes = bytes;
}
