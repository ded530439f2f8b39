/* SPDX-License-Identifier: MIT */
/*
 * format.h - how the output of a run is shown to an HTTP client: one file for each format.
 *
 * A format is a sink (runs/sink.h) over an answer (api/answer.h). The request decides which: by its
 * path and its Accept header (api_runs.c).
 */
#ifndef DISPATCHER_FORMAT_H
#define DISPATCHER_FORMAT_H

#include <stdbool.h>

#include "dispatcher/runs/sink.h"

struct format {
    const struct sink_ops *sink;
    bool may_be_asynchronous; /* nobody needs to wait: what it makes can be asked for later */
};

extern const struct format format_ndjson; /* a line for each value */
extern const struct format format_events; /* text/event-stream, an event for each value */
extern const struct format format_result; /* all values in one JSON object, at the end */

#endif
