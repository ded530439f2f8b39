/* SPDX-License-Identifier: MIT */
/*
 * buffer.c - growing memory, geometrically.
 */
#include "worker/engine/buffer.h"

#include <errno.h>

#define BUFFER_BYTES_MIN 512u

int buffer_reserve(struct buffer *buffer, size_t capacity)
{
    if (capacity <= buffer->capacity)
        return 0;
    size_t grown = buffer->capacity + buffer->capacity / 2;
    if (grown < capacity)
        grown = capacity;
    if (grown < BUFFER_BYTES_MIN)
        grown = BUFFER_BYTES_MIN;
    uint8_t *data = realloc(buffer->data, grown);
    if (!data)
        return -ENOMEM;
    buffer->data = data;
    buffer->capacity = grown;
    return 0;
}

void buffer_trim(struct buffer *buffer, size_t keep)
{
    buffer->used = 0;
    if (buffer->capacity > keep)
        buffer_finish(buffer);
}

void buffer_finish(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){.data = NULL};
}
