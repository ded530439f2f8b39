/* SPDX-License-Identifier: MIT */
/* ps_table.c - the table of `millrace ps`, in 80 columns. */
#include "dispatcher/cli/operate/ps_table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/cli/operate/cells.h"

/* Widths with the blank in front. What is not as usual with a pipeline takes those of its last two,
 * and one more. */
enum { STATE = 12, ACTIVE = 7, RESTARTS = 9, PID = 9, AGE = 7, MEMORY = 8 };
#define NOTE_COLUMNS (AGE + MEMORY + 1)
#define NAME_COLUMNS_MAX (PS_COLUMNS - STATE - ACTIVE - RESTARTS - PID - NOTE_COLUMNS)
#define NAME_COLUMNS_MIN 14u
#define NAME_BYTES (2 * CELL_BYTES) /* of a worker's */

static size_t ps_name_columns(const struct live_state *state);
static void ps_server_add(struct text *out, const struct live_state *state);
static void ps_pipeline_add(struct text *out, const struct live_pipeline *pipeline, size_t columns);
static void ps_loading_add(struct text *out, const struct live_loading *loading);
static void ps_waiting_add(struct text *out, const struct live_waiting *waiting);
static void ps_fair_add(struct text *out, const struct live_fair *fair);
static void ps_template_add(struct text *out, const struct live_template *template);
static void ps_notes_add(struct text *out, const struct live_pipeline *pipeline);
static void ps_worker_add(struct text *out, const struct live_worker *worker, size_t columns);
static void ps_alias_add(struct text *out, const struct live_alias *alias, size_t columns);
static void ps_name_add(struct text *out, const char *name, size_t columns);
static void ps_line_end(struct text *out);

void ps_table_add(struct text *out, const struct live_state *state)
{
    size_t columns = ps_name_columns(state);
    ps_server_add(out, state);
    if (state->pipeline_count > 0) {
        text_add(out, "\n%-*s %-*s%*s%*s%*s\n", (int)columns, "PIPELINE", STATE - 1, "STATE",
                 ACTIVE, "ACTIVE", RESTARTS, "QUEUED", PID, "WORKERS");
        text_add(out, "%-*s %-*s%*s%*s%*s%*s%*s\n", (int)columns, "  WORKER", STATE - 1, "STATE",
                 ACTIVE, "ACTIVE", RESTARTS, "RESTARTS", PID, "PID", AGE, "AGE", MEMORY, "MEMORY");
    }
    for (uint32_t i = 0; i < state->pipeline_count; i++) {
        ps_pipeline_add(out, &state->pipelines[i], columns);
        for (uint32_t k = 0; k < state->pipelines[i].worker_count; k++)
            ps_worker_add(out, &state->pipelines[i].workers[k], columns);
    }
    if (state->alias_count > 0)
        text_add(out, "\n%-*s %-*s%*s%*s\n", (int)columns, "ALIAS", (int)columns, "LEADS TO",
                 ACTIVE, "WEIGHT", RESTARTS, "RUNS");
    for (uint32_t i = 0; i < state->alias_count; i++)
        ps_alias_add(out, &state->aliases[i], columns);
}

/* Its number and its device: "  0 cuda:2". */
static void ps_worker_name(char name[NAME_BYTES], const struct live_worker *worker)
{
    char device[CELL_BYTES];
    cell_device(device, worker->device_kind, worker->device_index);
    snprintf(name, NAME_BYTES, "  %.0f%s%s", worker->number, *device ? " " : "", device);
}

static size_t ps_name_columns(const struct live_state *state)
{
    size_t most = NAME_COLUMNS_MIN;
    for (uint32_t i = 0; i < state->pipeline_count; i++) {
        const struct live_pipeline *pipeline = &state->pipelines[i];
        size_t width = cells_width(pipeline->pointer);
        most = width > most ? width : most;
        for (uint32_t k = 0; k < pipeline->worker_count; k++) {
            char name[NAME_BYTES];
            ps_worker_name(name, &pipeline->workers[k]);
            width = cells_width(name);
            most = width > most ? width : most;
        }
    }
    for (uint32_t i = 0; i < state->alias_count; i++) {
        size_t width = cells_width(state->aliases[i].pointer);
        most = width > most ? width : most;
    }
    return most < NAME_COLUMNS_MAX ? most : NAME_COLUMNS_MAX;
}

