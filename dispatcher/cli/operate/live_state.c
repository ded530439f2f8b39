/* SPDX-License-Identifier: MIT */
/* live_state.c - what GET /control/state says of a server, as structs. */
#include "dispatcher/cli/operate/live_state.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A member of an object of JSON, and the member of a struct that it is put into. */
struct state_field {
    const char *key;
    enum { STATE_NUMBER = 0, STATE_TEXT, STATE_FLAG } kind;
    size_t offset;
};

#define NUMBER(type, name)                                                                         \
    {                                                                                              \
#name, STATE_NUMBER, offsetof(struct type, name)                                           \
    }
#define TEXT(type, name)                                                                           \
    {                                                                                              \
#name, STATE_TEXT, offsetof(struct type, name)                                             \
    }

/* clang-format off */
static const struct state_field server_fields[] = {
    NUMBER(live_state, pid), TEXT(live_state, version),
    NUMBER(live_state, started_at), NUMBER(live_state, uptime_s),
    {"state", STATE_TEXT, offsetof(struct live_state, server_state)},
    TEXT(live_state, config), NUMBER(live_state, connections),
    NUMBER(live_state, connections_max), NUMBER(live_state, runs),
    NUMBER(live_state, queued), NUMBER(live_state, input_bytes),
    NUMBER(live_state, input_bytes_max), NUMBER(live_state, output_bytes),
    NUMBER(live_state, output_bytes_max), NUMBER(live_state, lines),
};
static const struct state_field reload_fields[] = {
    {"state", STATE_TEXT, offsetof(struct live_state, reload_state)},
    {"last_result", STATE_TEXT, offsetof(struct live_state, reload_result)},
    NUMBER(live_state, generation),
    {"succeeded", STATE_NUMBER, offsetof(struct live_state, reloads_succeeded)},
    {"failed", STATE_NUMBER, offsetof(struct live_state, reloads_failed)},
};
static const struct state_field pipeline_fields[] = {
    TEXT(live_pipeline, pointer), TEXT(live_pipeline, id), TEXT(live_pipeline, state),
    TEXT(live_pipeline, phase), TEXT(live_pipeline, error),
    {"drained", STATE_FLAG, offsetof(struct live_pipeline, drained)},
    NUMBER(live_pipeline, active), NUMBER(live_pipeline, queued),
    NUMBER(live_pipeline, queue_max), NUMBER(live_pipeline, workers_min),
    NUMBER(live_pipeline, workers_max), NUMBER(live_pipeline, workers_wanted),
    NUMBER(live_pipeline, accepted), NUMBER(live_pipeline, completed),
    NUMBER(live_pipeline, failed), NUMBER(live_pipeline, cancelled),
    NUMBER(live_pipeline, refused), NUMBER(live_pipeline, lines),
};
static const struct state_field loading_fields[] = {
    NUMBER(live_loading, elapsed_s), NUMBER(live_loading, progress),
    TEXT(live_loading, text),
};
static const struct state_field template_fields[] = {
    TEXT(live_template, preload), TEXT(live_template, state),    TEXT(live_template, reason),
    NUMBER(live_template, pid),   NUMBER(live_template, copies),
};
static const struct state_field fair_fields[] = {
    NUMBER(live_fair, tenants), NUMBER(live_fair, displaced),
};
static const struct state_field class_fields[] = {
    TEXT(live_class, class), NUMBER(live_class, queued),
};
static const struct state_field waiting_fields[] = {
    NUMBER(live_waiting, elapsed_s),
    NUMBER(live_waiting, bytes),
};
static const struct state_field waiting_device_fields[] = {
    {"kind", STATE_TEXT, offsetof(struct live_waiting, device_kind)},
    {"index", STATE_NUMBER, offsetof(struct live_waiting, device_index)},
};
static const struct state_field worker_fields[] = {
    NUMBER(live_worker, number), NUMBER(live_worker, pid), TEXT(live_worker, state),
    NUMBER(live_worker, age_s), NUMBER(live_worker, active), NUMBER(live_worker, slots),
    NUMBER(live_worker, restarts), NUMBER(live_worker, memory_bytes),
    NUMBER(live_worker, cpu_s), NUMBER(live_worker, ring_bytes),
    NUMBER(live_worker, ring_used_bytes),
};
static const struct state_field worker_device_fields[] = {
    {"kind", STATE_TEXT, offsetof(struct live_worker, device_kind)},
    {"index", STATE_NUMBER, offsetof(struct live_worker, device_index)},
};
static const struct state_field alias_fields[] = {TEXT(live_alias, pointer)};
static const struct state_field target_fields[] = {
    TEXT(live_target, pointer), NUMBER(live_target, weight), NUMBER(live_target, runs),
};
static const struct state_field client_fields[] = {
    TEXT(live_slow, client), TEXT(live_slow, token), TEXT(live_slow, run),
    TEXT(live_slow, pipeline), NUMBER(live_slow, waiting_bytes),
    NUMBER(live_slow, quiet_s),
};
static const struct state_field device_fields[] = {
    TEXT(live_device, kind), TEXT(live_device, uuid), TEXT(live_device, name),
    TEXT(live_device, pci), TEXT(live_device, parent), TEXT(live_device, cores),
    TEXT(live_device, state), TEXT(live_device, reason), NUMBER(live_device, index),
    NUMBER(live_device, numa_node), NUMBER(live_device, memory_bytes),
    NUMBER(live_device, memory_free_bytes), NUMBER(live_device, memory_reserved_bytes),
};
static const struct state_field holder_fields[] = {
    TEXT(live_holder, pipeline), NUMBER(live_holder, worker), NUMBER(live_holder, pid),
    NUMBER(live_holder, reserved_bytes),
};
/* clang-format on */

