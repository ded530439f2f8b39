/* SPDX-License-Identifier: MIT */
/* environment_said.c - --env and --env-file become the variables of each pipeline. */
#include "dispatcher/config/environment_said.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/config/config.h"
#include "dispatcher/config/refuse.h"
#include "dispatcher/text/whole_file.h"

#define BYTE_ORDER_MARK "\xef\xbb\xbf"

static int said_twice_check(const struct said *said, uint32_t number,
                            char reason[CLI_REASON_BYTES]);
static int said_merge(struct config *config, const struct saying *saying,
                      char reason[CLI_REASON_BYTES]);
static int file_lines_add(struct environment *environment, const char *path, char *text,
                          size_t bytes, char reason[CLI_REASON_BYTES]);

/* The later ones take the place of those before. */
static const struct {
    const char *option;
    bool has_pointer;
} levels[] = {{"env-file", false}, {"env", false}, {"env-file", true}, {"env", true}};

int environment_said_fill(struct config *config, char reason[CLI_REASON_BYTES])
{
    const struct said *said = &config->said;
    for (size_t level = 0; level < ARRAY_COUNT(levels); level++) {
        for (uint32_t i = 0; i < said->count; i++) {
            const struct saying *saying = &said->items[i];
            if (strcmp(saying->option->name, levels[level].option) != 0 ||
                (saying->pointer_bytes > 0) != levels[level].has_pointer)
                continue;
            int rc = said_twice_check(said, i, reason);
            if (rc == 0)
                rc = said_merge(config, saying, reason);
            if (rc < 0) {
                said_blame(said, saying, reason);
                return rc;
            }
        }
    }
    return 0;
}

int environment_said_add(struct environment *environment, const char *text,
                         char reason[CLI_REASON_BYTES])
{
    size_t name_bytes = environment_name_bytes(text);
    int shown = (int)(name_bytes < 64 ? name_bytes : 64);
    char *item = NULL, why[CLI_REASON_BYTES];
    if (name_bytes > 0 && text[name_bytes] == '\0') {
        const char *value = getenv(text);
        if (!value)
            return refuse(reason,
                          "--env %.*s: this server has no such variable (%.*s= is an empty one)",
                          shown, text, shown, text);
        if (asprintf(&item, "%s=%s", text, value) == -1) {
            snprintf(reason, CLI_REASON_BYTES, "no memory");
            return -ENOMEM;
        }
    }
    int rc = environment_add(environment, item ? item : text, why);
    free(item);
    if (rc < 0)
        snprintf(reason, CLI_REASON_BYTES, "--env%s%.*s: %.800s", shown > 0 ? " " : "", shown, text,
                 why);
    return rc;
}

int environment_said_check(const char *text, char reason[CLI_REASON_BYTES])
{
    struct environment unused = {0};
    int rc = environment_said_add(&unused, text, reason);
    environment_finish(&unused);
    return rc;
}

int environment_file_add(struct environment *environment, const char *path,
                         char reason[CLI_REASON_BYTES])
{
    char *text;
    size_t bytes;
    int rc = whole_file_read(path, ENVIRONMENT_FILE_BYTES_MAX, &text, &bytes);
    if (rc == -ENOMEM) {
        snprintf(reason, CLI_REASON_BYTES, "no memory");
        return rc;
    }
    if (rc == -EFBIG)
        return refuse(reason, "--env-file %.512s: it is larger than %u bytes", path,
                      ENVIRONMENT_FILE_BYTES_MAX);
    if (rc < 0)
        return refuse(reason, "--env-file %.512s: %s", path, strerror(-rc));
    rc = file_lines_add(environment, path, text, bytes, reason);
    free(text);
    return rc;
}

/* ---- what is said -------------------------------------------------------------------------- */

/* Whether a name is said for the first time with its pointer. */
static int said_twice_check(const struct said *said, uint32_t number, char reason[CLI_REASON_BYTES])
{
    const struct saying *saying = &said->items[number];
    size_t name_bytes = environment_name_bytes(saying->value);
    if (saying->pointer_bytes == 0 || strcmp(saying->option->name, "env") != 0)
        return 0;
    for (uint32_t i = 0; i < number; i++) {
        const struct saying *other = &said->items[i];
        if (other->option == saying->option && other->pointer_bytes == saying->pointer_bytes &&
            memcmp(other->pointer, saying->pointer, saying->pointer_bytes) == 0 &&
            environment_name_bytes(other->value) == name_bytes &&
            memcmp(other->value, saying->value, name_bytes) == 0)
            return refuse(reason, "--env %.*s is said twice for %.*s",
                          (int)(name_bytes < 64 ? name_bytes : 64), saying->value,
                          (int)saying->pointer_bytes, saying->pointer);
    }
    return 0;
}

/* Into the variables of those that it is for. */
static int said_merge(struct config *config, const struct saying *saying,
                      char reason[CLI_REASON_BYTES])
{
    struct environment own = {0};
    bool is_file = strcmp(saying->option->name, "env-file") == 0;
    int rc = is_file ? environment_file_add(&own, saying->value, reason)
                     : environment_said_add(&own, saying->value, reason);
    for (uint32_t i = 0; i < config->pipeline_count && rc == 0; i++) {
        struct pipeline_config *pipeline = &config->pipelines[i];
        char why[CLI_REASON_BYTES];
        if (!said_is_for(saying, pipeline->pointer))
            continue;
        rc = environment_merge(&pipeline->environment, &own, why);
        if (rc < 0)
            snprintf(reason, CLI_REASON_BYTES, "%s: --%s: %.500s", pipeline->pointer,
                     saying->option->name, why);
    }
    environment_finish(&own);
    return rc;
}

/* ---- a file -------------------------------------------------------------------------------- */

static int file_line_add(struct environment *environment, char *line, size_t bytes,
                         char reason[CLI_REASON_BYTES])
{
    if (bytes > 0 && line[bytes - 1] == '\r')
        bytes--;
    line[bytes] = '\0';
    if (strlen(line) != bytes)
        return refuse(reason, "it has a NUL byte");
    line += strspn(line, " \t");
    return *line == '\0' || *line == '#' ? 0 : environment_add(environment, line, reason);
}

static int file_lines_add(struct environment *environment, const char *path, char *text,
                          size_t bytes, char reason[CLI_REASON_BYTES])
{
    size_t mark = strlen(BYTE_ORDER_MARK), number = 0;
    size_t start = bytes >= mark && memcmp(text, BYTE_ORDER_MARK, mark) == 0 ? mark : 0;
    while (start < bytes) {
        char *end = memchr(text + start, '\n', bytes - start);
        size_t line_bytes = end ? (size_t)(end - (text + start)) : bytes - start;
        char why[CLI_REASON_BYTES];
        number++;
        int rc = file_line_add(environment, text + start, line_bytes, why);
        if (rc < 0) {
            snprintf(reason, CLI_REASON_BYTES, "--env-file %.512s:%zu: %.400s", path, number, why);
            return rc;
        }
        start += line_bytes + 1;
    }
    return 0;
}
