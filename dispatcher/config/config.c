/* SPDX-License-Identifier: MIT */
/*
 * config.c - what `millrace serve` was told, checked and complete; constant while it runs.
 */
#include "dispatcher/config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dispatcher/config/fetch_rule.h"
#include "dispatcher/config/host_name.h"
#include "dispatcher/config/manifest.h"
#include "dispatcher/config/pointer.h"
#include "dispatcher/config/refuse.h"
#include "dispatcher/config/source_name.h"
#include "dispatcher/reactor/input_memory.h"

static int config_no_memory(char reason[CLI_REASON_BYTES]);
static int config_pipeline_append(struct config *config, struct pipeline_config *pipeline,
                                  char reason[CLI_REASON_BYTES]);
static int config_pipeline_make(struct pipeline_config *out, const char *argument,
                                const char *folder, char reason[CLI_REASON_BYTES]);
static int config_pipeline_set_source(struct pipeline_config *out, const char *rest,
                                      char reason[CLI_REASON_BYTES]);
static int config_pipeline_set_pointer(struct pipeline_config *out, const char *text, size_t bytes,
                                       char reason[CLI_REASON_BYTES]);
static int config_origins_check(const struct config *config, char reason[CLI_REASON_BYTES]);
static int config_auth_check(const struct config *config, char reason[CLI_REASON_BYTES]);
static int config_cors_make(struct config *config, char reason[CLI_REASON_BYTES]);
static int config_runs_derive(struct config *config, char reason[CLI_REASON_BYTES]);
static int config_input_check(const struct config *config, char reason[CLI_REASON_BYTES]);
static int config_conns_derive(struct config *config, uint64_t fd_count_max,
                               char reason[CLI_REASON_BYTES]);

uint32_t config_place_count(const struct config *config)
{
    uint32_t count = RENEWAL_PLACE_COUNT;
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        const struct pipeline_config *pipeline = &config->pipelines[i];
        count += pipeline_config_worker_max(pipeline) + pipeline->options.recycle_overlap +
                 (pipeline->options.preload != PRELOAD_NONE);
    }
    return count;
}

uint32_t pipeline_config_worker_max(const struct pipeline_config *pipeline)
{
    const struct pipeline_options *options = &pipeline->options;
    bool is_counted =
        !options->devices_count_workers || device_choice_count(&pipeline->devices) > 0;
    uint32_t usual = DEVICE_COUNT_USUAL * options->workers_per_device;
    if (is_counted)
        return options->workers.max;
    return usual < WORKER_COUNT_MAX ? usual : WORKER_COUNT_MAX;
}

void config_init(struct config *config)
{
    *config = (struct config){
        .options =
            {
                .workers = {1, 1},
                .ready_count_min = 1,
                .worker_idle_ms = WORKER_IDLE_TIMEOUT_MS,
                .concurrency = 1,
                .batch_count_max = BATCH_COUNT_MAX,
                .batch_wait_ms = BATCH_WAIT_MS,
                .request_ring_bytes = REQUEST_RING_BYTES,
                .reply_ring_bytes = REPLY_RING_BYTES,
                .window_bytes = RUN_WINDOW_BYTES,
                .queue_count_max = RUN_QUEUE_COUNT_MAX,
                .queue_timeout_ms = RUN_QUEUE_TIMEOUT_MS,
                .affinity_load = AFFINITY_LOAD,
                .progress_timeout_ms = RUN_PROGRESS_TIMEOUT_MS,
                .quarantine_after = WORKER_QUARANTINE_AFTER,
                .quarantine_retry_ms = WORKER_BACKOFF_MS_MAX,
                .cancel_grace_ms = RUN_CANCEL_GRACE_MS,
                .workers_per_device = 1,
                .device_hold_ms = DEVICE_HOLD_MS,
                .on_cuda_error = DEVICE_POLICY_PROBE,
                .on_cuda_oom = DEVICE_POLICY_RECYCLE,
                .on_oom = DEVICE_POLICY_KEEP,
                .start_timeout_ms = WORKER_START_TIMEOUT_MS,
            },
        .input_bytes_max = INPUT_BYTES_DEFAULT,
        .output_bytes_max = OUTPUT_BYTES_DEFAULT,
        .body_bytes_max = HTTP_BODY_BYTES_MAX,
        .head_timeout_ms = HTTP_HEAD_TIMEOUT_MS,
        .idle_timeout_ms = HTTP_IDLE_TIMEOUT_MS,
        .stall_timeout_ms = RUN_STALL_TIMEOUT_MS,
        .file_bytes_max = FILE_BYTES_DEFAULT,
        .files_total_bytes = FILES_TOTAL_BYTES_DEFAULT,
        .fetch_timeout_ms = FETCH_TIMEOUT_MS,
        .keepalive_ms = RUN_KEEPALIVE_MS,
        .stop_timeout_ms = STOP_TIMEOUT_MS,
        .pipeline_error_status = 200,
        .log_runs = LOG_RUNS_ALL,
        .log_level = LEVEL_INFO,
    };
}

