/* SPDX-License-Identifier: MIT */
/* server_control.c - control_ops: the server does what its operator wants. */
#include <errno.h>

#include "dispatcher/control/control.h"
#include "dispatcher/server/server.h"

static const char *on_state(void *owner)
{
    static const char *const names[SERVER_STATE_COUNT] = {
        [SERVER_SERVING] = "serving",   [SERVER_ANNOUNCING] = "announcing",
        [SERVER_DRAINING] = "draining", [SERVER_STOPPING] = "stopping",
        [SERVER_STOPPED] = "stopping",
    };
    const struct server *server = owner;
    bool is_drained = server->state == SERVER_SERVING && server->runs.is_drained;
    return is_drained ? "drained" : names[server->state];
}

static const char *on_reload_state(void *owner)
{
    const struct server *server = owner;
    return reload_state_name(server->reload.state);
}

static void on_stop(void *owner, bool at_once)
{
    struct server *server = owner;
    log_event(&server->reactor.log, LEVEL_INFO, "stop_asked", LOG_BOOLEAN("now", at_once));
    if (server->state == SERVER_SERVING || at_once)
        server_stop(server);
    while (at_once && server->state < SERVER_STOPPED)
        server_stop(server);
}

/* Why no configuration can be read now; NULL: one can be. */
static const char *control_no_reload(const struct server *server)
{
    if (!server->reload.source)
        return "The server was started without --config.";
    return server->state == SERVER_SERVING ? NULL : "The server stops.";
}

static uint64_t on_reload(void *owner, const char **reason)
{
    struct server *server = owner;
    *reason = control_no_reload(server);
    return *reason ? 0 : reload_ask(server);
}

static int on_check(void *owner, const char *path, const char **reason)
{
    struct server *server = owner;
    *reason = control_no_reload(server);
    if (*reason)
        return -EINVAL;
    *reason = "Not enough memory.";
    return reload_check(server, path);
}

const struct control_ops server_control_ops = {
    .state = on_state,
    .reload_state = on_reload_state,
    .stop = on_stop,
    .reload = on_reload,
    .check = on_check,
};
