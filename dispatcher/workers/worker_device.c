/* SPDX-License-Identifier: MIT */
/* worker_device.c - variables, options of millrace-worker, and where the segment lies. */
#include "dispatcher/workers/worker_device.h"

#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dispatcher/workers/fleet.h"

#define NODE_COUNT_MAX 1024u

static bool device_is_bound(const struct worker *worker)
{
    return worker->has_device && !worker->pool->config->options.device_unbound;
}

static const char *device_text(const char *text)
{
    return *text != '\0' ? text : NULL;
}

int worker_device_say(const struct worker *worker, struct worker_spawn_options *options,
                      struct device_variables *variables)
{
    const struct pipeline_config *config = worker->pool->config;
    const struct device *device = &worker->device;
    options->device_variables = variables;
    /* A template sees what there is: it is noticed when it looks, and its copies are told. */
    if (config->devices.kind == DEVICE_CHOICE_UNSAID || worker->is_template)
        return 0;
    if (!worker->has_device) {
        options->device_nodes = "";
        return device_variables_hide(variables);
    }
    /* Of those that are counted nothing is known. */
    if (config->devices.kind != DEVICE_CHOICE_COUNT)
        options->device_nodes = device->nodes;
    if (device_is_bound(worker)) {
        options->cores = device_text(device->cores);
        options->memory_nodes = device_text(device->memory_nodes);
    }
    return device_variables_fill(variables, device, &config->device_environment);
}

/* ---- memory -------------------------------------------------------------------------------- */

struct node_mask {
    unsigned long words[NODE_COUNT_MAX / (8 * sizeof(unsigned long))];
};

static struct node_mask nodes_read(const char *list)
{
    struct node_mask mask = {{0}};
    struct device_range range;
    while (device_list_take(&list, &range)) {
        for (uint32_t i = range.first; i <= range.last && i < NODE_COUNT_MAX; i++)
            mask.words[i / (8 * sizeof(unsigned long))] |= 1ul << (i % (8 * sizeof(unsigned long)));
    }
    return mask;
}

void worker_device_draw(const struct worker *worker)
{
    const struct segment *segment = &worker->channel.segment;
    if (!device_is_bound(worker) || worker->device.memory_nodes[0] == '\0')
        return;
    struct node_mask mask = nodes_read(worker->device.memory_nodes);
    /* Of memory that is shared, the policy is that of the file: it holds for the worker, too. */
    long rc = syscall(SYS_mbind, segment->header, segment->total_bytes, MPOL_PREFERRED_MANY,
                      mask.words, NODE_COUNT_MAX, MPOL_MF_MOVE);
    (void)rc;
}
