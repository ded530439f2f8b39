/* SPDX-License-Identifier: MIT */
/* staging.c - the way of a run's files, to it and away again. */
#include "dispatcher/staging/staging.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/inputs/file_reference.h"
#include "dispatcher/runs/pipeline.h"
#include "dispatcher/runs/pipeline_health.h"
#include "dispatcher/staging/staged_names.h"

static void staging_give_job(struct staging *staging, struct staged *staged);
static void staging_on_ready(struct staged *staged);

/* ---- what is named -------------------------------------------------------------------------- */

static void staging_free(struct staged *staged)
{
    struct staging *staging = staged->staging;
    for (uint32_t i = 0; i < staged->count; i++) {
        if (staged->items[i].stored)
            file_release(staged->items[i].stored);
        free(staged->items[i].url);
    }
    *(staged->previous ? &staged->previous->next : &staging->first) = staged->next;
    if (staged->next)
        staged->next->previous = staged->previous;
    staging->count--;
    input_memory_give(staging->input, staged->memory_bytes);
    free(staged->disk_files);
    free(staged->items);
    free((void *)(uintptr_t)staged->files.message);
    free(staged);
}

/* Room for so many files; NULL: no memory. */
static struct staged *staging_new(struct staging *staging, uint32_t count, uint64_t text_bytes)
{
    struct staged *staged = calloc(1, sizeof *staged);
    struct disk_run_file *disk_files = calloc(count, sizeof *disk_files);
    struct staged_item *items = calloc(count, sizeof *items);
    if (!staged || !disk_files || !items) {
        free(staged);
        free(disk_files);
        free(items);
        return NULL;
    }
    *staged = (struct staged){.staging = staging, .disk_files = disk_files, .items = items};
    staged->memory_bytes =
        sizeof *staged + text_bytes + (uint64_t)count * (sizeof *disk_files + sizeof *items);
    input_memory_take(staging->input, staged->memory_bytes);
    identity_hex(&staging->files->reactor->identity, staged->folder);
    staged->next = staging->first;
    if (staging->first)
        staging->first->previous = staged;
    staging->first = staged;
    staging->count++;
    return staged;
}

static int staging_refuse(struct api_error *error, const struct file_reference *reference,
                          const char *why)
{
    api_error_input(error, "input %u: %.*s: %s", reference->input,
                    reference->where_bytes > 200 ? 200 : (int)reference->where_bytes,
                    reference->where, why);
    return -EINVAL;
}

/* Adds the next one. */
static int staging_add(struct staged *staged, const char *token,
                       const struct file_reference *reference, struct api_error *error)
{
    struct staged_item *item = &staged->items[staged->count];
    struct disk_run_file *disk = &staged->disk_files[staged->count];
    const struct files *files = staged->staging->files;
    char id[FILE_ID_BYTES];
    *item = (struct staged_item){.staged = staged, .input = reference->input};
    *disk = (struct disk_run_file){.same_as = DISK_RUN_NUMBER_NONE, .fd = -1};
    if (staged_id_find(reference, id))
        item->stored = files_find(files, token, id);
    if (!item->stored && !reference->is_url)
        return staging_refuse(error, reference,
                              "there is no such file; file_path is what POST /v4/files answered");
    if (!item->stored)
        return staging_refuse(error, reference, "URLs are not fetched");
    memcpy(disk->id, id, sizeof disk->id);
    memcpy(disk->name, item->stored->about.name, sizeof disk->name);
    file_use(item->stored);
    staged->count++;
    return 0;
}

/* How many are named; -EBADMSG: the bytes are something else. */
static int staging_count(const uint8_t *at, const uint8_t *end)
{
    struct file_reference reference;
    int count = 0, rc;
    while ((rc = file_reference_next(&at, end, &reference)) > 0)
        count++;
    return rc < 0 || count > (int)RUN_FILE_COUNT_MAX ? -EBADMSG : count;
}

