/* SPDX-License-Identifier: MIT */
/* device.c - whether a device is what one can be. */
#include "dispatcher/devices/device.h"

#include <stdlib.h>
#include <string.h>

#include "dispatcher/text/utf8.h"
#include "millrace/check.h"

#define NUMBER_MAX 65535u /* of a core, or of a NUMA node */

#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* Whether it ends within `room`, and has these characters alone. */
static bool device_text_is_of(const char *text, size_t room, const char *characters)
{
    return memchr(text, '\0', room) && text[strspn(text, characters)] == '\0';
}

/* It becomes the value of a variable, where a comma would part two. */
static bool device_uuid_is_sound(const char uuid[DEVICE_UUID_BYTES])
{
    return device_text_is_of(uuid, DEVICE_UUID_BYTES, DIGITS LETTERS ":._/-");
}

static bool device_name_is_sound(const char name[DEVICE_NAME_BYTES])
{
    const char *end = memchr(name, '\0', DEVICE_NAME_BYTES);
    size_t shown = 1;
    for (const char *at = name; end && shown > 0 && at < end; at += shown)
        shown = utf8_shown_bytes(at, (size_t)(end - at));
    return end && shown > 0;
}

/* Each is a path that leads nowhere but below /dev: who has the device is given these. */
static bool device_nodes_are_sound(const char nodes[DEVICE_NODES_BYTES])
{
    static const char top[] = "/dev/";
    if (!device_text_is_of(nodes, DEVICE_NODES_BYTES, DIGITS LETTERS ":._/-"))
        return false;
    if (*nodes == '\0')
        return true;
    for (const char *node = nodes; node; node = strchr(node, ':')) {
        node += node != nodes; /* the colon */
        if (strncmp(node, top, strlen(top)) != 0)
            return false;
    }
    return !strstr(nodes, "/.") && !strstr(nodes, "//");
}

static bool device_list_is_sound(const char list[DEVICE_LIST_BYTES])
{
    return device_text_is_of(list, DEVICE_LIST_BYTES, DIGITS ",-");
}

bool device_is_sound(const struct device *device)
{
    return device->kind < DEVICE_KIND_COUNT && device->index < DEVICE_COUNT_MAX &&
           device->memory_bytes <= DEVICE_BYTES_MAX &&
           device->memory_free_bytes <= DEVICE_BYTES_MAX && device->numa_node >= -1 &&
           device_uuid_is_sound(device->uuid) && device_name_is_sound(device->name) &&
           device_text_is_of(device->pci, DEVICE_PCI_BYTES, DIGITS "abcdef:.") &&
           device_uuid_is_sound(device->parent) && device_list_is_sound(device->cores) &&
           device_list_is_sound(device->memory_nodes) && device_nodes_are_sound(device->nodes);
}

static bool device_is_digit(char letter)
{
    return letter >= '0' && letter <= '9';
}

bool device_list_take(const char **list, struct device_range *out)
{
    char *end;
    if (!device_is_digit(**list))
        return false;
    unsigned long first = strtoul(*list, &end, 10), last = first;
    if (*end == '-') {
        if (!device_is_digit(end[1]))
            return false;
        last = strtoul(end + 1, &end, 10);
    }
    if (first > last || last > NUMBER_MAX || (*end == ',' ? end[1] == '\0' : *end != '\0'))
        return false;
    *list = *end == ',' ? end + 1 : end;
    *out = (struct device_range){.first = (uint32_t)first, .last = (uint32_t)last};
    return true;
}

uint32_t device_list_count(const char *list)
{
    struct device_range range;
    uint32_t count = 0;
    while (device_list_take(&list, &range))
        count += range.last - range.first + 1;
    return *list == '\0' ? count : 0;
}

void device_text_copy(char *out, size_t room, const char *text, size_t bytes)
{
    size_t used = 0, count = strnlen(text, bytes), step;
    mr_assert(room > 0);
    for (size_t i = 0; i < count; i += step) {
        size_t shown = utf8_shown_bytes(text + i, count - i);
        step = shown > 0 ? shown : 1;
        if (used + step >= room)
            break;
        memcpy(out + used, shown > 0 ? text + i : "?", step);
        used += step;
    }
    out[used] = '\0';
}

bool device_is_same(const struct device *device, const struct device *other)
{
    if (device->kind != other->kind)
        return false;
    if (device->kind == DEVICE_CPU) /* a NUMA node and a core can have one index */
        return strcmp(device->cores, other->cores) == 0;
    if (device->uuid[0] != '\0' && other->uuid[0] != '\0')
        return strcmp(device->uuid, other->uuid) == 0;
    return device->index == other->index;
}
