/* SPDX-License-Identifier: MIT */
/*
 * cmd_init.c - `millrace init`: writes a small pipeline that works, for its author to go on from.
 *
 * Nothing that is there is written over. What was written goes again when not all of it could be.
 */
#include "dispatcher/cli/commands.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dispatcher/cli/init_files.h"
#include "dispatcher/config/cli.h"
#include "dispatcher/config/exit_code.h"

#define NAME_BYTES_MAX 64u
#define NAME_USUAL "my-pipeline"

struct init_values {
    bool python;
    bool c;
};

static const struct cli_option options[] = {
    {"python", NULL, CLI_FLAG, CLI_MEMBER(struct init_values, python),
     .help = "a pipeline in Python, which it is if nothing is said"},
    {"c", NULL, CLI_FLAG, CLI_MEMBER(struct init_values, c), .help = "a pipeline in C"},
};

const struct cli_command init_command = {
    .name = "init",
    .words = "FOLDER",
    .about =
        "Writes a small pipeline that works into FOLDER, which is made, or is there and empty:\n"
        "the pipeline, a test, a pipeline.yaml and a README.md that says what to do with them.",
    .options = options,
    .option_count = ARRAY_COUNT(options),
    .word_count_min = 1,
    .word_count_max = 1,
    .words_are = CLI_WORDS_FILES,
};

/* The folder, while it is filled. */
struct init_folder {
    const char *path;
    char name[NAME_BYTES_MAX + 1]; /* of the pipeline */
    int fd;
    bool is_new;
};

static int init_folder_open(struct init_folder *folder);
static int init_folder_fill(const struct init_folder *folder, const struct init_file *files);
static void init_folder_empty(const struct init_folder *folder, const struct init_file *files,
                              const struct init_file *end);
static void init_name_make(const char *path, char name[NAME_BYTES_MAX + 1]);
static void init_next_print(const struct init_folder *folder, const struct init_file *files,
                            bool is_c);

int cmd_init(int argc, char **argv)
{
    struct init_values values = {0};
    struct cli_words words;
    int exit_code;
    if (!cli_begin(&init_command, argc, argv, &values, &words, &exit_code))
        return exit_code;
    if (values.c && values.python) {
        cli_fail("init: --c and --python are two pipelines");
        return EXIT_CODE_USAGE;
    }
    struct init_folder folder = {.path = words.items[0], .fd = -1};
    const struct init_file *files = values.c ? init_files_c : init_files_python;
    exit_code = init_folder_open(&folder);
    if (exit_code == EXIT_CODE_OK)
        exit_code = init_folder_fill(&folder, files);
    if (exit_code == EXIT_CODE_OK)
        init_next_print(&folder, files, values.c);
    if (folder.fd != -1)
        close(folder.fd);
    return exit_code;
}

/* ---- the folder ---------------------------------------------------------------------------- */

/* Whether nothing is in it; the first thing that is there is told. */
static bool init_folder_is_empty(const struct init_folder *folder)
{
    int fd = dup(folder->fd);
    DIR *entries = fd == -1 ? NULL : fdopendir(fd);
    const struct dirent *entry = NULL;
    if (!entries) {
        cli_fail("init: %s: %s", folder->path, strerror(errno));
        if (fd != -1)
            close(fd);
        return false;
    }
    do
        entry = readdir(entries);
    while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
    if (entry)
        cli_fail("init: %s is not empty: it has %s", folder->path, entry->d_name);
    closedir(entries);
    return !entry;
}

static int init_folder_open(struct init_folder *folder)
{
    folder->is_new = mkdir(folder->path, 0777) == 0;
    if (folder->is_new || errno == EEXIST)
        folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder->fd == -1) {
        cli_fail("init: %s: %s", folder->path, strerror(errno));
        return EXIT_CODE_FAILED;
    }
    init_name_make(folder->path, folder->name);
    return folder->is_new || init_folder_is_empty(folder) ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}

static bool init_file_write(FILE *file, const struct init_file *from, const char *name)
{
    const size_t mark_bytes = strlen(INIT_NAME_MARK);
    const char *at = from->text, *mark;
    while ((mark = memmem(at, (size_t)(from->end - at), INIT_NAME_MARK, mark_bytes))) {
        fwrite(at, 1, (size_t)(mark - at), file);
        fputs(name, file);
        at = mark + mark_bytes;
    }
    fwrite(at, 1, (size_t)(from->end - at), file);
    return !ferror(file);
}

/* 0 or an errno. */
static int init_file_create(const struct init_folder *folder, const struct init_file *from)
{
    int fd = openat(folder->fd, from->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    FILE *file = fd == -1 ? NULL : fdopen(fd, "w");
    if (!file) {
        int error = errno;
        if (fd != -1)
            close(fd);
        return error;
    }
    int error = init_file_write(file, from, folder->name) ? 0 : errno;
    if (fclose(file) == EOF && error == 0)
        error = errno;
    return error;
}

static int init_folder_fill(const struct init_folder *folder, const struct init_file *files)
{
    for (const struct init_file *file = files; file->name; file++) {
        int error = init_file_create(folder, file);
        if (error == 0)
            continue;
        cli_fail("init: %s/%s: %s", folder->path, file->name, strerror(error));
        /* One that was there by now is somebody else's. */
        init_folder_empty(folder, files, error == EEXIST ? file : file + 1);
        return EXIT_CODE_FAILED;
    }
    return EXIT_CODE_OK;
}

static void init_folder_empty(const struct init_folder *folder, const struct init_file *files,
                              const struct init_file *end)
{
    for (const struct init_file *file = files; file < end; file++)
        unlinkat(folder->fd, file->name, 0);
    if (folder->is_new)
        rmdir(folder->path);
}

/* ---- its name ------------------------------------------------------------------------------ */

static bool init_is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Of "./My chat!/" it is "My-chat": what a pointer can hold of the folder's own name. */
static void init_name_make(const char *path, char name[NAME_BYTES_MAX + 1])
{
    char *real = realpath(path, NULL);
    const char *text = real ? real : path;
    size_t bytes = strlen(text), count = 0;
    while (bytes > 0 && text[bytes - 1] == '/')
        bytes--;
    size_t start = bytes;
    while (start > 0 && text[start - 1] != '/')
        start--;
    for (size_t i = start; i < bytes && count < NAME_BYTES_MAX; i++) {
        const bool is_kept = init_is_alnum(text[i]) || text[i] == '_' || text[i] == '.';
        if (is_kept && (count > 0 || init_is_alnum(text[i])))
            name[count++] = text[i];
        else if (!is_kept && count > 0 && name[count - 1] != '-')
            name[count++] = '-';
    }
    while (count > 0 && !init_is_alnum(name[count - 1]))
        count--;
    name[count] = '\0';
    if (count == 0)
        memcpy(name, NAME_USUAL, sizeof NAME_USUAL);
    free(real);
}

static void init_next_print(const struct init_folder *folder, const struct init_file *files,
                            bool is_c)
{
    for (const struct init_file *file = files; file->name; file++) {
        cli_print(stdout, folder->path);
        printf("%s%s\n", folder->path[strlen(folder->path) - 1] == '/' ? "" : "/", file->name);
    }
    printf("local/%s:v1: README.md says how to %stest, check and serve it\n", folder->name,
           is_c ? "make, " : "");
}