#define READ(state, object, fields, into)                                                          \
    state_object_read((state), (object), (fields), ARRAY_COUNT(fields), (into))

static int state_parts_read(struct live_state *state, const struct json_view *root);
static int state_pipeline_read(struct live_state *state, const struct json_view *object,
                               void *into);
static int state_alias_read(struct live_state *state, const struct json_view *object, void *into);
static int state_worker_read(struct live_state *state, const struct json_view *object, void *into);
static int state_class_read(struct live_state *state, const struct json_view *object, void *into);
static int state_target_read(struct live_state *state, const struct json_view *object, void *into);
static int state_client_read(struct live_state *state, const struct json_view *object, void *into);
static int state_device_read(struct live_state *state, const struct json_view *object, void *into);
static int state_holder_read(struct live_state *state, const struct json_view *object, void *into);
static void state_times_read(const struct json_view *object, struct live_times *times);
static void state_listen_read(struct live_state *state, const struct json_view *server);
static void state_object_read(struct live_state *state, const struct json_view *object,
                              const struct state_field *fields, size_t count, void *into);

/* Reads the objects of a list into `items`, which it makes. 0, or what `read` says. */
typedef int state_reader(struct live_state *state, const struct json_view *object, void *into);
static int state_list_read(struct live_state *state, const struct json_view *object,
                           const char *key, state_reader *read, size_t item_bytes, void **items,
                           uint32_t *count);

int live_state_read(struct live_state *state, const struct json_view *root)
{
    struct json_view server;
    if (!json_view_member(root, "server", &server) || server.text[0] != '{')
        return -EBADMSG;
    /* Without its escapes and quotes no text is longer, and a NUL is shorter than its quotes. */
    struct live_state read = {.text_room = root->bytes + 1};
    read.texts = malloc(read.text_room);
    if (!read.texts)
        return -ENOMEM;
    read.texts[read.text_bytes++] = '\0'; /* for all that are empty */
    struct json_view reload = json_view_get(root, "reload");
    READ(&read, &server, server_fields, &read);
    READ(&read, &reload, reload_fields, &read);
    state_listen_read(&read, &server);
    int rc = state_parts_read(&read, root);
    if (rc == 0)
        *state = read;
    else
        live_state_finish(&read);
    return rc;
}

