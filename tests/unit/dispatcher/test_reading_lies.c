/* SPDX-License-Identifier: MIT */
/*
 * test_reading_lies.c - a reader that says whatever it likes: it parses what strangers sent, so it
 * may be theirs. Nobody but the client whose body it had notices.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/dispatcher/stage_run.h"

#include <cmocka.h>

#include "tests/unit/dispatcher/stage_reading.h"
#include "tests/unit/shm/ring_memory.h"

/* ---- a reader that lies ---- */

/* The lie is what is wrong; the rest would be believed. */
static void expect_disbelief(const void *said, size_t bytes)
{
    uint32_t before = stage.reader_kill_count;
    stage_reader_says(said, bytes);
    assert_int_equal(stage.reader_kill_count, before + 1);
    stage_reader_gone();
    stage_later(100);
}

static void expect_body_lie(void (*lie)(struct read_answer *answer))
{
    uint32_t client = upload_many();
    expect_body(MANY_BYTES);
    struct read_answer said = answer_of_kind(READ_BODY);
    lie(&said);
    expect_disbelief(&said, sizeof(said));
    expect_answer(client, 500, "the process that read it failed");
    stage_hang_up(client);
    expect_nothing_held();
}

static void refused_as(struct read_answer *said)
{
    said->result = -EINVAL;
    said->status = 422;
    said->type = ERROR_INPUT;
    memcpy(said->detail, "[]", 3);
}

static void lie_magic(struct read_answer *said)
{
    said->magic++;
}

static void lie_kind(struct read_answer *said)
{
    said->kind = READ_PACK;
}

static void lie_number(struct read_answer *said)
{
    said->number--;
}

static void lie_result(struct read_answer *said)
{
    said->result = 1;
}

static void lie_flag(struct read_answer *said)
{
    said->async_run = 2;
}

static void lie_pipeline(struct read_answer *said)
{
    said->has_pipeline = 1;
    memset(said->pipeline, 'x', sizeof(said->pipeline));
}

static void lie_class(struct read_answer *said)
{
    said->class = 10;
}

static void lie_tenant(struct read_answer *said)
{
    memset(said->tenant, 'x', sizeof(said->tenant));
}

static void lie_affinity(struct read_answer *said)
{
    memset(said->affinity, 'x', sizeof(said->affinity));
}

static void lie_status(struct read_answer *said)
{
    refused_as(said);
    said->status = 200;
}

static void lie_type(struct read_answer *said)
{
    refused_as(said);
    said->is_result = 1;
    said->status = 400;
    said->type = 1000;
}

static void lie_endless(struct read_answer *said)
{
    refused_as(said);
    memset(said->message, 'x', sizeof(said->message));
}

static void lie_not_json(struct read_answer *said)
{
    refused_as(said);
    memcpy(said->detail, "[}", 3);
}

static void lie_two_lines(struct read_answer *said)
{
    refused_as(said);
    memcpy(said->detail, "[\n]", 4);
}

static void no_lie_about_a_body_is_believed(void **state)
{
    (void)state;
    expect_body_lie(lie_magic);
    expect_body_lie(lie_kind);
    expect_body_lie(lie_number);
    expect_body_lie(lie_result);
    expect_body_lie(lie_flag);
    expect_body_lie(lie_pipeline);
    expect_body_lie(lie_class);
    expect_body_lie(lie_tenant);
    expect_body_lie(lie_affinity);
    expect_body_lie(lie_status);
    expect_body_lie(lie_type);
    expect_body_lie(lie_endless);
    expect_body_lie(lie_not_json);
    expect_body_lie(lie_two_lines);
}

static void packets_of_another_size_are_not_believed(void **state)
{
    (void)state;
    uint8_t packet[2 * sizeof(struct read_answer)] = {0};
    struct read_answer said;
    const size_t sizes[] = {1, sizeof(said) - 1, sizeof(said) + 1, sizeof(packet)};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        uint32_t client = upload_many();
        expect_body(MANY_BYTES);
        said = answer_of_kind(READ_BODY);
        memcpy(packet, &said, sizeof(said));
        expect_disbelief(packet, sizes[i]);
        expect_answer(client, 500, "the process that read it failed");
        stage_hang_up(client);
    }
    expect_nothing_held();
}

static void an_answer_to_nothing_is_not_believed(void **state)
{
    (void)state;
    struct read_answer said = answer_of_kind(READ_BODY);
    expect_disbelief(&said, sizeof(said));
    upload_many();
    expect_body(MANY_BYTES);
}

