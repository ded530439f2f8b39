/* SPDX-License-Identifier: MIT */
/*
 * out_files.c - files are told of, and copied into pipes.
 */
#include "worker/engine/out_files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "millrace/limits.h"
#include "shm/descriptors.h"
#include "worker/engine/message.h"

/* Copied in one go, before other runs have their turn. */
#define OUT_FILES_TURN_BYTES (1024u * 1024)
#define OUT_FILES_PART_BYTES (64u * 1024)
/* Of a name, its end: it says what kind of file it is. */
#define OUT_FILES_NAME_BYTES_MAX 255u
#define OUT_FILES_NAMELESS "output.bin"

struct out_file {
    struct out_file *next;
    int fd; /* owned */
    uint64_t bytes, written;
    const char *what; /* what failures say of it besides its name; "": nothing */
    char name[OUT_FILES_NAME_BYTES_MAX + 1];
};

static void out_files_copy_name(struct out_file *file, const char *name)
{
    const char *slash = name ? strrchr(name, '/') : NULL;
    const char *last = slash ? slash + 1 : name;
    if (!last || *last == '\0')
        last = OUT_FILES_NAMELESS;
    size_t bytes = strlen(last);
    if (bytes > OUT_FILES_NAME_BYTES_MAX)
        last += bytes - OUT_FILES_NAME_BYTES_MAX;
    snprintf(file->name, sizeof file->name, "%s", last);
}

/* Why a file like this cannot be given out; NULL: it can. */
static const char *out_files_why_not(int fd, struct stat *status)
{
    if (fstat(fd, status) == -1)
        return strerror(errno);
    if (S_ISDIR(status->st_mode))
        return "it is a directory; pack it into one file, a .zip";
    if (!S_ISREG(status->st_mode))
        return "it is no regular file";
    return NULL;
}

static int out_files_fail(struct mr_value *value, int rc, const char *name, const char *why)
{
    if (value->error)
        error_set(value->error, rc == -ENOMEM ? ERROR_OOM : ERROR_PIPELINE,
                  "the file %s cannot be sent: %s", name, why);
    value->status = rc;
    return rc;
}

int out_files_give(struct out_files *files, struct mr_value *value, int fd, const char *name,
                   const char *what)
{
    struct stat status;
    int rc = value->status;
    struct out_file *file = rc == 0 ? calloc(1, sizeof *file) : NULL;
    if (!file) {
        close(fd);
        return rc != 0 ? rc : out_files_fail(value, -ENOMEM, name ? name : "", "out of memory");
    }
    out_files_copy_name(file, name);
    const char *why = out_files_why_not(fd, &status);
    if (!why && files->count == OUT_FILE_COUNT_MAX)
        why = "one line has 64 at most";
    rc = why ? out_files_fail(value, -EINVAL, file->name, why)
             : value_file(value, files->given_count);
    if (rc < 0) {
        close(fd);
        free(file);
        return rc;
    }
    file->fd = fd;
    file->what = what ? what : "";
    file->bytes = (uint64_t)status.st_size;
    if (files->last)
        files->last->next = file;
    else
        files->first = file;
    files->last = file;
    files->count++;
    files->given_count++;
    return MR_ITEM;
}

static void out_files_close_pipe(struct out_files *files)
{
    if (files->is_written_to)
        close(files->pipe);
    files->is_written_to = false;
}

static void out_files_drop_first(struct out_files *files)
{
    struct out_file *file = files->first;
    out_files_close_pipe(files);
    files->is_told = false;
    files->first = file->next;
    if (!files->first)
        files->last = NULL;
    files->count--;
    close(file->fd);
    free(file);
}

static void out_files_drop(struct out_files *files)
{
    while (files->first)
        out_files_drop_first(files);
}

void out_files_finish(struct out_files *files)
{
    out_files_drop(files);
    free(files->reason);
    files->reason = NULL;
}

/* ---- to the dispatcher ---------------------------------------------------------------------- */

static int out_files_tell(const struct out_files *files, const struct reply_job *job, int socket)
{
    const struct out_file *file = files->first;
    const struct message_file head = {.number = files->given_count - files->count,
                                      .bytes = file->bytes};
    char body[sizeof head + sizeof file->name];
    const size_t name_bytes = strlen(file->name);
    memcpy(body, &head, sizeof head);
    memcpy(body + sizeof head, file->name, name_bytes);
    return message_send_of(socket, MESSAGE_FILE, job, body, sizeof head + name_bytes);
}