int config_add_pipeline(struct config *config, const char *argument, char reason[CLI_REASON_BYTES])
{
    if (config->pipeline_count == PIPELINE_COUNT_MAX)
        return refuse(reason, "%u pipelines at most", PIPELINE_COUNT_MAX);
    struct pipeline_config pipeline;
    int rc = pipeline_config_parse(&pipeline, argument, reason);
    return rc < 0 ? rc : config_pipeline_append(config, &pipeline, reason);
}

int config_add_source(struct config *config, const char *pointer, const char *source,
                      const char *folder, struct document_place place,
                      char reason[CLI_REASON_BYTES])
{
    struct pipeline_config pipeline;
    char *argument;
    if (config->pipeline_count == PIPELINE_COUNT_MAX)
        return refuse(reason, "%u pipelines at most", PIPELINE_COUNT_MAX);
    if (asprintf(&argument, "%s=%s", pointer, source) == -1)
        return config_no_memory(reason);
    int rc = config_pipeline_make(&pipeline, argument, folder, reason);
    free(argument);
    if (rc < 0)
        return rc;
    pipeline.place = place;
    return config_pipeline_append(config, &pipeline, reason);
}

int config_text_adopt(struct config *config, char *text)
{
    char **texts = realloc(config->texts, (config->text_count + 1) * sizeof *texts);
    if (!texts) {
        free(text);
        return -ENOMEM;
    }
    config->texts = texts;
    texts[config->text_count++] = text;
    return 0;
}

/* "none" allows nothing, so nothing is allowed besides. */
static int config_fetching_derive(struct config *config, char reason[CLI_REASON_BYTES])
{
    const struct cli_list *allowed = &config->fetch_allow;
    for (uint32_t i = 0; i < allowed->count; i++)
        if (fetch_rule_is_none(allowed->items[i]) && allowed->count > 1)
            return refuse(reason, "--fetch-allow none: and something else beside it");
    if (config->fetch_bytes_max == 0)
        config->fetch_bytes_max = config->file_bytes_max;
    return 0;
}

int config_complete(struct config *config, uint64_t fd_count_max, char reason[CLI_REASON_BYTES])
{
    int rc = 0;
    if (config->listen_count == 0)
        rc = config_add_listen(config, LISTEN_DEFAULT, reason);
    if (rc == 0)
        rc = config_auth_check(config, reason);
    if (rc == 0)
        rc = config_cors_make(config, reason);
    if (rc == 0)
        rc = config_runs_derive(config, reason);
    if (rc == 0)
        rc = config_input_check(config, reason);
    if (rc == 0)
        rc = config_conns_derive(config, fd_count_max, reason);
    if (rc == 0)
        rc = config_fetching_derive(config, reason);
    return rc;
}

