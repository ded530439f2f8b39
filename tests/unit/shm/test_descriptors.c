/* SPDX-License-Identifier: MIT */
/*
 * test_descriptors.c - which descriptors come with a packet, and whose they are.
 */
#include "shm/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

#define SENT_COUNT 3

/* Two ends, and what is sent: the read ends of as many pipes, whose write ends have gone. */
struct ends {
    int out, in;
    int sent[SENT_COUNT];
};

static int ends_new(void **state)
{
    struct ends *made = calloc(1, sizeof *made);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    made->out = pair[0];
    made->in = pair[1];
    for (int i = 0; i < SENT_COUNT; i++) {
        assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
        made->sent[i] = pair[0];
        close(pair[1]);
    }
    *state = made;
    return 0;
}

static int ends_drop(void **state)
{
    struct ends *made = *state;
    descriptor_close(&made->out);
    descriptor_close(&made->in);
    for (int i = 0; i < SENT_COUNT; i++)
        descriptor_close(&made->sent[i]);
    free(made);
    return 0;
}

static int send_word(struct ends *ends, size_t fd_count)
{
    char word[] = "word";
    struct iovec parts[] = {{word, 1}, {word + 1, 3}};
    return descriptors_send(ends->out, &(struct packet){parts, 2, ends->sent, fd_count},
                            MSG_DONTWAIT);
}

static ssize_t receive(struct ends *ends, char *bytes, size_t count, int *fds, size_t fd_count)
{
    struct iovec part = {bytes, count};
    return descriptors_receive(ends->in, &(struct packet){&part, 1, fds, fd_count}, MSG_DONTWAIT);
}

static void assert_same_file(int one, int other)
{
    struct stat a, b;
    assert_int_equal(fstat(one, &a), 0);
    assert_int_equal(fstat(other, &b), 0);
    assert_int_equal(a.st_ino, b.st_ino);
}

static void descriptors_come_in_their_order_and_survive_no_exec(void **state)
{
    struct ends *ends = *state;
    char word[8];
    int fds[SENT_COUNT];
    assert_int_equal(send_word(ends, SENT_COUNT), 0);
    assert_int_equal(receive(ends, word, sizeof word, fds, SENT_COUNT), 4);
    assert_memory_equal(word, "word", 4);
    for (int i = 0; i < SENT_COUNT; i++) {
        assert_int_not_equal(fds[i], ends->sent[i]);
        assert_same_file(fds[i], ends->sent[i]);
        assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
        close(fds[i]);
    }
}

static void places_for_which_none_came_are_empty(void **state)
{
    struct ends *ends = *state;
    char word[8];
    int fds[2] = {7, 7};
    assert_int_equal(send_word(ends, 0), 0);
    assert_int_equal(receive(ends, word, sizeof word, fds, 2), 4);
    assert_int_equal(fds[0], -1);
    assert_int_equal(fds[1], -1);
    assert_int_equal(send_word(ends, 1), 0);
    assert_int_equal(receive(ends, word, sizeof word, fds, 2), 4);
    assert_same_file(fds[0], ends->sent[0]);
    assert_int_equal(fds[1], -1);
    close(fds[0]);
}

/* The test counts its descriptors at the end. */
static void more_than_there_is_room_for_are_not_made(void **state)
{
    struct ends *ends = *state;
    char word[8];
    int fd;
    assert_int_equal(send_word(ends, SENT_COUNT), 0);
    assert_int_equal(receive(ends, word, sizeof word, &fd, 1), 4);
    assert_same_file(fd, ends->sent[0]);
    close(fd);
    assert_int_equal(send_word(ends, SENT_COUNT), 0);
    assert_int_equal(receive(ends, word, sizeof word, NULL, 0), 4);
}

/* The limit that the kernel goes by: valgrind keeps to itself what a process says of its own. */
static unsigned descriptors_limit(void)
{
    char line[128];
    unsigned limit = 0;
    FILE *file = fopen("/proc/self/limits", "re");
    assert_non_null(file);
    while (limit == 0 && fgets(line, sizeof line, file))
        sscanf(line, "Max open files %u", &limit);
    fclose(file);
    return limit;
}

