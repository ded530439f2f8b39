/* SPDX-License-Identifier: MIT */
/*
 * test_line.c - what clients read of a run: lines, events, the one result, and how each ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/dispatcher/stage_run.h"

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

#define FINAL_LINE_BODY "{\"inputs\":[],\"stream_options\":{\"final_line\":true}}"
#define EVENTS_REQUEST                                                                             \
    "POST /v4/runs/stream HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n"                    \
    "Content-Length: 13\r\n\r\n" RUN_BODY

static int scene_open(void **state)
{
    (void)state;
    stage_open(&(struct stage_options){.concurrency = 4});
    return 0;
}

static int scene_open_two_outputs(void **state)
{
    (void)state;
    stage_open(&(struct stage_options){.concurrency = 4, .plain_output_count = 1});
    return 0;
}

static struct stage_run begin(const char *path)
{
    return stage_run_begin(path, RUN_BODY, 1);
}

static struct stage_run begin_events(void)
{
    struct stage_run run = {.client = stage_connect()};
    stage_say_bytes(run.client, EVENTS_REQUEST, sizeof(EVENTS_REQUEST) - 1);
    assert_true(stage_run_take(&run));
    return run;
}

static void put(struct stage_run *run, const char *payload, size_t bytes)
{
    stage_run_put(run, RECORD_CHUNK, 0, payload, bytes);
}

/* An error of the pipeline that says "why". */
static void put_why(struct stage_run *run)
{
    stage_run_put(run, RECORD_ERROR, 0, "\x93\x04\xa3why\xc0", 7);
}

/* Everything that is under way arrives; the answer so far. */
static const struct client_answer *read_answer(const struct stage_run *run)
{
    return answer_to(run->client);
}

/* What the client has, framing and all, as text. */
static const char *wire(const struct stage_run *run)
{
    static char text[8192];
    const struct stage_client *client = &stage.clients[run->client];
    assert_true(client->count < sizeof(text));
    memcpy(text, client->bytes, client->count);
    text[client->count] = '\0';
    return text;
}

static void expect_text(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no %s in %s", part, text);
}

/* ---- streams ---- */

static void a_line_has_every_field_in_its_place(void **state)
{
    (void)state;
    struct stage_run run = begin(STREAM_PATH);
    const char *id = stage_run_of(&run)->id;
    char expected[64];
    double created = 0, updated = 0;
    int tail = 0;
    snprintf(expected, sizeof(expected), "{\"id\":\"%s\",", id);
    stage_run_number(&run);
    const char *line = read_answer(&run)->lines[0];
    assert_int_equal(strncmp(line, expected, strlen(expected)), 0);
    assert_int_equal(sscanf(line + strlen(expected), "\"created_at\":%lf,\"updated_at\":%lf,%n",
                            &created, &updated, &tail),
                     2);
    assert_true(created > 1e9 && updated >= created);
    assert_string_equal(line + strlen(expected) + tail,
                        "\"pipeline_id\":\"pipeline_00000000000000000000000000000001\","
                        "\"state\":\"running\",\"queue_position\":null,\"inputs\":null," //
                        NUMBER_OUTPUTS ",\"error\":null}");
}

static void the_head_waits_for_the_first_value(void **state)
{
    (void)state;
    struct stage_run run = begin(STREAM_PATH);
    stage_settle();
    assert_int_equal(stage.clients[run.client].count, 0);
    stage_run_number(&run);
    read_answer(&run);
    assert_int_equal(answer.status, 200);
    expect_text(answer.head_text, "Content-Type: application/x-ndjson\r\n");
    expect_text(answer.head_text, "X-Accel-Buffering: no\r\n");
    expect_text(answer.head_text, "Cache-Control: no-store\r\n");
    expect_text(answer.head_text, "Transfer-Encoding: chunked\r\n");
}

