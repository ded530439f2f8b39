/* SPDX-License-Identifier: MIT */
/*
 * run_end.h - how a run ended, for those who run the server: counted, kept and logged, once a run.
 *
 * Clients are told two words, completed and failed (docs/api.md). Here a run that somebody did not
 * want any more is cancelled, and no failure; one that was not taken is refused, and never was one
 * of the accepted ones.
 */
#ifndef DISPATCHER_RUN_END_H
#define DISPATCHER_RUN_END_H

struct pipeline;
struct run;
struct run_failure;
struct run_origin;
struct runs;

enum run_end_kind {
    RUN_COMPLETED = 0,
    RUN_FAILED,    /* with one of the types of errors */
    RUN_CANCELLED, /* its client left, stopped reading or asked for it, or the server stops */
    RUN_REFUSED,
    RUN_END_KIND_COUNT
};

/* "completed" ... "refused". */
const char *run_end_kind_name(enum run_end_kind kind);

/* Of a run that was accepted; `failure` NULL: it completed. */
enum run_end_kind run_end_kind_of(const struct run_failure *failure);

/* An accepted run ended now: it is counted and kept. */
void run_end_account(struct runs *runs, const struct run *run, const struct run_failure *failure);

/* A run is not accepted, and its failure says why: likewise. */
void run_end_refuse(struct runs *runs, const struct run *run, const struct run_failure *failure);

/* The line of its end, once its sink has said `status`; and where it failed, if that is known. */
void run_end_log(struct runs *runs, const struct run *run, enum run_end_kind kind,
                 const struct run_failure *failure, int status);

/* There could be no run of this pipeline, since there are too many: counted and logged. */
void run_end_refuse_none(struct runs *runs, struct pipeline *pipeline,
                         const struct run_origin *origin, int status);

#endif
