/* SPDX-License-Identifier: MIT */
/* config_change.h - what is different in a configuration that comes after another one. */
#ifndef DISPATCHER_CONFIG_CHANGE_H
#define DISPATCHER_CONFIG_CHANGE_H

#include <stdint.h>

#include "dispatcher/config/config.h"
#include "millrace/check.h"

/* What has to be done for a pipeline that both have. */
enum pipeline_change {
    PIPELINE_SAME = 0,
    PIPELINE_LIMITS,    /* options that no process knows: they are in force at once */
    PIPELINE_PROCESSES, /* its workers are other ones */
};

enum pipeline_change pipeline_change(const struct pipeline_config *now,
                                     const struct pipeline_config *next);

#define RESTART_KEY_COUNT_MAX 32u

/* Options that only another start changes, by their names, which are constants. */
struct restart_keys {
    const char *names[RESTART_KEY_COUNT_MAX];
    uint32_t count;
};

/* The next one, which nobody holds yet, takes over from the one in use what a server has for its
 * life, and `keys` has the options of which it had said something else. 0; -ENOMEM; -EINVAL: it
 * cannot be served without another start, with one line in `reason`. */
int config_inherit(struct config *next, const struct config *now, struct restart_keys *keys,
                   char reason[CLI_REASON_BYTES]) MUST_USE;

#endif
