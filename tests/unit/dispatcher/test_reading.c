/* SPDX-License-Identifier: MIT */
/*
 * test_reading.c - large bodies on their way through a reader that the test plays: an honest one,
 * and one that ends or hangs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/descriptors.h"
#include "tests/unit/dispatcher/stage_run.h"

#include <cmocka.h>

#include "tests/unit/dispatcher/stage_reading.h"
#include "tests/unit/shm/ring_memory.h"

/* ---- the way through ---- */

static void a_body_of_many_values_goes_to_the_reader_and_then_its_run_starts(void **state)
{
    (void)state;
    struct stage_run run = {.client = upload_many()};
    expect_body(MANY_BYTES);
    assert_true(stage.server->input.bytes >= MANY_BYTES);
    serve(40);
    assert_memory_equal(asked.run_id, "run_", 4);
    assert_true(stage_run_take(&run));
    stage_run_number(&run);
    stage_run_end(&run);
    expect_answer(run.client, 200, NUMBER_OUTPUTS);
    assert_non_null(strstr(answer.lines[0], asked.run_id));
    expect_nothing_held();
}

static void a_body_of_few_values_does_not(void **state)
{
    (void)state;
    uint32_t client = upload(STREAM_PATH, "", READ_INLINE_BYTES_MAX, ' ');
    assert_int_equal(reading()->asked, READ_NONE);
    expect_answer(client, 422, "value_error.jsondecode");
    upload(STREAM_PATH, "", READ_INLINE_BYTES_MAX + 1, ' ');
    expect_body(READ_INLINE_BYTES_MAX + 1);
}

static void what_the_loop_reads_in_one_pass_is_bounded(void **state)
{
    (void)state;
    char body[10000];
    const struct conn *conn = &stage.server->front.conns[stage_connect()];
    memset(body, ',', sizeof(body));
    uint32_t count = 0;
    while (!reading_takes(&stage.server->reading, &conn->body, body, 4000))
        count++;
    assert_true(count >= 2 && count <= 4);
    assert_false(
        reading_takes(&stage.server->reading, &conn->body, body, 40)); /* takes next to no time */
    stage_pass();
    assert_false(reading_takes(&stage.server->reading, &conn->body, body, 4000));
}

static void a_large_body_is_a_file_and_its_payload_is_handed_on_as_one(void **state)
{
    (void)state;
    size_t count = BODY_MEMORY_BYTES_MAX + 10000;
    struct stage_run run = {.client = upload(STREAM_PATH, "", count, ' ')};
    expect_body(count);
    assert_true(stage.server->input.bytes >= count);
    assert_int_equal(stage.server->input.file_count, 0); /* the reader has it alone */
    serve(READ_COPY_BYTES_MAX + 1);
    struct stage_worker *worker = &stage.workers[0];
    struct record start;
    assert_true(stage_request(0, &start));
    assert_int_equal(start.flags, RECORD_BLOB);
    struct message header;
    uint64_t bytes;
    int fd;
    struct iovec parts[] = {{&header, sizeof(header)}, {&bytes, sizeof(bytes)}};
    assert_int_equal(
        descriptors_receive(worker->socket, &(struct packet){parts, 2, &fd, 1}, MSG_DONTWAIT),
        sizeof(header) + sizeof(bytes));
    assert_int_equal(bytes, READ_COPY_BYTES_MAX + 1);
    assert_true(read_file_is_sealed(fd, bytes));
    close(fd);
    (void)run;
    expect_nothing_held();
}

static void a_body_that_comes_while_another_is_read_waits(void **state)
{
    (void)state;
    uint32_t first = upload_many(), second = upload_many();
    expect_body(MANY_BYTES);
    uint64_t number = asked.number;
    assert_int_equal(reading()->waiting_count, 1);
    struct read_answer refused = answer_of_kind(READ_BODY);
    refused.result = -ENOMEM;
    say(refused);
    expect_body(MANY_BYTES);
    assert_true(asked.number > number);
    expect_answer(first, 503, "Out of memory.");
    assert_int_equal(stage.clients[second].count, 0);
}

static void smaller_bodies_come_first_until_a_large_one_has_waited(void **state)
{
    (void)state;
    size_t large = BODY_MEMORY_BYTES_MAX + 1;
    upload_many();
    expect_body(MANY_BYTES);
    upload(STREAM_PATH, "", large, ' ');
    upload(STREAM_PATH, "", MANY_BYTES + 1, ',');
    stage_later(100);
    upload(STREAM_PATH, "", MANY_BYTES + 2, ',');
    const uint64_t order[] = {MANY_BYTES + 1, large, MANY_BYTES + 2};
    for (size_t i = 0; i < ARRAY_COUNT(order); i++) {
        struct read_answer refused = answer_of_kind(READ_BODY);
        refused.result = -ENOMEM;
        say(refused);
        expect_body(order[i]);
    }
}

