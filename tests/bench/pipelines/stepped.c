/* SPDX-License-Identifier: MIT */
/*
 * stepped.c - the chunks of lines.c, from an engine: each step takes MS ms, whatever the batch, and
 * gives each run that is not full its next one. With N below 0 the run fails after -N chunks.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <millrace/pipeline.h>

#define ROW_COUNT_MAX 4096

struct row {
    struct mr_run *run;
    size_t at; /* in rows */
    int64_t count, next;
    bool fails;
    int64_t ms;
    size_t text_bytes;
    char text[];
};

static struct row *rows[ROW_COUNT_MAX];
static size_t row_count;

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int admit(struct mr_run *run)
{
    int64_t count = mr_run_arg_integer(run, 0), text_bytes = mr_run_arg_integer(run, 1);
    if (text_bytes < 0 || mr_run_arg_integer(run, 2) < 0)
        return mr_run_fail(run, MR_ERROR_INPUT, "BYTES and MS must not be negative");
    if (count == 0) {
        mr_run_finish(run);
        return 0;
    }
    struct row *row = mr_run_alloc(run, sizeof *row + (size_t)text_bytes);
    if (!row)
        return -1;
    row->run = run;
    row->at = row_count;
    row->fails = count < 0;
    row->count = count < 0 ? -count : count;
    row->ms = mr_run_arg_integer(run, 2);
    row->text_bytes = (size_t)text_bytes;
    memset(row->text, 'x', row->text_bytes);
    mr_run_set(run, row);
    rows[row_count++] = row;
    return 0;
}

static void forget(size_t at)
{
    rows[at] = rows[--row_count];
    rows[at]->at = at;
}

static void evict(struct mr_run *run)
{
    const struct row *row = mr_run_get(run);
    forget(row->at);
}

/* True when that was the last one, and the row is gone. */
static bool emit(struct row *row, int64_t time_ns)
{
    struct mr_value *out = mr_emit(row->run);
    mr_value_dictionary(out, 3);
    mr_value_string(out, "i", 1);
    mr_value_integer(out, row->next++);
    mr_value_string(out, "t_ns", 4);
    mr_value_integer(out, time_ns);
    mr_value_string(out, "chunk", 5);
    mr_value_string(out, row->text, row->text_bytes);
    if (row->next < row->count)
        return false;
    struct mr_run *run = row->run;
    forget(row->at);
    if (row->fails)
        mr_run_fail(run, MR_ERROR_PIPELINE, "as it was asked to");
    else
        mr_run_finish(run);
    return true;
}

static int step(void *nothing)
{
    (void)nothing;
    int64_t ms = 0;
    size_t batch = 0;
    for (size_t i = 0; i < row_count; i++) {
        ms = rows[i]->ms > ms ? rows[i]->ms : ms;
        batch += !mr_run_is_full(rows[i]->run);
    }
    if (batch == 0)
        return MR_LATER;
    if (ms > 0)
        nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
    int64_t time_ns = now_ns();
    for (size_t i = 0; i < row_count; i++)
        if (!mr_run_is_full(rows[i]->run) && emit(rows[i], time_ns))
            i--;
    return 0;
}

MR_PIPELINE(stepped)
{
    static const struct mr_engine engine = {.admit = admit, .step = step, .evict = evict};
    mr_variable n = mr_input(builder, MR_INTEGER, .title = "N");
    mr_variable bytes = mr_input(builder, MR_INTEGER, .title = "BYTES", .ge = "0");
    mr_variable ms = mr_input(builder, MR_INTEGER, .title = "MS", .ge = "0");
    mr_engine(builder, &engine, n, bytes, ms);
}
