/* SPDX-License-Identifier: MIT */
/* control_waits.h - answers that wait for the end of what they were asked to begin. */
#ifndef DISPATCHER_CONTROL_WAITS_H
#define DISPATCHER_CONTROL_WAITS_H

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct control;
struct text;

enum control_wait_kind {
    CONTROL_WAIT_NONE = 0,
    CONTROL_WAIT_RELOAD,  /* for the end of the reload of this number */
    CONTROL_WAIT_CHECK,   /* for its turn to have a file compared, */
    CONTROL_WAIT_CHECKED, /* and for what came of it */
    CONTROL_WAIT_RENEWAL, /* for the end of a renewal */
    CONTROL_WAIT_KIND_COUNT
};

struct control_wait {
    enum control_wait_kind kind;
    struct conn *conn; /* NULL: its client has left */
    uint64_t number;   /* of RELOAD */
    char *path;        /* of CHECK and CHECKED; owned */
};

/* This connection waits from now on, and takes over the path. */
void control_wait(struct control *control, struct conn *conn, enum control_wait_kind kind,
                  uint64_t number, char *path);

/* Has the next file compared, if nobody else's is. */
void control_checks_go_on(struct control *control);

/* Who waits for it is answered. */
void control_answer_waits(struct control *control, enum control_wait_kind kind, uint64_t number,
                          const struct text *json);

/* Whether somebody does. */
bool control_is_awaited(const struct control *control, enum control_wait_kind kind);

/* Its connection is gone. False: it is none that waits. */
bool control_wait_forget(struct control *control, const struct conn *conn);

void control_waits_finish(struct control *control);

#endif
