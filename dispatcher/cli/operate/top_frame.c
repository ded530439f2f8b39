/* SPDX-License-Identifier: MIT */
/* top_frame.c - what `millrace top` shows, as text. */
#include "dispatcher/cli/operate/top_frame.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/cli/operate/cells.h"
#include "dispatcher/cli/operate/top_rates.h"

/* Widths with the blank in front; a pipeline's name has the rest. */
enum { STATE = 9, STATE_WIDE = 12, RUNS = 7, LINES = 8, ACTIVE = 7, TIME = 7, FAILED = 7 };
enum { AGE = 7, QUIET = 8, WAITING = 9, TOKEN = 14, CLIENT = 22 };

#define NUMBER_COLUMNS (RUNS + LINES + 2 * ACTIVE + 2 * TIME + FAILED)
#define NAME_COLUMNS_MAX 60u
#define HEAD_ROWS 4u       /* the server, and the names of columns */
#define FOOT_ROWS 1u       /* the keys */
#define CLIENT_ROWS_PART 4 /* of the rows one in so many is for slow clients */

#define PLAIN ""
#define STRONG "\033[7m"
#define RED "\033[31m"
#define YELLOW "\033[33m"
#define USUAL "\033[0m"

static void frame_head_add(struct text *out, const struct top_sample *before,
                           const struct top_sample *now, const struct top_view *view);
static void frame_columns_add(struct text *out, const struct live_state *state,
                              const struct top_view *view);
static uint32_t frame_body_add(struct text *out, const struct top_sample *before,
                               const struct top_sample *now, const struct top_view *view);
static uint32_t frame_pipeline_add(struct text *out, const struct top_sample *before,
                                   const struct top_sample *now, uint32_t number,
                                   const struct top_view *view);
static void frame_worker_add(struct text *out, const struct live_pipeline *before,
                             const struct live_worker *worker, double seconds,
                             const struct top_view *view);
static uint32_t frame_clients_add(struct text *out, const struct live_state *state,
                                  const struct top_view *view);
static void frame_keys_add(struct text *out, const struct top_view *view, uint32_t shown,
                           uint32_t all);
static void frame_slice_add(struct text *out, const struct text *body, uint32_t from,
                            uint32_t count);
static void frame_line_add(struct text *out, const struct top_view *view, const char *color,
                           struct text *line);

void top_frame_add(struct text *out, const struct top_sample *before, const struct top_sample *now,
                   struct top_view *view)
{
    struct text frame = {0}, body = {0}, clients = {0};
    frame_head_add(&frame, before, now, view);
    frame_columns_add(&frame, now->state, view);
    uint32_t all = frame_body_add(&body, before, now, view);
    uint32_t client_rows = frame_clients_add(&clients, now->state, view);
    uint32_t taken = HEAD_ROWS + FOOT_ROWS + client_rows;
    uint32_t room = view->rows > taken ? view->rows - taken : 0;
    uint32_t shown = view->rows == 0 || all < room ? all : room;
    if (view->scroll > all - shown)
        view->scroll = all - shown;
    frame_slice_add(&frame, &body, view->scroll, shown);
    for (uint32_t i = shown; i < room; i++)
        text_add(&frame, "\n");
    frame_slice_add(&frame, &clients, 0, client_rows);
    if (view->rows > 0)
        frame_keys_add(&frame, view, shown, all);
    out->failed |= frame.failed || body.failed || clients.failed;
    /* On a screen with next to no rows only the first ones are there. */
    frame_slice_add(out, &frame, 0, view->rows > 0 ? view->rows : UINT32_MAX);
    text_finish(&frame);
    text_finish(&body);
    text_finish(&clients);
}

