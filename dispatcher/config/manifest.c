/* SPDX-License-Identifier: MIT */
/* manifest.c - Mystic's pipeline.yaml: which pipeline a folder has, and what that needs. */
#include "dispatcher/config/manifest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dispatcher/config/cli.h"
#include "dispatcher/config/manifest_module.h"
#include "dispatcher/config/manifest_value.h"
#include "dispatcher/config/pointer.h"
#include "dispatcher/config/source_name.h"
#include "dispatcher/text/whole_file.h"

#define KEY_GRAPH "pipeline_graph"
#define KEY_NAME "pipeline_name"
#define KEY_RUNTIME "runtime"
#define KEY_PYTHON "python"
#define KEY_COUNT_MAX 10u
#define WHERE_BYTES 64u
#define WARNING "warning"
#define NATIVE_END ".so"

/* Where in the document something is that is of use here; of all else it is only looked at whether
 * it is what it should be. */
enum node {
    NODE_OTHER = 0,
    NODE_GRAPH,
    NODE_NAME,
    NODE_RUNTIME,
    NODE_PYTHON,
    NODE_VERSION,
    NODE_REQUIREMENTS,
    NODE_README,
    NODE_DESCRIPTION, /* from here on people are told */
    NODE_ACCELERATORS,
    NODE_ACCELERATOR_MEMORY,
    NODE_EXTRAS,
    NODE_COUNT
};

#define NOWHERE UINT32_MAX

struct manifest_key {
    const char *name;
    enum manifest_kind kind;
    enum node node;
};

/* Ends with a row without a name. */
static const struct manifest_key keys_of_file[] = {
    {KEY_GRAPH, MANIFEST_TEXT, NODE_GRAPH},
    {KEY_NAME, MANIFEST_TEXT, NODE_NAME},
    {KEY_RUNTIME, MANIFEST_MAPPING, NODE_RUNTIME},
    {"description", MANIFEST_TEXT, NODE_DESCRIPTION},
    {"readme", MANIFEST_TEXT, NODE_README},
    {"accelerators", MANIFEST_TEXTS, NODE_ACCELERATORS},
    {"accelerator_memory", MANIFEST_NUMBER, NODE_ACCELERATOR_MEMORY},
    {"extras", MANIFEST_MAPPING, NODE_EXTRAS},
    {"cluster", MANIFEST_MAPPING, NODE_OTHER},
    {"scaling_config_name", MANIFEST_TEXT, NODE_OTHER},
    {.name = NULL},
};
static const struct manifest_key keys_of_runtime[] = {
    {"container_commands", MANIFEST_TEXTS, NODE_OTHER},
    {KEY_PYTHON, MANIFEST_MAPPING, NODE_PYTHON},
    {.name = NULL},
};
static const struct manifest_key keys_of_python[] = {
    {"version", MANIFEST_TEXT, NODE_VERSION},
    {"requirements", MANIFEST_TEXTS, NODE_REQUIREMENTS},
    {.name = NULL},
};

struct reading {
    struct manifest *manifest;
    const struct document *document;
    uint32_t nodes[NODE_COUNT]; /* NOWHERE: it is not said */
};

static int manifest_create(const char *path, struct manifest **out);
static int manifest_path_find(struct manifest *manifest);
static int manifest_file_read(struct manifest *manifest);
static int manifest_text_read(struct manifest *manifest, const char *text, size_t bytes);
static int manifest_document_read(struct reading *reading);
static void manifest_keys_read(struct reading *reading, const struct manifest_key *keys,
                               uint32_t node, const char *where);
static int manifest_graph_take(struct reading *reading);
static int manifest_needs_take(struct reading *reading);
static int manifest_members_make(struct reading *reading);

static bool manifest_ends_with(const char *text, const char *end)
{
    size_t bytes = strlen(text);
    return bytes > strlen(end) && strcmp(text + bytes - strlen(end), end) == 0;
}

bool manifest_is_path(const char *path)
{
    return manifest_ends_with(path, ".yaml") || manifest_ends_with(path, ".yml");
}

