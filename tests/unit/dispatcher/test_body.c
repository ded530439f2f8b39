/* SPDX-License-Identifier: MIT */
/* test_body.c - bodies as they arrive, and the memory that they are counted in. */
#include "dispatcher/reactor/body.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

#define MEMORY_BYTES (8u << 20)
#define FILE_COUNT 2u

static struct input_memory memory;
static char piece[64 * 1024];

static int memory_open(void **state)
{
    (void)state;
    input_memory_init(&memory, MEMORY_BYTES, FILE_COUNT);
    for (size_t i = 0; i < sizeof(piece); i++)
        piece[i] = (char)(i * 7 % 251);
    return 0;
}

static int memory_close(void **state)
{
    (void)state;
    input_memory_finish(&memory);
    return 0;
}

/* So many pieces, one behind the other. */
static int pieces_append(struct body *body, uint32_t count)
{
    int rc = 0;
    for (uint32_t i = 0; i < count && rc == 0; i++)
        rc = body_append(body, &memory, piece, sizeof(piece), MEMORY_BYTES);
    return rc;
}

static void sweep_all(void)
{
    for (int i = 0; i < 100 && input_memory_sweep(&memory); i++)
        ;
}

static void expect_nothing_held(void)
{
    sweep_all();
    assert_int_equal(memory.bytes, 0);
    assert_int_equal(memory.file_count, 0);
}

static void a_small_body_is_memory_and_counted(void **state)
{
    (void)state;
    struct body body = {0};
    assert_int_equal(pieces_append(&body, BODY_MEMORY_BYTES_MAX / sizeof(piece)), 0);
    assert_false(body.is_file);
    assert_int_equal(body.kept.bytes, BODY_MEMORY_BYTES_MAX);
    assert_int_equal(memory.bytes, body.kept.room);
    for (size_t at = 0; at < body.kept.bytes; at += sizeof(piece))
        assert_memory_equal(body.kept.data + at, piece, sizeof(piece));
    body_drop(&body, &memory);
    assert_int_equal(body.kept.bytes, 0);
    assert_null(body.kept.data);
    expect_nothing_held();
}

static void a_byte_more_makes_it_a_file_of_all_its_bytes(void **state)
{
    (void)state;
    static char back[BODY_MEMORY_BYTES_MAX + 1];
    struct body body = {0};
    assert_int_equal(pieces_append(&body, BODY_MEMORY_BYTES_MAX / sizeof(piece)), 0);
    assert_int_equal(body_append(&body, &memory, "!", 1, MEMORY_BYTES), 0);
    assert_true(body.is_file);
    assert_null(body.kept.data);
    assert_int_equal(memory.file_count, 1);
    assert_int_equal(memory.bytes, body.kept.room);
    assert_int_equal(pread(body.fd, back, sizeof(back), 0), sizeof(back));
    for (size_t at = 0; at < BODY_MEMORY_BYTES_MAX; at += sizeof(piece))
        assert_memory_equal(back + at, piece, sizeof(piece));
    assert_int_equal(back[BODY_MEMORY_BYTES_MAX], '!');
    body_drop(&body, &memory);
    expect_nothing_held();
}

static void more_than_fits_is_refused_and_nothing_is_lost(void **state)
{
    (void)state;
    struct body body = {0};
    assert_int_equal(pieces_append(&body, 6), 0);
    memory.bytes_max = memory.bytes + sizeof(piece) - 1;
    uint64_t held = memory.bytes;
    assert_int_equal(body_append(&body, &memory, piece, sizeof(piece), MEMORY_BYTES), -ENOBUFS);
    assert_int_equal(memory.bytes, held);
    assert_int_equal(body.kept.bytes, 6 * sizeof(piece));
    body_drop(&body, &memory);
    expect_nothing_held();
}

static void more_files_than_there_may_be_are_refused(void **state)
{
    (void)state;
    struct body bodies[FILE_COUNT + 1] = {0};
    for (uint32_t i = 0; i <= FILE_COUNT; i++)
        assert_int_equal(pieces_append(&bodies[i], 5), i < FILE_COUNT ? 0 : -ENOBUFS);
    /* A descriptor is free as soon as the file is somebody else's; its bytes are still counted. */
    uint64_t held = memory.bytes;
    body_hand_over(&bodies[0], &memory);
    assert_int_equal(memory.bytes, held);
    assert_int_equal(pieces_append(&bodies[FILE_COUNT], 1), 0);
    for (uint32_t i = 0; i <= FILE_COUNT; i++)
        body_drop(&bodies[i], &memory);
    expect_nothing_held();
}

static void the_memory_of_a_large_file_goes_a_part_at_a_time(void **state)
{
    (void)state;
    struct body body = {0};
    assert_int_equal(pieces_append(&body, 5 * 1024 * 1024 / sizeof(piece)), 0);
    uint64_t held = memory.bytes;
    body_drop(&body, &memory);
    assert_int_equal(memory.bytes, held);
    assert_true(input_memory_sweep(&memory));
    assert_in_range(memory.bytes, held / 2, held - 1);
    assert_int_equal(memory.file_count, 1);
    expect_nothing_held();
}

static void a_buffer_grows_to_its_limit_and_no_further_unless_it_must(void **state)
{
    (void)state;
    struct input_buffer buffer = {0};
    assert_int_equal(input_buffer_reserve(&buffer, &memory, 0, 1500, 3000), 0);
    assert_int_equal(buffer.room, 2048);
    assert_int_equal(input_buffer_reserve(&buffer, &memory, 1500, 1000, 3000), 0);
    assert_int_equal(buffer.room, 3000); /* and not 4096 */
    assert_int_equal(input_buffer_reserve(&buffer, &memory, 1500, 2000, 3000), 0);
    assert_int_equal(buffer.room, 3500);
    memory.bytes_max = 3700;
    assert_int_equal(input_buffer_reserve(&buffer, &memory, 3500, 200, 10000), 0);
    assert_int_equal(buffer.room, 3700); /* twice as much would not fit */
    assert_int_equal(input_buffer_reserve(&buffer, &memory, 3700, 1, 10000), -ENOBUFS);
    assert_int_equal(memory.bytes, 3700);
    input_buffer_free(&buffer, &memory);
    expect_nothing_held();
}

#define BODY_TEST(name) cmocka_unit_test_setup_teardown(name, memory_open, memory_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        BODY_TEST(a_small_body_is_memory_and_counted),
        BODY_TEST(a_byte_more_makes_it_a_file_of_all_its_bytes),
        BODY_TEST(more_than_fits_is_refused_and_nothing_is_lost),
        BODY_TEST(more_files_than_there_may_be_are_refused),
        BODY_TEST(the_memory_of_a_large_file_goes_a_part_at_a_time),
        BODY_TEST(a_buffer_grows_to_its_limit_and_no_further_unless_it_must),
    };
    return cmocka_run_group_tests_name("body", tests, descriptors_note, descriptors_compare);
}
