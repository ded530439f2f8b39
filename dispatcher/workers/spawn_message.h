/* SPDX-License-Identifier: MIT */
/*
 * spawn_message.h - what the server and its spawner say to each other.
 *
 *     server                                spawner
 *                                           READY, with a pidfd of itself
 *     a request, with START_FD_COUNT
 *     descriptors                ------->   clone(CLONE_PARENT): a child of the server, which waits
 *                                <-------   STARTED, with its pidfd; only then it may go on
 *                                           it becomes the worker, or
 *                                <-------   EXEC_FAILED, said by the child itself, which exits
 *                                <-------   FAILED: there is no child
 *     or one descriptor that is to
 *     be closed, with SPAWN_CLOSE_MAGIC
 *                                ------->   a child of its own closes it
 *
 * Both are one binary and trust each other; a message is one packet.
 */
#ifndef DISPATCHER_SPAWN_MESSAGE_H
#define DISPATCHER_SPAWN_MESSAGE_H

#include <stdint.h>

#define SPAWN_MAGIC 0x6d727370u
#define SPAWN_CLOSE_MAGIC 0x6d727363u
#define SPAWN_STRING_COUNT_MAX 224u
#define SPAWN_TEXT_BYTES_MAX (128u * 1024)

/* Followed by the program, its arguments and its variables, each with its final NUL. Variables take
 * the place of those that the spawner has itself. */
struct spawn_request {
    uint32_t magic;
    uint32_t index, generation; /* of the worker; the answer says them again */
    uint32_t argument_count, variable_count;
    uint32_t text_bytes;
};

enum spawn_answer_kind {
    SPAWN_READY = 0,
    SPAWN_STARTED,
    SPAWN_FAILED,
    SPAWN_EXEC_FAILED,
    SPAWN_ANSWER_KIND_COUNT
};

struct spawn_answer {
    uint32_t magic;
    uint32_t kind;
    uint32_t index, generation;
    int32_t pid;
    int32_t error; /* an errno */
};

#endif
