/* SPDX-License-Identifier: MIT */
/* client_body.c - a pipeline's inputs are asked for, and the words of a command read by them. */
#include "dispatcher/cli/client/client_body.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "dispatcher/cli/client/client_inputs.h"
#include "dispatcher/cli/client/client_refusal.h"
#include "dispatcher/config/config.h"
#include "dispatcher/config/exit_code.h"

#define DESCRIPTION_BYTES_MAX (4u * 1024 * 1024)

static int body_description_get(struct client *client, const char *command, const char *pointer,
                                struct text *answer);
static int body_format(const struct client_files *files, const char *command,
                       const struct text *description, const struct cli_words *words,
                       struct text *body);

bool client_defaults(const char *command, const char **url, const char **token)
{
    const char *usual_url = getenv("PIPELINE_API_URL");
    const char *usual_token = getenv("PIPELINE_API_TOKEN");
    if (!*url)
        *url = usual_url && *usual_url != '\0' ? usual_url : CLIENT_URL_DEFAULT;
    if (!*token)
        *token = usual_token && *usual_token != '\0' ? usual_token : NULL;
    for (const char *c = *token; c && *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~') {
            cli_fail("%s: the token has bytes that no header can carry", command);
            return false;
        }
    }
    return true;
}

int client_failed(const char *command, int rc, const char *reason)
{
    cli_fail("%s: %s", command, reason);
    if (rc == -EINVAL)
        return EXIT_CODE_USAGE;
    return rc == -ECONNREFUSED ? EXIT_CODE_CONNECT : EXIT_CODE_FAILED;
}

int client_body_make(const struct client_files *files, const char *command,
                     const struct cli_words *words, struct text *body)
{
    struct text description = {0};
    int exit_code = body_description_get(files->client, command, words->items[0], &description);
    if (exit_code == EXIT_CODE_OK)
        exit_code = body_format(files, command, &description, words, body);
    text_finish(&description);
    return exit_code;
}

static bool on_description(void *context, long status, const char *bytes, size_t count)
{
    (void)status;
    struct text *text = context;
    text_add_bytes(text, bytes, count);
    return !text->failed && text->count <= DESCRIPTION_BYTES_MAX;
}

static int body_description_get(struct client *client, const char *command, const char *pointer,
                                struct text *answer)
{
    char path[POINTER_BYTES_MAX + 32];
    char reason[CLIENT_REASON_BYTES];
    struct client_answer end;
    int count = snprintf(path, sizeof(path), "/v4/pipelines/%s", pointer);
    if (count < 0 || (size_t)count >= sizeof(path)) {
        cli_fail("%s: the pointer is too long", command);
        return EXIT_CODE_USAGE;
    }
    int rc = client_request(client, path, NULL, 0, on_description, answer, &end, reason);
    if (rc == -ECANCELED) {
        cli_fail("%s: the description of %s is too long", command, pointer);
        return EXIT_CODE_FAILED;
    }
    if (rc < 0)
        return client_failed(command, rc, reason);
    if (end.status == 200)
        return EXIT_CODE_OK;
    if (end.elsewhere[0] != '\0') {
        cli_fail("%s: the server answered with status %ld: it is at %s, which --url has to say",
                 command, end.status, end.elsewhere);
        return EXIT_CODE_FAILED;
    }
    struct text words = {0};
    client_refusal_add(end.status, answer->bytes ? answer->bytes : "", answer->count, &words);
    cli_fail("%s: %.*s", command, (int)words.count, words.bytes ? words.bytes : "");
    text_finish(&words);
    return EXIT_CODE_FAILED;
}

static int body_format(const struct client_files *files, const char *command,
                       const struct text *description, const struct cli_words *words,
                       struct text *body)
{
    struct json_view pipeline, variables;
    struct json_error error;
    const char *pointer = words->items[0];
    if (json_view_parse(&pipeline, description->bytes ? description->bytes : "", description->count,
                        &error) < 0) {
        cli_fail("%s: the description of %s is not JSON: %s", command, pointer, error.message);
        return EXIT_CODE_FAILED;
    }
    /* While it is loading its inputs are not known: the run itself gets the answer that says so. */
    bool is_known = json_view_member(&pipeline, "input_variables", &variables) &&
                    !json_view_is_null(&variables);
    char reason[INPUT_REASON_BYTES];
    int rc = client_inputs_format(body, pointer, is_known ? &variables : NULL, words->items + 1,
                                  words->count - 1, files, reason);
    return rc == 0 ? EXIT_CODE_OK : client_failed(command, rc, reason);
}
