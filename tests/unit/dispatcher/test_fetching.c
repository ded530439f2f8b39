/* SPDX-License-Identifier: MIT */
/*
 * test_fetching.c - what waits for the fetcher, what it is told, and what becomes of it when that
 * fails.
 */
#include "tests/unit/dispatcher/played_fetcher.h"

/* ---- what is done ---- */

static void a_file_is_asked_for_and_told(void **state)
{
    (void)state;
    begin(0, FETCH_GET);
    assert_int_equal(played.start_count, 0); /* nothing is done before the end of the pass */
    pass_after(0);
    hear_url();
    assert_int_equal(played.request.kind, FETCH_GET);
    assert_int_equal(played.request.bytes, 4096);
    assert_int_equal(played.request.timeout_ms, 10000);
    assert_false(hear());
    assert_int_equal(ftruncate(jobs[0].fd, 4000), 0);
    say((struct fetch_answer){.kind = FETCH_PROGRESS, .number = 1, .bytes = 3000});
    assert_int_equal(told[0].result.bytes, 3000);
    say((struct fetch_answer){
        .kind = FETCH_DONE, .number = 1, .status = 200, .bytes = 4000, .name = "x y"});
    assert_int_equal(told[0].done_count, 1);
    assert_int_equal(told[0].result.bytes, 4000);
    assert_int_equal(told[0].result.status, 200);
    assert_string_equal(told[0].text, "x y");
    assert_int_equal(played.kill_count, 0);
}

static void a_failure_is_told_as_it_was_said(void **state)
{
    (void)state;
    begin(0, FETCH_POST);
    pass_after(0);
    hear_url();
    assert_int_equal(played.request.kind, FETCH_POST);
    say((struct fetch_answer){.kind = FETCH_FAILED,
                              .number = 1,
                              .fault = FETCH_FAULT_CONNECT,
                              .reason = "nobody is there"});
    assert_int_equal(told[0].failed_count, 1);
    assert_int_equal(told[0].fault, FETCH_FAULT_CONNECT);
    assert_string_equal(told[0].text, "nobody is there");
    begin(0, FETCH_POST);
    pass_after(0);
    hear_url();
    say((struct fetch_answer){.kind = FETCH_DONE, .number = 2, .status = 503});
    assert_int_equal(told[0].result.status, 503);
}

static void urls_that_are_none_or_forbidden_are_refused_at_once(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        int rc;
    } urls[] = {{"file:///etc/passwd", -EINVAL}, {"http://127.0.0.1/", -EACCES}, {URL, 0}};
    for (size_t i = 0; i < ARRAY_COUNT(urls); i++)
        assert_int_equal(fetch_check(&fetching, urls[i].url, strlen(urls[i].url), reason),
                         urls[i].rc);
    struct config other = config;
    other.fetch_allow = (struct cli_list){.items = {"127.0.0.1"}, .count = 1};
    fetching_follow(&fetching, &other);
    assert_int_equal(fetch_check(&fetching, "http://127.0.0.1/", 17, reason), 0);
    other.fetch_allow.items[0] = "none";
    fetching_follow(&fetching, &other);
    assert_int_equal(begin_with(0, FETCH_GET, &ops), -EPERM);
    fetching_follow(&fetching, &config);
    pass_after(0);
    assert_int_equal(played.start_count, 0);
}

static void each_kind_has_its_places_and_the_rest_waits(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < FETCH_GET_COUNT_MAX + 2; i++)
        begin(i, FETCH_GET);
    begin(30, FETCH_POST);
    pass_after(0);
    for (uint32_t i = 0; i < FETCH_GET_COUNT_MAX + 1; i++)
        hear_url();
    assert_int_equal(played.request.kind, FETCH_POST);
    assert_false(hear());
    say((struct fetch_answer){.kind = FETCH_DONE, .number = 5, .status = 200});
    hear_url();
    assert_int_equal(played.request.number, FETCH_GET_COUNT_MAX + 2);
    assert_false(hear());
    assert_int_equal(told[4].done_count, 1);
}

