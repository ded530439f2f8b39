/* SPDX-License-Identifier: MIT */
/*
 * test_devices.c - what is known of devices while scanners find, fail and hang, with a test that
 * plays these processes, the kernel and the clock.
 */
#include "dispatcher/devices/care.h"
#include "dispatcher/devices/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/devices/scanner.h"
#include "dispatcher/reactor/child.h"
#include "shm/descriptors.h"
#include "tests/unit/dispatcher/fds.h"

#define SCANNER_PID 3000000 /* of the first source */
#define GONE_MS 10u         /* until it is seen that a process is gone */
#define HOUR_MS 3600000u

static struct reactor reactor;
static struct devices devices;
static int fd_count;
static int held_index = -1; /* of the device that a process has; -1: none */
static uint32_t told_counts[DEVICE_SOURCE_COUNT];

/* The process that looks for each source. */
static struct played {
    int socket; /* -1: there is none */
    uint32_t start_count, start_error, kill_count;
    bool stays; /* though it was killed */
} played[DEVICE_SOURCE_COUNT];

/* ---- the kernel ----------------------------------------------------------------------------- */

static enum device_source source_named(const char *word)
{
    for (uint32_t i = 0; i < DEVICE_SOURCE_COUNT; i++)
        if (strcmp(device_source_name((enum device_source)i), word) == 0)
            return (enum device_source)i;
    mr_unreachable("a word of no source");
}

int child_start(pid_t *pid, const char *name, const char *word, int socket)
{
    mr_assert(strcmp(name, SCANNER_NAME) == 0);
    if (strcmp(word, SCAN_WATCH_WORD) == 0)
        return -EAGAIN;
    enum device_source source = source_named(word);
    if (played[source].start_error)
        return -(int)played[source].start_error;
    descriptor_close(&played[source].socket);
    played[source].socket = fcntl(socket, F_DUPFD_CLOEXEC, 0);
    played[source].start_count++;
    *pid = SCANNER_PID + (pid_t)source;
    return 0;
}

int kill(pid_t pid, int number)
{
    mr_assert(pid >= SCANNER_PID && pid < SCANNER_PID + (pid_t)DEVICE_SOURCE_COUNT);
    mr_assert(number == SIGKILL);
    played[pid - SCANNER_PID].kill_count++;
    return 0;
}

int waitid(idtype_t type, id_t id, siginfo_t *info, int flags)
{
    mr_assert(type == P_PID && (flags & WNOHANG));
    info->si_code = CLD_KILLED;
    info->si_status = SIGKILL;
    info->si_pid = played[id - SCANNER_PID].stays ? 0 : (pid_t)id;
    return 0;
}

void uring_poll(struct uring *uring, int fd, struct uring_ref ref)
{
    (void)uring;
    mr_assert(ref.op == URING_SCANNER && fd >= 0);
}

void uring_cancel(struct uring *uring, struct uring_ref ref)
{
    (void)uring;
    mr_assert(ref.op == URING_SCANNER);
}

/* So much later; and all timers that are due. */
static void pass_after(uint64_t ms)
{
    uint64_t until_ms = reactor.now_ms + ms;
    for (;;) {
        uint64_t next_ms = timers_next_ms(&reactor.timers);
        if (next_ms > until_ms)
            break;
        reactor.now_ms = next_ms > reactor.now_ms ? next_ms : reactor.now_ms;
        while (timers_take(&reactor.timers, reactor.now_ms))
            devices_on_timer(&devices);
    }
    reactor.now_ms = until_ms;
}

/* ---- the processes -------------------------------------------------------------------------- */

static void source_event(enum device_source source, uint32_t generation)
{
    struct uring_ref ref = {URING_SCANNER, source, generation};
    devices_on_scanner(&devices, &(struct uring_event){.ref = ref, .result = 1, .more = true});
}

static void say(enum device_source source, struct scan_message message)
{
    message.magic = SCAN_MAGIC;
    assert_int_equal(send(played[source].socket, &message, sizeof message, 0), sizeof message);
}

static void say_end(enum device_source source, enum scan_message_kind kind, const char *reason)
{
    struct scan_message message = {.kind = kind};
    snprintf(message.reason, sizeof message.reason, "%s", reason);
    say(source, message);
    source_event(source, devices.sources[source].scan.scanner.generation);
}

/* It finds so many. */
static void say_found(enum device_source source, enum device_kind kind, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        say(source, (struct scan_message){
                        .kind = SCAN_FOUND,
                        .device = {.kind = kind, .index = i, .numa_node = -1, .uuid = "GPU-a"}});
    say_end(source, SCAN_DONE, "");
}

static void die(enum device_source source)
{
    descriptor_close(&played[source].socket);
    source_event(source, devices.sources[source].scan.scanner.generation);
}