const char *live_state_error(int rc)
{
    return rc == -ENOMEM ? "no memory" : "what the server says of its state cannot be read";
}

static int state_parts_read(struct live_state *state, const struct json_view *root)
{
    void *pipelines, *aliases, *clients, *devices;
    int rc = state_list_read(state, root, "pipelines", state_pipeline_read,
                             sizeof(struct live_pipeline), &pipelines, &state->pipeline_count);
    int rc_aliases = state_list_read(state, root, "aliases", state_alias_read,
                                     sizeof(struct live_alias), &aliases, &state->alias_count);
    int rc_clients = state_list_read(state, root, "clients", state_client_read,
                                     sizeof(struct live_slow), &clients, &state->client_count);
    int rc_devices = state_list_read(state, root, "devices", state_device_read,
                                     sizeof(struct live_device), &devices, &state->device_count);
    state->pipelines = pipelines;
    state->aliases = aliases;
    state->clients = clients;
    state->devices = devices;
    return rc < 0 ? rc : rc_aliases < 0 ? rc_aliases : rc_clients < 0 ? rc_clients : rc_devices;
}

void live_state_finish(struct live_state *state)
{
    for (uint32_t i = 0; i < state->pipeline_count; i++) {
        free(state->pipelines[i].workers);
        free(state->pipelines[i].fair.classes);
    }
    for (uint32_t i = 0; i < state->alias_count; i++)
        free(state->aliases[i].targets);
    free(state->pipelines);
    free(state->aliases);
    free(state->clients);
    for (uint32_t i = 0; i < state->device_count; i++)
        free(state->devices[i].holders);
    free(state->devices);
    free(state->texts);
    *state = (struct live_state){0};
}

/* ---- lists --------------------------------------------------------------------------------- */

static uint32_t state_list_count(const struct json_view *list)
{
    struct json_view item = {0};
    uint32_t count = 0;
    while (count < UINT32_MAX && json_view_next(list, &item))
        count++;
    return count;
}

static int state_list_read(struct live_state *state, const struct json_view *object,
                           const char *key, state_reader *read, size_t item_bytes, void **items,
                           uint32_t *count)
{
    struct json_view list, item = {0};
    uint32_t wanted = json_view_member(object, key, &list) ? state_list_count(&list) : 0;
    int rc = 0;
    *count = 0;
    *items = wanted > 0 ? calloc(wanted, item_bytes) : NULL;
    if (wanted > 0 && !*items)
        return -ENOMEM;
    while (*count < wanted && json_view_next(&list, &item) && rc == 0) {
        rc = item.text[0] == '{' ? read(state, &item, (char *)*items + *count * item_bytes)
                                 : -EBADMSG;
        ++*count; /* also of one that was read in part, which has to be given back */
    }
    return rc;
}

static int state_pipeline_read(struct live_state *state, const struct json_view *object, void *into)
{
    struct live_pipeline *pipeline = into;
    struct json_view times = json_view_get(object, "first_chunk");
    struct json_view loading = json_view_get(object, "loading");
    struct json_view template = json_view_get(object, "template");
    struct json_view waiting = json_view_get(object, "waiting");
    struct json_view device = json_view_get(&waiting, "device");
    struct json_view fair = json_view_get(object, "fair");
    void *workers, *classes;
    READ(state, object, pipeline_fields, pipeline);
    READ(state, &loading, loading_fields, &pipeline->loading);
    READ(state, &template, template_fields, &pipeline->template);
    READ(state, &waiting, waiting_fields, &pipeline->waiting);
    READ(state, &device, waiting_device_fields, &pipeline->waiting);
    state_times_read(&times, &pipeline->first_chunk);
    int rc = state_list_read(state, object, "workers", state_worker_read,
                             sizeof(struct live_worker), &workers, &pipeline->worker_count);
    pipeline->workers = workers;
    READ(state, &fair, fair_fields, &pipeline->fair);
    int rc_classes =
        state_list_read(state, &fair, "classes", state_class_read, sizeof(struct live_class),
                        &classes, &pipeline->fair.class_count);
    pipeline->fair.classes = classes;
    return rc < 0 ? rc : rc_classes;
}

