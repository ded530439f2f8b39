/* SPDX-License-Identifier: MIT */
/* control_waits.c - who waits for what. */
#include "dispatcher/control/control_waits.h"

#include <errno.h>
#include <stdlib.h>

#include "dispatcher/control/control.h"
#include "dispatcher/http/response.h"
#include "dispatcher/text/text.h"

static void wait_end(struct control_wait *wait)
{
    if (wait->conn)
        conn_detach(wait->conn);
    free(wait->path);
    *wait = (struct control_wait){.kind = CONTROL_WAIT_NONE};
}

/* A place is kept for a file that is being compared after its client has left, so there may be none
 * for another one. */
void control_wait(struct control *control, struct conn *conn, enum control_wait_kind kind,
                  uint64_t number, char *path)
{
    for (uint32_t i = 0; i < CONTROL_CONN_COUNT; i++) {
        struct control_wait *wait = &control->waits[i];
        if (wait->kind != CONTROL_WAIT_NONE)
            continue;
        *wait = (struct control_wait){.kind = kind, .conn = conn, .number = number, .path = path};
        conn->pending = wait;
        return;
    }
    free(path);
    response_detail(&control->front, conn, 503, "Too many wait for an answer.");
}

void control_checks_go_on(struct control *control)
{
    const char *reason = "the file is not read";
    if (control_is_awaited(control, CONTROL_WAIT_CHECKED))
        return;
    for (uint32_t i = 0; i < CONTROL_CONN_COUNT; i++) {
        struct control_wait *wait = &control->waits[i];
        if (wait->kind != CONTROL_WAIT_CHECK)
            continue;
        int rc = control->ops->check(control->owner, wait->path, &reason);
        if (rc == 0)
            wait->kind = CONTROL_WAIT_CHECKED;
        if (rc == 0 || rc == -EBUSY)
            return;
        struct conn *conn = wait->conn;
        wait_end(wait);
        response_detail(&control->front, conn, 409, reason);
    }
}

void control_answer_waits(struct control *control, enum control_wait_kind kind, uint64_t number,
                          const struct text *json)
{
    control->reactor->has_chores = true;
    for (uint32_t i = 0; i < CONTROL_CONN_COUNT; i++) {
        struct control_wait *wait = &control->waits[i];
        struct text copy = {.failed = json->failed};
        if (wait->kind != kind || wait->number > number)
            continue;
        struct conn *conn = wait->conn;
        wait_end(wait);
        if (!conn)
            continue;
        text_add_bytes(&copy, json->bytes, json->count);
        response_text(&control->front, conn, 200, NULL, &copy);
    }
}

bool control_is_awaited(const struct control *control, enum control_wait_kind kind)
{
    for (uint32_t i = 0; i < CONTROL_CONN_COUNT; i++)
        if (control->waits[i].kind == kind)
            return true;
    return false;
}

bool control_wait_forget(struct control *control, const struct conn *conn)
{
    for (uint32_t i = 0; i < CONTROL_CONN_COUNT; i++) {
        struct control_wait *wait = &control->waits[i];
        if (wait->kind == CONTROL_WAIT_NONE || wait->conn != conn)
            continue;
        wait->conn = NULL; /* its path is being read */
        if (wait->kind != CONTROL_WAIT_CHECKED)
            wait_end(wait);
        return true;
    }
    return false;
}

void control_waits_finish(struct control *control)
{
    for (uint32_t i = 0; i < CONTROL_CONN_COUNT; i++) {
        control->waits[i].conn = NULL;
        wait_end(&control->waits[i]);
    }
}
