/* SPDX-License-Identifier: MIT */
/* device_template.c - {index} and so on in the value of a variable. */
#include "dispatcher/config/device_template.h"

#include <string.h>

#include "dispatcher/config/refuse.h"

static const char *const names[DEVICE_FIELD_COUNT + 1] = {
    [DEVICE_FIELD_KIND] = "kind", [DEVICE_FIELD_INDEX] = "index", [DEVICE_FIELD_UUID] = "uuid",
    [DEVICE_FIELD_PCI] = "pci",   [DEVICE_FIELD_CORES] = "cores", [DEVICE_FIELD_NUMA] = "numa",
};

/* The field that begins at a brace, and where it ends; DEVICE_FIELD_COUNT: none does. */
static enum device_field template_field(const char *brace, const char **end)
{
    size_t bytes = strcspn(brace + 1, "{}");
    if (brace[1 + bytes] != '}')
        return DEVICE_FIELD_COUNT;
    *end = brace + bytes + 2;
    for (int i = 0; i < DEVICE_FIELD_COUNT; i++)
        if (strlen(names[i]) == bytes && memcmp(names[i], brace + 1, bytes) == 0)
            return (enum device_field)i;
    return DEVICE_FIELD_COUNT;
}

int device_template_check(const char *text, char reason[CLI_REASON_BYTES])
{
    while (*(text += strcspn(text, "{}")) != '\0') {
        if (text[0] == text[1]) {
            text += 2;
            continue;
        }
        if (*text == '}' || template_field(text, &text) == DEVICE_FIELD_COUNT)
            return refuse(reason, "in braces it has something else than {kind}, {index}, {uuid}, "
                                  "{pci}, {cores} or {numa}; {{ and }} stand for braces");
    }
    return 0;
}

void device_template_add(struct text *out, const char *text,
                         const char *const values[DEVICE_FIELD_COUNT])
{
    while (*text != '\0') {
        size_t bytes = strcspn(text, "{}");
        text_add_bytes(out, text, bytes);
        text += bytes;
        if (*text == '\0')
            break;
        if (text[0] == text[1]) {
            text_add_bytes(out, text, 1);
            text += 2;
            continue;
        }
        enum device_field field = template_field(text, &text);
        mr_assert(field != DEVICE_FIELD_COUNT);
        text_add_bytes(out, values[field], strlen(values[field]));
    }
}
