/* SPDX-License-Identifier: MIT */
/* test_fetching_lies.c - a fetcher that says what cannot be loses what it had, and no more. */
#include "tests/unit/dispatcher/played_fetcher.h"

static void what_cannot_be_said_ends_it(void **state)
{
    (void)state;
    static const struct fetch_answer lies[] = {
        {.kind = FETCH_DONE, .number = 2, .status = 200},
        {.kind = FETCH_DONE, .number = 0, .status = 200},
        {.kind = FETCH_DONE, .number = UINT64_MAX, .status = 200},
        {.kind = FETCH_DONE, .number = 1},
        {.kind = FETCH_DONE, .number = 1, .status = 404},
        {.kind = FETCH_DONE, .number = 1, .status = 1000},
        {.kind = FETCH_DONE, .number = 1, .status = 200, .bytes = 1},
        {.kind = FETCH_DONE, .number = 1, .status = 200, .bytes = 4097},
        {.kind = FETCH_PROGRESS, .number = 1, .bytes = 4097},
        {.kind = FETCH_PROGRESS, .number = 7, .bytes = 1},
        {.kind = FETCH_FAILED, .number = 1, .reason = "x"},
        {.kind = FETCH_FAILED, .number = 1, .fault = FETCH_FAULT_COUNT, .reason = "x"},
        {.kind = FETCH_FAILED, .number = 1, .fault = FETCH_FAULT_SIZE},
        {.kind = FETCH_FAILED, .number = 1, .fault = FETCH_FAULT_SIZE, .reason = "x\ny"},
        {.kind = FETCH_FAILED, .number = 1, .fault = FETCH_FAULT_SIZE, .reason = "\xff"},
        {.kind = FETCH_FAILED, .number = 1, .fault = FETCH_FAULT_SIZE, .status = 7, .reason = "x"},
        {.kind = FETCH_SAID_COUNT, .number = 1},
        {.kind = FETCH_SAID_NOTHING, .number = 1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(lies); i++) {
        memset(told, 0, sizeof(told));
        begin(0, FETCH_GET);
        pass_after(1000);
        fetching.places[0].number = 1; /* whatever came before */
        uint32_t before = played.kill_count;
        say(lies[i]);
        if (played.kill_count != before + 1 || told[0].failed_count != 1)
            fail_msg("lie %zu is believed", i);
        assert_int_equal(told[0].fault, FETCH_FAULT_OURS);
        pass_after(1000);
    }
}

static void texts_without_an_end_and_packets_of_another_size_end_it(void **state)
{
    (void)state;
    struct fetch_answer answer = {
        .kind = FETCH_FAILED, .number = 1, .fault = FETCH_FAULT_SIZE, .reason = "x"};
    begin(0, FETCH_GET);
    pass_after(0);
    memset(answer.name, 'x', sizeof(answer.name));
    say(answer);
    assert_int_equal(played.kill_count, 1);
    begin(0, FETCH_GET);
    pass_after(1000);
    assert_int_equal(send(played.socket, &answer, sizeof(answer) - 1, 0), sizeof(answer) - 1);
    fetcher_event();
    assert_int_equal(played.kill_count, 2);
    assert_int_equal(told[0].failed_count, 2);
}

static void noise_of_any_kind_ends_nothing_but_the_fetcher(void **state)
{
    (void)state;
    srand(1);
    for (uint32_t i = 0; i < 2000; i++) {
        struct fetch_answer answer = {.kind = (uint32_t)rand() % (FETCH_SAID_COUNT + 1),
                                      .number = (uint64_t)rand() % 4 + fetching.number - 1,
                                      .bytes = (uint64_t)rand() % 2 * 4096,
                                      .status = (uint32_t)rand() % 600,
                                      .fault = (uint32_t)rand() % (FETCH_FAULT_COUNT + 1)};
        answer.reason[0] = (char)(rand() % 200);
        for (uint32_t k = 0; k < 3; k++)
            if (jobs[k].state == FETCH_JOB_NONE)
                begin(k, k == 2 ? FETCH_POST : FETCH_GET);
        pass_after(300);
        while (fetching.fetcher.state == SERVANT_RUNNING && hear())
            continue;
        if (fetching.fetcher.state == SERVANT_RUNNING)
            say(answer);
    }
    assert_true(played.kill_count > 100);
    uint32_t told_count = told[0].done_count + told[0].failed_count;
    assert_true(told_count > 100);
    assert_true(told[2].done_count > 0);
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        FETCHING_TEST(what_cannot_be_said_ends_it),
        FETCHING_TEST(texts_without_an_end_and_packets_of_another_size_end_it),
        FETCHING_TEST(noise_of_any_kind_ends_nothing_but_the_fetcher),
    };
    return cmocka_run_group_tests_name("fetching_lies", tests, NULL, NULL);
}
