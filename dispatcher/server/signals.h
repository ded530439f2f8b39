/* SPDX-License-Identifier: MIT */
/*
 * signals.h - what ends a server or asks it for something, from its first instruction on.
 *
 *   signals_hold()    blocked, before any library has had its turn: none is lost, none kills
 *   signals_begin()   until there is a loop, those that stop end the process with 0: nothing is
 *                     begun yet; the others wait
 *   signals_open()    from here on the loop reads them
 */
#ifndef DISPATCHER_SIGNALS_H
#define DISPATCHER_SIGNALS_H

#include <stdint.h>

#include "millrace/check.h"

enum signal_role {
    SIGNAL_STOPS = 0,
    SIGNAL_ENDS_TIME, /* a limit on processor time is about to kill */
    SIGNAL_REOPENS,   /* the log's file */
    SIGNAL_RENEWS,    /* all workers, for new code */
    SIGNAL_RELOADS,   /* the configuration, where there is a file of it; else it stops */
    SIGNAL_NOTHING,   /* other daemons take it, and by itself it would end or halt this one */
    SIGNAL_ROLE_COUNT
};

/* Blocks what a server takes. Uses nothing that has to be initialised first. */
void signals_hold(void);

/* Lets what asks a server to stop end this process with 0, unless it is ignored. SIGXFSZ is ignored
 * from now on: who writes is told EFBIG. A limit on processor time is heard before its end. */
void signals_begin(void);

/* A descriptor to read signals from; SIGPIPE is ignored. -errno. */
int signals_open(void) MUST_USE;

/* What a signal that was read from there is for, and how it is called. */
enum signal_role signals_role(uint32_t number, const char **name);

#endif
