/* SPDX-License-Identifier: MIT */
/*
 * test_worker_given.c - files among the values of a run: told of one after the other, written to
 * the pipes that come, and only then is the line sent. Other runs go on.
 */
#include "shm/descriptors.h"
#include "tests/unit/worker/compiler.h"
#include "tests/unit/worker/harness.h"

#define MUCH_BYTES (3u * 1024 * 1024)

static void start(struct harness *h, uint32_t slot_count)
{
    const char *const none[] = {NULL};
    harness_start(
        h, &(struct harness_options){.source = compile("cc", FIXTURES "given.c", none, "given.so"),
                                     .slot_count = slot_count});
    harness_expect_ready(h);
}

/* The worker tells of this file, of its only run that has one. */
static void expect_told(struct harness *h, uint32_t number, uint64_t bytes, const char *name)
{
    uint8_t body[256];
    size_t count;
    struct message_file file;
    assert_int_equal(harness_message(h, body, sizeof body, &count), MESSAGE_FILE);
    assert_true(count >= sizeof file);
    memcpy(&file, body, sizeof file);
    assert_int_equal(file.number, number);
    assert_int_equal(file.bytes, bytes);
    assert_int_equal(count - sizeof file, strlen(name));
    assert_memory_equal(body + sizeof file, name, strlen(name));
}

static void commit(struct harness *h, uint32_t slot, uint32_t generation, uint32_t number,
                   uint8_t flags, const char *text)
{
    const struct file_record head = {.number = number};
    const size_t bytes = sizeof head + strlen(text);
    void *payload;
    assert_int_equal(ring_claim(&h->request, (uint32_t)bytes, &payload), 0);
    memcpy(payload, &head, sizeof head);
    memcpy((char *)payload + sizeof head, text, strlen(text));
    ring_commit(&h->request, &(struct record){.bytes = (uint32_t)bytes,
                                              .slot = (uint16_t)slot,
                                              .kind = RECORD_FILE,
                                              .flags = flags,
                                              .generation = generation});
    doorbell_ring(&h->worker_bell, DOORBELL_ANY);
}

static void say_kept(struct harness *h, uint32_t slot, uint32_t number)
{
    commit(h, slot, h->generations[slot], number, 0, "");
}

/* Sends a pipe for it, and returns the end to read from. */
static int send_pipe(struct harness *h, uint32_t slot, uint32_t generation, uint64_t number)
{
    struct message header = {.magic = MESSAGE_MAGIC,
                             .version = PROTOCOL_VERSION,
                             .kind = MESSAGE_PIPE,
                             .bytes = sizeof number,
                             .slot = slot,
                             .generation = generation};
    struct iovec parts[] = {{&header, sizeof header}, {&number, sizeof number}};
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(descriptors_send(h->socket, &(struct packet){parts, 2, &ends[1], 1}, 0), 0);
    close(ends[1]);
    commit(h, slot, generation, (uint32_t)number, RECORD_BLOB, "");
    return ends[0];
}

/* All that comes through the pipe, up to its end: so many of one letter, or this text. */
static void expect_content(int fd, const char *text, size_t count)
{
    static char bytes[65536];
    size_t at = 0;
    for (;;) {
        ssize_t got = read(fd, bytes, sizeof bytes);
        assert_true(got >= 0);
        if (got == 0)
            break;
        for (size_t i = 0; i < (size_t)got; i++)
            assert_int_equal(bytes[i], text ? text[at + i] : 'm');
        at += (size_t)got;
    }
    assert_int_equal(at, count);
    close(fd);
}

static void give_two(struct harness *h, uint32_t slot, uint32_t first, const char *text)
{
    expect_told(h, first, strlen(text), text);
    expect_content(send_pipe(h, slot, h->generations[slot], first), text, strlen(text));
    say_kept(h, slot, first);
    expect_told(h, first + 1, MUCH_BYTES, "output.bin");
    expect_content(send_pipe(h, slot, h->generations[slot], first + 1), NULL, MUCH_BYTES);
}

static void expect_nothing(struct harness *h)
{
    struct harness_record record = harness_next_within(h, 50);
    assert_int_equal(record.meta.kind, RECORD_PAD);
    free(record.payload);
}

