/* SPDX-License-Identifier: MIT */
/* upload.c - buffers that take turns between the loop and a thread. */
#include "dispatcher/files/upload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void upload_free(struct upload *upload);
static void upload_step(struct upload *upload);

static char *upload_buffer(const struct upload *upload, uint32_t which)
{
    return upload->buffers + (size_t)which * UPLOAD_BUFFER_BYTES;
}

/* One with its buffers and its descriptor; NULL, and `rc` as in upload.h. */
static struct upload *upload_new(struct files *files, uint64_t bytes, int *rc)
{
    struct input_memory *input = files->input;
    *rc = -ENOBUFS;
    if (!input_memory_fits(input, 2 * UPLOAD_BUFFER_BYTES) || !input_memory_fits_file(input))
        return NULL;
    *rc = -ENOSPC;
    if (bytes > files->config->files_total_bytes)
        return NULL;
    *rc = -ENOMEM;
    struct upload *upload = calloc(1, sizeof *upload);
    char *buffers = malloc((size_t)2 * UPLOAD_BUFFER_BYTES);
    if (!upload || !buffers) {
        free(upload);
        free(buffers);
        return NULL;
    }
    input_memory_take(input, 2 * UPLOAD_BUFFER_BYTES);
    input_memory_take_file(input);
    upload->files = files;
    upload->buffers = buffers;
    return upload;
}

struct upload *upload_begin(struct files *files, const char *token, uint64_t bytes,
                            const struct upload_ops *ops, void *owner, int *rc)
{
    struct upload *upload = upload_new(files, bytes, rc);
    if (!upload)
        return NULL;
    upload->file = calloc(1, sizeof *upload->file);
    upload->token = upload->file ? files_owner_take(files, token) : NULL;
    if (!upload->token) {
        upload_free(upload);
        return NULL;
    }
    upload->ops = ops;
    upload->owner = owner;
    memcpy(upload->file->about.id, "file_", 5);
    identity_hex(&files->reactor->identity, upload->file->about.id + 5);
    disk_file_init(&upload->disk, files->folder_fd, upload->file->about.id);
    return upload;
}

struct upload *upload_begin_part(struct parts *parts, uint32_t number, uint64_t bytes,
                                 const struct upload_ops *ops, void *owner, int *rc)
{
    struct files *files = parts->files;
    char id[FILE_ID_BYTES] = "file_"; /* for a name on its way */
    struct upload *upload = upload_new(files, bytes, rc);
    if (!upload)
        return NULL;
    *rc = parts_enter(parts, number, &upload->part);
    if (*rc < 0) {
        upload_free(upload);
        return NULL;
    }
    upload->parts = parts;
    upload->ops = ops;
    upload->owner = owner;
    identity_hex(&files->reactor->identity, id + 5);
    disk_file_init(&upload->disk, files->parts_fd, id);
    upload->disk.is_part = true;
    return upload;
}

static void upload_free(struct upload *upload)
{
    struct files *files = upload->files;
    files_unreserve(files, upload->bytes);
    input_memory_give(files->input, 2 * UPLOAD_BUFFER_BYTES);
    input_memory_give_file(files->input);
    if (upload->token)
        files_owner_give(files, upload->token);
    free(upload->file);
    if (upload->parts)
        parts_leave(upload->parts);
    free(upload->buffers);
    free(upload);
}

int upload_add(struct upload *upload, const char *bytes, size_t count)
{
    struct files *files = upload->files;
    uint32_t *filled = &upload->filled[upload->filling];
    mr_assert(!upload->is_complete && upload->owner);
    if (upload->bytes + count > files->config->file_bytes_max)
        return -EFBIG;
    int rc = files_reserve(files, count);
    if (rc < 0)
        return rc;
    mr_assert(*filled + count <= UPLOAD_BUFFER_BYTES);
    if (count > 0)
        memcpy(upload_buffer(upload, upload->filling) + *filled, bytes, count);
    *filled += (uint32_t)count;
    upload->bytes += count;
    if (*filled + UPLOAD_SLACK_BYTES > UPLOAD_BUFFER_BYTES) {
        upload_step(upload);
        upload->is_full =
            upload->filled[upload->filling] + UPLOAD_SLACK_BYTES > UPLOAD_BUFFER_BYTES;
    }
    return 0;
}

void upload_end(struct upload *upload, const char *name, size_t name_bytes)
{
    if (upload->file) {
        struct file_about *about = &upload->file->about;
        file_name_make(name, name_bytes, about->name);
        memcpy(about->owner, upload->token->name, sizeof about->owner);
        about->created_at = about->used_at = upload->files->reactor->wall_s;
    }
    upload->is_complete = true;
    upload_step(upload);
}

