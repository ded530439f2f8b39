/* SPDX-License-Identifier: MIT */
/*
 * device_template.h - variables of a worker with what is known of its device in them:
 *
 *     MY_GPU={index}   MY_PLACE={kind}/{uuid}   {{ and }} stand for one of them
 */
#ifndef DISPATCHER_DEVICE_TEMPLATE_H
#define DISPATCHER_DEVICE_TEMPLATE_H

#include <stddef.h>

#include "dispatcher/config/cli.h"
#include "dispatcher/text/text.h"
#include "millrace/check.h"

#define DEVICE_TEMPLATE_COUNT_MAX 16u /* of a pipeline */

enum device_field {
    DEVICE_FIELD_KIND = 0,
    DEVICE_FIELD_INDEX,
    DEVICE_FIELD_UUID,
    DEVICE_FIELD_PCI,
    DEVICE_FIELD_CORES,
    DEVICE_FIELD_NUMA,
    DEVICE_FIELD_COUNT
};

/* -EINVAL: a field is not known, or a brace stands alone; `reason` says which, without a value. */
int device_template_check(const char *text, char reason[CLI_REASON_BYTES]) MUST_USE;

/* Adds the text with the values, which are never NULL, in the places of the fields. It was
 * checked. */
void device_template_add(struct text *out, const char *text,
                         const char *const values[DEVICE_FIELD_COUNT]);

#endif
