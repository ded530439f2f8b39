/* SPDX-License-Identifier: MIT */
/* handlers.c - who is called when something is done, and when a timer fires: two tables. */
#include <string.h>
#include <sys/signalfd.h>

#include "dispatcher/config/exit_code.h"
#include "dispatcher/files/intake.h"
#include "dispatcher/files/parts.h"
#include "dispatcher/http/conn.h"
#include "dispatcher/http/listener.h"
#include "dispatcher/runs/pipeline_health.h"
#include "dispatcher/server/server.h"
#include "dispatcher/server/signals.h"
#include "dispatcher/workers/output.h"
#include "dispatcher/workers/pause.h"
#include "dispatcher/workers/spawning.h"
#include "dispatcher/workers/supervisor.h"
#include "dispatcher/workers/workers.h"

/* ---- completions --------------------------------------------------------------------------- */

/* The front whose listener or connection has this index. Operators are served with what is rarely
 * there to do, lest each pass look for them. */
static struct front *handlers_front(struct server *server, uint32_t index)
{
    if (index < CONTROL_INDEX_BASE)
        return &server->front;
    server->reactor.has_chores = true;
    return &server->control.front;
}

static void on_accept(struct server *server, const struct uring_event *event)
{
    listener_on_accept(handlers_front(server, event->ref.index), event);
}

static void on_recv(struct server *server, const struct uring_event *event)
{
    conn_on_recv(handlers_front(server, event->ref.index), event);
}

static void on_send(struct server *server, const struct uring_event *event)
{
    conn_on_send(handlers_front(server, event->ref.index), event);
}

static void on_gone(struct server *server, const struct uring_event *event)
{
    conn_on_gone(handlers_front(server, event->ref.index), event);
}

static void on_bell(struct server *server, const struct uring_event *event)
{
    workers_on_bell(&server->fleet, event);
}

static void on_pidfd(struct server *server, const struct uring_event *event)
{
    supervisor_on_pidfd(&server->fleet, event);
}

static void on_socket(struct server *server, const struct uring_event *event)
{
    supervisor_on_socket(&server->fleet, event);
}

static void on_spawner(struct server *server, const struct uring_event *event)
{
    spawning_on_spawner(&server->fleet, event);
}

static void on_reader(struct server *server, const struct uring_event *event)
{
    reading_on_reader(&server->reading, event);
}

static void on_fetcher(struct server *server, const struct uring_event *event)
{
    fetching_on_fetcher(&server->fetching, event);
}

static void on_scanner(struct server *server, const struct uring_event *event)
{
    devices_on_scanner(&server->devices, event);
}

static void on_output(struct server *server, const struct uring_event *event)
{
    output_on_read(&server->fleet, event);
}

static void on_log(struct server *server, const struct uring_event *event)
{
    struct reactor *reactor = &server->reactor;
    log_written(&reactor->log, event->result);
    log_file_on_written(&reactor->log_file, &reactor->log, reactor->uring);
}

static void on_log_open(struct server *server, const struct uring_event *event)
{
    struct reactor *reactor = &server->reactor;
    log_file_on_open(&reactor->log_file, &reactor->log, reactor->uring, event->result);
}

static void on_log_close(struct server *server, const struct uring_event *event)
{
    (void)server, (void)event; /* nothing can be done about a file that does not end well */
}

static void on_ready_line(struct server *server, const struct uring_event *event)
{
    server_on_ready_line(server, event->result);
}

static void on_cancel(struct server *server, const struct uring_event *event)
{
    (void)server, (void)event; /* the operation that was cancelled says so itself */
}

static void on_reload(struct server *server, const struct uring_event *event)
{
    reload_on_read(server, event);
}

static void on_disk(struct server *server, const struct uring_event *event)
{
    disk_on_done(&server->files.disk, server->reactor.uring, event);
}

static void on_intake(struct server *server, const struct uring_event *event)
{
    intake_on_readable(&server->files, event);
}

static void on_signal(struct server *server, const struct uring_event *event);

typedef void event_fn(struct server *server, const struct uring_event *event);

