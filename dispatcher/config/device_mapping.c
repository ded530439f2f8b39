/* SPDX-License-Identifier: MIT */
/* device_mapping.c - a mapping becomes KIND:xN, KIND:WORD or KIND:PICK,PICK. */
#include "dispatcher/config/device_mapping.h"

#include <errno.h>
#include <string.h>

#include "dispatcher/config/refuse.h"
#include "dispatcher/text/text.h"

enum mapping_key { KEY_KIND = 0, KEY_COUNT, KEY_PER, KEY_INDEX, KEY_UUID, KEY_COUNT_OF_KEYS };

static const char *const names[KEY_COUNT_OF_KEYS + 1] = {
    [KEY_KIND] = "kind",   [KEY_COUNT] = "count", [KEY_PER] = "per",
    [KEY_INDEX] = "index", [KEY_UUID] = "uuid",
};

/* What is put before the value; of a list, each has a comma before it but the first one. */
static const char *const heads[KEY_COUNT_OF_KEYS] = {
    [KEY_KIND] = "", [KEY_COUNT] = ":x", [KEY_PER] = ":", [KEY_INDEX] = ":", [KEY_UUID] = ":"};

static int mapping_key_find(const char *name)
{
    for (int i = 0; i < KEY_COUNT_OF_KEYS; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

static int mapping_value_add(struct text *text, const struct document *document, uint32_t node,
                             enum mapping_key key, char reason[CLI_REASON_BYTES])
{
    enum document_kind kind = document_kind_of(document, node);
    bool may_be_list = key == KEY_INDEX || key == KEY_UUID;
    text_add(text, "%s", heads[key]);
    if (kind == DOCUMENT_VALUE && !document_is_null(document, node)) {
        text_add(text, "%s", document_text(document, node));
        return 0;
    }
    if (kind != DOCUMENT_LIST || !may_be_list || document_count(document, node) == 0)
        return refuse(reason, "devices: %s is %s", names[key],
                      may_be_list ? "one value or a list of values" : "one value");
    for (uint32_t i = 0; i < document_count(document, node); i++) {
        uint32_t item = document_item(document, node, i);
        if (document_kind_of(document, item) != DOCUMENT_VALUE)
            return refuse(reason, "devices: %s is one value or a list of values", names[key]);
        text_add(text, "%s%s", i > 0 ? "," : "", document_text(document, item));
    }
    return 0;
}

/* The members by their keys; UINT32_MAX: it is not there. */
static int mapping_members(const struct document *document, uint32_t node,
                           uint32_t members[KEY_COUNT_OF_KEYS], uint32_t *at,
                           char reason[CLI_REASON_BYTES])
{
    uint32_t of_which_count = 0;
    for (int i = 0; i < KEY_COUNT_OF_KEYS; i++)
        members[i] = UINT32_MAX;
    for (uint32_t i = 0; i < document_count(document, node); i++) {
        *at = document_key(document, node, i);
        const char *name = document_text(document, *at), *nearest = cli_nearest(name, names);
        int key = mapping_key_find(name);
        if (key < 0)
            return refuse(reason, "devices: unknown key \"%.100s\"%s%s%s", name,
                          nearest ? " (nearest: " : "", nearest ? nearest : "", nearest ? ")" : "");
        members[key] = document_member(document, node, i);
        of_which_count += key != KEY_KIND;
    }
    *at = node;
    if (members[KEY_KIND] == UINT32_MAX)
        return refuse(reason, "devices has no kind, like {kind: vulkan, count: 4}");
    return of_which_count > 1
               ? refuse(reason, "devices: only one of count, per, index and uuid can be there")
               : 0;
}

int device_mapping_text(const struct document *document, uint32_t node, char **out, uint32_t *at,
                        char reason[CLI_REASON_BYTES])
{
    uint32_t members[KEY_COUNT_OF_KEYS];
    struct text text = {0};
    int rc = mapping_members(document, node, members, at, reason);
    for (int i = 0; i < KEY_COUNT_OF_KEYS && rc == 0; i++) {
        if (members[i] == UINT32_MAX)
            continue;
        *at = members[i];
        rc = mapping_value_add(&text, document, members[i], (enum mapping_key)i, reason);
    }
    text_add_bytes(&text, "", 1);
    if (rc == 0 && text.failed) {
        snprintf(reason, CLI_REASON_BYTES, "no memory");
        rc = -ENOMEM;
    }
    *out = NULL;
    if (rc == 0)
        *out = text.bytes;
    else
        text_finish(&text);
    return rc;
}