/* So many lines. */
static void frame_slice_add(struct text *out, const struct text *body, uint32_t from,
                            uint32_t count)
{
    const char *at = body->bytes;
    size_t left = body->failed ? 0 : body->count;
    for (uint64_t i = 0; i < (uint64_t)from + count && left > 0; i++) {
        const char *newline = memchr(at, '\n', left);
        size_t bytes = newline ? (size_t)(newline + 1 - at) : left;
        if (i >= from)
            text_add_bytes(out, at, bytes);
        at += bytes;
        left -= bytes;
    }
}

/* Takes the text of the line, cut to the columns. */
static void frame_line_add(struct text *out, const struct top_view *view, const char *color,
                           struct text *line)
{
    const char *shown = view->has_color ? color : PLAIN;
    text_add_bytes(line, "", 1);
    if (line->failed) {
        out->failed = true;
    } else {
        text_add(out, "%s", shown);
        if (strcmp(shown, STRONG) == 0)
            cells_add_left(out, line->bytes, view->columns);
        else
            cells_add(out, line->bytes, view->columns);
        while (*shown == '\0' && out->count > 0 && out->bytes[out->count - 1] == ' ')
            out->count--;
        text_add(out, "%s\n", *shown != '\0' ? USUAL : "");
    }
    text_finish(line);
}

/* ---- the server ---------------------------------------------------------------------------- */

static double frame_seconds(const struct top_sample *before, const struct top_sample *now)
{
    return before ? now->at_s - before->at_s : NAN;
}

static void frame_reload_add(struct text *line, const struct live_state *state)
{
    text_add(line, "; configuration %.0f", state->generation);
    if (*state->reload_state != '\0' && strcmp(state->reload_state, "idle") != 0)
        text_add(line, ", a reload is %s",
                 strcmp(state->reload_state, "reading") == 0 ? "reading" : "starting");
    else if (strcmp(state->reload_result, "failed") == 0)
        text_add(line, ", the last reload failed");
}

static void frame_head_add(struct text *out, const struct top_sample *before,
                           const struct top_sample *now, const struct top_view *view)
{
    const struct live_state *state = now->state;
    char age[CELL_BYTES], lines[CELL_BYTES], memory[4][CELL_BYTES];
    struct text line = {0};
    cell_age(age, state->uptime_s);
    text_add(&line, "millrace %s, up %s, %s", state->version, age, state->server_state);
    if (*state->listen != '\0')
        text_add(&line, " on %s", state->listen);
    frame_reload_add(&line, state);
    frame_line_add(out, view, PLAIN, &line);

    cell_rate(lines, before
                         ? top_rate(before->state->lines, state->lines, frame_seconds(before, now))
                         : NAN);
    cell_size(memory[0], state->input_bytes);
    cell_size(memory[1], state->input_bytes_max);
    cell_size(memory[2], state->output_bytes);
    cell_size(memory[3], state->output_bytes_max);
    text_add(&line, "%.0f connection%s, %.0f run%s, %.0f queued, %s lines/s, in %s/%s, out %s/%s",
             state->connections, cells_plural(state->connections), state->runs,
             cells_plural(state->runs), state->queued, lines, memory[0], memory[1], memory[2],
             memory[3]);
    frame_line_add(out, view, PLAIN, &line);
    if (view->message)
        text_add(&line, "%s", view->message);
    else if (view->is_paused)
        text_add(&line, "paused: p goes on");
    frame_line_add(out, view, view->message ? RED : PLAIN, &line);
}

/* ---- pipelines and workers ----------------------------------------------------------------- */

static bool frame_is_wide(const struct top_view *view)
{
    return view->columns >= TOP_COLUMNS + 10;
}

static size_t frame_state_columns(const struct top_view *view)
{
    return frame_is_wide(view) ? STATE_WIDE : STATE;
}

static size_t frame_name_columns(const struct live_state *state, const struct top_view *view)
{
    size_t taken = frame_state_columns(view) + NUMBER_COLUMNS, most = NAME_COLUMNS_MAX / 3;
    size_t room = view->columns > taken + 8 ? view->columns - taken : 8;
    for (uint32_t i = 0; i < state->pipeline_count; i++) {
        size_t width = cells_width(state->pipelines[i].pointer);
        most = width > most ? width : most;
    }
    most = most < NAME_COLUMNS_MAX ? most : NAME_COLUMNS_MAX;
    return most < room ? most : room;
}

