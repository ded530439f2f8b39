/* SPDX-License-Identifier: MIT */
/*
 * tokens.c - who may call: the token file, and the comparison in constant time.
 */
#include "dispatcher/config/tokens.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dispatcher/text/whole_file.h"

_Static_assert(sizeof(((struct token_entry *)0)->hash) == crypto_hash_sha256_BYTES, "SHA-256");

#define TOKEN_PREFIX "mr_"
#define TOKEN_RANDOM_BYTES 32u
#define TOO_LARGE "it is larger than %u bytes"

/* A line being read, without its end. */
struct token_line {
    const char *text;
    size_t bytes;
    size_t number; /* from 1 */
};

static int tokens_file_read(int fd, char **text, size_t *bytes, char *reason, size_t reason_bytes);
static int tokens_parse(struct tokens *out, const char *text, size_t bytes, char *reason,
                        size_t reason_bytes);
static int tokens_add(struct tokens *tokens, const struct token_line *line, char *reason,
                      size_t reason_bytes);
static int tokens_append_locked(int fd, const char *name, const char *hash, char *reason,
                                size_t reason_bytes);

static bool tokens_name_is_valid_bytes(const char *name, size_t bytes);

int tokens_load(struct tokens *out, const char *path, char *reason, size_t reason_bytes)
{
    char *text = NULL;
    size_t bytes = 0;
    int rc = whole_file_read(path, TOKEN_FILE_BYTES_MAX, &text, &bytes);
    if (rc == -EFBIG) {
        snprintf(reason, reason_bytes, TOO_LARGE, TOKEN_FILE_BYTES_MAX);
        return -EINVAL;
    }
    if (rc < 0)
        return rc;

    struct tokens loaded = {0};
    rc = tokens_parse(&loaded, text, bytes, reason, reason_bytes);
    free(text);
    if (rc == 0 && loaded.count == 0) {
        snprintf(reason, reason_bytes, "there is no token in it");
        rc = -EINVAL;
    }
    if (rc < 0) {
        tokens_finish(&loaded);
        return rc;
    }
    *out = loaded;
    return 0;
}

const struct token_entry *tokens_find(const struct tokens *tokens, const char *token, size_t count)
{
    uint8_t hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, (const unsigned char *)token, count);
    /* Every entry is compared and the match, of which there is one at most, is kept without a
     * branch. */
    size_t found = 0;
    for (size_t i = 0; i < tokens->count; i++) {
        size_t equal = sodium_memcmp(hash, tokens->entries[i].hash, sizeof(hash)) == 0;
        found |= (0 - equal) & (i + 1);
    }
    return found ? &tokens->entries[found - 1] : NULL;
}

static size_t tokens_place(const struct tokens *tokens, const char *name)
{
    size_t i = 0;
    while (i < tokens->count && strcmp(tokens->entries[i].name, name) != 0)
        i++;
    return i;
}

/* The names of `now`, in their places; none has a token. */
static int tokens_names_copy(struct tokens *out, const struct tokens *now, size_t count)
{
    *out = (struct tokens){.entries = calloc(count > 0 ? count : 1, sizeof *out->entries)};
    if (!out->entries)
        return -ENOMEM;
    for (; out->count < now->count; out->count++) {
        out->entries[out->count].class = now->entries[out->count].class;
        out->entries[out->count].name = strdup(now->entries[out->count].name);
        if (!out->entries[out->count].name) {
            tokens_finish(out);
            return -ENOMEM;
        }
    }
    return 0;
}

int tokens_follow(struct tokens *next, const struct tokens *now)
{
    struct tokens merged;
    size_t new_count = 0;
    for (size_t i = 0; i < next->count; i++)
        new_count += tokens_place(now, next->entries[i].name) == now->count;
    if (now->count + new_count > TOKEN_COUNT_MAX)
        return -ENOSPC;
    int rc = tokens_names_copy(&merged, now, now->count + new_count);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < next->count; i++) {
        size_t place = tokens_place(now, next->entries[i].name);
        place = place == now->count ? merged.count++ : place;
        free(merged.entries[place].name);
        merged.entries[place] = next->entries[i];
    }
    free(next->entries);
    *next = merged;
    return 0;
}