static void a_stream_ends_with_trailers_that_say_how(void **state)
{
    (void)state;
    struct stage_run run = begin(STREAM_PATH);
    stage_run_number(&run);
    stage_run_number(&run);
    stage_run_end(&run);
    assert_true(read_answer(&run)->complete);
    expect_text(wire(&run), "\r\n0\r\nMillrace-Run-State: completed\r\nMillrace-Run-Lines: 2\r\n"
                            "\r\n");
}

static void a_stream_that_yields_nothing_is_an_empty_body(void **state)
{
    (void)state;
    struct stage_run run = begin(STREAM_PATH);
    stage_run_end(&run);
    assert_true(read_answer(&run)->complete);
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.body_count, 0);
    expect_text(wire(&run), "\r\n\r\n0\r\nMillrace-Run-State: completed\r\n");
}

static void a_status_line_comes_last_when_asked_for(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, FINAL_LINE_BODY, 1);
    stage_run_number(&run);
    stage_run_end(&run);
    assert_true(read_answer(&run)->complete);
    assert_int_equal(answer.line_count, 2);
    expect_text(answer.lines[1], "\"state\":\"completed\"");
    expect_text(answer.lines[1], "\"outputs\":null,\"error\":null,\"lines\":1}");
}

static void a_failure_after_lines_is_the_last_line(void **state)
{
    (void)state;
    struct stage_run run = begin(STREAM_PATH);
    stage_run_number(&run);
    put_why(&run);
    assert_true(read_answer(&run)->complete);
    assert_int_equal(answer.status, 200);
    expect_text(answer.lines[1], "\"state\":\"failed\"");
    expect_text(answer.lines[1], "\"outputs\":null,\"error\":{\"type\":\"pipeline_error\","
                                 "\"message\":\"why\",\"traceback\":null}}");
    expect_text(wire(&run), "Millrace-Run-State: failed\r\nMillrace-Run-Lines: 1\r\n");
}

static void a_failure_before_any_line_is_an_answer_of_its_own(void **state)
{
    (void)state;
    struct stage_run run = begin(STREAM_PATH);
    put_why(&run);
    assert_true(read_answer(&run)->complete);
    assert_int_equal(answer.status, 200);
    expect_text(answer.head_text, "Content-Length: ");
    expect_text(answer.head_text, "application/x-ndjson");
    assert_int_equal(answer.line_count, 1);
}

static void its_status_is_what_the_configuration_says(void **state)
{
    (void)state;
    stage.config.pipeline_error_status = 500;
    struct stage_run run = begin(STREAM_PATH);
    put_why(&run);
    assert_int_equal(read_answer(&run)->status, 500);
    run = begin(STREAM_PATH);
    stage_run_put(&run, RECORD_ERROR, 0, "\x93\x00\xa1x\xc0", 5);
    assert_int_equal(read_answer(&run)->status, 400);
    expect_text(answer.lines[0], "\"input_error\"");
}

static void a_bad_first_value_is_told_with_the_status_of_an_error(void **state)
{
    (void)state;
    stage.config.pipeline_error_status = 500;
    struct stage_run run = begin(STREAM_PATH);
    put(&run, "\x91\xa1\xff", 3);
    assert_true(read_answer(&run)->complete);
    assert_int_equal(answer.status, 500);
    expect_text(answer.lines[0], "chunk 1 cannot be sent: text that is not valid UTF-8");
}

static void hostile_words_of_an_error_stay_words(void **state)
{
    (void)state;
    static const char payload[] = "\x93\x04\xd9\x0c"
                                  "\"}\n{\\\x00\x01\xff\xc3x\r\x7f"
                                  "\xa2\"\n";
    struct stage_run run = begin(STREAM_PATH);
    stage_run_number(&run);
    stage_run_put(&run, RECORD_ERROR, 0, payload, sizeof(payload) - 1);
    assert_true(read_answer(&run)->complete); /* and every line of it is JSON */
    assert_int_equal(answer.line_count, 2);
    expect_text(answer.lines[1], "\\\"}\\n{\\\\\\u0000\\u0001");
}

