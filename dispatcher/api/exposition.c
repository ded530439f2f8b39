/* SPDX-License-Identifier: MIT */
/* exposition.c - families, samples, labels. */
#include "dispatcher/api/exposition.h"

#include <stdio.h>
#include <string.h>

#include "dispatcher/text/put.h"
#include "millrace/check.h"

#define SAMPLE_BYTES_MAX (LABELS_BYTES_MAX + 256u)

static const char *const kind_names[METRIC_KIND_COUNT] = {
    [METRIC_COUNTER] = "counter",
    [METRIC_GAUGE] = "gauge",
    [METRIC_HISTOGRAM] = "histogram",
};

static void exposition_sample_number(struct exposition *out, const char *end, const char *labels,
                                     uint64_t value);
static void sample(struct exposition *out, const char *end, const char *labels, const char *value);
static bool exposition_value_put(char labels[LABELS_BYTES_MAX], size_t *count, char c);

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

void exposition_sample(struct exposition *out, const char *labels, uint64_t value)
{
    mr_assert(out->kind != METRIC_HISTOGRAM);
    exposition_sample_number(out, out->kind == METRIC_COUNTER ? "_total" : "", labels, value);
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
    size_t count = strlen(labels);
    mr_assert(out->kind == METRIC_HISTOGRAM);
    mr_assert(count < LABELS_BYTES_MAX);
    memcpy(bound, labels, count);
    for (uint32_t i = 0; i <= scale->count; i++) {
        total += buckets->counts[i];
        bound[count] = '\0';
        labels_add(bound, "le", i < scale->count ? scale->texts[i] : "+Inf");
        exposition_sample_number(out, "_bucket", bound, total);
    }
    if (scale->is_of_items) {
        exposition_sample_number(out, "_sum", labels, buckets->sum);
    } else {
        snprintf(text, sizeof(text), "%.9f", (double)buckets->sum / 1e9);
        sample(out, "_sum", labels, text);
    }
    exposition_sample_number(out, "_count", labels, total);
}

void exposition_end(struct exposition *out)
{
    if (out->is_open)
        text_add(&out->text, "# EOF\n");
}

void labels_add(char labels[LABELS_BYTES_MAX], const char *name, const char *value)
{
    size_t before = strlen(labels), name_bytes = strlen(name), count = before;
    bool fits = before + name_bytes + 4 < LABELS_BYTES_MAX;
    if (fits) {
        if (count > 0)
            labels[count++] = ',';
        memcpy(labels + count, name, name_bytes);
        count += name_bytes;
        labels[count++] = '=';
        labels[count++] = '"';
    }
    for (; *value && fits; value++)
        fits = exposition_value_put(labels, &count, *value);
    fits = fits && count + 1 < LABELS_BYTES_MAX;
    if (fits)
        labels[count++] = '"';
    labels[fits ? count : before] = '\0'; /* no half of a label */
}

/* One line, written where it will be, and without a format: there may be thousands. */
static struct put exposition_sample_begin(struct exposition *out, const char *end,
                                          const char *labels)
{
    char *room = text_reserve(&out->text, SAMPLE_BYTES_MAX);
    struct put line = {room, room ? room + SAMPLE_BYTES_MAX : NULL};
    if (!room)
        return line;
    put_text(&line, out->name);
    put_text(&line, end);
    if (labels[0]) {
        PUT(&line, "{");
        put_text(&line, labels);
        PUT(&line, "}");
    }
    PUT(&line, " ");
    return line;
}

static void exposition_sample_end(struct exposition *out, struct put *line)
{
    PUT(line, "\n");
    out->text.count = (size_t)(line->at - out->text.bytes);
}

static void sample(struct exposition *out, const char *end, const char *labels, const char *value)
{
    struct put line = exposition_sample_begin(out, end, labels);
    if (!line.at)
        return;
    put_text(&line, value);
    exposition_sample_end(out, &line);
}

static void exposition_sample_number(struct exposition *out, const char *end, const char *labels,
                                     uint64_t value)
{
    struct put line = exposition_sample_begin(out, end, labels);
    if (!line.at)
        return;
    put_number(&line, value);
    exposition_sample_end(out, &line);
}

/* Appends one character, or as many as it takes to escape it; false: it does not fit. */
static bool exposition_value_put(char labels[LABELS_BYTES_MAX], size_t *count, char c)
{
    bool is_special = c == '"' || c == '\\' || c == '\n';
    if (*count + is_special + 1 >= LABELS_BYTES_MAX)
        return false;
    if (is_special)
        labels[(*count)++] = '\\';
    labels[(*count)++] = c == '\n' ? 'n' : c;
    return true;
}
