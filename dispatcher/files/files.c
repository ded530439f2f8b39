/* SPDX-License-Identifier: MIT */
/* files.c - the index of stored files, and which of them go. */
#include "dispatcher/files/files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/files/parts.h"

#define TIMERS_PER_FILES 2u
#define REMOVAL_COUNT_MAX 64u /* with the disk at once */
#define PRUNE_COUNT_MAX 256u  /* removed together */
#define RESERVE_COUNT_MAX 4096u
#define FINISH_MS 10000u /* what a disk that thinks may delay the end of the process */

static uint64_t files_retry_ms(const struct files *files, const struct file *file);
static void files_prune(struct files *files);
static void files_limit(struct files *files);
static void file_leave(struct file *file);

/* ---- lists ---------------------------------------------------------------------------------- */

static uint32_t files_bucket_of(const char *id)
{
    char digits[9];
    memcpy(digits, id + strlen("file_"), 8);
    digits[8] = '\0';
    return (uint32_t)strtoul(digits, NULL, 16) & (FILE_BUCKET_COUNT - 1);
}

static void files_use_append(struct files *files, struct file *file)
{
    file->older = files->newest;
    file->newer = NULL;
    if (files->newest)
        files->newest->newer = file;
    else
        files->oldest = file;
    files->newest = file;
}

static void files_use_unlink(struct files *files, struct file *file)
{
    *(file->older ? &file->older->newer : &files->oldest) = file->newer;
    *(file->newer ? &file->newer->older : &files->newest) = file->older;
    file->older = file->newer = NULL;
}

static void files_owner_append(struct file *file)
{
    struct files_owner *owner = file->owner;
    file->owner_older = owner->newest;
    if (owner->newest)
        owner->newest->owner_newer = file;
    owner->newest = file;
}

static void files_owner_unlink(struct file *file)
{
    if (file->owner_older)
        file->owner_older->owner_newer = file->owner_newer;
    *(file->owner_newer ? &file->owner_newer->owner_older : &file->owner->newest) =
        file->owner_older;
    file->owner_older = file->owner_newer = NULL;
}

struct files_owner *files_owner_take(struct files *files, const char *token)
{
    const char *name = token ? token : "";
    struct files_owner *owner = files->owners;
    while (owner && strcmp(owner->name, name) != 0)
        owner = owner->next;
    if (!owner) {
        owner = calloc(1, sizeof *owner);
        if (!owner)
            return NULL;
        snprintf(owner->name, sizeof owner->name, "%s", name);
        owner->next = files->owners;
        files->owners = owner;
    }
    owner->file_count++;
    return owner;
}

void files_owner_give(struct files *files, struct files_owner *owner)
{
    if (--owner->file_count > 0)
        return;
    struct files_owner **at = &files->owners;
    while (*at != owner)
        at = &(*at)->next;
    *at = owner->next;
    free(owner);
}

/* ---- the start and the end ------------------------------------------------------------------ */

int files_init(struct files *files, const struct files_options *options)
{
    *files = (struct files){.config = options->config,
                            .reactor = options->reactor,
                            .input = options->input,
                            .root_fd = -1,
                            .folder_fd = -1,
                            .runs_fd = -1,
                            .parts_fd = -1,
                            .timer = {.kind = TIMER_FILES, .owner = files},
                            .parts_timer = {.kind = TIMER_PARTS, .owner = files}};
    disk_init(&files->disk);
    int rc = timers_reserve(&options->reactor->timers, TIMERS_PER_FILES);
    files->has_timer = rc == 0;
    return rc;
}

static void files_on_found(void *owner, const struct file_about *about)
{
    struct files *files = owner;
    struct file *file = calloc(1, sizeof *file);
    if (!file)
        return; /* it stays where it is, for a start that has memory for it */
    file->about = *about;
    file->owner = files_owner_take(files, about->owner);
    if (!file->owner) {
        free(file);
        return;
    }
    files_add(files, file);
}

static void files_on_lost(void *owner, const char *name, const char *reason)
{
    struct files *files = owner;
    log_event(&files->reactor->log, LEVEL_WARNING, "file_dropped", LOG_WORD("file", name),
              LOG_TEXT("reason", reason));
}