static void a_value_longer_than_a_block_is_one_line(void **state)
{
    (void)state;
    struct stage_run run = begin(STREAM_PATH);
    uint8_t head[] = {0x91, 0xdb, 0, 0, 0x9c, 0x40}; /* 40000 bytes */
    uint8_t part[1000];
    memset(part, '\n', sizeof(part)); /* two each as JSON */
    stage_run_put(&run, RECORD_CHUNK, RECORD_MORE, head, sizeof(head));
    for (int i = 0; i < 40; i++) {
        stage_run_put(&run, RECORD_CHUNK, i < 39 ? RECORD_MORE : 0, part, sizeof(part));
        stage_settle();
    }
    stage_run_number(&run);
    assert_int_equal(read_answer(&run)->line_count, 2);
    assert_true(strlen(answer.lines[0]) > 80000);
    expect_text(answer.lines[1], NUMBER_OUTPUTS);
}

static void http_1_0_gets_bytes_until_the_connection_ends(void **state)
{
    (void)state;
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 0);
    stage_run_number(&run);
    stage_run_end(&run);
    read_answer(&run);
    assert_null(strstr(answer.head_text, "chunked"));
    expect_text(answer.head_text, "Connection: close\r\n");
    assert_int_equal(answer.line_count, 1);
    assert_null(strstr(wire(&run), "Millrace-Run-State"));
    stage_hang_up(run.client);
    stage_settle();
    assert_true(stage_is_closed(run.client));
}

static void lines_of_one_pass_leave_as_one_chunk(void **state)
{
    (void)state;
    struct stage_run run = begin(STREAM_PATH);
    stage_run_number(&run);
    stage_settle();
    size_t before = stage.clients[run.client].count;
    for (int i = 0; i < 5; i++)
        stage_run_number(&run);
    stage_settle();
    const char *chunk = wire(&run) + before;
    size_t size = strtoul(chunk, NULL, 16);
    assert_int_equal(strlen(chunk), strcspn(chunk, "\n") + 1 + size + 2);
    assert_int_equal(read_answer(&run)->line_count, 6);
}

/* ---- events ---- */

/* Or under load the line that has waited longest would leave last. */
static void lines_leave_in_the_order_in_which_they_came(void **state)
{
    (void)state;
    struct stage_run runs[3];
    for (uint32_t i = 0; i < 3; i++)
        runs[i] = begin(STREAM_PATH);
    const uint32_t order[] = {1, 2, 0};
    for (uint32_t i = 0; i < 3; i++)
        stage_run_number(&runs[order[i]]);
    stage_pass();
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(stage.clients[runs[order[i]].client].send_number, i + 1);
}

static void events_are_the_same_lines_with_a_blank_one_behind(void **state)
{
    (void)state;
    struct stage_run run = begin_events();
    stage_run_number(&run);
    stage_run_end(&run);
    assert_true(read_answer(&run)->complete);
    expect_text(answer.head_text, "Content-Type: text/event-stream\r\n");
    assert_int_equal(answer.line_count, 2);
    expect_text(answer.lines[0], NUMBER_OUTPUTS ",\"error\":null}");
    assert_string_equal(answer.lines[1], "[DONE]");
    expect_text(wire(&run), "\"error\":null}\n\n");
    expect_text(wire(&run), "data: [DONE]\n\n");
}

static void a_failed_event_stream_says_so_and_is_done(void **state)
{
    (void)state;
    struct stage_run run = begin_events();
    stage_run_number(&run);
    put_why(&run);
    assert_true(read_answer(&run)->complete);
    assert_int_equal(answer.line_count, 3);
    expect_text(wire(&run), "event: error\ndata: {\"id\"");
    assert_string_equal(answer.lines[2], "[DONE]");
}