bool manifest_is_folder(const char *path)
{
    struct stat file;
    return stat(path, &file) == 0 && S_ISDIR(file.st_mode);
}

int manifest_open(const char *path, struct manifest **out)
{
    struct manifest *manifest;
    int rc = manifest_create(path, &manifest);
    if (rc < 0)
        return rc;
    rc = manifest_path_find(manifest);
    if (rc == 0)
        rc = manifest_file_read(manifest);
    if (rc == -ENOMEM) {
        manifest_free(manifest);
        return rc;
    }
    *out = manifest;
    return 0;
}

int manifest_take(const char *path, const char *text, size_t bytes, struct manifest **out)
{
    struct manifest *manifest;
    int rc = manifest_create(path, &manifest);
    if (rc < 0)
        return rc;
    rc = manifest_text_read(manifest, text, bytes);
    if (rc < 0) {
        manifest_free(manifest);
        return rc;
    }
    *out = manifest;
    return 0;
}

void manifest_free(struct manifest *manifest)
{
    if (!manifest)
        return;
    free(manifest->path);
    free(manifest->folder);
    free(manifest->module);
    free(manifest->module_path);
    free(manifest->graph);
    free(manifest->name);
    free(manifest->needs);
    free(manifest->members);
    free(manifest->readme);
    problems_finish(&manifest->errors);
    problems_finish(&manifest->warnings);
    free(manifest);
}

/* A name without a user is of those that this server gives itself. */
char *manifest_pointer(struct manifest *manifest)
{
    char *pointer;
    const char *name = manifest->name;
    if (!name || *name == '\0')
        return NULL;
    if (asprintf(&pointer, "%s%s%s", strchr(name, '/') ? "" : "local/", name,
                 strchr(name, ':') ? "" : ":v1") == -1)
        return NULL;
    if (pointer_is_valid(pointer, strlen(pointer)))
        return pointer;
    problems_add(&manifest->warnings, manifest->name_place, WARNING,
                 "'%.255s' makes no pointer like me/words:v1", name);
    free(pointer);
    return NULL;
}

const char *manifest_error(const struct manifest *manifest)
{
    if (manifest->errors.count == 0)
        return NULL;
    return manifest->errors.items[0].line ? manifest->errors.items[0].line : "no memory";
}

bool manifest_print(struct manifest *manifest, FILE *file)
{
    problems_print(&manifest->warnings, file);
    if (manifest->errors.count == 0 || manifest->errors.items[0].place.line == 0)
        return false;
    problems_print(&manifest->errors, file);
    return true;
}

/* ---- the file ------------------------------------------------------------------------------ */

static int manifest_path_set(struct manifest *manifest, char *path)
{
    if (!path)
        return -ENOMEM;
    const char *slash = strrchr(path, '/');
    free(manifest->path);
    free(manifest->folder);
    manifest->path = path;
    manifest->errors.file = manifest->warnings.file = path;
    manifest->folder = !slash          ? strdup(".")
                       : slash == path ? strdup("/")
                                       : strndup(path, (size_t)(slash - path));
    return manifest->folder ? 0 : -ENOMEM;
}

static int manifest_create(const char *path, struct manifest **out)
{
    struct manifest *manifest = calloc(1, sizeof *manifest);
    if (!manifest)
        return -ENOMEM;
    while (strncmp(path, "./", 2) == 0 && path[2] != '\0')
        path += 2;
    int rc = manifest_path_set(manifest, strdup(path));
    if (rc < 0) {
        manifest_free(manifest);
        return rc;
    }
    *out = manifest;
    return 0;
}

