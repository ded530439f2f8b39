/* SPDX-License-Identifier: MIT */
/*
 * protocol.h - what dispatcher and worker say to each other: records, messages, descriptors.
 *
 * The prose is in docs/internals/protocol.md. Payloads marked "msgpack" are one msgpack object.
 */
#ifndef MILLRACE_PROTOCOL_H
#define MILLRACE_PROTOCOL_H

#include <signal.h>
#include <stdint.h>

#define PROTOCOL_VERSION 1u

/* The descriptors a worker inherits, by number; 0 is /dev/null, 1 and 2 are pipes to the log. */
enum worker_fd {
    WORKER_FD_SEGMENT = 3,         /* the sealed memfd */
    WORKER_FD_BELL = 4,            /* read end of a non-blocking pipe: the worker sleeps on it */
    WORKER_FD_DISPATCHER_BELL = 5, /* eventfd the worker writes to wake the dispatcher */
    WORKER_FD_SOCKET = 6,          /* its end of the socketpair, SOCK_SEQPACKET */
    WORKER_FD_COUNT
};

/*
 * Records. "request" travels dispatcher -> worker, "reply" worker -> dispatcher.
 *
 *  kind   ring     payload
 *  PAD    both     none: skip to the wrap
 *  START  request  msgpack [run id (str), [input, ...]]; with RECORD_BLOB none: the payload is in
 *                  the memfd of the BLOB message with the same slot and generation; with
 *                  RECORD_FILES its inputs name files, which the FILES message of the same slot and
 *                  generation has
 *  STOP   request  none: finish the active runs, take no new ones, exit 0 (slot, generation 0)
 *  CHUNK  reply    msgpack [output, ...], one element for each output of the pipeline.
 *                  With RECORD_MORE: a fragment; the value is all payloads up to and including the
 *                  first one without RECORD_MORE. Only LOG records may come between
 *  END    reply    the run completed. None; or 8 bytes, a struct end_plain: outputs that were
 *                  declared as streams, and are one value each after all
 *  ERROR  reply    msgpack [enum error_type (uint), message (str), traceback (str or nil)]: the
 *                  run failed. Follows its CHUNKs like END. May be fragmented like CHUNK.
 *  LOG    reply    msgpack [enum log_level (uint), text (str)]; slot and generation of the run that
 *                  was stepped, or 0, 0 outside any run. Has no place in the sequence (0).
 *  FILE   request  struct file_record, then text: of the file that the run's last FILE message told
 *                  of. It is kept; with text it is not, and that is why; with RECORD_BLOB what is
 *                  in it may be written to the pipe of the PIPE message that was sent before
 *
 * `sequence` counts the CHUNK, END and ERROR records of one run on the reply ring, fragments
 * included. START carries 0.
 */
enum record_kind {
    RECORD_PAD = 0,
    RECORD_START,
    RECORD_STOP,
    RECORD_CHUNK,
    RECORD_END,
    RECORD_ERROR,
    RECORD_LOG,
    RECORD_FILE,
    RECORD_KIND_COUNT
};

/* A bit for each output, the lowest one for the first. */
struct end_plain {
    uint64_t outputs;
};

enum record_flag {
    RECORD_MORE = 1,
    RECORD_BLOB = 2,
    RECORD_FILES = 4,
};

/* In a CHUNK, in the place of an output whose stream has no more items: msgpack's extension type 0
 * with one byte, 0. Lines show it as none, a collected result leaves it out. */
#define CHUNK_EXHAUSTED_BYTES 3u
#define CHUNK_EXHAUSTED "\xd4\x00\x00"

/* A file: msgpack's extension of this type, with its number in four bytes, the highest first. In
 * the inputs of a START it counts those of FILES, from 0; in a CHUNK, as a value or within one, the
 * FILE messages of the run: such a file is kept by then, or no honest worker names it. */
#define VALUE_FILE 1
#define VALUE_FILE_BYTES 4u
#define CHUNK_FILE_HEAD "\xd6\x01"
#define CHUNK_FILE_HEAD_BYTES 2u
#define CHUNK_FILE_BYTES (CHUNK_FILE_HEAD_BYTES + VALUE_FILE_BYTES)

