/* SPDX-License-Identifier: MIT */
/*
 * engine_files.c - runs whose next line waits until its files are kept: JOB_WINDOW, like those
 * whose client has to take something first.
 */
#include <poll.h>
#include <string.h>

#include "shm/clock.h"
#include "worker/engine/engine_parts.h"
#include "worker/engine/leave.h"

static void engine_unwatch_pipe(struct engine *engine, struct job *job);

/* What can be done for the run's files now; a pipe that is full is waited for. */
void engine_give_files(struct engine *engine, struct job *job)
{
    struct attachment *attachment = &engine->context->attachment;
    struct out_files *files = &job->files;
    slot_progress(job->slot, clock_coarse_ns());
    if (!out_files_go_on(files, &job->reply, attachment->socket))
        return;
    int rc = attachment_watch(attachment, files->pipe, POLLOUT, job->reply.slot);
    if (rc != 0) {
        out_files_give_up(files, strerror(-rc));
        return;
    }
    job->watched_fd = files->pipe;
    engine->watched_count++;
}

/* The line goes on to wait for its window, or to be sent. */
static void engine_files_end(struct engine *engine, struct job *job)
{
    if (job->state == JOB_WINDOW && job_may_step(job, engine->window_bytes))
        engine_make_ready(engine, job);
}

void engine_take_file(struct engine *engine, const struct record *meta, const void *payload)
{
    struct attachment *attachment = &engine->context->attachment;
    struct job *job = meta->slot < engine->slot_count ? &engine->jobs[meta->slot] : NULL;
    const bool is_awaited = job && job->state == JOB_WINDOW && job->files.is_told &&
                            job->reply.generation == meta->generation;
    if (is_awaited)
        engine_unwatch_pipe(engine, job);
    int rc = is_awaited ? out_files_hear(&job->files, meta, payload, attachment->socket)
                        : out_files_ignore(meta, attachment->socket);
    if (rc != 0)
        leave(WORKER_EXIT_PROTOCOL, "a FILE record for slot %u, which did not tell of one",
              meta->slot);
    if (ring_release(&attachment->request))
        doorbell_ring(&attachment->dispatcher_bell, DOORBELL_SPACE);
    if (!is_awaited)
        return;
    engine_give_files(engine, job);
    engine_files_end(engine, job);
}

void engine_go_on_writing(struct engine *engine, struct job *job)
{
    engine_unwatch_pipe(engine, job);
    engine_give_files(engine, job);
    engine_files_end(engine, job);
}

void engine_drop_files(struct engine *engine, struct job *job)
{
    engine_unwatch_pipe(engine, job);
    out_files_finish(&job->files);
}

static void engine_unwatch_pipe(struct engine *engine, struct job *job)
{
    if (job->watched_fd == -1)
        return;
    attachment_unwatch(&engine->context->attachment, job->watched_fd, job->reply.slot);
    job->watched_fd = -1;
    engine->watched_count--;
}
