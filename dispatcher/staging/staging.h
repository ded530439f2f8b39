/* SPDX-License-Identifier: MIT */
/*
 * staging.h - files that a run's inputs name are brought where its worker can read them, before the
 * run is admitted: stored ones by a link, others from their URLs. They go with the run.
 *
 *     MAKING --made--> FETCHING --all came--> CLOSING --closed--> READY --run over--> LEAVING
 *            \------------------no URLs-----------------------> READY
 *
 * A run that ends before sends its files to LEAVING, too. Only threads of the disk and the fetcher
 * ever wait.
 */
#ifndef DISPATCHER_STAGING_H
#define DISPATCHER_STAGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/fetcher/fetching.h"
#include "dispatcher/files/disk.h"
#include "dispatcher/files/disk_run.h"
#include "dispatcher/files/files.h"
#include "dispatcher/inputs/api_error.h"
#include "dispatcher/runs/runs.h"
#include "dispatcher/runs/staged_files.h"
#include "millrace/check.h"

/* Runs that have files, and those whose files are going. */
#define STAGING_COUNT_MAX 4096u
/* Of them, with the disk at once. */
#define STAGING_JOB_COUNT_MAX 256u

enum staged_state {
    STAGED_MAKING = 0, /* the disk makes its folder, or will */
    STAGED_FETCHING,   /* some come from URLs */
    STAGED_CLOSING,    /* they came, and the disk closes them, or will */
    STAGED_READY,      /* the run has them */
    STAGED_LEAVING,    /* the disk removes them, or will */
    STAGED_STATE_COUNT
};

/* One file, besides what the disk has to know of it. */
struct staged_item {
    struct staged *staged;
    uint32_t input;      /* in which it stands, from 1 */
    struct file *stored; /* which it uses; NULL: it comes from a URL */
    char *url;           /* owned */
    uint64_t bytes;      /* of what came, reserved */
    struct fetch_job fetch;
};

/* The files of one run. Owned by the staging until the run has them, and again afterwards. */
struct staged {
    struct staged_files files; /* first: what the run has of it */
    struct staging *staging;
    struct run *run; /* NULL: it is over */
    struct staged *next, *previous;
    struct staged *next_job; /* of those that wait for the disk */
    enum staged_state state;
    bool is_with_disk;
    struct disk_job job;
    int rc;          /* of MAKING, and */
    uint32_t failed; /* with which file */
    uint32_t fetching_count;
    uint64_t memory_bytes;     /* counted, as */
    uint32_t descriptor_count; /* of files that come from URLs */
    char folder[DISK_RUN_BYTES];
    uint32_t count;
    struct disk_run_file *disk_files; /* owned, as the next one */
    struct staged_item *items;
};

/* Owned by the server. It ends with the runs and the disk: nothing is left of it then. */
struct staging {
    struct files *files;
    struct fetching *fetching;
    struct runs *runs;
    struct input_memory *input;
    struct staged *first; /* all there are */
    uint32_t count;
    struct staged *first_job, *last_job; /* that wait for the disk */
    uint32_t job_count;                  /* with it */
};

/* Begins to bring the files that the run, which is not admitted yet and has its payload, names: the
 * bytes are those behind its packed inputs, and its token (NULL: none) says which it may have. 0:
 * the run is STAGING, and is admitted or ended later. Else it is as it was: -EINVAL and `error`,
 * what it names cannot be had; -ENOMEM; -ENOBUFS, too many runs have files. */
int staging_begin(struct staging *staging, struct run *run, const char *token,
                  const uint8_t *references, size_t bytes, struct api_error *error) MUST_USE;

/* For tests: what must always hold. Aborts. */
void staging_check(const struct staging *staging);

#endif
