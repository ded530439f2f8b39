/* SPDX-License-Identifier: MIT */
/* input_memory.c - what is counted for requests, and files whose memory goes a part at a time. */
#include "dispatcher/reactor/input_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define SWEPT_PER_PASS_BYTES (2u * 1024 * 1024)
#define BUFFER_BYTES_MIN 1024u

void input_memory_init(struct input_memory *memory, uint64_t bytes_max, uint32_t file_count_max)
{
    memory->bytes_max = bytes_max;
    memory->file_count_max = file_count_max;
    memory->bytes = 0;
    memory->file_count = memory->going_count = 0;
}

void input_memory_finish(struct input_memory *memory)
{
    while (memory->going_count > 0)
        close(memory->going[--memory->going_count].fd);
}

void input_memory_take(struct input_memory *memory, uint64_t bytes)
{
    memory->bytes += bytes;
}

void input_memory_give(struct input_memory *memory, uint64_t bytes)
{
    mr_assert(memory->bytes >= bytes);
    memory->bytes -= bytes;
}

bool input_memory_fits_file(const struct input_memory *memory)
{
    return memory->file_count < memory->file_count_max;
}

void input_memory_take_file(struct input_memory *memory)
{
    memory->file_count++;
}

void input_memory_give_file(struct input_memory *memory)
{
    mr_assert(memory->file_count > 0);
    memory->file_count--;
}

void input_memory_drop(struct input_memory *memory, const struct input_file *file)
{
    if (memory->going_count < ARRAY_COUNT(memory->going)) {
        memory->going[memory->going_count++] = *file;
        return;
    }
    close(file->fd);
    input_memory_give_file(memory);
    input_memory_give(memory, file->counted_bytes);
}

bool input_memory_sweep(struct input_memory *memory)
{
    if (memory->going_count == 0)
        return false;
    struct input_file *file = &memory->going[memory->going_count - 1];
    uint64_t counted = file->counted_bytes;
    if (!file->is_sealed && file->bytes > SWEPT_PER_PASS_BYTES &&
        ftruncate(file->fd, (off_t)(file->bytes - SWEPT_PER_PASS_BYTES)) == 0) {
        file->bytes -= SWEPT_PER_PASS_BYTES;
        if (counted > SWEPT_PER_PASS_BYTES)
            counted = SWEPT_PER_PASS_BYTES;
        file->counted_bytes -= counted;
    } else {
        close(file->fd);
        memory->going_count--;
        input_memory_give_file(memory);
    }
    input_memory_give(memory, counted);
    return memory->going_count > 0;
}

/* ---- a buffer that is counted --------------------------------------------------------------- */

int input_buffer_reserve(struct input_buffer *buffer, struct input_memory *memory, uint32_t bytes,
                         size_t more, size_t bytes_max)
{
    const uint32_t room = buffer->room;
    const size_t needed = bytes + more;
    if (needed <= room)
        return 0;
    size_t size = room > 0 ? room : BUFFER_BYTES_MIN;
    while (size < needed)
        size *= 2;
    if (needed > bytes_max)
        size = needed;
    else if (size > bytes_max || !input_memory_fits(memory, size - room))
        size = size > bytes_max && input_memory_fits(memory, bytes_max - room) ? bytes_max : needed;
    if (!input_memory_fits(memory, size - room))
        return -ENOBUFS;
    char *grown = realloc(buffer->data, size);
    if (!grown)
        return -ENOMEM;
    input_memory_take(memory, size - room);
    buffer->data = grown;
    buffer->room = (uint32_t)size;
    return 0;
}

void input_buffer_free(struct input_buffer *buffer, struct input_memory *memory)
{
    input_memory_give(memory, buffer->room);
    free(buffer->data);
    *buffer = (struct input_buffer){0};
}