static void frame_columns_add(struct text *out, const struct live_state *state,
                              const struct top_view *view)
{
    struct text line = {0};
    text_add(&line, "%-*s %-*s%*s%*s%*s%*s%*s%*s%*s", (int)frame_name_columns(state, view),
             "PIPELINE", (int)frame_state_columns(view) - 1, "STATE", RUNS, "RUNS/S", LINES,
             "LINES/S", ACTIVE, "ACTIVE", ACTIVE, "QUEUED", TIME, "P50", TIME, "P99", FAILED,
             "FAIL/S");
    frame_line_add(out, view, STRONG, &line);
}

/* Adds all lines, and returns how many. */
static uint32_t frame_body_add(struct text *out, const struct top_sample *before,
                               const struct top_sample *now, const struct top_view *view)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < now->state->pipeline_count; i++)
        count += frame_pipeline_add(out, before, now, i, view);
    return count;
}

static const char *frame_color(const struct live_pipeline *pipeline)
{
    if (strcmp(pipeline->state, "failed") == 0 || strcmp(pipeline->state, "quarantined") == 0)
        return RED;
    bool is_usual = strcmp(pipeline->state, "ready") == 0 || strcmp(pipeline->state, "idle") == 0;
    return is_usual && !pipeline->drained ? PLAIN : YELLOW;
}

static void frame_time_add(struct text *line, double seconds, const struct live_times *times)
{
    char cell[CELL_BYTES], above[CELL_BYTES + 1];
    cell_time(cell, isinf(seconds) ? times->le_s[times->bound_count - 1] : seconds);
    snprintf(above, sizeof above, "%s%s", isinf(seconds) ? ">" : "", cell);
    cells_add_right(line, above, TIME);
}

static uint32_t frame_pipeline_add(struct text *out, const struct top_sample *before,
                                   const struct top_sample *now, uint32_t number,
                                   const struct top_view *view)
{
    const struct live_pipeline *pipeline = &now->state->pipelines[number];
    const struct live_pipeline *earlier =
        top_pipeline_before(before ? before->state : NULL, now->state, number);
    double seconds = frame_seconds(before, now);
    struct top_rates rates = top_rates(earlier, pipeline, seconds);
    bool is_served = *pipeline->phase == '\0' || strcmp(pipeline->phase, "served") == 0;
    char runs[CELL_BYTES], lines[CELL_BYTES], active[CELL_BYTES], queued[CELL_BYTES];
    char failed[CELL_BYTES];
    struct text line = {0};
    cell_rate(runs, rates.runs_per_s);
    cell_rate(lines, rates.lines_per_s);
    cell_count(active, pipeline->active);
    cell_count(queued, pipeline->queued);
    cell_rate(failed, rates.failed_per_s);
    cells_add_end(&line, pipeline->pointer, frame_name_columns(now->state, view));
    text_add(&line, " ");
    cells_add_left(&line,
                   !is_served          ? pipeline->phase
                   : pipeline->drained ? "drained"
                                       : pipeline->state,
                   frame_state_columns(view) - 1);
    cells_add_right(&line, runs, RUNS);
    cells_add_right(&line, lines, LINES);
    cells_add_right(&line, active, ACTIVE);
    cells_add_right(&line, queued, ACTIVE);
    frame_time_add(&line, rates.p50_s, &pipeline->first_chunk);
    frame_time_add(&line, rates.p99_s, &pipeline->first_chunk);
    cells_add_right(&line, failed, FAILED);
    frame_line_add(out, view, frame_color(pipeline), &line);
    if (!view->shows_workers)
        return 1;
    for (uint32_t i = 0; i < pipeline->worker_count; i++)
        frame_worker_add(out, earlier, &pipeline->workers[i], seconds, view);
    return 1 + pipeline->worker_count;
}

