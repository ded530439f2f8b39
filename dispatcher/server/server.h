/* SPDX-License-Identifier: MIT */
/*
 * server.h - the running server: it owns every other part, wires them, and drives them in passes.
 *
 * A pass, in this order, each step bounded (pass.c):
 *
 *     wait       io_uring_enter: submits what the last pass queued, reaps what is done
 *     events     completions, by kind (handlers.c): accepted, received, sent, woken, exited
 *     drain      records of every worker's reply ring become lines
 *     schedule   queued runs get free slots
 *     timers     deadlines that passed, by kind (handlers.c)
 *     flush      one send for each connection that has something and none in flight
 *     wake       workers for which something was published and who sleep
 */
#ifndef DISPATCHER_SERVER_H
#define DISPATCHER_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/api/api.h"
#include "dispatcher/api/callback.h"
#include "dispatcher/config/config.h"
#include "dispatcher/config/config_hold.h"
#include "dispatcher/control/control.h"
#include "dispatcher/devices/devices.h"
#include "dispatcher/fetcher/fetching.h"
#include "dispatcher/files/files.h"
#include "dispatcher/http/front.h"
#include "dispatcher/reactor/input_memory.h"
#include "dispatcher/reactor/reactor.h"
#include "dispatcher/reader/reading.h"
#include "dispatcher/runs/runs.h"
#include "dispatcher/server/reload.h"
#include "dispatcher/staging/giving.h"
#include "dispatcher/staging/staging.h"
#include "dispatcher/workers/fleet.h"
#include "millrace/check.h"

enum server_state {
    SERVER_SERVING = 0,
    SERVER_ANNOUNCING, /* readyz says that it stops; all else goes on for --drain-delay */
    SERVER_DRAINING,   /* no new runs; running ones may finish until the stop timer fires */
    SERVER_STOPPING,   /* all runs were cancelled; workers are going */
    SERVER_STOPPED,
    SERVER_STATE_COUNT
};

struct server {
    const struct config *config; /* which it holds on to */
    struct config_hold hold;
    enum server_state state;
    int exit_code;
    bool start_is_said; /* the ready line was made */
    bool is_settled;    /* it was, and the server is serving */
    struct ready_line {
        char *text; /* until stdout has taken it; owned; NULL: there is none */
        size_t bytes, written_bytes;
        bool is_lost;
    } ready_line;

    struct reactor reactor;
    struct input_memory input; /* what has arrived of requests, and runs that wait */
    struct front front;
    struct devices devices; /* that workers can be bound to */
    struct fleet fleet;
    struct runs runs;
    struct reading reading;     /* of large bodies */
    struct files files;         /* that clients have uploaded */
    struct fetching fetching;   /* from URLs, and what is posted to them */
    struct staging staging;     /* of files for runs */
    struct giving giving;       /* of files from runs */
    struct callbacks callbacks; /* results that are posted */
    struct api api;
    struct control control; /* what its operator asks and tells */

    struct reload reload;

    int signal_fd;
    uint8_t signal_bytes[128];
    struct timer stop_timer;
};

/* Everything but the processes of workers, with a configuration that can be held. 0 or an exit
 * code, after one line on stderr; server_finish() in either case. */
int server_init(struct server *server, const struct config *config) MUST_USE;
void server_finish(struct server *server);

/* The configuration can be read again from there, which is borrowed; NULL: it cannot. 0 or an exit
 * code, after one line on stderr. */
int server_reload_from(struct server *server, const struct config_source *source) MUST_USE;

/* Runs until the server is stopped. */
void server_run(struct server *server);

/* pass.c: waits for something to do, unless there is more to do at once. 0 or -errno. */
int server_wait(struct server *server, bool is_busy) MUST_USE;

/* pass.c: one pass without the wait: all that there is to do now. True when there is more to do at
 * once. */
bool server_pass(struct server *server);

/* handlers.c: a completion, or a timer that fired, to those it is for. */
void server_on_event(struct server *server, const struct uring_event *event);
void server_on_timer(struct server *server, struct timer *timer);

/* handlers.c: asserts that there is somebody to call for each kind of both, once at the start. */
void server_check_handlers(void);

/* handlers.c: reads the next signal. */
void server_read_signal(struct server *server);

/* start.c: prints the ready line once every worker is ready or failed, or gives up when no pipeline
 * can be loaded. */
void server_check_start(struct server *server);

/* start.c: stdout took so many bytes of the ready line, or -errno. */
void server_on_ready_line(struct server *server, int32_t result);

/* stop.c: no new runs; running ones finish within the limit, then they are cancelled. A second call
 * stops at once. */
void server_stop(struct server *server);

/* stop.c: kills all workers; the loop ends with this pass. */
void server_end(struct server *server);

/* server_control.c: what an operator may have done. */
extern const struct control_ops server_control_ops;

/* stop.c: the steps of stopping. */
void server_on_stop_timer(struct server *server);
void server_check_stop(struct server *server);

/* For tests: what must always hold between passes, of every part. Aborts. */
void server_check(const struct server *server);

#endif
