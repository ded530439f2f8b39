/* SPDX-License-Identifier: MIT */
/* test_extent.c - what long lines cost: extents, and their share of the pool. */
#include "dispatcher/reactor/extent.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/reactor/out.h"

#define POOL_BYTES (UINT64_C(1) << 20)

static struct out_pool pool;
static struct out_queue queue;

static void put_long(size_t bytes)
{
    char *room = out_long_open(&pool, 6 * bytes);
    assert_non_null(room);
    memset(room, 'l', bytes);
    assert_int_equal(out_long_commit(&pool, &queue, bytes, true), 0);
}

static void a_long_line_counts_as_the_blocks_it_would_fill(void **state)
{
    (void)state;
    assert_int_equal(out_pool_init(&pool, POOL_BYTES), 0);
    const size_t bytes = POOL_BYTES / 4;
    while (pool.extent_cost + 2 * (bytes / OUT_BLOCK_BYTES) < POOL_BYTES / OUT_BLOCK_BYTES)
        put_long(bytes);
    assert_true(pool.extent_cost >= POOL_BYTES / OUT_BLOCK_BYTES / 2);
    assert_true(out_pool_used_bytes(&pool) >= queue.bytes);
    assert_non_null(out_long_open(&pool, bytes));
    uint64_t waiting = queue.bytes;
    uint32_t count = 0;
    while (out_reserve(&pool, &queue, OUT_LINE_BYTES_MAX, true)) {
        out_commit(&queue, OUT_LINE_BYTES_MAX);
        assert_true(++count < POOL_BYTES / OUT_BLOCK_BYTES / 2);
    }
    assert_true(count > 0);
    assert_int_equal(out_long_commit(&pool, &queue, bytes, true), -ENOMEM);
    assert_true(queue.bytes >= waiting + (uint64_t)count * OUT_LINE_BYTES_MAX);
    assert_false(out_pool_has_room(&pool, 1));
    out_clear(&pool, &queue);
    assert_int_equal(pool.extent_cost, 0);
    assert_int_equal(out_pool_used_bytes(&pool), 0);
    assert_int_equal(pool.free_count, pool.block_count);
    put_long(bytes); /* there is room again */
    out_clear(&pool, &queue);
    out_pool_finish(&pool);
}

static void extents_that_nobody_uses_keep_a_bounded_memory(void **state)
{
    (void)state;
    struct extent_pool extents = {0};
    struct extent *taken[6];
    const size_t bytes = EXTENT_KEPT_BYTES_MAX / 4;
    for (size_t i = 0; i < ARRAY_COUNT(taken); i++) {
        taken[i] = extent_take(&extents, bytes);
        assert_non_null(taken[i]);
        taken[i]->bytes[bytes - 1] = 'x';
    }
    for (size_t i = 0; i < ARRAY_COUNT(taken); i++)
        extent_put(&extents, taken[i], bytes);
    assert_int_equal(extents.kept_bytes, EXTENT_KEPT_BYTES_MAX);
    struct extent *again = extent_take(&extents, bytes - 1);
    assert_ptr_equal(again, taken[3]); /* the last that was kept */
    assert_int_equal(extents.kept_bytes, EXTENT_KEPT_BYTES_MAX - bytes);
    extent_put(&extents, again, 1); /* it was touched further before */
    assert_int_equal(extents.kept_bytes, EXTENT_KEPT_BYTES_MAX);
    assert_null(extent_take(&extents, (size_t)1 << 40));
    extent_pool_finish(&extents);
    assert_int_equal(extents.kept_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_line_counts_as_the_blocks_it_would_fill),
        cmocka_unit_test(extents_that_nobody_uses_keep_a_bounded_memory),
    };
    alarm(20);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