static event_fn *const events[URING_OP_COUNT] = {
    [URING_ACCEPT] = on_accept,
    [URING_RECV] = on_recv,
    [URING_SEND] = on_send,
    [URING_GONE] = on_gone,
    [URING_BELL] = on_bell,
    [URING_PIDFD] = on_pidfd,
    [URING_SOCKET] = on_socket,
    [URING_SPAWNER] = on_spawner,
    [URING_SPAWNER_PIDFD] = on_spawner,
    [URING_READER] = on_reader,
    [URING_FETCHER] = on_fetcher,
    [URING_SCANNER] = on_scanner,
    [URING_OUTPUT_PIPE] = on_output,
    [URING_LOG] = on_log,
    [URING_LOG_OPEN] = on_log_open,
    [URING_LOG_CLOSE] = on_log_close,
    [URING_READY_LINE] = on_ready_line,
    [URING_SIGNAL] = on_signal,
    [URING_RELOAD] = on_reload,
    [URING_DISK] = on_disk,
    [URING_INTAKE] = on_intake,
    [URING_CANCEL] = on_cancel,
};

void server_on_event(struct server *server, const struct uring_event *event)
{
    events[event->ref.op](server, event);
}

/* ---- timers -------------------------------------------------------------------------------- */

static void on_conn_timer(struct server *server, struct timer *timer)
{
    struct conn *conn = timer->owner;
    conn_on_timer(handlers_front(server, conn->index), conn);
}

static void on_run_timer(struct server *server, struct timer *timer)
{
    run_on_timer(&server->runs, timer->owner);
}

static void on_worker_timer(struct server *server, struct timer *timer)
{
    supervisor_on_timer(&server->fleet, timer->owner);
}

static void on_pipeline_timer(struct server *server, struct timer *timer)
{
    pipeline_on_timer(&server->runs, timer->owner);
}

static void on_scaling_timer(struct server *server, struct timer *timer)
{
    pipeline_scale_on_timer(&server->runs, timer->owner);
}

static void on_listener_timer(struct server *server, struct timer *timer)
{
    (void)server;
    listener_on_timer(timer->owner);
}

static void on_stop_timer(struct server *server, struct timer *timer)
{
    (void)timer;
    server_on_stop_timer(server);
}

static void on_output_timer(struct server *server, struct timer *timer)
{
    (void)timer;
    output_log_suppressed(&server->fleet);
}

static void on_output_end_timer(struct server *server, struct timer *timer)
{
    output_on_timer(&server->fleet, timer->owner);
}

static void on_spawner_timer(struct server *server, struct timer *timer)
{
    (void)timer;
    spawning_on_timer(&server->fleet);
}

static void on_offer_timer(struct server *server, struct timer *timer)
{
    (void)server, (void)timer; /* the loop is awake, and looks who may be offered a run */
}

static void on_reader_timer(struct server *server, struct timer *timer)
{
    (void)timer;
    reading_on_timer(&server->reading);
}

static void on_fetcher_timer(struct server *server, struct timer *timer)
{
    (void)timer;
    fetching_on_timer(&server->fetching);
}

static void on_devices_timer(struct server *server, struct timer *timer)
{
    (void)timer;
    devices_on_timer(&server->devices);
}

static void on_callback_timer(struct server *server, struct timer *timer)
{
    (void)timer;
    callbacks_on_timer(&server->callbacks);
}

static void on_noise_timer(struct server *server, struct timer *timer)
{
    (void)timer;
    pause_on_timer(&server->fleet);
}

static void on_files_timer(struct server *server, struct timer *timer)
{
    (void)timer;
    files_on_timer(&server->files);
}

static void on_parts_timer(struct server *server, struct timer *timer)
{
    (void)timer;
    parts_on_timer(&server->files);
}

static void on_room_timer(struct server *server, struct timer *timer)
{
    (void)timer;
    server->fleet.room_has_moved = true;
}

typedef void timer_fn(struct server *server, struct timer *timer);

static timer_fn *const timers[TIMER_KIND_COUNT] = {
    [TIMER_CONN] = on_conn_timer,
    [TIMER_RUN] = on_run_timer,
    [TIMER_WORKER] = on_worker_timer,
    [TIMER_PIPELINE] = on_pipeline_timer,
    [TIMER_SCALING] = on_scaling_timer,
    [TIMER_LISTENER] = on_listener_timer,
    [TIMER_STOP] = on_stop_timer,
    [TIMER_OUTPUT] = on_output_timer,
    [TIMER_OUTPUT_END] = on_output_end_timer,
    [TIMER_SPAWNER] = on_spawner_timer,
    [TIMER_OFFER] = on_offer_timer,
    [TIMER_READER] = on_reader_timer,
    [TIMER_FETCHER] = on_fetcher_timer,
    [TIMER_DEVICES] = on_devices_timer,
    [TIMER_CALLBACK] = on_callback_timer,
    [TIMER_NOISE] = on_noise_timer,
    [TIMER_FILES] = on_files_timer,
    [TIMER_PARTS] = on_parts_timer,
    [TIMER_ROOM] = on_room_timer,
};