/* ---- what is wrong with a body ---- */

static void a_refusal_reaches_the_client_as_it_is(void **state)
{
    (void)state;
    uint32_t client = upload_many();
    expect_body(MANY_BYTES);
    struct api_error error;
    struct read_answer refused = answer_of_kind(READ_BODY);
    api_error_invalid(&error, ",7", "no \"value\"", "value_error.jsondecode");
    read_answer_put_error(&refused, &error);
    refused.result = -EINVAL;
    say(refused);
    expect_answer(client, 422,
                  "{\"detail\":[{\"loc\":[\"body\",7],\"msg\":\"no \\\"value\\\"\",\"type\":"
                  "\"value_error.jsondecode\"}]}");
    expect_nothing_held();
}

static void an_input_error_fails_the_run_it_would_have_been(void **state)
{
    (void)state;
    uint32_t client = upload(RESULT_PATH, "", MANY_BYTES, ',');
    expect_body(MANY_BYTES);
    say(answer_of_kind(READ_BODY));
    close(expect_asked(READ_PACK));
    struct api_error error;
    struct read_answer refused = answer_of_kind(READ_PACK);
    api_error_input(&error, "input 0 must be a string");
    read_answer_put_error(&refused, &error);
    refused.result = -EINVAL;
    say(refused);
    expect_answer(client, 400, "input 0 must be a string");
    assert_non_null(strstr(answer.lines[0], asked.run_id));
    expect_nothing_held();
}

static void what_has_no_pipeline_is_answered_and_forgotten(void **state)
{
    (void)state;
    uint32_t client = upload_many();
    expect_body(MANY_BYTES);
    struct read_answer said = answer_of_kind(READ_BODY);
    said.has_pipeline = 1;
    memcpy(said.pipeline, "me/other:v1", 12);
    say(said);
    expect_asked(READ_DROP);
    expect_answer(client, 404, "Pipeline not found");
    expect_nothing_held();
}

static void a_run_that_would_be_refused_is_not_packed(void **state)
{
    (void)state;
    uint32_t client = upload_many();
    expect_body(MANY_BYTES);
    server_stop(stage.server);
    say(answer_of_kind(READ_BODY));
    expect_asked(READ_DROP);
    expect_answer(client, 503, "the server is stopping");
    expect_nothing_held();
}

/* ---- clients that leave, and time ---- */

static void who_leaves_while_waiting_is_forgotten(void **state)
{
    (void)state;
    upload_many();
    uint32_t client = upload(STREAM_PATH, "", MANY_BYTES + 1, ',');
    upload(STREAM_PATH, "", MANY_BYTES + 2, ',');
    expect_body(MANY_BYTES);
    stage_hang_up(client);
    stage_settle();
    assert_true(stage_is_closed(client));
    serve(40);
    expect_body(MANY_BYTES + 2);
}

static void who_leaves_while_the_body_is_read_is_forgotten_with_it(void **state)
{
    (void)state;
    uint32_t client = upload_many();
    expect_body(MANY_BYTES);
    stage_hang_up(client);
    stage_settle();
    assert_true(stage_is_closed(client));
    say(answer_of_kind(READ_BODY));
    expect_asked(READ_DROP);
    expect_nothing_held();
    client = upload_many();
    expect_body(MANY_BYTES);
    say(answer_of_kind(READ_BODY));
    int fd = expect_asked(READ_PACK);
    stage_hang_up(client);
    stage_settle();
    assert_true(stage_is_closed(client));
    pack(fd, 1);
    close(fd);
    say(answer_of_kind(READ_PACK));
    expect_nothing_held();
    assert_int_equal(stage.server->runs.count, 0);
    assert_int_equal(stage.reader_kill_count, 0);
}

static void a_request_whose_time_is_over_is_answered(void **state)
{
    (void)state;
    upload_many();
    expect_body(MANY_BYTES);
    uint32_t client = upload(STREAM_PATH, "X-Request-Timeout: 2\r\n", MANY_BYTES, ',');
    stage_later(1999);
    assert_int_equal(stage.clients[client].count, 0);
    stage_later(2);
    expect_answer(client, 504, "its time was over before");
}

