/* SPDX-License-Identifier: MIT */
/*
 * test_segment.c - what a segment consists of, what seals it, and each reason to refuse one.
 */
#include "shm/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "millrace/limits.h"
#include "tests/unit/shm/ring_memory.h"

static const struct segment_options options_small = {
    .slot_count = 3,
    .request_ring_bytes = 4096,
    .reply_ring_bytes = 8192,
    .window_bytes = 1000,
};

static struct segment segment_new(void)
{
    struct segment segment;
    assert_int_equal(segment_create(&segment, &options_small), 0);
    return segment;
}

/* ---- making one ------------------------------------------------------------------------------ */

static void both_ends_see_the_same_constants(void **state)
{
    (void)state;
    struct segment made = segment_new();
    struct segment seen;
    char reason[SEGMENT_REASON_BYTES];
    assert_int_equal(segment_attach(&seen, dup(made.fd), reason), 0);
    assert_int_equal(seen.total_bytes, made.total_bytes);
    assert_memory_equal(&seen.options, &options_small, sizeof options_small);
    assert_int_equal(seen.header->magic, SEGMENT_MAGIC);
    assert_memory_equal(seen.header, "MILLRACE", 8);
    assert_int_equal(seen.header->layout_version, LAYOUT_VERSION);
    assert_true(seen.header->created_ns > 0);
    assert_ptr_not_equal(seen.header, made.header);

    const uint8_t *base_made = (const void *)made.header;
    const uint8_t *base_seen = (const void *)seen.header;
    assert_int_equal((const uint8_t *)seen.slots - base_seen,
                     (const uint8_t *)made.slots - base_made);
    assert_int_equal((const uint8_t *)seen.request_ring - base_seen,
                     (const uint8_t *)made.request_ring - base_made);
    assert_int_equal((const uint8_t *)seen.reply_ring - base_seen,
                     (const uint8_t *)made.reply_ring - base_made);
    segment_detach(&seen);
    segment_detach(&made);
}

static void the_parts_lie_behind_each_other_on_page_boundaries(void **state)
{
    (void)state;
    struct segment made = segment_new();
    const uint8_t *base = (const void *)made.header;
    assert_int_equal((const uint8_t *)made.slots - base, 4096);
    assert_int_equal((const uint8_t *)made.request_ring - base, 8192);
    assert_int_equal((const uint8_t *)made.reply_ring - base, 8192 + 2 * 4096);
    assert_int_equal(made.total_bytes, 8192 + 2 * 4096 + 3 * 4096);
    assert_int_equal(made.total_bytes, segment_bytes(&options_small));
    struct stat status;
    assert_int_equal(fstat(made.fd, &status), 0);
    assert_int_equal(status.st_size, made.total_bytes);
    assert_true((uint64_t)status.st_blocks * 512 >= made.total_bytes); /* no touch can fail */
    segment_detach(&made);
}

static void the_rings_work_from_end_to_end(void **state)
{
    (void)state;
    struct segment made = segment_new();
    struct segment seen;
    char reason[SEGMENT_REASON_BYTES];
    assert_int_equal(segment_attach(&seen, dup(made.fd), reason), 0);
    struct ring_tx tx;
    struct ring_rx rx;
    ring_tx_init(&tx, seen.reply_ring, seen.options.reply_ring_bytes);
    ring_rx_init(&rx, made.reply_ring, made.options.reply_ring_bytes);
    for (uint32_t i = 0; i < 100; i++) {
        void *payload;
        assert_int_equal(ring_claim(&tx, i * 20, &payload), 0);
        pattern_fill(payload, 0, i * 20, i);
        struct record sent = {.bytes = i * 20, .kind = RECORD_CHUNK, .sequence = i};
        ring_commit(&tx, &sent);
        struct record meta;
        const void *peeked;
        assert_int_equal(ring_peek(&rx, &meta, &peeked), 1);
        assert_true(pattern_holds(peeked, i * 20, i));
        ring_release(&rx);
    }
    segment_detach(&seen);
    segment_detach(&made);
}

