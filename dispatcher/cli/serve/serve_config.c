/* SPDX-License-Identifier: MIT */
/* serve_config.c - options and files become a configuration that can be served. */
#include "dispatcher/cli/serve/serve_config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "dispatcher/config/config_file.h"
#include "dispatcher/config/exit_code.h"
#include "dispatcher/config/manifest.h"
#include "dispatcher/config/pipeline_folder.h"
#include "dispatcher/config/pipeline_options.h"
#include "dispatcher/config/refuse.h"
#include "dispatcher/config/token_class.h"
#include "dispatcher/config/worker_owner.h"
#include "dispatcher/workers/worker_spawn.h"
#include "shm/segment.h"

#define LINE_BYTES 2048u

static int serve_file_fill(struct serve_values *values, const struct cli_words *words);
static int serve_usage_fill(struct serve_values *values, const struct cli_words *words);
static int serve_tokens_fill(struct serve_values *values);
static int serve_token_classes_fill(struct serve_values *values);
static int serve_limits_fill(struct serve_values *values);
static int serve_sources_check(struct serve_values *values);
static int serve_worker_fill(struct serve_values *values);
static int serve_confinement_fill(struct serve_values *values);

/* What can be told from the command line alone is told first, then what the files say. */
int serve_config_fill(struct serve_values *values, const struct cli_words *words)
{
    int exit_code = serve_file_fill(values, words);
    if (exit_code == EXIT_CODE_OK)
        exit_code = serve_usage_fill(values, words);
    if (exit_code == EXIT_CODE_OK)
        exit_code = serve_tokens_fill(values);
    if (exit_code == EXIT_CODE_OK)
        exit_code = serve_token_classes_fill(values);
    if (exit_code == EXIT_CODE_OK)
        exit_code = serve_limits_fill(values);
    if (exit_code == EXIT_CODE_OK)
        exit_code = serve_sources_check(values);
    if (exit_code == EXIT_CODE_OK)
        exit_code = serve_worker_fill(values);
    if (exit_code == EXIT_CODE_OK)
        exit_code = serve_confinement_fill(values);
    return exit_code;
}

static void __attribute__((format(printf, 2, 3)))
serve_complain(const struct serve_values *values, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (values->complaints)
        fprintf(values->complaints, "%s\n", line);
    else
        cli_fail("serve: %s", line);
}

static int serve_fail(const struct serve_values *values, int rc, const char *reason)
{
    serve_complain(values, "%s", reason);
    return rc == -ENOMEM ? EXIT_CODE_FAILED : EXIT_CODE_USAGE;
}

static int serve_file_fill(struct serve_values *values, const struct cli_words *words)
{
    struct problems problems = {0};
    if (!values->config_path)
        return EXIT_CODE_OK;
    values->config.said.file = values->config_path;
    int rc = config_file_read(&(struct config_file){.path = values->config_path,
                                                    .command = &serve_command,
                                                    .words = words,
                                                    .values = values,
                                                    .config = &values->config},
                              &problems);
    problems_print(&problems, values->complaints ? values->complaints : stderr);
    problems_finish(&problems);
    return rc == 0 ? EXIT_CODE_OK : rc == -ENOMEM ? EXIT_CODE_FAILED : EXIT_CODE_USAGE;
}