/* All that is named, and the message that will say so. */
static int staging_resolve(struct staging *staging, const char *token, const uint8_t *at,
                           size_t bytes, struct staged **out, struct api_error *error)
{
    const uint8_t *end = at + bytes;
    struct file_reference reference;
    int rc = staging_count(at, end);
    if (rc < 0)
        return rc;
    struct staged *staged = staging_new(staging, (uint32_t)rc, bytes);
    if (!staged)
        return -ENOMEM;
    rc = 0;
    while (rc == 0 && file_reference_next(&at, end, &reference) > 0)
        rc = staging_add(staged, token, &reference, error);
    if (rc == 0)
        rc = staged_message_make(staged);
    if (rc < 0) {
        staging_free(staged);
        return rc;
    }
    *out = staged;
    return 0;
}

/* ---- with the disk -------------------------------------------------------------------------- */

static struct staged *staged_of_job(struct disk_job *job)
{
    return (struct staged *)((char *)job - offsetof(struct staged, job));
}

static struct disk_run_place staged_place(const struct staged *staged)
{
    const struct files *files = staged->staging->files;
    return (struct disk_run_place){
        .stored_fd = files->folder_fd, .runs_fd = files->runs_fd, .folder = staged->folder};
}

static void staging_on_make(struct disk_job *job)
{
    struct staged *staged = staged_of_job(job);
    const struct disk_run_place place = staged_place(staged);
    staged->rc = disk_run_make(&place, staged->disk_files, staged->count, &staged->failed);
}

static void staging_on_remove(struct disk_job *job)
{
    struct staged *staged = staged_of_job(job);
    const struct disk_run_place place = staged_place(staged);
    disk_run_remove(&place, staged->disk_files, staged->count);
}

static void staging_leave(struct staged *staged)
{
    staged->state = STAGED_LEAVING;
    staging_give_job(staged->staging, staged);
}

/* The run ends, which sends its files away. */
static void staging_fail(struct staged *staged, enum error_type type, int status,
                         const char *message)
{
    run_cancel(staged->staging->runs, staged->run,
               &(struct run_failure){.type = type,
                                     .status = status,
                                     .message = message,
                                     .message_count = strlen(message),
                                     .reason = CANCEL_REFUSED});
}

static void staging_fail_disk(struct staged *staged)
{
    const int rc = staged->rc;
    const struct staged_item *item =
        staged->failed < staged->count ? &staged->items[staged->failed] : NULL;
    char message[256];
    if (item && rc == -ENOENT) {
        snprintf(message, sizeof message, "input %u: the file was removed meanwhile", item->input);
        staging_fail(staged, ERROR_INPUT, 400, message);
        return;
    }
    snprintf(message, sizeof message, "the files of the inputs cannot be laid out: %s",
             strerror(-rc));
    staging_fail(staged, ERROR_UNKNOWN, rc == -ENOSPC || rc == -EDQUOT ? 507 : 503, message);
}

static void staging_on_made(struct staged *staged)
{
    if (!staged->run)
        staging_leave(staged);
    else if (staged->rc < 0)
        staging_fail_disk(staged);
    else
        staging_on_ready(staged);
}

static void staging_on_disk(struct disk_job *job)
{
    struct staged *staged = staged_of_job(job);
    struct staging *staging = staged->staging;
    staged->is_with_disk = false;
    staging->job_count--;
    if (staged->state == STAGED_LEAVING)
        staging_free(staged);
    else
        staging_on_made(staged);
    struct staged *next = staging->first_job;
    if (next && staging->job_count < STAGING_JOB_COUNT_MAX) {
        staging->first_job = next->next_job;
        if (!staging->first_job)
            staging->last_job = NULL;
        staging_give_job(staging, next);
    }
}