/* The times of a file system are those of some milliseconds. */
static int files_compare(const void *left, const void *right)
{
    const struct file *a = *(struct file *const *)left, *b = *(struct file *const *)right;
    if (a->about.used_at != b->about.used_at)
        return a->about.used_at < b->about.used_at ? -1 : 1;
    return a->about.created_at < b->about.created_at ? -1
                                                     : a->about.created_at > b->about.created_at;
}

/* They were found in the order of the folder, which is none. */
static int files_sort(struct files *files)
{
    struct file **all = calloc(files->file_count + 1, sizeof *all);
    uint32_t count = 0;
    if (!all)
        return -ENOMEM;
    for (struct file *file = files->oldest; file; file = file->newer)
        all[count++] = file;
    qsort(all, count, sizeof all[0], files_compare);
    files->oldest = files->newest = NULL;
    for (struct files_owner *owner = files->owners; owner; owner = owner->next)
        owner->newest = NULL;
    for (uint32_t i = 0; i < count; i++) {
        files_use_append(files, all[i]);
        all[i]->owner_newer = NULL;
        files_owner_append(all[i]);
    }
    free(all);
    return 0;
}

/* What workers call it, wherever they are started. */
static int files_path_find(struct files *files)
{
    char *root = realpath(files->config->files_path, NULL);
    const size_t room = root ? strlen(root) + sizeof "/runs" : 0;
    files->runs_path = root ? malloc(room) : NULL;
    if (files->runs_path) {
        snprintf(files->runs_path, room, "%s/runs", root);
        files->is_open = disk_folder_is_open(files->runs_path);
    }
    free(root);
    return files->runs_path ? 0 : -ENOMEM;
}

/* Where workers have folders of their own, which each makes and empties itself. */
static int files_scratch_make(const struct files *files)
{
    int fd = disk_folder_enter(files->root_fd, "scratch", 0711);
    if (fd >= 0)
        close(fd);
    return fd < 0 ? fd : 0;
}

/* The folders in it, of which workers may enter one. 0 or -errno. */
static int files_folders_open(struct files *files)
{
    int rc = disk_folder_enter(files->root_fd, "stored", 0700);
    files->folder_fd = rc < 0 ? -1 : rc;
    if (rc >= 0)
        rc = disk_folder_move(files->root_fd, files->folder_fd);
    if (rc >= 0)
        rc = disk_folder_enter(files->root_fd, "runs", 0711);
    files->runs_fd = rc < 0 ? -1 : rc;
    if (rc >= 0)
        rc = disk_folder_empty(files->runs_fd);
    if (rc >= 0)
        rc = files_scratch_make(files);
    if (rc >= 0)
        rc = disk_folder_enter(files->root_fd, "parts", 0700);
    files->parts_fd = rc < 0 ? -1 : rc;
    if (rc >= 0)
        rc = disk_folder_empty(files->parts_fd);
    return rc < 0 ? rc : files_path_find(files);
}

int files_open(struct files *files, char reason[FILES_REASON_BYTES])
{
    const char *path = files->config->files_path;
    if (!path)
        return 0;
    int rc = disk_folder_open(path);
    if (rc < 0) {
        snprintf(reason, FILES_REASON_BYTES, "%s: %s", path,
                 rc == -EBUSY   ? "another server has it"
                 : rc == -EPERM ? "other users may write to it (chmod go-w)"
                                : strerror(-rc));
        return rc;
    }
    files->root_fd = rc;
    rc = files_folders_open(files);
    if (rc == 0)
        rc = file_secret_open(files->root_fd, files->secret);
    if (rc == 0)
        rc = disk_folder_read(files->folder_fd, files_on_found, files_on_lost, files);
    if (rc == 0)
        rc = files_sort(files);
    files->hash_library = sha256_open();
    if (rc == 0)
        rc = disk_open(&files->disk);
    if (rc < 0)
        snprintf(reason, FILES_REASON_BYTES, "%s: %s", path, strerror(-rc));
    return rc;
}

void files_start(struct files *files)
{
    if (!files_are_on(files))
        return;
    log_event(&files->reactor->log, LEVEL_INFO, "files_kept",
              LOG_NATURAL("files", files->file_count), LOG_NATURAL("bytes", files->bytes),
              LOG_WORD("sha256", files->hash_library));
    disk_start(&files->disk, files->reactor->uring);
    files_prune(files);
}

void files_follow(struct files *files, const struct config *next)
{
    files->config = next;
    if (!files_are_on(files))
        return;
    files_prune(files);
    parts_on_timer(files);
}