static void what_this_process_may_not_open_does_not_come(void **state)
{
    struct ends *ends = *state;
    char word[8];
    int fds[SENT_COUNT];
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    /* The lowest one that is free is the last that may be opened. */
    int last = dup(ends->in);
    close(last);
    struct rlimit few = {(rlim_t)last + 1, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    if (descriptors_limit() != few.rlim_cur) {
        setrlimit(RLIMIT_NOFILE, &before);
        print_message("the kernel was not told the limit\n");
        skip();
    }
    assert_int_equal(send_word(ends, SENT_COUNT), 0);
    ssize_t count = receive(ends, word, sizeof word, fds, SENT_COUNT);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(count, 4);
    assert_int_equal(fds[0], last);
    assert_int_equal(fds[1], -1);
    assert_int_equal(fds[2], -1);
    close(last);
}

static void a_packet_that_is_too_long_is_refused_and_its_descriptors_are_ours(void **state)
{
    struct ends *ends = *state;
    char word[3];
    int fd;
    assert_int_equal(send_word(ends, 1), 0);
    assert_int_equal(receive(ends, word, sizeof word, &fd, 1), -EMSGSIZE);
    assert_same_file(fd, ends->sent[0]);
    close(fd);
}

static void an_empty_socket_and_its_end_are_told_apart(void **state)
{
    struct ends *ends = *state;
    char word[8];
    int fd = 7;
    assert_int_equal(receive(ends, word, sizeof word, &fd, 1), -EAGAIN);
    assert_int_equal(fd, -1);
    descriptor_close(&ends->out);
    assert_int_equal(receive(ends, word, sizeof word, &fd, 1), 0);
    assert_int_equal(fd, -1);
}

static void sending_to_nobody_is_an_error(void **state)
{
    struct ends *ends = *state;
    descriptor_close(&ends->in);
    assert_int_equal(send_word(ends, 1), -EPIPE);
}

static void descriptors_that_wait_are_seen_and_not_taken(void **state)
{
    struct ends *ends = *state;
    char bytes[8];
    int fds[2];
    struct iovec part = {bytes, sizeof bytes};
    assert_false(descriptors_wait(ends->in));
    assert_int_equal(send_word(ends, 0), 0);
    assert_false(descriptors_wait(ends->in));
    assert_int_equal(recv(ends->in, bytes, sizeof bytes, 0), 4);
    assert_int_equal(send_word(ends, 2), 0);
    assert_true(descriptors_wait(ends->in));
    assert_true(descriptors_wait(ends->in));
    assert_int_equal(descriptors_receive(ends->in, &(struct packet){&part, 1, fds, 2}, 0), 4);
    assert_same_file(fds[0], ends->sent[0]);
    assert_same_file(fds[1], ends->sent[1]);
    for (int i = 0; i < 2; i++)
        close(fds[i]);
}

static void a_descriptor_is_closed_once(void **state)
{
    struct ends *ends = *state;
    int fd = ends->sent[0];
    descriptor_close(&ends->sent[0]);
    assert_int_equal(ends->sent[0], -1);
    assert_int_equal(dup(ends->in), fd); /* somebody else's now */
    descriptor_close(&ends->sent[0]);
    assert_int_equal(fcntl(fd, F_GETFD), 0);
    close(fd);
}

int main(void)
{
    alarm(60);
#define ENDS_TEST(name) cmocka_unit_test_setup_teardown(name, ends_new, ends_drop)
    const struct CMUnitTest tests[] = {
        ENDS_TEST(descriptors_come_in_their_order_and_survive_no_exec),
        ENDS_TEST(places_for_which_none_came_are_empty),
        ENDS_TEST(more_than_there_is_room_for_are_not_made),
        ENDS_TEST(what_this_process_may_not_open_does_not_come),
        ENDS_TEST(a_packet_that_is_too_long_is_refused_and_its_descriptors_are_ours),
        ENDS_TEST(an_empty_socket_and_its_end_are_told_apart),
        ENDS_TEST(sending_to_nobody_is_an_error),
        ENDS_TEST(descriptors_that_wait_are_seen_and_not_taken),
        ENDS_TEST(a_descriptor_is_closed_once),
    };
    return cmocka_run_group_tests(tests, descriptors_note, descriptors_compare);
}
