/* SPDX-License-Identifier: MIT */
/*
 * test_worker_alloc.c - mr_alloc(): memory that is the run's, zeroed, bounded, and gone with it.
 */
#include "tests/unit/worker/compiler.h"
#include "tests/unit/worker/harness.h"

static void start(struct harness *h, const char *name)
{
    const char *const none[] = {NULL};
    harness_start(
        h, &(struct harness_options){.source = compile("cc", FIXTURES "alloc.c", none, "alloc.so"),
                                     .name = name,
                                     .slot_count = 4});
}

static void run_of(struct harness *h, uint32_t slot, int64_t bytes)
{
    msgpack_sbuffer request;
    msgpack_packer packer;
    harness_request(&request, &packer, 1);
    msgpack_pack_int64(&packer, bytes);
    harness_run(h, slot, &request);
}

static void it_is_zeroed_and_aligned_and_there_until_the_iterator_is_closed(void **state)
{
    (void)state;
    struct harness h;
    start(&h, "taken");
    harness_expect_ready(&h);
    const int64_t sizes[] = {0, 1, 15, 4096, 1 << 20, 1 << 20};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        run_of(&h, 0, sizes[i]);
        harness_expect_chunk(&h, 0, 0, "[0]");
        harness_expect_end(&h, 0, 1);
        char text[64];
        snprintf(text, sizeof text, "closed with %lld bytes", (long long)sizes[i]);
        assert_int_equal(h.log_count, i + 1);
        assert_string_equal(h.logs[i].text, text);
    }
    harness_stop(&h);
}

/* 64 MiB in pieces of 1 MiB, of which each takes a little more. */
static void a_run_has_so_much_of_it_and_fails_when_it_wants_more(void **state)
{
    (void)state;
    struct harness h;
    start(&h, "greedy");
    harness_expect_ready(&h);
    for (uint32_t i = 0; i < 3; i++) {
        run_of(&h, 0, 1 << 20);
        harness_expect_error(&h, 0, ERROR_OOM,
                             "pipe take_all: out of memory: mr_alloc() of 1048576 bytes, a run "
                             "has 67108864 in all");
        assert_int_equal(h.log_count, i + 1);
        assert_string_equal(h.logs[i].text, "63 pieces");
    }
    /* Pieces of nothing are counted, too. */
    run_of(&h, 0, 0);
    harness_expect_error(&h, 0, ERROR_OOM, "mr_alloc() of 0 bytes");
    assert_string_equal(h.logs[3].text, "4194304 pieces");
    harness_stop(&h);
}

static void more_than_there_can_be_is_none(void **state)
{
    (void)state;
    struct harness h;
    start(&h, "taken");
    harness_expect_ready(&h);
    const int64_t sizes[] = {1 << 26, INT64_MAX, -1};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        run_of(&h, 0, sizes[i]);
        harness_expect_error(&h, 0, ERROR_OOM, "pipe take: out of memory: mr_alloc() of ");
    }
    run_of(&h, 0, 1);
    harness_expect_chunk(&h, 0, 0, "[0]");
    harness_expect_end(&h, 0, 1);
    harness_stop(&h);
}

static void a_startup_hook_has_no_run_whose_it_could_be(void **state)
{
    (void)state;
    struct harness h;
    start(&h, "hooked");
    uint8_t body[4096];
    char printed[4096];
    size_t bytes;
    assert_int_equal(harness_message(&h, body, sizeof body, &bytes), MESSAGE_HELLO);
    assert_int_equal(harness_message(&h, body, sizeof body, &bytes), MESSAGE_FAILED);
    harness_print(body, bytes, printed, sizeof printed);
    assert_non_null(strstr(printed, "startup hook 1: mr_alloc() in a startup hook"));
    harness_expect_exit(&h, WORKER_EXIT_STARTUP);
    harness_finish(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_zeroed_and_aligned_and_there_until_the_iterator_is_closed),
        cmocka_unit_test(a_run_has_so_much_of_it_and_fails_when_it_wants_more),
        cmocka_unit_test(more_than_there_can_be_is_none),
        cmocka_unit_test(a_startup_hook_has_no_run_whose_it_could_be),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
