/* SPDX-License-Identifier: MIT */
/* parts.c - which files come in parts, and what becomes of them. */
#include "dispatcher/files/parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "upload_"
#define PREFIX_BYTES (sizeof PREFIX - 1)
#define JOIN_BUFFER_BYTES (128u * 1024)
#define JOIN_STEP_COUNT 64u   /* buffers a job: others have their turns between jobs */
#define REMOVE_STEP_COUNT 64u /* files a job */

static void parts_limit(struct files *files);
static void parts_step(struct parts *parts);
static void parts_drop(struct parts *parts, const char *reason);

/* ---- lists ---------------------------------------------------------------------------------- */

static void parts_append(struct parts *parts)
{
    struct files *files = parts->files;
    parts->older = files->parts_newest;
    parts->newer = NULL;
    *(parts->older ? &parts->older->newer : &files->parts_oldest) = parts;
    files->parts_newest = parts;
}

static void parts_unlink(struct parts *parts)
{
    struct files *files = parts->files;
    *(parts->older ? &parts->older->newer : &files->parts_oldest) = parts->newer;
    *(parts->newer ? &parts->newer->older : &files->parts_newest) = parts->older;
}

bool parts_id_is_valid(const char *text)
{
    return strncmp(text, PREFIX, PREFIX_BYTES) == 0 &&
           strspn(text + PREFIX_BYTES, "0123456789abcdef") == PARTS_ID_BYTES - 1 - PREFIX_BYTES &&
           text[PARTS_ID_BYTES - 1] == '\0';
}

struct parts *parts_get(const struct files *files, const char *id)
{
    struct parts *parts = files->parts_newest;
    while (parts && (parts->state != PARTS_OPEN || strcmp(parts->id, id) != 0))
        parts = parts->older;
    return parts;
}

bool parts_are_of(const struct parts *parts, const char *token)
{
    return files_are_common(parts->files) || (token && strcmp(parts->token->name, token) == 0);
}

void parts_use(struct parts *parts)
{
    parts->used_ms = parts->files->reactor->now_ms;
    parts_unlink(parts);
    parts_append(parts);
    parts_limit(parts->files);
}

/* ---- the beginning and the end -------------------------------------------------------------- */

static void parts_free(struct parts *parts)
{
    struct files *files = parts->files;
    mr_assert(parts->user_count == 0 && !parts->owner);
    parts_unlink(parts);
    files->parts_count--;
    files->part_count -= parts->count;
    files_unreserve(files, parts->bytes);
    if (parts->file) {
        files_owner_give(files, parts->token);
        free(parts->file);
    }
    if (parts->fd >= 0)
        close(parts->fd);
    free(parts->buffer);
    free(parts->parts);
    free(parts);
}

struct parts *parts_begin(struct files *files, const char *token, const char *name,
                          size_t name_bytes, int *rc)
{
    *rc = -ENOBUFS;
    if (files->parts_count >= PARTS_COUNT_MAX)
        return NULL;
    *rc = -ENOMEM;
    struct parts *parts = calloc(1, sizeof *parts);
    struct file *file = calloc(1, sizeof *file);
    struct files_owner *owner = parts && file ? files_owner_take(files, token) : NULL;
    if (!owner) {
        free(parts);
        free(file);
        return NULL;
    }
    *parts = (struct parts){.files = files,
                            .token = owner,
                            .file = file,
                            .fd = -1,
                            .used_ms = files->reactor->now_ms,
                            .disk.fd = -1};
    memcpy(parts->id, PREFIX, PREFIX_BYTES);
    identity_hex(&files->reactor->identity, parts->id + PREFIX_BYTES);
    memcpy(file->about.id, "file_", 5);
    identity_hex(&files->reactor->identity, file->about.id + 5);
    memcpy(file->about.owner, owner->name, sizeof file->about.owner);
    file_name_make(name, name_bytes, file->about.name);
    parts_append(parts);
    files->parts_count++;
    parts_limit(files);
    return parts;
}

void parts_finish(struct files *files)
{
    while (files->parts_oldest) {
        files->parts_oldest->owner = NULL;
        disk_file_drop(&files->parts_oldest->disk);
        parts_free(files->parts_oldest);
    }
}

/* ---- parts ---------------------------------------------------------------------------------- */

void part_name(const struct parts *parts, const struct part *part, char out[PART_NAME_BYTES])
{
    snprintf(out, PART_NAME_BYTES, "%s_%u_%u", parts->id + PREFIX_BYTES, part->number,
             part->serial);
}

