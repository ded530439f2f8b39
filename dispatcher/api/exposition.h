/* SPDX-License-Identifier: MIT */
/*
 * exposition.h - metrics as text: Prometheus 0.0.4, or OpenMetrics 1.0 for those who ask for it.
 *
 * A family is announced before its samples, and its samples follow one another.
 */
#ifndef DISPATCHER_EXPOSITION_H
#define DISPATCHER_EXPOSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/reactor/buckets.h"
#include "dispatcher/text/text.h"

enum metric_kind { METRIC_COUNTER = 0, METRIC_GAUGE, METRIC_HISTOGRAM, METRIC_KIND_COUNT };

#define LABELS_BYTES_MAX 1024u

struct exposition {
    struct text text; /* owned by whoever sends it */
    bool is_open;     /* OpenMetrics */
    const char *name; /* of the family at hand */
    enum metric_kind kind;
};

/* `name` and `help` live as long as the samples of the family; the name of a counter is without
 * _total, which is added. */
void exposition_family(struct exposition *out, const char *name, enum metric_kind kind,
                       const char *help);

/* `labels` as labels_add() made them, "" for none. */
void exposition_sample(struct exposition *out, const char *labels, uint64_t value);
void exposition_sample_real(struct exposition *out, const char *labels, double value);
void exposition_histogram(struct exposition *out, const char *labels, const struct buckets *buckets,
                          const struct bucket_scale *scale);

/* After the last one. */
void exposition_end(struct exposition *out);

/* Adds name="value" to the labels, the value escaped; what would not fit is left out. */
void labels_add(char labels[LABELS_BYTES_MAX], const char *name, const char *value);

#endif
