/* SPDX-License-Identifier: MIT */
/* intake.c - pipes that threads read from, whenever there is something in them. */
#include "dispatcher/files/intake.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INTAKE_PIPE_BYTES (1024u * 1024) /* what a user who has many pipes may not get */
#define INTAKE_READ_BYTES (64u * 1024)
#define INTAKE_JOB_BYTES (4u * 1024 * 1024) /* then other files have their turn */
#define INTAKE_DESCRIPTOR_COUNT 2u          /* its pipe and its file */

static int intake_open(struct intake *intake);
static void intake_read(struct intake *intake);
static void intake_next(struct files *files);

static struct uring_ref intake_ref(const struct intake *intake)
{
    return (struct uring_ref){URING_INTAKE, intake->place, intake->generation};
}

/* ---- beginning ------------------------------------------------------------------------------ */

static struct intake *intake_new(struct files *files, const struct intake_options *options)
{
    struct intake *intake = calloc(1, sizeof *intake);
    struct file *file = calloc(1, sizeof *file);
    struct files_owner *owner = intake && file ? files_owner_take(files, options->token) : NULL;
    if (!owner) {
        free(intake);
        free(file);
        return NULL;
    }
    struct file_about *about = &file->about;
    memcpy(about->id, "file_", 5);
    identity_hex(&files->reactor->identity, about->id + 5);
    file_name_make(options->name, options->name_bytes, about->name);
    memcpy(about->owner, owner->name, sizeof about->owner);
    intake->files = files;
    intake->token = owner;
    intake->writer = options->writer;
    intake->file = file;
    intake->bytes = options->bytes;
    intake->place = INTAKE_COUNT_MAX;
    intake->fd = -1;
    disk_file_init(&intake->disk, files->folder_fd, about->id);
    intake->disk.is_unsynced = true;
    return intake;
}

static void intake_free(struct intake *intake)
{
    files_unreserve(intake->files, intake->bytes);
    if (intake->file) {
        files_owner_give(intake->files, intake->token);
        free(intake->file);
    }
    free(intake);
}

/* Places that its writer has. */
static uint32_t intake_place_count(const struct intake *intake)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < INTAKE_COUNT_MAX; i++) {
        const struct intake *other = intake->files->intakes[i];
        count += other && other->writer == intake->writer;
    }
    return count;
}

/* It has a place from now on. False: there is none, until another one ends. One can be had however
 * many descriptors uploads have: else nothing would tell when there is room. */
static bool intake_take_place(struct intake *intake)
{
    struct files *files = intake->files;
    if (intake_place_count(intake) >= INTAKE_COUNT_MAX - files->intake_count ||
        (files->intake_count > 0 && !input_memory_fits_file(files->input)))
        return false;
    uint32_t place = 0;
    while (files->intakes[place])
        place++;
    files->intakes[place] = intake;
    files->intake_count++;
    intake->place = place;
    intake->generation = ++files->intake_generation;
    for (uint32_t i = 0; i < INTAKE_DESCRIPTOR_COUNT; i++)
        input_memory_take_file(files->input);
    return true;
}

static void intake_give_place(struct intake *intake)
{
    struct files *files = intake->files;
    if (intake->fd >= 0) {
        if (files->reactor->uring)
            uring_cancel(files->reactor->uring, intake_ref(intake));
        close(intake->fd);
    }
    intake->fd = -1;
    if (intake->place == INTAKE_COUNT_MAX)
        return;
    files->intakes[intake->place] = NULL;
    files->intake_count--;
    intake->place = INTAKE_COUNT_MAX;
    for (uint32_t i = 0; i < INTAKE_DESCRIPTOR_COUNT; i++)
        input_memory_give_file(files->input);
}

static void intake_wait(struct intake *intake)
{
    struct files *files = intake->files;
    intake->previous = files->last_waiting;
    *(intake->previous ? &intake->previous->next : &files->waiting) = intake;
    files->last_waiting = intake;
}

static void intake_wait_no_more(struct intake *intake)
{
    struct files *files = intake->files;
    *(intake->previous ? &intake->previous->next : &files->waiting) = intake->next;
    *(intake->next ? &intake->next->previous : &files->last_waiting) = intake->previous;
    intake->next = intake->previous = NULL;
}

struct intake *intake_begin(struct files *files, const struct intake_options *options,
                            const struct intake_ops *ops, void *owner, int *rc)
{
    *rc = options->bytes > files->config->file_bytes_max ? -EFBIG
                                                         : files_reserve(files, options->bytes);
    if (*rc < 0)
        return NULL;
    struct intake *intake = intake_new(files, options);
    if (!intake) {
        files_unreserve(files, options->bytes);
        *rc = -ENOMEM;
        return NULL;
    }
    intake->ops = ops;
    intake->owner = owner;
    if (!intake_take_place(intake)) {
        intake_wait(intake);
        return intake;
    }
    *rc = intake_open(intake);
    if (*rc == 0)
        return intake;
    intake_give_place(intake);
    intake_free(intake);
    return NULL;
}

/* A poll that goes on tells of what comes, and a new one of what is there. */
static void intake_poll(struct intake *intake)
{
    intake->is_polled = true;
    uring_poll(intake->files->reactor->uring, intake->fd, intake_ref(intake));
}

/* It has a place: its owner gets the pipe, or it is read at once, since nothing is in it. */
static int intake_open(struct intake *intake)
{
    int ends[2];
    if (intake->bytes == 0) {
        intake_read(intake);
        return 0;
    }
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) == -1)
        return -errno;
    if (intake->bytes > INTAKE_READ_BYTES)
        (void)fcntl(ends[0], F_SETPIPE_SZ, INTAKE_PIPE_BYTES);
    intake->fd = ends[0];
    intake_poll(intake);
    intake->ops->ready(intake->owner, ends[1]);
    return 0;
}