/* What a FILE record begins with. */
struct file_record {
    uint32_t number;
};

/*
 * Flow control. A run's charge is the sum over its CHUNK records of payload bytes plus this, which
 * stands for the constant text of a line. A worker waits while window_allows() of shm/window.h
 * refuses its next charge. For a fragmented value the whole value is one charge of its total bytes
 * plus one overhead.
 */
#define CHUNK_CHARGE_BYTES 320u

/* Why a slot's cancel word was set. */
enum cancel_reason {
    CANCEL_NONE = 0,
    CANCEL_CLIENT_GONE,
    CANCEL_REQUESTED, /* DELETE /v4/runs/{id} */
    CANCEL_DEADLINE,
    CANCEL_STALLED,
    CANCEL_DRAIN,
    CANCEL_REFUSED,   /* never started: it could not be given to a worker */
    CANCEL_BAD_VALUE, /* a value of this run could not be sent; its client has the error line */
    CANCEL_REASON_COUNT
};

/* The nine words of the API, in the order of docs/internals/protocol.md; the SDK drops others. */
enum error_type {
    ERROR_INPUT = 0,
    ERROR_CUDA_OOM,
    ERROR_CUDA,
    ERROR_OOM,
    ERROR_PIPELINE,
    ERROR_STARTUP,
    ERROR_LOADING,
    ERROR_TIMEOUT,
    ERROR_UNKNOWN,
    ERROR_TYPE_COUNT
};

/*
 * Messages on the socketpair: this header, then `bytes` of body. A message is one packet of at most
 * MESSAGE_BYTES_MAX.
 *
 *  kind    direction             body
 *  HELLO   worker -> dispatcher  msgpack map (docs/internals/protocol.md): the variables
 *  READY   worker -> dispatcher  none: startup hooks are done, requests may come
 *  FAILED  worker -> dispatcher  msgpack [enum error_type, message, traceback or nil]: it did not
 *                                load or start; the worker exits after it
 *  BLOB    dispatcher -> worker  uint64 bytes of the request, and one SCM_RIGHTS descriptor: a
 *                                sealed memfd; slot and generation as in the START record that
 *                                follows
 *  FILES   dispatcher -> worker  msgpack [folder, [name, ...]]: the file number N, from 0, of the
 *                                START that follows, and after its BLOB, is FOLDER/N/NAME
 *  FILE    worker -> dispatcher  struct message_file, then a name: a file that a value of the run
 *                                of this slot and generation will have, while that waits. A run
 *                                says so of one at a time, until a FILE record ended it
 *  PIPE    dispatcher -> worker  uint64 number of that file, and one SCM_RIGHTS descriptor: the
 *                                end of a pipe to write it to, which does not block
 *  PROGRESS worker -> dispatcher struct message_progress, then a text: how far it is with its
 *                                start, before READY; each one is a sign of life
 *
 * A template (docs/internals/protocol.md) says HELLO and READY as a worker does, and then takes
 * FORK alone:
 *
 *  FORK    dispatcher -> template  struct message_fork, then its texts, each with its final NUL,
 *                                  and the descriptors of enum start_fd
 *  FORKED  template -> dispatcher  struct message_forked, then a text: why there is no copy
 *  GO      dispatcher -> copy      none, on its own socket: it is known, and becomes the worker
 */
enum message_kind {
    MESSAGE_HELLO = 1,
    MESSAGE_READY,
    MESSAGE_FAILED,
    MESSAGE_BLOB,
    MESSAGE_FILES,
    MESSAGE_FILE,
    MESSAGE_PIPE,
    MESSAGE_PROGRESS,
    MESSAGE_FORK,
    MESSAGE_FORKED,
    MESSAGE_GO,
    MESSAGE_KIND_COUNT
};

/* What a process is given to be a worker, in the order in which it is sent: to the spawner, and in
 * FORK. Each becomes the descriptor of the next number. */
