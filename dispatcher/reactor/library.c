/* SPDX-License-Identifier: MIT */
/* library.c - dlopen(), and a look-up of each function. */
#include "dispatcher/reactor/library.h"

#include <dlfcn.h>
#include <string.h>

static bool library_is_filled(const struct library_function *function, const void *table)
{
    void *known;
    memcpy(&known, (const char *)table + function->offset, sizeof(known));
    return known != NULL;
}

/* Whether two neighbours are for the same place. */
static bool library_is_shared(const struct library_function *functions, size_t i, size_t count)
{
    return i + 1 < count && functions[i].offset == functions[i + 1].offset;
}

static const char *library_fill(const char *library, const struct library_function *functions,
                                size_t count, void *table, bool needs_all)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return dlerror();
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && library_is_shared(functions, i - 1, count) &&
            library_is_filled(&functions[i], table))
            continue;
        void *function = dlsym(handle, functions[i].name);
        if (!function && needs_all && !library_is_shared(functions, i, count))
            return dlerror();
        memcpy((char *)table + functions[i].offset, &function, sizeof(function));
    }
    return NULL;
}

const char *library_load(const char *library, const struct library_function *functions,
                         size_t count, void *table)
{
    return library_fill(library, functions, count, table, true);
}

const char *library_load_some(const char *library, const struct library_function *functions,
                              size_t count, void *table)
{
    return library_fill(library, functions, count, table, false);
}

/* The words of dlopen() also name a library that the wanted one needs; that is another thing. */
bool library_is_missing(const char *library, const char *why)
{
    static const char words[] = ": cannot open shared object file: No such file or directory";
    size_t bytes = strlen(library);
    return strncmp(why, library, bytes) == 0 && strcmp(why + bytes, words) == 0;
}
