/* SPDX-License-Identifier: MIT */
/*
 * given_files.h - files that a run gives out, as the run has them: whoever keeps files takes them
 * from its worker, and has them until the run is over.
 */
#ifndef DISPATCHER_GIVEN_FILES_H
#define DISPATCHER_GIVEN_FILES_H

struct run;
struct worker_file;

/* Made by whoever keeps them, and theirs again after `release`. */
struct given_files {
    /* Nothing more of the run is shown: what is on its way is not wanted. */
    void (*stop)(struct given_files *files);
    void (*release)(struct given_files *files); /* the run is over, at whatever point */
};

/* Who keeps files. Filled in by the server. */
struct given_ops {
    /* The worker of this run, which is active, tells of one, and is told how that ends
     * (worker_files.h). */
    void (*take)(void *owner, struct run *run, const struct worker_file *file);
};

#endif
