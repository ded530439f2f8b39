/* SPDX-License-Identifier: MIT */
/*
 * device_mapping.h - `devices` of a configuration file as a mapping:
 *
 *     {kind: vulkan, count: 4}   {kind: cpu, per: core}   {kind: cuda, index: [0, 2]}
 */
#ifndef DISPATCHER_DEVICE_MAPPING_H
#define DISPATCHER_DEVICE_MAPPING_H

#include <stdint.h>

#include "dispatcher/config/cli.h"
#include "dispatcher/text/document.h"
#include "millrace/check.h"

/* The same as --devices has it, in memory that is the caller's. -EINVAL with a reason that begins
 * with the key, and `*at`, the node that it is about; -ENOMEM. Whether it can be so is not
 * checked. */
int device_mapping_text(const struct document *document, uint32_t node, char **out, uint32_t *at,
                        char reason[CLI_REASON_BYTES]) MUST_USE;

#endif
