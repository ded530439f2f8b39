/* SPDX-License-Identifier: MIT */
/*
 * cmd_check.c - `millrace check`: shows the variables of a pipeline, or says what is wrong with it,
 * or with a configuration file.
 */
#include "dispatcher/cli/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/cli/operate/control_client.h"
#include "dispatcher/cli/operate/control_report.h"
#include "dispatcher/cli/serve/check_table.h"
#include "dispatcher/cli/serve/check_worker.h"
#include "dispatcher/cli/serve/serve_config.h"
#include "dispatcher/config/cli.h"
#include "dispatcher/config/config.h"
#include "dispatcher/config/environment_said.h"
#include "dispatcher/config/exit_code.h"
#include "dispatcher/config/manifest.h"
#include "dispatcher/config/worker_owner.h"

#define CHECK_TIMEOUT_MS 60000u

struct check_values {
    const char *config_path;
    bool load;
    bool against;
    const char *control_path;
    bool json;
    uint32_t timeout_ms;
    const char *worker;
    const char *python;
    struct cli_list env, env_files;
};

static const struct cli_option options[] = {
    {"config", "FILE", CLI_TEXT, CLI_MEMBER(struct check_values, config_path), .letter = 'c',
     .help = "say what is wrong with this configuration file of serve, in place of a pipeline"},
    {"load", NULL, CLI_FLAG, CLI_MEMBER(struct check_values, load),
     .help = "with --config: load each of its pipelines, too"},
    {"against", NULL, CLI_FLAG, CLI_MEMBER(struct check_values, against),
     .help = "with --config: have a running server read it, too, and print what it would change"},
    CONTROL_CLIENT_OPTION_PATH(struct check_values),
    {"json", NULL, CLI_FLAG, CLI_MEMBER(struct check_values, json),
     .help = "print the variables as JSON, as GET /v4/pipelines/POINTER has them; with --against "
             "the server's answer"},
    {"timeout", NULL, CLI_DURATION, CLI_MEMBER(struct check_values, timeout_ms), .min = 100,
     .max = 3600000, .help = "loading takes so long at most"},
    {"worker", "PATH", CLI_TEXT, CLI_MEMBER(struct check_values, worker), .path = CLI_PATH,
     .help = "the worker program; if not said, millrace-worker beside this program or in "
             "../libexec/millrace"},
    {"python", "PATH", CLI_TEXT, CLI_MEMBER(struct check_values, python), .path = CLI_PATH_OR_NAME,
     .help = "the interpreter of a Python pipeline; if not said, python3 in PATH"},
    {"env", "NAME[=VALUE]", CLI_LIST, CLI_MEMBER(struct check_values, env),
     .max = CLI_LIST_COUNT_MAX, .help = "a variable for the worker, as of serve"},
    {"env-file", "FILE", CLI_LIST, CLI_MEMBER(struct check_values, env_files),
     .max = CLI_LIST_COUNT_MAX, .help = "variables for the worker, as of serve"},
};

const struct cli_command check_command = {
    .name = "check",
    .words = "[SOURCE[:NAME]]",
    .about =
        "Loads a pipeline in a process of its own, without its startup hook, and prints its\n"
        "inputs and outputs, or the reason why it does not load. With --config it reads a\n"
        "configuration file as serve does, and says all that is wrong with it; with --against\n"
        "a running server reads it, and says what it would change.",
    .options = options,
    .option_count = ARRAY_COUNT(options),
    .words_are = CLI_WORDS_FILES,
    .word_count_max = 1,
};

static int check_environment_fill(struct environment *environment,
                                  const struct check_values *values, char reason[CLI_REASON_BYTES]);
static int check_source(const char *source, const struct check_values *values);
static int check_pipeline(struct pipeline_config *pipeline, const struct check_values *values);
static int check_file(const struct check_values *values, const struct cli_words *words);
static void check_file_print(const char *path, const struct config *config,
                             const struct cli_range *workers);
static int check_against(const struct check_values *values);
static int check_file_pipeline(const struct config *config, uint32_t number, uint32_t user,
                               const struct check_values *values);

int cmd_check(int argc, char **argv)
{
    static struct check_values values = {.timeout_ms = CHECK_TIMEOUT_MS}; /* large for a stack */
    struct cli_words words;
    int exit_code;
    if (!cli_begin(&check_command, argc, argv, &values, &words, &exit_code))
        return exit_code;
    if (values.config_path)
        return check_file(&values, &words);
    bool needs_file = values.load || values.against || values.control_path;
    if (words.count == 0 || needs_file) {
        cli_fail("check: %s", needs_file
                                  ? "--load, --against and --control are for --config FILE"
                                  : "not enough arguments, it is: millrace check SOURCE[:NAME], or "
                                    "--config FILE");
        return EXIT_CODE_USAGE;
    }
    return check_source(words.items[0], &values);
}

