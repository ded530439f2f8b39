/* SPDX-License-Identifier: MIT */
/*
 * test_channel.c - a channel is whole or not there at all, and what a worker writes into it is read
 * for what it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dispatcher/workers/channel.h"
#include "shm/descriptors.h"
#include "tests/unit/dispatcher/edge.h"
#include "tests/unit/dispatcher/fds.h"

#include <cmocka.h>

#define DESCRIPTOR_COUNT 6 /* of an open channel, with the worker's ends */

static const struct segment_options sizes = {.slot_count = 2,
                                             .request_ring_bytes = RING_BYTES_MIN,
                                             .reply_ring_bytes = RING_BYTES_MIN,
                                             .window_bytes = RUN_WINDOW_BYTES};
static struct channel channel;
static struct channel_ends ends;

static int scene_open(void **state)
{
    (void)state;
    return channel_open(&channel, &ends, &sizes);
}

static int scene_close(void **state)
{
    (void)state;
    channel_ends_close(&ends);
    channel_close(&channel);
    return 0;
}

/* ---- opening and closing ---- */

static void assert_closed(void)
{
    assert_int_equal(channel.segment.fd, -1);
    assert_int_equal(channel.bell.fd, -1);
    assert_int_equal(channel.own_bell.fd, -1);
    assert_int_equal(channel.socket, -1);
    assert_int_equal(ends.bell, -1);
    assert_int_equal(ends.socket, -1);
}

static void what_is_closed_leaves_no_descriptor(void **state)
{
    (void)state;
    int count = fds_count();
    assert_int_equal(channel_open(&channel, &ends, &sizes), 0);
    assert_int_equal(fds_count(), count + DESCRIPTOR_COUNT);
    channel_ends_close(&ends);
    assert_int_equal(fds_count(), count + DESCRIPTOR_COUNT - 2);
    channel_close(&channel);
    assert_int_equal(fds_count(), count);
    assert_closed();
    channel_ends_close(&ends);
    channel_close(&channel);
    channel_init(&channel);
    channel_close(&channel);
    assert_int_equal(fds_count(), count);
}

static int lowest_free(void)
{
    int fd = dup(STDERR_FILENO);
    assert_true(fd >= 0);
    close(fd);
    return fd;
}

/* With room for so many descriptors, and for no more. */
static int open_limited(rlim_t room)
{
    struct rlimit before, limited;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    limited = (struct rlimit){(rlim_t)lowest_free() + room, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limited), 0);
    int rc = channel_open(&channel, &ends, &sizes);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    return rc;
}

/* Each step takes a descriptor, so each fails in turn. */
static void a_step_that_fails_takes_back_those_before_it(void **state)
{
    (void)state;
    int count = fds_count();
    rlim_t room = 0;
    for (int rc; (rc = open_limited(room)) < 0; room++) {
        assert_int_equal(rc, -EMFILE);
        assert_closed();
        assert_int_equal(fds_count(), count);
        assert_true(room < 64);
    }
    assert_true(room >= DESCRIPTOR_COUNT);
    assert_int_equal(fds_count(), count + DESCRIPTOR_COUNT);
    scene_close(NULL);
}

static void sizes_out_of_bounds_leave_nothing(void **state)
{
    (void)state;
    int count = fds_count();
    struct segment_options odd = sizes;
    odd.reply_ring_bytes++;
    assert_int_equal(channel_open(&channel, &ends, &odd), -EINVAL);
    assert_closed();
    assert_int_equal(fds_count(), count);
}

/* ---- both sides ---- */

static bool is_readable(int fd)
{
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    return poll(&wanted, 1, 0) == 1 && wanted.revents & POLLIN;
}

static void the_worker_maps_the_segment_and_finds_a_record(void **state)
{
    (void)state;
    struct segment segment;
    struct ring_rx requests;
    struct record record;
    const void *payload;
    void *room;
    char reason[SEGMENT_REASON_BYTES];
    assert_int_equal(ring_claim(&channel.requests, 4, &room), 0);
    memcpy(room, "word", 4);
    ring_commit(&channel.requests, &(struct record){.kind = RECORD_START, .bytes = 4});
    int fd = fcntl(channel.segment.fd, F_DUPFD_CLOEXEC, 0);
    assert_int_equal(segment_attach(&segment, fd, reason), 0);
    ring_rx_init(&requests, segment.request_ring, RING_BYTES_MIN);
    assert_int_equal(ring_peek(&requests, &record, &payload), 1);
    assert_memory_equal(payload, "word", 4);
    assert_true(ring_is_empty(&channel.replies));
    segment_detach(&segment);
}