void config_finish(struct config *config)
{
    for (uint32_t i = 0; i < config->pipeline_count; i++)
        pipeline_config_finish(&config->pipelines[i]);
    for (uint32_t i = 0; i < config->listen_count; i++)
        free(config->listen[i]);
    free(config->worker_path);
    said_finish(&config->said);
    for (uint32_t i = 0; i < config->text_count; i++)
        free(config->texts[i]);
    free(config->texts);
    tokens_finish(&config->tokens);
    cors_finish(&config->cors);
    free(config->holders);
    *config = (struct config){0};
}

static int config_no_memory(char reason[CLI_REASON_BYTES])
{
    snprintf(reason, CLI_REASON_BYTES, "no memory");
    return -ENOMEM;
}

/* ---- pipelines ----------------------------------------------------------------------------- */

/* Takes what the pipeline owns, or frees it. */
static int config_pipeline_append(struct config *config, struct pipeline_config *pipeline,
                                  char reason[CLI_REASON_BYTES])
{
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        if (strcmp(config->pipelines[i].pointer, pipeline->pointer) == 0) {
            snprintf(reason, CLI_REASON_BYTES,
                     "two pipelines are %s: put another POINTER= before one of them",
                     pipeline->pointer);
            pipeline_config_finish(pipeline);
            return -EINVAL;
        }
    }
    pipeline->options = config->options;
    config->pipelines[config->pipeline_count++] = *pipeline;
    return 0;
}

int pipeline_config_parse(struct pipeline_config *out, const char *argument,
                          char reason[CLI_REASON_BYTES])
{
    return config_pipeline_make(out, argument, "", reason);
}

static int config_pipeline_set_folder(struct pipeline_config *out, const char *folder,
                                      char reason[CLI_REASON_BYTES])
{
    char *path;
    if (out->kind == SOURCE_PYTHON_MODULE || *out->source == '/' || *folder == '\0')
        return 0;
    if (asprintf(&path, "%s%s%s", folder, strcmp(folder, "/") == 0 ? "" : "/", out->source) == -1)
        return config_no_memory(reason);
    free(out->source);
    out->source = path;
    return 0;
}

/* Of a pipeline.yaml, or a folder, what it says. */
static int config_pipeline_set_manifest(struct pipeline_config *out, char reason[CLI_REASON_BYTES])
{
    if (out->kind == SOURCE_PYTHON_MODULE ||
        (out->kind != SOURCE_MANIFEST && !manifest_is_folder(out->source)))
        return 0;
    if (out->name)
        return refuse(reason, "%.200s says itself which pipeline it is: leave :%.200s out",
                      out->source, out->name);
    out->kind = SOURCE_MANIFEST;
    if (manifest_open(out->source, &out->manifest) < 0)
        return config_no_memory(reason);
    free(out->source);
    out->source = strdup(out->manifest->path);
    if (out->manifest->graph)
        out->name = strdup(out->manifest->graph);
    return out->source && (out->name || !out->manifest->graph) ? 0 : config_no_memory(reason);
}

/* A path in the argument begins at the folder. */
static int config_pipeline_make(struct pipeline_config *out, const char *argument,
                                const char *folder, char reason[CLI_REASON_BYTES])
{
    struct pipeline_config pipeline = {0};
    /* A pointer has no '=', a path may have some: the first one ends the pointer. */
    const char *equals = strchr(argument, '=');
    int rc = config_pipeline_set_source(&pipeline, equals ? equals + 1 : argument, reason);
    if (rc == 0)
        rc = config_pipeline_set_folder(&pipeline, folder, reason);
    if (rc == 0)
        rc = config_pipeline_set_manifest(&pipeline, reason);
    if (rc == 0)
        rc = config_pipeline_set_pointer(&pipeline, argument,
                                         equals ? (size_t)(equals - argument) : 0, reason);
    if (rc < 0) {
        pipeline_config_finish(&pipeline);
        return rc;
    }
    char hash[TOKEN_HASH_BYTES];
    token_hash(pipeline.pointer, strlen(pipeline.pointer), hash);
    snprintf(pipeline.id, sizeof(pipeline.id), "pipeline_%.32s", hash);
    *out = pipeline;
    return 0;
}