static int serve_usage_fill(struct serve_values *values, const struct cli_words *words)
{
    struct config *config = &values->config;
    char reason[CLI_REASON_BYTES];
    if (words->count == 0 && config->pipeline_count == 0) {
        if (values->config_path)
            serve_complain(values, "%s has no pipelines, and there are none beside it",
                           values->config_path);
        else
            serve_complain(values, "not enough arguments, it is: millrace serve %s",
                           serve_command.words);
        return EXIT_CODE_USAGE;
    }
    for (int i = 0; i < words->count; i++) {
        int rc = config_add_pipeline(config, words->items[i], reason);
        if (rc < 0)
            return serve_fail(values, rc, reason);
    }
    for (uint32_t i = 0; i < values->listen.count; i++) {
        int rc = config_add_listen(config, values->listen.items[i], reason);
        if (rc < 0)
            return serve_fail(values, rc, reason);
    }
    int rc = pipeline_options_fill(config, reason);
    if (rc == 0)
        rc = pipeline_folders_fill(config, reason);
    if (rc < 0)
        return serve_fail(values, rc, reason);
    if (values->crash_traceback && values->tracebacks == TRACEBACKS_OFF) {
        snprintf(reason, sizeof(reason),
                 "--crash-traceback is --tracebacks client, and --tracebacks off is there, too");
        return serve_fail(values, -EINVAL, reason);
    }
    config->log_level = (enum log_level)values->log_level;
    config->log_format = (enum log_format)values->log_format;
    bool is_known = serve_log_runs_read(values->log_runs, &config->log_runs);
    mr_assert(is_known);
    config->metrics_access = (enum metrics_access)values->metrics;
    config->pipeline_error_status = values->error_status == 0 ? 200 : 500;
    config->tracebacks =
        values->crash_traceback ? TRACEBACKS_CLIENT : (enum tracebacks)values->tracebacks;
    return EXIT_CODE_OK;
}

static int serve_tokens_fill(struct serve_values *values)
{
    const char *path = values->token_file;
    if (!path)
        return EXIT_CODE_OK;
    char reason[256];
    int rc = tokens_load(&values->config.tokens, path, reason, sizeof(reason));
    if (rc < 0) {
        serve_complain(values, "--token-file %s: %s", path, rc == -EINVAL ? reason : strerror(-rc));
        return EXIT_CODE_TOKENS;
    }
    struct stat file;
    if (!values->complaints && stat(path, &file) == 0 && S_ISREG(file.st_mode) &&
        (file.st_mode & 07) != 0)
        cli_fail("warning: --token-file %s is open to every user of this machine (mode %04o)", path,
                 (unsigned)file.st_mode & 07777);
    return EXIT_CODE_OK;
}

static int serve_token_classes_fill(struct serve_values *values)
{
    char reason[CLI_REASON_BYTES];
    int rc = token_classes_fill(&values->config, reason);
    return rc < 0 ? serve_fail(values, rc, reason) : EXIT_CODE_OK;
}

/* Raises the limit on descriptors as far as it goes; what it is then bounds the connections. */
static uint64_t serve_fd_limit_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
        return 0;
    struct rlimit raised = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
        limit = raised;
    return limit.rlim_cur;
}

static uint64_t serve_segment_bytes(const struct pipeline_options *of)
{
    return segment_bytes(&(struct segment_options){.slot_count = of->concurrency,
                                                   .request_ring_bytes = of->request_ring_bytes,
                                                   .reply_ring_bytes = of->reply_ring_bytes,
                                                   .window_bytes = of->window_bytes});
}

/* What a worker shares with the server is a file to the kernel, though one in memory. */
static int serve_file_limit_check(const struct config *config, char reason[CLI_REASON_BYTES])
{
    struct rlimit limit;
    uint64_t needed = 0;
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        uint64_t bytes = serve_segment_bytes(&config->pipelines[i].options);
        needed = bytes > needed ? bytes : needed;
    }
    if (getrlimit(RLIMIT_FSIZE, &limit) == -1 || needed <= limit.rlim_cur)
        return 0;
    return refuse(reason,
                  "the limit on the size of files is %llu bytes (ulimit -f, LimitFSIZE=), and a "
                  "worker needs %llu bytes of memory that it shares with the server",
                  (unsigned long long)limit.rlim_cur, (unsigned long long)needed);
}

static int serve_limits_fill(struct serve_values *values)
{
    struct config *config = &values->config;
    char reason[CLI_REASON_BYTES];
    int rc = config_complete(config, serve_fd_limit_raise(), reason);
    if (rc == 0)
        rc = serve_file_limit_check(config, reason);
    return rc < 0 ? serve_fail(values, rc, reason) : EXIT_CODE_OK;
}

