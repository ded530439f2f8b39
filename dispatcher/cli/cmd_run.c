/* SPDX-License-Identifier: MIT */
/*
 * cmd_run.c - `millrace run`: asks a server for a pipeline's inputs, runs it, prints as it comes.
 *
 * A stream that ends without its last chunk is an error, and so is one whose trailers count other
 * lines than came. Ctrl-C ends this process, which closes the connection, which cancels the run.
 */
#include "dispatcher/cli/commands.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dispatcher/cli/client/client.h"
#include "dispatcher/cli/client/client_body.h"
#include "dispatcher/cli/client/client_files.h"
#include "dispatcher/cli/client/client_lines.h"
#include "dispatcher/cli/client/client_timing.h"
#include "dispatcher/cli/operate/transfer_view.h"
#include "dispatcher/config/cli.h"
#include "dispatcher/config/config.h"
#include "dispatcher/config/exit_code.h"

struct run_values {
    const char *url;
    const char *token;
    const char *ca_file;
    uint32_t timeout_ms;
    const char *output;
    bool json;
    bool timing;
};

static const struct cli_option options[] = {
    {"url", "URL", CLI_TEXT, CLI_MEMBER(struct run_values, url),
     .help = "the server; if not said, PIPELINE_API_URL or " CLIENT_URL_DEFAULT},
    {"token", "TOKEN", CLI_TEXT, CLI_MEMBER(struct run_values, token),
     .help = "the token; if not said, PIPELINE_API_TOKEN, which other users cannot see"},
    {"ca-file", "FILE", CLI_TEXT, CLI_MEMBER(struct run_values, ca_file),
     .help = "certificates that sign the server's, for https; if not said, SSL_CERT_FILE or those "
             "of the system"},
    {"timeout", NULL, CLI_DURATION, CLI_MEMBER(struct run_values, timeout_ms), .min = 1,
     .max = 24 * 3600000,
     .help = "the run takes so long at most; if not said, as long as it takes"},
    {"output", "DIR", CLI_TEXT, CLI_MEMBER(struct run_values, output),
     .help = "the folder that outputs which are files are saved in; if not said, the current one, "
             "and with --json none are"},
    {"json", NULL, CLI_FLAG, CLI_MEMBER(struct run_values, json),
     .help = "print the lines as the server sends them"},
    {"timing", NULL, CLI_FLAG, CLI_MEMBER(struct run_values, timing),
     .help = "say on stderr when the run was queued, started, had its first chunk and ended"},
};

const struct cli_command run_command = {
    .name = "run",
    .words = "POINTER [INPUT]...",
    .about =
        "Runs a pipeline of a server and prints its outputs, a line each, as they come. INPUT\n"
        "is text for a string and JSON for any other type; @FILE takes it from a file, @- from\n"
        "stdin, @@TEXT is the text @TEXT. Where the pipeline takes a file, @FILE is uploaded,\n"
        "and a URL is one that the server fetches. Outputs that are files are saved.",
    .options = options,
    .option_count = ARRAY_COUNT(options),
    .word_count_min = 1,
    .words_are = CLI_WORDS_POINTERS,
    .word_count_max = 1 + (int)INPUT_COUNT_MAX,
};

static int run_pipeline(const struct run_values *values, const struct cli_words *words);
static int run_described(struct client *client, struct client *other,
                         const struct run_values *values, const struct cli_words *words);
static int run_stream(struct client *client, const struct client_files *files,
                      const struct run_values *values, const struct text *body);
static int run_said(const struct client_lines *lines, const struct client_answer *answer, int rc,
                    const char *reason);

static bool run_is_id(const char *text);
static bool run_ca_file_take(struct run_values *values);
static bool run_folder_is_there(const char *folder);

int cmd_run(int argc, char **argv)
{
    struct run_values values = {0};
    struct cli_words words;
    int exit_code;
    if (!cli_begin(&run_command, argc, argv, &values, &words, &exit_code))
        return exit_code;
    if (!client_defaults(run_command.name, &values.url, &values.token))
        return EXIT_CODE_USAGE;
    const char *pointer = words.items[0];
    if (!pointer_is_valid(pointer, strlen(pointer)) && !run_is_id(pointer)) {
        cli_fail("run: '%s' is not a pointer like me/words:v1", pointer);
        return EXIT_CODE_USAGE;
    }
    if (!run_ca_file_take(&values) || !run_folder_is_there(values.output))
        return EXIT_CODE_USAGE;
    return run_pipeline(&values, &words);
}

