/* SPDX-License-Identifier: MIT */
/*
 * client_inputs.h - the words of `millrace run POINTER INPUT...` become the body of a request.
 *
 * How a word is read depends on the type the pipeline gives that input: a string is the word as it
 * stands, everything else is JSON and goes into the request digit by digit. @FILE takes the text
 * from a file, @- from stdin, and @@ stands for a word that begins with @. Where the pipeline takes
 * a file, @FILE is uploaded, and a URL or the id of an uploaded one goes as it is.
 */
#ifndef DISPATCHER_CLIENT_INPUTS_H
#define DISPATCHER_CLIENT_INPUTS_H

#include "dispatcher/cli/client/client_files.h"
#include "dispatcher/text/json_view.h"
#include "dispatcher/text/text.h"
#include "millrace/check.h"

#define INPUT_FILE_BYTES_MAX (256u * 1024 * 1024)
#define INPUT_REASON_BYTES (CLIENT_REASON_BYTES + 32u)

/* Adds the request to `body`. `variables` is what GET /v4/pipelines/POINTER calls input_variables;
 * words beyond it are taken as strings, and the server says what it thinks of them. Nothing is
 * uploaded before all words are known to be fine. 0; -EINVAL when a word is not what it should be,
 * -errno when its file cannot be read or sent, both with `reason`; -ENOMEM. */
int client_inputs_format(struct text *body, const char *pointer, const struct json_view *variables,
                         char *const *words, int count, const struct client_files *files,
                         char reason[INPUT_REASON_BYTES]) MUST_USE;

#endif
