/* SPDX-License-Identifier: MIT */
/*
 * live_state.h - what GET /control/state says of a server (docs/control.md), as structs.
 *
 * Numbers are doubles, NAN where the server says null or nothing; texts are never NULL, and have
 * whatever bytes the server sent.
 */
#ifndef DISPATCHER_LIVE_STATE_H
#define DISPATCHER_LIVE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/text/json_view.h"
#include "millrace/check.h"

#define LIVE_BOUND_COUNT_MAX 64u

struct live_worker {
    double number, pid, age_s, active, slots, restarts;
    double memory_bytes, cpu_s, ring_bytes, ring_used_bytes;
    const char *state;
    const char *device_kind; /* "": it is bound to none */
    double device_index;
};

/* How many of `count` times were at most le_s[i]; they only grow. */
struct live_times {
    double le_s[LIVE_BOUND_COUNT_MAX], counts[LIVE_BOUND_COUNT_MAX];
    uint32_t bound_count;
    double count;
};

/* How far its start is. */
struct live_loading {
    double elapsed_s, progress; /* elapsed_s NAN: none starts */
    const char *text;
};

/* The process that its workers are copies of; preload "": it wants none. */
struct live_template {
    const char *preload, *state, *reason; /* reason: "" if there is none */
    double pid, copies;
};

/* Memory of a device that it waits for; elapsed_s NAN: it waits for none. */
struct live_waiting {
    double elapsed_s, bytes;
    const char *device_kind;
    double device_index;
};

/* Runs of a class that wait. */
struct live_class {
    const char *class;
    double queued;
};

/* Of a pipeline that is fair; tenants NAN: it is not. */
struct live_fair {
    double tenants, displaced;
    struct live_class *classes;
    uint32_t class_count;
};

struct live_pipeline {
    const char *pointer, *id, *state, *phase, *error; /* error: "" if there is none */
    struct live_loading loading;
    struct live_template template;
    struct live_waiting waiting;
    struct live_fair fair;
    bool drained;
    double active, queued, queue_max, workers_min, workers_max, workers_wanted;
    double accepted, completed, failed, cancelled, refused, lines;
    struct live_times first_chunk;
    struct live_worker *workers;
    uint32_t worker_count;
};

struct live_target {
    const char *pointer;
    double weight, runs; /* runs: how many were led there */
};

struct live_alias {
    const char *pointer;
    struct live_target *targets;
    uint32_t target_count;
};

struct live_slow {
    const char *client, *token, *run, *pipeline; /* "": not known */
    double waiting_bytes, quiet_s;
};

/* A process that is bound to a device. */
struct live_holder {
    const char *pipeline;
    double worker, pid, reserved_bytes;
};

struct live_device {
    const char *kind, *uuid, *name, *pci, *parent, *cores;
    const char *state, *reason; /* "": not known; none */
    double index, numa_node, memory_bytes, memory_free_bytes, memory_reserved_bytes;
    struct live_holder *holders;
    uint32_t holder_count;
};

/* Owns all that its pointers lead to. Zero is empty. */
struct live_state {
    const char *version, *server_state, *config, *listen; /* listen: the first address */
    double pid, started_at, uptime_s, connections, connections_max, runs, queued;
    double input_bytes, input_bytes_max, output_bytes, output_bytes_max, lines;
    const char *reload_state, *reload_result;
    double generation, reloads_succeeded, reloads_failed;
    uint32_t listen_count;
    struct live_pipeline *pipelines;
    uint32_t pipeline_count;
    struct live_alias *aliases;
    uint32_t alias_count;
    struct live_slow *clients;
    uint32_t client_count;
    struct live_device *devices;
    uint32_t device_count;
    char *texts; /* owned: where all texts are */
    size_t text_bytes, text_room;
};

/* `root` is checked JSON. 0 and a state that the caller finishes; -EBADMSG: it is not what a server
 * says of itself; -ENOMEM. */
int live_state_read(struct live_state *state, const struct json_view *root) MUST_USE;
void live_state_finish(struct live_state *state);

/* What to say of that result. */
const char *live_state_error(int rc);

#endif
