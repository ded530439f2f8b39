/* SPDX-License-Identifier: MIT */
/* log_file.c - one descriptor in use, and at most one that is to follow it. */
#include "dispatcher/reactor/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_FILE_MODE 0640u

/* Not to wait for a FIFO's reader: without one ENXIO is the answer, and who reads it as well as
 * writes it does not need one. A terminal does not become the server's. */
#define LOG_FILE_FLAGS (O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

static const struct uring_ref opening_ref = {.op = URING_LOG_OPEN};
static const struct uring_ref closing_ref = {.op = URING_LOG_CLOSE};
static const struct uring_ref writing_ref = {.op = URING_LOG};

static int log_file_flags(enum log_file_state state);
static void log_file_fail(struct log_file *file, struct log *log, int error);
static void log_file_next(struct log_file *file, struct uring *uring);

int log_file_open(struct log_file *file, struct log *log, const char *path)
{
    int fd = open(path, log_file_flags(LOG_FILE_OPENING), LOG_FILE_MODE);
    if (fd == -1 && errno == ENXIO)
        fd = open(path, log_file_flags(LOG_FILE_OPENING_FIFO), LOG_FILE_MODE);
    if (fd == -1)
        return -errno;
    char *copy = strdup(path);
    if (!copy) {
        close(fd);
        return -ENOMEM;
    }
    fcntl(fd, F_SETFL, O_APPEND); /* io_uring waits where O_NONBLOCK would not */
    *file = (struct log_file){.path = copy, .next_fd = -1};
    log->fd = fd;
    return 0;
}

void log_file_reopen(struct log_file *file, struct uring *uring)
{
    if (!file->path)
        return;
    file->is_asked_again = file->state != LOG_FILE_STEADY;
    if (file->state != LOG_FILE_STEADY)
        return;
    file->state = LOG_FILE_OPENING;
    uring_open(uring, file->path, log_file_flags(file->state), LOG_FILE_MODE, opening_ref);
}

void log_file_on_open(struct log_file *file, struct log *log, struct uring *uring, int32_t result)
{
    if (result == -ENXIO && file->state == LOG_FILE_OPENING) {
        file->state = LOG_FILE_OPENING_FIFO;
        uring_open(uring, file->path, log_file_flags(file->state), LOG_FILE_MODE, opening_ref);
        return;
    }
    if (result < 0) {
        log_file_fail(file, log, -result);
        log_file_next(file, uring);
        return;
    }
    fcntl(result, F_SETFL, O_APPEND);
    file->next_fd = result;
    file->state = LOG_FILE_OPENED;
    /* What waits for the reader of a pipe may do so for ever. A file takes it, or refuses it. */
    if (log->write_in_flight && lseek(log->fd, 0, SEEK_CUR) == -1) {
        file->was_cancelled = true;
        uring_cancel(uring, writing_ref);
    }
    log_file_on_written(file, log, uring);
}

void log_file_on_written(struct log_file *file, struct log *log, struct uring *uring)
{
    if (file->state != LOG_FILE_OPENED || log->write_in_flight ||
        (log_is_writing(log) && !file->was_cancelled))
        return;
    /* A close may wait for a disk, too. */
    uring_close(uring, log->fd, closing_ref);
    log_move(log, file->next_fd);
    file->next_fd = -1;
    file->was_cancelled = false;
    log_event(log, LEVEL_INFO, "log_reopened", LOG_TEXT("path", file->path));
    log_file_next(file, uring);
}

void log_file_finish(struct log_file *file, struct log *log)
{
    if (!file->path)
        return;
    if (file->state == LOG_FILE_OPENED)
        close(file->next_fd);
    close(log->fd);
    log->fd = -1;
    free(file->path);
    file->path = NULL;
}

static int log_file_flags(enum log_file_state state)
{
    return LOG_FILE_FLAGS | (state == LOG_FILE_OPENING_FIFO ? O_RDWR : O_WRONLY);
}

static void log_file_fail(struct log_file *file, struct log *log, int error)
{
    log_event(log, LEVEL_ERROR, "log_reopen_failed", LOG_TEXT("path", file->path),
              LOG_TEXT("error", strerror(error)));
}

/* It may have been moved away again after it was opened. */
static void log_file_next(struct log_file *file, struct uring *uring)
{
    file->state = LOG_FILE_STEADY;
    if (file->is_asked_again)
        log_file_reopen(file, uring);
}
