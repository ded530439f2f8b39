/* SPDX-License-Identifier: MIT */
/* library.c - dlopen(), and a look-up of each function. */
#include "dispatcher/reactor/library.h"

#include <dlfcn.h>
#include <string.h>

const char *library_load(const char *library, const struct library_function *functions,
                         size_t count, void *table)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return dlerror();
    for (size_t i = 0; i < count; i++) {
        void *function = dlsym(handle, functions[i].name);
        if (!function)
            return dlerror();
        memcpy((char *)table + functions[i].offset, &function, sizeof(function));
    }
    return NULL;
}
