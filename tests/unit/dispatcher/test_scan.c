/* SPDX-License-Identifier: MIT */
/*
 * test_scan.c - one look for devices, with a scanner that says what it likes.
 *
 * The scanner is the test program itself, whose main() asks for its name first; which script it
 * plays is in a variable that children are given.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/devices/scan.h"
#include "dispatcher/devices/scanner.h"
#include "dispatcher/reactor/child.h"
#include "tests/unit/dispatcher/fds.h"

#define SCRIPT "CUDA_SCRIPT"
#define NOW_MS 5000u
#define TIMEOUT_MS 1500u
#define GONE_TRY_MS 2
#define EXIT_CODE 7

static struct scan scan;
static int fd_count;

/* ---- the scanner ---- */

static struct scan_message found(uint32_t index)
{
    struct scan_message message = {.magic = SCAN_MAGIC, .kind = SCAN_FOUND};
    message.device = (struct device){.kind = DEVICE_CUDA, .index = index, .numa_node = -1};
    snprintf(message.device.uuid, sizeof(message.device.uuid), "GPU-%u", index);
    return message;
}

static struct scan_message ended(uint32_t kind, const char *reason)
{
    struct scan_message message = {.magic = SCAN_MAGIC, .kind = kind};
    snprintf(message.reason, sizeof(message.reason), "%s", reason);
    return message;
}

static void say(struct scan_message message)
{
    if (send(CHILD_FD_SOCKET, &message, sizeof(message), MSG_NOSIGNAL) == -1)
        _exit(0);
}

static void say_bytes(size_t bytes)
{
    static char zeros[2 * sizeof(struct scan_message)];
    send(CHILD_FD_SOCKET, zeros, bytes, MSG_NOSIGNAL);
}

static void play_all_found(void)
{
    say(found(0));
    say(found(1));
    say(ended(SCAN_DONE, ""));
}

static void play_one_lost(void)
{
    say(found(0));
    say(ended(SCAN_DONE, "GPU 1 cannot be used"));
}

static void play_absent(void)
{
    say(ended(SCAN_ABSENT, "no such library"));
}

static void play_failed(void)
{
    say(found(0));
    say(ended(SCAN_FAILED, "the driver says no"));
}

static void play_silent(void)
{
    say(found(0));
    for (;;)
        pause();
}

static void play_crash(void)
{
    say(found(0));
    __builtin_trap();
}

static void play_exit(void)
{
    _exit(EXIT_CODE);
}

static void play_no_magic(void)
{
    struct scan_message message = ended(SCAN_DONE, "");
    message.magic++;
    say(message);
}

static void play_no_kind(void)
{
    say(ended(SCAN_MESSAGE_KIND_COUNT, ""));
}

static void play_short(void)
{
    say_bytes(sizeof(struct scan_message) - 1);
}

static void play_long(void)
{
    say_bytes(sizeof(struct scan_message) + 1);
}

static void play_index_again(void)
{
    say(found(0));
    say(found(0));
}

static void play_other_kind(void)
{
    struct scan_message message = found(0);
    message.device.kind = DEVICE_HIP;
    say(message);
}

static void play_unsound(void)
{
    struct scan_message message = found(0);
    message.device.uuid[0] = '\n';
    say(message);
}

static void play_too_many(void)
{
    for (uint32_t i = 0; i <= DEVICE_COUNT_MAX; i++)
        say(found(i));
}

static struct scan_message use(uint32_t index)
{
    struct scan_message message = {.magic = SCAN_MAGIC, .kind = SCAN_USE};
    message.use = (struct device_use){.index = index, .pid = 4711, .bytes = 12345};
    return message;
}

static void play_used(void)
{
    say(found(0));
    say(found(1));
    say(use(1));
    say(ended(SCAN_DONE, ""));
}

static void play_use_of_none(void)
{
    say(found(0));
    say(use(1));
}

static void play_too_many_uses(void)
{
    say(found(0));
    for (uint32_t i = 0; i <= SCAN_USE_COUNT_MAX; i++)
        say(use(0));
}

static void play_event(void)
{
    say(ended(SCAN_EVENT, ""));
}

