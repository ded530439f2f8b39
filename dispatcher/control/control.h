/* SPDX-License-Identifier: MIT */
/*
 * control.h - what the operator of a running server may ask and tell it, over a unix socket: the
 * state of this room; the contract is docs/control.md.
 *
 * It is a front of its own, whose few connections and whose memory no client of pipelines can use
 * up, and it implements exchange_ops for it: the same HTTP, other routes. An answer comes at once,
 * or waits for what it began (control_waits.h), or goes on for as long as its client reads
 * (control_logs.h).
 */
#ifndef DISPATCHER_CONTROL_H
#define DISPATCHER_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/config/cli.h"
#include "dispatcher/config/config.h"
#include "dispatcher/control/control_logs.h"
#include "dispatcher/control/control_socket.h"
#include "dispatcher/control/control_waits.h"
#include "dispatcher/http/front.h"
#include "dispatcher/reactor/input_memory.h"
#include "dispatcher/reactor/log_tail.h"
#include "dispatcher/reactor/reactor.h"
#include "millrace/check.h"

struct api;
struct text;

#define CONTROL_CONN_COUNT 8u
/* References of the front of clients, of which there are a million at most, are below. */
#define CONTROL_INDEX_BASE (1u << 23)

/* What the server does for it. Texts are constants. */
struct control_ops {
    /* "serving", "drained", "announcing", "draining", "stopping". */
    const char *(*state)(void *owner);

    /* "idle", "reading", "starting". */
    const char *(*reload_state)(void *owner);

    /* As SIGTERM does, or as a second one does. */
    void (*stop)(void *owner, bool at_once);

    /* Has the configuration read again; control_on_reloaded() says the end of the reload of this
     * number, or of a later one. 0: it cannot be, for `*reason`. */
    uint64_t (*reload)(void *owner, const char **reason);

    /* Has another file compared with what is served, which control_on_checked() tells. 0; -EBUSY:
     * one is being read; or another -errno with `*reason`. The path is borrowed until then. */
    int (*check)(void *owner, const char *path, const char **reason);
};

/* Owned by the server. */
struct control {
    const struct config *config;
    struct reactor *reactor;
    struct api *api; /* which has the parts of the server that are told of */
    const struct control_ops *ops;
    void *owner; /* theirs */

    struct control_socket socket;
    struct front front;
    struct input_memory input;
    struct log_tail tail; /* of the log */
    struct control_wait waits[CONTROL_CONN_COUNT];
    struct control_follow follows[CONTROL_CONN_COUNT];
    uint32_t follow_count;
};

struct control_options {
    const struct config *config;
    struct reactor *reactor;
    struct api *api;
    const struct control_ops *ops;
    void *owner;
};

/* Opens the socket that the configuration names. 0; -ENOMEM; or a negative errno with `reason`: a
 * path that was said cannot be used. Where none was said, that is only logged. control_finish() in
 * any case. */
int control_init(struct control *control, const struct control_options *options,
                 char reason[CLI_REASON_BYTES]) MUST_USE;

/* The server has its loop: connections are accepted. */
void control_start(struct control *control);

/* Ends it, and the socket is gone. Nothing of it belongs to the kernel any more. */
void control_finish(struct control *control);

/* Whether it has a socket. */
static inline bool control_is_open(const struct control *control)
{
    return control->socket.fd >= 0;
}

/* Another configuration is served. */
void control_follow_config(struct control *control, const struct config *config);

/* ---- what the server tells ----------------------------------------------------------------- */

/* The reload of this number has ended; `json` is the object that who asked is answered. */
void control_on_reloaded(struct control *control, uint64_t number, const struct text *json);

/* Likewise what came of the last check. */
void control_on_checked(struct control *control, const struct text *json);

/* Once a pass while control_has_chores(), and after anything that happened to its connections: who
 * waits for something that has ended is answered, and what waits is handed to the kernel. */
void control_step(struct control *control);
bool control_has_chores(const struct control *control);

/* control_routes.c */
extern const struct exchange_ops control_exchange_ops;

#endif
