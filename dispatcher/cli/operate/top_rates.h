/* SPDX-License-Identifier: MIT */
/* top_rates.h - what happened between two moments of a server, by the difference of its counts. */
#ifndef DISPATCHER_TOP_RATES_H
#define DISPATCHER_TOP_RATES_H

#include "dispatcher/cli/operate/live_state.h"

/* NAN: there is no earlier moment to compare with, or nothing happened that it would be made of. */
struct top_rates {
    double runs_per_s; /* that ended, in whatever way */
    double lines_per_s;
    double failed_per_s;
    double p50_s, p99_s; /* until the first chunk; INFINITY: longer than the last bound */
};

/* The pipeline as it was before: of the same pointer and id. NULL: it was not there, or there is no
 * state from before. */
const struct live_pipeline *top_pipeline_before(const struct live_state *before,
                                                const struct live_state *now, uint32_t number);

/* `before` NULL: there is none. */
struct top_rates top_rates(const struct live_pipeline *before, const struct live_pipeline *now,
                           double seconds);

/* The processors that the process kept busy, if it is the same one as before. */
double top_worker_cpu(const struct live_pipeline *before, const struct live_worker *now,
                      double seconds);

/* The time that a share of those that came between the two was below: linear within a bucket. */
double top_quantile(const struct live_times *before, const struct live_times *now, double share);

/* By how much it grew in a second. */
double top_rate(double before, double now, double seconds);

#endif
