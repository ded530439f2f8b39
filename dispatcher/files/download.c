/* SPDX-License-Identifier: MIT */
/* download.c - a buffer that goes to a thread and comes back full. */
#include "dispatcher/files/download.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static void download_step(struct download *download);

struct download *download_begin(struct file *file, uint64_t at, uint64_t bytes,
                                const struct download_ops *ops, void *owner, int *rc)
{
    struct input_memory *input = file->files->input;
    *rc = -ENOBUFS;
    if (!input_memory_fits(input, DOWNLOAD_BUFFER_BYTES) || !input_memory_fits_file(input))
        return NULL;
    *rc = -ENOMEM;
    struct download *download = calloc(1, sizeof *download);
    char *buffer = malloc(DOWNLOAD_BUFFER_BYTES);
    if (!download || !buffer) {
        free(download);
        free(buffer);
        return NULL;
    }
    input_memory_take(input, DOWNLOAD_BUFFER_BYTES);
    input_memory_take_file(input);
    file_use(file);
    *download = (struct download){.file = file,
                                  .ops = ops,
                                  .owner = owner,
                                  .at = at,
                                  .left = bytes,
                                  .fd = -1,
                                  .buffer = buffer};
    download_step(download);
    return download;
}

void download_next(struct download *download)
{
    if (download->left > 0)
        download_step(download);
}

static struct download *download_of(struct disk_job *job)
{
    return (struct download *)((char *)job - offsetof(struct download, job));
}

/* In a thread, as the next one. */
static void download_on_read(struct disk_job *job)
{
    struct download *download = download_of(job);
    const struct file *file = download->file;
    const uint64_t count =
        download->left < DOWNLOAD_BUFFER_BYTES ? download->left : DOWNLOAD_BUFFER_BYTES;
    if (download->fd == -1)
        download->fd = disk_file_open(file->files->folder_fd, file->about.id);
    download->rc = download->fd < 0 ? download->fd : 0;
    if (download->fd < 0)
        download->fd = -1;
    download->ready_bytes = 0;
    while (download->rc == 0 && download->ready_bytes < count) {
        ssize_t bytes =
            pread(download->fd, download->buffer + download->ready_bytes,
                  count - download->ready_bytes, (off_t)(download->at + download->ready_bytes));
        if (bytes > 0)
            download->ready_bytes += (uint32_t)bytes;
        else if (bytes == 0 || errno != EINTR)
            download->rc = bytes == 0 ? -EIO : -errno;
    }
}

static void download_on_close(struct disk_job *job)
{
    const struct download *download = download_of(job);
    if (download->fd >= 0)
        close(download->fd);
}

static void download_on_closed(struct disk_job *job)
{
    struct download *download = download_of(job);
    struct file *file = download->file;
    struct input_memory *input = file->files->input;
    free(download->buffer);
    free(download);
    input_memory_give(input, DOWNLOAD_BUFFER_BYTES);
    input_memory_give_file(input);
    file_release(file);
}

/* The descriptor of a file that was removed may be its last, and its end take long. */
void download_end(struct download *download)
{
    download->owner = NULL;
    if (download->is_busy)
        return;
    download->job = (struct disk_job){download_on_close, download_on_closed};
    disk_begin(&download->file->files->disk, &download->job);
}

static void download_on_done(struct disk_job *job)
{
    struct download *download = download_of(job);
    download->is_busy = false;
    if (!download->owner) {
        download_end(download);
    } else if (download->rc < 0) {
        download->left = 0;
        download->ops->failed(download->owner, download->rc);
    } else {
        download->at += download->ready_bytes;
        download->left -= download->ready_bytes;
        download->ops->ready(download->owner, download->buffer, download->ready_bytes);
    }
}

static void download_step(struct download *download)
{
    mr_assert(!download->is_busy && download->owner);
    download->is_busy = true;
    download->job = (struct disk_job){download_on_read, download_on_done};
    disk_begin(&download->file->files->disk, &download->job);
}
