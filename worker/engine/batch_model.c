/* SPDX-License-Identifier: MIT */
/*
 * batch_model.c - least squares over recent calls, and a rate.
 */
#include "worker/engine/batch_model.h"

#include <math.h>

#include "millrace/check.h"

/* What a call counts after the next one; some 32 calls matter. */
#define BATCH_FIT_DECAY (31.0 / 32)
/* The same of waits; some 16 matter. */
#define BATCH_WATCH_DECAY (15.0 / 16)
/* From so many calls on, one that took so many times what was expected, or so small a part of it,
 * counts as that much: a process that was not running, say. */
#define BATCH_FIT_SOUND_WEIGHT 4.0
#define BATCH_FIT_OUTLIER 4.0
/* Below this variance of their counts calls are all alike: then all of their time counts as
 * fixed. */
#define BATCH_FIT_VARIANCE_MIN 0.05
/* Batches that go at once, though there are others, before one waits to find out. */
#define BATCH_HASTY_COUNT_MAX 16u

static double batch_model_bound(const struct batch_model *model, double count, double ns)
{
    if (model->weight < BATCH_FIT_SOUND_WEIGHT)
        return ns;
    struct batch_forecast forecast = batch_model_forecast(model);
    double expected = forecast.fixed_ns + forecast.item_ns * count;
    double most = expected * BATCH_FIT_OUTLIER, least = expected / BATCH_FIT_OUTLIER;
    return ns > most ? most : ns < least ? least : ns;
}

static void batch_model_learn(struct batch_model *model, double count, double ns)
{
    double bounded = batch_model_bound(model, count, ns);
    model->weight = model->weight * BATCH_FIT_DECAY + 1;
    model->counts = model->counts * BATCH_FIT_DECAY + count;
    model->times = model->times * BATCH_FIT_DECAY + bounded;
    model->squares = model->squares * BATCH_FIT_DECAY + count * count;
    model->products = model->products * BATCH_FIT_DECAY + count * bounded;
}

void batch_model_begin(struct batch_model *model, uint64_t now_ns, uint32_t count)
{
    mr_assert(!model->is_calling && count > 0);
    if (model->is_watching) {
        model->watched_ns += (double)(now_ns - model->watch_ns);
        model->watched_ns *= BATCH_WATCH_DECAY;
        model->came_count *= BATCH_WATCH_DECAY;
    }
    model->hasty_count = model->is_watching ? 0 : model->hasty_count + 1;
    model->is_watching = false;
    model->is_calling = true;
    model->is_over = false;
    model->began_ns = now_ns;
    model->began_count = count;
    model->met_count = 0;
}

void batch_model_end(struct batch_model *model, uint64_t now_ns)
{
    mr_assert(model->is_calling);
    model->is_calling = false;
    model->free_ns = now_ns;
    batch_model_learn(model, model->began_count, (double)(now_ns - model->began_ns));
}

void batch_model_come(struct batch_model *model, uint64_t now_ns)
{
    if (!model->is_over)
        model->met_count++;
    if (!model->is_watching)
        return;
    model->came_count++;
    model->watched_ns += (double)(now_ns - model->watch_ns);
    model->watch_ns = now_ns;
}

void batch_model_asked(struct batch_model *model, uint64_t now_ns, bool waits)
{
    model->is_over = !model->is_calling;
    if (!waits || model->is_watching)
        return;
    model->is_watching = true;
    model->watch_ns = now_ns;
}

struct batch_forecast batch_model_forecast(const struct batch_model *model)
{
    struct batch_forecast forecast = {
        .next_ns = model->came_count > 0 ? model->watched_ns / model->came_count : (double)INFINITY,
        .is_due = model->watched_ns == 0 || model->hasty_count >= BATCH_HASTY_COUNT_MAX,
    };
    if (model->weight == 0)
        return forecast;
    double count = model->counts / model->weight, ns = model->times / model->weight;
    double variance = model->squares / model->weight - count * count;
    double slope = 0;
    if (variance >= BATCH_FIT_VARIANCE_MIN)
        slope = (model->products / model->weight - count * ns) / variance;
    forecast.item_ns = slope < 0 ? 0 : slope * count > ns ? ns / count : slope;
    forecast.fixed_ns = ns - forecast.item_ns * count;
    return forecast;
}

bool batch_model_has_company(const struct batch_model *model, uint64_t now_ns, uint64_t ns)
{
    return model->began_count + model->met_count > 1 &&
           (model->is_calling || now_ns <= model->free_ns || now_ns - model->free_ns <= ns);
}
