/* SPDX-License-Identifier: MIT */
/*
 * top_terminal.h - a terminal that shows one screen after another, and is left as it was.
 *
 * The screen is the alternate one, drawn over itself from its first cell, each line cleared behind
 * its text, in one write: nothing flickers. What it takes are sequences that all terminals have
 * (docs/decisions/0026-top-draws-itself.md says why they are not a library's).
 *
 * Signals that end or stop a process come as keys here, so that the terminal is given back first.
 */
#ifndef DISPATCHER_TOP_TERMINAL_H
#define DISPATCHER_TOP_TERMINAL_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <termios.h>

#include "dispatcher/text/text.h"
#include "millrace/check.h"

enum top_key {
    TOP_KEY_NONE = 0, /* the time is up, or it is none of these */
    TOP_KEY_QUIT,     /* also when the terminal is gone */
    TOP_KEY_PAUSE,
    TOP_KEY_WORKERS,
    TOP_KEY_UP,
    TOP_KEY_DOWN,
    TOP_KEY_PAGE_UP,
    TOP_KEY_PAGE_DOWN,
    TOP_KEY_REDRAW, /* the size is another one, or this process goes on */
    TOP_KEY_SIGNAL, /* it is to end, see ended_by */
};

struct top_terminal {
    int signal_fd;
    struct termios usual; /* as it was */
    sigset_t mask;        /* likewise */
    int ended_by;         /* the signal that this process is to end by; 0: none */
};

/* Whether it can be one: stdin and stdout are a terminal that is not a dumb one. */
bool top_terminal_is_there(void);

/* The columns and rows of stdout; what is not known stays. */
void top_terminal_size(uint32_t *columns, uint32_t *rows);

/* Takes stdin and stdout. 0 or -errno. */
int top_terminal_open(struct top_terminal *terminal) MUST_USE;

/* Gives them back as they were; then also by a signal that has come, which ends this process. */
void top_terminal_close(struct top_terminal *terminal);

/* Shows lines of so many columns at most, each with its newline, of which there are no more than
 * rows. 0 or -errno. */
int top_terminal_draw(const struct text *lines, uint32_t columns) MUST_USE;

/* The next key. Meanwhile this process may be stopped, and go on. */
enum top_key top_terminal_wait(struct top_terminal *terminal, int timeout_ms);

/* Whether there is a key, or a signal. */
bool top_terminal_has_key(const struct top_terminal *terminal);

#endif
