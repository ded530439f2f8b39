/* SPDX-License-Identifier: MIT */
/* control.c - the room is made and given back. */
#include "dispatcher/control/control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/api/api.h"
#include "dispatcher/config/control_path.h"
#include "dispatcher/control/control_actions.h"

/* Enough for what operators say, and for the state of the largest server to each of them. */
#define INPUT_BYTES_MAX (1u << 20)
#define OUTPUT_BYTES_MAX (64u << 20)

static int control_open(struct control *control, char reason[CLI_REASON_BYTES]);

int control_init(struct control *control, const struct control_options *options,
                 char reason[CLI_REASON_BYTES])
{
    *control = (struct control){.config = options->config,
                                .reactor = options->reactor,
                                .api = options->api,
                                .ops = options->ops,
                                .owner = options->owner,
                                .socket.fd = -1};
    int rc = control_open(control, reason);
    if (rc < 0 || !control_is_open(control))
        return rc;
    snprintf(reason, CLI_REASON_BYTES, "not enough memory");
    input_memory_init(&control->input, INPUT_BYTES_MAX, 0);
    rc = front_init(&control->front, &(struct front_options){.config = control->config,
                                                             .reactor = control->reactor,
                                                             .input = &control->input,
                                                             .ops = &control_exchange_ops,
                                                             .owner = control,
                                                             .conn_count_max = CONTROL_CONN_COUNT,
                                                             .output_bytes_max = OUTPUT_BYTES_MAX,
                                                             .index_base = CONTROL_INDEX_BASE});
    if (rc == 0)
        rc = log_tail_init(&control->tail);
    if (rc == 0)
        control->reactor->log.tail = &control->tail;
    return rc;
}

static int control_open_default(struct control *control, char reason[CLI_REASON_BYTES])
{
    char path[CONTROL_PATH_BYTES];
    int rc = control_path_default(path, reason);
    if (rc == 0)
        rc = control_path_prepare(path, reason);
    return rc < 0 ? rc : control_socket_open(&control->socket, path, reason);
}

/* A server whose default is taken, or cannot be, does without. */
static int control_open(struct control *control, char reason[CLI_REASON_BYTES])
{
    const char *path = control->config->control_path;
    if (path && strcmp(path, CONTROL_PATH_NONE) == 0)
        return 0;
    if (path)
        return control_socket_open(&control->socket, path, reason);
    if (control_open_default(control, reason) < 0)
        log_event(&control->reactor->log, LEVEL_INFO, "no_control", LOG_TEXT("reason", reason));
    return 0;
}

void control_start(struct control *control)
{
    if (!control_is_open(control))
        return;
    log_event(&control->reactor->log, LEVEL_INFO, "control",
              LOG_TEXT("path", control->socket.path));
    front_listen_on(&control->front, control->socket.fd, control->socket.path);
}

void control_finish(struct control *control)
{
    if (!control_is_open(control))
        return;
    control->reactor->log.tail = NULL;
    control_waits_finish(control);
    if (control->front.listener_count == 0)
        close(control->socket.fd);
    front_finish(&control->front);
    control_socket_finish(&control->socket);
    input_memory_finish(&control->input);
    log_tail_finish(&control->tail);
}

void control_follow_config(struct control *control, const struct config *config)
{
    control->config = config;
    if (control_is_open(control))
        control->front.config = config;
}

void control_on_reloaded(struct control *control, uint64_t number, const struct text *json)
{
    control_answer_waits(control, CONTROL_WAIT_RELOAD, number, json);
    control_checks_go_on(control);
}

void control_on_checked(struct control *control, const struct text *json)
{
    control_answer_waits(control, CONTROL_WAIT_CHECKED, 0, json);
    control_checks_go_on(control);
}

void control_step(struct control *control)
{
    control_renewal_check(control);
    control_checks_go_on(control);
    if (control->follow_count > 0)
        control_logs_send(control);
    front_flush(&control->front);
}

bool control_has_chores(const struct control *control)
{
    return control->follow_count > 0 || control->front.dirty ||
           control_is_awaited(control, CONTROL_WAIT_RENEWAL) ||
           control_is_awaited(control, CONTROL_WAIT_CHECK);
}