void tokens_finish(struct tokens *tokens)
{
    for (size_t i = 0; i < tokens->count; i++)
        free(tokens->entries[i].name);
    free(tokens->entries);
    *tokens = (struct tokens){0};
}

bool token_name_is_valid(const char *name)
{
    return tokens_name_is_valid_bytes(name, strlen(name));
}

int token_create(char token[TOKEN_BYTES], char hash[TOKEN_HASH_BYTES])
{
    if (sodium_init() == -1)
        return -EIO;
    uint8_t random[TOKEN_RANDOM_BYTES];
    randombytes_buf(random, sizeof(random));
    size_t prefix_bytes = strlen(TOKEN_PREFIX);
    memcpy(token, TOKEN_PREFIX, prefix_bytes);
    sodium_bin2base64(token + prefix_bytes, TOKEN_BYTES - prefix_bytes, random, sizeof(random),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(random, sizeof(random));
    token_hash(token, strlen(token), hash);
    return 0;
}

void token_hash(const char *text, size_t bytes, char hash[TOKEN_HASH_BYTES])
{
    uint8_t digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(digest, (const unsigned char *)text, bytes);
    sodium_bin2hex(hash, TOKEN_HASH_BYTES, digest, sizeof(digest));
}

int tokens_append(const char *path, const char *name, const char *hash, char *reason,
                  size_t reason_bytes)
{
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd == -1)
        return -errno;
    /* Between the look for the name and the write nobody else may add it. */
    int rc = flock(fd, LOCK_EX) == -1 ? -errno : 0;
    if (rc == 0)
        rc = tokens_append_locked(fd, name, hash, reason, reason_bytes);
    close(fd);
    return rc;
}

static bool tokens_name_is_valid_bytes(const char *name, size_t bytes)
{
    if (bytes == 0 || bytes > TOKEN_NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < bytes; i++) {
        char c = name[i];
        bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_word && c != '.' && c != '_' && c != '@' && c != '-')
            return false;
    }
    return true;
}

static int tokens_append_locked(int fd, const char *name, const char *hash, char *reason,
                                size_t reason_bytes)
{
    char *text = NULL;
    size_t bytes = 0;
    int rc = tokens_file_read(fd, &text, &bytes, reason, reason_bytes);
    if (rc < 0)
        return rc;
    bool ends_in_line = bytes == 0 || text[bytes - 1] == '\n';
    struct tokens present = {0};
    rc = tokens_parse(&present, text, bytes, reason, reason_bytes);
    free(text);
    for (size_t i = 0; i < present.count && rc == 0; i++)
        if (strcmp(present.entries[i].name, name) == 0)
            rc = -EEXIST;
    tokens_finish(&present);
    if (rc < 0)
        return rc;

    char line[TOKEN_NAME_BYTES_MAX + TOKEN_HASH_BYTES + 4];
    int length = snprintf(line, sizeof(line), "%s%s:%s\n", ends_in_line ? "" : "\n", name, hash);
    mr_assert(length > 0);
    mr_assert((size_t)length < sizeof(line));
    /* One write: a reader sees the whole line or none of it. A short one (disk full) is undone. */
    ssize_t written = write(fd, line, (size_t)length);
    if (written == length)
        return fsync(fd) == -1 ? -errno : 0;
    rc = written == -1 ? -errno : -ENOSPC;
    if (written > 0 && ftruncate(fd, (off_t)bytes) == -1)
        rc = -errno;
    return rc;
}