static void options_out_of_bounds_are_refused(void **state)
{
    (void)state;
    const struct segment_options wrong[] = {
        {0, 4096, 4096, 1},
        {SLOT_COUNT_MAX + 1, 4096, 4096, 1},
        {1, 0, 4096, 1},
        {1, 2048, 4096, 1},
        {1, 4097, 4096, 1},
        {1, 12288, 4096, 1},
        {1, RING_BYTES_MAX * 2, 4096, 1},
        {1, 4096, 0, 1},
        {1, 4096, 2048, 1},
        {1, 4096, 6144, 1},
        {1, 4096, UINT32_MAX, 1},
        {1, 4096, 4096, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        struct segment segment = {.fd = -7};
        assert_int_equal(segment_bytes(&wrong[i]), 0);
        assert_int_equal(segment_create(&segment, &wrong[i]), -EINVAL);
        assert_int_equal(segment.fd, -7);
    }
    const struct segment_options largest = {SLOT_COUNT_MAX, RING_BYTES_MAX, RING_BYTES_MAX, 1};
    assert_true(segment_bytes(&largest) > 2 * (uint64_t)RING_BYTES_MAX);
    assert_true(segment_bytes(&largest) < 2 * (uint64_t)RING_BYTES_MAX + (1u << 20));
}

static void neither_end_can_change_the_size_or_the_seals(void **state)
{
    (void)state;
    struct segment made = segment_new();
    assert_int_equal(ftruncate(made.fd, 4096), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(made.fd, (off_t)made.total_bytes + 4096), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(fcntl(made.fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(fallocate(made.fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)made.total_bytes), 0);
    segment_detach(&made);
}

static void the_descriptor_does_not_survive_an_exec(void **state)
{
    (void)state;
    struct segment made = segment_new();
    assert_int_equal(fcntl(made.fd, F_GETFD), FD_CLOEXEC);
    segment_detach(&made);
}

static void detaching_twice_or_nothing_is_harmless(void **state)
{
    (void)state;
    struct segment none = {.fd = -1};
    segment_detach(&none);
    struct segment made = segment_new();
    int fd = made.fd;
    segment_detach(&made);
    assert_int_equal(made.fd, -1);
    assert_null(made.header);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    segment_detach(&made);
}

/* ---- what the world does wrong --------------------------------------------------------------- */

/* segment_create() under a limit; the limit is back in place afterwards. */
static int create_limited(__rlimit_resource_t resource, rlim_t bound)
{
    struct rlimit before;
    assert_int_equal(getrlimit(resource, &before), 0);
    const struct rlimit limited = {.rlim_cur = bound, .rlim_max = before.rlim_max};
    struct segment segment = {.fd = -7};
    setrlimit(resource, &limited);
    int rc = segment_create(&segment, &options_small);
    setrlimit(resource, &before);
    assert_int_equal(segment.fd, -7);
    return rc;
}

static void no_descriptor_left_is_reported(void **state)
{
    (void)state;
    assert_int_equal(create_limited(RLIMIT_NOFILE, 3), -EMFILE);
}

static void no_memory_left_is_reported_and_leaves_no_descriptor(void **state)
{
    (void)state;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction before;
    assert_int_equal(sigaction(SIGXFSZ, &ignore, &before), 0);
    int count = descriptor_count();
    assert_int_equal(create_limited(RLIMIT_FSIZE, 4096), -EFBIG);
    assert_int_equal(descriptor_count(), count);
    assert_int_equal(sigaction(SIGXFSZ, &before, NULL), 0);
}

static void no_address_space_left_is_reported_and_leaves_no_descriptor(void **state)
{
    (void)state;
    int count = descriptor_count();
    assert_int_equal(create_limited(RLIMIT_AS, 4096), -ENOMEM);
    assert_int_equal(descriptor_count(), count);
}

/* ---- attaching ------------------------------------------------------------------------------- */

/* A failed attach leaves the descriptor with its owner and `out` alone, and says why. */
static void expect_refusal(int fd, int rc, const char *reason)
{
    struct segment segment = {.fd = -7};
    char said[SEGMENT_REASON_BYTES] = "";
    assert_int_equal(segment_attach(&segment, fd, said), rc);
    assert_int_equal(segment.fd, -7);
    if (strstr(said, reason) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", reason, said);
}

static void what_is_no_memfd_is_refused(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    expect_refusal(ends[0], -EBADF, "is not a memfd");
    close(ends[0]);
    close(ends[1]);
    expect_refusal(1000, -EBADF, "descriptor 1000 is not a memfd");
}

static void what_is_not_sealed_is_refused(void **state)
{
    (void)state;
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(ftruncate(fd, 28672), 0);
    expect_refusal(fd, -EPERM, "the memfd is not sealed");
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    expect_refusal(fd, -EPERM, "the memfd is not sealed");
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), 0);
    expect_refusal(fd, -EINVAL, "magic is 0x0000000000000000");
    close(fd);
}

static void what_is_too_small_for_a_header_is_refused(void **state)
{
    (void)state;
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(ftruncate(fd, 4095), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
    expect_refusal(fd, -EINVAL, "the memfd has 4095 bytes, less than a header");
    close(fd);
}

static void what_is_not_writable_is_refused(void **state)
{
    (void)state;
    struct segment made = segment_new();
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", made.fd);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    expect_refusal(fd, -EACCES, "mmap: Permission denied");
    close(fd);
    segment_detach(&made);
}

static void every_constant_has_its_own_refusal(void **state)
{
    (void)state;
    struct segment made = segment_new();
    struct segment_header *header = made.header;
#define WRONG(field, value, rc, reason)                                                            \
    do {                                                                                           \
        __typeof__(field) right = field;                                                           \
        field = value;                                                                             \
        expect_refusal(made.fd, rc, reason);                                                       \
        field = right;                                                                             \
    } while (0)
    WRONG(header->magic, 0x1234, -EINVAL, "magic is 0x0000000000001234");
    char versions[64];
    snprintf(versions, sizeof versions, "layout version is 1, this program speaks %u",
             LAYOUT_VERSION);
    WRONG(header->layout_version, 1, -EPROTO, versions);
    WRONG(header->header_bytes, 4095, -EINVAL, "header_bytes is 4095");
    WRONG(header->total_bytes, 28671, -EINVAL, "total_bytes is 28671, the memfd has 28672");
    const char *bounds[] = {
        "slot_count 0, request_ring_bytes 4096, reply_ring_bytes 8192 or window_bytes 1000 is out "
        "of bounds",
        "slot_count 3, request_ring_bytes 4095, reply_ring_bytes 8192 or window_bytes 1000 is out "
        "of bounds",
        "slot_count 3, request_ring_bytes 4096, reply_ring_bytes 9192 or window_bytes 1000 is out "
        "of bounds",
        "slot_count 3, request_ring_bytes 4096, reply_ring_bytes 8192 or window_bytes 0 is out of "
        "bounds",
    };
    WRONG(header->slot_count, 0, -EINVAL, bounds[0]);
    WRONG(header->request_ring_bytes, 4095, -EINVAL, bounds[1]);
    WRONG(header->reply_ring_bytes, 9192, -EINVAL, bounds[2]);
    WRONG(header->window_bytes, 0, -EINVAL, bounds[3]);
    WRONG(header->slot_count, 33, -EINVAL, "the sizes add up to 32768 bytes, not 28672");
    WRONG(header->reply_ring_bytes, 4096, -EINVAL, "the sizes add up to 24576 bytes, not 28672");
    WRONG(header->slots_offset, 0, -EINVAL, "slots_offset is 0");
    WRONG(header->request_ring_offset, 8191, -EINVAL, "request_ring_offset is 8191");
    WRONG(header->reply_ring_offset, UINT64_MAX, -EINVAL,
          "reply_ring_offset is 18446744073709551615");
    WRONG(made.request_ring->capacity, 8192, -EINVAL, "the request ring's capacity is 8192");
    WRONG(made.reply_ring->capacity, 4096, -EINVAL, "the reply ring's capacity is 4096");
#undef WRONG
    struct segment seen;
    char reason[SEGMENT_REASON_BYTES];
    assert_int_equal(segment_attach(&seen, dup(made.fd), reason), 0);
    segment_detach(&seen);
    segment_detach(&made);
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_see_the_same_constants),
        cmocka_unit_test(the_parts_lie_behind_each_other_on_page_boundaries),
        cmocka_unit_test(the_rings_work_from_end_to_end),
        cmocka_unit_test(options_out_of_bounds_are_refused),
        cmocka_unit_test(neither_end_can_change_the_size_or_the_seals),
        cmocka_unit_test(the_descriptor_does_not_survive_an_exec),
        cmocka_unit_test(detaching_twice_or_nothing_is_harmless),
        cmocka_unit_test(no_descriptor_left_is_reported),
        cmocka_unit_test(no_memory_left_is_reported_and_leaves_no_descriptor),
        cmocka_unit_test(no_address_space_left_is_reported_and_leaves_no_descriptor),
        cmocka_unit_test(what_is_no_memfd_is_refused),
        cmocka_unit_test(what_is_not_sealed_is_refused),
        cmocka_unit_test(what_is_too_small_for_a_header_is_refused),
        cmocka_unit_test(what_is_not_writable_is_refused),
        cmocka_unit_test(every_constant_has_its_own_refusal),
    };
    return cmocka_run_group_tests(tests, descriptors_note, descriptors_compare);
}