void pipeline_config_finish(struct pipeline_config *pipeline)
{
    free(pipeline->pointer);
    free(pipeline->source);
    free(pipeline->name);
    manifest_free(pipeline->manifest);
    free(pipeline->python_path);
    free(pipeline->python_folder);
    free(pipeline->confine);
    environment_finish(&pipeline->environment);
    environment_finish(&pipeline->device_environment);
    *pipeline = (struct pipeline_config){0};
}

bool pipeline_config_is_python(const struct pipeline_config *pipeline)
{
    if (pipeline->kind == SOURCE_MANIFEST)
        return !pipeline->manifest->is_native;
    return pipeline->kind != SOURCE_SHARED_OBJECT;
}

const char *pipeline_config_path(const struct pipeline_config *pipeline)
{
    if (pipeline->kind == SOURCE_MANIFEST)
        return pipeline->manifest->module_path;
    return pipeline->kind == SOURCE_PYTHON_MODULE ? NULL : pipeline->source;
}

int pipeline_config_check_source(const struct pipeline_config *pipeline,
                                 char reason[CLI_REASON_BYTES])
{
    struct stat file;
    int error = 0;
    const char *path = pipeline_config_path(pipeline);
    if (pipeline->manifest && manifest_error(pipeline->manifest))
        return refuse(reason, "%s", manifest_error(pipeline->manifest));
    if (!path)
        return 0;
    if (stat(path, &file) == -1)
        error = errno;
    else if (S_ISDIR(file.st_mode))
        error = EISDIR;
    else if (!S_ISREG(file.st_mode))
        error = ENOEXEC;
    else if (faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == -1)
        error = errno;
    if (error == 0)
        return 0;
    snprintf(reason, CLI_REASON_BYTES, "%s: %s", path,
             error == ENOEXEC ? "Not a regular file" : strerror(error));
    return -error;
}

static bool config_ends_with(const char *text, const char *end)
{
    size_t bytes = strlen(text);
    return bytes > strlen(end) && strcmp(text + bytes - strlen(end), end) == 0;
}

/* A shared object may have any name; one that Python could import needs NAME and no .so. */
static enum source_kind config_source_kind_of(const char *source, bool has_name)
{
    if (config_ends_with(source, ".py"))
        return SOURCE_PYTHON_FILE;
    if (manifest_is_path(source))
        return SOURCE_MANIFEST;
    if (has_name && !config_ends_with(source, ".so") && source_name_is_module(source))
        return SOURCE_PYTHON_MODULE;
    return SOURCE_SHARED_OBJECT;
}

/* SOURCE[:NAME]. What follows the last colon is a name unless it has a slash. */
static int config_pipeline_set_source(struct pipeline_config *out, const char *rest,
                                      char reason[CLI_REASON_BYTES])
{
    const char *colon = strrchr(rest, ':');
    if (colon && strchr(colon, '/'))
        colon = NULL;
    int source_bytes = (int)(colon ? (size_t)(colon - rest) : strlen(rest));
    if (source_bytes == 0)
        return refuse(reason, "no source in '%s': it is [POINTER=]SOURCE[:NAME]", rest);
    if (colon && !source_name_is_pipeline(colon + 1))
        return refuse(reason, "'%s' is not the name of a pipeline (letters, digits and _)",
                      colon + 1);
    char *source = strndup(rest, (size_t)source_bytes);
    if (!source)
        return config_no_memory(reason);
    out->source = source;
    out->kind = config_source_kind_of(source, colon != NULL);
    /* dlopen() would look for a path without a slash in the library folders. */
    if (out->kind != SOURCE_PYTHON_MODULE && !strchr(source, '/')) {
        int rc = asprintf(&out->source, "./%s", source);
        free(source);
        if (rc == -1) {
            out->source = NULL;
            return config_no_memory(reason);
        }
    }
    if (colon && !(out->name = strdup(colon + 1)))
        return config_no_memory(reason);
    return 0;
}