enum start_fd {
    START_FD_STDOUT = 0,
    START_FD_STDERR,
    START_FD_SEGMENT,
    START_FD_BELL,
    START_FD_DISPATCHER_BELL,
    START_FD_SOCKET,
    START_FD_COUNT
};

static inline int start_fd_number(enum start_fd which)
{
    _Static_assert(START_FD_STDOUT + 1 == 1 && START_FD_STDERR + 1 == 2, "those of stdio");
    _Static_assert(START_FD_SEGMENT + 1 == WORKER_FD_SEGMENT, "as enum worker_fd has it");
    _Static_assert(START_FD_BELL + 1 == WORKER_FD_BELL, "as enum worker_fd has it");
    _Static_assert(START_FD_DISPATCHER_BELL + 1 == WORKER_FD_DISPATCHER_BELL, "likewise");
    _Static_assert(START_FD_SOCKET + 1 == WORKER_FD_SOCKET, "as enum worker_fd has it");
    return (int)which + 1;
}

enum fork_flag {
    FORK_HAS_DEVICE_NODES = 1, /* the text says which; else it opens those of any device */
};

/* The texts are, in this order: cores, memory nodes and device nodes, as millrace-worker's options
 * of these names, "" where nothing is said; then variables. */
struct message_fork {
    uint32_t place, generation; /* of the worker that is asked for; the answer says them again */
    uint32_t index;             /* of the worker among those of its pipeline */
    uint32_t flags;
    uint32_t variable_count;
    uint32_t pad;
};

#define MESSAGE_FORK_TEXT_COUNT 3u

struct message_forked {
    uint32_t place, generation;
    int32_t pid;   /* 0: there is no copy */
    int32_t error; /* likewise: an errno, or 0 with a text that says why */
};

/* What a FILE message begins with. The name is no longer than MESSAGE_FILE_NAME_BYTES_MAX. */
struct message_file {
    uint32_t number;
    uint32_t pad;
    uint64_t bytes; /* in the file, all of which are written to the pipe */
};

#define MESSAGE_FILE_NAME_BYTES_MAX 1024u

/* What a PROGRESS message begins with. The text, of MESSAGE_PROGRESS_TEXT_BYTES_MAX at most, is for
 * people. */
struct message_progress {
    uint32_t permille; /* 0 to 1000, or MESSAGE_PROGRESS_UNKNOWN */
    uint32_t pad;
};

#define MESSAGE_PROGRESS_UNKNOWN UINT32_MAX
#define MESSAGE_PROGRESS_TEXT_BYTES_MAX 120u

#define MESSAGE_MAGIC 0x4d4c5231u
#define MESSAGE_FILES_BYTES_MAX (20u * 1024) /* a long path, and 64 names of 200 bytes */

struct message {
    uint32_t magic;
    uint16_t version; /* PROTOCOL_VERSION */
    uint16_t kind;
    uint32_t bytes; /* of the body */
    uint32_t slot;
    uint32_t generation;
    uint32_t pad;
};

/* Sent to a worker that hangs, a moment before SIGKILL: it writes where it is to the crash report
 * of its segment, and kills itself. */
#define WORKER_SIGNAL_WHERE (SIGRTMAX - 1)

/* Exit codes of a worker, part of what the log and the client's error say. */
enum worker_exit {
    WORKER_EXIT_OK = 0,
    WORKER_EXIT_ORPHAN = 70,   /* the dispatcher vanished */
    WORKER_EXIT_ATTACH = 71,   /* descriptors or segment are not what they should be */
    WORKER_EXIT_LOAD = 72,     /* the pipeline did not load; FAILED was sent */
    WORKER_EXIT_STARTUP = 73,  /* a startup hook failed; FAILED was sent */
    WORKER_EXIT_PROTOCOL = 74, /* the request ring is corrupt */
    WORKER_EXIT_CONFINE = 75,  /* it cannot be confined as it was told to be; FAILED was sent */
    WORKER_EXIT_SHORT = 76,    /* its user or the machine has no more processes: nobody's failure */
    WORKER_EXIT_UNFORKABLE = 77 /* a template cannot be copied; FAILED was sent, and says why */
};

#endif
