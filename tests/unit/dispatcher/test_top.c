/* SPDX-License-Identifier: MIT */
/*
 * test_top.c - what `millrace top` shows follows from two states and a size, and fits it.
 */
#include "dispatcher/cli/operate/top_frame.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/cli/operate/cells.h"
#include "dispatcher/cli/operate/top_rates.h"
#include "millrace/check.h"

/* What differs between two states. */
struct moment {
    const char *pointer, *state;
    unsigned completed, failed, lines, counts[3], count;
    double cpu_s;
    unsigned pid;
    unsigned pipeline_count, client_count;
    const char *device; /* of the worker, as JSON; NULL: it has none */
};

static const struct moment first = {"me/words:v1", "ready", 100,  5, 5000, {10, 50, 90},
                                    100,           1.0,     4711, 1, 0,    NULL};

static struct live_state state_of(const struct moment *moment)
{
    struct text json = {0};
    struct json_view root;
    struct json_error error;
    struct live_state state;
    text_add(
        &json,
        "{\"server\":{\"pid\":1,\"version\":\"0.1.0\",\"uptime_s\":192.5,\"state\":\"serving\","
        "\"listen\":[\"127.0.0.1:8080\"],\"connections\":3,\"connections_max\":16384,"
        "\"runs\":2,\"queued\":1,\"input_bytes\":0,\"input_bytes_max\":268435456,"
        "\"output_bytes\":1048576,\"output_bytes_max\":536870912,\"lines\":%u},"
        "\"reload\":{\"state\":\"idle\",\"generation\":3,\"last_result\":null},\"pipelines\":[",
        moment->lines);
    for (unsigned i = 0; i < moment->pipeline_count; i++)
        text_add(&json,
                 "%s{\"pointer\":\"%s\",\"id\":\"p%u\",\"state\":\"%s\",\"phase\":\"served\","
                 "\"drained\":false,\"error\":null,\"active\":2,\"queued\":1,\"completed\":%u,"
                 "\"failed\":%u,\"cancelled\":0,\"lines\":%u,\"first_chunk\":{\"le_s\":"
                 "[0.001,0.01,0.1],\"counts\":[%u,%u,%u],\"count\":%u},\"workers\":[{\"number\":0,"
                 "\"pid\":%u,\"state\":\"ready\",\"age_s\":192,\"active\":2,\"slots\":4,"
                 "\"restarts\":0,\"memory_bytes\":12900000,\"cpu_s\":%f,\"ring_bytes\":1048576,"
                 "\"ring_used_bytes\":262144,\"device\":%s}]}",
                 i > 0 ? "," : "", moment->pointer, i, moment->state, moment->completed,
                 moment->failed, moment->lines, moment->counts[0], moment->counts[1],
                 moment->counts[2], moment->count, moment->pid, moment->cpu_s,
                 moment->device ? moment->device : "null");
    text_add(&json, "],\"aliases\":[],\"clients\":[");
    for (unsigned i = 0; i < moment->client_count; i++)
        text_add(
            &json,
            "%s{\"client\":\"127.0.0.%u\",\"token\":null,\"run\":\"run_1\",\"pipeline\":\"%s\","
            "\"waiting_bytes\":65536,\"quiet_s\":3.2}",
            i > 0 ? "," : "", i, moment->pointer);
    text_add(&json, "]}");
    assert_false(json.failed);
    assert_int_equal(json_view_parse(&root, json.bytes, json.count, &error), 0);
    assert_int_equal(live_state_read(&state, &root), 0);
    text_finish(&json);
    return state;
}

/* The frame of two moments that are two seconds apart, or of one, as a string that the caller
 * frees. */
static char *frame_of(const struct moment *before, const struct moment *now, struct top_view *view)
{
    struct live_state states[2] = {before ? state_of(before) : (struct live_state){0},
                                   state_of(now)};
    const struct top_sample samples[2] = {{&states[0], 10}, {&states[1], 12}};
    struct text out = {0};
    top_frame_add(&out, before ? &samples[0] : NULL, &samples[1], view);
    text_add_bytes(&out, "", 1);
    assert_false(out.failed);
    live_state_finish(&states[0]);
    live_state_finish(&states[1]);
    return out.bytes;
}

static void check(const struct moment *before, const struct moment *now, struct top_view view,
                  const char *expected)
{
    char *frame = frame_of(before, now, &view);
    assert_string_equal(frame, expected);
    free(frame);
}

/* ---- what is shown ------------------------------------------------------------------------- */

