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
static void staging_on_made(struct staged *staged);
static void staging_on_ready(struct staged *staged);
static const struct fetch_ops staging_fetch_ops;

/* ---- what is named -------------------------------------------------------------------------- */

static void staging_free(struct staged *staged)
{
    struct staging *staging = staged->staging;
    for (uint32_t i = 0; i < staged->count; i++) {
        if (staged->items[i].stored)
            file_release(staged->items[i].stored);
        files_unreserve(staging->files, staged->items[i].bytes);
        free(staged->items[i].url);
    }
    for (; staged->descriptor_count > 0; staged->descriptor_count--)
        input_memory_give_file(staging->input);
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

/* Its number among the files before it that come from the same URL. */
static uint32_t staging_same_url(const struct staged *staged, const char *url)
{
    for (uint32_t i = 0; i < staged->count; i++)
        if (staged->items[i].url && strcmp(staged->items[i].url, url) == 0)
            return i;
    return DISK_RUN_NUMBER_NONE;
}

static int staging_refuse(struct api_error *error, const struct file_reference *reference,
                          const char *why)
{
    char place[STAGED_PLACE_BYTES];
    staged_place_format(reference->input, reference->where, reference->where_bytes, place);
    api_error_input(error, "%s: %s", place, why);
    return -EINVAL;
}

/* It comes from a URL, once for all that say the same. */
static int staging_add_url(struct staged *staged, const struct file_reference *reference,
                           struct api_error *error)
{
    struct staging *staging = staged->staging;
    struct staged_item *item = &staged->items[staged->count];
    struct disk_run_file *disk = &staged->disk_files[staged->count];
    char reason[FETCH_REASON_BYTES];
    if (fetch_check(staging->fetching, reference->where, reference->where_bytes, reason) < 0)
        return staging_refuse(error, reference, reason);
    char *url = text_duplicate(reference->where, reference->where_bytes);
    if (!url)
        return -ENOMEM;
    disk->same_as = staging_same_url(staged, url);
    item->url = url;
    staged_url_name(reference, disk->name);
    if (disk->same_as != DISK_RUN_NUMBER_NONE)
        return 0;
    if (!input_memory_fits_file(staging->input))
        return -ENOBUFS;
    input_memory_take_file(staging->input);
    staged->descriptor_count++;
    return 0;
}

static int staging_add_stored(struct staged *staged, struct file *file)
{
    struct disk_run_file *disk = &staged->disk_files[staged->count];
    staged->items[staged->count].stored = file;
    memcpy(disk->id, file->about.id, sizeof disk->id);
    memcpy(disk->name, file->about.name, sizeof disk->name);
    file_use(file);
    return 0;
}

/* Adds the next one. */
static int staging_add(struct staged *staged, const char *token,
                       const struct file_reference *reference, struct api_error *error)
{
    char id[FILE_ID_BYTES];
    struct file *file =
        staged_id_find(reference, id) ? files_find(staged->staging->files, token, id) : NULL;
    staged->items[staged->count] =
        (struct staged_item){.staged = staged, .input = reference->input};
    staged->disk_files[staged->count] =
        (struct disk_run_file){.same_as = DISK_RUN_NUMBER_NONE, .fd = -1};
    if (!file && !reference->is_url)
        return staging_refuse(error, reference,
                              "there is no such file; file_path is what POST /v4/files answered");
    int rc = file ? staging_add_stored(staged, file) : staging_add_url(staged, reference, error);
    staged->count++; /* also one that is not whole: what it holds is given back */
    return rc;
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

static void staging_on_close(struct disk_job *job)
{
    struct staged *staged = staged_of_job(job);
    disk_run_close(staged->disk_files, staged->count);
}

static void staging_on_remove(struct disk_job *job)
{
    struct staged *staged = staged_of_job(job);
    const struct disk_run_place place = staged_place(staged);
    disk_run_remove(&place, staged->disk_files, staged->count);
}

static void staging_leave(struct staged *staged)
{
    for (uint32_t i = 0; i < staged->count; i++)
        fetch_drop(staged->staging->fetching, &staged->items[i].fetch);
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

static void staging_on_disk(struct disk_job *job)
{
    struct staged *staged = staged_of_job(job);
    struct staging *staging = staged->staging;
    staged->is_with_disk = false;
    staging->job_count--;
    if (staged->state == STAGED_LEAVING)
        staging_free(staged);
    else if (!staged->run)
        staging_leave(staged);
    else if (staged->state == STAGED_MAKING)
        staging_on_made(staged);
    else
        staging_on_ready(staged);
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
    static void (*const work[STAGED_STATE_COUNT])(struct disk_job *) = {
        [STAGED_MAKING] = staging_on_make,
        [STAGED_CLOSING] = staging_on_close,
        [STAGED_LEAVING] = staging_on_remove,
    };
    staged->job = (struct disk_job){work[staged->state], staging_on_disk};
    staged->is_with_disk = true;
    staging->job_count++;
    disk_begin(&staging->files->disk, &staged->job);
}

/* ---- from URLs ------------------------------------------------------------------------------ */

static void staging_fail_fetch(struct staged_item *item, int status, const char *why)
{
    char place[STAGED_PLACE_BYTES], message[STAGED_PLACE_BYTES + FETCH_REASON_BYTES + 2];
    staged_place_format(item->input, item->url, strlen(item->url), place);
    snprintf(message, sizeof message, "%s: %s", place, why);
    staging_fail(item->staged, status == 400 ? ERROR_INPUT : ERROR_UNKNOWN, status, message);
}

/* Room for what came, before more does. False: there is none, and the run has ended. */
static bool staging_reserve(struct staged_item *item, uint64_t bytes)
{
    if (bytes > item->bytes &&
        files_reserve(item->staged->staging->files, bytes - item->bytes) < 0) {
        staging_fail_fetch(item, 507, "there is no room for it (--files-total)");
        return false;
    }
    item->bytes = bytes > item->bytes ? bytes : item->bytes;
    return true;
}

static void staging_on_progress(struct fetch_job *job, uint64_t bytes)
{
    (void)staging_reserve(job->owner, bytes);
}

static void staging_on_fetched(struct fetch_job *job, const struct fetch_result *result)
{
    struct staged_item *item = job->owner;
    struct staged *staged = item->staged;
    if (!staging_reserve(item, result->bytes) || --staged->fetching_count > 0)
        return;
    staged->state = STAGED_CLOSING;
    staging_give_job(staged->staging, staged);
}

/* Whose fault it was says what the client is told. */
static void staging_on_fetch_failed(struct fetch_job *job, const struct fetch_failure *failure)
{
    const int status = failure->fault == FETCH_FAULT_DISK   ? 507
                       : failure->fault == FETCH_FAULT_OURS ? 503
                                                            : 400;
    staging_fail_fetch(job->owner, status, failure->reason);
}

static const struct fetch_ops staging_fetch_ops = {
    .progress = staging_on_progress,
    .done = staging_on_fetched,
    .failed = staging_on_fetch_failed,
};

/* False: the run has ended. */
static bool staging_fetch(struct staged_item *item, int fd)
{
    struct fetching *fetching = item->staged->staging->fetching;
    char reason[FETCH_REASON_BYTES];
    int rc = fetch_begin(fetching, &item->fetch, FETCH_GET,
                         &(struct fetch_options){.url = item->url,
                                                 .url_bytes = strlen(item->url),
                                                 .fd = fd,
                                                 .bytes = fetching->config->fetch_bytes_max,
                                                 .timeout_ms = fetching->config->fetch_timeout_ms,
                                                 .slow_s = FETCH_SLOW_S,
                                                 .share = item->staged->run->owner,
                                                 .ops = &staging_fetch_ops,
                                                 .owner = item},
                         reason);
    if (rc < 0)
        staging_fail_fetch(item, rc == -EBUSY || rc == -ENOMEM ? 503 : 400, reason);
    return rc == 0;
}

static void staging_on_made(struct staged *staged)
{
    if (staged->rc < 0) {
        staging_fail_disk(staged);
        return;
    }
    staged->fetching_count = staged->descriptor_count;
    if (staged->fetching_count == 0) {
        staging_on_ready(staged);
        return;
    }
    staged->state = STAGED_FETCHING;
    for (uint32_t i = 0; i < staged->count; i++)
        if (staged->disk_files[i].fd >= 0 &&
            !staging_fetch(&staged->items[i], staged->disk_files[i].fd))
            return;
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
    for (; staged->descriptor_count > 0; staged->descriptor_count--)
        input_memory_give_file(staged->staging->input);
    if (pipeline_refuses_accepted(runs, pipeline, &run->rank, &failure)) {
        failure.reason = CANCEL_REFUSED;
        run_cancel(runs, run, &failure);
        return;
    }
    run_admit(runs, run);
    pipeline_schedule(runs, pipeline);
}

/* It does not wait for the disk any more; false: it did not. */
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
    bool was_waiting = staging_take_back_job(staged->staging, staged);
    if (was_waiting && staged->state == STAGED_MAKING)
        staging_free(staged); /* there is nothing to remove */
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
