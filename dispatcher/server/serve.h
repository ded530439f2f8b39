/* SPDX-License-Identifier: MIT */
/*
 * serve.h - the server itself, from a checked configuration to the last worker gone.
 */
#ifndef DISPATCHER_SERVE_H
#define DISPATCHER_SERVE_H

#include "dispatcher/config/config.h"
#include "dispatcher/config/exit_code.h"
#include "millrace/check.h"

/* Serves until it is stopped; returns an exit code. Prints the ready line on stdout, logs on
 * stderr. The configuration is handed over, and empty afterwards. */
int serve(struct config *config) MUST_USE;

#endif