/* local/NAME:v1, with the name of the pipeline or else of its file. A manifest with errors, which
 * will be refused, gets one that no other has. NULL: no memory. */
static char *config_pointer_make(const struct pipeline_config *pipeline)
{
    const char *slash = strrchr(pipeline->source, '/');
    const char *file = slash ? slash + 1 : pipeline->source;
    const char *dot = strrchr(file, '.');
    const char *stem = pipeline->name ? pipeline->name : file;
    int stem_bytes = (int)(!pipeline->name && dot ? (size_t)(dot - file) : strlen(stem));
    char hash[TOKEN_HASH_BYTES];
    char *pointer;
    if (pipeline->manifest && manifest_error(pipeline->manifest)) {
        token_hash(pipeline->source, strlen(pipeline->source), hash);
        stem = hash;
        stem_bytes = 32;
    }
    return asprintf(&pointer, "local/%.*s:v1", stem_bytes, stem) == -1 ? NULL : pointer;
}

/* The pointer that was said, in `bytes` of `text`, or the one that its manifest says, or any. */
static int config_pipeline_set_pointer(struct pipeline_config *out, const char *text, size_t bytes,
                                       char reason[CLI_REASON_BYTES])
{
    bool is_default = bytes == 0 && text[0] != '=';
    if (!is_default)
        out->pointer = strndup(text, bytes);
    else if (out->manifest)
        out->pointer = manifest_pointer(out->manifest);
    if (is_default && !out->pointer)
        out->pointer = config_pointer_make(out);
    if (!out->pointer)
        return config_no_memory(reason);
    if (pointer_is_valid(out->pointer, strlen(out->pointer)))
        return 0;
    if (is_default)
        return refuse(reason, "'%s' makes no pointer: put one like me/words:v1= before it", text);
    return refuse(reason, "'%s' is not a pointer like me/words:v1", out->pointer);
}

/* ---- addresses ----------------------------------------------------------------------------- */

int config_add_listen(struct config *config, const char *text, char reason[CLI_REASON_BYTES])
{
    if (config->listen_count == LISTEN_COUNT_MAX)
        return refuse(reason, "%u addresses to listen on at most", LISTEN_COUNT_MAX);
    int rc = listen_address_make(text, &config->listen[config->listen_count], reason);
    config->listen_count += rc == 0;
    return rc;
}

int config_listen_check(const char *text, char reason[CLI_REASON_BYTES])
{
    char *address = NULL;
    int rc = listen_address_make(text, &address, reason);
    free(address);
    return rc;
}

/* ---- what concerns several options --------------------------------------------------------- */

static int config_origins_check(const struct config *config, char reason[CLI_REASON_BYTES])
{
    const struct cli_list *hosts = &config->allow_hosts, *origins = &config->allow_origins;
    if (config->tokens.count > 0 && hosts->count + origins->count > 0)
        return refuse(reason,
                      "--allow-host and --allow-origin are for servers without tokens: with "
                      "--token-file it is the token that counts");
    return 0;
}

/* Without tokens only this machine may reach the server, unless that is said to be meant. */
static int config_auth_check(const struct config *config, char reason[CLI_REASON_BYTES])
{
    if (config->no_auth && config->tokens.count > 0)
        return refuse(reason, "--no-auth and --token-file contradict each other");
    if (config->tokens_share && config->tokens.count == 0)
        return refuse(reason, "--tokens-share is for tokens, and there is no --token-file");
    int rc = config_origins_check(config, reason);
    if (rc < 0 || config->no_auth || config->tokens.count > 0)
        return rc;
    for (uint32_t i = 0; i < config->listen_count; i++) {
        struct sockaddr_storage address;
        socklen_t bytes;
        rc = listen_address_parse(config->listen[i], &address, &bytes, reason);
        if (rc < 0)
            return rc;
        if (!listen_address_is_loopback(&address))
            return refuse(reason,
                          "--listen %s can be reached from other machines: give --token-file FILE "
                          "('millrace token new NAME' makes a line of it) or say --no-auth",
                          config->listen[i]);
    }
    return 0;
}

