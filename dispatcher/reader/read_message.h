/* SPDX-License-Identifier: MIT */
/*
 * read_message.h - what the server and its reader say to each other.
 *
 *     server                                  reader
 *     BODY, with a file of the body  ------>  parses it
 *                                    <------  an answer: what is wrong, or what the envelope says
 *     PACK, with an empty file, the
 *     run's id and the variables     ------>  packs the inputs into the file and seals it
 *                                    <------  an answer: what is wrong, or how many bytes
 *     or DROP                        ------>  forgets the body
 *
 * Two steps, since the pipeline is named inside the body. One body at a time; a new one takes the
 * place of the last. A message is one packet. The reader parses what strangers sent, so its answers
 * are checked like a worker's; it never sends a descriptor.
 */
#ifndef DISPATCHER_READ_MESSAGE_H
#define DISPATCHER_READ_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/inputs/api_error.h"
#include "dispatcher/inputs/run_request.h"
#include "dispatcher/runs/run.h"

#define READ_MAGIC 0x6d727264u

/* Of a pipeline's name: no pipeline has a longer one, so it may be cut there. */
#define READ_NAME_BYTES_MAX 512u

enum read_kind {
    READ_NONE = 0,
    READ_BODY,
    READ_PACK,
    READ_DROP, /* has no answer */
    READ_KIND_COUNT
};

/* PACK is followed by the pipeline's HELLO, as its worker said it. */
struct read_request {
    uint32_t magic;
    uint32_t kind;
    uint64_t number; /* of the body; answers say it again */
    uint64_t bytes;  /* BODY: of the body; PACK: of the HELLO */
    char run_id[RUN_ID_BYTES];
};

/* Whatever is not said is zero. */
struct read_answer {
    uint32_t magic;
    uint32_t kind; /* of the request */
    uint64_t number;
    int32_t result; /* 0; -EINVAL: `status` and what follows it; -ENOMEM */
    uint32_t status, type;
    uint64_t bytes;           /* PACK: of the payload, and */
    uint64_t reference_bytes; /* of the files that are named behind it */
    uint8_t is_result;
    uint8_t has_pipeline, has_callback_url, async_run, wait_for_resources, final_line;
    uint32_t class; /* what "scheduling" says; its texts are "" where it does not */
    char tenant[SCHEDULING_TEXT_BYTES_MAX + 1];
    char affinity[SCHEDULING_TEXT_BYTES_MAX + 1];
    char message[sizeof(((struct api_error *)0)->message)];
    char detail[sizeof(((struct api_error *)0)->detail)];
    char pipeline[READ_NAME_BYTES_MAX + 1];
    char callback_url[CALLBACK_URL_BYTES_MAX + 1];
};

/* What is wrong with an answer to this request, as words for the log; NULL: it may be believed. */
const char *read_answer_check(const struct read_answer *answer, enum read_kind kind,
                              uint64_t number);

/* The error of a checked answer whose result is -EINVAL; and the other way round. */
void read_answer_error(const struct read_answer *answer, struct api_error *error);
void read_answer_put_error(struct read_answer *answer, const struct api_error *error);

/* Whether the file that came back holds these bytes and nobody can change it any more. */
bool read_file_is_sealed(int fd, uint64_t bytes);

#endif
