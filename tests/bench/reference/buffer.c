/* SPDX-License-Identifier: MIT */
/* buffer.c - bytes on their way to one client. */
#include "tests/bench/reference/buffer.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CHUNK_HEAD_BYTES 10u /* "00fffff0\r\n" */
#define CHUNK_TAIL_BYTES 2u
#define SPARE_COUNT_MAX 1024u

/* Buffers that nobody uses, the last used one on top. */
static struct spare {
    char *bytes;
    size_t room;
} spares[SPARE_COUNT_MAX];
static size_t spare_count;

/* What has left makes room for what comes. */
static void buffer_compact(struct buffer *buffer)
{
    buffer->count -= buffer->sent;
    buffer->chunk -= buffer->has_chunk ? buffer->sent : 0;
    memmove(buffer->bytes, buffer->bytes + buffer->sent, buffer->count);
    buffer->sent = 0;
}

static bool buffer_grow(struct buffer *buffer, size_t bytes)
{
    if (!buffer->bytes && spare_count > 0) {
        spare_count--;
        buffer->bytes = spares[spare_count].bytes;
        buffer->room = spares[spare_count].room;
    }
    if (buffer->count + bytes > buffer->room && buffer->sent > 0)
        buffer_compact(buffer);
    size_t wanted = buffer->count + bytes;
    if (wanted <= buffer->room)
        return true;
    size_t room = buffer->room > 0 ? buffer->room : BUFFER_BYTES;
    while (room < wanted)
        room *= 2;
    char *grown = realloc(buffer->bytes, room);
    if (!grown)
        return false;
    buffer->bytes = grown;
    buffer->room = room;
    return true;
}

static void chunk_close(struct buffer *buffer)
{
    static const char digits[] = "0123456789abcdef";
    if (!buffer->has_chunk)
        return;
    char *head = buffer->bytes + buffer->chunk;
    size_t bytes = buffer->count - buffer->chunk - CHUNK_HEAD_BYTES;
    for (size_t at = 8; at-- > 0; bytes /= 16)
        head[at] = digits[bytes % 16];
    memcpy(head + 8, "\r\n", 2);
    memcpy(buffer->bytes + buffer->count, "\r\n", CHUNK_TAIL_BYTES);
    buffer->count += CHUNK_TAIL_BYTES;
    buffer->has_chunk = false;
}

char *buffer_room(struct buffer *buffer, size_t bytes)
{
    chunk_close(buffer);
    return buffer_grow(buffer, bytes) ? buffer->bytes + buffer->count : NULL;
}

char *buffer_chunk_room(struct buffer *buffer, size_t bytes)
{
    if (!buffer_grow(buffer, CHUNK_HEAD_BYTES + bytes + CHUNK_TAIL_BYTES))
        return NULL;
    if (!buffer->has_chunk) {
        buffer->chunk = buffer->count;
        buffer->count += CHUNK_HEAD_BYTES;
        buffer->has_chunk = true;
    }
    return buffer->bytes + buffer->count;
}

void buffer_commit(struct buffer *buffer, const char *end)
{
    buffer->count = (size_t)(end - buffer->bytes);
}

bool buffer_is_full(const struct buffer *buffer, size_t bytes)
{
    return buffer->count > 0 &&
           buffer->count + CHUNK_HEAD_BYTES + bytes + CHUNK_TAIL_BYTES > BUFFER_BYTES;
}

int buffer_send(struct buffer *buffer, int fd)
{
    chunk_close(buffer);
    ssize_t count =
        send(fd, buffer->bytes + buffer->sent, buffer_waiting(buffer), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count == -1)
        return errno == EAGAIN ? 0 : -1;
    buffer->sent += (size_t)count;
    if (buffer_waiting(buffer) > 0)
        return 0;
    buffer_drop(buffer);
    return 1;
}

void buffer_drop(struct buffer *buffer)
{
    if (buffer->bytes && spare_count < SPARE_COUNT_MAX)
        spares[spare_count++] = (struct spare){buffer->bytes, buffer->room};
    else
        free(buffer->bytes);
    *buffer = (struct buffer){0};
}