static void an_event_stream_that_fails_at_once_is_one_all_the_same(void **state)
{
    (void)state;
    struct stage_run run = begin_events();
    put_why(&run);
    assert_true(read_answer(&run)->complete);
    expect_text(answer.head_text, "text/event-stream");
    assert_int_equal(answer.line_count, 2);
}

/* ---- silence ---- */

static void a_silent_stream_gets_blank_lines(void **state)
{
    (void)state;
    stage.config.keepalive_ms = 1000;
    struct stage_run run = begin(STREAM_PATH);
    stage_later(999);
    stage_settle();
    assert_int_equal(stage.clients[run.client].count, 0);
    stage_later(1);
    read_answer(&run);
    assert_int_equal(answer.status, 200); /* said from now on */
    assert_int_equal(answer.body_count, 1);
    stage_later(1000);
    assert_int_equal(read_answer(&run)->body_count, 2);
    expect_text(wire(&run), "\r\n\r\n1\r\n\n\r\n1\r\n\n\r\n");
    stage_run_number(&run);
    stage_settle();
    stage_later(999);
    assert_int_equal(read_answer(&run)->line_count, 1);
    assert_int_equal(answer.body_count, 2 + strlen(answer.lines[0]) + 1);
}

static void a_silent_event_stream_gets_comments(void **state)
{
    (void)state;
    stage.config.keepalive_ms = 1000;
    struct stage_run run = begin_events();
    stage_later(1000);
    assert_string_equal(read_answer(&run)->body, ": keep-alive");
    assert_int_equal(answer.body_count, strlen(": keep-alive\n\n"));
}

static void a_silent_result_and_silence_that_is_allowed_get_nothing(void **state)
{
    (void)state;
    stage.config.keepalive_ms = 1000;
    struct stage_run run = begin(RESULT_PATH);
    stage_later(5000);
    stage_settle();
    assert_int_equal(stage.clients[run.client].count, 0);
    stage.config.keepalive_ms = 0;
    run = begin(STREAM_PATH);
    stage_later(100000);
    stage_settle();
    assert_int_equal(stage.clients[run.client].count, 0);
}

/* ---- results ---- */

static void a_result_is_the_whole_stream_as_an_array(void **state)
{
    (void)state;
    struct stage_run run = begin(RESULT_PATH);
    stage_run_number(&run);
    put(&run, "\x91\xa2hi", 4);
    put(&run, "\x91\x91\xc0", 3);
    stage_settle();
    assert_int_equal(stage.clients[run.client].count, 0);
    stage_run_end(&run);
    assert_true(read_answer(&run)->complete);
    expect_text(answer.head_text, "Content-Type: application/json\r\n");
    expect_text(answer.lines[0], "\"state\":\"completed\"");
    expect_text(answer.lines[0], "\"outputs\":[{\"type\":\"array\",\"value\":[7,\"hi\",[null]],"
                                 "\"file\":null}],\"error\":null}");
}

static void a_result_of_nothing_is_an_empty_array(void **state)
{
    (void)state;
    struct stage_run run = begin(RESULT_PATH);
    stage_run_end(&run);
    expect_text(read_answer(&run)->lines[0],
                "\"outputs\":[{\"type\":\"array\",\"value\":[],\"file\":null}]");
}

static void a_result_that_failed_keeps_no_outputs(void **state)
{
    (void)state;
    struct stage_run run = begin(RESULT_PATH);
    stage_run_number(&run);
    put_why(&run);
    expect_text(read_answer(&run)->lines[0], "\"outputs\":null,\"error\":{");
}