void server_on_timer(struct server *server, struct timer *timer)
{
    timers[timer->kind](server, timer);
}

void server_check_handlers(void)
{
    for (uint32_t i = URING_NONE + 1; i < URING_OP_COUNT; i++)
        mr_assert(events[i]);
    for (uint32_t i = 0; i < TIMER_KIND_COUNT; i++)
        mr_assert(timers[i]);
}

/* ---- signals ------------------------------------------------------------------------------- */

void server_read_signal(struct server *server)
{
    uring_read(server->reactor.uring, server->signal_fd, server->signal_bytes,
               sizeof server->signal_bytes, (struct uring_ref){URING_SIGNAL, 0, 0});
}

static void handlers_signal_log(struct server *server, enum log_level level,
                                const struct signalfd_siginfo *info, const char *reason)
{
    const char *name;
    signals_role(info->ssi_signo, &name);
    log_event(&server->reactor.log, level, "signal", LOG_NATURAL("signal", info->ssi_signo),
              LOG_NATURAL("sender", info->ssi_pid), LOG_WORD("name", name),
              LOG_TEXT("reason", reason));
}

/* It comes again after each second of processor time until the hard limit kills: runs have one to
 * end, and are cancelled then. */
static void handlers_time_ends(struct server *server, const struct signalfd_siginfo *info)
{
    if (server->state == SERVER_DRAINING)
        timer_set(&server->reactor.timers, &server->stop_timer, server->reactor.now_ms);
    if (server->state >= SERVER_DRAINING)
        return;
    handlers_signal_log(server, LEVEL_ERROR, info,
                        "the limit on processor time (ulimit -t, LimitCPU=) is reached");
    server->exit_code = EXIT_CODE_FAILED;
    server_stop(server);
    if (server->state == SERVER_ANNOUNCING)
        server_stop(server); /* there is no time for that */
}

static void handlers_signal_take(struct server *server, const struct signalfd_siginfo *info)
{
    struct reactor *reactor = &server->reactor;
    const char *name;
    switch (signals_role(info->ssi_signo, &name)) {
    case SIGNAL_STOPS:
        handlers_signal_log(server, LEVEL_INFO, info, NULL);
        server_stop(server);
        break;
    case SIGNAL_ENDS_TIME:
        handlers_time_ends(server, info);
        break;
    case SIGNAL_REOPENS:
        handlers_signal_log(server, LEVEL_INFO, info,
                            reactor->log_file.path ? NULL : "ignored: there is no --log-file");
        log_file_reopen(&reactor->log_file, reactor->uring);
        break;
    case SIGNAL_RENEWS:
        handlers_signal_log(server, LEVEL_INFO, info,
                            server->state == SERVER_SERVING ? NULL : "ignored: the server stops");
        if (server->state == SERVER_SERVING && runs_renew(&server->runs, NULL) < 0)
            return; /* which the log says */
        break;
    case SIGNAL_RELOADS:
        if (!server->reload.source || server->state == SERVER_SERVING)
            handlers_signal_log(server, LEVEL_INFO, info, NULL);
        else
            handlers_signal_log(server, LEVEL_INFO, info, "ignored: the server stops");
        if (!server->reload.source)
            server_stop(server);
        else if (server->state == SERVER_SERVING)
            reload_ask(server);
        break;
    case SIGNAL_NOTHING:
        handlers_signal_log(server, LEVEL_INFO, info, "ignored");
        break;
    case SIGNAL_ROLE_COUNT:
        mr_unreachable("a signal without a role");
    }
}

static void on_signal(struct server *server, const struct uring_event *event)
{
    if (event->result >= (int32_t)sizeof(struct signalfd_siginfo)) {
        struct signalfd_siginfo info;
        memcpy(&info, server->signal_bytes, sizeof info);
        handlers_signal_take(server, &info);
    }
    if (server->state != SERVER_STOPPED)
        server_read_signal(server);
}