/* Of one part, what fits. -EAGAIN: nothing does; -EPIPE: nobody reads; -ENODATA: there is less in
 * the file than there was. */
static int out_files_write_part(struct out_files *files, char part[OUT_FILES_PART_BYTES])
{
    struct out_file *file = files->first;
    const uint64_t left = file->bytes - file->written;
    const size_t wanted = left < OUT_FILES_PART_BYTES ? (size_t)left : OUT_FILES_PART_BYTES;
    ssize_t count = pread(file->fd, part, wanted, (off_t)file->written);
    if (count <= 0)
        return count == -1 && errno == EINTR ? 0 : -ENODATA;
    ssize_t written = write(files->pipe, part, (size_t)count);
    if (written == -1)
        return errno == EINTR ? 0 : -errno;
    file->written += (uint64_t)written;
    return written < count ? -EAGAIN : 0;
}

/* True: there is more to write. Whatever else happens the dispatcher says how it ends. */
static bool out_files_write(struct out_files *files)
{
    struct out_file *file = files->first;
    char *part = malloc(OUT_FILES_PART_BYTES);
    const uint64_t stop = file->written + OUT_FILES_TURN_BYTES;
    int rc = part ? 0 : -ENOMEM;
    while (rc == 0 && file->written < file->bytes && file->written < stop)
        rc = out_files_write_part(files, part);
    free(part);
    const bool is_more = (rc == 0 || rc == -EAGAIN) && file->written < file->bytes;
    if (!is_more)
        out_files_close_pipe(files);
    return is_more;
}

bool out_files_go_on(struct out_files *files, const struct reply_job *job, int socket)
{
    if (!files->first || files->is_refused)
        return false;
    if (files->is_written_to)
        return out_files_write(files);
    if (!files->is_told) {
        files->is_told = true;
        int rc = out_files_tell(files, job, socket);
        (void)rc; /* without a dispatcher nothing is of any use, and that is seen elsewhere */
    }
    return false;
}

/* ---- from the dispatcher -------------------------------------------------------------------- */

static void out_files_refuse(struct out_files *files, const char *why, size_t bytes)
{
    char text[OUT_FILE_REASON_BYTES];
    snprintf(text, sizeof text, "the file %s%s cannot be sent: %.*s", files->first->name,
             files->first->what, (int)(bytes < 256 ? bytes : 256), why);
    files->is_refused = true;
    files->reason = strdup(text);
    out_files_drop(files);
}

void out_files_give_up(struct out_files *files, const char *why)
{
    out_files_refuse(files, why, strlen(why));
}

/* Whose a record is. */
static struct reply_job out_files_job(const struct record *meta)
{
    return (struct reply_job){.slot = meta->slot, .generation = meta->generation};
}

int out_files_hear(struct out_files *files, const struct record *meta, const void *payload,
                   int socket)
{
    const struct reply_job job = out_files_job(meta);
    struct file_record head;
    int fd = -1;
    if (meta->bytes < sizeof head || !files->first || !files->is_told)
        return -EPROTO;
    memcpy(&head, payload, sizeof head);
    if (head.number != files->given_count - files->count)
        return -EPROTO;
    if (meta->flags & RECORD_BLOB) {
        if (files->is_written_to || message_receive_pipe(socket, &job, &fd) != 0)
            return -EPROTO;
        files->pipe = fd;
        files->is_written_to = true;
    } else if (meta->bytes > sizeof head) {
        out_files_refuse(files, (const char *)payload + sizeof head, meta->bytes - sizeof head);
    } else {
        out_files_drop_first(files);
    }
    return 0;
}

int out_files_ignore(const struct record *meta, int socket)
{
    const struct reply_job job = out_files_job(meta);
    int fd = -1;
    if (!(meta->flags & RECORD_BLOB))
        return 0;
    int rc = message_receive_pipe(socket, &job, &fd);
    descriptor_close(&fd);
    return rc;
}

void out_files_explain(const struct out_files *files, struct error *error)
{
    error_set(error, ERROR_PIPELINE, "%s",
              files->reason ? files->reason : "one of its files cannot be sent");
}