static void so_many_may_wait_and_no_more(void **state)
{
    (void)state;
    static struct fetch_job many[FETCH_WAITING_COUNT_MAX + 1];
    struct fetch_options options = {
        .url = URL, .url_bytes = strlen(URL), .fd = -1, .timeout_ms = 10000, .ops = &ops};
    for (uint32_t i = 0; i < FETCH_WAITING_COUNT_MAX; i++) {
        options.share = i >= FETCH_SHARE(FETCH_WAITING_COUNT_MAX);
        assert_int_equal(fetch_begin(&fetching, &many[i], FETCH_GET, &options, reason), 0);
        if (i + 1 == FETCH_SHARE(FETCH_WAITING_COUNT_MAX)) /* of one */
            assert_int_equal(fetch_begin(&fetching, &many[i + 1], FETCH_GET, &options, reason),
                             -EBUSY);
    }
    assert_int_equal(
        fetch_begin(&fetching, &many[FETCH_WAITING_COUNT_MAX], FETCH_GET, &options, reason),
        -EBUSY);
    for (uint32_t i = 0; i < FETCH_WAITING_COUNT_MAX; i++)
        fetch_drop(&fetching, &many[i]);
    assert_int_equal(fetching.waiting_count, 0);
}

static void nobody_has_all_places_and_who_has_fewest_is_next(void **state)
{
    (void)state;
    const uint32_t most = FETCH_SHARE(FETCH_GET_COUNT_MAX);
    is_one_share = true;
    for (uint32_t i = 0; i < FETCH_GET_COUNT_MAX + 2; i++)
        begin(i, FETCH_GET);
    pass_after(0);
    for (uint32_t i = 0; i < most; i++)
        hear_url();
    assert_false(hear());
    is_one_share = false;
    for (uint32_t i = 30; i < 30 + FETCH_GET_COUNT_MAX - most; i++)
        begin(i, FETCH_GET);
    pass_after(0);
    for (uint32_t i = 30; i < 30 + FETCH_GET_COUNT_MAX - most; i++)
        hear_url();
    assert_false(hear());
    begin(39, FETCH_GET); /* who has none yet goes before those that came first */
    say((struct fetch_answer){.kind = FETCH_DONE, .number = 1, .status = 200});
    hear_url();
    assert_int_equal(jobs[39].state, FETCH_JOB_UNDER_WAY);
    say((struct fetch_answer){.kind = FETCH_DONE, .number = 2, .status = 200});
    hear_url();
    assert_int_equal(jobs[most].state, FETCH_JOB_UNDER_WAY);
    assert_false(hear());
}

static void one_that_waited_for_all_of_its_time_fails(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < FETCH_GET_COUNT_MAX + 1; i++)
        begin(i, FETCH_GET);
    pass_after(0);
    for (uint32_t i = 0; i < 11; i++) {
        assert_int_equal(told[FETCH_GET_COUNT_MAX].failed_count, i == 10);
        pass_after(1000);
        say((struct fetch_answer){.kind = FETCH_ALIVE});
    }
    assert_int_equal(told[FETCH_GET_COUNT_MAX].failed_count, 1);
    assert_int_equal(told[FETCH_GET_COUNT_MAX].fault, FETCH_FAULT_TIMEOUT);
    assert_int_equal(told[0].failed_count, 0); /* which the fetcher will say */
}

static void one_that_is_dropped_is_cancelled_and_its_place_is_free_when_that_was_heard(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < FETCH_GET_COUNT_MAX + 1; i++)
        begin(i, FETCH_GET);
    pass_after(0);
    for (uint32_t i = 0; i < FETCH_GET_COUNT_MAX; i++)
        hear_url();
    fetch_drop(&fetching, &jobs[2]);
    pass_after(0);
    assert_true(hear());
    assert_int_equal(played.request.kind, FETCH_CANCEL);
    assert_int_equal(played.request.number, 3);
    assert_false(hear());
    say((struct fetch_answer){
        .kind = FETCH_FAILED, .number = 3, .fault = FETCH_FAULT_OURS, .reason = "x"});
    hear_url();
    assert_int_equal(told[2].failed_count, 0);
    assert_int_equal(played.kill_count, 0);
}

