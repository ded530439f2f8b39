/* SPDX-License-Identifier: MIT */
/*
 * host_engine.h - the engine of a pipeline in a shared object, as the loop of engines calls it.
 */
#ifndef WORKER_HOST_ENGINE_H
#define WORKER_HOST_ENGINE_H

#include "worker/engine/error.h"
#include "worker/engine/graph.h"
#include "worker/step/step_host.h"

struct host_engine {
    struct step_host host;          /* first: the loop's view of it */
    const struct mr_builder *graph; /* borrowed; has an engine */
    struct error *error;            /* borrowed: the worker's */
};

/* There is one in a process at a time. */
void host_engine_init(struct host_engine *engine, const struct mr_builder *graph,
                      struct error *error);

/* The functions behind the table of pipeline.h that need to know the graph. */
size_t host_engine_arg_count(struct mr_run *run);
const struct mr_object *host_engine_arg(struct mr_run *run, size_t index);

#endif