static void a_body_waits_as_long_as_a_run_of_its_pipeline_may(void **state)
{
    (void)state;
    stage.config.pipelines[0].options.queue_timeout_ms = 3000;
    stage.config.pipelines[0].options.run_timeout_ms = 2000;
    upload_many();
    expect_body(MANY_BYTES);
    uint32_t client = upload_many();
    stage_later(1999);
    assert_int_equal(stage.clients[client].count, 0);
    stage_later(2);
    expect_answer(client, 504, "its time was over before");
}

/* Whose it is, only the body says. */
static void until_its_pipeline_is_known_it_waits_as_long_as_any_may(void **state)
{
    stage_close();
    stage_open(&(struct stage_options){.pipeline_count = 2, .queue_count_max = 8});
    stage.config.pipelines[0].options.queue_timeout_ms = 60000;
    stage.config.pipelines[1].options.queue_timeout_ms = 2000;
    uint32_t client = upload_many();
    expect_body(MANY_BYTES);
    stage_later(5000);
    assert_int_equal(stage.clients[client].count, 0);
    struct read_answer parsed = answer_of_kind(READ_BODY);
    parsed.has_pipeline = true;
    snprintf(parsed.pipeline, sizeof parsed.pipeline, "%s", stage.config.pipelines[1].pointer);
    say(parsed);
    stage_later(1);
    expect_answer(client, 504, "its time was over before");
    (void)state;
}

static void the_time_of_a_run_begins_with_its_complete_body(void **state)
{
    (void)state;
    uint32_t client = upload(STREAM_PATH, "X-Request-Timeout: 2\r\n", MANY_BYTES, ',');
    expect_body(MANY_BYTES);
    stage_later(1500);
    serve(40);
    stage_later(501);
    expect_answer(client, 504, "\"type\":\"timeout\"");
}

static void those_that_wait_are_answered_when_the_server_stops(void **state)
{
    (void)state;
    stage.config.stop_timeout_ms = 5000;
    uint32_t clients[] = {upload_many(), upload_many()};
    server_stop(stage.server);
    stage_later(stage.config.stop_timeout_ms + 1);
    for (size_t i = 0; i < ARRAY_COUNT(clients); i++)
        expect_answer(clients[i], 503, "the server is stopping");
    expect_nothing_held();
}

/* ---- what it takes to be rid of one ---- */

static void the_memory_of_a_large_body_is_freed_a_part_in_each_pass(void **state)
{
    (void)state;
    const size_t count = 5 * 1024 * 1024;
    uint32_t client = upload_part(count + 1, count);
    uint64_t held = stage.server->input.bytes;
    assert_true(held >= count);
    assert_int_equal(stage.server->input.file_count, 1);
    stage_hang_up(client);
    for (int passes = 0; stage.server->input.bytes > 0; passes++) {
        uint64_t before = stage.server->input.bytes;
        bool more = stage_loop_pass();
        assert_true(more || stage.server->input.file_count == 0);
        assert_in_range(before - stage.server->input.bytes, 0, count / 2);
        assert_true(passes < 10);
    }
    expect_nothing_held();
    assert_true(stage_is_closed(client));
}

static void a_run_that_waited_with_a_file_lets_go_of_it(void **state)
{
    (void)state;
    struct stage_run runs[2];
    for (int i = 0; i < 2; i++)
        runs[i] = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    uint32_t client = upload_many();
    expect_body(MANY_BYTES);
    serve(READ_COPY_BYTES_MAX + 1);
    assert_int_equal(stage.server->input.bytes, READ_COPY_BYTES_MAX + 1);
    assert_int_equal(stage.server->input.file_count, 1);
    stage_hang_up(client);
    expect_nothing_held();
    for (int i = 0; i < 2; i++)
        stage_run_end(&runs[i]);
}

/* ---- a reader that fails ---- */

static void expect_replaced(void)
{
    stage_reader_gone();
    stage_later(100);
    assert_int_equal(stage.reader_count, 2);
    assert_int_equal(stage.server->reading.lost_count, 1);
}

static void a_reader_that_ends_fails_the_body_it_had_and_no_other(void **state)
{
    (void)state;
    uint32_t first = upload_many(), second = upload_many();
    expect_body(MANY_BYTES);
    expect_replaced();
    expect_answer(first, 500, "the process that read it failed");
    expect_body(MANY_BYTES);
    serve(40);
    struct stage_run run = {.client = second};
    assert_true(stage_run_take(&run));
}

