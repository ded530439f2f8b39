/* SPDX-License-Identifier: MIT */
/*
 * test_out.c - what is put into a queue leaves it, in order, framed, and nothing else does.
 *
 * What is lent is decoded by http_body.c, which knows nothing of out.c. Lent memory is copied when
 * it is lent and compared when it comes back: the kernel may be reading it all the time.
 */
#include "dispatcher/reactor/out.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/http/http_body.h"
#include "tests/unit/dispatcher/aborts.h"
#include "tests/unit/shm/ring_memory.h"

#define POOL_BYTES (UINT64_C(1) << 20) /* one slab */
#define WIRE_BYTES_MAX (4u << 20)
#define STEP_COUNT 60000u
#define LINE_BYTES_MAX 50000u

static struct out_pool pool;
static struct out_queue queue;

/* The client's end: every byte that left. */
static struct {
    char bytes[WIRE_BYTES_MAX];
    size_t count;
    uint64_t charge;
} wire;

/* The kernel's end: what was lent, and its copy. */
static struct {
    struct iovec vectors[OUT_IOVEC_COUNT_MAX];
    uint32_t count;
    size_t bytes;
    char copy[OUT_IOVEC_COUNT_MAX * LINE_BYTES_MAX];
} loan;

static int queue_make(void **state)
{
    (void)state;
    memset(&wire, 0, sizeof(wire));
    queue = (struct out_queue){0};
    return out_pool_init(&pool, POOL_BYTES);
}

static int queue_remove(void **state)
{
    (void)state;
    out_pool_finish(&pool);
    return 0;
}

static size_t lend(uint32_t count_max)
{
    loan.count = out_lend(&queue, loan.vectors, count_max);
    loan.bytes = 0;
    assert_true(loan.count <= count_max);
    assert_int_equal(queue.lent_count, loan.count);
    for (uint32_t i = 0; i < loan.count; i++) {
        assert_true(loan.vectors[i].iov_len > 0);
        memcpy(loan.copy + loan.bytes, loan.vectors[i].iov_base, loan.vectors[i].iov_len);
        loan.bytes += loan.vectors[i].iov_len;
    }
    return loan.bytes;
}

/* The kernel took `sent` bytes of the loan, and reads them now. */
static void take(size_t sent)
{
    size_t offset = 0;
    for (uint32_t i = 0; i < loan.count; i++) {
        assert_memory_equal(loan.copy + offset, loan.vectors[i].iov_base, loan.vectors[i].iov_len);
        offset += loan.vectors[i].iov_len;
    }
    assert_true(wire.count + sent <= sizeof(wire.bytes));
    memcpy(wire.bytes + wire.count, loan.copy, sent);
    wire.count += sent;
    wire.charge += out_sent(&pool, &queue, sent);
    assert_int_equal(queue.lent_count, 0);
}

static void send_all(void)
{
    while (lend(OUT_IOVEC_COUNT_MAX) > 0)
        take(loan.bytes);
}

static void put(const char *text, bool chunked)
{
    assert_int_equal(out_append(&pool, &queue, text, strlen(text), chunked), 0);
}

static void expect_wire(const char *text)
{
    assert_int_equal(wire.count, strlen(text));
    assert_memory_equal(wire.bytes, text, wire.count);
    assert_true(out_is_empty(&queue));
}

static void nothing_is_lent_of_an_empty_queue(void **state)
{
    (void)state;
    assert_int_equal(lend(OUT_IOVEC_COUNT_MAX), 0);
    assert_true(out_is_empty(&queue));
    assert_int_equal(out_sent(&pool, &queue, 0), 0);
}

static void plain_bytes_leave_as_they_came(void **state)
{
    (void)state;
    put("head\r\n\r\n", false);
    put("body", false);
    send_all();
    expect_wire("head\r\n\r\nbody");
}

static void lines_put_before_a_send_are_one_chunk(void **state)
{
    (void)state;
    put("one\n", true);
    put("second\n", true);
    send_all();
    expect_wire("b\r\none\nsecond\n\r\n");
}