static void a_result_larger_than_its_bound_fails(void **state)
{
    (void)state;
    char text[900] = "\x91\xda\x03\x80";
    memset(text + 4, 'a', sizeof(text) - 4);
    stage.config.body_bytes_max = 10000;
    struct stage_run run = begin(RESULT_PATH);
    for (int i = 0; i < 12; i++) {
        put(&run, text, sizeof(text));
        stage_settle();
    }
    assert_true(read_answer(&run)->complete);
    expect_text(answer.lines[0], "more output than one result may hold");
    assert_int_equal(slot_cancel_reason(stage_run_slot(&run), run.next.generation),
                     CANCEL_BAD_VALUE);
}

static void a_plain_output_stands_beside_the_stream(void **state)
{
    (void)state;
    struct stage_run run = begin(RESULT_PATH);
    put(&run, "\x92\x01\xa1x", 4);
    put(&run, "\x92\x02\xa1y", 4);
    stage_run_end(&run);
    expect_text(read_answer(&run)->lines[0],
                "\"outputs\":[{\"type\":\"array\",\"value\":[1,2],\"file\":null},"
                "{\"type\":\"string\",\"value\":\"x\",\"file\":null}]");
    run = begin(STREAM_PATH);
    put(&run, "\x92\x01\xa1x", 4);
    expect_text(read_answer(&run)->lines[0],
                "\"outputs\":[{\"type\":\"integer\",\"value\":1,\"file\":null},"
                "{\"type\":\"string\",\"value\":\"x\",\"file\":null}]");
}

static void a_plain_output_that_never_came_is_none(void **state)
{
    (void)state;
    struct stage_run run = begin(RESULT_PATH);
    stage_run_end(&run);
    expect_text(read_answer(&run)->lines[0],
                "\"outputs\":[{\"type\":\"array\",\"value\":[],\"file\":null},"
                "{\"type\":\"none\",\"value\":null,\"file\":null}]");
}

#define LINE_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)
#define OUTPUTS_TEST(name)                                                                         \
    cmocka_unit_test_setup_teardown(name, scene_open_two_outputs, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        LINE_TEST(a_line_has_every_field_in_its_place),
        LINE_TEST(the_head_waits_for_the_first_value),
        LINE_TEST(a_stream_ends_with_trailers_that_say_how),
        LINE_TEST(a_stream_that_yields_nothing_is_an_empty_body),
        LINE_TEST(a_status_line_comes_last_when_asked_for),
        LINE_TEST(a_failure_after_lines_is_the_last_line),
        LINE_TEST(a_failure_before_any_line_is_an_answer_of_its_own),
        LINE_TEST(its_status_is_what_the_configuration_says),
        LINE_TEST(a_bad_first_value_is_told_with_the_status_of_an_error),
        LINE_TEST(hostile_words_of_an_error_stay_words),
        LINE_TEST(a_value_longer_than_a_block_is_one_line),
        LINE_TEST(http_1_0_gets_bytes_until_the_connection_ends),
        LINE_TEST(lines_of_one_pass_leave_as_one_chunk),
        LINE_TEST(lines_leave_in_the_order_in_which_they_came),
        LINE_TEST(events_are_the_same_lines_with_a_blank_one_behind),
        LINE_TEST(a_failed_event_stream_says_so_and_is_done),
        LINE_TEST(an_event_stream_that_fails_at_once_is_one_all_the_same),
        LINE_TEST(a_silent_stream_gets_blank_lines),
        LINE_TEST(a_silent_event_stream_gets_comments),
        LINE_TEST(a_silent_result_and_silence_that_is_allowed_get_nothing),
        LINE_TEST(a_result_is_the_whole_stream_as_an_array),
        LINE_TEST(a_result_of_nothing_is_an_empty_array),
        LINE_TEST(a_result_that_failed_keeps_no_outputs),
        LINE_TEST(a_result_larger_than_its_bound_fails),
        OUTPUTS_TEST(a_plain_output_stands_beside_the_stream),
        OUTPUTS_TEST(a_plain_output_that_never_came_is_none),
    };
    return cmocka_run_group_tests_name("line", tests, descriptors_note, descriptors_compare);
}