static int check_source(const char *source, const struct check_values *values)
{
    int exit_code;
    struct pipeline_config pipeline;
    char reason[CLI_REASON_BYTES];
    if (pipeline_config_parse(&pipeline, source, reason) < 0) {
        cli_fail("check: %s", reason);
        return EXIT_CODE_USAGE;
    }
    bool is_told = pipeline.manifest && manifest_print(pipeline.manifest, stderr);
    if (check_environment_fill(&pipeline.environment, values, reason) < 0) {
        cli_fail("check: %s", reason);
        exit_code = EXIT_CODE_USAGE;
    } else if (pipeline_config_check_source(&pipeline, reason) < 0) {
        if (!is_told)
            cli_fail("check: %s", reason);
        exit_code = EXIT_CODE_PIPELINE;
    } else {
        exit_code = check_pipeline(&pipeline, values);
    }
    pipeline_config_finish(&pipeline);
    return exit_code;
}

/* Files first, so that words go before them. */
static int check_environment_fill(struct environment *environment,
                                  const struct check_values *values, char reason[CLI_REASON_BYTES])
{
    uint32_t file_count = values->env_files.count;
    int rc = 0;
    for (uint32_t i = 0; i < file_count + values->env.count && rc == 0; i++) {
        struct environment own = {0};
        rc = i < file_count ? environment_file_add(&own, values->env_files.items[i], reason)
                            : environment_said_add(&own, values->env.items[i - file_count], reason);
        if (rc == 0)
            rc = environment_merge(environment, &own, reason);
        environment_finish(&own);
    }
    return rc;
}

/* A user for the worker alone, as `serve` gives one when it is root. What such a user cannot read
 * is loaded as root, and it is said that `serve` would not. */
static struct own_users check_user(const struct pipeline_config *pipeline)
{
    struct own_users users;
    char why[OWN_USERS_REASON_BYTES], reason[CLI_REASON_BYTES];
    if (geteuid() != 0 || own_users_choose(&users, 1, why) < 0)
        return (struct own_users){0};
    if (worker_owner_check(users.first, pipeline, reason) == 0)
        return users;
    cli_fail("check: loaded as root, which 'millrace serve' would not do: %s", reason);
    return (struct own_users){0};
}

static void check_pipeline_print(const struct pipeline_config *pipeline,
                                 const struct variables *variables)
{
    check_table_print(pipeline->source, variables);
    if (pipeline->manifest)
        check_table_manifest_print(pipeline->manifest);
}

/* The variables are an object: its members go on in ours. */
static void check_json_print(const struct pipeline_config *pipeline,
                             const struct variables *variables)
{
    if (pipeline->manifest)
        printf("{%s,%s\n", pipeline->manifest->members, variables->json + 1);
    else
        printf("%s\n", variables->json);
}

static int check_pipeline(struct pipeline_config *pipeline, const struct check_values *values)
{
    char reason[WORKER_REASON_BYTES];
    char *worker_path = NULL;
    char *confine = NULL;
    int rc = confinement_write(NULL, pipeline, &confine, reason);
    if (rc == 0)
        rc = worker_find(values->worker, &worker_path, reason);
    if (rc == 0 && pipeline_config_is_python(pipeline))
        rc = worker_find_python(values->python, &pipeline->python_path, &pipeline->python_folder,
                                reason);
    if (rc < 0) {
        cli_fail("check: %s", reason);
        free(confine);
        free(worker_path);
        return EXIT_CODE_WORKER;
    }
    struct own_users users = check_user(pipeline);
    struct variables variables = {0};
    int exit_code =
        check_worker_load(pipeline,
                          &(struct worker_spawn_options){.worker_path = worker_path,
                                                         .python_path = pipeline->python_path,
                                                         .python_folder = pipeline->python_folder,
                                                         .confine = confine,
                                                         .environment = &pipeline->environment,
                                                         .own_user = users.first},
                          users, values->timeout_ms, &variables);
    if (exit_code == EXIT_CODE_OK && values->json)
        check_json_print(pipeline, &variables);
    else if (exit_code == EXIT_CODE_OK)
        check_pipeline_print(pipeline, &variables);
    variables_finish(&variables);
    free(confine);
    free(worker_path);
    return exit_code;
}

/* ---- a configuration file ------------------------------------------------------------------ */