/* A file that its workers alone can read is as good as one that never changes. Of a manifest there
 * are two: what it says, and the module that it names. */
static void serve_digest_take(const struct serve_values *values, struct pipeline_config *pipeline)
{
    struct source_digest module = {{0}};
    const char *path = pipeline->manifest ? pipeline->manifest->module_path : NULL;
    if (!values->config_path || pipeline->kind == SOURCE_PYTHON_MODULE)
        return;
    int rc = source_digest_take(&pipeline->digest, pipeline->source);
    if (rc == 0 && path)
        rc = source_digest_take(&module, path);
    (void)rc;
    for (size_t i = 0; i < sizeof module.bytes; i++)
        pipeline->digest.bytes[i] ^= module.bytes[i];
}

/* All that cannot be loaded are told. What is in the files is looked at where they can change. */
static int serve_sources_check(struct serve_values *values)
{
    struct config *config = &values->config;
    int exit_code = EXIT_CODE_OK;
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        struct pipeline_config *pipeline = &config->pipelines[i];
        char reason[CLI_REASON_BYTES];
        FILE *told = values->complaints ? values->complaints : stderr;
        bool is_told = pipeline->manifest && manifest_print(pipeline->manifest, told);
        if (pipeline_config_check_source(pipeline, reason) == 0) {
            serve_digest_take(values, pipeline);
            continue;
        }
        exit_code = EXIT_CODE_PIPELINE;
        if (is_told)
            continue;
        if (pipeline->place.line > 0)
            serve_complain(values, "%s:%u:%u: %s", config->said.file, pipeline->place.line,
                           pipeline->place.column, reason);
        else
            serve_complain(values, "%s", reason);
    }
    return exit_code;
}

/* Each interpreter is looked for once. */
static int serve_python_fill(struct config *config, uint32_t number,
                             char reason[WORKER_REASON_BYTES])
{
    struct pipeline_config *pipeline = &config->pipelines[number];
    if (!pipeline_config_is_python(pipeline))
        return 0;
    for (uint32_t i = 0; i < number; i++) {
        const struct pipeline_config *other = &config->pipelines[i];
        bool is_same = pipeline->python && other->python
                           ? strcmp(pipeline->python, other->python) == 0
                           : pipeline->python == other->python;
        if (!other->python_path || !is_same)
            continue;
        snprintf(reason, WORKER_REASON_BYTES, "no memory");
        pipeline->python_path = strdup(other->python_path);
        pipeline->python_folder = strdup(other->python_folder);
        return pipeline->python_path && pipeline->python_folder ? 0 : -ENOMEM;
    }
    return worker_find_python(pipeline->python, &pipeline->python_path, &pipeline->python_folder,
                              reason);
}

static int serve_worker_fill(struct serve_values *values)
{
    struct config *config = &values->config;
    char reason[WORKER_REASON_BYTES];
    int rc = worker_find(values->worker, &config->worker_path, reason);
    for (uint32_t i = 0; i < config->pipeline_count && rc == 0; i++)
        rc = serve_python_fill(config, i, reason);
    if (rc == 0)
        return EXIT_CODE_OK;
    serve_complain(values, "%s", reason);
    return EXIT_CODE_WORKER;
}

static int serve_confinement_fill(struct serve_values *values)
{
    struct config *config = &values->config;
    char reason[CLI_REASON_BYTES];
    int rc = worker_owners_decide(config, reason);
    for (uint32_t i = 0; i < config->pipeline_count && rc == 0; i++) {
        struct pipeline_config *pipeline = &config->pipelines[i];
        rc = confinement_write(config, pipeline, &pipeline->confine, reason);
    }
    return rc < 0 ? serve_fail(values, rc, reason) : EXIT_CODE_OK;
}
