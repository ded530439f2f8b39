/* SPDX-License-Identifier: MIT */
/*
 * start.c - copies requests out of shared memory before looking at them.
 */
#include "worker/engine/start.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "millrace/limits.h"
#include "millrace/protocol.h"
#include "worker/engine/message.h"
#include "worker/engine/object.h"
#include "worker/engine/value.h"

static int start_take_payload(struct start *out, struct job *job, const struct record *meta,
                              const void *payload, int socket);
static int start_take_files(struct start *out, struct job *job, int socket);
static int start_name_files(const struct start *start, struct job *job, struct object_files *out);
static int start_take_blob(struct start *out, struct job *job, int socket);
static int start_read_blob(struct start *out, struct job *job, int fd, uint64_t bytes);

int start_take(struct start *out, struct job *job, const struct record *meta, const void *payload,
               int socket)
{
    *out = (struct start){0};
    int rc = start_take_payload(out, job, meta, payload, socket);
    /* Also beside a payload that cannot be had: it is in the way of the next one's. */
    if (rc != -EPROTO && meta->flags & RECORD_FILES) {
        int files_rc = start_take_files(out, job, socket);
        rc = rc == 0 || files_rc == -EPROTO ? files_rc : rc;
    }
    return rc;
}

static int start_take_payload(struct start *out, struct job *job, const struct record *meta,
                              const void *payload, int socket)
{
    if (meta->flags & RECORD_BLOB)
        return start_take_blob(out, job, socket);
    out->data = arena_take(&job->arena, (size_t)meta->bytes + 1);
    if (!out->data)
        return -ENOMEM;
    memcpy(out->data, payload, meta->bytes);
    out->bytes = meta->bytes;
    return 0;
}

static int start_take_files(struct start *out, struct job *job, int socket)
{
    out->files = arena_take(&job->arena, MESSAGE_FILES_BYTES_MAX + 1);
    if (!out->files)
        return -ENOMEM;
    ssize_t bytes = message_receive_files(socket, &job->reply, out->files);
    out->files_bytes = bytes > 0 ? (size_t)bytes : 0;
    return bytes < 0 ? (int)bytes : 0;
}

int start_read(const struct start *start, struct job *job)
{
    const struct mr_object *request;
    struct object_files files = {0};
    int rc = start->files ? start_name_files(start, job, &files) : 0;
    if (rc == 0)
        rc = object_unpack(&job->arena, start->data, start->bytes, &files, &request);
    if (rc != 0)
        return rc;
    if (request->type != MR_ARRAY || request->u.array.count != 2)
        return -EBADMSG;
    const struct mr_object *id = &request->u.array.items[0];
    const struct mr_object *inputs = &request->u.array.items[1];
    if (id->type != MR_STRING || inputs->type != MR_ARRAY)
        return -EBADMSG;
    job->id = id->u.string.bytes;
    job->inputs = inputs->u.array.items;
    job->input_count = inputs->u.array.count;
    return 0;
}

/* FOLDER/N/NAME */
static char *start_path(struct job *job, const char *folder, size_t number, const char *name)
{
    size_t room = strlen(folder) + strlen(name) + 24;
    char *path = arena_take(&job->arena, room);
    if (path)
        snprintf(path, room, "%s/%zu/%s", folder, number, name);
    return path;
}

/* The objects that stand for the files. */
static int start_name_files(const struct start *start, struct job *job, struct object_files *out)
{
    const struct mr_object *said;
    int rc = object_unpack(&job->arena, start->files, start->files_bytes, &(struct object_files){0},
                           &said);
    if (rc != 0)
        return rc;
    if (said->type != MR_ARRAY || said->u.array.count != 2 ||
        said->u.array.items[0].type != MR_STRING || said->u.array.items[1].type != MR_ARRAY)
        return -EBADMSG;
    const char *folder = said->u.array.items[0].u.string.bytes;
    const struct mr_object *names = &said->u.array.items[1];
    struct mr_object *items = arena_take(&job->arena, names->u.array.count * sizeof *items);
    if (!items)
        return -ENOMEM;
    for (size_t i = 0; i < names->u.array.count; i++) {
        const struct mr_object *name = &names->u.array.items[i];
        if (name->type != MR_STRING)
            return -EBADMSG;
        items[i].type = MR_FILE;
        items[i].u.file.name = name->u.string.bytes;
        items[i].u.file.path = start_path(job, folder, i, name->u.string.bytes);
        if (!items[i].u.file.path)
            return -ENOMEM;
    }
    *out = (struct object_files){items, names->u.array.count};
    return 0;
}

void start_explain(struct error *error, int rc)
{
    switch (rc) {
    case -ENOMEM:
        error_set(error, ERROR_OOM, "out of memory for the inputs");
        break;
    case -E2BIG:
        error_set(error, ERROR_INPUT, "the inputs are larger than %u bytes", VALUE_BYTES_MAX);
        break;
    case -ELOOP:
        error_set(error, ERROR_INPUT, "an input is nested deeper than %u arrays and dictionaries",
                  VALUE_CONTAINER_DEPTH_MAX);
        break;
    default:
        error_set(error, ERROR_UNKNOWN, "the inputs cannot be read: %s", strerror(-rc));
        break;
    }
}

static int start_take_blob(struct start *out, struct job *job, int socket)
{
    int fd;
    uint64_t bytes;
    int rc = message_receive_blob(socket, &job->reply, &fd, &bytes);
    if (rc != 0)
        return rc;
    rc = start_read_blob(out, job, fd, bytes);
    close(fd);
    return rc;
}

/* Reads rather than maps: a copy is wanted anyway, and a file that is too short is an error here
 * and not a signal. */
static int start_read_blob(struct start *out, struct job *job, int fd, uint64_t bytes)
{
    struct stat status;
    if (fstat(fd, &status) == -1)
        return -errno;
    if (bytes > VALUE_BYTES_MAX)
        return -E2BIG;
    if (status.st_size < (off_t)bytes)
        return -ENODATA;
    uint8_t *data = arena_take(&job->arena, (size_t)bytes + 1);
    if (!data)
        return -ENOMEM;
    size_t done = 0;
    while (done < bytes) {
        ssize_t count = pread(fd, data + done, (size_t)bytes - done, (off_t)done);
        if (count == -1 && errno == EINTR)
            continue;
        if (count == -1)
            return -errno;
        if (count == 0)
            return -ENODATA;
        done += (size_t)count;
    }
    out->data = data;
    out->bytes = (size_t)bytes;
    return 0;
}
