/* SPDX-License-Identifier: MIT */
/*
 * stage_reader.h - the reader of the stage: reader.c as it is, without a process.
 *
 * The socket is real, and its other end, `stage.reader_socket`, is for the test to play.
 */
#ifndef TESTS_DISPATCHER_STAGE_READER_H
#define TESTS_DISPATCHER_STAGE_READER_H

#ifndef TESTS_DISPATCHER_STAGE_H
#error "stage.h includes this"
#endif

#include <sys/socket.h>

#include "dispatcher/reactor/child.h"
#include "dispatcher/reader/reader.h"
#include "shm/descriptors.h"

#define STAGE_READER_PID 3000000

int child_start(pid_t *pid, const char *name, const char *word, int socket)
{
    mr_assert(strcmp(name, READER_NAME) == 0 && strtoull(word, NULL, 10) > 0);
    if (stage.reader_error)
        return -(int)stage.reader_error;
    descriptor_close(&stage.reader_socket);
    stage.reader_socket = fcntl(socket, F_DUPFD_CLOEXEC, 0);
    mr_assert(stage.reader_socket >= 0);
    *pid = STAGE_READER_PID;
    stage.reader_is_gone = false;
    stage.reader_count++;
    return 0;
}

/* What the reader is asked next, and the file that came with it, which is the test's. */
static inline struct read_request stage_reader_asked(int *fd)
{
    struct read_request request;
    char hello[4096];
    struct iovec parts[] = {{&request, sizeof(request)}, {hello, sizeof(hello)}};
    ssize_t count =
        descriptors_receive(stage.reader_socket, &(struct packet){parts, 2, fd, 1}, MSG_DONTWAIT);
    mr_assert(count >= (ssize_t)sizeof(request));
    return request;
}

/* The reader says these bytes, and the loop makes a pass. */
static inline void stage_reader_says(const void *bytes, size_t count)
{
    mr_assert(send(stage.reader_socket, bytes, count, MSG_NOSIGNAL) == (ssize_t)count);
    stage_event((struct uring_event){.ref = stage.on_reader, .result = POLLIN, .more = true});
    server_pass(stage.server);
}

/* It is gone, by itself or since it was killed; what it had said is still there. */
static inline void stage_reader_gone(void)
{
    descriptor_close(&stage.reader_socket);
    stage.reader_is_gone = true;
    if (stage.server->reading.reader.state == SERVANT_RUNNING)
        stage_event(
            (struct uring_event){.ref = stage.on_reader, .result = POLLIN | POLLHUP, .more = true});
    server_pass(stage.server);
}

#endif