/* What the worker does to its end must not make ours block. */
static void the_workers_bell_is_a_pipe_that_never_blocks_us(void **state)
{
    (void)state;
    struct stat status;
    assert_int_equal(fstat(ends.bell, &status), 0);
    assert_true(S_ISFIFO(status.st_mode));
    assert_int_equal(fcntl(ends.bell, F_SETFL, 0), 0);
    assert_true(fcntl(channel.bell.fd, F_GETFL) & O_NONBLOCK);

    struct doorbell sleeper = {&channel.segment.header->worker_bell, ends.bell};
    assert_false(doorbell_ring(&channel.bell, DOORBELL_WORK));
    doorbell_arm(&sleeper, DOORBELL_WORK);
    assert_true(doorbell_ring(&channel.bell, DOORBELL_WORK));
    assert_true(is_readable(ends.bell));
}

static void our_bell_is_heard_when_the_worker_rings_it(void **state)
{
    (void)state;
    struct doorbell waker = {&channel.segment.header->dispatcher_bell, channel.own_bell.fd};
    doorbell_arm(&channel.own_bell, DOORBELL_ANY);
    assert_false(is_readable(channel.own_bell.fd));
    assert_true(doorbell_ring(&waker, DOORBELL_ANY));
    assert_true(is_readable(channel.own_bell.fd));
}

/* ---- messages ---- */

static uint8_t buffer[MESSAGE_BYTES_MAX];

static void send_bytes(const void *data, size_t bytes)
{
    assert_int_equal(send(ends.socket, data, bytes, MSG_DONTWAIT), bytes);
}

static void send_message(struct message header, const char *body)
{
    char packet[256];
    memcpy(packet, &header, sizeof header);
    memcpy(packet + sizeof header, body, strlen(body));
    send_bytes(packet, sizeof header + strlen(body));
}

static struct message header_of(enum message_kind kind, uint32_t bytes)
{
    return (struct message){.magic = MESSAGE_MAGIC,
                            .version = PROTOCOL_VERSION,
                            .kind = (uint16_t)kind,
                            .bytes = bytes};
}

static void assert_message(enum message_kind kind, const char *body)
{
    struct channel_message message;
    const char *wrong = NULL;
    assert_int_equal(channel_take(&channel, buffer, &message, &wrong), 1);
    assert_null(wrong);
    assert_int_equal(message.kind, kind);
    assert_int_equal(message.body_bytes, strlen(body));
    assert_memory_equal(message.body, body, strlen(body));
}

static void assert_wrong(const char *reason)
{
    struct channel_message message = {.body_bytes = 12345};
    const char *wrong = "";
    assert_int_equal(channel_take(&channel, buffer, &message, &wrong), -EBADMSG);
    if (!strstr(wrong, reason))
        fail_msg("\"%s\", not \"%s\"", wrong, reason);
    assert_int_equal(message.body_bytes, 12345);
}

static void assert_nothing(void)
{
    struct channel_message message;
    const char *wrong;
    assert_int_equal(channel_take(&channel, buffer, &message, &wrong), 0);
}

static void messages_come_in_their_order_with_their_bodies(void **state)
{
    (void)state;
    assert_nothing();
    send_message(header_of(MESSAGE_HELLO, 5), "hello");
    send_message(header_of(MESSAGE_READY, 0), "");
    send_message(header_of(MESSAGE_FAILED, 3), "why");
    assert_message(MESSAGE_HELLO, "hello");
    assert_message(MESSAGE_READY, "");
    assert_message(MESSAGE_FAILED, "why");
    assert_nothing();
    descriptor_close(&ends.socket);
    assert_nothing();
}

