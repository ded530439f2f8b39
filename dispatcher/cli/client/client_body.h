/* SPDX-License-Identifier: MIT */
/*
 * client_body.h - the words of a command, POINTER INPUT..., become the body of a request.
 */
#ifndef DISPATCHER_CLIENT_BODY_H
#define DISPATCHER_CLIENT_BODY_H

#include "dispatcher/cli/client/client_files.h"
#include "dispatcher/config/cli.h"
#include "dispatcher/text/text.h"
#include "millrace/check.h"

/* Asks the server for the pipeline's inputs, uploads what is a file among them, and adds the
 * request to `body`. Returns an exit code; what goes wrong is said on stderr in the name of
 * `command`. */
int client_body_make(const struct client_files *files, const char *command,
                     const struct cli_words *words, struct text *body) MUST_USE;

/* Says why a request failed, and returns its exit code. */
int client_failed(const char *command, int rc, const char *reason);

/* What was not said comes from the environment, under the names that Mystic's client uses: the URL
 * (else the usual one) and the token (else NULL). False: the token cannot be sent; it was said. */
bool client_defaults(const char *command, const char **url, const char **token);

#endif
