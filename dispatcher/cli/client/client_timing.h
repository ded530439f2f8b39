/* SPDX-License-Identifier: MIT */
/*
 * client_timing.h - when the parts of a run were, as its server has them.
 */
#ifndef DISPATCHER_CLIENT_TIMING_H
#define DISPATCHER_CLIENT_TIMING_H

#include <stdio.h>

struct client;

/* Asks for the run of this id, "" when none came, and prints its times, worker and attempt, a line
 * each. What goes wrong is said on stderr, and changes nothing else. */
void client_timing_print(struct client *client, const char *command, const char *run_id, FILE *out);

#endif
