/* SPDX-License-Identifier: MIT */
/* body.c - a body on the heap, and above a limit in a memfd. */
#include "dispatcher/reactor/body.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What the kernel takes for a file of this size. */
#define PAGE_BYTES 4096u

static int body_file_append(struct body *body, struct input_memory *memory, const char *data,
                            size_t bytes);

int body_append(struct body *body, struct input_memory *memory, const char *data, size_t bytes,
                size_t bytes_max)
{
    struct input_buffer *kept = &body->kept;
    if (body->is_file || kept->bytes + bytes > BODY_MEMORY_BYTES_MAX)
        return body_file_append(body, memory, data, bytes);
    int rc = input_buffer_reserve(kept, memory, kept->bytes, bytes, bytes_max);
    if (rc < 0)
        return rc;
    memcpy(kept->data + kept->bytes, data, bytes);
    kept->bytes += (uint32_t)bytes;
    return 0;
}

void body_hand_over(struct body *body, struct input_memory *memory)
{
    mr_assert(body->is_file);
    close(body->fd);
    body->is_file = false;
    input_memory_give_file(memory);
}

void body_drop(struct body *body, struct input_memory *memory)
{
    if (body->is_file) {
        input_memory_drop(memory, &(struct input_file){.fd = body->fd,
                                                       .bytes = body->kept.bytes,
                                                       .counted_bytes = body->kept.room});
        body->is_file = false;
        body->kept.room = 0;
    }
    input_buffer_free(&body->kept, memory);
}

void body_finish(struct body *body)
{
    free(body->kept.data);
    if (body->is_file)
        close(body->fd);
    *body = (struct body){0};
}

int body_write(int fd, const void *data, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t written = write(fd, (const char *)data + done, bytes - done);
        if (written == -1 && errno == EINTR)
            continue;
        if (written <= 0)
            return -ENOMEM;
        done += (size_t)written;
    }
    return 0;
}

/* What came so far, in a new file. */
static int body_file_open(struct body *body, struct input_memory *memory)
{
    if (!input_memory_fits_file(memory))
        return -ENOBUFS;
    int fd = memfd_create("millrace-body", MFD_CLOEXEC);
    if (fd == -1)
        return -ENOMEM;
    int rc = body_write(fd, body->kept.data, body->kept.bytes);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    free(body->kept.data);
    body->kept.data = NULL;
    body->fd = fd;
    body->is_file = true;
    input_memory_take_file(memory);
    return 0;
}

static int body_file_append(struct body *body, struct input_memory *memory, const char *data,
                            size_t bytes)
{
    struct input_buffer *kept = &body->kept;
    uint64_t room = ((uint64_t)kept->bytes + bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1ull);
    if (room < kept->room)
        room = kept->room;
    if (!input_memory_fits(memory, room - kept->room))
        return -ENOBUFS;
    int rc = body->is_file ? 0 : body_file_open(body, memory);
    if (rc == 0)
        rc = body_write(body->fd, data, bytes);
    if (rc < 0)
        return rc;
    input_memory_take(memory, room - kept->room);
    kept->room = (uint32_t)room;
    kept->bytes += (uint32_t)bytes;
    return 0;
}