/* The disk does what the state says, when it is its turn. */
static void staging_give_job(struct staging *staging, struct staged *staged)
{
    if (staging->job_count == STAGING_JOB_COUNT_MAX) {
        staged->next_job = NULL;
        *(staging->last_job ? &staging->last_job->next_job : &staging->first_job) = staged;
        staging->last_job = staged;
        return;
    }
    const bool is_made = staged->state == STAGED_MAKING;
    staged->job = (struct disk_job){is_made ? staging_on_make : staging_on_remove, staging_on_disk};
    staged->is_with_disk = true;
    staging->job_count++;
    disk_begin(&staging->files->disk, &staged->job);
}

/* ---- the run -------------------------------------------------------------------------------- */

/* Its files are there: it may wait for a worker. */
static void staging_on_ready(struct staged *staged)
{
    struct runs *runs = staged->staging->runs;
    struct run *run = staged->run;
    struct pipeline *pipeline = run->pipeline;
    struct run_failure failure;
    staged->state = STAGED_READY;
    if (pipeline_refuses_accepted(runs, pipeline, &failure)) {
        failure.reason = CANCEL_REFUSED;
        run_cancel(runs, run, &failure);
        return;
    }
    run_admit(runs, run);
    pipeline_schedule(runs, pipeline);
}

/* One whose folder waits to be made is taken out: there is nothing to remove. */
static bool staging_take_back_job(struct staging *staging, struct staged *staged)
{
    struct staged *before = NULL, *at = staging->first_job;
    while (at && at != staged) {
        before = at;
        at = at->next_job;
    }
    if (!at)
        return false;
    *(before ? &before->next_job : &staging->first_job) = at->next_job;
    if (staging->last_job == at)
        staging->last_job = before;
    return true;
}

/* staged_files: the run is over. */
static void staging_on_release(struct staged_files *files)
{
    struct staged *staged = (struct staged *)(void *)files; /* its first member */
    staged->run = NULL;
    if (staged->is_with_disk)
        return; /* which will find that nobody wants it */
    if (staged->state == STAGED_MAKING && staging_take_back_job(staged->staging, staged))
        staging_free(staged);
    else
        staging_leave(staged);
}

/* Whether its workers could read what they are given. */
static bool staging_is_reached(const struct staging *staging, const struct run *run)
{
    return staging->files->is_open || run->pipeline->config->confinement.owner == OWNER_SERVER;
}

int staging_begin(struct staging *staging, struct run *run, const char *token,
                  const uint8_t *references, size_t bytes, struct api_error *error)
{
    struct staged *staged;
    if (!files_are_on(staging->files)) {
        api_error_input(error, "the inputs name files, and this server keeps none: millrace serve "
                               "does with --files DIR");
        return -EINVAL;
    }
    if (!staging_is_reached(staging, run)) {
        api_error_input(error, "workers of this server have users of their own, who cannot get to "
                               "the folder of --files: open it and the folders above it to them "
                               "(chmod o+x)");
        error->type = ERROR_UNKNOWN;
        error->status = 500;
        return -EINVAL;
    }
    if (staging->count == STAGING_COUNT_MAX || !input_memory_fits(staging->input, bytes))
        return -ENOBUFS;
    int rc = staging_resolve(staging, token, references, bytes, &staged, error);
    if (rc < 0)
        return rc;
    staged->run = run;
    staged->files.release = staging_on_release;
    run_stage(staging->runs, run, &staged->files);
    staging_give_job(staging, staged);
    return 0;
}

void staging_check(const struct staging *staging)
{
    uint32_t count = 0, job_count = 0;
    for (const struct staged *staged = staging->first; staged; staged = staged->next) {
        count++;
        job_count += staged->is_with_disk;
        mr_assert(staged->staging == staging);
        mr_assert(!staged->next || staged->next->previous == staged);
        mr_assert(!staged->run || staged->run->files == &staged->files);
        mr_assert(staged->run || staged->state == STAGED_LEAVING || staged->is_with_disk);
        mr_assert(staged->state != STAGED_READY || !staged->is_with_disk);
    }
    mr_assert(count == staging->count && job_count == staging->job_count);
}
