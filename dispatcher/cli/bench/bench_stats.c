/* SPDX-License-Identifier: MIT */
/* bench_stats.c - counts and distributions of a load run. */
#include "dispatcher/cli/bench/bench_stats.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "dispatcher/config/cli.h"
#include "dispatcher/text/text.h"
#include "millrace/check.h"

static uint32_t stats_bucket_of(uint64_t value)
{
    if (value < HISTOGRAM_STEPS)
        return (uint32_t)value;
    uint32_t power = 63 - (uint32_t)__builtin_clzll(value); /* at least 5 */
    uint32_t step = (uint32_t)(value >> (power - 5)) & (HISTOGRAM_STEPS - 1);
    uint32_t bucket = (power - 4) * HISTOGRAM_STEPS + step;
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The largest value of a bucket. */
static uint64_t stats_bucket_top(uint32_t bucket)
{
    if (bucket < HISTOGRAM_STEPS)
        return bucket;
    uint32_t power = bucket / HISTOGRAM_STEPS + 4;
    uint64_t step = bucket % HISTOGRAM_STEPS;
    return ((HISTOGRAM_STEPS + step + 1) << (power - 5)) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->count++;
    histogram->buckets[stats_bucket_of(value)]++;
    if (value > histogram->max)
        histogram->max = value;
}

uint64_t histogram_quantile(const struct histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)histogram->count);
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen > wanted)
            return stats_bucket_top(i) < histogram->max ? stats_bucket_top(i) : histogram->max;
    }
    return histogram->max;
}

/* In the order of enum bench_bad. */
static const char *const example_names[] = {"failed", "truncated", "wrong", "refused"};
_Static_assert(ARRAY_COUNT(example_names) == BENCH_BAD_COUNT, "one word a kind");

static const struct {
    const char *name, *label;
    size_t offset;
} times[] = {
    {"first_line", "first line", offsetof(struct bench_stats, first_line)},
    {"gap", "gap between reads with lines", offsetof(struct bench_stats, gap)},
    {"total", "whole answer", offsetof(struct bench_stats, total)},
    {"latency", "one way, from t_ns", offsetof(struct bench_stats, latency)},
};

static const struct histogram *stats_times_at(const struct bench_stats *stats, size_t i)
{
    return (const struct histogram *)(const void *)((const char *)stats + times[i].offset);
}

static double stats_per_second(const struct bench_stats *stats, uint64_t count)
{
    return stats->seconds > 0 ? (double)count / stats->seconds : 0;
}

/* What came over the network may be anything, also what a terminal would obey. */
static void stats_examples_print(FILE *file, const struct bench_examples *examples)
{
    for (size_t i = 0; i < BENCH_BAD_COUNT; i++) {
        if (examples->texts[i][0] == '\0')
            continue;
        fprintf(file, "first %-24s ", example_names[i]);
        cli_print(file, examples->texts[i]);
        fputc('\n', file);
    }
}

void bench_stats_print(FILE *file, const struct bench_stats *stats)
{
    fprintf(file, "%-30s %12.3f s\n", "time", stats->seconds);
    fprintf(file, "%-30s %12" PRIu64 "\n", "requests", stats->request_count);
    fprintf(file, "%-30s %12" PRIu64 "   %14.0f /s\n", "complete", stats->complete_count,
            stats_per_second(stats, stats->complete_count));
    fprintf(file, "%-30s %12" PRIu64 "   %14.0f /s\n", "lines", stats->line_count,
            stats_per_second(stats, stats->line_count));
    fprintf(file, "%-30s %12" PRIu64 "   %14.0f /s\n", "bytes", stats->byte_count,
            stats_per_second(stats, stats->byte_count));
    fprintf(file,
            "%-30s %" PRIu64 " failed, %" PRIu64 " truncated, %" PRIu64 " wrong, %" PRIu64
            " left, %" PRIu64 " unfinished, %" PRIu64 " refused\n",
            "other answers", stats->failed_count, stats->truncated_count, stats->wrong_count,
            stats->left_count, stats->unfinished_count, stats->refused_count);
    stats_examples_print(file, &stats->examples);
    if (stats->idle_count > 0)
        fprintf(file, "%-30s %12" PRIu64 "   %" PRIu64 " closed by the server\n",
                "idle connections", stats->idle_count, stats->idle_closed_count);
    fprintf(file, "%-30s %12.3f s %14.0f lines a second of it\n", "CPU of this client",
            stats->cpu_seconds,
            stats->cpu_seconds > 0 ? (double)stats->line_count / stats->cpu_seconds : 0);
    fprintf(file, "%-30s %12s %12s %12s %12s\n", "times in us", "p50", "p90", "p99", "max");
    for (size_t i = 0; i < ARRAY_COUNT(times); i++) {
        const struct histogram *time = stats_times_at(stats, i);
        if (time->count > 0)
            fprintf(file, "%-30s %12.1f %12.1f %12.1f %12.1f\n", times[i].label,
                    (double)histogram_quantile(time, 0.5) / 1e3,
                    (double)histogram_quantile(time, 0.9) / 1e3,
                    (double)histogram_quantile(time, 0.99) / 1e3, (double)time->max / 1e3);
    }
}

static void stats_examples_print_json(FILE *file, const struct bench_examples *examples)
{
    struct text text = {0};
    for (size_t i = 0; i < BENCH_BAD_COUNT; i++) {
        const char *example = examples->texts[i];
        text_add(&text, ",\"first_%s\":", example_names[i]);
        if (example[0] == '\0')
            text_add(&text, "null");
        else
            text_add_json(&text, example, strlen(example));
    }
    if (!text.failed)
        fwrite(text.bytes, 1, text.count, file);
    text_finish(&text);
}

void bench_stats_print_json(FILE *file, const struct bench_stats *stats)
{
    fprintf(file,
            "{\"seconds\":%.6f,\"requests\":%" PRIu64 ",\"complete\":%" PRIu64
            ",\"failed\":%" PRIu64 ",\"truncated\":%" PRIu64 ",\"wrong\":%" PRIu64
            ",\"left\":%" PRIu64 ",\"unfinished\":%" PRIu64 ",\"refused\":%" PRIu64
            ",\"lines\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"warmup_lines\":%" PRIu64
            ",\"idle\":%" PRIu64 ",\"idle_closed\":%" PRIu64 ",\"cpu_seconds\":%.6f",
            stats->seconds, stats->request_count, stats->complete_count, stats->failed_count,
            stats->truncated_count, stats->wrong_count, stats->left_count, stats->unfinished_count,
            stats->refused_count, stats->line_count, stats->byte_count, stats->warmup_line_count,
            stats->idle_count, stats->idle_closed_count, stats->cpu_seconds);
    for (size_t i = 0; i < ARRAY_COUNT(times); i++) {
        const struct histogram *time = stats_times_at(stats, i);
        fprintf(file,
                ",\"%s_ns\":{\"count\":%" PRIu64 ",\"p50\":%" PRIu64 ",\"p90\":%" PRIu64
                ",\"p99\":%" PRIu64 ",\"max\":%" PRIu64 "}",
                times[i].name, time->count, histogram_quantile(time, 0.5),
                histogram_quantile(time, 0.9), histogram_quantile(time, 0.99), time->max);
    }
    stats_examples_print_json(file, &stats->examples);
    fprintf(file, "}\n");
}