static int state_class_read(struct live_state *state, const struct json_view *object, void *into)
{
    READ(state, object, class_fields, into);
    return 0;
}

static int state_alias_read(struct live_state *state, const struct json_view *object, void *into)
{
    struct live_alias *alias = into;
    void *targets;
    READ(state, object, alias_fields, alias);
    int rc = state_list_read(state, object, "targets", state_target_read,
                             sizeof(struct live_target), &targets, &alias->target_count);
    alias->targets = targets;
    return rc;
}

static int state_worker_read(struct live_state *state, const struct json_view *object, void *into)
{
    struct json_view device = json_view_get(object, "device");
    READ(state, object, worker_fields, into);
    READ(state, &device, worker_device_fields, into);
    return 0;
}

static int state_target_read(struct live_state *state, const struct json_view *object, void *into)
{
    READ(state, object, target_fields, into);
    return 0;
}

static int state_client_read(struct live_state *state, const struct json_view *object, void *into)
{
    READ(state, object, client_fields, into);
    return 0;
}

static int state_device_read(struct live_state *state, const struct json_view *object, void *into)
{
    struct live_device *device = into;
    void *holders;
    READ(state, object, device_fields, device);
    int rc = state_list_read(state, object, "workers", state_holder_read,
                             sizeof(struct live_holder), &holders, &device->holder_count);
    device->holders = holders;
    return rc;
}

static int state_holder_read(struct live_state *state, const struct json_view *object, void *into)
{
    READ(state, object, holder_fields, into);
    return 0;
}

/* ---- values -------------------------------------------------------------------------------- */

static double state_number(const struct json_view *value)
{
    double number;
    return json_view_number(value, &number) ? number : NAN;
}

/* What there is no room for, which cannot be, is left out. */
static const char *state_text(struct live_state *state, const struct json_view *value)
{
    struct text text = {0};
    const char *copy = state->texts;
    if (json_view_is_string(value))
        json_view_string(value, &text);
    if (text.count > 0 && !text.failed && text.count < state->text_room - state->text_bytes) {
        copy = state->texts + state->text_bytes;
        memcpy(state->texts + state->text_bytes, text.bytes, text.count);
        state->text_bytes += text.count;
        state->texts[state->text_bytes++] = '\0';
    }
    text_finish(&text);
    return copy;
}

static void state_object_read(struct live_state *state, const struct json_view *object,
                              const struct state_field *fields, size_t count, void *into)
{
    for (size_t i = 0; i < count; i++) {
        void *member = (char *)into + fields[i].offset;
        struct json_view value = json_view_get(object, fields[i].key);
        if (fields[i].kind == STATE_NUMBER)
            *(double *)member = state_number(&value);
        else if (fields[i].kind == STATE_TEXT)
            *(const char **)member = state_text(state, &value);
        else
            *(bool *)member = value.text[0] == 't';
    }
}

static void state_times_read(const struct json_view *object, struct live_times *times)
{
    struct json_view bounds, counts, bound = {0}, count = {0}, all = json_view_get(object, "count");
    times->count = state_number(&all);
    if (!json_view_member(object, "le_s", &bounds) || !json_view_member(object, "counts", &counts))
        return;
    while (times->bound_count < LIVE_BOUND_COUNT_MAX && json_view_next(&bounds, &bound) &&
           json_view_next(&counts, &count)) {
        times->le_s[times->bound_count] = state_number(&bound);
        times->counts[times->bound_count++] = state_number(&count);
    }
}

static void state_listen_read(struct live_state *state, const struct json_view *server)
{
    struct json_view list, item = {0};
    state->listen = state->texts;
    if (!json_view_member(server, "listen", &list))
        return;
    state->listen_count = state_list_count(&list);
    if (json_view_next(&list, &item))
        state->listen = state_text(state, &item);
}
