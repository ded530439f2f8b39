/* SPDX-License-Identifier: MIT */
/* client_files.c - files on their way between this machine and a server. */
#include "dispatcher/cli/client/client_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dispatcher/cli/client/client_refusal.h"
#include "dispatcher/text/file_name.h"
#include "dispatcher/text/utf8.h"

#define ANSWER_BYTES_MAX (64u * 1024)
#define ID_BYTES_MAX 64u
#define NAMESAKES_MAX 10000u
#define UPLOADED_ID "file_"
#define UPLOADED_HEX_BYTES 32u

/* A file that is being saved. */
struct saved {
    const struct client_files *files;
    char name[FILE_NAME_BYTES_MAX + 1];
    char *path; /* owned */
    int fd;
    uint64_t bytes, bytes_expected; /* UINT64_MAX: nobody has said it */
    int error;                      /* an errno of writing it; 0 */
    struct text refusal;            /* the answer when it is no file */
};

static int file_upload(const struct client_files *files, const char *path, struct text *item,
                       char reason[CLIENT_REASON_BYTES]);
static int saved_open(struct saved *saved, char reason[CLIENT_REASON_BYTES]);
static int saved_fill(struct saved *saved, const struct json_view *file,
                      char reason[CLIENT_REASON_BYTES]);

/* However it ended. */
static void files_told_end(const struct client_files *files, const char *name)
{
    if (files->told)
        files->told(files->context, name, 0, 0);
}

/* ---- inputs -------------------------------------------------------------------------------- */

static bool file_is_url(const char *word)
{
    return strncasecmp(word, "http://", 7) == 0 || strncasecmp(word, "https://", 8) == 0;
}

/* Without the @ of it. */
static const char *file_url(const char *word)
{
    return word + (word[0] == '@' ? 1 : 0);
}

enum file_word client_file_word(const char *word)
{
    const size_t prefix_bytes = strlen(UPLOADED_ID);
    if (file_is_url(file_url(word)))
        return FILE_WORD_URL;
    if (word[0] == '@' && word[1] != '@' && word[1] != '\0')
        return FILE_WORD_PATH;
    if (strncmp(word, UPLOADED_ID, prefix_bytes) == 0 &&
        strspn(word + prefix_bytes, "0123456789abcdef") == UPLOADED_HEX_BYTES &&
        strlen(word) == prefix_bytes + UPLOADED_HEX_BYTES)
        return FILE_WORD_ID;
    return FILE_WORD_NONE;
}

/* Its descriptor, or -errno. What has no length has UINT64_MAX bytes. */
static int file_open(const char *path, uint64_t *bytes, char reason[CLIENT_REASON_BYTES])
{
    struct stat about = {0};
    const bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    int error = fd == -1 || fstat(fd, &about) == -1 ? errno : 0;
    if (error == 0 && S_ISDIR(about.st_mode))
        error = EISDIR;
    if (error != 0) {
        snprintf(reason, CLIENT_REASON_BYTES, "%.300s: %s", is_stdin ? "stdin" : path,
                 error == EISDIR ? "it is a folder, and a file is sent" : strerror(error));
        if (fd != -1)
            close(fd);
        return -error;
    }
    *bytes = S_ISREG(about.st_mode) && !is_stdin ? (uint64_t)about.st_size : UINT64_MAX;
    return fd;
}

