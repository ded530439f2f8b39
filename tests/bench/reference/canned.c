/* SPDX-License-Identifier: MIT */
/*
 * canned.c - a server that costs next to nothing: one answer, made once, sent again and again.
 *
 * It lies in a memfd and leaves by sendfile(), which copies nothing here, so a load tool meets its
 * own limit and not a server's. Requests are not parsed: whatever arrives after an answer has left
 * asks for the next one.
 */
#include "tests/bench/reference/canned.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "millrace/check.h"
#include "tests/bench/reference/server.h"

#define EVENT_COUNT_MAX 256

static struct canned {
    int file;
    size_t bytes;
    off_t *offsets; /* of each client, by descriptor */
} canned;

/* The answer as reference `gathered` would send it. */
static void answer_make(uint64_t lines, size_t text_bytes)
{
    char wall[LINE_WALL_BYTES + 1];
    struct line_prefix prefix;
    struct buffer buffer = {0};
    size_t bytes_max = line_bytes_max(text_bytes);
    const char *text = stream_text(text_bytes);
    line_wall(wall);
    line_prefix_init(&prefix, wall);
    buffer_commit(&buffer, line_put_answer_head(buffer_room(&buffer, LINE_ANSWER_BYTES_MAX)));
    size_t chunk_end = buffer.count + BUFFER_BYTES;
    for (uint64_t i = 0; i < lines; i++) {
        if (buffer.count > chunk_end) {
            buffer_room(&buffer, 0); /* closes the chunk */
            chunk_end = buffer.count + BUFFER_BYTES;
        }
        char *out = buffer_chunk_room(&buffer, bytes_max);
        mr_assert(out);
        out = line_put_prefix(out, &prefix);
        out = line_put_value(out, i, line_now_ns(), text, text_bytes);
        buffer_commit(&buffer, line_put_tail(out));
    }
    char *out = buffer_room(&buffer, LINE_ANSWER_BYTES_MAX);
    mr_assert(out);
    buffer_commit(&buffer, line_put_answer_end(out, lines));
    canned.bytes = buffer.count;
    canned.file = memfd_create("answer", MFD_CLOEXEC);
    mr_assert(canned.file != -1);
    for (size_t at = 0; at < buffer.count;) {
        ssize_t count = write(canned.file, buffer.bytes + at, buffer.count - at);
        mr_assert(count > 0);
        at += (size_t)count;
    }
    buffer_drop(&buffer);
}

/* Sends until the socket is full or the answer is out. False when the client is gone. */
static bool answer_send(int fd)
{
    while ((size_t)canned.offsets[fd] < canned.bytes) {
        ssize_t count = sendfile(fd, canned.file, &canned.offsets[fd],
                                 canned.bytes - (size_t)canned.offsets[fd]);
        if (count == -1)
            return errno == EAGAIN;
    }
    return true;
}

static bool client_event(int fd, uint32_t events)
{
    char request[4096];
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        ssize_t count = recv(fd, request, sizeof(request), 0);
        if (count == 0 || (count == -1 && errno != EAGAIN))
            return false;
        if (count > 0 && (size_t)canned.offsets[fd] == canned.bytes)
            canned.offsets[fd] = 0;
    }
    return answer_send(fd);
}

void canned_run(uint64_t lines, size_t text_bytes)
{
    struct epoll_event events[EVENT_COUNT_MAX];
    int fd, epoll = epoll_create1(EPOLL_CLOEXEC);
    mr_assert(epoll != -1);
    /* sendfile() knows no MSG_NOSIGNAL. */
    mr_assert(sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL) == 0);
    canned.offsets = calloc(listener_descriptor_count(), sizeof(canned.offsets[0]));
    mr_assert(canned.offsets);
    answer_make(lines, text_bytes);
    int listener = listener_open();
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    mr_assert(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) == 0);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENT_COUNT_MAX, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd != listener) {
                if (!client_event(events[i].data.fd, events[i].events))
                    close(events[i].data.fd);
                continue;
            }
            while ((fd = listener_accept(listener, epoll)) != -1)
                canned.offsets[fd] = (off_t)canned.bytes;
        }
    }
}