/* What has gone beyond the last column is cut. */
static void ps_line_add(struct text *out, const struct text *line)
{
    if (line->failed || line->count == 0)
        return;
    cells_add(out, line->bytes, PS_COLUMNS);
    text_add(out, "\n");
}

static void ps_server_add(struct text *out, const struct live_state *state)
{
    char age[CELL_BYTES];
    struct text line = {0};
    cell_age(age, state->uptime_s);
    text_add(&line, "millrace %s, pid %.0f, up %s, %s", state->version, state->pid, age,
             state->server_state);
    if (state->listen_count > 0)
        text_add(&line, " on %s", state->listen);
    if (state->listen_count > 1)
        text_add(&line, " and %u more", state->listen_count - 1);
    text_add_bytes(&line, "", 1);
    ps_line_add(out, &line);
    text_finish(&line);
    text_add(&line, "%.0f connection%s, %.0f run%s, %.0f queued; configuration %.0f",
             state->connections, cells_plural(state->connections), state->runs,
             cells_plural(state->runs), state->queued, state->generation);
    if (*state->reload_state != '\0' && strcmp(state->reload_state, "idle") != 0)
        text_add(&line, ", the next is being %s",
                 strcmp(state->reload_state, "reading") == 0 ? "read" : "started");
    else if (strcmp(state->reload_result, "failed") == 0)
        text_add(&line, ", the last reload failed");
    text_add_bytes(&line, "", 1);
    ps_line_add(out, &line);
    text_finish(&line);
}

static void ps_pipeline_add(struct text *out, const struct live_pipeline *pipeline, size_t columns)
{
    char active[CELL_BYTES], queued[CELL_BYTES], workers[2 * CELL_BYTES];
    uint32_t ready = 0;
    for (uint32_t i = 0; i < pipeline->worker_count; i++)
        ready += strcmp(pipeline->workers[i].state, "ready") == 0;
    cell_count(active, pipeline->active);
    cell_count(queued, pipeline->queued);
    snprintf(workers, sizeof workers, "%u/%.0f", ready, pipeline->workers_wanted);
    ps_name_add(out, pipeline->pointer, columns);
    cells_add_left(out, pipeline->state, STATE - 1);
    cells_add_right(out, active, ACTIVE);
    cells_add_right(out, queued, RESTARTS);
    cells_add_right(out, workers, PID);
    ps_notes_add(out, pipeline);
    ps_line_end(out);
    ps_loading_add(out, &pipeline->loading);
    ps_waiting_add(out, &pipeline->waiting);
    ps_fair_add(out, &pipeline->fair);
    ps_template_add(out, &pipeline->template);
    if (*pipeline->error != '\0') {
        text_add(out, "  ");
        cells_add(out, pipeline->error, PS_COLUMNS - 2);
        text_add(out, "\n");
    }
}

/* "  loading: 62 %, loading shard 5 of 8 (41 s)" */
static void ps_loading_add(struct text *out, const struct live_loading *loading)
{
    struct text line = {0};
    if (!(loading->elapsed_s >= 0)) /* nor what is not a number */
        return;
    text_add(&line, "  loading%s", loading->progress >= 0 || *loading->text != '\0' ? ": " : "");
    if (loading->progress >= 0)
        text_add(&line, "%.0f %%%s", floor(loading->progress * 100),
                 *loading->text != '\0' ? ", " : "");
    text_add(&line, "%s (%.0f s)", loading->text, floor(loading->elapsed_s));
    text_add_bytes(&line, "", 1);
    ps_line_add(out, &line);
    text_finish(&line);
}

/* "  waiting for 12G of cuda:0 (4 s)" */
static void ps_waiting_add(struct text *out, const struct live_waiting *waiting)
{
    char bytes[CELL_BYTES], device[CELL_BYTES];
    struct text line = {0};
    if (!(waiting->elapsed_s >= 0))
        return;
    cell_size(bytes, waiting->bytes);
    cell_device(device, waiting->device_kind, waiting->device_index);
    text_add(&line, "  waiting for %s of %s (%.0f s)", bytes, device, floor(waiting->elapsed_s));
    text_add_bytes(&line, "", 1);
    ps_line_add(out, &line);
    text_finish(&line);
}

