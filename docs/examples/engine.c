/* SPDX-License-Identifier: MIT */
/*
 * engine.c - many runs in one batch: the Collatz sequences of numbers, all of them by a step.
 *
 *     cc -shared -fPIC engine.c -o engine.so $(pkg-config --cflags millrace)
 *     millrace serve engine.so --concurrency 64
 *     curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
 *          -d '{"inputs":[{"type":"integer","value":6}]}'
 *
 * advance() stands for what a device does: it takes rows of a batch and computes the next value of
 * each. A run has a row while it is in; where all rows are taken, the next run waits for one, of
 * whichever worker it is. A run whose client does not read leaves its row out of the batch, and the
 * others go on.
 */
#include <millrace/pipeline.h>

#define ROW_COUNT 32

/* A row is nobody's while it has no run. */
static struct row {
    struct mr_run *run;
    int64_t number;
} rows[ROW_COUNT];

/* One step of the model for the rows of a batch. False: a number has grown too large. */
static bool advance(int64_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (numbers[i] % 2 != 0 && numbers[i] > (INT64_MAX - 1) / 3)
            return false;
        numbers[i] = numbers[i] % 2 == 0 ? numbers[i] / 2 : 3 * numbers[i] + 1;
    }
    return true;
}

static int admit(struct mr_run *run)
{
    int64_t number = mr_run_arg_integer(run, 0);
    if (number < 1 || number > INT32_MAX)
        return mr_run_fail(run, MR_ERROR_INPUT, "the number is from 1 to %d", INT32_MAX);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (rows[i].run)
            continue;
        rows[i] = (struct row){run, number};
        mr_run_set(run, &rows[i]);
        return 0;
    }
    return MR_LATER;
}

static void evict(struct mr_run *run)
{
    struct row *row = mr_run_get(run);
    row->run = NULL;
}

/* Sends the row's number; at 1 the sequence ends. */
static void tell(struct row *row)
{
    mr_value_integer(mr_emit(row->run), row->number);
    if (row->number != 1)
        return;
    mr_run_finish(row->run);
    row->run = NULL;
}

static int step(void *nothing)
{
    (void)nothing;
    struct row *batch[ROW_COUNT];
    int64_t numbers[ROW_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (!rows[i].run || mr_run_is_full(rows[i].run))
            continue;
        batch[count] = &rows[i];
        numbers[count++] = rows[i].number;
    }
    if (count == 0)
        return MR_LATER; /* all wait for their clients */
    if (!advance(numbers, count))
        return mr_engine_fail(MR_ERROR_PIPELINE, "a number is too large");
    for (size_t i = 0; i < count; i++) {
        batch[i]->number = numbers[i];
        tell(batch[i]);
    }
    return 0;
}

static int capacity(void *nothing)
{
    (void)nothing;
    return ROW_COUNT;
}

MR_PIPELINE(engine)
{
    static const struct mr_engine engine = {
        .admit = admit, .step = step, .evict = evict, .capacity = capacity};
    mr_engine(builder, &engine, mr_input(builder, MR_INTEGER, .title = "number", .ge = "1"));
}
