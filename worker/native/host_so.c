/* SPDX-License-Identifier: MIT */
/*
 * host_so.c - dlopen, the table, the graph; each thing that can be wrong has its own sentence.
 */
#include "worker/native/host_so.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "worker/native/api.h"
#include "worker/native/graph_run.h"

/* Pipelines of one object that are looked through; a longer list is a ring of garbage. */
#define HOST_EXPORT_COUNT_MAX 256u

static const struct mr_export *host_so_open(const char *path, struct error *error);
static const struct mr_export *host_so_find(const struct mr_export *exports, const char *path,
                                            const char *name, struct error *error);
static int host_so_check_version(const struct mr_export *export, const char *path,
                                 struct error *error);
static int host_so_start(struct host *host, struct job *job);

__attribute__((format(printf, 2, 3))) static int host_so_refuse(struct error *error,
                                                                const char *format, ...);

int host_so_load(struct host_so *out, struct context *context, const char *path, const char *name)
{
    struct error *error = &context->error;
    *out = (struct host_so){.host = {.start = host_so_start}, .context = context};
    const struct mr_export *exports = host_so_open(path, error);
    if (!exports)
        return -EINVAL;
    const struct mr_export *export = host_so_find(exports, path, name, error);
    if (!export)
        return -EINVAL;
    int rc = host_so_check_version(export, path, error);
    if (rc != 0)
        return rc;

    out->name = export->name;
    *export->api = api_table(context);
    export->define(&out->graph);
    const char *mistake = graph_check(&out->graph);
    if (mistake)
        return host_so_refuse(error, "%s: pipeline %s: %s", path, export->name, mistake);
    return 0;
}

int host_so_preload(struct host_so *host)
{
    return graph_preload(&host->graph, &host->context->error);
}

int host_so_start_up(struct host_so *host)
{
    return graph_start_up(&host->graph, &host->context->error);
}

void host_so_finish(struct host_so *host)
{
    graph_finish(&host->graph);
    buffer_finish(&host->scratch);
}

__attribute__((format(printf, 2, 3))) static int host_so_refuse(struct error *error,
                                                                const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_vset(error, ERROR_STARTUP, format, arguments);
    va_end(arguments);
    return -EINVAL;
}

/* Opens the object and takes its list of pipelines. */
static const struct mr_export *host_so_open(const char *path, struct error *error)
{
    struct stat status;
    if (stat(path, &status) == -1) {
        host_so_refuse(error, "%s: %s", path, strerror(errno));
        return NULL;
    }
    if (!S_ISREG(status.st_mode)) {
        host_so_refuse(error, "%s: not a file", path);
        return NULL;
    }
    /* A name without a slash would be searched in the system's directories. */
    char local[4096];
    int bytes = snprintf(local, sizeof local, "%s%s", strchr(path, '/') ? "" : "./", path);
    if (bytes < 0 || (size_t)bytes >= sizeof local) {
        host_so_refuse(error, "the path of the shared object is too long");
        return NULL;
    }
    void *object = dlopen(local, RTLD_NOW | RTLD_LOCAL);
    if (!object) {
        const char *reason = dlerror();
        host_so_refuse(error, "cannot load the shared object: %s", reason ? reason : path);
        return NULL;
    }
    union {
        void *symbol;
        const struct mr_export *(*function)(void);
    } list = {.symbol = dlsym(object, "mr_pipeline_exports")};
    const struct mr_export *exports = list.symbol ? list.function() : NULL;
    if (!exports)
        host_so_refuse(error, "%s: not a millrace pipeline: it has no MR_PIPELINE(name) { ... }",
                       path);
    return exports;
}

/* "a, b, c" */
static void host_so_list(const struct mr_export *exports, char *out, size_t room)
{
    size_t used = 0;
    out[0] = '\0';
    for (uint32_t i = 0; exports && i < HOST_EXPORT_COUNT_MAX && used < room; i++) {
        int bytes = snprintf(out + used, room - used, "%s%s", i == 0 ? "" : ", ", exports->name);
        used += bytes > 0 ? (size_t)bytes : 0;
        exports = exports->next;
    }
}

static const struct mr_export *host_so_find(const struct mr_export *exports, const char *path,
                                            const char *name, struct error *error)
{
    const struct mr_export *export = exports;
    for (uint32_t i = 0; name && export && i < HOST_EXPORT_COUNT_MAX; i++) {
        if (strcmp(export->name, name) == 0)
            return export;
        export = export->next;
    }
    if (!name && !exports->next)
        return exports;
    char names[1024];
    host_so_list(exports, names, sizeof names);
    if (name)
        host_so_refuse(error, "%s: no pipeline %s: it has %s", path, name, names);
    else
        host_so_refuse(error, "%s: it has several pipelines, say which: %s", path, names);
    return NULL;
}

static int host_so_check_version(const struct mr_export *export, const char *path,
                                 struct error *error)
{
    if (export->version != MR_API_VERSION)
        return host_so_refuse(error,
                              "%s: compiled for version %u of the pipeline API, this worker has %u",
                              path, export->version, MR_API_VERSION);
    if (export->api_bytes > sizeof(struct mr_api))
        return host_so_refuse(
            error,
            "%s: compiled with a newer pipeline.h (a table of %u bytes, this worker has %zu)", path,
            export->api_bytes, sizeof(struct mr_api));
    return 0;
}

static int host_so_start(struct host *host, struct job *job)
{
    struct host_so *self = (struct host_so *)(void *)host; /* host is its first member */
    int rc = graph_run(&self->graph, job, &self->scratch, &self->context->error);
    buffer_trim(&self->scratch, BUFFER_KEEP_BYTES);
    return rc;
}
