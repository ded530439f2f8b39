/* SPDX-License-Identifier: MIT */
/* test_exposition.c - metrics as text: both formats, labels, histograms. */
#include "dispatcher/api/exposition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

static void expect(struct exposition *out, const char *text)
{
    assert_false(out->text.failed);
    if (out->text.count != strlen(text) || memcmp(out->text.bytes, text, out->text.count) != 0)
        fail_msg("%.*s", (int)out->text.count, out->text.bytes);
    text_finish(&out->text);
}

static void a_family_is_announced_before_its_samples(void **state)
{
    (void)state;
    struct exposition out = {0};
    exposition_family(&out, "a_things", METRIC_COUNTER, "Things.");
    exposition_sample(&out, "", 7);
    exposition_family(&out, "a_depth", METRIC_GAUGE, "How deep.");
    exposition_sample(&out, "of=\"this\"", UINT64_MAX);
    exposition_sample_real(&out, "of=\"that\"", 0.25);
    exposition_end(&out);
    expect(&out, "# HELP a_things_total Things.\n# TYPE a_things_total counter\na_things_total 7\n"
                 "# HELP a_depth How deep.\n# TYPE a_depth gauge\n"
                 "a_depth{of=\"this\"} 18446744073709551615\na_depth{of=\"that\"} 0.25\n");
}

static void openmetrics_names_a_counter_without_its_end_and_ends_itself(void **state)
{
    (void)state;
    struct exposition out = {.is_open = true};
    exposition_family(&out, "a_things", METRIC_COUNTER, "Things.");
    exposition_sample(&out, "", 7);
    exposition_end(&out);
    expect(&out, "# HELP a_things Things.\n# TYPE a_things counter\na_things_total 7\n# EOF\n");
}

static void a_histogram_counts_up_to_each_bound(void **state)
{
    (void)state;
    static const struct bucket_scale scale = {
        .count = 2, .bounds_ns = {1000, 2000}, .texts = {"0.000001", "0.000002"}};
    struct buckets buckets = {0};
    const uint64_t values[] = {0, 1000, 1001, 2000, 2001, 1000000000};
    for (size_t i = 0; i < ARRAY_COUNT(values); i++)
        buckets_add(&buckets, &scale, values[i]);
    struct exposition out = {0};
    exposition_family(&out, "a_seconds", METRIC_HISTOGRAM, "Times.");
    exposition_histogram(&out, "of=\"this\"", &buckets, &scale);
    exposition_end(&out);
    expect(&out, "# HELP a_seconds Times.\n# TYPE a_seconds histogram\n"
                 "a_seconds_bucket{of=\"this\",le=\"0.000001\"} 2\n"
                 "a_seconds_bucket{of=\"this\",le=\"0.000002\"} 4\n"
                 "a_seconds_bucket{of=\"this\",le=\"+Inf\"} 6\n"
                 "a_seconds_sum{of=\"this\"} 1.000006002\na_seconds_count{of=\"this\"} 6\n");
}

static void the_scales_grow_and_say_what_they_are(void **state)
{
    (void)state;
    const struct bucket_scale *scales[] = {&bucket_scale_runs, &bucket_scale_passes};
    for (size_t i = 0; i < ARRAY_COUNT(scales); i++)
        for (uint32_t k = 0; k < scales[i]->count; k++) {
            double seconds = strtod(scales[i]->texts[k], NULL);
            assert_int_equal((uint64_t)(seconds * 1e9 + 0.5), scales[i]->bounds_ns[k]);
            if (k > 0)
                assert_true(scales[i]->bounds_ns[k] > scales[i]->bounds_ns[k - 1]);
        }
}

static void what_would_end_a_label_is_escaped(void **state)
{
    (void)state;
    char labels[LABELS_BYTES_MAX] = "";
    labels_add(labels, "a", "say \"no\"\\\n");
    labels_add(labels, "b", "");
    labels_add(labels, "c", "\xc3\xa4,}");
    assert_string_equal(labels, "a=\"say \\\"no\\\"\\\\\\n\",b=\"\",c=\"\xc3\xa4,}\"");
}

/* With every length: nothing is written past the end, and no half of a label stays. */
static void labels_that_do_not_fit_are_left_out(void **state)
{
    (void)state;
    struct {
        char labels[LABELS_BYTES_MAX];
        char behind[16];
    } room;
    char value[LABELS_BYTES_MAX + 8];
    for (size_t count = 0; count < sizeof(value) - 1; count++) {
        memset(value, count & 1 ? '"' : 'x', count);
        value[count] = '\0';
        memset(&room, 0, sizeof(room));
        labels_add(room.labels, "first", "kept");
        labels_add(room.labels, "second", value);
        size_t bytes = strlen(room.labels);
        assert_true(bytes == strlen("first=\"kept\"") || room.labels[bytes - 1] == '"');
        assert_true(bytes > 12 || count > LABELS_BYTES_MAX / 2 - 16);
        labels_add(room.labels, "third", "x");
        assert_true(strlen(room.labels) < LABELS_BYTES_MAX);
        for (size_t i = 0; i < sizeof(room.behind); i++)
            assert_int_equal(room.behind[i], 0);
    }
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_family_is_announced_before_its_samples),
        cmocka_unit_test(openmetrics_names_a_counter_without_its_end_and_ends_itself),
        cmocka_unit_test(a_histogram_counts_up_to_each_bound),
        cmocka_unit_test(the_scales_grow_and_say_what_they_are),
        cmocka_unit_test(what_would_end_a_label_is_escaped),
        cmocka_unit_test(labels_that_do_not_fit_are_left_out),
    };
    return cmocka_run_group_tests_name("exposition", tests, descriptors_note, descriptors_compare);
}
