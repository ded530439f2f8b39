/* SPDX-License-Identifier: MIT */
/*
 * cmd_run.c - `millrace run`: asks a server for a pipeline's inputs, runs it, prints as it comes.
 *
 * A stream that ends without its last chunk is an error, and so is one whose trailers count other
 * lines than came. Ctrl-C ends this process, which closes the connection, which cancels the run.
 */
#include "dispatcher/commands.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/cli.h"
#include "dispatcher/client.h"
#include "dispatcher/client_inputs.h"
#include "dispatcher/client_lines.h"
#include "dispatcher/config.h"
#include "dispatcher/serve.h"

#define URL_DEFAULT "http://127.0.0.1:8080"
#define DESCRIPTION_BYTES_MAX (4u * 1024 * 1024)

struct run_values {
    const char *url;
    const char *token;
    uint32_t timeout_ms;
    bool json;
};

static const struct cli_option options[] = {
    {"url", "URL", CLI_TEXT, CLI_MEMBER(struct run_values, url),
     .help = "the server; if not said, PIPELINE_API_URL or " URL_DEFAULT},
    {"token", "TOKEN", CLI_TEXT, CLI_MEMBER(struct run_values, token),
     .help = "the token; if not said, PIPELINE_API_TOKEN, which other users cannot see"},
    {"timeout", NULL, CLI_DURATION, CLI_MEMBER(struct run_values, timeout_ms), .min = 1,
     .max = 24 * 3600000,
     .help = "the run takes so long at most; if not said, as long as it takes"},
    {"json", NULL, CLI_FLAG, CLI_MEMBER(struct run_values, json),
     .help = "print the lines as the server sends them"},
};

static const struct cli_command command = {
    .name = "run",
    .words = "POINTER [INPUT]...",
    .about =
        "Runs a pipeline of a server and prints its outputs, a line each, as they come. INPUT\n"
        "is text for a string and JSON for any other type; @FILE takes it from a file, @- from\n"
        "stdin, @@TEXT is the text @TEXT.",
    .options = options,
    .option_count = ARRAY_COUNT(options),
    .word_count_min = 1,
    .word_count_max = 1 + (int)INPUT_COUNT_MAX,
};

static bool values_complete(struct run_values *values);
static int run_pipeline(const struct run_values *values, const struct cli_words *words);
static int run_described(struct client *client, const struct run_values *values,
                         const struct cli_words *words);
static int description_get(struct client *client, const char *pointer, struct text *answer);
static int body_make(const struct text *description, const struct cli_words *words,
                     struct text *body);
static int run_stream(struct client *client, const struct run_values *values,
                      const struct text *body);
static int request_failed(int rc, const char *reason);

/* "pipeline_" and 32 hex digits. */
static bool is_id(const char *text)
{
    size_t prefix_bytes = strlen("pipeline_");
    return strncmp(text, "pipeline_", prefix_bytes) == 0 &&
           strspn(text + prefix_bytes, "0123456789abcdef") ==
               PIPELINE_ID_BYTES - 1 - prefix_bytes &&
           strlen(text) == PIPELINE_ID_BYTES - 1;
}

int cmd_run(int argc, char **argv)
{
    struct run_values values = {0};
    struct cli_words words;
    int exit_code;
    if (!cli_begin(&command, argc, argv, &values, &words, &exit_code))
        return exit_code;
    if (!values_complete(&values))
        return EXIT_CODE_USAGE;
    const char *pointer = words.items[0];
    if (!pointer_is_valid(pointer, strlen(pointer)) && !is_id(pointer)) {
        cli_fail("run: '%s' is not a pointer like me/words:v1", pointer);
        return EXIT_CODE_USAGE;
    }
    return run_pipeline(&values, &words);
}

/* What was not said comes from the environment, under the names that Mystic's client uses. */
static bool values_complete(struct run_values *values)
{
    const char *url = getenv("PIPELINE_API_URL");
    const char *token = getenv("PIPELINE_API_TOKEN");
    if (!values->url)
        values->url = url && *url != '\0' ? url : URL_DEFAULT;
    if (!values->token)
        values->token = token && *token != '\0' ? token : NULL;
    for (const char *c = values->token; c && *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~') {
            cli_fail("run: the token has bytes that no header can carry");
            return false;
        }
    }
    return true;
}

static int run_pipeline(const struct run_values *values, const struct cli_words *words)
{
    struct client *client = client_create(&(struct client_options){
        .url = values->url, .token = values->token, .timeout_ms = values->timeout_ms});
    if (!client) {
        cli_fail("run: no memory");
        return EXIT_CODE_FAILED;
    }
    int exit_code = run_described(client, values, words);
    client_destroy(client);
    return exit_code;
}

