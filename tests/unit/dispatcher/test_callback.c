/* SPDX-License-Identifier: MIT */
/* test_callback.c - when a result is posted again, and when it is given up. */
#include "tests/unit/dispatcher/played_fetcher.h"

#include "dispatcher/api/callback.h"

static struct callbacks callbacks;

static int callbacks_open(void **state)
{
    int rc = scene_open(state);
    return rc == 0 ? callbacks_init(&callbacks, &reactor, &fetching) : rc;
}

static int callbacks_close(void **state)
{
    callbacks_give_up(&callbacks);
    callbacks_finish(&callbacks);
    return scene_close(state);
}

static void begin_result_of(uint32_t owner, const char *text)
{
    struct text body = {0};
    text_add(&body, "%s", text);
    callback_begin(&callbacks, "run_1", owner, strdup(URL), &body);
    assert_null(body.bytes);
}

/* Each is somebody else's. */
static void begin_result(const char *text)
{
    static uint32_t owner = 1000;
    begin_result_of(owner++, text);
}

/* Timers are of both. */
static void later(uint64_t ms)
{
    uint64_t until_ms = reactor.now_ms + ms;
    struct timer *timer;
    while (timers_next_ms(&reactor.timers) <= until_ms) {
        uint64_t next_ms = timers_next_ms(&reactor.timers);
        reactor.now_ms = next_ms > reactor.now_ms ? next_ms : reactor.now_ms;
        while ((timer = timers_take(&reactor.timers, reactor.now_ms)) != NULL)
            if (timer->kind == TIMER_CALLBACK)
                callbacks_on_timer(&callbacks);
            else
                fetching_on_timer(&fetching);
    }
    reactor.now_ms = until_ms;
}

static void hear_post(const char *text)
{
    char bytes[64] = "";
    hear_url();
    assert_int_equal(played.request.kind, FETCH_POST);
    assert_int_equal(played.request.timeout_ms, FETCH_POST_TIMEOUT_MS);
    assert_int_equal(played.request.bytes, strlen(text));
    assert_int_equal(pread(played.fd, bytes, sizeof(bytes), 0), strlen(text));
    assert_string_equal(bytes, text);
}

static void answer(struct fetch_answer said)
{
    struct uring_ref ref = {URING_FETCHER, 0, fetching.fetcher.generation};
    said.magic = FETCH_MAGIC;
    said.number = played.request.number;
    assert_int_equal(send(played.socket, &said, sizeof(said), 0), sizeof(said));
    fetching_on_fetcher(&fetching, &(struct uring_event){.ref = ref, .result = 1, .more = true});
    later(0);
}

static void answer_status(uint32_t status)
{
    answer((struct fetch_answer){.kind = FETCH_DONE, .status = status});
}

static void answer_fault(enum fetch_fault fault)
{
    answer((struct fetch_answer){.kind = FETCH_FAILED, .fault = fault, .reason = "so it is"});
}

static void a_result_that_is_taken_is_done_with(void **state)
{
    (void)state;
    begin_result("{}");
    assert_int_equal(callbacks.count, 1);
    assert_int_equal(callbacks.bytes, 2);
    later(0);
    hear_post("{}");
    answer_status(204);
    assert_int_equal(callbacks.counts[CALLBACK_DELIVERED], 1);
    assert_int_equal(callbacks.count, 0);
    assert_int_equal(callbacks.bytes, 0);
    assert_true(reactor.has_chores);
    later(5000);
    assert_false(hear());
}