/* The whole file in malloc'ed memory that the caller owns. */
static int tokens_file_read(int fd, char **text, size_t *bytes, char *reason, size_t reason_bytes)
{
    char *memory = malloc(TOKEN_FILE_BYTES_MAX + 1);
    if (!memory)
        return -ENOMEM;
    size_t filled = 0;
    while (filled <= TOKEN_FILE_BYTES_MAX) {
        ssize_t count = read(fd, memory + filled, TOKEN_FILE_BYTES_MAX + 1 - filled);
        if (count == -1 && errno == EINTR)
            continue;
        if (count == -1) {
            int rc = -errno;
            free(memory);
            return rc;
        }
        if (count == 0)
            break;
        filled += (size_t)count;
    }
    if (filled > TOKEN_FILE_BYTES_MAX) {
        free(memory);
        snprintf(reason, reason_bytes, TOO_LARGE, TOKEN_FILE_BYTES_MAX);
        return -EINVAL;
    }
    *text = memory;
    *bytes = filled;
    return 0;
}

static int tokens_parse(struct tokens *out, const char *text, size_t bytes, char *reason,
                        size_t reason_bytes)
{
    size_t line_number = 0;
    for (size_t start = 0; start < bytes;) {
        const char *end = memchr(text + start, '\n', bytes - start);
        size_t length = end ? (size_t)(end - (text + start)) : bytes - start;
        struct token_line line = {text + start, length, ++line_number};
        start += length + 1;
        if (line.bytes > 0 && line.text[line.bytes - 1] == '\r')
            line.bytes--;
        if (line.bytes == 0 || line.text[0] == '#')
            continue;
        int rc = tokens_add(out, &line, reason, reason_bytes);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static bool tokens_hash_parse(uint8_t hash[crypto_hash_sha256_BYTES], const char *text,
                              size_t bytes)
{
    size_t parsed;
    return bytes == TOKEN_HASH_BYTES - 1 &&
           sodium_hex2bin(hash, crypto_hash_sha256_BYTES, text, bytes, NULL, &parsed, NULL) == 0 &&
           parsed == crypto_hash_sha256_BYTES;
}

/* The messages never quote what follows the colon: it may be a token put there by mistake. */
static int tokens_add(struct tokens *tokens, const struct token_line *line, char *reason,
                      size_t reason_bytes)
{
    const char *colon = memchr(line->text, ':', line->bytes);
    size_t name_bytes = colon ? (size_t)(colon - line->text) : line->bytes;
    const char *value = line->text + name_bytes + (colon ? 1 : 0);
    size_t value_bytes = line->bytes - name_bytes - (colon ? 1 : 0);
    struct token_entry entry = {0};
    const char *wrong = NULL;
    if (!colon)
        wrong = "it is not NAME:SHA256";
    else if (!tokens_name_is_valid_bytes(line->text, name_bytes))
        wrong = "the name is not 1 to 64 letters, digits and ._@-";
    else if (value_bytes >= strlen(TOKEN_PREFIX) &&
             memcmp(value, TOKEN_PREFIX, strlen(TOKEN_PREFIX)) == 0)
        wrong = "this is a token, the file holds its SHA-256 in hex";
    else if (!tokens_hash_parse(entry.hash, value, value_bytes))
        wrong = "after the colon there are not 64 hex digits";
    else if (tokens->count == TOKEN_COUNT_MAX)
        wrong = "too many tokens, at most 1024";
    for (size_t i = 0; i < tokens->count && !wrong; i++)
        if (strlen(tokens->entries[i].name) == name_bytes &&
            memcmp(tokens->entries[i].name, line->text, name_bytes) == 0)
            wrong = "another line has the same name";
        else if (memcmp(tokens->entries[i].hash, entry.hash, sizeof(entry.hash)) == 0)
            wrong = "another line has the same token";
    if (wrong) {
        snprintf(reason, reason_bytes, "line %zu: %s", line->number, wrong);
        return -EINVAL;
    }

    /* Doubling would be less work; the file is read once and holds few lines. */
    struct token_entry *entries =
        reallocarray(tokens->entries, tokens->count + 1, sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    tokens->entries = entries;
    entry.name = strndup(line->text, name_bytes);
    if (!entry.name)
        return -ENOMEM;
    entries[tokens->count++] = entry;
    return 0;
}