/* -ENOENT: it is a folder that has none. */
static int manifest_path_find(struct manifest *manifest)
{
    static const char *const names[] = {"pipeline.yaml", "pipeline.yml"};
    const char *path = manifest->path;
    size_t bytes = strlen(path);
    if (!manifest_is_folder(path))
        return 0;
    while (bytes > 0 && path[bytes - 1] == '/')
        bytes--;
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        char *found;
        struct stat file;
        if (asprintf(&found, "%.*s/%s", (int)bytes, path, names[i]) == -1)
            return -ENOMEM;
        if (stat(found, &file) == 0)
            return manifest_path_set(manifest, found);
        free(found);
    }
    problems_add(&manifest->errors, (struct document_place){0}, "",
                 "it is a folder, and has no pipeline.yaml");
    return -ENOENT;
}

/* What is no file would be waited for, or never end. */
static int manifest_file_read(struct manifest *manifest)
{
    char *text = NULL;
    size_t bytes = 0;
    struct stat file;
    int rc = stat(manifest->path, &file) == -1 ? -errno : 0;
    if (rc == 0 && !S_ISREG(file.st_mode))
        rc = -EINVAL;
    if (rc == 0)
        rc = whole_file_read(manifest->path, DOCUMENT_BYTES_MAX, &text, &bytes);
    if (rc == -EFBIG)
        problems_add(&manifest->errors, (struct document_place){0}, "",
                     "it is larger than %u bytes", DOCUMENT_BYTES_MAX);
    else if (rc < 0)
        problems_add(&manifest->errors, (struct document_place){0}, "", "%s",
                     rc == -EINVAL ? "Not a regular file" : strerror(-rc));
    if (rc == 0)
        rc = manifest_text_read(manifest, text, bytes);
    free(text);
    return rc;
}

static int manifest_text_read(struct manifest *manifest, const char *text, size_t bytes)
{
    struct document *document;
    struct document_place place;
    char reason[DOCUMENT_REASON_BYTES];
    int rc = document_read(text, bytes, &document, &place, reason);
    if (rc < 0) {
        problems_add(&manifest->errors, place, "", "%s", reason);
        return rc == -ENOMEM ? rc : 0;
    }
    struct reading reading = {.manifest = manifest, .document = document};
    for (size_t i = 0; i < NODE_COUNT; i++)
        reading.nodes[i] = NOWHERE;
    rc = manifest_document_read(&reading);
    document_free(document);
    return rc;
}

/* ---- keys ---------------------------------------------------------------------------------- */

static int manifest_document_read(struct reading *reading)
{
    const struct document *document = reading->document;
    struct manifest *manifest = reading->manifest;
    if (document_kind_of(document, DOCUMENT_ROOT) != DOCUMENT_MAPPING) {
        problems_add(&manifest->errors, document_place_of(document, DOCUMENT_ROOT), "",
                     "it has to be keys and their values, like " KEY_GRAPH ": module:name");
        return 0;
    }
    manifest_keys_read(reading, keys_of_file, DOCUMENT_ROOT, "");
    if (reading->nodes[NODE_RUNTIME] != NOWHERE)
        manifest_keys_read(reading, keys_of_runtime, reading->nodes[NODE_RUNTIME], KEY_RUNTIME ".");
    if (reading->nodes[NODE_PYTHON] != NOWHERE)
        manifest_keys_read(reading, keys_of_python, reading->nodes[NODE_PYTHON],
                           KEY_RUNTIME "." KEY_PYTHON ".");
    int rc = manifest_graph_take(reading);
    if (rc == 0)
        rc = manifest_needs_take(reading);
    if (rc == 0)
        rc = manifest_members_make(reading);
    return rc;
}

static void manifest_key_warn(const struct reading *reading, const struct manifest_key *keys,
                              uint32_t key, const char *where)
{
    const char *names[KEY_COUNT_MAX + 1] = {NULL};
    const char *name = document_text(reading->document, key);
    for (size_t i = 0; keys[i].name; i++) {
        mr_assert(i < KEY_COUNT_MAX);
        names[i] = keys[i].name;
    }
    const char *nearest = cli_nearest(name, names);
    problems_add(&reading->manifest->warnings, document_place_of(reading->document, key), WARNING,
                 "unknown key \"%s%.100s\" is ignored%s%s%s", where, name,
                 nearest ? " (nearest: " : "", nearest ? nearest : "", nearest ? ")" : "");
}