static void lines_put_during_a_send_are_another_chunk(void **state)
{
    (void)state;
    put("one\n", true);
    lend(OUT_IOVEC_COUNT_MAX);
    put("two\n", true);
    take(loan.bytes);
    assert_false(out_is_empty(&queue));
    send_all();
    expect_wire("4\r\none\n\r\n4\r\ntwo\n\r\n");
}

static void plain_bytes_may_follow_in_a_block_that_is_lent(void **state)
{
    (void)state;
    put("one\n", true);
    lend(OUT_IOVEC_COUNT_MAX);
    put("0\r\n\r\n", false);
    put("HTTP/1.1 200 OK\r\n\r\n", false);
    take(3);
    send_all();
    expect_wire("4\r\none\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
}

static void a_send_of_any_length_is_continued_where_it_stopped(void **state)
{
    (void)state;
    static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    char lines[301], all[sizeof(head) + 400];
    memset(lines, 'x', sizeof(lines));
    lines[300] = '\0';
    int total = snprintf(all, sizeof(all), "%s12c\r\n%s\r\n0\r\n\r\n3\r\nabc\r\n", head, lines);
    for (size_t cut = 0; cut <= (size_t)total; cut++) {
        wire.count = 0;
        put(head, false);
        put(lines, true);
        put("0\r\n\r\n", false);
        put("abc", true);
        assert_int_equal(lend(OUT_IOVEC_COUNT_MAX), total);
        take(cut);
        assert_int_equal(queue.bytes, (size_t)total - cut);
        send_all();
        expect_wire(all);
    }
    assert_int_equal(pool.free_count, pool.block_count);
}

static void a_line_that_fills_a_block_to_its_last_byte_fits(void **state)
{
    (void)state;
    char *room = out_reserve(&pool, &queue, OUT_LINE_BYTES_MAX, true);
    assert_non_null(room);
    memset(room, 'y', OUT_LINE_BYTES_MAX);
    out_commit(&queue, OUT_LINE_BYTES_MAX);
    assert_int_equal(pool.free_count, pool.block_count - 1);
    send_all();
    assert_int_equal(wire.count, OUT_LINE_BYTES_MAX + OUT_CHUNK_HEAD_BYTES + OUT_CHUNK_TAIL_BYTES);
    assert_memory_equal(wire.bytes + 4, "\r\nyyy", 5);
    assert_memory_equal(wire.bytes + wire.count - 3, "y\r\n", 3);
    assert_int_equal(strtoul(wire.bytes, NULL, 16), OUT_LINE_BYTES_MAX);
}

static void a_reserved_line_that_is_not_written_leaves_nothing(void **state)
{
    (void)state;
    assert_non_null(out_reserve(&pool, &queue, 100, true));
    assert_int_equal(lend(OUT_IOVEC_COUNT_MAX), 0);
    put("plain", false); /* the block is used for something else */
    assert_non_null(out_reserve(&pool, &queue, 100, true));
    put("line", true);
    assert_non_null(out_reserve(&pool, &queue, 100, false));
    send_all();
    expect_wire("plain4\r\nline\r\n");
}

static void a_charge_comes_back_with_the_block_its_line_ends_in(void **state)
{
    (void)state;
    put("one\n", true);
    out_charge(&queue, 1000);
    put("two\n", true);
    out_charge(&queue, 20);
    lend(OUT_IOVEC_COUNT_MAX);
    put("three\n", true);
    out_charge(&queue, 3);
    take(loan.bytes - 1);
    assert_int_equal(wire.charge, 0);
    lend(1);
    take(1);
    assert_int_equal(wire.charge, 1020);
    send_all();
    assert_int_equal(wire.charge, 1023);
}

static void long_text_is_spread_over_blocks_and_its_charge_is_on_the_last(void **state)
{
    (void)state;
    static char text[100000];
    memset(text, 'z', sizeof(text));
    assert_int_equal(out_append(&pool, &queue, text, sizeof(text), true), 0);
    out_charge(&queue, 77);
    lend(2);
    take(loan.bytes);
    assert_int_equal(wire.charge, 0);
    send_all();
    assert_int_equal(wire.charge, 77);
}

static void put_long(size_t bytes, bool chunked)
{
    char *room = out_long_open(&pool, 6 * bytes);
    assert_non_null(room);
    memset(room, 'l', bytes);
    assert_int_equal(out_long_commit(&pool, &queue, bytes, chunked), 0);
}

static void a_long_line_is_one_piece_between_its_neighbours(void **state)
{
    (void)state;
    put("before\n", true);
    put_long(OUT_LONG_BYTES_MIN, true);
    out_charge(&queue, 5);
    put("behind\n", true);
    put("0\r\n\r\n", false);
    assert_int_equal(lend(OUT_IOVEC_COUNT_MAX), 12 + 6 + OUT_LONG_BYTES_MIN + 2 + 12 + 5);
    assert_int_equal(loan.count, 3);
    take(loan.bytes);
    assert_int_equal(wire.charge, 5);
    assert_memory_equal(wire.bytes, "7\r\nbefore\n\r\n8000\r\nlll", 21);
    assert_memory_equal(wire.bytes + wire.count - 22, "lll\r\n7\r\nbehind\n\r\n0\r\n\r\n", 22);
    assert_true(out_is_empty(&queue));
    assert_int_equal(pool.extent_cost, 0);
}

static void a_line_that_is_not_so_long_after_all_joins_the_others(void **state)
{
    (void)state;
    put("one\n", true);
    put_long(3, true);
    put("two\n", true);
    send_all();
    expect_wire("b\r\none\nllltwo\n\r\n");
}

static void text_for_which_the_pool_has_no_room_changes_nothing(void **state)
{
    (void)state;
    static char text[POOL_BYTES];
    put("before", false);
    assert_int_equal(out_append(&pool, &queue, text, sizeof(text), true), -ENOMEM);
    assert_int_equal(queue.bytes, 6);
    assert_false(out_pool_has_room(&pool, sizeof(text)));
    send_all();
    expect_wire("before");
}

static void a_pool_gives_every_block_it_has_and_then_none(void **state)
{
    (void)state;
    uint32_t count = 0;
    while (out_reserve(&pool, &queue, OUT_LINE_BYTES_MAX, true)) {
        out_commit(&queue, OUT_LINE_BYTES_MAX);
        assert_true(++count <= POOL_BYTES / OUT_BLOCK_BYTES);
    }
    assert_int_equal(count, POOL_BYTES / OUT_BLOCK_BYTES);
    assert_int_equal(pool.free_count, 0);
    lend(1);
    take(loan.bytes);
    assert_non_null(out_reserve(&pool, &queue, OUT_LINE_BYTES_MAX, true));
    out_clear(&pool, &queue);
    assert_int_equal(pool.free_count, pool.block_count);
    assert_true(out_is_empty(&queue));
}

static void a_limit_is_rounded_up_to_slabs(void **state)
{
    (void)state;
    struct out_pool small;
    assert_int_equal(out_pool_init(&small, 1), 0);
    assert_true(out_pool_has_room(&small, 1));
    assert_int_equal(small.block_count, small.block_count_max);
    out_pool_finish(&small);
}

static void clear_lent(void *argument)
{
    (void)argument;
    out_clear(&pool, &queue);
}

static void lend_twice(void *argument)
{
    (void)argument;
    out_lend(&queue, loan.vectors, 1);
}

static void commit_too_much(void *argument)
{
    (void)argument;
    out_commit(&queue, OUT_BLOCK_ROOM);
}

static void what_belongs_to_the_kernel_is_neither_dropped_nor_lent_again(void **state)
{
    (void)state;
    put("one", true);
    lend(1);
    assert_true(aborts(clear_lent, NULL));
    assert_true(aborts(lend_twice, NULL));
    assert_true(aborts(commit_too_much, NULL));
    take(loan.bytes);
    out_clear(&pool, &queue);
}

/* ---- the model: responses, and what a client must have read of them ---- */

struct line {
    uint64_t end; /* in `content` */
    uint64_t charge;
};

/* Responses follow each other: a plain head of 9 bytes, then either plain bytes or chunks and
 * their end. The client's reading of the wire must be `content`. */
static struct model {
    char content[WIRE_BYTES_MAX]; /* heads and bodies, without framing */
    uint64_t count;
    struct line lines[STEP_COUNT];
    uint32_t line_count;
    bool in_chunks;
    uint64_t chance;
} model;

static struct reader {
    struct http_body body;
    bool in_body;
    size_t offset;  /* on the wire */
    uint64_t count; /* of content */
    uint64_t head_left;
    bool chunked;
} reader;

static void model_put(const char *bytes, size_t count, bool chunked, bool counts)
{
    assert_int_equal(out_append(&pool, &queue, bytes, count, chunked), 0);
    if (!counts)
        return;
    memcpy(model.content + model.count, bytes, count);
    model.count += count;
}

static void model_head(void)
{
    bool chunked = random_below(&model.chance, 4) > 0;
    uint32_t plain_bytes =
        chunked ? 0 : random_below(&model.chance, 400) * random_below(&model.chance, 50);
    char head[16];
    snprintf(head, sizeof(head), "%c%06u\r\n", chunked ? 'c' : 'p', plain_bytes);
    model_put(head, 9, false, true);
    static char body[20000];
    for (uint32_t i = 0; i < plain_bytes; i++)
        body[i] = (char)pattern_byte(model.line_count, i);
    model_put(body, plain_bytes, false, true);
    model.in_chunks = chunked;
}

static void model_line(void)
{
    uint32_t long_bytes = random_below(&model.chance, 40000);
    uint32_t bytes = random_below(&model.chance, 64) == 0 ? long_bytes : long_bytes % 300;
    static char text[40000];
    bytes = bytes > 0 ? bytes : 1;
    for (uint32_t i = 0; i < bytes; i++)
        text[i] = (char)pattern_byte(model.line_count, i);
    if (bytes <= OUT_LINE_BYTES_MAX && random_below(&model.chance, 2) == 0) {
        uint32_t bound = bytes + random_below(&model.chance, OUT_LINE_BYTES_MAX - bytes + 1);
        char *room = out_reserve(&pool, &queue, bound, true);
        assert_non_null(room);
        memcpy(room, text, bytes);
        memcpy(model.content + model.count, text, bytes);
        model.count += bytes;
        out_commit(&queue, bytes);
    } else if (random_below(&model.chance, 2) == 0) {
        char *room = out_long_open(&pool, bytes + random_below(&model.chance, 1000000));
        assert_non_null(room);
        memcpy(room, text, bytes);
        memcpy(model.content + model.count, text, bytes);
        model.count += bytes;
        assert_int_equal(out_long_commit(&pool, &queue, bytes, true), 0);
    } else {
        model_put(text, bytes, true, true);
    }
    uint64_t charge = random_below(&model.chance, 1000);
    out_charge(&queue, charge);
    model.lines[model.line_count++] = (struct line){model.count, charge};
}

/* Reads on as far as the wire allows, and compares. */
static void reader_read(void)
{
    while (reader.offset < wire.count) {
        const char *at = wire.bytes + reader.offset;
        size_t count = wire.count - reader.offset;
        if (!reader.in_body) {
            /* Heads are one append of their own block or part of one, so compared byte by byte. */
            assert_int_equal(*at, model.content[reader.count]);
            if (reader.head_left == 0)
                reader.head_left = 9, reader.chunked = *at == 'c';
            reader.offset++, reader.count++;
            if (--reader.head_left > 0)
                continue;
            uint64_t length = strtoull(model.content + reader.count - 8, NULL, 10);
            const struct http_head head = {
                .chunked = reader.chunked, .has_length = !reader.chunked, .content_length = length};
            const char *reason;
            assert_int_equal(http_body_init(&reader.body, &head, UINT32_MAX, &reason), 0);
            reader.in_body = reader.chunked || length > 0;
            continue;
        }
        size_t consumed;
        struct http_text data;
        const char *reason = "";
        int rc = http_body_feed(&reader.body, at, count, &consumed, &data, &reason);
        assert_true(rc >= 0);
        assert_memory_equal(data.data, model.content + reader.count, data.bytes);
        reader.count += data.bytes;
        reader.offset += consumed;
        if (rc == HTTP_BODY_COMPLETE ||
            http_body_feed(&reader.body, at, 0, &consumed, &data, &reason) == HTTP_BODY_COMPLETE)
            reader.in_body = false;
    }
    assert_true(reader.count <= model.count);
}

/* No charge came back for a line that is not out, and all of it when everything is. */
static void charges_check(void)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < model.line_count && model.lines[i].end <= reader.count; i++)
        most += model.lines[i].charge;
    assert_true(wire.charge <= most);
    if (out_is_empty(&queue))
        assert_int_equal(wire.charge, most);
}