static void one_that_is_not_is_posted_again_after_1_4_16_and_64_seconds_and_given_up(void **state)
{
    (void)state;
    static const uint64_t delays_ms[] = {1000, 4000, 16000, 64000};
    begin_result("{}");
    later(0);
    hear_post("{}");
    for (size_t i = 0; i < ARRAY_COUNT(delays_ms); i++) {
        if (i % 2 == 0)
            answer_status(503);
        else
            answer_fault(FETCH_FAULT_CONNECT);
        later(delays_ms[i] - 1);
        if (fetching.fetcher.state == SERVANT_RUNNING)
            assert_false(hear());
        later(300); /* the fetcher may have gone meanwhile */
        hear_post("{}");
    }
    answer_status(500);
    assert_int_equal(callbacks.counts[CALLBACK_GIVEN_UP], 1);
    assert_int_equal(callbacks.retry_count, 4);
    assert_int_equal(callbacks.count, 0);
    later(1000000);
    assert_int_equal(callbacks.counts[CALLBACK_GIVEN_UP], 1);
}

static void what_may_be_different_next_time_is_tried_again_and_nothing_else(void **state)
{
    (void)state;
    static const struct {
        uint32_t status;
        enum fetch_fault fault;
        bool again;
    } rows[] = {
        {200, 0, false},
        {299, 0, false},
        {301, 0, false},
        {307, 0, false},
        {400, 0, false},
        {404, 0, false},
        {408, 0, true},
        {409, 0, false},
        {410, 0, false},
        {429, 0, true},
        {500, 0, true},
        {599, 0, true},
        {0, FETCH_FAULT_CONNECT, true},
        {0, FETCH_FAULT_TIMEOUT, true},
        {0, FETCH_FAULT_ANSWER, true},
        {0, FETCH_FAULT_OURS, true},
        {0, FETCH_FAULT_ADDRESS, false},
        {0, FETCH_FAULT_URL, false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        begin_result("{}");
        later(0);
        hear_post("{}");
        if (rows[i].status > 0)
            answer_status(rows[i].status);
        else
            answer_fault(rows[i].fault);
        if (callbacks.count != rows[i].again)
            fail_msg("row %zu", i);
        callbacks_give_up(&callbacks);
    }
}

static void a_fetcher_that_dies_costs_an_attempt(void **state)
{
    (void)state;
    begin_result("{}");
    later(0);
    hear_post("{}");
    struct uring_ref ref = {URING_FETCHER, 0, fetching.fetcher.generation};
    descriptor_close(&played.socket);
    fetching_on_fetcher(&fetching, &(struct uring_event){.ref = ref, .result = 1, .more = true});
    assert_int_equal(callbacks.retry_count, 1);
    later(1500);
    hear_post("{}");
    answer_status(200);
    assert_int_equal(callbacks.counts[CALLBACK_DELIVERED], 1);
}

static void so_many_are_posted_at_once_and_the_rest_follows(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < FETCH_POST_COUNT_MAX + 2; i++)
        begin_result("{}");
    later(0);
    for (uint32_t i = 0; i < FETCH_POST_COUNT_MAX; i++)
        hear_post("{}");
    assert_false(hear());
    assert_int_equal(callbacks.posting_count, FETCH_POST_COUNT_MAX);
    answer_status(503);
    hear_post("{}"); /* one that was not tried yet */
    answer_status(200);
    hear_post("{}");
    assert_false(hear());
    assert_int_equal(callbacks.count, FETCH_POST_COUNT_MAX + 1);
}

static void what_there_is_no_room_for_is_dropped(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < CALLBACK_COUNT_MAX + 3; i++)
        begin_result("{}");
    assert_int_equal(callbacks.count, CALLBACK_COUNT_MAX);
    assert_int_equal(callbacks.counts[CALLBACK_DROPPED], 3);
    callbacks_give_up(&callbacks);
    callbacks.bytes = CALLBACK_BYTES_MAX - 3; /* of one that is large */
    callbacks.count = 1;
    begin_result("{}");
    begin_result("{}");
    assert_int_equal(callbacks.count, 2);
    assert_int_equal(callbacks.counts[CALLBACK_DROPPED], 4);
    callbacks.count--;
    callbacks.bytes -= CALLBACK_BYTES_MAX - 3;
    struct text broken = {.failed = true};
    callback_begin(&callbacks, "run_1", 0, strdup(URL), &broken);
    assert_int_equal(callbacks.counts[CALLBACK_DROPPED], 5);
}

