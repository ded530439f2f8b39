/* SPDX-License-Identifier: MIT */
/*
 * device_choice.h - which devices a pipeline's workers are bound to, --devices:
 *
 *     none              no device at all: those of GPUs are hidden
 *     auto              each GPU that is found; where none is, the workers run without
 *     cuda              each of that kind that is found, and so for the other kinds
 *     0,2   GPU-...,MIG-...   cuda:0,2   cuda:GPU-...      these, by index or UUID
 *     vulkan:x4         so many, whatever is found
 *     cpu:numa   cpu:core              cores of a NUMA node each, or one core each
 */
#ifndef DISPATCHER_DEVICE_CHOICE_H
#define DISPATCHER_DEVICE_CHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/config/cli.h"
#include "dispatcher/config/device_kind.h"
#include "millrace/check.h"

#define DEVICE_PICK_COUNT_MAX 64u

enum device_choice_kind {
    DEVICE_CHOICE_UNSAID = 0, /* nothing is bound, nothing is hidden */
    DEVICE_CHOICE_NONE,
    DEVICE_CHOICE_ALL,   /* that are found */
    DEVICE_CHOICE_PICKS, /* of those that are found */
    DEVICE_CHOICE_COUNT  /* so many, from index 0 */
};

/* One of them. */
struct device_pick {
    const char *uuid; /* not ended by a NUL; NULL: it is chosen by its index */
    size_t uuid_bytes;
    uint32_t index;
};

/* Texts are those that were said, and borrowed. Zero: nothing is said. */
struct device_choice {
    enum device_choice_kind kind;
    bool is_of_any; /* cuda where there is one, else hip: no kind is said */
    enum device_kind of;
    bool is_per_core; /* of DEVICE_CPU */
    uint32_t count;   /* of DEVICE_CHOICE_COUNT */
    struct device_pick picks[DEVICE_PICK_COUNT_MAX];
    uint32_t pick_count;
};

/* Adds what is said, `vulkan:x4` or one of a list of picks. -EINVAL, with a reason that has
 * the name of the option. */
int device_choice_add(struct device_choice *choice, const char *text,
                      char reason[CLI_REASON_BYTES]) MUST_USE;

/* Whether it could be said. */
int device_choice_check(const char *text, char reason[CLI_REASON_BYTES]) MUST_USE;

/* How many devices that are; 0: whoever looks for them knows. */
uint32_t device_choice_count(const struct device_choice *choice);

/* Whether workers are bound to devices. */
static inline bool device_choice_binds(const struct device_choice *choice)
{
    return choice->kind >= DEVICE_CHOICE_ALL;
}

bool device_choice_is_same(const struct device_choice *choice, const struct device_choice *other);

#endif