/* ---- with a thread -------------------------------------------------------------------------- */

static struct intake *intake_of(struct disk_job *job)
{
    return (struct intake *)((char *)job - offsetof(struct intake, job));
}

/* What is in the pipe now, up to what was said. 0: all of it has come; -EAGAIN: more will;
 * -EINPROGRESS: more is there. */
static int intake_take(struct intake *intake, char bytes[INTAKE_READ_BYTES])
{
    for (uint64_t taken = 0; intake->disk.bytes < intake->bytes;) {
        const uint64_t left = intake->bytes - intake->disk.bytes;
        if (taken >= INTAKE_JOB_BYTES)
            return -EINPROGRESS;
        ssize_t count =
            read(intake->fd, bytes, left < INTAKE_READ_BYTES ? (size_t)left : INTAKE_READ_BYTES);
        if (count == -1 && errno == EINTR)
            continue;
        if (count <= 0)
            return count == 0 ? -ENODATA : -errno;
        int rc = disk_file_write(&intake->disk, bytes, (size_t)count);
        if (rc < 0)
            return rc;
        taken += (uint64_t)count;
    }
    return 0;
}

/* Whether more of it is to come. */
static bool intake_goes_on(const struct intake *intake)
{
    return intake->rc == -EAGAIN || intake->rc == -EINPROGRESS;
}

static void intake_on_read(struct disk_job *job)
{
    struct intake *intake = intake_of(job);
    char *bytes = malloc(INTAKE_READ_BYTES);
    intake->rc = bytes ? intake_take(intake, bytes) : -ENOMEM;
    free(bytes);
    if (intake->rc == 0)
        intake->rc = disk_file_keep(&intake->disk, &intake->file->about);
    intake->is_kept = intake->rc == 0;
    if (!intake->is_kept && !intake_goes_on(intake))
        disk_file_drop(&intake->disk); /* before it is told: there is room for the next one */
}

static void intake_on_drop(struct disk_job *job)
{
    struct intake *intake = intake_of(job);
    if (intake->is_kept)
        disk_file_remove(intake->disk.folder_fd, intake->file->about.id); /* it was too late */
    else
        disk_file_drop(&intake->disk);
    intake->is_kept = false;
}

/* ---- in the loop ---------------------------------------------------------------------------- */

static void intake_on_dropped(struct disk_job *job)
{
    struct intake *intake = intake_of(job);
    struct files *files = intake->files;
    intake_give_place(intake);
    intake_free(intake);
    intake_next(files);
}

/* There is a job for each that has a place, and no more. */
static void intake_leave(struct intake *intake)
{
    intake->is_busy = true;
    intake->job = (struct disk_job){intake_on_drop, intake_on_dropped};
    disk_begin(&intake->files->disk, &intake->job);
}

static void intake_tell_kept(struct intake *intake)
{
    struct files *files = intake->files;
    struct file *file = intake->file;
    void *owner = intake->owner;
    const struct intake_ops *ops = intake->ops;
    file->owner = intake->token;
    intake->file = NULL;
    intake_give_place(intake);
    intake_free(intake);
    files->kept_count++;
    files_add(files, file);
    ops->kept(owner, file);
    intake_next(files);
}

static void intake_tell_failed(struct intake *intake)
{
    void *owner = intake->owner;
    const struct intake_ops *ops = intake->ops;
    const int rc = intake->rc;
    intake->files->failed_count++;
    intake->owner = NULL;
    intake_leave(intake);
    ops->failed(owner, rc);
}

static void intake_on_done(struct disk_job *job)
{
    struct intake *intake = intake_of(job);
    intake->is_busy = false;
    if (!intake->owner)
        intake_leave(intake);
    else if (intake->rc == 0)
        intake_tell_kept(intake);
    else if (!intake_goes_on(intake))
        intake_tell_failed(intake);
    else if (intake->rc == -EINPROGRESS || intake->has_more)
        intake_read(intake);
    else if (!intake->is_polled)
        intake_poll(intake);
}

static void intake_read(struct intake *intake)
{
    struct file_about *about = &intake->file->about;
    about->created_at = about->used_at = intake->files->reactor->wall_s;
    intake->has_more = false;
    intake->is_busy = true;
    intake->job = (struct disk_job){intake_on_read, intake_on_done};
    disk_begin(&intake->files->disk, &intake->job);
}

void intake_on_readable(struct files *files, const struct uring_event *event)
{
    struct intake *intake =
        event->ref.index < INTAKE_COUNT_MAX ? files->intakes[event->ref.index] : NULL;
    if (!intake || intake->generation != event->ref.generation || intake->fd == -1)
        return;
    intake->is_polled = event->more;
    if (intake->is_busy)
        intake->has_more = true;
    else if (intake->owner)
        intake_read(intake);
}

/* The first that waits and gets a place, which it has now; NULL: none does. */
static struct intake *intake_next_take(struct files *files)
{
    struct intake *intake = files->intake_count < INTAKE_COUNT_MAX ? files->waiting : NULL;
    while (intake && !intake_take_place(intake))
        intake = intake->next;
    if (intake)
        intake_wait_no_more(intake);
    return intake;
}

/* Those that waited, as far as there are places. */
static void intake_next(struct files *files)
{
    struct intake *intake;
    while ((intake = intake_next_take(files)) != NULL) {
        intake->rc = intake_open(intake);
        if (intake->rc < 0)
            intake_tell_failed(intake);
    }
}

void intake_drop(struct intake *intake)
{
    intake->owner = NULL;
    if (intake->place == INTAKE_COUNT_MAX) {
        intake_wait_no_more(intake);
        intake_free(intake);
    } else if (!intake->is_busy) {
        intake_leave(intake);
    }
}