/* Where it is, or would be. */
static uint32_t parts_place(const struct parts *parts, uint32_t number)
{
    uint32_t low = 0, high = parts->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (parts->parts[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct part *parts_find(const struct parts *parts, uint32_t number)
{
    const uint32_t place = parts_place(parts, number);
    return place < parts->count && parts->parts[place].number == number ? &parts->parts[place]
                                                                        : NULL;
}

int parts_enter(struct parts *parts, uint32_t number, struct part *part)
{
    struct files *files = parts->files;
    mr_assert(number > 0 && number <= PART_NUMBER_MAX && parts->state == PARTS_OPEN);
    if (files->part_count >= PARTS_PART_COUNT_MAX)
        return -EMFILE;
    if (++files->part_serial == 0)
        files->part_serial = 1;
    *part = (struct part){.number = number, .serial = files->part_serial};
    identity_hex(&files->reactor->identity, part->tag);
    parts->user_count++;
    parts_use(parts);
    return 0;
}

/* Room for one more. */
static int parts_grow(struct parts *parts)
{
    if (parts->count < parts->room)
        return 0;
    const uint32_t room = parts->room > 0 ? 2 * parts->room : 16;
    struct part *grown = realloc(parts->parts, room * sizeof *grown);
    if (!grown)
        return -ENOMEM;
    parts->parts = grown;
    parts->room = room;
    return 0;
}

int64_t parts_add(struct parts *parts, const struct part *part)
{
    struct files *files = parts->files;
    const uint32_t place = parts_place(parts, part->number);
    struct part *old = &parts->parts[place];
    if (parts->state != PARTS_OPEN)
        return -ESTALE;
    const bool is_new = place == parts->count || old->number != part->number;
    const uint64_t bytes = parts->bytes - (is_new ? 0 : old->bytes) + part->bytes;
    if (bytes > files->config->file_bytes_max)
        return -E2BIG;
    if (is_new && files->part_count >= PARTS_PART_COUNT_MAX)
        return -EMFILE;
    int rc = is_new ? parts_grow(parts) : 0;
    if (rc < 0)
        return rc;
    old = &parts->parts[place];
    const int64_t serial = is_new ? 0 : old->serial;
    if (is_new) {
        memmove(old + 1, old, (parts->count - place) * sizeof *old);
        parts->count++;
        files->part_count++;
    } else {
        files_unreserve(files, old->bytes);
    }
    *old = *part;
    parts->bytes = bytes;
    parts_use(parts);
    return serial;
}

void parts_leave(struct parts *parts)
{
    mr_assert(parts->user_count > 0);
    parts->user_count--;
    if (parts->state == PARTS_OVER && parts->user_count == 0)
        parts_free(parts);
    else if (parts->state == PARTS_OPEN)
        parts_use(parts);
}

/* ---- with a thread -------------------------------------------------------------------------- */

static struct parts *parts_of(struct disk_job *job)
{
    return (struct parts *)((char *)job - offsetof(struct parts, job));
}

static void parts_remove_one(struct parts *parts)
{
    char name[PART_NAME_BYTES];
    part_name(parts, &parts->parts[parts->at], name);
    if (parts->fd >= 0)
        close(parts->fd);
    parts->fd = -1;
    unlinkat(parts->files->parts_fd, name, 0);
    parts->at++;
    parts->at_bytes = 0;
}

static void parts_on_remove(struct disk_job *job)
{
    struct parts *parts = parts_of(job);
    disk_file_drop(&parts->disk);
    for (uint32_t i = 0; i < REMOVE_STEP_COUNT && parts->at < parts->count; i++)
        parts_remove_one(parts);
    parts->is_done = parts->at == parts->count;
}

/* A piece of the part that is next goes behind the others. 0 or -errno. */
static int parts_join_piece(struct parts *parts)
{
    const struct part *part = &parts->parts[parts->at];
    char name[PART_NAME_BYTES];
    part_name(parts, part, name);
    if (parts->fd == -1)
        parts->fd = openat(parts->files->parts_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (parts->fd == -1)
        return -errno;
    const uint64_t left = part->bytes - parts->at_bytes;
    const size_t want = left < JOIN_BUFFER_BYTES ? (size_t)left : JOIN_BUFFER_BYTES;
    ssize_t bytes = want > 0 ? read(parts->fd, parts->buffer, want) : 0;
    if (bytes == -1)
        return errno == EINTR ? 0 : -errno;
    if (bytes == 0 && want > 0)
        return -EIO; /* it was larger when it came */
    parts->at_bytes += (uint64_t)bytes;
    int rc = disk_file_write(&parts->disk, parts->buffer, (size_t)bytes);
    if (rc == 0 && parts->at_bytes == part->bytes)
        parts_remove_one(parts);
    return rc;
}

static void parts_on_join(struct disk_job *job)
{
    struct parts *parts = parts_of(job);
    for (uint32_t i = 0; i < JOIN_STEP_COUNT && parts->rc == 0 && parts->at < parts->count; i++)
        parts->rc = parts_join_piece(parts);
    if (parts->rc < 0 || parts->at < parts->count)
        return;
    parts->rc = disk_file_keep(&parts->disk, &parts->file->about);
    parts->is_done = parts->rc == 0;
}

static void parts_tell_kept(struct parts *parts)
{
    struct files *files = parts->files;
    struct file *file = parts->file;
    void *owner = parts->owner;
    const struct parts_ops *ops = parts->ops;
    file->owner = parts->token;
    parts->file = NULL;
    parts->owner = NULL;
    files->kept_count++;
    files_unreserve(files, parts->bytes);
    parts->bytes = 0;
    files_add(files, file);
    if (owner)
        ops->kept(owner, file);
    else
        log_event(&files->reactor->log, LEVEL_INFO, "file_kept", LOG_WORD("file", file->about.id),
                  LOG_NATURAL("bytes", file->about.bytes));
}

static void parts_tell_failed(struct parts *parts)
{
    void *owner = parts->owner;
    parts->owner = NULL;
    parts->files->failed_count++;
    if (owner)
        parts->ops->failed(owner, parts->rc);
}

static void parts_on_done(struct disk_job *job)
{
    struct parts *parts = parts_of(job);
    struct files *files = parts->files;
    if (files->disk.is_over)
        return; /* parts_finish() follows */
    if (parts->state == PARTS_JOINING && parts->is_done) {
        parts_tell_kept(parts);
    } else if (parts->state == PARTS_JOINING && parts->rc < 0) {
        parts_tell_failed(parts);
        parts->state = PARTS_LEAVING;
    }
    if (!parts->is_done) {
        parts_step(parts);
        return;
    }
    files->join_count--;
    parts->state = PARTS_OVER;
    if (parts->user_count == 0)
        parts_free(parts);
}

static void parts_step(struct parts *parts)
{
    parts->job = (struct disk_job){parts->state == PARTS_JOINING ? parts_on_join : parts_on_remove,
                                   parts_on_done};
    disk_begin(&parts->files->disk, &parts->job);
}

bool parts_are_busy(const struct files *files)
{
    return files->join_count >= PARTS_JOIN_COUNT_MAX;
}

static void parts_move(struct parts *parts, enum parts_state state)
{
    mr_assert(parts->state == PARTS_OPEN);
    mr_assert(!parts_are_busy(parts->files));
    parts->state = state;
    parts->files->join_count++;
    parts_step(parts);
}

void parts_join(struct parts *parts, const struct parts_ops *ops, void *owner)
{
    struct files *files = parts->files;
    parts->ops = ops;
    parts->owner = owner;
    parts->file->about.created_at = parts->file->about.used_at = files->reactor->wall_s;
    disk_file_init(&parts->disk, files->folder_fd, parts->file->about.id);
    parts->buffer = malloc(JOIN_BUFFER_BYTES);
    parts->rc = parts->buffer ? 0 : -ENOMEM;
    parts_move(parts, PARTS_JOINING);
}

void parts_forget(struct parts *parts)
{
    parts->owner = NULL;
}

/* ---- what goes ------------------------------------------------------------------------------ */

static uint64_t parts_idle_ms(const struct files *files)
{
    const uint64_t ttl_ms = files->config->files_ttl_ms;
    return ttl_ms > 0 && ttl_ms < PARTS_IDLE_S * 1000 ? ttl_ms : PARTS_IDLE_S * 1000;
}

/* The one that nothing has come of for longest. */
static struct parts *parts_idle(const struct files *files)
{
    struct parts *parts = files->parts_oldest;
    while (parts && (parts->state != PARTS_OPEN || parts->user_count > 0))
        parts = parts->newer;
    return parts;
}

static void parts_limit(struct files *files)
{
    const struct parts *parts = parts_idle(files);
    struct timers *timers = &files->reactor->timers;
    if (!parts)
        timer_clear(timers, &files->parts_timer);
    else
        timer_set(timers, &files->parts_timer, parts->used_ms + parts_idle_ms(files));
}

static void parts_drop(struct parts *parts, const char *reason)
{
    log_event(&parts->files->reactor->log, LEVEL_INFO, "parts_removed",
              LOG_WORD("upload", parts->id), LOG_TEXT("reason", reason),
              LOG_NATURAL("parts", parts->count), LOG_NATURAL("bytes", parts->bytes));
    parts_move(parts, PARTS_LEAVING);
}

void parts_on_timer(struct files *files)
{
    struct parts *parts;
    const uint64_t now_ms = files->reactor->now_ms;
    while ((parts = parts_idle(files)) && parts->used_ms + parts_idle_ms(files) <= now_ms &&
           !parts_are_busy(files))
        parts_drop(parts, "nothing came of it for too long");
    parts_limit(files);
    if (parts_are_busy(files))
        timer_set(&files->reactor->timers, &files->parts_timer, now_ms + 1000);
}
