/* SPDX-License-Identifier: MIT */
/* device.c - three variables, copied: a pipeline may write over its environment. */
#include "worker/native/device.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static char kind[16];
static char uuid[128];
static struct mr_device_info device;

static const char *device_copy(char *out, size_t room, const char *name);
static bool device_number(int *out, const char *name);

void device_read(void)
{
    struct mr_device_info found = {.uuid = device_copy(uuid, sizeof uuid, "MILLRACE_DEVICE_UUID")};
    found.kind = device_copy(kind, sizeof kind, "MILLRACE_DEVICE_KIND");
    if (!device_number(&found.index, "MILLRACE_DEVICE_INDEX"))
        found.kind = NULL;
    device = found;
}

const struct mr_device_info *device_own(void)
{
    return device.kind ? &device : NULL;
}

/* What is cut names nothing: as if it were missing. */
static const char *device_copy(char *out, size_t room, const char *name)
{
    const char *text = getenv(name);
    int bytes = snprintf(out, room, "%s", text ? text : "");
    return bytes > 0 && (size_t)bytes < room ? out : NULL;
}

static bool device_number(int *out, const char *name)
{
    const char *text = getenv(name);
    if (!text || *text < '0' || *text > '9')
        return false;
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno != 0 || *end != '\0' || number > INT_MAX)
        return false;
    *out = (int)number;
    return true;
}
