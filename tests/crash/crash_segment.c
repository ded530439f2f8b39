/* SPDX-License-Identifier: MIT */
/*
 * crash_segment.c - the dispatcher dies while it makes a segment or with one shared, a worker while
 * it attaches (docs/internals/memory.md).
 */
#include "tests/crash/stepper.h"

#include <dirent.h>
#include <sys/socket.h>

#include "shm/segment.h"
#include "tests/unit/shm/ring_memory.h"

#define RECORD_BYTES 100u

enum stage { STAGE_CREATE = 1, STAGE_ATTACH, STAGE_SHARED, STAGE_OVER };

static const struct segment_options options_small = {
    .slot_count = 1,
    .request_ring_bytes = RING_BYTES_MIN,
    .reply_ring_bytes = RING_BYTES_MIN,
    .window_bytes = 1000,
};

struct world {
    struct stepper stepper;
    struct segment segment; /* the survivor's, where it has one */
    uint8_t *before;        /* a copy of all its bytes */
    int sockets[2];
};

/* Entries of /dev/shm that are ours. */
static uint32_t names_in_dev_shm(void)
{
    uint32_t count = 0;
    DIR *directory = opendir("/dev/shm");
    if (directory == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += strstr(entry->d_name, "millrace") != NULL;
    closedir(directory);
    return count;
}

static uint32_t names_before;

static void *world_new(void)
{
    struct world *world = guarded_map(sizeof *world);
    names_before = names_in_dev_shm();
    world->segment.fd = -1;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, world->sockets), 0);
    return world;
}

static void *world_with_segment(void)
{
    struct world *world = world_new();
    assert_int_equal(segment_create(&world->segment, &options_small), 0);
    world->before = malloc(world->segment.total_bytes);
    memcpy(world->before, world->segment.header, world->segment.total_bytes);
    return world;
}

static void world_drop(void *argument)
{
    struct world *world = argument;
    free(world->before);
    segment_detach(&world->segment);
    close(world->sockets[0]);
    close(world->sockets[1]);
    guarded_unmap(world, sizeof *world);
}

/* ---- while it is made ------------------------------------------------------------------------ */

static void create(void *argument)
{
    struct world *world = argument;
    struct segment segment;
    stepper_stage(&world->stepper, STAGE_CREATE);
    mr_assert(segment_create(&segment, &options_small) == 0);
    stepper_stage(&world->stepper, STAGE_OVER);
}

/* A memfd has no name: what the dead one had made is gone with it. */
static void expect_nothing_left(void *argument)
{
    (void)argument;
    assert_int_equal(names_in_dev_shm(), names_before);
}

static void dispatcher_dies_while_it_makes_a_segment(void **state)
{
    (void)state;
    const struct row row = {world_new, create, expect_nothing_left, world_drop, STAGE_CREATE};
    uint32_t deaths = stepper_run(&row);
    print_message("%u deaths\n", deaths);
    assert_true(deaths >= 50);
}

/* ---- while a worker attaches ----------------------------------------------------------------- */

static void attach(void *argument)
{
    struct world *world = argument;
    struct segment segment;
    stepper_stage(&world->stepper, STAGE_ATTACH);
    char reason[SEGMENT_REASON_BYTES];
    mr_assert(segment_attach(&segment, world->segment.fd, reason) == 0);
    stepper_stage(&world->stepper, STAGE_OVER);
}

/* Attaching writes nothing: not a byte has changed, and the next worker can attach. */
static void expect_untouched_segment(void *argument)
{
    struct world *world = argument;
    struct segment seen;
    assert_memory_equal(world->segment.header, world->before, world->segment.total_bytes);
    char reason[SEGMENT_REASON_BYTES];
    assert_int_equal(segment_attach(&seen, dup(world->segment.fd), reason), 0);
    segment_detach(&seen);
}

static void worker_dies_while_it_attaches(void **state)
{
    (void)state;
    const struct row row = {world_with_segment, attach, expect_untouched_segment, world_drop,
                            STAGE_ATTACH};
    uint32_t deaths = stepper_run(&row);
    print_message("%u deaths\n", deaths);
    assert_true(deaths >= 50);
}

/* ---- while it is shared ---------------------------------------------------------------------- */

static void send_fd(int socket, int fd)
{
    char control[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec part = {.iov_base = (char[]){'f'}, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof control,
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    mr_assert(sendmsg(socket, &message, 0) == 1);
}

static int receive_fd(int socket)
{
    int fd = -1;
    char byte;
    char control[CMSG_SPACE(sizeof fd)];
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof control,
    };
    assert_int_equal(recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT), 1);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    assert_non_null(header);
    memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return fd;
}

/* The child is the dispatcher: it shares a segment and then writes requests until it dies. */
static void share(void *argument)
{
    struct world *world = argument;
    struct segment segment;
    struct ring_tx tx;
    void *payload;
    mr_assert(segment_create(&segment, &options_small) == 0);
    send_fd(world->sockets[0], segment.fd);
    ring_tx_init(&tx, segment.request_ring, segment.options.request_ring_bytes);
    stepper_stage(&world->stepper, STAGE_SHARED);
    mr_assert(ring_claim(&tx, RECORD_BYTES, &payload) == 0);
    pattern_fill(payload, 0, RECORD_BYTES, 1);
    ring_commit(&tx, &(struct record){.bytes = RECORD_BYTES, .kind = RECORD_START});
    stepper_stage(&world->stepper, STAGE_OVER);
}

/* The worker keeps all of the memory, readable and writable, and no partial request in it. */
static void expect_whole_segment_without_its_maker(void *argument)
{
    struct world *world = argument;
    struct ring_rx rx;
    struct record meta;
    const void *payload;
    char reason[SEGMENT_REASON_BYTES];
    assert_int_equal(segment_attach(&world->segment, receive_fd(world->sockets[1]), reason), 0);
    ring_rx_init(&rx, world->segment.request_ring, RING_BYTES_MIN);
    int rc = ring_peek(&rx, &meta, &payload);
    assert_true(rc >= 0);
    if (rc == 1)
        assert_true(pattern_holds(payload, RECORD_BYTES, 1));

    assert_int_equal(ftruncate(world->segment.fd, 0), -1);
    assert_int_equal(errno, EPERM);
    memset(world->segment.header, 0xff, world->segment.total_bytes);
}

static void dispatcher_dies_with_the_segment_shared(void **state)
{
    (void)state;
    const struct row row = {world_new, share, expect_whole_segment_without_its_maker, world_drop,
                            STAGE_SHARED};
    uint32_t deaths = stepper_run(&row);
    print_message("%u deaths\n", deaths);
    assert_true(deaths >= 50);
}

int main(void)
{
    alarm(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dispatcher_dies_while_it_makes_a_segment),
        cmocka_unit_test(worker_dies_while_it_attaches),
        cmocka_unit_test(dispatcher_dies_with_the_segment_shared),
    };
    return cmocka_run_group_tests(tests, descriptors_note, descriptors_compare);
}