static void model_step(bool *lent)
{
    switch (random_below(&model.chance, 8)) {
    case 0:
        if (model.in_chunks) {
            model_put("0\r\n\r\n", 5, false, false);
            model.in_chunks = false;
        } else {
            model_head();
        }
        break;
    case 1:
        /* Reserved for a value that turned out bad. */
        assert_non_null(out_reserve(&pool, &queue, 1 + random_below(&model.chance, 9000),
                                    random_below(&model.chance, 2) == 0));
        break;
    case 2:
    case 3:
        if (!*lent)
            *lent = lend(1 + random_below(&model.chance, OUT_IOVEC_COUNT_MAX)) > 0;
        break;
    case 4:
        if (*lent) {
            size_t part = random_below(&model.chance, (uint32_t)loan.bytes + 1);
            take(random_below(&model.chance, 3) == 0 ? part : loan.bytes);
            *lent = false;
        }
        break;
    default:
        if (model.in_chunks)
            model_line();
    }
}

static void any_sequence_of_operations_loses_and_changes_no_byte(void **state)
{
    (void)state;
    uint64_t seed = environment_number("SEED", 20260131);
    print_message("SEED=%llu\n", (unsigned long long)seed);
    memset(&model, 0, sizeof(model));
    memset(&reader, 0, sizeof(reader));
    model.chance = seed;
    bool lent = false;
    for (uint32_t step = 0; step < STEP_COUNT && model.count < WIRE_BYTES_MAX / 2; step++) {
        if (queue.bytes < POOL_BYTES / 4 || lent)
            model_step(&lent);
        if (queue.bytes >= POOL_BYTES / 4 && !lent) {
            send_all();
            reader_read();
            charges_check();
        } else if (queue.bytes >= POOL_BYTES / 4) {
            take(loan.bytes);
            lent = false;
        }
        if (step % 16 == 0) {
            reader_read();
            charges_check();
        }
    }
    if (lent)
        take(loan.bytes);
    send_all();
    reader_read();
    charges_check();
    assert_int_equal(reader.count, model.count);
    assert_true(model.line_count > 1000);
    out_clear(&pool, &queue);
    assert_int_equal(pool.free_count, pool.block_count);
}

