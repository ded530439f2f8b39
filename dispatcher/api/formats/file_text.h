/* SPDX-License-Identifier: MIT */
/*
 * file_text.h - files among the values of a run, as all formats show them: {"name", "path", "size",
 * "url"}.
 */
#ifndef DISPATCHER_FILE_TEXT_H
#define DISPATCHER_FILE_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "dispatcher/text/json_out.h"

struct answer;
struct run;

/* The files of one run, for json_out. Lives as long as a call. */
struct file_text {
    struct json_files files;
    const struct run *run;
    const struct answer *answer;
};

/* What json_out asks for files that this value names; NULL: it names none. `*room` is what they
 * need beside json_out_bound(). For the few runs that have files. */
const struct json_files *file_text_begin(struct file_text *text, const struct answer *answer,
                                         const struct run *run, const uint8_t *data, size_t bytes,
                                         size_t *room);

#endif
