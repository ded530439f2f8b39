/* SPDX-License-Identifier: MIT */
/* serve_again.c - what is read at the start is read again, and nothing is said on stderr. */
#include "dispatcher/cli/serve/serve_again.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dispatcher/cli/serve/serve_config.h"
#include "dispatcher/config/exit_code.h"

#define NO_MEMORY "not enough memory\n"

int serve_words_keep(struct serve_words *words, int argc, char **argv)
{
    size_t bytes = ((size_t)argc + 1) * sizeof *words->items;
    *words = (struct serve_words){.count = argc, .items = malloc(bytes)};
    if (!words->items)
        return -ENOMEM;
    memcpy(words->items, argv, (size_t)argc * sizeof *words->items);
    return 0;
}

void serve_words_finish(struct serve_words *words)
{
    free(words->items);
    *words = (struct serve_words){0};
}

/* Paths that begin at the file's folder are compared as texts: what is the same file, or beside it,
 * is named as the command line would. */
static const char *again_name(const char *said, const char *path)
{
    char here[PATH_MAX];
    struct stat one, other;
    if (stat(said, &one) == 0 && stat(path, &other) == 0 && one.st_dev == other.st_dev &&
        one.st_ino == other.st_ino)
        return said;
    if (*said == '/' || !getcwd(here, sizeof here))
        return path;
    size_t bytes = strlen(here);
    return strncmp(path, here, bytes) == 0 && path[bytes] == '/' ? path + bytes + 1 : path;
}

static int again_fill(struct serve_values *values, struct serve_words *said, const char *path)
{
    char reason[CLI_REASON_BYTES];
    struct cli_words words;
    int rc = cli_parse(&serve_command, said->count, said->items, values, &words, reason);
    if (rc < 0) {
        fprintf(values->complaints, "%s\n", reason);
        return rc;
    }
    mr_assert(rc == 0); /* it asks for no help, as at the start */
    if (path) {
        char *copy = strdup(again_name(values->config_path, path));
        if (!copy || config_text_adopt(&values->config, copy) < 0) {
            fprintf(values->complaints, NO_MEMORY);
            return -ENOMEM;
        }
        values->config_path = copy;
    }
    return serve_config_fill(values, &words) == EXIT_CODE_OK ? 0 : -EINVAL;
}

int serve_again(void *owner, const char *path, struct config **out, FILE *complaints)
{
    const struct serve_words *words = owner;
    struct serve_words said = {0};
    struct serve_values *values = malloc(sizeof *values);
    struct config *config = malloc(sizeof *config);
    int rc = values && config ? serve_words_keep(&said, words->count, words->items) : -ENOMEM;
    if (rc < 0) {
        fprintf(complaints, NO_MEMORY);
        free(values);
        free(config);
        return rc;
    }
    serve_values_init(values);
    values->complaints = complaints;
    rc = again_fill(values, &said, path);
    if (rc == 0) {
        *config = values->config;
        *out = config;
    } else {
        config_finish(&values->config);
        free(config);
    }
    serve_words_finish(&said);
    free(values);
    return rc;
}
