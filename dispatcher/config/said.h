/* SPDX-License-Identifier: MIT */
/*
 * said.h - what was said of options that may be said for one pipeline: [POINTER=]VALUE.
 *
 * A row of the table of options has by_pipeline then, and its member is one of the values of a
 * pipeline. What is said is checked at once and kept, and given to each pipeline when all of them
 * are known: first what is said without a pointer, of which the last wins, then what is said with
 * its own, which may be said once. So the order does not matter.
 */
#ifndef DISPATCHER_SAID_H
#define DISPATCHER_SAID_H

#include <stddef.h>
#include <stdint.h>

#include "dispatcher/config/cli.h"
#include "millrace/check.h"

#define SAID_COUNT_MAX 4096u

/* Texts are the caller's, and outlive it. */
struct saying {
    const struct cli_option *option;
    const char *pointer;
    size_t pointer_bytes; /* 0: it is for all pipelines */
    const char *value;
    uint32_t line, column; /* of the file where it is said; 0: it is the command line */
};

/* Zero is empty. */
struct said {
    struct saying *items; /* count of them; owned */
    uint32_t count;
    const char *file; /* that the lines are of; NULL: there is none */
};

/* Takes [POINTER=]VALUE; of a flag NULL, POINTER, or [POINTER=]on or off. The first '=' ends the
 * pointer, if what is before it is one. -EINVAL with one line in `reason`: the value is wrong, the
 * pointer was there already (which a list's may), or there are too many; -ENOMEM. */
int said_take(struct said *said, const struct cli_option *option, const char *text,
              char reason[CLI_REASON_BYTES]) MUST_USE;

/* Takes what a file says, which was checked, and whose pointer ("": for all pipelines) and value
 * outlive it. The command line goes before the file: what it says of the option for the same
 * pipeline, or for all, stays alone, lists too. Errors likewise. */
int said_put(struct said *said, const struct saying *saying,
             char reason[CLI_REASON_BYTES]) MUST_USE;

/* Puts FILE:LINE:COLUMN before a reason that is about this, if it came from a file. */
void said_blame(const struct said *said, const struct saying *saying,
                char reason[CLI_REASON_BYTES]);
void said_finish(struct said *said);

/* Whether all that is said is for one of these pipelines; NULL ends them. 0, or -EINVAL with one
 * line in `reason`, which has no value in it. */
int said_check(const struct said *said, const char *const *pointers,
               char reason[CLI_REASON_BYTES]) MUST_USE;

/* Sets what is said for the pipeline, but for lists, in `values`, of which the rows name members.
 * 0, or -EINVAL with one line in `reason`. */
int said_apply(const struct said *said, const char *pointer, void *values,
               char reason[CLI_REASON_BYTES]) MUST_USE;

/* Whether it is for the pipeline, alone or with all. */
bool said_is_for(const struct saying *saying, const char *pointer);

/* What is said of the option for the pipeline, one after the other as it was said, from *at on,
 * which begins with 0; NULL: that was all. */
const struct saying *said_next(const struct said *said, const char *name, const char *pointer,
                               uint32_t *at);

/* Whether that is anything. */
bool said_has(const struct said *said, const char *name, const char *pointer);

#endif
