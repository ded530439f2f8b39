/* SPDX-License-Identifier: MIT */
/* library.c - dlopen(), and a look-up of each function. */
#include "dispatcher/reactor/library.h"

#include <dlfcn.h>
#include <string.h>

static void *library_function_at(const struct library_function *function, const void *table)
{
    void *known;
    memcpy(&known, (const char *)table + function->offset, sizeof(known));
    return known;
}

const char *library_load_some(const char *library, const struct library_function *functions,
                              size_t count, void *table)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return dlerror();
    for (size_t i = 0; i < count; i++) {
        if (library_function_at(&functions[i], table))
            continue;
        void *function = dlsym(handle, functions[i].name);
        memcpy((char *)table + functions[i].offset, &function, sizeof(function));
    }
    return NULL;
}

const char *library_load(const char *library, const struct library_function *functions,
                         size_t count, void *table)
{
    const char *why = library_load_some(library, functions, count, table);
    for (size_t i = 0; !why && i < count; i++) {
        if (library_function_at(&functions[i], table))
            continue;
        /* Once more, for the words. */
        dlsym(dlopen(library, RTLD_NOW | RTLD_LOCAL), functions[i].name);
        why = dlerror();
    }
    return why;
}

/* The words of dlopen() also name a library that the wanted one needs; that is another thing. */
bool library_is_missing(const char *library, const char *why)
{
    static const char words[] = ": cannot open shared object file: No such file or directory";
    size_t bytes = strlen(library);
    return strncmp(why, library, bytes) == 0 && strcmp(why + bytes, words) == 0;
}
