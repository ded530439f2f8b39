/* SPDX-License-Identifier: MIT */
/*
 * batch_model.h - what is learned of a batched pipe: what a call costs, and how soon more come.
 *
 * A call of n items takes fixed + n * item. Both are fitted to the last calls, older ones count
 * less and less. How soon another one comes is learned while a batch waits, and then only: clients
 * that get their results together come back together, which an average over all time would not
 * show. Time is an argument; memory is what the struct has.
 */
#ifndef WORKER_BATCH_MODEL_H
#define WORKER_BATCH_MODEL_H

#include <stdbool.h>
#include <stdint.h>

/* Zero has learned nothing. */
struct batch_model {
    double weight, counts, times, squares, products; /* sums over calls, for the fit */
    double watched_ns, came_count; /* how long batches waited, and how many came meanwhile */
    uint64_t free_ns;              /* since when no call is made; 0: since ever */
    uint64_t watch_ns;             /* since when a batch waits, or the last one came to it */
    uint64_t began_ns;             /* of the call that is made, or was */
    uint32_t began_count;          /* its items */
    uint32_t met_count;            /* and those that came while it was made */
    uint32_t hasty_count;          /* batches that did not wait, since one did */
    bool is_calling;
    bool is_over; /* the call is, and the rule was asked since */
    bool is_watching;
};

/* What the model says now. Times in nanoseconds. */
struct batch_forecast {
    double fixed_ns; /* of a call, whatever is in it */
    double item_ns;  /* and of each item */
    double next_ns;  /* until another one comes to a batch that waits; INFINITY: nobody did */
    bool is_due;     /* it is to be found out again how soon others come */
};

/* A call of `count` items begins, and ends. One at a time. */
void batch_model_begin(struct batch_model *model, uint64_t now_ns, uint32_t count);
void batch_model_end(struct batch_model *model, uint64_t now_ns);

/* An item came. Where one thread does all, those that came while a call was made are taken behind
 * it, before the rule is asked. */
void batch_model_come(struct batch_model *model, uint64_t now_ns);

/* The rule was asked; the batch that is there waits, or does not. */
void batch_model_asked(struct batch_model *model, uint64_t now_ns, bool waits);

struct batch_forecast batch_model_forecast(const struct batch_model *model);

/* Were there others, when the last call was made, and did it end no longer than `ns` before? */
bool batch_model_has_company(const struct batch_model *model, uint64_t now_ns, uint64_t ns);

#endif