/* `where` goes before the names of the keys. */
static void manifest_keys_read(struct reading *reading, const struct manifest_key *keys,
                               uint32_t node, const char *where)
{
    const struct document *document = reading->document;
    for (uint32_t i = 0; i < document_count(document, node); i++) {
        uint32_t key = document_key(document, node, i);
        uint32_t value = document_member(document, node, i);
        const struct manifest_key *known = keys;
        char path[WHERE_BYTES];
        while (known->name && strcmp(known->name, document_text(document, key)) != 0)
            known++;
        if (!known->name) {
            manifest_key_warn(reading, keys, key, where);
            continue;
        }
        snprintf(path, sizeof path, "%s%s", where, known->name);
        if (!document_is_null(document, value) &&
            manifest_kind_check(document, value, known->kind, path, &reading->manifest->errors))
            reading->nodes[known->node] = value;
    }
}

/* ---- what they say ------------------------------------------------------------------------- */

/* NULL where it is not said, or where there is no memory, which *rc then says. */
static char *manifest_text_copy(const struct reading *reading, enum node node, int *rc)
{
    if (reading->nodes[node] == NOWHERE)
        return NULL;
    char *copy = strdup(document_text(reading->document, reading->nodes[node]));
    if (!copy)
        *rc = -ENOMEM;
    return copy;
}

/* Whether an error was told already. */
static bool manifest_graph_was_refused(const struct reading *reading)
{
    const struct document *document = reading->document;
    for (uint32_t i = 0; i < document_count(document, DOCUMENT_ROOT); i++)
        if (strcmp(document_text(document, document_key(document, DOCUMENT_ROOT, i)), KEY_GRAPH) ==
            0)
            return !document_is_null(document, document_member(document, DOCUMENT_ROOT, i));
    return false;
}

static int manifest_graph_missing(struct reading *reading)
{
    if (!manifest_graph_was_refused(reading))
        problems_add(&reading->manifest->errors,
                     document_place_of(reading->document, DOCUMENT_ROOT), "",
                     "it has no " KEY_GRAPH ", like " KEY_GRAPH ": module:name");
    return 0;
}

static int manifest_graph_take(struct reading *reading)
{
    struct manifest *manifest = reading->manifest;
    int rc = 0;
    manifest->name = manifest_text_copy(reading, NODE_NAME, &rc);
    manifest->readme = manifest_text_copy(reading, NODE_README, &rc);
    if (manifest->name)
        manifest->name_place = document_place_of(reading->document, reading->nodes[NODE_NAME]);
    if (rc < 0 || reading->nodes[NODE_GRAPH] == NOWHERE)
        return rc < 0 ? rc : manifest_graph_missing(reading);
    struct document_place place = document_place_of(reading->document, reading->nodes[NODE_GRAPH]);
    const char *text = document_text(reading->document, reading->nodes[NODE_GRAPH]);
    const char *colon = strchr(text, ':');
    manifest->module = colon ? strndup(text, (size_t)(colon - text)) : strdup(text);
    manifest->graph = strdup(colon ? colon + 1 : "");
    if (!manifest->module || !manifest->graph)
        return -ENOMEM;
    manifest->is_native = manifest_ends_with(manifest->module, NATIVE_END);
    if ((!manifest->is_native && !source_name_is_module(manifest->module)) ||
        strchr(manifest->module, '/') || !source_name_is_pipeline(manifest->graph)) {
        problems_add(&manifest->errors, place, KEY_GRAPH,
                     "'%.200s' is not module:name of a pipeline", text);
        return 0;
    }
    rc = manifest->is_native
             ? manifest_object_find(manifest->folder, manifest->module, &manifest->module_path)
             : manifest_module_find(manifest->folder, manifest->module, &manifest->module_path);
    if (rc == -ENOENT)
        problems_add(&manifest->errors, place, KEY_GRAPH, "there is no %s%.200s in %.300s",
                     manifest->is_native ? "" : "module ", manifest->module, manifest->folder);
    return rc == -ENOENT ? 0 : rc;
}