static void on_changed(void *owner, enum device_source source)
{
    assert_ptr_equal(owner, &devices);
    told_counts[source]++;
}

static void on_other(void *owner, const struct device *device, const char *reason)
{
    (void)owner, (void)device, (void)reason;
}

static void on_released(void *owner, const struct device *device)
{
    on_other(owner, device, "");
}

static bool on_is_held(void *owner, const struct device *device)
{
    (void)owner;
    return held_index >= 0 && device->index == (uint32_t)held_index;
}

static const struct devices_ops ops = {.changed = on_changed,
                                       .lost = on_other,
                                       .doubted = on_other,
                                       .released = on_released,
                                       .is_held = on_is_held};

static int scene_open(void **state)
{
    (void)state;
    fd_count = fds_count();
    reactor = (struct reactor){.now_ms = 1000000};
    log_init(&reactor.log, -1, LEVEL_COUNT);
    memset(told_counts, 0, sizeof told_counts);
    for (uint32_t i = 0; i < DEVICE_SOURCE_COUNT; i++)
        played[i] = (struct played){.socket = -1};
    return devices_init(&devices, &reactor, &ops, &devices);
}

static int scene_close(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < DEVICE_SOURCE_COUNT; i++) {
        played[i].stays = false;
        descriptor_close(&played[i].socket);
    }
    devices_finish(&devices);
    timers_finish(&reactor.timers);
    return fds_count() == fd_count ? 0 : -1;
}

/* Somebody wants to know of the GPUs of NVIDIA, and a scanner has begun. */
static void want_cuda(void)
{
    devices_want(&devices, DEVICE_SOURCE_CUDA);
    pass_after(1);
    assert_non_null(devices.sources[DEVICE_SOURCE_CUDA].scan.devices);
}

static const struct devices_source *cuda = &devices.sources[DEVICE_SOURCE_CUDA];

/* ---- what becomes known --------------------------------------------------------------------- */

static void nothing_is_looked_for_before_it_is_wanted_and_then_once(void **state)
{
    (void)state;
    devices_look_again(&devices);
    pass_after(HOUR_MS);
    assert_int_equal(played[DEVICE_SOURCE_CUDA].start_count, 0);
    devices_want(&devices, DEVICE_SOURCE_CUDA);
    devices_want(&devices, DEVICE_SOURCE_CUDA);
    assert_int_equal(played[DEVICE_SOURCE_CUDA].start_count, 0); /* not in the middle of a pass */
    pass_after(1);
    assert_int_equal(played[DEVICE_SOURCE_CUDA].start_count, 1);
    assert_int_equal(cuda->knowledge, DEVICES_UNKNOWN);
    say_found(DEVICE_SOURCE_CUDA, DEVICE_CUDA, 2);
    assert_int_equal(told_counts[DEVICE_SOURCE_CUDA], 1);
    assert_int_equal(cuda->knowledge, DEVICES_FOUND);
    assert_int_equal(cuda->count, 2);
    assert_int_equal(cuda->found[1].index, 1);
    pass_after(HOUR_MS);
    assert_int_equal(played[DEVICE_SOURCE_CUDA].start_count, 1);
    for (uint32_t i = DEVICE_SOURCE_CUDA + 1; i < DEVICE_SOURCE_COUNT; i++)
        assert_int_equal(played[i].start_count, 0);
}

static void that_there_can_be_none_is_known_with_its_reason(void **state)
{
    (void)state;
    want_cuda();
    say_end(DEVICE_SOURCE_CUDA, SCAN_ABSENT, "no such library");
    assert_int_equal(cuda->knowledge, DEVICES_ABSENT);
    assert_string_equal(cuda->reason, "no such library");
    assert_int_equal(told_counts[DEVICE_SOURCE_CUDA], 1);
    pass_after(HOUR_MS);
    assert_int_equal(played[DEVICE_SOURCE_CUDA].start_count, 1);
}

static void each_source_is_looked_for_by_a_process_of_its_own(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < DEVICE_SOURCE_COUNT; i++)
        devices_want(&devices, (enum device_source)i);
    pass_after(1);
    say_found(DEVICE_SOURCE_CORES, DEVICE_CPU, 3);
    assert_int_equal(devices.sources[DEVICE_SOURCE_CORES].count, 3);
    for (uint32_t i = 0; i < DEVICE_SOURCE_CORES; i++) {
        assert_int_equal(played[i].start_count, 1);
        assert_int_equal(devices.sources[i].knowledge, DEVICES_UNKNOWN);
        assert_int_equal(told_counts[i], 0);
    }
}

