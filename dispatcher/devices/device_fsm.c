/* SPDX-License-Identifier: MIT */
/* device_fsm.c - the device table. */
#include "dispatcher/devices/device_fsm.h"

#include "dispatcher/reactor/fsm.h"

/* clang-format off */
static const struct device_step steps[DEVICE_STATE_COUNT][DEVICE_EV_COUNT] = {
    [DEVICE_OK] = {
        [DEVICE_EV_PROCESS_FAULT] = {DEVICE_SUSPECT, DEVICE_ACT_PROBE},
        [DEVICE_EV_DEVICE_FAULT]  = {DEVICE_LOST,    DEVICE_ACT_TAKE_OUT},
        [DEVICE_EV_VANISHED]      = {DEVICE_LOST,    DEVICE_ACT_TAKE_OUT},
    },
    [DEVICE_SUSPECT] = {
        /* Perhaps after the probe began: that one says nothing. */
        [DEVICE_EV_PROCESS_FAULT] = {DEVICE_SUSPECT, DEVICE_ACT_PROBE},
        [DEVICE_EV_DEVICE_FAULT]  = {DEVICE_LOST,    DEVICE_ACT_TAKE_OUT},
        [DEVICE_EV_VANISHED]      = {DEVICE_LOST,    DEVICE_ACT_TAKE_OUT},
        [DEVICE_EV_PASSED]        = {DEVICE_OK,      DEVICE_ACT_RELEASE},
        [DEVICE_EV_NOT_PASSED]    = {DEVICE_LOST,    DEVICE_ACT_TAKE_OUT},
    },
    [DEVICE_LOST] = {
        /* Of the workers that are being ended. */
        [DEVICE_EV_PROCESS_FAULT] = {DEVICE_LOST,    DEVICE_ACT_NONE},
        [DEVICE_EV_DEVICE_FAULT]  = {DEVICE_LOST,    DEVICE_ACT_NONE},
        [DEVICE_EV_VANISHED]      = {DEVICE_LOST,    DEVICE_ACT_NONE},
        [DEVICE_EV_PASSED]        = {DEVICE_OK,      DEVICE_ACT_RELEASE},
        [DEVICE_EV_NOT_PASSED]    = {DEVICE_LOST,    DEVICE_ACT_WAIT},
    },
};
/* clang-format on */

static const char *const state_names[DEVICE_STATE_COUNT] = {
    [DEVICE_OK] = "ok", [DEVICE_SUSPECT] = "suspect", [DEVICE_LOST] = "lost"};

static const char *const event_names[DEVICE_EV_COUNT] = {
    [DEVICE_EV_PROCESS_FAULT] = "process_fault", [DEVICE_EV_DEVICE_FAULT] = "device_fault",
    [DEVICE_EV_VANISHED] = "vanished",           [DEVICE_EV_PASSED] = "passed",
    [DEVICE_EV_NOT_PASSED] = "not_passed",
};

static const char *const action_names[DEVICE_ACT_COUNT] = {
    [DEVICE_ACT_INVALID] = "invalid", [DEVICE_ACT_NONE] = "none",
    [DEVICE_ACT_PROBE] = "probe",     [DEVICE_ACT_TAKE_OUT] = "take_out",
    [DEVICE_ACT_WAIT] = "wait",       [DEVICE_ACT_RELEASE] = "release",
};

FSM_DEFINE(device, DEVICE)
