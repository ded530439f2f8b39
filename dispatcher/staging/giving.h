/* SPDX-License-Identifier: MIT */
/*
 * giving.h - files that runs give out: taken from their workers, of each run one at a time, kept
 * for whoever's run it is, and named by values by their number.
 *
 * A file is the run's until a value with it was shown; what was not is removed with the run. From
 * then on it is like one that was uploaded.
 */
#ifndef DISPATCHER_GIVING_H
#define DISPATCHER_GIVING_H

#include <stdint.h>

#include "dispatcher/runs/given_files.h"

#define GIVEN_COUNT_MAX 4096u /* of one run */

struct file;
struct files;
struct given;

/* Owned by the server; it has nothing to be given back. */
struct giving {
    struct files *files;
    struct given *unsaid; /* of which workers could not be told something yet */
};

/* Their owner is the struct giving. */
extern const struct given_ops giving_ops;

/* The file of this number among those that a run has given out, which is shown from now on; NULL:
 * there is none. */
const struct file *giving_show(struct given_files *given, uint32_t number);

/* Tells workers what there was no room for; once a pass, while giving->unsaid. */
void giving_say(struct giving *giving);

#endif