int client_file_check(const char *word, char reason[CLIENT_REASON_BYTES])
{
    uint64_t bytes;
    struct stat about;
    /* To open a pipe would end what writes to it. */
    if (client_file_word(word) != FILE_WORD_PATH || strcmp(word, "@-") == 0 ||
        (stat(word + 1, &about) == 0 && !S_ISREG(about.st_mode) && !S_ISDIR(about.st_mode)))
        return 0;
    int fd = file_open(word + 1, &bytes, reason);
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

int client_file_send(const struct client_files *files, const char *word, struct text *item,
                     char reason[CLIENT_REASON_BYTES])
{
    if (client_file_word(word) == FILE_WORD_PATH)
        return file_upload(files, word + 1, item, reason);
    const char *text = file_url(word);
    if (!utf8_is_valid(text, strlen(text))) {
        snprintf(reason, CLIENT_REASON_BYTES, "the URL is not UTF-8");
        return -EINVAL;
    }
    text_add(item, "{\"type\":\"file\",\"value\":null,\"%s\":",
             client_file_word(word) == FILE_WORD_URL ? "file_url" : "file_path");
    text_add_json(item, text, strlen(text));
    text_add(item, "}");
    return item->failed ? -ENOMEM : 0;
}

static bool on_answer(void *context, long status, const char *bytes, size_t count)
{
    (void)status;
    struct text *answer = context;
    text_add_bytes(answer, bytes, count);
    return !answer->failed && answer->count <= ANSWER_BYTES_MAX;
}

/* As words in `reason`. */
static int file_refused(long status, const struct text *answer, char reason[CLIENT_REASON_BYTES])
{
    struct text words = {0};
    client_refusal_add(status, answer->bytes ? answer->bytes : "", answer->count, &words);
    snprintf(reason, CLIENT_REASON_BYTES, "%.*s", (int)words.count, words.bytes ? words.bytes : "");
    text_finish(&words);
    return -EPROTO;
}

/* What the server calls it is the `path` of its answer. */
static int file_item_add(const struct text *answer, const char *name, struct text *item,
                         char reason[CLIENT_REASON_BYTES])
{
    struct json_view said, path;
    struct json_error error;
    if (json_view_parse(&said, answer->bytes ? answer->bytes : "", answer->count, &error) < 0 ||
        !json_view_member(&said, "path", &path) || !json_view_is_string(&path)) {
        snprintf(reason, CLIENT_REASON_BYTES, "the server does not say where the file is");
        return -EPROTO;
    }
    text_add(item, "{\"type\":\"file\",\"value\":null,\"file_name\":");
    text_add_json(item, name, strlen(name));
    text_add(item, ",\"file_path\":%.*s}", (int)path.bytes, path.text);
    return item->failed ? -ENOMEM : 0;
}

static int file_upload(const struct client_files *files, const char *path, struct text *item,
                       char reason[CLIENT_REASON_BYTES])
{
    uint64_t bytes;
    int fd = file_open(path, &bytes, reason);
    if (fd < 0)
        return fd;
    const char *slash = strrchr(path, '/');
    const char *name = strcmp(path, "-") == 0 ? "stdin" : slash ? slash + 1 : path;
    struct client_file file = {
        .name = name, .fd = fd, .bytes = bytes, .told = files->told, .context = files->context};
    struct client_answer end;
    struct text answer = {0};
    int rc = client_upload(files->client, "/v4/files", &file, on_answer, &answer, &end, reason);
    close(fd);
    files_told_end(files, name);
    if (rc == 0 && end.status != 200 && end.status != 201)
        rc = file_refused(end.status, &answer, reason);
    if (rc == 0)
        rc = file_item_add(&answer, name, item, reason);
    text_finish(&answer);
    return rc;
}

/* ---- outputs ------------------------------------------------------------------------------- */

/* A member's characters and a NUL; "" when it is no string. The caller finishes `text`. */
static const char *file_member(const struct json_view *file, const char *key, struct text *text)
{
    struct json_view value;
    if (json_view_member(file, key, &value) && json_view_is_string(&value))
        json_view_string(&value, text);
    text_add_bytes(text, "", 1);
    return text->failed ? "" : text->bytes;
}

int client_file_save(const struct client_files *files, const struct json_view *file,
                     struct text *path, char reason[CLIENT_REASON_BYTES])
{
    struct saved saved = {.files = files, .fd = -1, .bytes_expected = UINT64_MAX};
    struct json_view size;
    double bytes;
    struct text name = {0};
    file_member(file, "name", &name);
    file_name_make(name.bytes ? name.bytes : "", name.count > 0 ? name.count - 1 : 0, saved.name);
    text_finish(&name);
    if (json_view_member(file, "size", &size) && json_view_number(&size, &bytes) && bytes >= 0 &&
        bytes < 9e15)
        saved.bytes_expected = (uint64_t)bytes;
    char why[CLIENT_REASON_BYTES] = "no memory";
    int rc = saved_open(&saved, why);
    if (rc == 0)
        rc = saved_fill(&saved, file, why);
    if (rc < 0)
        snprintf(reason, CLIENT_REASON_BYTES, "%.300s: %.200s",
                 saved.path ? saved.path : saved.name, why);
    if (rc == 0)
        text_add(path, "%s", saved.path);
    else if (saved.fd != -1)
        unlink(saved.path);
    text_finish(&saved.refusal);
    free(saved.path);
    return rc == 0 && path->failed ? -ENOMEM : rc;
}

/* photo.png, and where that is taken photo-1.png, photo-2.png. */
static int saved_open(struct saved *saved, char reason[CLIENT_REASON_BYTES])
{
    const char *folder = saved->files->folder ? saved->files->folder : "";
    const size_t folder_bytes = strlen(folder);
    const char *slash = folder_bytes > 0 && folder[folder_bytes - 1] != '/' ? "/" : "";
    const char *dot = strrchr(saved->name, '.');
    const int stem_bytes = (int)(dot ? (size_t)(dot - saved->name) : strlen(saved->name));
    for (unsigned number = 0; number < NAMESAKES_MAX; number++) {
        char ending[16] = "";
        if (number > 0)
            snprintf(ending, sizeof ending, "-%u", number);
        free(saved->path);
        if (asprintf(&saved->path, "%s%s%.*s%s%s", folder, slash, stem_bytes, saved->name, ending,
                     dot ? dot : "") == -1) {
            saved->path = NULL;
            return -ENOMEM;
        }
        saved->fd = open(saved->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (saved->fd != -1)
            return 0;
        if (errno != EEXIST)
            break;
    }
    const int error = errno;
    snprintf(reason, CLIENT_REASON_BYTES, "%s", strerror(error));
    return -error;
}

static bool on_saved(void *context, long status, const char *bytes, size_t count)
{
    struct saved *saved = context;
    if (status != 200)
        return on_answer(&saved->refusal, status, bytes, count);
    while (count > 0) {
        ssize_t written = write(saved->fd, bytes, count);
        if (written == -1 && errno == EINTR)
            continue;
        if (written == -1) {
            saved->error = errno;
            return false;
        }
        bytes += written;
        count -= (size_t)written;
        saved->bytes += (uint64_t)written;
    }
    const struct client_files *files = saved->files;
    if (files->told)
        files->told(files->context, saved->name, saved->bytes, saved->bytes_expected);
    return true;
}

/* A path that is an id is one of the server that was asked, whatever the host in the URL. */
static int saved_request(struct saved *saved, const char *id, const char *url,
                         struct client_answer *end, char reason[CLIENT_REASON_BYTES])
{
    struct client *client = saved->files->client;
    char path[ID_BYTES_MAX + 32];
    const size_t id_bytes = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789_");
    if (id_bytes > 0 && id_bytes <= ID_BYTES_MAX && id[id_bytes] == '\0') {
        snprintf(path, sizeof path, "/v4/files/download/%s", id);
        return client_request(client, path, NULL, 0, on_saved, saved, end, reason);
    }
    if (file_is_url(url))
        return client_fetch(client, url, on_saved, saved, end, reason);
    snprintf(reason, CLIENT_REASON_BYTES, "the server does not say where the file is");
    return -EPROTO;
}

static int saved_fill(struct saved *saved, const struct json_view *file,
                      char reason[CLIENT_REASON_BYTES])
{
    struct text id = {0}, url = {0};
    struct client_answer end = {0};
    int rc = saved_request(saved, file_member(file, "path", &id), file_member(file, "url", &url),
                           &end, reason);
    files_told_end(saved->files, saved->name);
    text_finish(&id);
    text_finish(&url);
    if (rc == 0 && end.status != 200)
        rc = file_refused(end.status, &saved->refusal, reason);
    if (rc == 0 && saved->bytes_expected != UINT64_MAX && saved->bytes != saved->bytes_expected) {
        snprintf(reason, CLIENT_REASON_BYTES, "%llu bytes came, of %llu",
                 (unsigned long long)saved->bytes, (unsigned long long)saved->bytes_expected);
        rc = -EPIPE;
    }
    /* Some file systems say only here that they are full. */
    if (close(saved->fd) == -1 && saved->error == 0)
        saved->error = errno;
    if (saved->error != 0) {
        snprintf(reason, CLIENT_REASON_BYTES, "%s", strerror(saved->error));
        rc = -saved->error;
    }
    return rc;
}
