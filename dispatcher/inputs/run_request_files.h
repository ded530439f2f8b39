/* SPDX-License-Identifier: MIT */
/*
 * run_request_files.h - the files among a request's inputs: an item of type file, or a member of a
 * dictionary where the pipeline wants one, says {"file_url":…} or {"file_path":…}.
 */
#ifndef DISPATCHER_RUN_REQUEST_FILES_H
#define DISPATCHER_RUN_REQUEST_FILES_H

#include <stdint.h>

#include "dispatcher/inputs/api_error.h"
#include "dispatcher/inputs/input.h"
#include "millrace/check.h"

/* Those that were found, in their order. */
struct request_files {
    struct input_packing references;
    uint32_t count;
};

/* Packs what stands for the file that `item` names into the inputs, and adds it to `files`. `what`
 * names it in messages, as the input `number` from 1 or a part of it. Results of input_pack(), and
 * -EINVAL with `error`. */
int request_file_pack(struct input_packing *packing, struct request_files *files,
                      const struct json_document *document, const cJSON *item, uint32_t number,
                      const char *what, struct api_error *error) MUST_USE;

#endif
