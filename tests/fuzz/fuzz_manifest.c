/* SPDX-License-Identifier: MIT */
/*
 * fuzz_manifest.c - any pipeline.yaml: refused with lines that say where, or what it says holds
 * together.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/config/manifest.h"
#include "dispatcher/config/pointer.h"
#include "dispatcher/config/source_name.h"
#include "dispatcher/text/json_view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void problems_check(const struct problems *problems)
{
    for (uint32_t i = 0; i < problems->count && i < PROBLEM_COUNT_MAX; i++)
        mr_assert(strncmp(problems->items[i].line, "p.yaml:", 7) == 0);
}

/* Told to clients as a part of an object, so it has to be one. */
static void members_check(const char *members)
{
    char *object;
    struct json_view root, value;
    struct json_error error;
    if (asprintf(&object, "{%s}", members) == -1)
        abort();
    int rc = json_view_parse(&root, object, strlen(object), &error);
    mr_assert(rc == 0);
    bool is_there = json_view_member(&root, "extras", &value);
    mr_assert(is_there);
    free(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct manifest *manifest;
    if (manifest_take("p.yaml", (const char *)data, bytes, &manifest) < 0)
        return 0;
    char *pointer = manifest_pointer(manifest);
    mr_assert(!pointer || pointer_is_valid(pointer, strlen(pointer)));
    free(pointer);
    problems_check(&manifest->errors);
    problems_check(&manifest->warnings);
    if (!manifest_error(manifest)) {
        mr_assert(source_name_is_module(manifest->module));
        mr_assert(source_name_is_pipeline(manifest->graph));
        mr_assert(manifest->module_path != NULL);
    }
    if (manifest->members)
        members_check(manifest->members);
    mr_assert(!manifest->needs || strlen(manifest->needs) < MANIFEST_NEEDS_BYTES_MAX);
    manifest_free(manifest);
    return 0;
}