#define OUT_TEST(name) cmocka_unit_test_setup_teardown(name, queue_make, queue_remove)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        OUT_TEST(nothing_is_lent_of_an_empty_queue),
        OUT_TEST(plain_bytes_leave_as_they_came),
        OUT_TEST(lines_put_before_a_send_are_one_chunk),
        OUT_TEST(lines_put_during_a_send_are_another_chunk),
        OUT_TEST(plain_bytes_may_follow_in_a_block_that_is_lent),
        OUT_TEST(a_send_of_any_length_is_continued_where_it_stopped),
        OUT_TEST(a_line_that_fills_a_block_to_its_last_byte_fits),
        OUT_TEST(a_reserved_line_that_is_not_written_leaves_nothing),
        OUT_TEST(a_charge_comes_back_with_the_block_its_line_ends_in),
        OUT_TEST(long_text_is_spread_over_blocks_and_its_charge_is_on_the_last),
        OUT_TEST(a_long_line_is_one_piece_between_its_neighbours),
        OUT_TEST(a_line_that_is_not_so_long_after_all_joins_the_others),
        OUT_TEST(text_for_which_the_pool_has_no_room_changes_nothing),
        OUT_TEST(a_pool_gives_every_block_it_has_and_then_none),
        OUT_TEST(a_limit_is_rounded_up_to_slabs),
        OUT_TEST(what_belongs_to_the_kernel_is_neither_dropped_nor_lent_again),
        OUT_TEST(any_sequence_of_operations_loses_and_changes_no_byte),
    };
    return cmocka_run_group_tests_name("out", tests, descriptors_note, descriptors_compare);
}