void upload_drop(struct upload *upload)
{
    upload->owner = NULL;
    upload_step(upload);
}

/* ---- with a thread -------------------------------------------------------------------------- */

static struct upload *upload_of(struct disk_job *job)
{
    return (struct upload *)((char *)job - offsetof(struct upload, job));
}

static void upload_on_write(struct disk_job *job)
{
    struct upload *upload = upload_of(job);
    const uint32_t which = !upload->filling;
    upload->rc =
        disk_file_write(&upload->disk, upload_buffer(upload, which), upload->filled[which]);
    if (upload->rc < 0)
        disk_file_drop(&upload->disk); /* before it is told: there is room for the next one */
}

static void upload_on_keep(struct disk_job *job)
{
    struct upload *upload = upload_of(job);
    char name[PART_NAME_BYTES];
    if (upload->file) {
        upload->rc = disk_file_keep(&upload->disk, &upload->file->about);
    } else {
        part_name(upload->parts, &upload->part, name);
        upload->rc = disk_file_keep_part(&upload->disk, name);
    }
    upload->is_over = true;
}

static void upload_on_drop(struct disk_job *job)
{
    struct upload *upload = upload_of(job);
    char name[PART_NAME_BYTES];
    if (!upload->is_over || upload->rc < 0) {
        disk_file_drop(&upload->disk);
    } else if (upload->file) {
        disk_file_remove(upload->disk.folder_fd, upload->file->about.id); /* it was too late */
    } else {
        part_name(upload->parts, &upload->part, name);
        unlinkat(upload->disk.folder_fd, name, 0);
    }
    upload->is_over = true;
    upload->rc = -ECANCELED;
}

static void upload_tell_kept(struct upload *upload)
{
    struct files *files = upload->files;
    struct file *file = upload->file;
    void *owner = upload->owner;
    const struct upload_ops *ops = upload->ops;
    file->owner = upload->token;
    upload->file = NULL;
    upload->token = NULL;
    upload_free(upload);
    files->kept_count++;
    files_add(files, file);
    ops->kept(owner, file);
}

/* What goes afterwards is the one that it stands for now; or itself, when it is not wanted. */
static void upload_tell_part(struct upload *upload)
{
    void *owner = upload->owner;
    const struct upload_ops *ops = upload->ops;
    upload->part.bytes = upload->bytes;
    const int64_t serial = parts_add(upload->parts, &upload->part);
    upload->owner = NULL;
    if (serial < 0) {
        upload->files->failed_count++;
        ops->failed(owner, (int)serial);
    } else {
        upload->bytes = 0;
        upload->part.serial = (uint32_t)serial;
        ops->kept(owner, NULL);
    }
    if (upload->part.serial > 0)
        upload_step(upload);
    else
        upload_free(upload);
}

static void upload_tell_failed(struct upload *upload)
{
    void *owner = upload->owner;
    upload->files->failed_count++;
    upload->owner = NULL;
    upload->ops->failed(owner, upload->rc);
}

static void upload_on_done(struct disk_job *job)
{
    struct upload *upload = upload_of(job);
    const bool was_kept = upload->is_over && upload->rc == 0;
    upload->is_busy = false;
    upload->filled[!upload->filling] = 0;
    if (upload->owner && was_kept) {
        if (upload->file)
            upload_tell_kept(upload);
        else
            upload_tell_part(upload);
        return;
    }
    if (upload->owner && upload->rc < 0)
        upload_tell_failed(upload);
    const bool was_full = upload->is_full;
    upload->is_full = false;
    void *owner = upload->owner;
    upload_step(upload); /* may be its end */
    if (owner && was_full)
        upload->ops->room(owner);
}

/* What there is to do next, unless a thread has it. */
static void upload_step(struct upload *upload)
{
    if (upload->is_busy)
        return;
    if (!upload->owner && upload->is_over && upload->rc < 0) {
        upload_free(upload);
        return;
    }
    upload->job = (struct disk_job){NULL, upload_on_done};
    if (!upload->owner) {
        upload->job.work = upload_on_drop;
    } else if (upload->filled[upload->filling] > 0) {
        upload->job.work = upload_on_write;
        upload->filling = !upload->filling;
    } else if (upload->is_complete) {
        upload->job.work = upload_on_keep;
    } else {
        return;
    }
    upload->is_busy = true;
    disk_begin(&upload->files->disk, &upload->job);
}