static int manifest_needs_take(struct reading *reading)
{
    const struct document *document = reading->document;
    uint32_t version = reading->nodes[NODE_VERSION], list = reading->nodes[NODE_REQUIREMENTS];
    if (version == NOWHERE && list == NOWHERE)
        return 0;
    struct text text = {0};
    text_add(&text, "%s", version != NOWHERE ? document_text(document, version) : "");
    uint32_t count = list != NOWHERE ? document_count(document, list) : 0;
    for (uint32_t i = 0; i < count && text.count <= MANIFEST_NEEDS_BYTES_MAX; i++)
        text_add(&text, "\n%s", document_text(document, document_item(document, list, i)));
    text_add_bytes(&text, "", 1);
    int rc = text.failed ? -ENOMEM : text.count > MANIFEST_NEEDS_BYTES_MAX ? -E2BIG : 0;
    if (rc == 0)
        reading->manifest->needs = text.bytes;
    else
        text_finish(&text);
    if (rc == -E2BIG)
        problems_add(&reading->manifest->errors,
                     document_place_of(document, list != NOWHERE ? list : version),
                     KEY_RUNTIME "." KEY_PYTHON, "it is larger than %u bytes",
                     MANIFEST_NEEDS_BYTES_MAX);
    return rc == -ENOMEM ? rc : 0;
}

static void manifest_texts_add(const struct document *document, uint32_t node, size_t bytes_max,
                               struct text *text)
{
    size_t start = text->count;
    text_add(text, "[");
    for (uint32_t i = 0; i < document_count(document, node); i++) {
        const char *item = document_text(document, document_item(document, node, i));
        text_add(text, "%s", i > 0 ? "," : "");
        text_add_json(text, item, strlen(item));
        if (text->count - start > bytes_max)
            return;
    }
    text_add(text, "]");
}

/* False: it was not shown whole. */
static bool manifest_value_add(const struct document *document, uint32_t node,
                               enum manifest_kind kind, struct text *text)
{
    size_t start = text->count;
    if (kind == MANIFEST_MAPPING)
        return manifest_json_add(document, node, MANIFEST_MEMBER_BYTES_MAX, text);
    if (kind == MANIFEST_TEXTS)
        manifest_texts_add(document, node, MANIFEST_MEMBER_BYTES_MAX, text);
    else if (kind == MANIFEST_NUMBER)
        text_add(text, "%s", document_text(document, node));
    else
        text_add_json(text, document_text(document, node), strlen(document_text(document, node)));
    return text->count - start <= MANIFEST_MEMBER_BYTES_MAX;
}

/* What is too large is not shown: aliases of YAML make much of little. */
static void manifest_member_add(struct reading *reading, const struct manifest_key *key,
                                struct text *text)
{
    uint32_t node = reading->nodes[key->node];
    text_add(text, "%s\"%s\":", text->count > 0 ? "," : "", key->name);
    size_t start = text->count;
    if (node != NOWHERE && manifest_value_add(reading->document, node, key->kind, text))
        return;
    text->count = text->failed ? text->count : start;
    text_add(text, "null");
    if (node != NOWHERE && !text->failed)
        problems_add(&reading->manifest->warnings, document_place_of(reading->document, node),
                     WARNING, "%s is not shown: it is larger than %u bytes, or nested too deep",
                     key->name, MANIFEST_MEMBER_BYTES_MAX);
}

static int manifest_members_make(struct reading *reading)
{
    struct text text = {0};
    for (const struct manifest_key *key = keys_of_file; key->name; key++)
        if (key->node >= NODE_DESCRIPTION)
            manifest_member_add(reading, key, &text);
    text_add_bytes(&text, "", 1);
    if (text.failed) {
        text_finish(&text);
        return -ENOMEM;
    }
    reading->manifest->members = text.bytes;
    return 0;
}
