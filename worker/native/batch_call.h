/* SPDX-License-Identifier: MIT */
/*
 * batch_call.h - one call of a batched pipe (pipeline_batch.h): the calls of several runs in it,
 * and what each came to.
 */
#ifndef WORKER_BATCH_CALL_H
#define WORKER_BATCH_CALL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"
#include "worker/engine/engine.h"
#include "worker/native/batch_run.h"

/* Memory for calls of `count_max` items, obtained at start. */
struct batch_call {
    const struct engine *engine; /* borrowed */
    uint32_t count_max;
    uint32_t argument_count_max;
    struct mr_call *items;              /* owned, as the next five; count_max of them */
    struct mr_call **pointers;          /* to these, as pipes get them */
    const struct mr_object **arguments; /* argument_count_max for each */
    struct buffer *buffers;             /* in which results are packed */
    struct error *errors;               /* of each */
    struct batch_run **runs;
    uint32_t count;      /* of this call */
    struct error *error; /* of all that have no result; owned */
    int rc;              /* what the function returned */
    uint64_t stamp_ns;   /* of the last sign of life */
};

/* 0 or -ENOMEM. */
int batch_call_init(struct batch_call *call, const struct engine *engine,
                    const struct mr_builder *graph, uint32_t count_max) MUST_USE;
void batch_call_finish(struct batch_call *call);

/* Adds a run, which is in no list, to the next call. */
void batch_call_add(struct batch_call *call, struct batch_run *run);

/* Calls the pipe that all of them stand before. */
void batch_call_make(struct batch_call *call);

/* What it came to for item `index`: 0, and its run has passed the pipe; or a negative number with
 * the worker's error set, and all iterators of the run closed. */
int batch_call_result(struct batch_call *call, uint32_t index) MUST_USE;

/* All results were taken: the next call can be gathered. */
void batch_call_clear(struct batch_call *call);

/* ---- for the functions behind the table ------------------------------------------------------ */

/* A batched pipe is being called; were all runs in it cancelled? Who asks is alive, and so are
 * those that wait. */
bool batch_call_is_made(void);
bool batch_call_is_cancelled(void);

__attribute__((format(printf, 2, 0))) int batch_call_vfail(enum mr_error error, const char *format,
                                                           va_list arguments);

#endif