/* Of what can be known before a run, which may have taken long. */
static bool run_folder_is_there(const char *folder)
{
    struct stat folder_stat;
    if (!folder)
        return true;
    int error = stat(folder, &folder_stat) == -1 ? errno : 0;
    if (error == 0 && !S_ISDIR(folder_stat.st_mode))
        error = ENOTDIR;
    if (error == 0 && access(folder, W_OK | X_OK) == -1)
        error = errno;
    if (error != 0)
        cli_fail("run: --output %s: %s", folder, strerror(error));
    return error == 0;
}

/* The variable is the one that other clients of OpenSSL know; libcurl does not look at it. */
static bool run_ca_file_take(struct run_values *values)
{
    const char *usual = getenv("SSL_CERT_FILE");
    if (!values->ca_file && usual && *usual != '\0')
        values->ca_file = usual;
    if (!values->ca_file || access(values->ca_file, R_OK) == 0)
        return true;
    cli_fail("run: certificates in %s: %s", values->ca_file, strerror(errno));
    return false;
}

/* "pipeline_" and 32 hex digits. */
static bool run_is_id(const char *text)
{
    size_t prefix_bytes = strlen("pipeline_");
    return strncmp(text, "pipeline_", prefix_bytes) == 0 &&
           strspn(text + prefix_bytes, "0123456789abcdef") ==
               PIPELINE_ID_BYTES - 1 - prefix_bytes &&
           strlen(text) == PIPELINE_ID_BYTES - 1;
}

static int run_pipeline(const struct run_values *values, const struct cli_words *words)
{
    const struct client_options reached = {.url = values->url,
                                           .token = values->token,
                                           .timeout_ms = values->timeout_ms,
                                           .ca_file = values->ca_file};
    char reason[CLIENT_REASON_BYTES];
    struct client *client = client_create(&reached, reason);
    /* Files come while the answer to the run does. */
    struct client *other = client ? client_create(&reached, reason) : NULL;
    int exit_code = EXIT_CODE_FAILED;
    if (other)
        exit_code = run_described(client, other, values, words);
    else
        cli_fail("run: %s", reason);
    client_destroy(other);
    client_destroy(client);
    return exit_code;
}

static int run_described(struct client *client, struct client *other,
                         const struct run_values *values, const struct cli_words *words)
{
    struct transfer_view view = transfer_view_begin(stderr);
    const struct client_files files = {.client = other,
                                       .folder = values->output,
                                       .told = view.is_terminal ? transfer_view_told : NULL,
                                       .context = &view};
    struct text body = {0};
    int exit_code = client_body_make(&files, run_command.name, words, &body);
    if (exit_code == EXIT_CODE_OK)
        exit_code = run_stream(client, &files, values, &body);
    text_finish(&body);
    return exit_code;
}

/* ---- the run ------------------------------------------------------------------------------- */

static bool on_lines(void *context, long status, const char *bytes, size_t count)
{
    return client_lines_take(context, status, bytes, count);
}

/* Whether an answer that came to its end is the whole of a run that completed. */
static bool run_answer_is_good(const struct client_lines *lines, const struct client_answer *answer)
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

static int run_stream(struct client *client, const struct client_files *files,
                      const struct run_values *values, const struct text *body)
{
    struct client_lines lines = {.command = run_command.name,
                                 .out = stdout,
                                 .is_terminal = isatty(STDOUT_FILENO) == 1,
                                 .is_json = values->json,
                                 .files = values->json && !values->output ? NULL : files};
    struct client_answer answer;
    char reason[CLIENT_REASON_BYTES];
    int rc = client_request(client, "/v4/runs/stream", body->bytes, body->count, on_lines, &lines,
                            &answer, reason);
    client_lines_finish(&lines, answer.status, rc == 0);
    int exit_code = run_said(&lines, &answer, rc, reason);
    if (values->timing && exit_code != EXIT_CODE_CONNECT && exit_code != EXIT_CODE_USAGE)
        client_timing_print(client, run_command.name, lines.run_id, stderr);
    return exit_code;
}

/* How the run was, which is said where it is not told by its lines. */
static int run_said(const struct client_lines *lines, const struct client_answer *answer, int rc,
                    const char *reason)
{
    if (lines->end != LINES_OPEN || (rc == 0 && lines->is_failed))
        return EXIT_CODE_FAILED;
    if (rc < 0)
        return client_failed(run_command.name, rc, reason);
    return run_answer_is_good(lines, answer) ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}
