/* SPDX-License-Identifier: MIT */
/* test_start_report.c - how often it is said how far a start is. */
#include "worker/engine/start_report.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

#define SEND_COUNT_MAX 10000u

static int ends[2];
static struct start_report report;

static int scene_open(void **state)
{
    (void)state;
    report = (struct start_report){0};
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
}

static int scene_close(void **state)
{
    (void)state;
    close(ends[0]);
    close(ends[1]);
    return 0;
}

struct packet {
    struct message header;
    struct message_progress head;
    char text[256];
};

/* The next one that was sent; false: none was. */
static bool heard(struct packet *out)
{
    memset(out, 0, sizeof *out);
    ssize_t bytes = recv(ends[1], out, sizeof *out - 1, MSG_DONTWAIT);
    if (bytes <= 0)
        return false;
    assert_int_equal(out->header.kind, MESSAGE_PROGRESS);
    assert_int_equal(out->header.bytes, (size_t)bytes - sizeof out->header);
    return true;
}

static void expect_heard(uint32_t permille, const char *text)
{
    struct packet packet;
    assert_true(heard(&packet));
    assert_int_equal(packet.head.permille, permille);
    assert_string_equal(packet.text, text);
}

static void expect_silence(void)
{
    struct packet packet;
    assert_false(heard(&packet));
}

static void say(double fraction, const char *text)
{
    start_report_say(&report, ends[0], fraction, text);
}

static void fractions_are_said_in_thousandths(void **state)
{
    (void)state;
    say(0.62, "loading");
    expect_heard(620, "loading");
    say(7, NULL);
    expect_heard(1000, "");
    say(-1, "compiling\nfor long");
    expect_heard(MESSAGE_PROGRESS_UNKNOWN, "compiling");
    say(NAN, "");
    expect_heard(MESSAGE_PROGRESS_UNKNOWN, "");
    say(INFINITY, "\r");
    expect_heard(1000, "");
}

static void long_texts_are_cut_at_a_character(void **state)
{
    char text[256] = "a";
    struct packet packet;
    (void)state;
    for (size_t i = 1; i < 150; i += 3)
        memcpy(text + i, "\xe2\x82\xac", 4);
    say(0, text);
    assert_true(heard(&packet));
    assert_int_equal(strlen(packet.text), MESSAGE_PROGRESS_TEXT_BYTES_MAX - 2);
}

static void the_same_again_is_sent_once_in_a_while(void **state)
{
    (void)state;
    say(0.5, "a");
    say(0.5, "a");
    expect_heard(500, "a");
    expect_silence();
    report.sent_ns -= 100000000; /* a tenth of a second ago */
    say(0.5, "a");
    expect_heard(500, "a");
}

static void of_a_flood_little_is_sent_and_then_the_last(void **state)
{
    struct packet packet;
    uint32_t count = 0;
    (void)state;
    for (uint32_t i = 0; i < SEND_COUNT_MAX; i++) {
        char text[16];
        snprintf(text, sizeof text, "%u", i);
        say(0, text);
        count += heard(&packet);
    }
    assert_in_range(count, 20, 100); /* more only on a machine that took eight seconds for it */
    report.spent_ns += 1000000000;   /* whatever the clock says, it is held back */
    say(1, "last");
    expect_silence();
    start_report_end(&report, ends[0]);
    expect_heard(1000, "last");
    say(0, "more");
    start_report_end(&report, ends[0]);
    expect_silence();
}

static void what_follows_a_loop_is_sent_at_once(void **state)
{
    struct packet packet;
    uint32_t count = 0;
    (void)state;
    for (uint32_t i = 0; i < SEND_COUNT_MAX; i++) {
        say((double)i / SEND_COUNT_MAX, "loading");
        count += heard(&packet);
    }
    assert_in_range(count, 10, 100);
    say(-1, "compiling");
    expect_heard(MESSAGE_PROGRESS_UNKNOWN, "compiling");
}

/* Nobody takes it from the socket. */
static void a_full_socket_makes_nobody_wait(void **state)
{
    char packet[4096] = "";
    (void)state;
    while (send(ends[0], packet, sizeof packet, MSG_DONTWAIT) > 0)
        continue;
    say(0.5, "waits");
    assert_true(report.is_held_back);
    while (recv(ends[1], packet, sizeof packet, MSG_DONTWAIT) > 0)
        continue;
    start_report_flush(&report, ends[0]);
    expect_heard(500, "waits");
    start_report_flush(&report, ends[0]);
    expect_silence();
}

#define REPORT_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        REPORT_TEST(fractions_are_said_in_thousandths),
        REPORT_TEST(long_texts_are_cut_at_a_character),
        REPORT_TEST(the_same_again_is_sent_once_in_a_while),
        REPORT_TEST(of_a_flood_little_is_sent_and_then_the_last),
        REPORT_TEST(what_follows_a_loop_is_sent_at_once),
        REPORT_TEST(a_full_socket_makes_nobody_wait),
    };
    return cmocka_run_group_tests_name("start_report", tests, descriptors_note,
                                       descriptors_compare);
}