/* "  queued: interactive 3, batch 20; 7 tenants" */
static void ps_fair_add(struct text *out, const struct live_fair *fair)
{
    struct text line = {0};
    if (fair->class_count == 0)
        return;
    for (uint32_t i = 0; i < fair->class_count; i++)
        text_add(&line, "%s%s %.0f", i > 0 ? ", " : "  queued: ", fair->classes[i].class,
                 fair->classes[i].queued);
    text_add(&line, "; %.0f tenant%s", fair->tenants, cells_plural(fair->tenants));
    text_add_bytes(&line, "", 1);
    ps_line_add(out, &line);
    text_finish(&line);
}

/* "  template: ready, pid 4711, 8 copies", "  template: refused, it has 2 threads" */
static void ps_template_add(struct text *out, const struct live_template *template)
{
    struct text line = {0};
    if (*template->preload == '\0')
        return;
    text_add(&line, "  template: %s", template->state);
    if (template->pid > 0)
        text_add(&line, ", pid %.0f, %.0f cop%s", template->pid, template->copies,
                 template->copies == 1 ? "y" : "ies");
    if (*template->reason != '\0')
        text_add(&line, ", %s", template->reason);
    text_add_bytes(&line, "", 1);
    ps_line_add(out, &line);
    text_finish(&line);
}

/* What is not as usual. */
static void ps_notes_add(struct text *out, const struct live_pipeline *pipeline)
{
    bool is_served = *pipeline->phase == '\0' || strcmp(pipeline->phase, "served") == 0;
    struct text notes = {0};
    if (!is_served)
        text_add(&notes, " %s", pipeline->phase);
    if (pipeline->drained)
        text_add(&notes, " drained");
    if (pipeline->workers_min < pipeline->workers_max)
        text_add(&notes, " (%.0f-%.0f)", pipeline->workers_min, pipeline->workers_max);
    if (notes.count > 0) {
        text_add_bytes(&notes, "", 1);
        if (!notes.failed)
            cells_add(out, notes.bytes, NOTE_COLUMNS);
    }
    text_finish(&notes);
}

static void ps_worker_add(struct text *out, const struct live_worker *worker, size_t columns)
{
    char name[NAME_BYTES], active[CELL_BYTES], restarts[CELL_BYTES];
    char pid[CELL_BYTES] = "-", age[CELL_BYTES], memory[CELL_BYTES];
    ps_worker_name(name, worker);
    cell_count(active, worker->active);
    cell_count(restarts, worker->restarts);
    if (worker->pid > 0)
        snprintf(pid, sizeof pid, "%.0f", worker->pid);
    cell_age(age, worker->age_s);
    cell_size(memory, worker->memory_bytes);
    ps_name_add(out, name, columns);
    cells_add_left(out, worker->state, STATE - 1);
    cells_add_right(out, active, ACTIVE);
    cells_add_right(out, restarts, RESTARTS);
    cells_add_right(out, pid, PID);
    cells_add_right(out, age, AGE);
    cells_add_right(out, memory, MEMORY);
    ps_line_end(out);
}

/* A line for each of those that an alias stands for. */
static void ps_alias_add(struct text *out, const struct live_alias *alias, size_t columns)
{
    for (uint32_t i = 0; i < alias->target_count; i++) {
        char weight[CELL_BYTES], runs[CELL_BYTES];
        cell_count(weight, alias->targets[i].weight);
        cell_count(runs, alias->targets[i].runs);
        ps_name_add(out, i == 0 ? alias->pointer : "", columns);
        cells_add_end(out, alias->targets[i].pointer, columns);
        cells_add_right(out, weight, ACTIVE);
        cells_add_right(out, runs, RESTARTS);
        ps_line_end(out);
    }
}

static void ps_name_add(struct text *out, const char *name, size_t columns)
{
    size_t width = cells_width(name);
    cells_add_left(out, name, width > columns ? width : columns);
    if (width > columns)
        text_add(out, "\n%*s", (int)columns, "");
    text_add(out, " ");
}

/* Without blanks behind the text. */
static void ps_line_end(struct text *out)
{
    while (out->count > 0 && out->bytes[out->count - 1] == ' ')
        out->count--;
    text_add(out, "\n");
}
