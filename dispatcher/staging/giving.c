/* SPDX-License-Identifier: MIT */
/* giving.c - the files that runs give out, from their workers' word to the disk. */
#include "dispatcher/staging/giving.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/files/intake.h"
#include "dispatcher/runs/run.h"
#include "dispatcher/workers/fleet.h"
#include "shm/descriptors.h"

#define REASON_BYTES 200u
#define SAY_RETRY_MS 5u
#define GROWTH 16u

enum given_word {
    WORD_NONE = 0,
    WORD_PIPE,  /* the worker is to have `pipe_fd` */
    WORD_ENDED, /* and to be told that the file is kept, or `reason` */
};

struct given_item {
    struct file *file; /* which the run uses */
    bool is_shown;
};

/* A run's, which calls it given_files. */
struct given {
    struct given_files given; /* first */
    struct giving *giving;
    struct run *run;
    struct given_item *kept; /* owned; by number */
    uint32_t count, room;
    struct intake *intake; /* of the next number; NULL: none is on its way */
    enum given_word word;
    int pipe_fd; /* owned; -1: none */
    struct given *next_unsaid;
    char reason[REASON_BYTES]; /* "": it is kept */
};

static const struct intake_ops giving_intake_ops;

static struct given *given_of(struct given_files *given)
{
    return (struct given *)(void *)given;
}

/* ---- what the worker is told ---------------------------------------------------------------- */

static void giving_unlist(struct given *own)
{
    struct given **at = &own->giving->unsaid;
    while (*at && *at != own)
        at = &(*at)->next_unsaid;
    if (*at)
        *at = own->next_unsaid;
    own->next_unsaid = NULL;
}

/* 0, or -EAGAIN. A worker that cannot be told otherwise has died, or will soon. */
static int giving_try(struct given *own)
{
    struct run *run = own->run;
    int rc = own->word == WORD_PIPE ? worker_files_pipe(run->worker, run->slot_index, own->pipe_fd)
                                    : worker_files_ended(run->worker, run->slot_index,
                                                         own->reason[0] ? own->reason : NULL);
    if (rc == -EAGAIN)
        return rc;
    descriptor_close(&own->pipe_fd);
    own->word = WORD_NONE;
    return 0;
}

static void giving_try_later(const struct given *own)
{
    struct fleet *fleet = own->run->worker->pool->fleet;
    timer_set(&fleet->reactor->timers, &fleet->offer_timer, fleet->reactor->now_ms + SAY_RETRY_MS);
}

/* Now, or as soon as there is room. What was to be said before is of no use any more. */
static void giving_tell(struct given *own, enum given_word word)
{
    giving_unlist(own);
    own->word = word;
    if (giving_try(own) == 0)
        return;
    own->next_unsaid = own->giving->unsaid;
    own->giving->unsaid = own;
    giving_try_later(own);
}

void giving_say(struct giving *giving)
{
    struct given **at = &giving->unsaid;
    while (*at) {
        struct given *own = *at;
        if (giving_try(own) == 0) {
            *at = own->next_unsaid;
            own->next_unsaid = NULL;
        } else {
            at = &own->next_unsaid;
        }
    }
    if (giving->unsaid)
        giving_try_later(giving->unsaid);
}

static void giving_refuse(struct given *own, int rc)
{
    char *reason = own->reason;
    if (rc == -EFBIG)
        snprintf(reason, REASON_BYTES, "it is larger than --file-limit (%llu bytes)",
                 (unsigned long long)own->giving->files->config->file_bytes_max);
    else if (rc == -ENOSPC && own->intake)
        snprintf(reason, REASON_BYTES, "the disk of the server is full");
    else if (rc == -ENOSPC)
        snprintf(reason, REASON_BYTES,
                 "there is no room for it among the files of the server (--files-total)");
    else if (rc == -ENODATA)
        snprintf(reason, REASON_BYTES, "it became shorter while it was read");
    else if (rc == -ENOSYS)
        snprintf(reason, REASON_BYTES, "the server keeps no files: serve it with --files DIR");
    else if (rc == -E2BIG)
        snprintf(reason, REASON_BYTES, "a run gives out %u files at most", GIVEN_COUNT_MAX);
    else
        snprintf(reason, REASON_BYTES, "the server cannot keep it: %s", strerror(-rc));
    own->intake = NULL;
    giving_tell(own, WORD_ENDED);
}

