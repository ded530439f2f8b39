/* SPDX-License-Identifier: MIT */
/*
 * log_capture.c - two cookie streams without a buffer of their own, so that a line's tag is exact.
 *
 * Stdio hands over what one call printed; the text of a line gathers here until its end comes, the
 * run changes or ends, or it is as long as a log line may be.
 */
#include "worker/engine/log_capture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "millrace/limits.h"

#define UNCAUGHT_BYTES 256u
#define UNCAUGHT_TYPE "terminate called after throwing an instance of '"
#define UNCAUGHT_WHAT "  what():  "

/* One of the two streams. */
struct log_capture {
    int fd; /* the inherited pipe */
    enum mr_log_level level;
    uint32_t slot; /* whose text this is, when there is some */
    uint32_t generation;
    bool is_rest;                      /* of a line whose beginning was sent */
    size_t bytes;                      /* gathered */
    char text[LOG_TEXT_BYTES_MAX + 1]; /* one more, to see whether the line goes on */
};

/* The streams outlive every function that could own them, and their callbacks come from
 * anywhere. */
static struct log_capture captures[2] = {
    {.fd = STDOUT_FILENO, .level = MR_LOG_INFO},
    {.fd = STDERR_FILENO, .level = MR_LOG_WARNING},
};
/* See log_capture_uncaught(). */
static char capture_uncaught[UNCAUGHT_BYTES];
static struct reply *capture_reply;
static pid_t capture_pid;
static _Thread_local bool is_capture_thread;

static ssize_t log_capture_write(void *cookie, const char *text, size_t bytes);
static void log_capture_gather(struct log_capture *capture, const char *text, size_t bytes);
static void log_capture_split(struct log_capture *capture);
static void log_capture_send(struct log_capture *capture);
static void log_capture_note(const char *line, size_t bytes);

int log_capture_start(struct reply *reply)
{
    FILE *streams[ARRAY_COUNT(captures)];
    for (size_t i = 0; i < ARRAY_COUNT(captures); i++) {
        streams[i] =
            fopencookie(&captures[i], "w", (cookie_io_functions_t){.write = log_capture_write});
        if (!streams[i])
            return -ENOMEM;
        setvbuf(streams[i], NULL, _IONBF, 0);
    }
    fflush(stdout);
    fflush(stderr);
    capture_reply = reply;
    capture_pid = getpid();
    is_capture_thread = true;
    stdout = streams[0];
    stderr = streams[1];
    return 0;
}

void log_capture_go_on(void)
{
    capture_pid = getpid();
}

const char *log_capture_uncaught(void)
{
    return capture_uncaught;
}

bool log_capture_is_here(void)
{
    return is_capture_thread && getpid() == capture_pid;
}

void log_capture_flush(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(captures); i++) {
        if (captures[i].bytes > 0)
            log_capture_send(&captures[i]);
    }
}

/* Another thread, or a child that was forked, must not touch the ring: it gets the pipe. */
static ssize_t log_capture_write(void *cookie, const char *text, size_t bytes)
{
    struct log_capture *capture = cookie;
    if (!log_capture_is_here())
        return write(capture->fd, text, bytes);
    int error = errno; /* printing does not change it when it works */
    log_capture_gather(capture, text, bytes);
    errno = error;
    return (ssize_t)bytes;
}

/* Text of another run than the one gathered so far ends that line. */
static void log_capture_retag(struct log_capture *capture)
{
    const struct reply_job *job = capture_reply->current;
    uint32_t slot = job ? job->slot : 0;
    uint32_t generation = job ? job->generation : 0;
    if (capture->bytes > 0 && (capture->slot != slot || capture->generation != generation))
        log_capture_send(capture);
    capture->slot = slot;
    capture->generation = generation;
}

static void log_capture_gather(struct log_capture *capture, const char *text, size_t bytes)
{
    log_capture_retag(capture);
    while (bytes > 0) {
        const char *newline = memchr(text, '\n', bytes);
        size_t line = newline ? (size_t)(newline - text) : bytes;
        size_t room = sizeof capture->text - capture->bytes;
        size_t part = line < room ? line : room;
        memcpy(capture->text + capture->bytes, text, part);
        capture->bytes += part;
        text += part;
        bytes -= part;
        if (part == line && newline) {
            text++;
            bytes--;
            log_capture_send(capture);
        } else if (capture->bytes == sizeof capture->text) {
            log_capture_split(capture);
        }
    }
}

/* Sends what one log line holds of a line that is longer. */
static void log_capture_split(struct log_capture *capture)
{
    char rest[sizeof capture->text];
    size_t cut = error_cut(capture->text, capture->bytes, LOG_TEXT_BYTES_MAX);
    size_t kept = capture->bytes - cut;
    memcpy(rest, capture->text + cut, kept);
    capture->bytes = cut;
    log_capture_send(capture);
    memcpy(capture->text, rest, kept);
    capture->bytes = kept;
    capture->is_rest = true;
}

/* The tag of the text is that of the run that printed it, which the retag above made current. */
static void log_capture_send(struct log_capture *capture)
{
    const struct reply_job printer = {
        .slot = (uint16_t)capture->slot,
        .generation = capture->generation,
    };
    const struct reply_job *current = capture_reply->current;
    size_t bytes = capture->bytes;
    if (capture->fd == STDERR_FILENO && !capture->is_rest)
        log_capture_note(capture->text, bytes);
    capture->is_rest = false;
    capture->bytes = 0;
    capture_reply->current = &printer;
    reply_log(capture_reply, capture->level, capture->text, bytes);
    capture_reply->current = current;
}

static bool log_capture_begins(const char *line, size_t bytes, const char *words)
{
    return bytes >= strlen(words) && memcmp(line, words, strlen(words)) == 0;
}

/* The runtime says the type in one line, and in another one what() where there is one. */
static void log_capture_note(const char *line, size_t bytes)
{
    const size_t type = sizeof UNCAUGHT_TYPE - 1, what = sizeof UNCAUGHT_WHAT - 1;
    size_t known = strlen(capture_uncaught);
    if (log_capture_begins(line, bytes, UNCAUGHT_TYPE) && bytes > type + 1)
        snprintf(capture_uncaught, sizeof capture_uncaught, "%.*s", (int)(bytes - type - 1),
                 line + type);
    else if (log_capture_begins(line, bytes, UNCAUGHT_WHAT) && known > 0)
        snprintf(capture_uncaught + known, sizeof capture_uncaught - known, ": %.*s",
                 (int)(bytes - what), line + what);
    else
        capture_uncaught[0] = '\0';
}