/* clang-format off */
#define HEAD(lines)                                                                                \
    "millrace 0.1.0, up 3m12s, serving on 127.0.0.1:8080; configuration 3\n"                       \
    "3 connections, 2 runs, 1 queued, " lines " lines/s, in 0/256M, out 1.0M/512M\n"               \
    "\n"                                                                                           \
    "PIPELINE             STATE    RUNS/S LINES/S ACTIVE QUEUED    P50    P99 FAIL/S\n"
#define WORKER(pid, cpu)                                                                           \
    "  0   ready    pid    " pid " mem  12.3M ring  25% cpu   " cpu " runs 2/4     up 3m12s\n"
#define NO_RATES                                                                                   \
    "me/words:v1          ready         -       -      2      1      -      -      -\n"
#define RATES                                                                                      \
    "me/words:v1          ready      11.0   1.23k      2      1 10.0ms 98.2ms    1.0\n"
#define BEYOND                                                                                     \
    "me/words:v1          ready         0       0      2      1  100ms >100ms      0\n"
/* clang-format on */

static void what_a_second_had_is_the_difference_of_two_moments(void **state)
{
    (void)state;
    struct moment then = first;
    then.completed += 20;
    then.failed += 2;
    then.lines += 2468;
    then.count += 4;
    then.counts[1] += 2; /* two below 10 ms, two below 100 ms */
    then.counts[2] += 4;
    then.cpu_s += 0.9;
    check(&first, &then, (struct top_view){.columns = 80, .shows_workers = true},
          HEAD("1.23k") RATES WORKER("4711", "45%"));
}

static void without_a_moment_before_there_are_no_rates(void **state)
{
    (void)state;
    check(NULL, &first, (struct top_view){.columns = 80, .shows_workers = true},
          HEAD("-") NO_RATES WORKER("4711", "  -"));
}

static void counts_that_begin_anew_and_another_process_are_no_rates(void **state)
{
    (void)state;
    struct moment then = {
        .pointer = "me/words:v1", .state = "ready", .pid = 4712, .cpu_s = 0.1, .pipeline_count = 1};
    check(&first, &then, (struct top_view){.columns = 80, .shows_workers = true},
          HEAD("-") NO_RATES WORKER("4712", "  -"));
}

static void a_wide_screen_has_the_devices_of_workers(void **state)
{
    (void)state;
    struct moment bound = first;
    bound.device = "{\"kind\":\"cuda\",\"index\":2,\"uuid\":null}";
    struct top_view usual = {.columns = 80, .shows_workers = true};
    struct top_view wide = {.columns = 90, .shows_workers = true};
    char *frames[2] = {frame_of(NULL, &bound, &usual), frame_of(NULL, &bound, &wide)};
    assert_null(strstr(frames[0], "cuda"));
    assert_non_null(strstr(frames[1], " runs 2/4     up 3m12s  cuda:2\n"));
    free(frames[0]);
    free(frames[1]);
}

static void a_time_beyond_the_last_bound_is_said_to_be(void **state)
{
    (void)state;
    struct moment then = first;
    then.count += 10;
    then.counts[2] += 5;
    check(&first, &then, (struct top_view){.columns = 80}, HEAD("0") BEYOND);
}

static void a_screen_has_its_rows_its_keys_and_clients(void **state)
{
    (void)state;
    struct moment then = first;
    then.pipeline_count = 20;
    then.client_count = 10;
    struct top_view view = {.columns = 80, .rows = 16, .scroll = 18, .is_paused = true};
    char *frame = frame_of(NULL, &then, &view);
    assert_non_null(strstr(frame, "\npaused: p goes on\n"));
    assert_non_null(strstr(frame, "\nSLOWEST CLIENT        TOKEN         PIPELINE"));
    assert_non_null(strstr(frame, "127.0.0.3             -             me/words:v1"));
    assert_null(strstr(frame, "127.0.0.4")); /* a quarter of the rows */
    assert_non_null(strstr(frame, "\nq quit  p pause  w workers  up/down scroll: 16-20 of 20\n"));
    assert_int_equal(view.scroll, 15);
    free(frame);
}

static void in_color_only_the_color_is_added(void **state)
{
    (void)state;
    struct moment then = first;
    then.state = "quarantined";
    struct top_view plain = {.columns = 80, .rows = 24, .message = "gone"};
    struct top_view colored = plain;
    colored.has_color = true;
    char *frames[2] = {frame_of(NULL, &then, &plain), frame_of(NULL, &then, &colored)};
    assert_non_null(strstr(frames[1], "\033[31mme/words:v1          quarant~"));
    assert_non_null(strstr(frames[1], "\033[31mgone\033[0m\n"));
    assert_null(strchr(frames[0], '\033'));
    free(frames[0]);
    free(frames[1]);
}

