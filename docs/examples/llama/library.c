/* SPDX-License-Identifier: MIT */
/*
 * library.c - finds libllama, and each function of it.
 */
#include "library.h"

#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>

#define PATH_BYTES 4096

struct library library;

static char last_error[512];

static void hear(enum ggml_log_level level, const char *text, void *unused)
{
    (void)unused;
    if (level != GGML_LOG_LEVEL_ERROR)
        return;
    int count = (int)strcspn(text, "\n");
    snprintf(last_error, sizeof last_error, "%.*s", count, text);
    mr_log(MR_LOG_ERROR, "%.*s", count, text);
}

/* Packages give it a longer name, like libllama.vulkan.v0.4.0.so. */
static void find(const char *folder, char *path)
{
    static const char *const patterns[] = {"libllama.so", "libllama.so.*", "libllama.*so"};
    snprintf(path, PATH_BYTES, "%s/libllama.so", folder);
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        char pattern[PATH_BYTES];
        snprintf(pattern, sizeof pattern, "%s/%s", folder, patterns[i]);
        glob_t found;
        int rc = glob(pattern, 0, NULL, &found);
        if (rc == 0)
            snprintf(path, PATH_BYTES, "%s", found.gl_pathv[0]);
        globfree(&found);
        if (rc == 0)
            return;
    }
}

/* Functions of ggml are found in the libraries that libllama itself needs. */
static const char *take_functions(void *handle)
{
#define LIBRARY_TAKE(name)                                                                         \
    *(void **)&library.name = dlsym(handle, #name);                                                \
    if (!library.name)                                                                             \
        return #name;
    LIBRARY_FUNCTIONS(LIBRARY_TAKE)
    return NULL;
}

/* Some that build it put a word behind: 0.4.0-dev. */
static bool is_release(const char *version)
{
    const size_t count = strlen(LLAMA_RELEASE);
    return strncmp(version, LLAMA_RELEASE, count) == 0 &&
           (version[count] == '\0' || version[count] == '-');
}

int library_open(struct mr_call *call, const char *folder)
{
    char path[PATH_BYTES] = "libllama.so";
    if (folder)
        find(folder, path);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return mr_fail(call, MR_ERROR_STARTUP, "%s", dlerror());
    const char *missing = take_functions(handle);
    if (missing)
        return mr_fail(call, MR_ERROR_STARTUP, "%s has no %s: it is not of release " LLAMA_RELEASE,
                       path, missing);
    if (!is_release(library.llama_version()))
        return mr_fail(call, MR_ERROR_STARTUP,
                       "%s is of release %s; the pipeline was compiled for " LLAMA_RELEASE, path,
                       library.llama_version());
    library.llama_log_set(hear, NULL);
    if (folder)
        library.ggml_backend_load_all_from_path(folder);
    else
        library.ggml_backend_load_all();
    library.llama_backend_init();
    return 0;
}

const char *library_error(void)
{
    return last_error;
}

void library_forget_error(void)
{
    last_error[0] = '\0';
}
