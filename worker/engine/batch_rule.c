/* SPDX-License-Identifier: MIT */
/*
 * batch_rule.c - what another call to a batch would spare, against what it costs to wait for it.
 */
#include "worker/engine/batch_rule.h"

#include "shm/clock.h"

/* So many times the mean time until another one comes it is waited for. */
#define BATCH_PATIENCE 4.0

static uint64_t batch_rule_later(uint64_t a_ns, uint64_t b_ns)
{
    return a_ns > b_ns ? a_ns : b_ns;
}

/* Is one more worth it, if it comes after so long? That time is for each that waits, and for that
 * one, which could have been in the call behind. */
static bool batch_rule_pays(const struct batch_forecast *forecast, uint32_t waiting_count,
                            double next_ns)
{
    double price_ns = (waiting_count + 1.0) * next_ns + waiting_count * forecast->item_ns;
    return price_ns < forecast->fixed_ns;
}

/* So long in vain is enough: it cost what another one would have spared, and those who come mostly
 * do so sooner. Where that is yet to be found out, what a call costs whatever is in it is the most
 * that a wait can be worth. */
static double batch_rule_patience_ns(const struct batch_forecast *forecast, uint32_t waiting_count)
{
    if (forecast->is_due)
        return forecast->fixed_ns;
    double spared_ns = forecast->fixed_ns / (waiting_count + 1.0);
    double usual_ns = BATCH_PATIENCE * forecast->next_ns;
    return spared_ns > usual_ns ? spared_ns : usual_ns;
}

uint64_t batch_rule_due_ns(const struct batch_limits *limits, const struct batch_model *model,
                           const struct batch_moment *moment)
{
    if (moment->waiting_count == 0 || model->is_calling)
        return CLOCK_NEVER;
    if (moment->waiting_count >= limits->count_max || moment->coming_count == 0)
        return 0;
    if (limits->wait_ns == 0 || moment->has_other_work)
        return 0;
    if (!batch_model_has_company(model, moment->oldest_ns, limits->wait_ns))
        return 0;
    struct batch_forecast forecast = batch_model_forecast(model);
    double next_ns = forecast.is_due ? 0 : forecast.next_ns;
    if (!batch_rule_pays(&forecast, moment->waiting_count, next_ns))
        return 0;
    uint64_t due_ns = batch_rule_later(moment->oldest_ns, model->free_ns) + limits->wait_ns;
    uint64_t newest_ns = batch_rule_later(moment->newest_ns, model->free_ns);
    double patience_ns = batch_rule_patience_ns(&forecast, moment->waiting_count);
    if (patience_ns < (double)limits->wait_ns && newest_ns + (uint64_t)patience_ns < due_ns)
        due_ns = newest_ns + (uint64_t)patience_ns;
    return due_ns > moment->now_ns ? due_ns : 0;
}

const char *batch_limits_doubt(const struct batch_limits *limits, bool has_pipe, bool is_asked,
                               uint32_t run_count)
{
    if (!has_pipe)
        return is_asked ? "--batch-max and --batch-wait are for batched pipes, and this pipeline "
                          "has none"
                        : NULL;
    if (run_count == 1 && limits->count_max > 1)
        return "a worker has one run at once, so that each call of a batched pipe is for one: give "
               "--batch-max, or --concurrency";
    if (is_asked && run_count < limits->count_max)
        return "--concurrency is less than --batch-max: no call of a batched pipe has so many runs";
    return NULL;
}
