/* SPDX-License-Identifier: MIT */
/*
 * limits.h - every bound of the program that is not an option, and the defaults of those that are.
 *
 * Sizes are bytes, times are milliseconds. "The laws" (docs/internals/architecture.md): everything
 * is bounded; what does not fit is refused with a clear error, at once.
 */
#ifndef MILLRACE_LIMITS_H
#define MILLRACE_LIMITS_H

#include <stdint.h>

/* Segment. Ring capacities are powers of two. */
#define RING_BYTES_MIN 4096u
#define RING_BYTES_MAX (1u << 30)
#define REQUEST_RING_BYTES (256u * 1024) /* and more for many slots: */
#define REQUEST_RING_BYTES_PER_SLOT 512u /* so that a START of usual size fits for each */
#define REPLY_RING_BYTES (1024u * 1024)
#define SLOT_COUNT_MAX 4096u

/* One value, input or chunk, packed as msgpack. */
#define VALUE_BYTES_MAX (64u * 1024 * 1024)
/* Containers inside one value; msgpack-c's unpacker stops at 32 for the whole record. */
#define VALUE_DEPTH_MAX 31u
#define OUTPUT_COUNT_MAX 64u
#define INPUT_COUNT_MAX 64u
/* Files that the inputs of one run may name, and the text of one name. */
#define RUN_FILE_COUNT_MAX 64u
#define FILE_REFERENCE_BYTES_MAX (8u * 1024)
#define FILE_REFERENCES_BYTES_MAX (RUN_FILE_COUNT_MAX * (2 * FILE_REFERENCE_BYTES_MAX + 32))

/* Text a worker may send about one failure; longer text is cut and says so. */
#define ERROR_MESSAGE_BYTES_MAX (4u * 1024)
#define ERROR_TRACEBACK_BYTES_MAX (32u * 1024)
/* In a line of the log: a text, and one of several lines. */
#define LOG_TEXT_BYTES_MAX 1024u
#define LOG_BLOCK_BYTES_MAX (8u * 1024)

/* One message on a worker's socketpair. */
#define MESSAGE_BYTES_MAX (64u * 1024)

/* HTTP */
#define HTTP_HEAD_BYTES_MAX (16u * 1024)
#define HTTP_EMPTY_LINE_COUNT_MAX 4u /* before a request line */
#define HTTP_METHOD_BYTES_MAX 32u
#define HTTP_TARGET_BYTES_MAX (8u * 1024)
#define HTTP_HEADER_COUNT_MAX 100u
#define HTTP_BODY_BYTES_MAX (16u * 1024 * 1024)
#define HTTP_CHUNK_EXTENSION_BYTES_MAX 256u
#define HTTP_TRAILER_BYTES_MAX (4u * 1024)
#define HTTP_HEAD_TIMEOUT_MS 10000u
#define HTTP_IDLE_TIMEOUT_MS 75000u
#define HTTP_BODY_RATE_MIN 1024u /* bytes a second, after the grace */
#define HTTP_BODY_GRACE_MS 10000u

/* JSON text of a request: nesting that is looked at (cJSON's own limit is 1000). */
#define JSON_DEPTH_MAX 512u
/* Values in one JSON text: cJSON's tree takes about 100 bytes for each. */
#define JSON_VALUE_COUNT_MAX (512u * 1024)

/* Runs */
#define RUN_WINDOW_BYTES (256u * 1024)
#define RUN_STALL_TIMEOUT_MS 60000u
#define RUN_KEEPALIVE_MS 15000u
#define RUN_QUEUE_TIMEOUT_MS 300000u
#define RUN_PROGRESS_TIMEOUT_MS 600000u
#define RUN_CANCEL_GRACE_MS 5000u
/* A run that has nothing yet is asked again after this at the latest: so far into the future may a
 * stamp of its progress be. */
#define RUN_LATER_MS_MAX 3600000u
/* Of a call of a batched pipe: its items, and how long it waits for others. */
#define BATCH_COUNT_MAX 32u
#define BATCH_WAIT_MS 2u
/* What pipes of one run may take with mr_alloc(). */
#define RUN_ALLOC_BYTES_MAX (64u * 1024 * 1024)
#define HISTORY_OUTPUT_BYTES_MAX                                                                   \
    (64u * 1024 * 1024) /* of asynchronous runs, until newer ones come */
#define RUN_QUEUE_COUNT_MAX 1024u

/* Workers */
#define WORKER_COUNT_MAX 256u
#define WORKER_SPAWN_TIMEOUT_MS 5000u /* until there is a process */
#define WORKER_START_TIMEOUT_MS 600000u
#define WORKER_IDLE_TIMEOUT_MS 300000u /* before one goes that is not needed */
#define WORKER_BACKOFF_MS_MIN 50u
#define WORKER_BACKOFF_MS_MAX 30000u /* and how long a trial after the quarantine lasts */
#define WORKER_QUARANTINE_AFTER 4u

#endif