static void a_reader_that_says_nothing_is_given_up(void **state)
{
    (void)state;
    uint32_t client = upload_many();
    expect_body(MANY_BYTES);
    stage_later(READ_TIMEOUT_MS - 1);
    assert_int_equal(stage.reader_kill_count, 0);
    stage_later(2);
    assert_int_equal(stage.reader_kill_count, 1);
    expect_answer(client, 500, "the process that read it failed");
    expect_replaced();
    expect_nothing_held();
}

static void without_a_reader_large_bodies_are_refused_and_small_ones_served(void **state)
{
    (void)state;
    uint32_t client = upload_many();
    stage.reader_error = EAGAIN;
    stage_later(100);
    stage_reader_gone();
    stage_later(10);
    expect_answer(client, 500, "the process that read it failed");
    expect_answer(upload_many(), 503, "cannot be started");
    struct stage_run run = stage_run_begin(STREAM_PATH, RUN_BODY, 1);
    stage_run_end(&run);
    assert_int_equal(answer_to(run.client)->status, 200);
    stage.reader_error = 0;
    stage_later(1001);
    upload_many();
    expect_body(MANY_BYTES);
}

static void more_files_than_there_may_be_are_refused(void **state)
{
    (void)state;
    stage.server->input.file_count_max = 0;
    char text[PIECE_BYTES];
    uint32_t client = stage_connect();
    snprintf(text, sizeof(text), "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %u\r\n\r\n",
             STREAM_PATH, BODY_MEMORY_BYTES_MAX + 1);
    stage_say_bytes(client, text, strlen(text));
    memset(text, ' ', sizeof(text));
    for (size_t i = 0; i <= BODY_MEMORY_BYTES_MAX && !stage.server->front.conns[client].input_lost;
         i += sizeof(text))
        stage_say_bytes(client, text, sizeof(text));
    expect_answer(client, 503, "No memory for this request now.");
    expect_nothing_held();
}

/* That it could not be sent yet is as if it had not been asked. */
static void what_is_put_off_and_then_fails_holds_up_nobody_behind_it(void **state)
{
    (void)state;
    struct rlimit limit, none;
    uint32_t first = upload_many();
    expect_body(MANY_BYTES);
    say(answer_of_kind(READ_BODY));
    close(expect_asked(READ_PACK));
    uint32_t second = upload(STREAM_PATH, "", MANY_BYTES + 1, ',');
    reading()->asked = READ_NONE;
    descriptor_close(&reading()->pack_fd);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){0, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    stage_later(READ_TIMEOUT_MS);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    expect_answer(first, 503, "cannot be asked");
    expect_answer(second, 503, "cannot be asked");
}

#define READING_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        READING_TEST(a_body_of_many_values_goes_to_the_reader_and_then_its_run_starts),
        READING_TEST(a_body_of_few_values_does_not),
        READING_TEST(what_the_loop_reads_in_one_pass_is_bounded),
        READING_TEST(a_large_body_is_a_file_and_its_payload_is_handed_on_as_one),
        READING_TEST(a_body_that_comes_while_another_is_read_waits),
        READING_TEST(smaller_bodies_come_first_until_a_large_one_has_waited),
        READING_TEST(a_refusal_reaches_the_client_as_it_is),
        READING_TEST(an_input_error_fails_the_run_it_would_have_been),
        READING_TEST(what_has_no_pipeline_is_answered_and_forgotten),
        READING_TEST(a_run_that_would_be_refused_is_not_packed),
        READING_TEST(who_leaves_while_waiting_is_forgotten),
        READING_TEST(who_leaves_while_the_body_is_read_is_forgotten_with_it),
        READING_TEST(a_request_whose_time_is_over_is_answered),
        READING_TEST(a_body_waits_as_long_as_a_run_of_its_pipeline_may),
        READING_TEST(until_its_pipeline_is_known_it_waits_as_long_as_any_may),
        READING_TEST(the_time_of_a_run_begins_with_its_complete_body),
        READING_TEST(those_that_wait_are_answered_when_the_server_stops),
        READING_TEST(the_memory_of_a_large_body_is_freed_a_part_in_each_pass),
        READING_TEST(a_run_that_waited_with_a_file_lets_go_of_it),
        READING_TEST(a_reader_that_ends_fails_the_body_it_had_and_no_other),
        READING_TEST(a_reader_that_says_nothing_is_given_up),
        READING_TEST(without_a_reader_large_bodies_are_refused_and_small_ones_served),
        READING_TEST(more_files_than_there_may_be_are_refused),
        READING_TEST(what_is_put_off_and_then_fails_holds_up_nobody_behind_it),
    };
    return cmocka_run_group_tests_name("reading", tests, descriptors_note, descriptors_compare);
}