static void files_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void files_finish(struct files *files)
{
    if (files->has_timer) {
        timer_clear(&files->reactor->timers, &files->timer);
        timer_clear(&files->reactor->timers, &files->parts_timer);
        timers_unreserve(&files->reactor->timers, TIMERS_PER_FILES);
    }
    files->has_timer = false;
    if (!files->config)
        return;
    files->is_left = !disk_finish(&files->disk, FINISH_MS);
    if (files->is_left)
        return;
    parts_finish(files);
    for (struct file *next; files->leaving; files->leaving = next) {
        next = files->leaving->next;
        disk_file_remove(files->folder_fd, files->leaving->about.id);
        free(files->leaving);
    }
    for (struct file *next; files->oldest; files->oldest = next) {
        next = files->oldest->newer;
        free(files->oldest);
    }
    for (struct files_owner *next; files->owners; files->owners = next) {
        next = files->owners->next;
        free(files->owners);
    }
    files_close(&files->parts_fd);
    files_close(&files->runs_fd);
    files_close(&files->folder_fd);
    files_close(&files->root_fd);
    free(files->runs_path);
    files->runs_path = NULL;
}

/* ---- what there is -------------------------------------------------------------------------- */

struct file *files_get(const struct files *files, const char *id)
{
    if (!file_id_is_valid(id, strlen(id)))
        return NULL;
    struct file *file = files->buckets[files_bucket_of(id)];
    while (file && strcmp(file->about.id, id) != 0)
        file = file->next;
    return file;
}

struct file *files_find(const struct files *files, const char *token, const char *id)
{
    struct file *file = files_get(files, id);
    if (!file || files_are_common(files) || (token && strcmp(file->owner->name, token) == 0))
        return file;
    return NULL;
}

struct file *files_newest(const struct files *files, const char *token)
{
    const struct files_owner *owner = files->owners;
    if (files_are_common(files))
        return files->newest;
    while (owner && (!token || strcmp(owner->name, token) != 0))
        owner = owner->next;
    return owner ? owner->newest : NULL;
}

struct file *files_before(const struct files *files, const struct file *file)
{
    return files_are_common(files) ? file->older : file->owner_older;
}

void files_add(struct files *files, struct file *file)
{
    struct file **bucket = &files->buckets[files_bucket_of(file->about.id)];
    file->files = files;
    file->next = *bucket;
    *bucket = file;
    files_use_append(files, file);
    files_owner_append(file);
    files->file_count++;
    files->bytes += file->about.bytes;
    files_limit(files);
}

void file_use(struct file *file)
{
    struct files *files = file->files;
    file->user_count++;
    file->about.used_at = files->reactor->wall_s;
    files_use_unlink(files, file);
    files_use_append(files, file);
    files_limit(files);
}

void file_release(struct file *file)
{
    mr_assert(file->user_count > 0);
    if (--file->user_count > 0)
        return;
    if (file->is_removed)
        file_leave(file);
    else
        files_prune(file->files); /* it may have been in the way of others */
}

/* ---- what goes ------------------------------------------------------------------------------ */

static void file_on_remove(struct disk_job *job)
{
    struct file *file = (struct file *)((char *)job - offsetof(struct file, removal));
    disk_file_remove(file->files->folder_fd, file->about.id);
}

static void file_on_removed(struct disk_job *job)
{
    struct file *file = (struct file *)((char *)job - offsetof(struct file, removal));
    struct files *files = file->files;
    free(file);
    files->removal_count--;
    struct file *next = files->leaving;
    if (next) {
        files->leaving = next->next;
        file_leave(next);
    }
}

/* From the disk. */
static void file_leave(struct file *file)
{
    struct files *files = file->files;
    if (files->removal_count == REMOVAL_COUNT_MAX) {
        file->next = files->leaving; /* the end of one that is with the disk takes it up */
        files->leaving = file;
        return;
    }
    file->removal = (struct disk_job){file_on_remove, file_on_removed};
    files->removal_count++;
    disk_begin(&files->disk, &file->removal);
}

