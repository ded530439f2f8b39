/* SPDX-License-Identifier: MIT */
/*
 * file_text.h - values with files in them, as all formats show them (docs/api.md). For the few runs
 * that give out files.
 */
#ifndef DISPATCHER_FILE_TEXT_H
#define DISPATCHER_FILE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/text/text.h"
#include "millrace/check.h"

struct answer;
struct run;

/* Whether a value of the run names files; one that names more than there can be is left to be
 * refused like one of a run without. */
bool file_text_is_needed(const struct run *run, const uint8_t *data, size_t bytes);

/* One output, msgpack with files, becomes msgpack without in `out`, which is emptied first;
 * `*consumed` is how much of `data` it took. `*is_file`: it is a file itself, and what is said of
 * it has its wrapper. 0, or -EBADMSG, -ENOMEM as sink_ops.value says. */
int file_text_expand(const struct answer *answer, const struct run *run, const uint8_t *data,
                     size_t bytes, size_t *consumed, bool *is_file, struct text *out) MUST_USE;

/* Adds one output without files, or (`is_file`) what is said of one, as it stands in "outputs".
 * Results as of json_out_value(), 0 for good ones, and -ENOMEM. */
int output_text_add(struct text *out, const uint8_t *data, size_t bytes, bool is_file,
                    size_t *consumed) MUST_USE;

/* All outputs of a value as JSON text, as json_out_outputs() writes them. Results as there, and
 * -ENOMEM. */
int file_text_outputs(const struct answer *answer, const struct run *run, const uint8_t *data,
                      size_t bytes, struct text *out) MUST_USE;

#endif