static void play_odd_reason(void)
{
    struct scan_message message = ended(SCAN_FAILED, "");
    memset(message.reason, '\033', sizeof(message.reason));
    say(message);
}

static const struct script {
    const char *name;
    void (*play)(void);
} scripts[] = {
    {"all-found", play_all_found},
    {"one-lost", play_one_lost},
    {"absent", play_absent},
    {"failed", play_failed},
    {"silent", play_silent},
    {"crash", play_crash},
    {"exit", play_exit},
    {"no-magic", play_no_magic},
    {"no-kind", play_no_kind},
    {"short", play_short},
    {"long", play_long},
    {"unsound", play_unsound},
    {"index-again", play_index_again},
    {"other-kind", play_other_kind},
    {"too-many", play_too_many},
    {"used", play_used},
    {"use-of-none", play_use_of_none},
    {"too-many-uses", play_too_many_uses},
    {"event", play_event},
    {"odd-reason", play_odd_reason},
};

static int scanner_play(void)
{
    const char *name = getenv(SCRIPT);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (size_t i = 0; i < ARRAY_COUNT(scripts); i++)
        if (name && strcmp(scripts[i].name, name) == 0)
            scripts[i].play();
    _exit(0);
}

/* ---- the one who asks ---- */

static int scene_open(void **state)
{
    (void)state;
    fd_count = fds_count();
    scan_init(&scan);
    return 0;
}

static int scene_close(void **state)
{
    (void)state;
    scan_finish(&scan);
    return fds_count() == fd_count ? 0 : -1;
}

static void begin(const char *script)
{
    setenv(SCRIPT, script, 1);
    assert_int_equal(scan_begin(&scan, "cuda", NOW_MS, TIMEOUT_MS), 0);
    assert_int_equal(scan.state, SCAN_UNDER_WAY);
    assert_int_equal(scan.due_ms, NOW_MS + TIMEOUT_MS);
}

static void wait_readable(void)
{
    struct pollfd wanted = {.fd = scan.scanner.socket, .events = POLLIN};
    while (poll(&wanted, 1, -1) == -1)
        assert_int_equal(errno, EINTR);
}

static void hear_all(void)
{
    do
        wait_readable();
    while (!scan_hear(&scan));
}

static void wait_gone(void)
{
    while (!scan_is_gone(&scan))
        poll(NULL, 0, GONE_TRY_MS);
}

static void hear_script(const char *script)
{
    begin(script);
    hear_all();
    wait_gone();
}

static void all_devices_are_heard_and_kept(void **state)
{
    (void)state;
    hear_script("all-found");
    assert_int_equal(scan.state, SCAN_ALL_FOUND);
    assert_int_equal(scan.count, 2);
    assert_string_equal(scan.devices[1].uuid, "GPU-1");
    assert_string_equal(scan.reason, "");
}

static void what_processes_use_is_heard_behind_the_devices(void **state)
{
    (void)state;
    hear_script("used");
    assert_int_equal(scan.state, SCAN_ALL_FOUND);
    assert_int_equal(scan.count, 2);
    assert_int_equal(scan.use_count, 1);
    assert_int_equal(scan.uses[0].index, 1);
    assert_int_equal(scan.uses[0].pid, 4711);
    assert_int_equal(scan.uses[0].bytes, 12345);
}

static void what_cannot_be_used_is_said_beside_those_that_can(void **state)
{
    (void)state;
    hear_script("one-lost");
    assert_int_equal(scan.state, SCAN_ALL_FOUND);
    assert_int_equal(scan.count, 1);
    assert_string_equal(scan.reason, "GPU 1 cannot be used");
}

static void absence_and_failure_are_told_apart(void **state)
{
    (void)state;
    hear_script("absent");
    assert_int_equal(scan.state, SCAN_NONE_HERE);
    assert_string_equal(scan.reason, "no such library");
    hear_script("failed");
    assert_int_equal(scan.state, SCAN_UNKNOWN);
    assert_int_equal(scan.count, 1);
    assert_string_equal(scan.reason, "the driver says no");
}