static void one_that_is_dropped_while_it_waits_is_never_asked_for(void **state)
{
    (void)state;
    begin(0, FETCH_GET);
    begin(1, FETCH_GET);
    fetch_drop(&fetching, &jobs[0]);
    fetch_drop(&fetching, &jobs[0]);
    pass_after(0);
    hear_url();
    assert_false(hear());
}

/* A poll tells that something came, once, and not that there is more of it. */
static void however_much_it_says_at_once_all_of_it_is_heard(void **state)
{
    (void)state;
    struct fetch_answer progress = {.magic = FETCH_MAGIC, .kind = FETCH_PROGRESS, .number = 1};
    begin(0, FETCH_GET);
    pass_after(0);
    hear_url();
    uint32_t count = 0;
    int rc, room = 1 << 20; /* or as much as there may be */
    assert_int_equal(setsockopt(played.socket, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
    do {
        progress.bytes = count + 1;
        rc = (int)send(played.socket, &progress, sizeof(progress), MSG_DONTWAIT);
        count += rc > 0;
    } while (rc > 0 && count < 4096);
    assert_true(count > 4 * FETCH_COUNT_MAX);
    fetcher_event();
    assert_true(told[0].progress_count < count);
    pass_after(100);
    assert_int_equal(told[0].progress_count, count);
}

/* ---- what fails ---- */

static void one_that_dies_fails_what_it_had_and_another_one_does_the_rest(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < FETCH_GET_COUNT_MAX + 1; i++)
        begin(i, FETCH_GET);
    pass_after(0);
    played.stays = true;
    die();
    for (uint32_t i = 0; i < FETCH_GET_COUNT_MAX; i++) {
        assert_int_equal(told[i].failed_count, 1);
        assert_int_equal(told[i].fault, FETCH_FAULT_OURS);
    }
    pass_after(1000);
    assert_int_equal(played.start_count, 1);
    played.stays = false;
    pass_after(100);
    assert_int_equal(played.start_count, 2);
    hear_url();
    say((struct fetch_answer){.kind = FETCH_DONE, .number = played.request.number, .status = 200});
    assert_int_equal(told[FETCH_GET_COUNT_MAX].done_count, 1);
    assert_int_equal(fetching.lost_count, 1);
}

/* Drops all others. */
static void on_failed_drop(struct fetch_job *job, const struct fetch_failure *failure)
{
    on_failed(job, failure);
    for (uint32_t i = 0; i < JOB_COUNT; i++)
        if (jobs[i].state != FETCH_JOB_NONE)
            fetch_drop(&fetching, &jobs[i]);
}

static const struct fetch_ops ops_drop = {NULL, on_done, on_failed_drop};

static void whoever_is_told_may_drop_all_others(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < FETCH_GET_COUNT_MAX + 2; i++)
        assert_int_equal(begin_with(i, FETCH_GET, &ops_drop), 0);
    pass_after(0);
    die();
    assert_int_equal(told[0].failed_count, 1);
    for (uint32_t i = 1; i < JOB_COUNT; i++)
        assert_int_equal(told[i].failed_count, 0);
    assert_int_equal(fetching.waiting_count, 0);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(begin_with(i, FETCH_GET, &ops_drop), 0);
    }
    played.start_error = EAGAIN;
    pass_after(20000);
    assert_int_equal(told[0].failed_count, 2);
    assert_int_equal(told[1].failed_count, 0);
}

