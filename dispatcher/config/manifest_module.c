/* SPDX-License-Identifier: MIT */
/* manifest_module.c - where in a folder the module of a pipeline is. */
#include "dispatcher/config/manifest_module.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int module_compiled_find(const char *stem, char **path);

int manifest_module_find(const char *folder, const char *module, char **path)
{
    static const char *const ends[] = {"/__init__.py", ".py"};
    char *stem;
    int rc = -ENOENT;
    if (asprintf(&stem, "%s/%s", folder, module) == -1)
        return -ENOMEM;
    for (char *at = stem + strlen(folder); *at != '\0'; at++)
        *at = *at == '.' ? '/' : *at;
    for (size_t i = 0; i < ARRAY_COUNT(ends) && rc == -ENOENT; i++) {
        char *found;
        if (asprintf(&found, "%s%s", stem, ends[i]) == -1) {
            rc = -ENOMEM;
        } else if (access(found, F_OK) == 0) {
            *path = found;
            rc = 0;
        } else {
            free(found);
        }
    }
    if (rc == -ENOENT)
        rc = module_compiled_find(stem, path);
    free(stem);
    return rc;
}

int manifest_object_find(const char *folder, const char *name, char **path)
{
    char *found;
    if (asprintf(&found, "%s/%s", folder, name) == -1)
        return -ENOMEM;
    if (access(found, F_OK) == 0) {
        *path = found;
        return 0;
    }
    free(found);
    return -ENOENT;
}

/* stem.so, stem.pyc, and stem.cpython-311-x86_64-linux-gnu.so, say. */
static int module_compiled_find(const char *stem, char **path)
{
    const char *slash = strrchr(stem, '/');
    size_t folder_bytes = (size_t)(slash - stem), bytes = strlen(slash + 1);
    char *folder = strndup(stem, folder_bytes);
    DIR *entries = folder ? opendir(folder) : NULL;
    int rc = folder ? -ENOENT : -ENOMEM;
    const struct dirent *entry;
    while (entries && rc == -ENOENT && (entry = readdir(entries)) != NULL) {
        const char *end = strrchr(entry->d_name, '.');
        if (strncmp(entry->d_name, slash + 1, bytes) != 0 || entry->d_name[bytes] != '.' ||
            (strcmp(end, ".so") != 0 && strcmp(end, ".pyc") != 0))
            continue;
        rc = asprintf(path, "%s/%s", folder, entry->d_name) == -1 ? -ENOMEM : 0;
    }
    if (entries)
        closedir(entries);
    free(folder);
    return rc;
}
