/* SPDX-License-Identifier: MIT */
/* exposition.c - families, samples, labels. */
#include "dispatcher/api/exposition.h"

#include <stdio.h>
#include <string.h>

#include "millrace/check.h"

#define SAMPLE_BYTES_MAX (LABELS_BYTES_MAX + 256u)

static const char *const kind_names[METRIC_KIND_COUNT] = {
    [METRIC_COUNTER] = "counter",
    [METRIC_GAUGE] = "gauge",
    [METRIC_HISTOGRAM] = "histogram",
};

void exposition_family(struct exposition *out, const char *name, enum metric_kind kind,
                       const char *help)
{
    mr_assert(kind < METRIC_KIND_COUNT);
    /* In OpenMetrics a counter's family is named without the end of its samples' name. */
    const char *end = kind == METRIC_COUNTER && !out->is_open ? "_total" : "";
    out->name = name;
    out->kind = kind;
    text_add(&out->text, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, end, help, name, end,
             kind_names[kind]);
}

/* One line. It is formatted once, where it will be: there may be thousands. */
static void sample(struct exposition *out, const char *end, const char *labels, const char *value)
{
    char *room = text_reserve(&out->text, SAMPLE_BYTES_MAX);
    if (!room)
        return;
    const char *open = labels[0] ? "{" : "", *close = labels[0] ? "}" : "";
    int count = snprintf(room, SAMPLE_BYTES_MAX, "%s%s%s%s%s %s\n", out->name, end, open, labels,
                         close, value);
    mr_assert(count > 0);
    mr_assert((size_t)count < SAMPLE_BYTES_MAX);
    out->text.count += (size_t)count;
}

static void sample_number(struct exposition *out, const char *end, const char *labels,
                          uint64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    sample(out, end, labels, text);
}

void exposition_sample(struct exposition *out, const char *labels, uint64_t value)
{
    mr_assert(out->kind != METRIC_HISTOGRAM);
    sample_number(out, out->kind == METRIC_COUNTER ? "_total" : "", labels, value);
}

void exposition_sample_real(struct exposition *out, const char *labels, double value)
{
    char text[40];
    mr_assert(out->kind != METRIC_HISTOGRAM);
    snprintf(text, sizeof(text), "%.17g", value);
    sample(out, out->kind == METRIC_COUNTER ? "_total" : "", labels, text);
}

void exposition_histogram(struct exposition *out, const char *labels, const struct buckets *buckets,
                          const struct bucket_scale *scale)
{
    uint64_t total = 0;
    char text[40], bound[LABELS_BYTES_MAX];
    mr_assert(out->kind == METRIC_HISTOGRAM);
    for (uint32_t i = 0; i <= scale->count; i++) {
        total += buckets->counts[i];
        snprintf(bound, sizeof(bound), "%s", labels);
        labels_add(bound, "le", i < scale->count ? scale->texts[i] : "+Inf");
        sample_number(out, "_bucket", bound, total);
    }
    snprintf(text, sizeof(text), "%.9f", (double)buckets->sum_ns / 1e9);
    sample(out, "_sum", labels, text);
    sample_number(out, "_count", labels, total);
}

void exposition_end(struct exposition *out)
{
    if (out->is_open)
        text_add(&out->text, "# EOF\n");
}

void labels_add(char labels[LABELS_BYTES_MAX], const char *name, const char *value)
{
    size_t before = strlen(labels), count = before;
    int written =
        snprintf(labels + count, LABELS_BYTES_MAX - count, "%s%s=\"", count > 0 ? "," : "", name);
    mr_assert(written > 0);
    count += (size_t)written;
    for (; *value && count + 3 < LABELS_BYTES_MAX; value++) {
        if (*value == '"' || *value == '\\' || *value == '\n')
            labels[count++] = '\\';
        labels[count++] = *value == '\n' ? 'n' : *value;
    }
    if (*value || count + 2 > LABELS_BYTES_MAX) {
        labels[before] = '\0'; /* no half of a label */
        return;
    }
    labels[count++] = '"';
    labels[count] = '\0';
}