static void a_line_waits_until_its_files_are_kept_one_after_the_other(void **state)
{
    struct harness h;
    (void)state;
    start(&h, 1);
    harness_run_text(&h, 0, "text");
    give_two(&h, 0, 0, "text");
    expect_nothing(&h);
    say_kept(&h, 0, 1);
    harness_expect_chunk(&h, 0, 0,
                         "[[(ext: 1)\"\\x00\\x00\\x00\\x00\", (ext: 1)\"\\x00\\x00\\x00\\x01\"]]");
    give_two(&h, 0, 2, "text");
    say_kept(&h, 0, 3);
    harness_expect_chunk(&h, 0, 1,
                         "[[(ext: 1)\"\\x00\\x00\\x00\\x02\", (ext: 1)\"\\x00\\x00\\x00\\x03\"]]");
    harness_expect_end(&h, 0, 2);
    harness_stop(&h);
}

static void a_file_that_is_refused_fails_its_run_and_says_why(void **state)
{
    struct harness h;
    (void)state;
    start(&h, 1);
    harness_run_text(&h, 0, "text");
    expect_told(&h, 0, 4, "text");
    commit(&h, 0, h.generations[0], 0, 0, "the disk is full");
    harness_expect_error(&h, 0, ERROR_PIPELINE, "the file text cannot be sent: the disk is full");
    harness_run_text(&h, 0, "next");
    expect_told(&h, 0, 4, "next");
    harness_cancel(&h, 0, CANCEL_REQUESTED);
    harness_expect_error(&h, 0, ERROR_UNKNOWN, "cancelled: on request");
    harness_stop(&h);
}

static void a_pipe_whose_reader_leaves_is_waited_for_to_be_told(void **state)
{
    struct harness h;
    (void)state;
    start(&h, 1);
    harness_run_text(&h, 0, "text");
    expect_told(&h, 0, 4, "text");
    close(send_pipe(&h, 0, h.generations[0], 0));
    expect_nothing(&h);
    say_kept(&h, 0, 0);
    expect_told(&h, 1, MUCH_BYTES, "output.bin");
    int fd = send_pipe(&h, 0, h.generations[0], 1);
    char byte;
    assert_int_equal(read(fd, &byte, 1), 1); /* it is being written to */
    close(fd);
    commit(&h, 0, h.generations[0], 1, 0, "it is too large");
    harness_expect_error(&h, 0, ERROR_PIPELINE, "it is too large");
    harness_stop(&h);
}

static void what_is_said_of_a_run_that_is_over_is_passed_over(void **state)
{
    struct harness h;
    (void)state;
    start(&h, 2);
    harness_run_text(&h, 0, "text");
    expect_told(&h, 0, 4, "text");
    harness_cancel(&h, 0, CANCEL_CLIENT_GONE);
    harness_expect_error(&h, 0, ERROR_UNKNOWN, "the client left");
    const uint32_t over = h.generations[0];
    expect_content(send_pipe(&h, 0, over, 0), "", 0);
    commit(&h, 0, over, 0, 0, "");
    harness_run_text(&h, 0, "more");
    expect_told(&h, 0, 4, "more");
    expect_content(send_pipe(&h, 0, over, 0), "", 0);
    commit(&h, 0, over, 0, 0, "it is full");
    expect_content(send_pipe(&h, 0, h.generations[0], 0), "more", 4);
    say_kept(&h, 0, 0);
    expect_told(&h, 1, MUCH_BYTES, "output.bin");
    harness_cancel(&h, 0, CANCEL_CLIENT_GONE);
    harness_expect_error(&h, 0, ERROR_UNKNOWN, "the client left");
    harness_stop(&h);
}

static void a_record_of_a_file_that_was_not_told_of_ends_the_worker(void **state)
{
    struct harness h;
    (void)state;
    start(&h, 1);
    harness_run_text(&h, 0, "text");
    expect_told(&h, 0, 4, "text");
    say_kept(&h, 0, 1);
    harness_expect_exit(&h, WORKER_EXIT_PROTOCOL);
    harness_finish(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_waits_until_its_files_are_kept_one_after_the_other),
        cmocka_unit_test(a_file_that_is_refused_fails_its_run_and_says_why),
        cmocka_unit_test(a_pipe_whose_reader_leaves_is_waited_for_to_be_told),
        cmocka_unit_test(what_is_said_of_a_run_that_is_over_is_passed_over),
        cmocka_unit_test(a_record_of_a_file_that_was_not_told_of_ends_the_worker),
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