static void frame_worker_add(struct text *out, const struct live_pipeline *before,
                             const struct live_worker *worker, double seconds,
                             const struct top_view *view)
{
    char pid[CELL_BYTES] = "-", memory[CELL_BYTES], ring[CELL_BYTES], cpu[CELL_BYTES];
    char age[CELL_BYTES], device[CELL_BYTES], runs[2 * CELL_BYTES];
    struct text line = {0};
    if (worker->pid > 0)
        snprintf(pid, sizeof pid, "%.0f", worker->pid);
    cell_size(memory, worker->memory_bytes);
    cell_percent(ring, worker->ring_used_bytes / worker->ring_bytes);
    cell_percent(cpu, worker->pid > 0 ? top_worker_cpu(before, worker, seconds) : NAN);
    cell_age(age, worker->age_s);
    text_add(&line, "  %-4.0f", worker->number);
    cells_add_left(&line, worker->state, STATE - 1);
    snprintf(runs, sizeof runs, "%.0f/%.0f", worker->active, worker->slots);
    text_add(&line, " pid %7s mem %6s ring %4s cpu %5s runs %-7s up %s", pid, memory, ring, cpu,
             runs, age);
    cell_device(device, worker->device_kind, worker->device_index);
    if (frame_is_wide(view) && *device != '\0')
        text_add(&line, "%*s%s", cells_width(age) < AGE ? (int)(AGE - cells_width(age)) : 1, "",
                 device);
    frame_line_add(out, view, PLAIN, &line);
}

/* ---- clients and keys ---------------------------------------------------------------------- */

static uint32_t frame_clients_add(struct text *out, const struct live_state *state,
                                  const struct top_view *view)
{
    uint32_t most = view->rows == 0 ? state->client_count : view->rows / CLIENT_ROWS_PART;
    uint32_t count = state->client_count < most ? state->client_count : most;
    struct text line = {0};
    if (count == 0)
        return 0;
    size_t taken = CLIENT + TOKEN + WAITING + QUIET;
    size_t name = view->columns > taken + 9 ? view->columns - taken - 1 : 8;
    name = name < NAME_COLUMNS_MAX ? name : NAME_COLUMNS_MAX;
    text_add(out, "\n");
    text_add(&line, "%-*s %-*s %-*s%*s%*s", CLIENT - 1, "SLOWEST CLIENT", TOKEN - 1, "TOKEN",
             (int)name, "PIPELINE", WAITING, "WAITING", QUIET, "QUIET");
    frame_line_add(out, view, STRONG, &line);
    for (uint32_t i = 0; i < count; i++) {
        const struct live_slow *client = &state->clients[i];
        char waiting[CELL_BYTES], quiet[CELL_BYTES];
        cell_size(waiting, client->waiting_bytes);
        cell_age(quiet, client->quiet_s);
        cells_add_left(&line, *client->client != '\0' ? client->client : "-", CLIENT - 1);
        text_add(&line, " ");
        cells_add_left(&line, *client->token != '\0' ? client->token : "-", TOKEN - 1);
        text_add(&line, " ");
        cells_add_end(&line, client->pipeline, name);
        cells_add_right(&line, waiting, WAITING);
        cells_add_right(&line, quiet, QUIET);
        frame_line_add(out, view, PLAIN, &line);
    }
    return count + 2;
}

static void frame_keys_add(struct text *out, const struct top_view *view, uint32_t shown,
                           uint32_t all)
{
    struct text line = {0};
    text_add(&line, "q quit  p pause  w workers");
    if (shown < all)
        text_add(&line, "  up/down scroll: %u-%u of %u", view->scroll + 1, view->scroll + shown,
                 all);
    frame_line_add(out, view, STRONG, &line);
}
