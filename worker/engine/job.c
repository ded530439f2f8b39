/* SPDX-License-Identifier: MIT */
/*
 * job.c - a job's memory and its window.
 */
#include "worker/engine/job.h"

#include "millrace/limits.h"
#include "millrace/protocol.h"
#include "shm/window.h"
#include "worker/engine/waker.h"

/* A stash that small stays with the slot. */
#define JOB_STASH_KEEP_BYTES 4096u

void job_init(struct job *job, struct slot_shared *slot, uint16_t index, uint32_t generation)
{
    mr_assert(job->state == JOB_NONE);
    struct buffer stash = job->stash;
    *job = (struct job){
        .reply = {.slot = index, .generation = generation},
        .slot = slot,
        .stash = stash,
        .id = "",
        .watched_fd = -1,
    };
}

void *job_alloc(struct job *job, size_t bytes)
{
    size_t left = RUN_ALLOC_BYTES_MAX - job->alloc_bytes;
    if (left < ARENA_HEAD_BYTES || bytes > left - ARENA_HEAD_BYTES)
        return NULL;
    job->alloc_bytes += ARENA_HEAD_BYTES + bytes;
    return arena_take(&job->arena, bytes);
}

void job_finish(struct job *job)
{
    out_files_finish(&job->files);
    arena_finish(&job->arena);
    waker_release(job->waker);
    job->waker = NULL;
    buffer_trim(&job->stash, JOB_STASH_KEEP_BYTES);
    job->inputs = NULL;
    job->input_count = 0;
    job->id = "";
    job->state = JOB_NONE;
}

bool job_window_allows(struct job *job, uint32_t window_bytes, size_t bytes)
{
    uint64_t charge = bytes + CHUNK_CHARGE_BYTES;
    if (window_allows(job->charged - job->delivered_seen, charge, window_bytes))
        return true;
    job->delivered_seen = slot_delivered(job->slot);
    return window_allows(job->charged - job->delivered_seen, charge, window_bytes);
}

bool job_may_step(struct job *job, uint32_t window_bytes)
{
    if (job->is_line_waiting)
        return !job->files.first && job_window_allows(job, window_bytes, job->stash.used);
    return job_window_allows(job, window_bytes, 0) ||
           job_window_allows(job, window_bytes, job->last_bytes);
}

void job_charge(struct job *job, size_t bytes)
{
    job->charged += bytes + CHUNK_CHARGE_BYTES;
    job->last_bytes = bytes;
}