/* ---- sizes --------------------------------------------------------------------------------- */

/* The columns a line takes, of which colors take none. */
static size_t columns_of(const char *line, size_t bytes)
{
    char shown[2048] = "";
    size_t count = 0;
    assert_true(bytes < sizeof shown);
    for (size_t i = 0; i < bytes; i++) {
        if (line[i] == '\033')
            while (line[i] != 'm')
                i++;
        else
            shown[count++] = line[i];
    }
    return cells_width(shown);
}

static void a_frame_has_as_many_rows_as_the_screen_and_no_line_is_wider(void **state)
{
    (void)state;
    struct moment then = first;
    then.client_count = 3;
    then.pipeline_count = 3;
    then.pointer = "a-very-long-name-of-somebody/and-a-long-name-of-a-pipeline-\\u001b[2J"
                   "\\u6f22\\u5b57\\u202e:v1.2.3";
    for (uint32_t columns = 1; columns <= 220; columns += columns < 20 ? 1 : 7) {
        for (uint32_t rows = 1; rows <= 60; rows++) {
            struct top_view view = {.columns = columns,
                                    .rows = rows,
                                    .shows_workers = true,
                                    .has_color = rows % 2 == 0,
                                    .scroll = rows * 3};
            char *frame = frame_of(&first, &then, &view);
            uint32_t lines = 0;
            for (char *at = frame, *newline; (newline = strchr(at, '\n')); at = newline + 1) {
                assert_true(columns_of(at, (size_t)(newline - at)) <= columns);
                lines++;
            }
            assert_int_equal(lines, rows);
            free(frame);
        }
    }
}

/* ---- rates --------------------------------------------------------------------------------- */

static void a_quantile_is_linear_within_its_bucket(void **state)
{
    (void)state;
    struct live_times none = {.bound_count = 3, .le_s = {1, 2, 4}};
    struct live_times times = {
        .bound_count = 3, .le_s = {1, 2, 4}, .counts = {0, 50, 100}, .count = 100};
    assert_true(isnan(top_quantile(&none, &none, 0.5)));
    assert_true(isnan(top_quantile(&times, &none, 0.5)));
    assert_true(fabs(top_quantile(&none, &times, 0.25) - 1.5) < 1e-9);
    assert_true(fabs(top_quantile(&none, &times, 0.5) - 2) < 1e-9);
    assert_true(fabs(top_quantile(&none, &times, 0.99) - 3.96) < 1e-9);
    times.count = 200;
    assert_true(isinf(top_quantile(&none, &times, 0.99)));
    struct live_times boundless = {.count = 5};
    assert_true(isnan(top_quantile(&(struct live_times){0}, &boundless, 0.5)));
}

static void pipelines_of_one_pointer_are_told_apart_by_id_and_order(void **state)
{
    (void)state;
    struct moment two = first;
    two.pipeline_count = 2;
    struct live_state before = state_of(&two), now = state_of(&two);
    assert_ptr_equal(top_pipeline_before(&before, &now, 1), &before.pipelines[1]);
    now.pipelines[0].id = before.pipelines[1].id;
    now.pipelines[1].id = before.pipelines[0].id;
    assert_ptr_equal(top_pipeline_before(&before, &now, 1), &before.pipelines[0]);
    now.pipelines[0].id = now.pipelines[1].id = before.pipelines[1].id = before.pipelines[0].id;
    assert_ptr_equal(top_pipeline_before(&before, &now, 1), &before.pipelines[1]);
    before.pipeline_count = 1;
    assert_null(top_pipeline_before(&before, &now, 1));
    assert_null(top_pipeline_before(NULL, &now, 0));
    before.pipeline_count = 2;
    live_state_finish(&before);
    live_state_finish(&now);
}

int main(void)
{
    alarm(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_second_had_is_the_difference_of_two_moments),
        cmocka_unit_test(without_a_moment_before_there_are_no_rates),
        cmocka_unit_test(counts_that_begin_anew_and_another_process_are_no_rates),
        cmocka_unit_test(a_wide_screen_has_the_devices_of_workers),
        cmocka_unit_test(a_time_beyond_the_last_bound_is_said_to_be),
        cmocka_unit_test(a_screen_has_its_rows_its_keys_and_clients),
        cmocka_unit_test(in_color_only_the_color_is_added),
        cmocka_unit_test(a_frame_has_as_many_rows_as_the_screen_and_no_line_is_wider),
        cmocka_unit_test(a_quantile_is_linear_within_its_bucket),
        cmocka_unit_test(pipelines_of_one_pointer_are_told_apart_by_id_and_order),
    };
    return cmocka_run_group_tests_name("top", tests, NULL, NULL);
}