/* What is packed, and what is said of it; the true one would be 100 bytes, sealed. */
static void expect_pack_lie(size_t bytes, int seals, uint64_t said_bytes)
{
    uint32_t client = upload_many();
    expect_body(MANY_BYTES);
    say(answer_of_kind(READ_BODY));
    int fd = expect_asked(READ_PACK);
    uint8_t payload[200] = {0};
    assert_int_equal(write(fd, payload, bytes), bytes);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    close(fd);
    struct read_answer said = answer_of_kind(READ_PACK);
    said.bytes = said_bytes;
    expect_disbelief(&said, sizeof(said));
    expect_answer(client, 500, "the process that read it failed");
    stage_hang_up(client);
    expect_nothing_held();
}

static void no_lie_about_a_payload_is_believed(void **state)
{
    (void)state;
    const int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
    expect_pack_lie(100, all, 99);
    expect_pack_lie(100, all, 101);
    expect_pack_lie(100, all, 0);
    expect_pack_lie(100, all, (uint64_t)VALUE_BYTES_MAX + 1);
    expect_pack_lie(100, all, UINT64_MAX);
    expect_pack_lie(100, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, 100);
    expect_pack_lie(100, F_SEAL_SHRINK | F_SEAL_WRITE | F_SEAL_SEAL, 100);
    expect_pack_lie(100, F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL, 100);
    expect_pack_lie(100, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE, 100);
    assert_int_equal(stage.server->reading.lost_count, 9);
}

/* ---- by chance ---- */

/* Some bytes of an answer that is right otherwise, most of them where the small fields are. */
static void scramble(struct read_answer *said, uint64_t *seed)
{
    uint8_t bytes[sizeof(*said)];
    memcpy(bytes, said, sizeof(bytes));
    for (uint64_t count = random_next(seed) % 4; count > 0; count--) {
        size_t room =
            random_next(seed) % 2 ? offsetof(struct read_answer, message) + 8 : sizeof(bytes);
        bytes[random_next(seed) % room] = (uint8_t)random_next(seed);
    }
    memcpy(said, bytes, sizeof(bytes));
}

/* Says what may be believed or not. True: the reader lives. */
static bool say_scrambled(enum read_kind kind, uint64_t *seed)
{
    struct read_answer said = answer_of_kind(kind);
    said.result = random_next(seed) % 4 == 0 ? -EINVAL : 0;
    if (said.result < 0)
        refused_as(&said);
    scramble(&said, seed);
    uint32_t before = stage.reader_kill_count;
    stage_reader_says(&said, sizeof(said));
    if (stage.reader_kill_count == before)
        return true;
    stage_reader_gone();
    stage_later(100);
    return false;
}

static void whatever_it_says_everyone_is_answered_and_nothing_is_left(void **state)
{
    (void)state;
    uint64_t seed = 20261129;
    uint32_t run_count = 0, believed_count = 0;
    for (int i = 0; i < 3000; i++) {
        struct stage_run run = {.client = upload_many()};
        expect_body(MANY_BYTES);
        bool lives = say_scrambled(READ_BODY, &seed);
        believed_count += lives;
        if (lives && reading()->asked == READ_PACK) {
            int fd = expect_asked(READ_PACK);
            pack(fd, 1);
            close(fd);
            lives = say_scrambled(READ_PACK, &seed);
        } else if (lives && reading()->asked == READ_NONE) {
            int fd;
            while (recv(stage.reader_socket, &fd, sizeof(fd), MSG_DONTWAIT) > 0)
                continue; /* DROP, when there is something to be dropped */
        }
        bool is_run = stage_run_take(&run);
        run_count += is_run;
        if (is_run)
            stage_run_end(&run);
        answer_to(run.client);
        assert_true(answer.complete);
        stage_hang_up(run.client);
        expect_nothing_held();
    }
    assert_true(run_count > 100 && believed_count > 100);
    assert_true(stage.reader_kill_count > 100);
}

#define READING_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        READING_TEST(no_lie_about_a_body_is_believed),
        READING_TEST(packets_of_another_size_are_not_believed),
        READING_TEST(an_answer_to_nothing_is_not_believed),
        READING_TEST(no_lie_about_a_payload_is_believed),
        READING_TEST(whatever_it_says_everyone_is_answered_and_nothing_is_left),
    };
    return cmocka_run_group_tests_name("reading lies", tests, descriptors_note,
                                       descriptors_compare);
}