static void a_header_that_is_not_ours_is_refused(void **state)
{
    static const char version[] = "it speaks another version of the protocol";
    struct message wrong = header_of(MESSAGE_READY, 0);
    (void)state;
    wrong.magic++;
    send_message(wrong, "");
    assert_wrong(version);
    wrong = header_of(MESSAGE_READY, 0);
    wrong.version++;
    send_message(wrong, "");
    assert_wrong(version);
    send_message(header_of(MESSAGE_HELLO, 4), "hello");
    assert_wrong(version);
    send_message(header_of(MESSAGE_HELLO, 6), "hello");
    assert_wrong(version);
    send_message(header_of(MESSAGE_READY, 0), "");
    assert_message(MESSAGE_READY, "");
}

static void kinds_that_no_worker_sends_are_refused(void **state)
{
    static const unsigned kinds[] = {0, MESSAGE_BLOB, MESSAGE_KIND_COUNT, UINT16_MAX};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct message header = header_of(MESSAGE_READY, 0);
        header.kind = (uint16_t)kinds[i];
        send_message(header, "");
        assert_wrong("it sent an unknown message");
    }
}

static void packets_of_no_size_for_a_message_are_refused(void **state)
{
    static uint8_t large[MESSAGE_BYTES_MAX + 1];
    struct message header = header_of(MESSAGE_READY, 0);
    (void)state;
    send_bytes(&header, sizeof header - 1);
    assert_wrong("it sent a message cut short");
    send_bytes("", 0);
    send_message(header, "");
    assert_wrong("it sent a message cut short");
    assert_message(MESSAGE_READY, "");

    /* Cut to what there is room for, it would be a whole one. */
    header = header_of(MESSAGE_HELLO, MESSAGE_BYTES_MAX - sizeof header);
    memcpy(large, &header, sizeof header);
    send_bytes(large, sizeof large);
    assert_wrong("it sent a message above the limit");
    struct channel_message message;
    const char *wrong;
    send_bytes(large, sizeof large - 1);
    assert_int_equal(channel_take(&channel, buffer, &message, &wrong), 1);
    assert_int_equal(message.body_bytes, MESSAGE_BYTES_MAX - sizeof header);
}

/* Kernels that cannot refuse them bring them. */
static void descriptors_are_seen_and_not_taken(void **state)
{
    const int yes = 1;
    int fd = STDERR_FILENO;
    struct message header = header_of(MESSAGE_READY, 0);
    struct iovec part = {&header, sizeof header};
    (void)state;
    (void)setsockopt(channel.socket, SOL_SOCKET, 83 /* SO_PASSRIGHTS */, &yes, sizeof yes);
    channel.takes_descriptors = true;
    assert_int_equal(descriptors_send(ends.socket, &(struct packet){&part, 1, &fd, 1}, 0), 0);
    int count = fds_count();
    assert_wrong("it sent descriptors");
    assert_wrong("it sent descriptors");
    assert_int_equal(fds_count(), count);
}

/* ---- records of the log ---- */

static bool log_read(const void *data, size_t bytes, struct channel_log *out)
{
    struct edge edge = edge_copy(data, bytes);
    bool is_read = channel_log_read(edge.bytes, bytes, out);
    if (is_read) {
        assert_in_range((uintptr_t)out->text, (uintptr_t)edge.bytes, (uintptr_t)edge.bytes + bytes);
        out->text = (const char *)data + (out->text - (const char *)edge.bytes);
    }
    edge_destroy(&edge);
    return is_read;
}

static void a_line_of_the_log_has_a_level_and_a_text(void **state)
{
    static const char line[] = "\x92\x01\xa4line";
    struct channel_log log;
    (void)state;
    assert_true(log_read(line, sizeof line - 1, &log));
    assert_int_equal(log.level, 1);
    assert_int_equal(log.text_bytes, 4);
    assert_memory_equal(log.text, "line", 4);
    assert_true(log_read("\x92\xcc\x00\xa0", 4, &log));
    assert_int_equal(log.level, 0);
    assert_int_equal(log.text_bytes, 0);
    for (size_t bytes = 0; bytes < sizeof line - 1; bytes++)
        assert_false(log_read(line, bytes, &log));
}