static void one_that_says_nothing_is_killed(void **state)
{
    (void)state;
    begin(0, FETCH_GET);
    pass_after(0);
    pass_after(20000);
    say((struct fetch_answer){.kind = FETCH_ALIVE});
    pass_after(29000);
    assert_int_equal(played.kill_count, 0);
    pass_after(2000);
    assert_int_equal(played.kill_count, 1);
    assert_int_equal(told[0].failed_count, 1);
    assert_int_equal(told[0].fault, FETCH_FAULT_OURS);
}

static void one_that_cannot_be_started_fails_all_that_wait(void **state)
{
    (void)state;
    played.start_error = EAGAIN;
    begin(0, FETCH_GET);
    begin(1, FETCH_POST);
    pass_after(0);
    assert_int_equal(told[0].failed_count, 1);
    assert_int_equal(told[1].failed_count, 1);
    played.start_error = 0;
    begin(0, FETCH_GET);
    pass_after(0);
    assert_int_equal(played.start_count, 0); /* not at once again */
    pass_after(300);
    assert_int_equal(played.start_count, 1);
}

static void one_without_anything_to_do_goes(void **state)
{
    (void)state;
    begin(0, FETCH_GET);
    pass_after(0);
    hear_url();
    say((struct fetch_answer){.kind = FETCH_DONE, .number = 1, .status = 200});
    pass_after(59000);
    assert_int_equal(played.kill_count, 0);
    pass_after(3000);
    assert_int_equal(played.kill_count, 1);
    assert_int_equal(fetching.fetcher.state, SERVANT_NONE);
    assert_int_equal(timers_next_ms(&reactor.timers), UINT64_MAX);
    assert_int_equal(fetching.lost_count, 0);
}

static void one_with_other_rules_ends_what_it_has_and_the_next_is_told_the_new_ones(void **state)
{
    (void)state;
    begin(0, FETCH_GET);
    pass_after(0);
    hear_url();
    struct config other = config;
    other.fetch_allow = (struct cli_list){.items = {"10.0.0.0/8", "b.example:81"}, .count = 2};
    fetching_follow(&fetching, &other);
    begin(1, FETCH_GET);
    pass_after(2000);
    assert_false(hear());
    say((struct fetch_answer){.kind = FETCH_DONE, .number = 1, .status = 200});
    pass_after(1000);
    assert_int_equal(told[0].done_count, 1);
    assert_int_equal(played.start_count, 2);
    for (uint32_t i = 0; i < 2; i++) {
        assert_true(hear());
        assert_int_equal(played.request.kind, FETCH_ALLOW);
        assert_string_equal(played.text, other.fetch_allow.items[i]);
    }
    hear_url();
    fetching_follow(&fetching, &config);
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        FETCHING_TEST(a_file_is_asked_for_and_told),
        FETCHING_TEST(a_failure_is_told_as_it_was_said),
        FETCHING_TEST(urls_that_are_none_or_forbidden_are_refused_at_once),
        FETCHING_TEST(each_kind_has_its_places_and_the_rest_waits),
        FETCHING_TEST(so_many_may_wait_and_no_more),
        FETCHING_TEST(nobody_has_all_places_and_who_has_fewest_is_next),
        FETCHING_TEST(one_that_waited_for_all_of_its_time_fails),
        FETCHING_TEST(one_that_is_dropped_is_cancelled_and_its_place_is_free_when_that_was_heard),
        FETCHING_TEST(one_that_is_dropped_while_it_waits_is_never_asked_for),
        FETCHING_TEST(however_much_it_says_at_once_all_of_it_is_heard),
        FETCHING_TEST(one_that_dies_fails_what_it_had_and_another_one_does_the_rest),
        FETCHING_TEST(whoever_is_told_may_drop_all_others),
        FETCHING_TEST(one_that_says_nothing_is_killed),
        FETCHING_TEST(one_that_cannot_be_started_fails_all_that_wait),
        FETCHING_TEST(one_without_anything_to_do_goes),
        FETCHING_TEST(one_with_other_rules_ends_what_it_has_and_the_next_is_told_the_new_ones),
    };
    return cmocka_run_group_tests_name("fetching", tests, NULL, NULL);
}
