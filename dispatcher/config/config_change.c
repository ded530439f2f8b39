/* SPDX-License-Identifier: MIT */
/* config_change.c - two configurations are compared, and what lasts is taken over. */
#include "dispatcher/config/config_change.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/config/refuse.h"

static bool change_has_other_processes(const struct pipeline_config *now,
                                       const struct pipeline_config *next);
static bool change_has_other_limits(const struct pipeline_options *now,
                                    const struct pipeline_options *next);
static bool change_is_text(const char *now, const char *next);

enum pipeline_change pipeline_change(const struct pipeline_config *now,
                                     const struct pipeline_config *next)
{
    if (change_has_other_processes(now, next))
        return PIPELINE_PROCESSES;
    /* Workers that serve are warm: another warm-up is of those that start from now on. */
    bool is_other = change_has_other_limits(&now->options, &next->options) ||
                    change_is_text(now->warm_up, next->warm_up) ||
                    change_is_text(now->tenant, next->tenant) ||
                    change_is_text(now->affinity, next->affinity);
    return is_other ? PIPELINE_LIMITS : PIPELINE_SAME;
}

/* ---- of a server --------------------------------------------------------------------------- */

static void inherit_note(struct restart_keys *keys, const char *name)
{
    mr_assert(keys->count < RESTART_KEY_COUNT_MAX);
    keys->names[keys->count++] = name;
}

static void inherit_numbers(struct config *next, const struct config *now,
                            struct restart_keys *keys)
{
    if (next->conn_count_said != now->conn_count_said)
        inherit_note(keys, "max-connections");
    if ((next->conn_per_client_max > 0) != (now->conn_per_client_max > 0)) {
        inherit_note(keys, "max-connections-per-client");
        next->conn_per_client_max = now->conn_per_client_max;
    }
    if (next->body_bytes_max != now->body_bytes_max)
        inherit_note(keys, "body-limit");
    if (next->input_bytes_max != now->input_bytes_max)
        inherit_note(keys, "input-memory");
    if (next->output_bytes_max != now->output_bytes_max)
        inherit_note(keys, "output-memory");
    if (next->tokens_share != now->tokens_share)
        inherit_note(keys, "tokens-share");
    next->conn_count_max = now->conn_count_max;
    next->conn_count_said = now->conn_count_said;
    next->body_bytes_max = now->body_bytes_max;
    next->body_file_count_max = now->body_file_count_max;
    next->input_bytes_max = now->input_bytes_max;
    next->output_bytes_max = now->output_bytes_max;
    next->tokens_share = now->tokens_share;
    next->own_users = now->own_users;
}

/* One that is there for as long as the configuration. */
static int inherit_text(const char **next, const char *now, struct config *owner)
{
    char *text = now ? strdup(now) : NULL;
    if (now && !text)
        return -ENOMEM;
    *next = text;
    return text ? config_text_adopt(owner, text) : 0;
}

static int inherit_paths(struct config *next, const struct config *now, struct restart_keys *keys)
{
    int rc = 0;
    if (change_is_text(now->worker_path, next->worker_path)) {
        char *path = strdup(now->worker_path);
        if (!path)
            return -ENOMEM;
        inherit_note(keys, "worker");
        free(next->worker_path);
        next->worker_path = path;
    }
    if (change_is_text(now->log_path, next->log_path)) {
        inherit_note(keys, "log-file");
        rc = inherit_text(&next->log_path, now->log_path, next);
    }
    if (rc == 0 && change_is_text(now->control_path, next->control_path)) {
        inherit_note(keys, "control");
        rc = inherit_text(&next->control_path, now->control_path, next);
    }
    if (rc == 0 && change_is_text(now->files_path, next->files_path)) {
        inherit_note(keys, "files");
        rc = inherit_text(&next->files_path, now->files_path, next);
    }
    return rc;
}

