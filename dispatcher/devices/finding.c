/* SPDX-License-Identifier: MIT */
/* finding.c - what the scanner has found so far. */
#include "dispatcher/devices/finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/reactor/library.h"
#include "millrace/check.h"

struct device *finding_next(struct finding *finding, enum device_kind kind)
{
    if (finding->count == DEVICE_COUNT_MAX) {
        finding->left_out++;
        return NULL;
    }
    struct device *device = &finding->devices[finding->count];
    *device = (struct device){.kind = kind, .index = finding->count, .numa_node = -1};
    return device;
}

void finding_keep(struct finding *finding)
{
    mr_assert(finding->count < DEVICE_COUNT_MAX);
    struct device *device = &finding->devices[finding->count++];
    /* What no device has is not known. */
    if (device->memory_bytes > DEVICE_BYTES_MAX)
        device->memory_bytes = 0;
    if (device->memory_free_bytes > DEVICE_BYTES_MAX)
        device->memory_free_bytes = 0;
}

void finding_say(struct finding *finding, const char *format, ...)
{
    char words[SCAN_REASON_BYTES];
    size_t used = strlen(finding->reason);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof(words), format, arguments);
    va_end(arguments);
    if (used > 0 && used + 2 < SCAN_REASON_BYTES) {
        memcpy(finding->reason + used, "; ", 3);
        used += 2;
    }
    device_text_copy(finding->reason + used, SCAN_REASON_BYTES - used, words, sizeof(words));
}

enum scan_message_kind finding_no_library(struct finding *finding, const char *library,
                                          const char *why)
{
    bool is_missing = library_is_missing(library, why);
    finding_say(finding, "%s", why);
    return is_missing ? SCAN_ABSENT : SCAN_FAILED;
}

void finding_uuids_check(struct finding *finding)
{
    bool is_shared[DEVICE_COUNT_MAX] = {false};
    for (uint32_t i = 0; i < finding->count; i++)
        for (uint32_t k = i + 1; k < finding->count; k++)
            if (strcmp(finding->devices[i].uuid, finding->devices[k].uuid) == 0)
                is_shared[i] = is_shared[k] = true;
    for (uint32_t i = 0; i < finding->count; i++)
        if (is_shared[i])
            finding->devices[i].uuid[0] = '\0';
}
