/* SPDX-License-Identifier: MIT */
/* log.c - log lines in two buffers, one being filled, one being written. */
#include "dispatcher/reactor/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dispatcher/text/utf8.h"
#include "millrace/limits.h"

#define LOG_LINE_BYTES_MAX 4096u

static const char *const level_names[LEVEL_COUNT] = {
    [LEVEL_DEBUG] = "debug",
    [LEVEL_INFO] = "info",
    [LEVEL_WARNING] = "warning",
    [LEVEL_ERROR] = "error",
};

static size_t log_head_format(char *line, size_t room, enum log_level level, const char *event);
static void log_append(struct log *log, const char *line, size_t count);
static size_t log_clamp(int formatted, size_t room);
static void log_controls_replace(char *bytes, size_t count);
static size_t log_text_quote(char *out, size_t room, const char *text, size_t count);
static void log_swap_halves(struct log *log);

void log_init(struct log *log, int fd, enum log_level level)
{
    memset(log, 0, sizeof(*log));
    log->fd = fd;
    log->level = level;
}

void log_line(struct log *log, enum log_level level, const char *event, const char *format, ...)
{
    if (level < log->level)
        return;
    char line[LOG_LINE_BYTES_MAX];
    size_t count = log_head_format(line, sizeof(line), level, event);
    size_t values = count;
    va_list arguments;
    va_start(arguments, format);
    count += log_clamp(vsnprintf(line + count, sizeof(line) - count, format, arguments),
                       sizeof(line) - count);
    va_end(arguments);
    log_controls_replace(line + values, count - values);
    line[count++] = '\n';
    log_append(log, line, count);
}

void log_text(struct log *log, enum log_level level, const char *event, const char *text,
              size_t text_count, const char *format, ...)
{
    if (level < log->level)
        return;
    char line[LOG_LINE_BYTES_MAX];
    size_t room = sizeof(line) - 2; /* "\n" and a blank */
    size_t count = log_head_format(line, room, level, event);
    va_list arguments;
    va_start(arguments, format);
    count += log_clamp(vsnprintf(line + count, room - count, format, arguments), room - count);
    va_end(arguments);
    if (text_count > LOG_TEXT_BYTES_MAX)
        text_count = LOG_TEXT_BYTES_MAX;
    if (count + 16 < room) {
        count += (size_t)snprintf(line + count, room - count, " text=");
        count += log_text_quote(line + count, room - count, text, text_count);
    }
    line[count++] = '\n';
    log_append(log, line, count);
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
            log_line(log, LEVEL_WARNING, "log_dropped", "lines=%llu", (unsigned long long)dropped);
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
    } else if (result != -EAGAIN && result != -EINTR) {
        /* ENOSPC, EPIPE, EIO: this batch is lost, the server goes on. */
        const char *line = log->bytes[log->filling ^ 1] + log->sending_offset;
        uint64_t lost = 0;
        for (uint32_t i = log->sending_offset; i < log->sending_count; i++, line++)
            lost += *line == '\n';
        log->dropped_count += lost;
        log->dropped_total += lost;
        log->sending_offset = log->sending_count;
        log->is_failing = true;
    }
    mr_assert(log->sending_offset <= log->sending_count);
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

/* "2026-01-31T12:00:00.123Z info event " */
static size_t log_head_format(char *line, size_t room, enum log_level level, const char *event)
{
    struct timespec now;
    struct tm date;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &date);
    int count =
        snprintf(line, room, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s %s ", date.tm_year + 1900,
                 date.tm_mon + 1, date.tm_mday, date.tm_hour, date.tm_min, date.tm_sec,
                 now.tv_nsec / 1000000, level_names[level], event);
    return (size_t)count;
}

static void log_append(struct log *log, const char *line, size_t count)
{
    if (log->count + count > LOG_BUFFER_BYTES) {
        log->dropped_count++;
        log->dropped_total++;
        return;
    }
    memcpy(log->bytes[log->filling] + log->count, line, count);
    log->count += (uint32_t)count;
}

static size_t log_clamp(int formatted, size_t room)
{
    if (formatted < 0)
        return 0;
    return (size_t)formatted < room ? (size_t)formatted : room - 1;
}

/* A value may hold what a worker said, as the reason of its end does: one event stays one line, and
 * a terminal that shows it is told nothing. */
static void log_controls_replace(char *bytes, size_t count)
{
    for (size_t i = 0; i < count;) {
        size_t shown = utf8_shown_bytes(bytes + i, count - i);
        if (shown == 0)
            bytes[i] = '?';
        i += shown > 0 ? shown : 1;
    }
}

/* Quotes text so that one event stays one line, whatever a pipeline printed. Of a character that is
 * not shown each byte is escaped: what follows its first one is none by itself. */
static size_t log_text_quote(char *out, size_t room, const char *text, size_t count)
{
    size_t n = 0, shown;
    out[n++] = '"';
    for (size_t i = 0; i < count && n + 8 < room; i += shown > 0 ? shown : 1) {
        unsigned char c = (unsigned char)text[i];
        shown = utf8_shown_bytes(text + i, count - i);
        if (c == '"' || c == '\\') {
            out[n++] = '\\';
            out[n++] = (char)c;
        } else if (c == '\n') {
            out[n++] = '\\';
            out[n++] = 'n';
        } else if (shown == 0) {
            n += (size_t)snprintf(out + n, 5, "\\x%02x", c);
        } else {
            memcpy(out + n, text + i, shown);
            n += shown;
        }
    }
    out[n++] = '"';
    return n;
}

static void log_swap_halves(struct log *log)
{
    log->sending_offset = 0;
    log->sending_count = log->count;
    log->count = 0;
    log->filling ^= 1;
}
