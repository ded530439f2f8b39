/* SPDX-License-Identifier: MIT */
/*
 * signals.h - what ends a server, from its first instruction on.
 *
 *   signals_hold()    blocked, before any library has had its turn: none is lost, none kills
 *   signals_begin()   until there is a loop they end the process with 0: nothing is begun yet
 *   signals_open()    from here on the loop reads them
 */
#ifndef DISPATCHER_SIGNALS_H
#define DISPATCHER_SIGNALS_H

#include "millrace/check.h"

/* Blocks what asks a server to stop. Uses nothing that has to be initialised first. */
void signals_hold(void);

/* Lets what asks a server to stop end this process with 0, unless it is ignored. SIGXFSZ is ignored
 * from now on: who writes is told EFBIG. A limit on processor time is heard before its end. */
void signals_begin(void);

/* A descriptor to read signals from; SIGPIPE is ignored. -errno. */
int signals_open(void) MUST_USE;

/* "SIGTERM" and the like; "?" for what is none. */
const char *signals_name(int number);

#endif