static int run_described(struct client *client, const struct run_values *values,
                         const struct cli_words *words)
{
    struct text description = {0}, body = {0};
    int exit_code = description_get(client, words->items[0], &description);
    if (exit_code == EXIT_CODE_OK)
        exit_code = body_make(&description, words, &body);
    if (exit_code == EXIT_CODE_OK)
        exit_code = run_stream(client, values, &body);
    text_finish(&description);
    text_finish(&body);
    return exit_code;
}

static int request_failed(int rc, const char *reason)
{
    cli_fail("run: %s", reason);
    if (rc == -EINVAL)
        return EXIT_CODE_USAGE;
    return rc == -ECONNREFUSED ? EXIT_CODE_CONNECT : EXIT_CODE_FAILED;
}

/* ---- the inputs ---------------------------------------------------------------------------- */

static bool on_description(void *context, long status, const char *bytes, size_t count)
{
    (void)status;
    struct text *text = context;
    text_add_bytes(text, bytes, count);
    return !text->failed && text->count <= DESCRIPTION_BYTES_MAX;
}

static int description_get(struct client *client, const char *pointer, struct text *answer)
{
    char path[POINTER_BYTES_MAX + 32];
    char reason[CLIENT_REASON_BYTES];
    struct client_answer end;
    int count = snprintf(path, sizeof(path), "/v4/pipelines/%s", pointer);
    if (count < 0 || (size_t)count >= sizeof(path)) {
        cli_fail("run: the pointer is too long");
        return EXIT_CODE_USAGE;
    }
    int rc = client_request(client, path, NULL, 0, on_description, answer, &end, reason);
    if (rc == -ECANCELED) {
        cli_fail("run: the description of %s is too long", pointer);
        return EXIT_CODE_FAILED;
    }
    if (rc < 0)
        return request_failed(rc, reason);
    if (end.status == 200)
        return EXIT_CODE_OK;
    /* What is wrong is said as it would be of a run. */
    struct client_lines lines = {.out = stdout};
    client_lines_take(&lines, end.status, answer->bytes ? answer->bytes : "", answer->count);
    client_lines_finish(&lines, end.status, true);
    if (!lines.is_failed && lines.end == LINES_OPEN)
        cli_fail("run: the server answered with status %ld", end.status);
    return EXIT_CODE_FAILED;
}

static int body_make(const struct text *description, const struct cli_words *words,
                     struct text *body)
{
    struct json_view pipeline, variables;
    struct json_error error;
    const char *pointer = words->items[0];
    if (json_view_parse(&pipeline, description->bytes ? description->bytes : "", description->count,
                        &error) < 0) {
        cli_fail("run: the description of %s is not JSON: %s", pointer, error.message);
        return EXIT_CODE_FAILED;
    }
    /* While it is loading its inputs are not known: the run itself gets the answer that says so. */
    bool is_known = json_view_member(&pipeline, "input_variables", &variables) &&
                    !json_view_is_null(&variables);
    char reason[INPUT_REASON_BYTES];
    int rc = client_inputs_format(body, pointer, is_known ? &variables : NULL, words->items + 1,
                                  words->count - 1, reason);
    if (rc < 0)
        cli_fail("run: %s", reason);
    return rc == 0 ? EXIT_CODE_OK : rc == -EINVAL ? EXIT_CODE_USAGE : EXIT_CODE_FAILED;
}

/* ---- the run ------------------------------------------------------------------------------- */

static bool on_lines(void *context, long status, const char *bytes, size_t count)
{
    return client_lines_take(context, status, bytes, count);
}

/* Whether an answer that came to its end is the whole of a run that completed. */
static bool answer_is_good(const struct client_lines *lines, const struct client_answer *answer)
{
    if (answer->status != 200) {
        cli_fail("run: the server answered with status %ld", answer->status);
        return false;
    }
    if (answer->run_state[0] != '\0' && strcmp(answer->run_state, "completed") != 0) {
        cli_fail("run: the run is %s", answer->run_state);
        return false;
    }
    if (answer->run_line_count != UINT64_MAX && answer->run_line_count != lines->output_count) {
        cli_fail("run: %" PRIu64 " lines came, the server counts %" PRIu64, lines->output_count,
                 answer->run_line_count);
        return false;
    }
    return true;
}

static int run_stream(struct client *client, const struct run_values *values,
                      const struct text *body)
{
    struct client_lines lines = {.out = stdout, .is_json = values->json};
    struct client_answer answer;
    char reason[CLIENT_REASON_BYTES];
    int rc = client_request(client, "/v4/runs/stream", body->bytes, body->count, on_lines, &lines,
                            &answer, reason);
    client_lines_finish(&lines, answer.status, rc == 0);
    if (lines.end != LINES_OPEN || (rc == 0 && lines.is_failed))
        return EXIT_CODE_FAILED;
    if (rc < 0)
        return request_failed(rc, reason);
    return answer_is_good(&lines, &answer) ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}
