/* SPDX-License-Identifier: MIT */
/* log.c - log lines in two buffers, one being filled, one being written. */
#include "dispatcher/reactor/log.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

_Static_assert(LOG_EVENT_BYTES_MAX <= LOG_BUFFER_BYTES, "an empty half takes any event");

static bool log_is_journal(int fd);
static void log_lose_batch(struct log *log);
static void log_swap_halves(struct log *log);

void log_init(struct log *log, int fd, enum log_level level)
{
    memset(log, 0, sizeof(*log));
    log->fd = fd;
    log->level = level;
}

void log_style_set(struct log *log, enum log_format format)
{
    log->style = (struct log_style){.format = format, .is_journal = log_is_journal(log->fd)};
}

void log_add(struct log *log, const struct log_event *event)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    size_t count = log_format_event(&log->style, &now, event, log->bytes[log->filling] + log->count,
                                    LOG_BUFFER_BYTES - log->count);
    if (log->tail)
        log_tail_add(log->tail, log->bytes[log->filling] + log->count, count);
    log->count += (uint32_t)count;
    if (count == 0) {
        log->dropped_count++;
        log->dropped_total++;
    }
}

size_t log_take(struct log *log, const char **bytes)
{
    if (log->write_in_flight)
        return 0;
    if (log->sending_offset == log->sending_count) {
        log_swap_halves(log);
        /* The other half has room again: first of all it says what was lost. */
        if (log->dropped_count > 0 && !log->is_failing) {
            uint64_t dropped = log->dropped_count;
            log->dropped_count = 0;
            log_event(log, LEVEL_WARNING, "log_dropped", LOG_NATURAL("lines", dropped));
            if (log->sending_count == 0)
                log_swap_halves(log);
        }
    }
    *bytes = log->bytes[log->filling ^ 1] + log->sending_offset;
    size_t count = log->sending_count - log->sending_offset;
    log->write_in_flight = count > 0;
    return count;
}

void log_written(struct log *log, int32_t result)
{
    log->write_in_flight = false;
    if (result >= 0) {
        log->sending_offset += (uint32_t)result;
        log->is_failing = false;
    } else if (result != -EAGAIN && result != -EINTR && result != -ECANCELED) {
        /* ENOSPC, EPIPE, EIO: this batch is lost, the server goes on. */
        log_lose_batch(log);
        log->is_failing = true;
    }
    mr_assert(log->sending_offset <= log->sending_count);
}

void log_move(struct log *log, int fd)
{
    const char *batch = log->bytes[log->filling ^ 1];
    mr_assert(!log->write_in_flight);
    log->fd = fd;
    log->is_failing = log->is_torn = false;
    if (!log_is_writing(log) || log->sending_offset == 0 || batch[log->sending_offset - 1] == '\n')
        return;
    const char *rest = batch + log->sending_offset;
    const char *newline = memchr(rest, '\n', log->sending_count - log->sending_offset);
    mr_assert(newline);
    log->sending_offset += (uint32_t)(newline + 1 - rest);
    log->dropped_count++;
    log->dropped_total++;
}

void log_flush(struct log *log)
{
    if (log->write_in_flight)
        return; /* its reader has stopped reading */
    for (int i = 0; i < 64; i++) {
        const char *bytes;
        size_t count = log_take(log, &bytes);
        struct pollfd writable = {.fd = log->fd, .events = POLLOUT};
        if (count == 0 || poll(&writable, 1, 0) != 1)
            return;
        ssize_t written = write(log->fd, bytes, count < 4096 ? count : 4096);
        log_written(log, written == -1 ? -errno : (int32_t)written);
    }
}

/* Who starts a service says what its stderr was, which it need not be any more: systemd.exec(5). */
static bool log_is_journal(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat file;
    char text[64];
    if (!stream || fstat(fd, &file) == -1)
        return false;
    snprintf(text, sizeof text, "%ju:%ju", (uintmax_t)file.st_dev, (uintmax_t)file.st_ino);
    return strcmp(stream, text) == 0;
}

/* What is left of it. Of a line that is written in part the end is owed: the next one would be a
 * part of it. */
static void log_lose_batch(struct log *log)
{
    const char *batch = log->bytes[log->filling ^ 1];
    bool was_owed = log->sending_offset == 0 && batch[0] == '\n';
    uint32_t begin = log->sending_offset + was_owed;
    uint64_t lost = log_format_count(batch + begin, log->sending_count - begin);
    log->dropped_count += lost;
    log->dropped_total += lost;
    log->is_torn = was_owed || (begin > 0 && batch[begin - 1] != '\n');
    log->sending_offset = log->sending_count;
}

static void log_swap_halves(struct log *log)
{
    char *batch = log->bytes[log->filling];
    log->sending_offset = 0;
    log->sending_count = log->count;
    log->count = 0;
    log->filling ^= 1;
    if (log->is_torn && log->sending_count > 0) {
        memmove(batch + 1, batch, log->sending_count++);
        batch[0] = '\n';
        log->is_torn = false;
    }
}
