/* SPDX-License-Identifier: MIT */
/*
 * test_worker_device.c - a pipeline knows which device it was given, from its load to its last run.
 */
#include "tests/unit/worker/compiler.h"
#include "tests/unit/worker/harness.h"

#define LONGER "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char *source;

static int source_compile(void **state)
{
    const char *const none[] = {NULL};
    (void)state;
    source = compile("cc", FIXTURES "device.c", none, "device.so");
    return 0;
}

static void set(const char *name, const char *value)
{
    assert_int_equal(value ? setenv(name, value, 1) : unsetenv(name), 0);
}

/* A worker with these variables says of its device what is expected, three times. */
static void expect(const char *kind, const char *index, const char *uuid, const char *device)
{
    char line[1024];
    struct harness h;
    msgpack_sbuffer request;
    msgpack_packer packer;
    set("MILLRACE_DEVICE_KIND", kind);
    set("MILLRACE_DEVICE_INDEX", index);
    set("MILLRACE_DEVICE_UUID", uuid);
    harness_start(&h, &(struct harness_options){.source = source});
    harness_expect_ready(&h);
    harness_request(&request, &packer, 0);
    harness_run(&h, 0, &request);
    snprintf(line, sizeof line, "[\"%s, %s, %s, the same\"]", device, device, device);
    harness_expect_chunk(&h, 0, 0, line);
    harness_expect_end(&h, 0, 1);
    harness_stop(&h);
}

static void a_device_is_what_the_variables_said_at_the_start(void **state)
{
    (void)state;
    expect("cuda", "3", "GPU-5b1f0c3e", "cuda 3 GPU-5b1f0c3e");
    expect("level-zero", "0", NULL, "level-zero 0 -");
    expect("cpu", "2147483647", "", "cpu 2147483647 -");
    expect("cuda", "1", LONGER LONGER, "cuda 1 -"); /* longer than any is */
}

static void without_a_kind_or_a_number_there_is_none(void **state)
{
    (void)state;
    expect(NULL, NULL, NULL, "none");
    expect(NULL, "0", "GPU-5b1f0c3e", "none");
    expect("", "0", NULL, "none");
    expect("cuda", NULL, NULL, "none");
    expect("cuda", "", NULL, "none");
    expect("cuda", "-1", NULL, "none");
    expect("cuda", "1x", NULL, "none");
    expect("cuda", "2147483648", NULL, "none");
    expect("cuda", "99999999999999999999", NULL, "none");
}

int main(void)
{
    alarm(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_is_what_the_variables_said_at_the_start),
        cmocka_unit_test(without_a_kind_or_a_number_there_is_none),
    };
    return cmocka_run_group_tests_name("worker device", tests, source_compile, NULL);
}
