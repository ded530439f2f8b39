/* SPDX-License-Identifier: MIT */
/*
 * reload.h - another configuration takes the place of the one that is served, and only what is
 * different is touched.
 *
 *     IDLE ── SIGHUP ──> READING ── it is right ──> STARTING ── all are ready or failed ──> IDLE
 *
 * While a thread reads (config_thread.h), nothing has changed, and what is wrong changes nothing.
 * Then, in one pass: listeners are opened, the parts of the server get the new configuration,
 * pipelines that are the same but for limits move to it, those that are not in it any more are
 * removed. Those that need other processes, and new ones, are started beside what is served; each
 * is served when it is ready. One that fails is dropped: what was there before stays, and so does
 * the configuration it is from. reload_aliases.h says when aliases move.
 *
 * A check is the first half of that, with another file: what was read is compared and forgotten.
 */
#ifndef DISPATCHER_RELOAD_H
#define DISPATCHER_RELOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/config/config.h"
#include "dispatcher/server/config_thread.h"
#include "dispatcher/server/reload_report.h"

struct server;
struct uring_event;

enum reload_state { RELOAD_IDLE = 0, RELOAD_READING, RELOAD_STARTING, RELOAD_STATE_COUNT };

/* Owned by the server. */
struct reload {
    const struct config_source *source; /* borrowed; NULL: there is nothing to read again */
    enum reload_state state;
    uint64_t number;  /* of the one that began last, */
    uint64_t wanted;  /* and of the one that is to begin as soon as it may be; 0: none is */
    char *check_path; /* of a file that is to be compared, or is read for that; owned; NULL: none */
    bool is_check;    /* that is what goes on, and nothing is to change */
    bool is_left;     /* the thread still reads, and nobody waits for it: the process has to end */
    struct config_reading *reading;
    int event_fd;   /* that the thread writes; -1: none */
    uint64_t event; /* what is read from it */
    uint64_t began_ms;
    struct reload_report report;
    bool alias_is_decided[ALIAS_COUNT_MAX]; /* of the configuration: it moved, or cannot */
};

/* Reads the configuration again: now, or when what goes on is done. The number of that reload. */
uint64_t reload_ask(struct server *server);

/* Reads another file, likewise, to say what it would change. 0; -EBUSY: there is one already; or
 * -ENOMEM. */
int reload_check(struct server *server, const char *path) MUST_USE;

const char *reload_state_name(enum reload_state state);

/* The thread has ended. */
void reload_on_read(struct server *server, const struct uring_event *event);

/* Once a pass and outside of events: while pipelines are started, or it is wanted. */
void reload_step(struct server *server);

/* Whether that is so. */
bool reload_has_chores(const struct reload *reload);

/* Serves this one from now on; it is memory of malloc(), and is taken over in any case. */
void reload_take(struct server *server, struct config *next);

/* Nothing of it is with the kernel any more. */
void reload_finish(struct server *server);

#endif