/* What is wrong is said as serve says it. */
static int check_file(const struct check_values *values, const struct cli_words *words)
{
    if (words->count > 0 || (values->json && !values->against) || values->python ||
        values->env.count + values->env_files.count > 0) {
        cli_fail("check: --config FILE has the pipelines and what is said of them: beside it there "
                 "can be --load, --timeout, --worker, --against and --control");
        return EXIT_CODE_USAGE;
    }
    if (values->against)
        return check_against(values);
    struct serve_values *serve = malloc(sizeof *serve);
    if (!serve) {
        cli_fail("check: no memory");
        return EXIT_CODE_FAILED;
    }
    serve_values_init(serve);
    serve->config_path = values->config_path;
    struct cli_words none = {0};
    if (values->worker) {
        serve->worker = values->worker;
        none.given[cli_find(&serve_command, "worker") - serve_command.options] = true;
    }
    int exit_code = serve_config_fill(serve, &none);
    const struct config *config = &serve->config;
    struct cli_range workers = {0, 0};
    bool is_whole = exit_code == EXIT_CODE_OK;
    for (uint32_t i = 0; i < config->pipeline_count && is_whole; i++) {
        int code = values->load ? check_file_pipeline(config, i, workers.max, values) : 0;
        exit_code = exit_code == EXIT_CODE_OK ? code : exit_code;
        workers.min += config->pipelines[i].options.workers.min;
        workers.max += config->pipelines[i].options.workers.max;
    }
    if (exit_code == EXIT_CODE_OK)
        check_file_print(values->config_path, config, &workers);
    config_finish(&serve->config);
    free(serve);
    return exit_code;
}

static void check_count_print(const char *before, uint32_t count, const char *one, const char *some)
{
    printf("%s%u %s", before, count, count == 1 ? one : some);
}

static void check_file_print(const char *path, const struct config *config,
                             const struct cli_range *workers)
{
    printf("%s: ", path);
    check_count_print("", config->pipeline_count, "pipeline", "pipelines");
    if (workers->min < workers->max)
        printf(", %u to", workers->min);
    check_count_print(workers->min < workers->max ? " " : ", ", workers->max, "worker", "workers");
    if (config->alias_count > 0)
        check_count_print(", ", config->alias_count, "alias", "aliases");
    printf("\n");
}

static int check_against_said(const struct json_view *root, bool is_json)
{
    if (!is_json)
        report_difference_print(root, stdout);
    bool is_wrong = report_errors_print(root, check_command.name) > 0;
    return is_wrong || !report_is(root, "result", "valid") ? EXIT_CODE_USAGE : EXIT_CODE_OK;
}

/* The server reads the file: what it would find there counts, not what this process does. */
static int check_against(const struct check_values *values)
{
    char *path = realpath(values->config_path, NULL);
    if (!path || values->load) {
        cli_fail("check: %s: %s", values->config_path,
                 path ? "--load is not for a file that is compared" : strerror(errno));
        free(path);
        return EXIT_CODE_USAGE;
    }
    struct text body = {0};
    text_add(&body, "{\"config\":");
    text_add_json(&body, path, strlen(path));
    text_add_bytes(&body, "}", 2); /* with its NUL */
    free(path);
    int exit_code = EXIT_CODE_FAILED;
    if (body.failed)
        cli_fail("check: no memory");
    else
        exit_code =
            control_client_tell(check_command.name,
                                &(struct control_client_options){.path = values->control_path,
                                                                 .timeout_ms = values->timeout_ms},
                                "/control/check", body.bytes, values->json, check_against_said);
    text_finish(&body);
    return exit_code;
}

/* In the worker that serve would start for it. */
static int check_file_pipeline(const struct config *config, uint32_t number, uint32_t user,
                               const struct check_values *values)
{
    const struct pipeline_config *pipeline = &config->pipelines[number];
    bool has_own = pipeline->confinement.owner == OWNER_EACH;
    struct variables variables = {0};
    int exit_code = check_worker_load(
        pipeline,
        &(struct worker_spawn_options){.worker_path = config->worker_path,
                                       .python_path = pipeline->python_path,
                                       .python_folder = pipeline->python_folder,
                                       .confine = pipeline->confine,
                                       .environment = &pipeline->environment,
                                       .own_user = has_own ? config->own_users.first + user : 0,
                                       .python_threads = pipeline->options.python_threads,
                                       .strict = pipeline->confinement.seccomp == SECCOMP_STRICT},
        config->own_users, values->timeout_ms, &variables);
    if (exit_code == EXIT_CODE_OK) {
        cli_print(stdout, pipeline->pointer);
        printf(" is ");
        check_pipeline_print(pipeline, &variables);
    }
    variables_finish(&variables);
    return exit_code;
}