static void a_line_of_a_bad_level_or_shape_is_none(void **state)
{
    static const char last[] = {'\x92', LEVEL_COUNT - 1, '\xa1', 'x'};
    static const char beyond[] = {'\x92', LEVEL_COUNT, '\xa1', 'x'};
    static const struct {
        const char *data;
        size_t bytes;
    } wrong[] = {
        {beyond, 4},
        {"\x92\xff\xa1x", 4},                                  /* a negative level */
        {"\x92\xcf\x00\x00\x00\x01\x00\x00\x00\x01\xa1x", 12}, /* one above 32 bits */
        {"\x92\xa1x\xa1x", 5},                                 /* a word for a level */
        {"\x92\x01\xc4\x01x", 5},                              /* binary text */
        {"\x92\x01\xc0", 3},
        {"\x91\x01\xa1x", 4},
        {"\x93\x01\xa1x\xc0", 5},
        {"\x81\x01\xa1x", 4},
        {"\xa1x", 2},
    };
    struct channel_log log = {.text_bytes = 12345};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
        if (log_read(wrong[i].data, wrong[i].bytes, &log))
            fail_msg("%zu", i);
    assert_int_equal(log.text_bytes, 12345);
    assert_true(log_read(last, 4, &log));
}

static void a_worker_has_no_more_slots_than_there_are_whatever_it_says(void **state)
{
    (void)state;
    static const uint64_t said[] = {0, 1, 7, 8, 9, UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX};
    static const uint32_t taken[] = {8, 1, 7, 8, 8, 8, 8, 8};
    _Atomic uint64_t *capacity = &channel.segment.header->capacity;
    for (size_t i = 0; i < ARRAY_COUNT(said); i++) {
        atomic_store(capacity, said[i]);
        assert_int_equal(channel_capacity(&channel, 8), taken[i]);
    }
}

static void what_a_worker_counts_is_added_up_once_also_when_it_goes(void **state)
{
    (void)state;
    struct call_counts total = {0};
    struct segment_header *header = channel.segment.header;
    calls_add(&header->steps, 5, 2);
    calls_add(&header->batches, 7, 3);
    channel_collect_calls(&channel, &total);
    channel_collect_calls(&channel, &total);
    assert_int_equal(total.steps.item_count, 2);
    assert_int_equal(total.batches.item_count, 3);
    struct channel none;
    channel_init(&none);
    channel_collect_calls(&none, &total);
    channel_set_step_budget(&none, 1);
    assert_int_equal(calls_count(&total.steps), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_closed_leaves_no_descriptor),
        cmocka_unit_test(a_step_that_fails_takes_back_those_before_it),
        cmocka_unit_test(sizes_out_of_bounds_leave_nothing),
        cmocka_unit_test_setup_teardown(the_worker_maps_the_segment_and_finds_a_record, scene_open,
                                        scene_close),
        cmocka_unit_test_setup_teardown(the_workers_bell_is_a_pipe_that_never_blocks_us, scene_open,
                                        scene_close),
        cmocka_unit_test_setup_teardown(our_bell_is_heard_when_the_worker_rings_it, scene_open,
                                        scene_close),
        cmocka_unit_test_setup_teardown(messages_come_in_their_order_with_their_bodies, scene_open,
                                        scene_close),
        cmocka_unit_test_setup_teardown(a_header_that_is_not_ours_is_refused, scene_open,
                                        scene_close),
        cmocka_unit_test_setup_teardown(kinds_that_no_worker_sends_are_refused, scene_open,
                                        scene_close),
        cmocka_unit_test_setup_teardown(packets_of_no_size_for_a_message_are_refused, scene_open,
                                        scene_close),
        cmocka_unit_test_setup_teardown(descriptors_are_seen_and_not_taken, scene_open,
                                        scene_close),
        cmocka_unit_test_setup_teardown(a_worker_has_no_more_slots_than_there_are_whatever_it_says,
                                        scene_open, scene_close),
        cmocka_unit_test_setup_teardown(what_a_worker_counts_is_added_up_once_also_when_it_goes,
                                        scene_open, scene_close),
        cmocka_unit_test(a_line_of_the_log_has_a_level_and_a_text),
        cmocka_unit_test(a_line_of_a_bad_level_or_shape_is_none),
    };
    alarm(30);
    return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
