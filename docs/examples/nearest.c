/* SPDX-License-Identifier: MIT */
/*
 * nearest.c - a batched pipe: which of many stored vectors are nearest to that of a request.
 *
 *     cc -shared -fPIC -O3 nearest.c -o nearest.so $(pkg-config --cflags millrace)
 *     millrace serve nearest.so --batch-max 32
 *     curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
 *          -d '{"inputs":[{"type":"array","value":[1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}]}'
 *
 * To go through all stored vectors costs their way from memory, whether one is compared with them
 * or thirty: runs that arrive together share it. A request whose vector has another length fails
 * alone.
 */
#include <millrace/pipeline.h>
#include <stdlib.h>

#define DIMENSION_COUNT 16
#define STORED_COUNT 65536
#define BATCH_COUNT_MAX 256

typedef float vector[DIMENSION_COUNT];

struct best {
    float score;
    size_t index;
};

static vector *stored; /* STORED_COUNT of them */

/* Takes the place of vectors that a model made. */
static int load(struct mr_call *call)
{
    unsigned state = 1;
    stored = malloc(STORED_COUNT * sizeof *stored);
    if (!stored)
        return mr_fail(call, MR_ERROR_OOM, "no memory for %d vectors", STORED_COUNT);
    for (size_t i = 0; i < STORED_COUNT; i++)
        for (size_t k = 0; k < DIMENSION_COUNT; k++) {
            state = state * 1664525u + 1013904223u;
            stored[i][k] = (float)(state >> 8) / (float)(1 << 23) - 1.0f;
        }
    return 0;
}

/* False: this is no such vector. */
static bool read_vector(const struct mr_object *object, vector out)
{
    if (object->u.array.count != DIMENSION_COUNT)
        return false;
    for (size_t k = 0; k < DIMENSION_COUNT; k++) {
        const struct mr_object *item = &object->u.array.items[k];
        if (item->type != MR_FP && item->type != MR_INTEGER)
            return false;
        out[k] = item->type == MR_FP ? (float)item->u.fp : (float)item->u.integer;
    }
    return true;
}

static float product(const vector a, const vector b)
{
    float sum = 0;
    for (size_t k = 0; k < DIMENSION_COUNT; k++)
        sum += a[k] * b[k];
    return sum;
}

/* Each stored vector is read once for all. */
static void compare(const vector *wanted, struct best *found, size_t count)
{
    for (size_t i = 0; i < STORED_COUNT; i++)
        for (size_t at = 0; at < count; at++) {
            float score = product(stored[i], wanted[at]);
            if (i == 0 || score > found[at].score)
                found[at] = (struct best){score, i};
        }
}

static int nearest(struct mr_call *const *calls, size_t count)
{
    static vector wanted[BATCH_COUNT_MAX];
    static struct best found[BATCH_COUNT_MAX];
    static struct mr_call *asked[BATCH_COUNT_MAX]; /* whose vectors are sound */
    size_t sound = 0;
    if (count > BATCH_COUNT_MAX)
        return mr_batch_fail(MR_ERROR_PIPELINE, "--batch-max is %d at most", BATCH_COUNT_MAX);
    for (size_t i = 0; i < count; i++) {
        if (read_vector(mr_arg(calls[i], 0), wanted[sound]))
            asked[sound++] = calls[i];
        else
            mr_fail(calls[i], MR_ERROR_INPUT, "it takes %d numbers", DIMENSION_COUNT);
    }
    compare((const vector *)wanted, found, sound);
    for (size_t i = 0; i < sound; i++) {
        struct mr_value *out = mr_return(asked[i]);
        mr_value_dictionary(out, 2);
        mr_value_string(out, "index", 5);
        mr_value_integer(out, (int64_t)found[i].index);
        mr_value_string(out, "score", 5);
        mr_value_fp(out, (double)found[i].score);
    }
    return 0;
}

MR_PIPELINE(nearest)
{
    mr_on_preload(builder, load);
    mr_variable wanted = mr_input(builder, MR_ARRAY, .title = "vector");
    mr_output(builder, mr_pipe_batched(builder, nearest, MR_DICTIONARY, wanted));
}
