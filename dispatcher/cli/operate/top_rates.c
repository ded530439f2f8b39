/* SPDX-License-Identifier: MIT */
/* top_rates.c - what happened between two moments of a server, by the difference of its counts. */
#include "dispatcher/cli/operate/top_rates.h"

#include <math.h>
#include <string.h>

static bool rates_is_same(const struct live_pipeline *a, const struct live_pipeline *b)
{
    return strcmp(a->pointer, b->pointer) == 0 && strcmp(a->id, b->id) == 0;
}

/* While a reload goes on a pipeline may be there twice: in the order in which they are. */
const struct live_pipeline *top_pipeline_before(const struct live_state *before,
                                                const struct live_state *now, uint32_t number)
{
    uint32_t skip = 0;
    for (uint32_t i = 0; i < number; i++)
        skip += rates_is_same(&now->pipelines[i], &now->pipelines[number]);
    for (uint32_t i = 0; before && i < before->pipeline_count; i++)
        if (rates_is_same(&before->pipelines[i], &now->pipelines[number]) && skip-- == 0)
            return &before->pipelines[i];
    return NULL;
}

double top_rate(double before, double now, double seconds)
{
    return now >= before && seconds > 0 ? (now - before) / seconds : NAN;
}

struct top_rates top_rates(const struct live_pipeline *before, const struct live_pipeline *now,
                           double seconds)
{
    if (!before)
        return (struct top_rates){NAN, NAN, NAN, NAN, NAN};
    return (struct top_rates){
        .runs_per_s = top_rate(before->completed + before->failed + before->cancelled,
                               now->completed + now->failed + now->cancelled, seconds),
        .lines_per_s = top_rate(before->lines, now->lines, seconds),
        .failed_per_s = top_rate(before->failed, now->failed, seconds),
        .p50_s = top_quantile(&before->first_chunk, &now->first_chunk, 0.5),
        .p99_s = top_quantile(&before->first_chunk, &now->first_chunk, 0.99),
    };
}

double top_worker_cpu(const struct live_pipeline *before, const struct live_worker *now,
                      double seconds)
{
    for (uint32_t i = 0; before && i < before->worker_count; i++)
        if (before->workers[i].pid == now->pid)
            return top_rate(before->workers[i].cpu_s, now->cpu_s, seconds);
    return NAN;
}

double top_quantile(const struct live_times *before, const struct live_times *now, double share)
{
    double count = now->count - before->count;
    if (!(count > 0) || now->bound_count == 0 || now->bound_count != before->bound_count)
        return NAN;
    double wanted = share * count, below = 0, from_s = 0;
    for (uint32_t i = 0; i < now->bound_count; i++) {
        double upto = now->counts[i] - before->counts[i];
        if (upto >= wanted && upto > below)
            return from_s + (now->le_s[i] - from_s) * (wanted - below) / (upto - below);
        below = upto;
        from_s = now->le_s[i];
    }
    return INFINITY;
}
