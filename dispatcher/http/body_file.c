/* SPDX-License-Identifier: MIT */
/* body_file.c - the payload of a connection as a memfd. */
#include "dispatcher/http/body_file.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dispatcher/http/conn.h"
#include "dispatcher/server/loop.h"

/* What the kernel takes for a file of this size. */
#define PAGE_BYTES 4096u

#define FREED_PER_PASS_BYTES (2u * 1024 * 1024)

int body_file_write(int fd, const void *bytes, size_t count)
{
    for (size_t done = 0; done < count;) {
        ssize_t written = write(fd, (const char *)bytes + done, count - done);
        if (written == -1 && errno == EINTR)
            continue;
        if (written <= 0)
            return -ENOMEM;
        done += (size_t)written;
    }
    return 0;
}

/* The payload so far, in a new file. */
static int file_open(struct loop *loop, struct conn *conn)
{
    if (loop->body_file_count >= loop->config->body_file_count_max)
        return -ENOBUFS;
    int fd = memfd_create("millrace-body", MFD_CLOEXEC);
    if (fd == -1)
        return -ENOMEM;
    int rc = body_file_write(fd, conn->payload, conn->payload_count);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    free(conn->payload);
    conn->payload = NULL;
    conn->body_fd = fd;
    conn->has_body_file = true;
    loop->body_file_count++;
    return 0;
}

int body_file_append(struct loop *loop, struct conn *conn, const char *bytes, size_t count)
{
    uint64_t room = ((uint64_t)conn->payload_count + count + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1ull);
    if (room < conn->payload_room)
        room = conn->payload_room;
    if (!conn_input_fits(loop, room - conn->payload_room))
        return -ENOBUFS;
    int rc = conn->has_body_file ? 0 : file_open(loop, conn);
    if (rc == 0)
        rc = body_file_write(conn->body_fd, bytes, count);
    if (rc < 0)
        return rc;
    loop->input_bytes += room - conn->payload_room;
    conn->payload_room = (uint32_t)room;
    conn->payload_count += (uint32_t)count;
    return 0;
}

void body_file_hand_over(struct loop *loop, struct conn *conn)
{
    mr_assert(conn->has_body_file);
    mr_assert(loop->body_file_count > 0);
    close(conn->body_fd);
    conn->has_body_file = false;
    loop->body_file_count--;
}

void body_file_drop(struct loop *loop, struct conn *conn)
{
    if (!conn->has_body_file)
        return;
    conn->has_body_file = false;
    body_files_add(loop, &(struct body_file){.fd = conn->body_fd,
                                             .bytes = conn->payload_count,
                                             .counted_bytes = conn->payload_room});
    conn->payload_room = 0;
}

/* ---- files that go --------------------------------------------------------------------------- */

void body_files_add(struct loop *loop, const struct body_file *file)
{
    struct body_files *files = &loop->body_files;
    if (files->count < ARRAY_COUNT(files->items)) {
        files->items[files->count++] = *file;
        return;
    }
    close(file->fd);
    loop->body_file_count--;
    loop->input_bytes -= file->counted_bytes;
}

bool body_files_free(struct loop *loop)
{
    struct body_files *files = &loop->body_files;
    if (files->count == 0)
        return false;
    struct body_file *file = &files->items[files->count - 1];
    uint64_t counted = file->counted_bytes;
    if (!file->is_sealed && file->bytes > FREED_PER_PASS_BYTES &&
        ftruncate(file->fd, (off_t)(file->bytes - FREED_PER_PASS_BYTES)) == 0) {
        file->bytes -= FREED_PER_PASS_BYTES;
        if (counted > FREED_PER_PASS_BYTES)
            counted = FREED_PER_PASS_BYTES;
        file->counted_bytes -= counted;
    } else {
        close(file->fd);
        files->count--;
        mr_assert(loop->body_file_count > 0);
        loop->body_file_count--;
    }
    mr_assert(loop->input_bytes >= counted);
    loop->input_bytes -= counted;
    return files->count > 0;
}

void body_files_finish(struct body_files *files)
{
    while (files->count > 0)
        close(files->items[--files->count].fd);
}
