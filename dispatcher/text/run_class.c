/* SPDX-License-Identifier: MIT */
/* run_class.c - the words of classes. */
#include "dispatcher/text/run_class.h"

#include <errno.h>
#include <string.h>

static const char *const names[RUN_CLASS_COUNT] = {
    "0", "1", "interactive", "3", "4", "5", "6", "batch", "8", "9",
};

int run_class_read(const char *text, size_t bytes, uint32_t *out)
{
    if (bytes == 1 && *text >= '0' && *text <= '9') {
        *out = (uint32_t)(*text - '0');
        return 0;
    }
    for (uint32_t i = 0; i < RUN_CLASS_COUNT; i++)
        if (strlen(names[i]) == bytes && memcmp(names[i], text, bytes) == 0) {
            *out = i;
            return 0;
        }
    return -EINVAL;
}

const char *run_class_name(uint32_t class)
{
    mr_assert(class < RUN_CLASS_COUNT);
    return names[class];
}