void file_remove(struct file *file)
{
    struct files *files = file->files;
    struct file **at = &files->buckets[files_bucket_of(file->about.id)];
    while (*at != file)
        at = &(*at)->next;
    *at = file->next;
    file->next = NULL;
    files_use_unlink(files, file);
    files_owner_unlink(file);
    files_owner_give(files, file->owner);
    file->owner = NULL;
    files->file_count--;
    files->bytes -= file->about.bytes;
    files->removed_count++;
    file->is_removed = true;
    if (file->user_count == 0)
        file_leave(file);
}

static void file_expire(struct file *file, const char *reason)
{
    log_event(&file->files->reactor->log, LEVEL_INFO, "file_removed",
              LOG_WORD("file", file->about.id), LOG_TEXT("reason", reason),
              LOG_NATURAL("bytes", file->about.bytes));
    file_remove(file);
}

/* The oldest that nobody uses; NULL: all are in use. No more are in use than clients can have. */
static struct file *files_oldest_unused(const struct files *files)
{
    struct file *file = files->oldest;
    while (file && file->user_count > 0)
        file = file->newer;
    return file;
}

int files_reserve(struct files *files, uint64_t bytes)
{
    const uint64_t room = files->config->files_total_bytes;
    if (files->reserved_bytes + bytes > room)
        return -ENOSPC;
    for (uint32_t i = 0;
         files->bytes + files->reserved_bytes + bytes > room || files->file_count >= FILE_COUNT_MAX;
         i++) {
        struct file *file = files_oldest_unused(files);
        if (!file || i == RESERVE_COUNT_MAX)
            return -ENOSPC;
        file_expire(file, "room for a newer one");
    }
    files->reserved_bytes += bytes;
    return 0;
}

void files_unreserve(struct files *files, uint64_t bytes)
{
    mr_assert(files->reserved_bytes >= bytes);
    files->reserved_bytes -= bytes;
}

/* When it is old; UINT64_MAX: never. */
static uint64_t files_retry_ms(const struct files *files, const struct file *file)
{
    const struct reactor *reactor = files->reactor;
    const double ttl_s = (double)files->config->files_ttl_ms / 1000;
    if (files->config->files_ttl_ms == 0 || !file)
        return UINT64_MAX;
    const double left_s = file->about.used_at + ttl_s - reactor->wall_s;
    if (left_s <= 0)
        return reactor->now_ms;
    /* A clock that was set back does not keep it for ever. */
    return reactor->now_ms + (uint64_t)((left_s < ttl_s ? left_s : ttl_s) * 1000) + 1;
}

static void files_limit(struct files *files)
{
    const uint64_t due_ms = files_retry_ms(files, files_oldest_unused(files));
    if (due_ms == UINT64_MAX)
        timer_clear(&files->reactor->timers, &files->timer);
    else if (files->timer.position == 0 || files->timer.due_ms != due_ms)
        timer_set(&files->reactor->timers, &files->timer, due_ms);
}

/* Some of them: the rest at once, after all else that there is to do. */
static void files_prune(struct files *files)
{
    if (!files->has_timer)
        return; /* the end has come */
    const struct config *config = files->config;
    uint32_t i = 0;
    for (; i < PRUNE_COUNT_MAX; i++) {
        struct file *file = files_oldest_unused(files);
        if (!file)
            break;
        if (files_retry_ms(files, file) <= files->reactor->now_ms)
            file_expire(file, "it was not used for --files-ttl");
        else if (files->bytes + files->reserved_bytes > config->files_total_bytes)
            file_expire(file, "there is more than --files-total");
        else if (files->file_count > FILE_COUNT_MAX)
            file_expire(file, "there are too many");
        else
            break;
    }
    files_limit(files);
    if (i == PRUNE_COUNT_MAX)
        timer_set(&files->reactor->timers, &files->timer, files->reactor->now_ms + 1);
}

void files_on_timer(struct files *files)
{
    files_prune(files);
}

void files_check(const struct files *files)
{
    uint32_t count = 0, owned_count = 0;
    uint64_t bytes = 0;
    for (const struct file *file = files->oldest; file; file = file->newer) {
        mr_assert(!file->is_removed && file->files == files);
        mr_assert(file->newer ? file->newer->older == file : files->newest == file);
        count++;
        bytes += file->about.bytes;
    }
    for (const struct files_owner *owner = files->owners; owner; owner = owner->next)
        for (const struct file *file = owner->newest; file; file = file->owner_older)
            owned_count++;
    mr_assert(count == files->file_count && count == owned_count && bytes == files->bytes);
}