static void another_scan_begins_without_what_the_last_one_said(void **state)
{
    (void)state;
    hear_script("failed");
    hear_script("all-found");
    assert_int_equal(scan.state, SCAN_ALL_FOUND);
    assert_int_equal(scan.count, 2);
    assert_string_equal(scan.reason, "");
}

static void a_scanner_that_says_nothing_is_given_up_when_its_time_is_over(void **state)
{
    (void)state;
    begin("silent");
    wait_readable();
    assert_false(scan_hear(&scan));
    assert_int_equal(scan.count, 1);
    assert_false(scan_expire(&scan, NOW_MS + TIMEOUT_MS - 1));
    assert_true(scan_expire(&scan, NOW_MS + TIMEOUT_MS));
    assert_int_equal(scan.state, SCAN_UNKNOWN);
    assert_string_equal(scan.reason, "the driver did not answer in 1.5 s");
    assert_int_equal(scan.scanner.socket, -1);
    wait_gone();
    assert_string_equal(scan.reason, "the driver did not answer in 1.5 s");
}

static void how_a_scanner_died_is_said(void **state)
{
    (void)state;
    hear_script("crash");
    assert_int_equal(scan.state, SCAN_UNKNOWN);
    assert_int_equal(scan.count, 1);
    assert_string_equal(scan.reason,
                        "the process that asks the driver ended by signal 4 (Illegal instruction)");
    hear_script("exit");
    assert_int_equal(scan.state, SCAN_UNKNOWN);
    assert_string_equal(scan.reason, "the process that asks the driver ended with exit code 7");
}

static void a_scanner_that_lies_is_not_believed(void **state)
{
    static const char *const lies[] = {"no-magic",    "no-kind",       "short",   "long",
                                       "index-again", "other-kind",    "unsound", "too-many",
                                       "use-of-none", "too-many-uses", "event"};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(lies); i++) {
        hear_script(lies[i]);
        assert_int_equal(scan.state, SCAN_UNKNOWN);
        assert_string_equal(scan.reason, "the process that asks the driver said what cannot be");
        assert_true(scan.count <= DEVICE_COUNT_MAX);
        assert_true(scan.use_count <= SCAN_USE_COUNT_MAX);
    }
}

static void a_reason_ends_and_can_be_shown(void **state)
{
    (void)state;
    hear_script("odd-reason");
    assert_int_equal(strlen(scan.reason), SCAN_REASON_BYTES - 1);
    assert_int_equal(strspn(scan.reason, "?"), SCAN_REASON_BYTES - 1);
}

static void what_is_under_way_can_be_finished_at_any_time(void **state)
{
    (void)state;
    begin("silent");
    scan_finish(&scan);
    assert_int_equal(scan.state, SCAN_NEVER);
    assert_null(scan.devices);
    begin("all-found");
    hear_all(); /* and is not asked whether it is gone */
}

static void without_descriptors_nothing_begins_and_all_is_as_it_was(void **state)
{
    (void)state;
    hear_script("absent");
    struct rlimit limit, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){STDERR_FILENO + 1, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int rc = scan_begin(&scan, "cuda", NOW_MS, TIMEOUT_MS);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(rc < 0); /* valgrind has words of its own for it */
    assert_int_equal(scan.state, SCAN_NONE_HERE);
    assert_string_equal(scan.reason, "no such library");
}

int main(int argc, char **argv)
{
    if (argc > 0 && strcmp(argv[0], SCANNER_NAME) == 0)
        return scanner_play();
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)
        TEST(all_devices_are_heard_and_kept),
        TEST(what_processes_use_is_heard_behind_the_devices),
        TEST(what_cannot_be_used_is_said_beside_those_that_can),
        TEST(absence_and_failure_are_told_apart),
        TEST(another_scan_begins_without_what_the_last_one_said),
        TEST(a_scanner_that_says_nothing_is_given_up_when_its_time_is_over),
        TEST(how_a_scanner_died_is_said),
        TEST(a_scanner_that_lies_is_not_believed),
        TEST(a_reason_ends_and_can_be_shown),
        TEST(what_is_under_way_can_be_finished_at_any_time),
        TEST(without_descriptors_nothing_begins_and_all_is_as_it_was),
#undef TEST
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
