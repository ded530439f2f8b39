/* SPDX-License-Identifier: MIT */
/* test_device_fsm.c - every state and event of the device table; and whom an Xid blames. */
#include "dispatcher/devices/device_fsm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/devices/xid.h"
#include "millrace/check.h"

/* A probe is under way, or is to be, only while a device is not OK. */
static void only_what_can_happen_has_a_cell(void **state)
{
    (void)state;
    for (int i = 0; i < DEVICE_STATE_COUNT; i++)
        for (int k = 0; k < DEVICE_EV_COUNT; k++) {
            bool is_probed = k == DEVICE_EV_PASSED || k == DEVICE_EV_NOT_PASSED;
            struct device_step step = device_fsm_cell((enum device_state)i, (enum device_event)k);
            assert_int_equal(step.action != DEVICE_ACT_INVALID, i != DEVICE_OK || !is_probed);
        }
}

static void only_a_probe_that_passes_makes_a_device_ok(void **state)
{
    (void)state;
    for (int i = 0; i < DEVICE_STATE_COUNT; i++)
        for (int k = 0; k < DEVICE_EV_COUNT; k++) {
            struct device_step step = device_fsm_cell((enum device_state)i, (enum device_event)k);
            if (step.action == DEVICE_ACT_INVALID)
                continue;
            assert_int_equal(step.next == DEVICE_OK, k == DEVICE_EV_PASSED);
            assert_int_equal(step.action == DEVICE_ACT_RELEASE, k == DEVICE_EV_PASSED);
            /* Workers are taken out once, when it is lost. */
            assert_int_equal(step.action == DEVICE_ACT_TAKE_OUT,
                             step.next == DEVICE_LOST && i != DEVICE_LOST);
        }
}

static void a_process_that_fails_never_loses_a_device(void **state)
{
    (void)state;
    assert_int_equal(device_fsm_step(DEVICE_OK, DEVICE_EV_PROCESS_FAULT).next, DEVICE_SUSPECT);
    assert_int_equal(device_fsm_step(DEVICE_SUSPECT, DEVICE_EV_PROCESS_FAULT).next, DEVICE_SUSPECT);
    assert_int_equal(device_fsm_step(DEVICE_LOST, DEVICE_EV_PROCESS_FAULT).next, DEVICE_LOST);
}

static void an_xid_blames_the_process_or_the_device(void **state)
{
    static const uint32_t of_processes[] = {13, 31, 43, 45, 68, 109};
    (void)state;
    size_t count = 0;
    for (uint32_t number = 0; number < 1000; number++) {
        assert_non_null(xid_text(number));
        count += xid_event(number) == DEVICE_EV_PROCESS_FAULT;
    }
    assert_int_equal(count, ARRAY_COUNT(of_processes));
    for (size_t i = 0; i < ARRAY_COUNT(of_processes); i++)
        assert_int_equal(xid_event(of_processes[i]), DEVICE_EV_PROCESS_FAULT);
    assert_int_equal(xid_event(XID_DOUBLE_BIT_ECC), DEVICE_EV_DEVICE_FAULT);
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_can_happen_has_a_cell),
        cmocka_unit_test(only_a_probe_that_passes_makes_a_device_ok),
        cmocka_unit_test(a_process_that_fails_never_loses_a_device),
        cmocka_unit_test(an_xid_blames_the_process_or_the_device),
    };
    return cmocka_run_group_tests_name("device_fsm", tests, NULL, NULL);
}
