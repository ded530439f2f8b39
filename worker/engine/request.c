/* SPDX-License-Identifier: MIT */
/*
 * request.c - copies requests out of shared memory before looking at them.
 */
#include "worker/engine/request.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "millrace/limits.h"
#include "millrace/protocol.h"
#include "worker/engine/message.h"
#include "worker/engine/value.h"

static int request_take_blob(struct request *out, struct run *run, int socket);
static int request_read_blob(struct request *out, struct run *run, int fd, uint64_t bytes);

int request_take(struct request *out, struct run *run, const struct record *meta,
                 const void *payload, int socket)
{
    if (meta->flags & RECORD_BLOB)
        return request_take_blob(out, run, socket);
    uint8_t *bytes = arena_take(&run->arena, (size_t)meta->bytes + 1);
    if (!bytes)
        return -ENOMEM;
    memcpy(bytes, payload, meta->bytes);
    *out = (struct request){.bytes = bytes, .count = meta->bytes};
    return 0;
}

static int request_take_blob(struct request *out, struct run *run, int socket)
{
    int fd;
    uint64_t bytes;
    int rc = message_receive_blob(socket, run->reply.slot, run->reply.generation, &fd, &bytes);
    if (rc != 0)
        return rc;
    rc = request_read_blob(out, run, fd, bytes);
    close(fd);
    return rc;
}

/* Reads rather than maps: a copy is wanted anyway, and a file that is too short is an error here
 * and not a signal. */
static int request_read_blob(struct request *out, struct run *run, int fd, uint64_t bytes)
{
    struct stat status;
    if (fstat(fd, &status) == -1)
        return -errno;
    if (bytes > VALUE_BYTES_MAX)
        return -E2BIG;
    if (status.st_size < (off_t)bytes)
        return -ENODATA;
    uint8_t *copy = arena_take(&run->arena, (size_t)bytes + 1);
    if (!copy)
        return -ENOMEM;
    size_t done = 0;
    while (done < bytes) {
        ssize_t count = pread(fd, copy + done, (size_t)bytes - done, (off_t)done);
        if (count == -1 && errno == EINTR)
            continue;
        if (count == -1)
            return -errno;
        if (count == 0)
            return -ENODATA;
        done += (size_t)count;
    }
    *out = (struct request){.bytes = copy, .count = (size_t)bytes};
    return 0;
}

int request_read(const struct request *request, struct run *run)
{
    return run_read_request(run, request->bytes, request->count);
}

void request_explain(struct failure *failure, int rc)
{
    switch (rc) {
    case -ENOMEM:
        failure_set(failure, ERROR_OOM, "out of memory for the inputs");
        break;
    case -E2BIG:
        failure_set(failure, ERROR_INPUT, "the inputs are larger than %u bytes", VALUE_BYTES_MAX);
        break;
    case -ELOOP:
        failure_set(failure, ERROR_INPUT,
                    "an input is nested deeper than %u arrays and dictionaries",
                    VALUE_CONTAINER_DEPTH_MAX);
        break;
    default:
        failure_set(failure, ERROR_UNKNOWN, "the inputs cannot be read: %s", strerror(-rc));
        break;
    }
}
