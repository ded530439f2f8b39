/* SPDX-License-Identifier: MIT */
/* api_metrics.h - what the files that write GET /metrics have of one another. */
#ifndef DISPATCHER_API_METRICS_H
#define DISPATCHER_API_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/api/exposition.h"
#include "dispatcher/runs/pipeline.h"

struct api;

/* The label of what is a pipeline's; labels_add() puts more behind it. */
static inline void metrics_labels_of(char labels[LABELS_BYTES_MAX], const struct pipeline *pipeline)
{
    labels[0] = '\0';
    labels_add(labels, "pipeline", pipeline->config->pointer);
}

/* Labels of the worker of this index; false: it is shown by another one, or there is none. Of two
 * that have one number, the one that serves; of two pipelines with one pointer, the one that is
 * served. */
bool metrics_labels_of_worker(const struct api *api, uint32_t index, char labels[LABELS_BYTES_MAX]);

/* api_metrics_templates.c: the families of templates, where some are wanted. */
void metrics_templates(const struct api *api, struct exposition *out);

/* api_metrics_calls.c: the families of steps, where there were some. */
void metrics_calls(const struct api *api, struct exposition *out);

/* api_metrics_schedule.c: the families of fair pipelines and of affinity, where there are some. */
void metrics_schedule(const struct api *api, struct exposition *out);

/* api_metrics_devices.c: the families of devices, where some are used. */
void metrics_devices(const struct api *api, struct exposition *out);

#endif
