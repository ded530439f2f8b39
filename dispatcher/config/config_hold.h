/* SPDX-License-Identifier: MIT */
/*
 * config_hold.h - who holds on to a configuration, which is constant while somebody does.
 *
 * A configuration that is in use has a number, and one hold of each who uses it: the server, and
 * every pipeline that was made from it, for as long as it has runs or workers. So another one can
 * take its place while the server runs, and the old one goes when the last of its pipelines is
 * gone.
 *
 *     number 1   server ──> number 2      the server uses the new one from now on
 *                pipeline me/a:v1         was removed, and has a run that goes on
 */
#ifndef DISPATCHER_CONFIG_HOLD_H
#define DISPATCHER_CONFIG_HOLD_H

#include <stddef.h>
#include <stdint.h>

#include "dispatcher/config/config.h"
#include "dispatcher/reactor/log.h"
#include "millrace/check.h"

/* Lies in whoever holds, and does not move meanwhile. Zero holds nothing. */
struct config_hold {
    const struct config *config; /* NULL: none */
    const char *who;             /* one word, a constant */
    const char *name;            /* which of them; NULL: there is one. Of the configuration */
    struct config_hold *older, *newer;
};

/* Of one configuration. Owned by it. */
struct config_holders {
    uint32_t number;
    uint32_t count;
    struct config_hold *oldest, *newest;
    struct config *own; /* the configuration, when it is to go with the last; NULL: it stays */
};

/* From now on the configuration, which stays its maker's, may be held. 0 or -ENOMEM. */
int config_open(struct config *config, uint32_t number) MUST_USE;

/* Likewise, but a new one takes over all that this one has, which is empty then, and goes with the
 * last who holds it, of whom `first` is the first. 0, or -ENOMEM and nothing has changed. */
int config_hand_over(struct config *config, uint32_t number, struct config_hold *first,
                     const char *who) MUST_USE;

void config_hold(const struct config *config, struct config_hold *hold, const char *who,
                 const char *name);

/* The last one frees it, if it was handed over, and says so in the log. A hold of nothing is let go
 * without effect. `log` may be NULL. */
void config_let_go(struct config_hold *hold, struct log *log);

/* "server, pipeline me/words:v1", the oldest first; as many as there is room for, and how many
 * more. */
void config_holders_format(const struct config *config, char *text, size_t bytes);

#endif
