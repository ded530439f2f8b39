/* SPDX-License-Identifier: MIT */
/*
 * worker.c - plays the dispatcher for one worker, so that its instructions can be counted.
 *
 *     BUILD=folder worker flood N       one run of N chunks
 *     BUILD=folder worker requests N    N runs of one chunk, one after the other
 *
 * The worker is the program millrace-worker in $BUILD, which may be a script that puts it under
 * callgrind. Rings and window are so large that it never waits in the middle of a run.
 */
#include "tests/unit/worker/harness.h"

#define TEXT_BYTES 64
#define LINES "build/bench/lines.so"

static void begin(struct harness *h, int64_t count)
{
    msgpack_sbuffer request;
    msgpack_packer packer;
    harness_request(&request, &packer, 3);
    msgpack_pack_int64(&packer, count);
    msgpack_pack_int64(&packer, TEXT_BYTES);
    msgpack_pack_int64(&packer, 0);
    harness_run(h, 0, &request);
}

/* Reads one run to its end. */
static void take(struct harness *h, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        struct harness_record record = harness_next(h);
        assert_int_equal(record.meta.kind, RECORD_CHUNK);
        assert_int_equal(record.meta.sequence, i);
        free(record.payload);
    }
    harness_expect_end(h, 0, (uint32_t)count);
}

static void work(const char *mode, int64_t count)
{
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = LINES,
                                                .window_bytes = 1u << 30,
                                                .reply_ring_bytes = 64u << 20});
    harness_expect_ready(&h);
    harness_wait_asleep(&h);
    bool is_flood = strcmp(mode, "flood") == 0;
    for (int64_t i = 0; i < (is_flood ? 1 : count); i++) {
        begin(&h, is_flood ? count : 1);
        /* Whoever reads wakes whom it reads from, if that sleeps: so only when it does. */
        harness_wait_asleep(&h);
        take(&h, is_flood ? count : 1);
    }
    harness_stop(&h);
}

static const char *mode;
static int64_t count;

static void test_work(void **state)
{
    (void)state;
    work(mode, count);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    mode = argv[1];
    count = strtoll(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_work)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
