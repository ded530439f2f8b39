/* SPDX-License-Identifier: MIT */
/*
 * serve.h - the server itself, from a checked configuration to the last worker gone.
 */
#ifndef DISPATCHER_SERVE_H
#define DISPATCHER_SERVE_H

#include "dispatcher/config/config.h"
#include "dispatcher/config/exit_code.h"
#include "dispatcher/server/config_thread.h"
#include "millrace/check.h"

/* Serves until it is stopped; returns an exit code. Prints the ready line on stdout, logs on
 * stderr. The configuration is handed over, and empty afterwards. `again` is where it comes from
 * when SIGHUP asks for it once more; NULL: nowhere, and SIGHUP stops the server. */
int serve(struct config *config, const struct config_source *again) MUST_USE;

#endif