static void one_owner_has_neither_all_places_nor_all_room(void **state)
{
    (void)state;
    const uint32_t most = FETCH_SHARE(FETCH_POST_COUNT_MAX);
    for (uint32_t i = 0; i < CALLBACK_COUNT_MAX; i++)
        begin_result_of(1, "{}");
    assert_int_equal(callbacks.count, FETCH_SHARE(CALLBACK_COUNT_MAX));
    later(0);
    for (uint32_t i = 0; i < most; i++)
        hear_post("{}");
    assert_false(hear());
    begin_result_of(2, "{2}");
    later(0);
    hear_post("{2}");
    begin_result_of(3, "{3}");
    begin_result_of(2, "{2}");
    later(0);
    hear_post("{3}");
    assert_false(hear());
    answer_status(200);
    hear_post("{2}"); /* before those that came first */
}

static void a_stop_posts_each_once_more(void **state)
{
    (void)state;
    begin_result("waits");
    later(0);
    hear_post("waits");
    answer_status(503);
    begin_result("is posted");
    later(0);
    hear_post("is posted");
    callbacks_hurry(&callbacks);
    later(0);
    struct fetch_request posted = played.request;
    hear_post("waits");
    answer_status(503);
    assert_int_equal(callbacks.counts[CALLBACK_GIVEN_UP], 1);
    played.request = posted;
    answer_status(503);
    hear_post("is posted");
    answer_status(503);
    assert_int_equal(callbacks.counts[CALLBACK_GIVEN_UP], 2);
    begin_result("comes now");
    later(0);
    hear_post("comes now");
    answer_status(200);
    assert_int_equal(callbacks.counts[CALLBACK_DELIVERED], 1);
    assert_int_equal(callbacks.count, 0);
}

static void those_that_are_left_are_given_up(void **state)
{
    (void)state;
    begin_result("is posted");
    later(0);
    hear_post("is posted");
    begin_result("waits");
    callbacks_give_up(&callbacks);
    assert_int_equal(callbacks.counts[CALLBACK_GIVEN_UP], 2);
    assert_int_equal(callbacks.count, 0);
    assert_int_equal(callbacks.posting_count, 0);
    later(0);
    assert_true(hear());
    assert_int_equal(played.request.kind, FETCH_CANCEL);
}

static void where_nothing_is_sent_any_more_it_is_refused(void **state)
{
    (void)state;
    struct config other = config;
    begin_result("{}");
    later(0);
    hear_post("{}");
    answer_status(503);
    other.fetch_allow = (struct cli_list){.items = {"none"}, .count = 1};
    fetching_follow(&fetching, &other);
    later(2000);
    assert_int_equal(callbacks.counts[CALLBACK_REFUSED], 1);
    fetching_follow(&fetching, &config);
}

#define CALLBACK_TEST(name) cmocka_unit_test_setup_teardown(name, callbacks_open, callbacks_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        CALLBACK_TEST(a_result_that_is_taken_is_done_with),
        CALLBACK_TEST(one_that_is_not_is_posted_again_after_1_4_16_and_64_seconds_and_given_up),
        CALLBACK_TEST(what_may_be_different_next_time_is_tried_again_and_nothing_else),
        CALLBACK_TEST(a_fetcher_that_dies_costs_an_attempt),
        CALLBACK_TEST(so_many_are_posted_at_once_and_the_rest_follows),
        CALLBACK_TEST(what_there_is_no_room_for_is_dropped),
        CALLBACK_TEST(one_owner_has_neither_all_places_nor_all_room),
        CALLBACK_TEST(a_stop_posts_each_once_more),
        CALLBACK_TEST(those_that_are_left_are_given_up),
        CALLBACK_TEST(where_nothing_is_sent_any_more_it_is_refused),
    };
    return cmocka_run_group_tests_name("callback", tests, NULL, NULL);
}