int config_inherit(struct config *next, const struct config *now, struct restart_keys *keys,
                   char reason[CLI_REASON_BYTES])
{
    if ((next->tokens.count > 0) != (now->tokens.count > 0))
        return refuse(reason, "token-file needs a restart: this server was started %s tokens",
                      now->tokens.count > 0 ? "with" : "without");
    if (next->own_users.count > 0 && now->own_users.count == 0)
        return refuse(reason, "worker-user own needs a restart: this server was started without "
                              "users for its workers");
    inherit_numbers(next, now, keys);
    int rc = inherit_paths(next, now, keys);
    if (rc == 0)
        rc = tokens_follow(&next->tokens, &now->tokens);
    if (rc == -ENOSPC)
        return refuse(reason,
                      "token-file needs a restart: %u names of tokens, with those that were "
                      "removed, are too many",
                      TOKEN_COUNT_MAX);
    if (rc < 0)
        snprintf(reason, CLI_REASON_BYTES, "not enough memory");
    return rc;
}

/* ---- of a pipeline ------------------------------------------------------------------------- */

static bool change_is_text(const char *now, const char *next)
{
    return now && next ? strcmp(now, next) != 0 : now != next;
}

static bool change_has_other_variables(const struct environment *now,
                                       const struct environment *next)
{
    if (now->count != next->count)
        return true;
    for (uint32_t i = 0; i < now->count; i++)
        if (strcmp(now->items[i], next->items[i]) != 0)
            return true;
    return false;
}

static bool change_has_other_rights(const struct pipeline_config *now,
                                    const struct pipeline_config *next)
{
    const struct confinement *a = &now->confinement, *b = &next->confinement;
    return change_is_text(now->confine, next->confine) || a->owner != b->owner ||
           a->memory_bytes_max != b->memory_bytes_max || a->seccomp != b->seccomp;
}

static bool change_has_other_devices(const struct pipeline_config *now,
                                     const struct pipeline_config *next)
{
    const struct pipeline_options *a = &now->options, *b = &next->options;
    return !device_choice_is_same(&now->devices, &next->devices) ||
           change_has_other_variables(&now->device_environment, &next->device_environment) ||
           a->workers_per_device != b->workers_per_device || a->device_unbound != b->device_unbound;
}

static bool change_has_other_processes(const struct pipeline_config *now,
                                       const struct pipeline_config *next)
{
    const struct pipeline_options *a = &now->options, *b = &next->options;
    return now->kind != next->kind || change_is_text(now->source, next->source) ||
           memcmp(&now->digest, &next->digest, sizeof now->digest) != 0 ||
           change_is_text(now->name, next->name) ||
           change_is_text(now->python_path, next->python_path) ||
           change_has_other_variables(&now->environment, &next->environment) ||
           change_has_other_devices(now, next) || change_has_other_rights(now, next) ||
           a->preload != b->preload || a->concurrency != b->concurrency ||
           a->batch_count_max != b->batch_count_max || a->batch_wait_ms != b->batch_wait_ms ||
           a->python_threads != b->python_threads ||
           a->request_ring_bytes != b->request_ring_bytes ||
           a->reply_ring_bytes != b->reply_ring_bytes || a->window_bytes != b->window_bytes;
}

static bool change_has_other_limits(const struct pipeline_options *now,
                                    const struct pipeline_options *next)
{
    return now->workers.min != next->workers.min || now->workers.max != next->workers.max ||
           now->devices_count_workers != next->devices_count_workers ||
           now->device_memory_bytes != next->device_memory_bytes ||
           now->device_memory_learned != next->device_memory_learned ||
           now->device_hold_ms != next->device_hold_ms ||
           now->on_cuda_error != next->on_cuda_error || now->on_cuda_oom != next->on_cuda_oom ||
           now->on_oom != next->on_oom || now->ready_count_min != next->ready_count_min ||
           now->worker_idle_ms != next->worker_idle_ms || now->step_budget != next->step_budget ||
           now->queue_count_max != next->queue_count_max || now->schedule != next->schedule ||
           now->affinity_load != next->affinity_load ||
           now->queue_timeout_ms != next->queue_timeout_ms ||
           now->first_chunk_timeout_ms != next->first_chunk_timeout_ms ||
           now->progress_timeout_ms != next->progress_timeout_ms ||
           now->run_timeout_ms != next->run_timeout_ms ||
           now->cancel_grace_ms != next->cancel_grace_ms ||
           now->start_timeout_ms != next->start_timeout_ms ||
           now->recycle_run_count != next->recycle_run_count ||
           now->recycle_overlap != next->recycle_overlap ||
           now->reload_after != next->reload_after || now->recycle_bytes != next->recycle_bytes ||
           now->quarantine_after != next->quarantine_after ||
           now->quarantine_retry_ms != next->quarantine_retry_ms;
}