/* Where no token is asked for, a page that may read answers needs nothing else to run pipelines. */
static int config_cors_make(struct config *config, char reason[CLI_REASON_BYTES])
{
    cors_finish(&config->cors);
    int rc = cors_init(&config->cors, &config->cors_origins, reason);
    if (rc == 0 && cors_is_open(&config->cors) && !config->no_auth && config->tokens.count == 0)
        return refuse(reason,
                      "--cors-origin %s without tokens: every web page that is opened on this "
                      "machine could run pipelines and read what they give. Name the origins, give "
                      "--token-file FILE, or say --no-auth",
                      config->cors.is_any ? CORS_ANY : "null");
    return rc;
}

/* Runs there can be at once. */
static uint64_t config_runs_count(const struct config *config)
{
    uint64_t running = 0, queued = 0;
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        const struct pipeline_options *options = &config->pipelines[i].options;
        /* One more: a run that is being refused is a run, too. */
        running += (uint64_t)options->workers.max * options->concurrency + 1;
        queued += options->queue_count_max;
    }
    if (config->queue_total_max > 0 && config->queue_total_max < queued)
        queued = config->queue_total_max;
    return running + queued;
}

static void config_rings_derive(struct pipeline_options *options)
{
    while (options->request_ring_bytes < options->concurrency * REQUEST_RING_BYTES_PER_SLOT)
        options->request_ring_bytes *= 2;
}

static int config_runs_derive(struct config *config, char reason[CLI_REASON_BYTES])
{
    for (uint32_t i = 0; i < config->pipeline_count; i++)
        config_rings_derive(&config->pipelines[i].options);
    uint64_t total = config_runs_count(config);
    if (total > RUN_COUNT_MAX)
        return refuse(reason,
                      "--workers x --concurrency + --queue of each pipeline are together %llu runs "
                      "at once, at most %u",
                      (unsigned long long)total, RUN_COUNT_MAX);
    config->run_count_max = (uint32_t)total;
    return 0;
}

static int config_input_check(const struct config *config, char reason[CLI_REASON_BYTES])
{
    if (config->input_bytes_max >= config->body_bytes_max)
        return 0;
    return refuse(reason, "--input-memory %llu is less than one body of --body-limit %u",
                  (unsigned long long)config->input_bytes_max, config->body_bytes_max);
}

static int config_conns_derive(struct config *config, uint64_t fd_count_max,
                               char reason[CLI_REASON_BYTES])
{
    uint64_t worker_count = config_place_count(config);
    uint64_t needed = FD_COUNT_RESERVED + worker_count * FD_COUNT_PER_WORKER;
    uint64_t wanted = config->conn_count_max ? config->conn_count_max : 1;
    config->conn_count_said = config->conn_count_max;
    if (needed + wanted > fd_count_max)
        return refuse(reason,
                      "%llu workers and %llu connections need %llu descriptors, the limit is %llu "
                      "(ulimit -Hn, LimitNOFILE=)",
                      (unsigned long long)worker_count - RENEWAL_PLACE_COUNT,
                      (unsigned long long)wanted, (unsigned long long)(needed + wanted),
                      (unsigned long long)fd_count_max);
    if (config->conn_count_max == 0) {
        uint64_t left = fd_count_max - needed;
        config->conn_count_max = left < CONN_COUNT_DEFAULT ? (uint32_t)left : CONN_COUNT_DEFAULT;
    }
    uint64_t spare = fd_count_max - needed - config->conn_count_max + BODY_FILE_COUNT_MIN;
    config->body_file_count_max =
        spare < INPUT_FILE_COUNT_MAX ? (uint32_t)spare : INPUT_FILE_COUNT_MAX;
    return 0;
}
