/* SPDX-License-Identifier: MIT */
/*
 * start.c - copies requests out of shared memory before looking at them.
 */
#include "worker/engine/start.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "millrace/limits.h"
#include "millrace/protocol.h"
#include "worker/engine/message.h"
#include "worker/engine/object.h"
#include "worker/engine/value.h"

static int start_take_blob(struct start *out, struct job *job, int socket);
static int start_read_blob(struct start *out, struct job *job, int fd, uint64_t bytes);

int start_take(struct start *out, struct job *job, const struct record *meta, const void *payload,
               int socket)
{
    if (meta->flags & RECORD_BLOB)
        return start_take_blob(out, job, socket);
    uint8_t *data = arena_take(&job->arena, (size_t)meta->bytes + 1);
    if (!data)
        return -ENOMEM;
    memcpy(data, payload, meta->bytes);
    *out = (struct start){.data = data, .bytes = meta->bytes};
    return 0;
}

int start_read(const struct start *start, struct job *job)
{
    const struct mr_object *request;
    int rc = object_unpack(&job->arena, start->data, start->bytes, &request);
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
    int rc = message_receive_blob(socket, job->reply.slot, job->reply.generation, &fd, &bytes);
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
    *out = (struct start){.data = data, .bytes = (size_t)bytes};
    return 0;
}
