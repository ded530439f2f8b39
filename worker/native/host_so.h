/* SPDX-License-Identifier: MIT */
/*
 * host_so.h - pipelines compiled as shared objects.
 */
#ifndef WORKER_HOST_SO_H
#define WORKER_HOST_SO_H

#include "millrace/check.h"
#include "worker/engine/buffer.h"
#include "worker/engine/graph.h"
#include "worker/engine/host.h"

struct host_so {
    struct host host;        /* first: the engine's view of it */
    struct context *context; /* borrowed */
    const char *name;        /* of the pipeline; memory of the shared object */
    struct buffer scratch;
    struct mr_builder graph;
};

/* Loads the shared object at `path`, finds the pipeline `name` (NULL: the only one), and builds its
 * graph. The object stays loaded. 0, or -EINVAL with the worker's failure saying why. */
int host_so_load(struct host_so *out, struct context *context, const char *path,
                 const char *name) MUST_USE;

/* Runs the hooks for what workers have in common, and those of each worker. 0, or a negative number
 * with the worker's failure set. */
int host_so_preload(struct host_so *host) MUST_USE;
int host_so_start_up(struct host_so *host) MUST_USE;

/* Calls the state's destroy. */
void host_so_finish(struct host_so *host);

#endif