static void each_kind_that_is_found_has_its_source(void **state)
{
    (void)state;
    assert_int_equal(device_source_of(DEVICE_CUDA, false), DEVICE_SOURCE_CUDA);
    assert_int_equal(device_source_of(DEVICE_HIP, false), DEVICE_SOURCE_HIP);
    assert_int_equal(device_source_of(DEVICE_VULKAN, false), DEVICE_SOURCE_VULKAN);
    assert_int_equal(device_source_of(DEVICE_CPU, false), DEVICE_SOURCE_NUMA);
    assert_int_equal(device_source_of(DEVICE_CPU, true), DEVICE_SOURCE_CORES);
}

/* ---- failures ------------------------------------------------------------------------------- */

static void after_a_failure_it_is_looked_again_later_and_later(void **state)
{
    static const uint64_t pauses_ms[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    (void)state;
    want_cuda();
    for (uint32_t i = 0; i < ARRAY_COUNT(pauses_ms); i++) {
        say_end(DEVICE_SOURCE_CUDA, SCAN_FAILED, "no permission");
        assert_int_equal(cuda->knowledge, DEVICES_FAILED);
        assert_string_equal(cuda->reason, "no permission");
        assert_int_equal(told_counts[DEVICE_SOURCE_CUDA], i + 1);
        pass_after(pauses_ms[i] - 1);
        assert_int_equal(played[DEVICE_SOURCE_CUDA].start_count, i + 1);
        pass_after(1);
        assert_int_equal(played[DEVICE_SOURCE_CUDA].start_count, i + 2);
    }
    say_found(DEVICE_SOURCE_CUDA, DEVICE_CUDA, 1);
    assert_int_equal(cuda->knowledge, DEVICES_FOUND);
    assert_int_equal(cuda->failure_streak, 0);
    assert_string_equal(cuda->reason, "");
}

static void what_was_found_stays_known_while_looks_fail(void **state)
{
    (void)state;
    want_cuda();
    say_found(DEVICE_SOURCE_CUDA, DEVICE_CUDA, 2);
    pass_after(GONE_MS);
    devices_look_again(&devices);
    pass_after(1);
    die(DEVICE_SOURCE_CUDA);
    assert_int_equal(cuda->knowledge, DEVICES_FOUND);
    assert_int_equal(cuda->count, 2);
    assert_string_equal(cuda->reason,
                        "the process that asks the driver ended by signal 9 (Killed)");
    pass_after(1000);
    say_found(DEVICE_SOURCE_CUDA, DEVICE_CUDA, 1);
    assert_int_equal(cuda->count, 1);
}

static void a_driver_that_hangs_is_given_up_and_asked_again_when_its_process_is_gone(void **state)
{
    (void)state;
    want_cuda();
    played[DEVICE_SOURCE_CUDA].stays = true;
    pass_after(SCAN_TIMEOUT_MS - 1);
    assert_int_equal(told_counts[DEVICE_SOURCE_CUDA], 0);
    pass_after(1);
    assert_int_equal(told_counts[DEVICE_SOURCE_CUDA], 1);
    assert_int_equal(cuda->knowledge, DEVICES_FAILED);
    assert_string_equal(cuda->reason, "the driver did not answer in 10 s");
    assert_int_equal(played[DEVICE_SOURCE_CUDA].kill_count, 1);
    pass_after(HOUR_MS);
    assert_int_equal(played[DEVICE_SOURCE_CUDA].start_count, 1);
    played[DEVICE_SOURCE_CUDA].stays = false;
    pass_after(1000);
    assert_int_equal(played[DEVICE_SOURCE_CUDA].start_count, 2);
}

static void a_process_that_cannot_be_started_is_a_failure_like_others(void **state)
{
    (void)state;
    played[DEVICE_SOURCE_CUDA].start_error = EMFILE;
    devices_want(&devices, DEVICE_SOURCE_CUDA);
    pass_after(1);
    assert_int_equal(cuda->knowledge, DEVICES_FAILED);
    assert_string_equal(cuda->reason, "the process that asks the driver cannot be started: "
                                      "Too many open files");
    assert_int_equal(told_counts[DEVICE_SOURCE_CUDA], 1);
    played[DEVICE_SOURCE_CUDA].start_error = 0;
    pass_after(1000);
    say_found(DEVICE_SOURCE_CUDA, DEVICE_CUDA, 1);
    assert_int_equal(cuda->knowledge, DEVICES_FOUND);
}

static void a_driver_that_hangs_keeps_no_other_from_being_asked(void **state)
{
    (void)state;
    want_cuda();
    played[DEVICE_SOURCE_CUDA].stays = true;
    pass_after(SCAN_TIMEOUT_MS);
    devices_want(&devices, DEVICE_SOURCE_HIP);
    pass_after(1);
    say_found(DEVICE_SOURCE_HIP, DEVICE_HIP, 1);
    assert_int_equal(devices.sources[DEVICE_SOURCE_HIP].knowledge, DEVICES_FOUND);
}

/* ---- again ---------------------------------------------------------------------------------- */

static void who_lacks_a_device_has_it_looked_for_later(void **state)
{
    (void)state;
    want_cuda();
    devices_look_later(&devices, DEVICE_SOURCE_CUDA, 500); /* it is looked at right now */
    say_found(DEVICE_SOURCE_CUDA, DEVICE_CUDA, 1);
    pass_after(HOUR_MS);
    assert_int_equal(played[DEVICE_SOURCE_CUDA].start_count, 1);
    devices_look_later(&devices, DEVICE_SOURCE_CUDA, 5000);
    pass_after(4000);
    devices_look_later(&devices, DEVICE_SOURCE_CUDA, 5000);
    pass_after(1000);
    assert_int_equal(played[DEVICE_SOURCE_CUDA].start_count, 2);
    say_found(DEVICE_SOURCE_CUDA, DEVICE_CUDA, 2);
    assert_int_equal(cuda->count, 2);
}

static void all_that_is_wanted_is_looked_for_again_at_once(void **state)
{
    (void)state;
    want_cuda();
    say_end(DEVICE_SOURCE_CUDA, SCAN_FAILED, "no");
    pass_after(GONE_MS);
    devices_look_again(&devices);
    pass_after(1);
    assert_int_equal(played[DEVICE_SOURCE_CUDA].start_count, 2);
    devices_look_again(&devices); /* which is under way */
    say_found(DEVICE_SOURCE_CUDA, DEVICE_CUDA, 1);
    pass_after(HOUR_MS);
    assert_int_equal(played[DEVICE_SOURCE_CUDA].start_count, 2);
    assert_int_equal(played[DEVICE_SOURCE_HIP].start_count, 0);
}

static void a_word_of_a_process_that_was_given_up_is_not_heard(void **state)
{
    (void)state;
    want_cuda();
    uint32_t generation = cuda->scan.scanner.generation;
    pass_after(SCAN_TIMEOUT_MS + 1000);
    assert_int_equal(played[DEVICE_SOURCE_CUDA].start_count, 2);
    say(DEVICE_SOURCE_CUDA, (struct scan_message){.kind = SCAN_DONE});
    source_event(DEVICE_SOURCE_CUDA, generation);
    assert_int_equal(told_counts[DEVICE_SOURCE_CUDA], 1);
    source_event(DEVICE_SOURCE_CUDA, generation + 1);
    assert_int_equal(told_counts[DEVICE_SOURCE_CUDA], 2);
}

static struct device numbered(uint32_t number)
{
    struct device device = {.kind = DEVICE_CUDA, .index = number, .numa_node = -1};
    snprintf(device.uuid, sizeof device.uuid, "GPU-gone-%u", number);
    return device;
}

static void the_health_of_devices_that_are_gone_is_forgotten_the_oldest_first(void **state)
{
    (void)state;
    want_cuda();
    say_found(DEVICE_SOURCE_CUDA, DEVICE_CUDA, 1);
    for (uint32_t i = 0; i < DEVICE_COUNT_MAX; i++) {
        const struct device device = numbered(i);
        care_watch(&devices, &device);
    }
    assert_int_equal(devices.care_count, DEVICE_COUNT_MAX);
    held_index = 0;
    for (uint32_t i = 0; i < 2; i++) {
        const struct device more = numbered(1000 + i), gone = numbered(1 + i),
                            next = numbered(2 + i);
        care_watch(&devices, &more);
        assert_non_null(care_find(&devices, &more));
        assert_null(care_find(&devices, &gone));
        assert_non_null(care_find(&devices, &next));
    }
    const struct device held = numbered(0);
    assert_non_null(care_find(&devices, &held));
    assert_int_equal(devices.care_count, DEVICE_COUNT_MAX);
    held_index = -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)
        TEST(nothing_is_looked_for_before_it_is_wanted_and_then_once),
        TEST(that_there_can_be_none_is_known_with_its_reason),
        TEST(each_source_is_looked_for_by_a_process_of_its_own),
        TEST(each_kind_that_is_found_has_its_source),
        TEST(after_a_failure_it_is_looked_again_later_and_later),
        TEST(what_was_found_stays_known_while_looks_fail),
        TEST(a_driver_that_hangs_is_given_up_and_asked_again_when_its_process_is_gone),
        TEST(a_process_that_cannot_be_started_is_a_failure_like_others),
        TEST(a_driver_that_hangs_keeps_no_other_from_being_asked),
        TEST(who_lacks_a_device_has_it_looked_for_later),
        TEST(all_that_is_wanted_is_looked_for_again_at_once),
        TEST(a_word_of_a_process_that_was_given_up_is_not_heard),
        TEST(the_health_of_devices_that_are_gone_is_forgotten_the_oldest_first),
#undef TEST
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