/* ---- what the disk tells -------------------------------------------------------------------- */

static void giving_on_ready(void *owner, int fd)
{
    struct given *own = owner;
    own->pipe_fd = fd;
    giving_tell(own, WORD_PIPE);
}

static void giving_on_kept(void *owner, struct file *file)
{
    struct given *own = owner;
    own->intake = NULL;
    file_use(file);
    own->kept[own->count++] = (struct given_item){.file = file};
    own->reason[0] = '\0';
    giving_tell(own, WORD_ENDED);
}

static void giving_on_failed(void *owner, int rc)
{
    giving_refuse(owner, rc);
}

static const struct intake_ops giving_intake_ops = {
    .ready = giving_on_ready,
    .kept = giving_on_kept,
    .failed = giving_on_failed,
};

/* ---- of a run ------------------------------------------------------------------------------- */

static void giving_stop(struct given_files *given)
{
    struct given *own = given_of(given);
    if (own->intake)
        intake_drop(own->intake);
    own->intake = NULL;
    giving_unlist(own);
    descriptor_close(&own->pipe_fd);
    own->word = WORD_NONE;
}

static void giving_release(struct given_files *given)
{
    struct given *own = given_of(given);
    giving_stop(given);
    for (uint32_t i = 0; i < own->count; i++) {
        struct file *file = own->kept[i].file;
        if (!own->kept[i].is_shown && !file->is_removed)
            file_remove(file);
        file_release(file);
    }
    free(own->kept);
    free(own);
}

/* Room for one more. */
static int giving_reserve(struct given *own)
{
    if (own->count < own->room)
        return 0;
    if (own->count == GIVEN_COUNT_MAX)
        return -E2BIG;
    const uint32_t room = own->room + own->room / 2 + GROWTH;
    struct given_item *kept = realloc(own->kept, room * sizeof *kept);
    if (!kept)
        return -ENOMEM;
    own->kept = kept;
    own->room = room;
    return 0;
}

static struct given *giving_make(struct giving *giving, struct run *run)
{
    struct given *own = calloc(1, sizeof *own);
    if (!own)
        return NULL;
    own->given = (struct given_files){giving_stop, giving_release};
    own->giving = giving;
    own->run = run;
    own->pipe_fd = -1;
    run->given = &own->given;
    return own;
}

/* What is asked of the disk: 0 and own->intake, or why not. */
static int giving_begin(struct given *own, const struct worker_file *file)
{
    int rc = files_are_on(own->giving->files) ? giving_reserve(own) : -ENOSYS;
    if (rc == 0)
        own->intake = intake_begin(own->giving->files,
                                   &(struct intake_options){.token = own->run->token,
                                                            .writer = own->run->pipeline,
                                                            .name = file->name,
                                                            .name_bytes = file->name_bytes,
                                                            .bytes = file->bytes},
                                   &giving_intake_ops, own, &rc);
    return rc;
}

static void giving_take(void *owner, struct run *run, const struct worker_file *file)
{
    struct given *own = run->given ? given_of(run->given) : giving_make(owner, run);
    if (!own) {
        worker_distrust(run->worker, "there is no memory for the files of its runs");
        return;
    }
    /* A run of which one was refused fails: no honest worker goes on with it. */
    if (file->number != own->count) {
        worker_distrust(run->worker, "it told of a file after one was refused");
        return;
    }
    int rc = giving_begin(own, file);
    if (rc < 0)
        giving_refuse(own, rc);
}

const struct given_ops giving_ops = {.take = giving_take};

const struct file *giving_show(struct given_files *given, uint32_t number)
{
    struct given *own = given_of(given);
    if (!given || number >= own->count)
        return NULL;
    own->kept[number].is_shown = true;
    return own->kept[number].file;
}
