/* SPDX-License-Identifier: MIT */
/* control_client.c - requests to the control socket of a running server (docs/control.md). */
#include "dispatcher/cli/operate/control_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/config/control_path.h"
#include "dispatcher/config/exit_code.h"
#include "dispatcher/config/pointer.h"

/* Of the URL the socket takes the place; the name is what the header Host says. */
#define URL "http://millrace"

#define DETAIL_BYTES_MAX (64u * 1024) /* of an answer that is an error */

struct control_client {
    char path[CONTROL_PATH_BYTES];
    uint32_t timeout_ms;
    struct client *client;
};

/* What is read of an answer whose kind is not known before it is there. */
struct control_client_reading {
    client_consumer *consumer; /* of an answer with status 200; NULL: it goes into the text */
    void *context;
    struct text *text;
};

static int control_client_request(struct control_client *control, const char *route,
                                  const char *body, const struct control_client_reading *reading,
                                  struct client_answer *end,
                                  char reason[CONTROL_CLIENT_REASON_BYTES]);
static int control_client_failed(const struct control_client *control, int rc,
                                 const struct client_answer *end, const char *why,
                                 char reason[CONTROL_CLIENT_REASON_BYTES]);
static int control_client_refused(const struct control_client *control, long status,
                                  const struct text *text,
                                  char reason[CONTROL_CLIENT_REASON_BYTES]);

struct control_client *control_client_open(const struct control_client_options *options,
                                           char reason[CONTROL_CLIENT_REASON_BYTES])
{
    struct control_client *control = calloc(1, sizeof *control);
    if (!control) {
        snprintf(reason, CONTROL_CLIENT_REASON_BYTES, "no memory");
        return NULL;
    }
    char usual[CONTROL_PATH_BYTES];
    int rc = options->path ? 0 : control_path_default(usual, reason);
    const char *path = options->path ? options->path : usual;
    if (rc == 0 && !options->path)
        rc = control_path_trust(usual, reason);
    if (rc == 0 && strlen(path) >= CONTROL_PATH_BYTES) {
        rc = -ENAMETOOLONG;
        snprintf(reason, CONTROL_CLIENT_REASON_BYTES,
                 "the path of the control socket has more than %u bytes", CONTROL_PATH_BYTES - 1);
    }
    if (rc < 0) {
        free(control);
        return NULL;
    }
    snprintf(control->path, sizeof control->path, "%s", path);
    control->timeout_ms = options->timeout_ms;
    char why[CLIENT_REASON_BYTES];
    control->client =
        client_create(&(struct client_options){.url = URL,
                                               .timeout_ms = options->timeout_ms,
                                               .socket_path = control->path,
                                               .keeps_connection = options->keeps_connection,
                                               .goes_on = options->goes_on,
                                               .context = options->context},
                      why);
    if (control->client)
        return control;
    snprintf(reason, CONTROL_CLIENT_REASON_BYTES, "%s", why);
    free(control);
    return NULL;
}

void control_client_close(struct control_client *control)
{
    if (!control)
        return;
    client_destroy(control->client);
    free(control);
}

struct control_client *control_client_begin(const char *command,
                                            const struct control_client_options *options,
                                            int *exit_code)
{
    char reason[CONTROL_CLIENT_REASON_BYTES];
    struct control_client *control = control_client_open(options, reason);
    if (control)
        return control;
    cli_fail("%s: %s", command, reason);
    *exit_code = EXIT_CODE_FAILED;
    return NULL;
}

int control_client_ask(struct control_client *control, const char *route, const char *body,
                       struct control_client_answer *answer,
                       char reason[CONTROL_CLIENT_REASON_BYTES])
{
    struct client_answer end;
    struct json_error error;
    control_client_answer_finish(answer);
    const struct control_client_reading reading = {.text = &answer->text};
    int exit_code = control_client_request(control, route, body, &reading, &end, reason);
    if (exit_code != EXIT_CODE_OK)
        return exit_code;
    const char *bytes = answer->text.bytes ? answer->text.bytes : "";
    if (json_view_parse(&answer->root, bytes, answer->text.count, &error) == 0 &&
        answer->root.text[0] == '{')
        return EXIT_CODE_OK;
    snprintf(reason, CONTROL_CLIENT_REASON_BYTES,
             "%s: what is answered there is none of a server's", control->path);
    return EXIT_CODE_FAILED;
}

void control_client_answer_finish(struct control_client_answer *answer)
{
    text_finish(&answer->text);
    answer->root = (struct json_view){0};
}

int control_client_read(struct control_client *control, const char *route,
                        client_consumer *consumer, void *context, struct client_answer *end,
                        char reason[CONTROL_CLIENT_REASON_BYTES])
{
    struct text text = {0};
    const struct control_client_reading reading = {
        .consumer = consumer, .context = context, .text = &text};
    int exit_code = control_client_request(control, route, NULL, &reading, end, reason);
    text_finish(&text);
    return exit_code;
}

pid_t control_client_peer_pid(struct control_client *control)
{
    return client_peer_pid(control->client);
}

void control_client_answer_print(const struct control_client_answer *answer, FILE *file)
{
    const struct json_view *root = &answer->root;
    for (size_t i = 0; i < root->bytes; i++) /* a string of JSON has no newline */
        fputc(root->text[i] == '\n' || root->text[i] == '\r' ? ' ' : root->text[i], file);
    fputc('\n', file);
}

int control_client_tell(const char *command, const struct control_client_options *options,
                        const char *route, const char *body, bool is_json,
                        int (*said)(const struct json_view *root, bool is_json))
{
    char reason[CONTROL_CLIENT_REASON_BYTES];
    struct control_client_answer answer = {0};
    int exit_code;
    struct control_client *control = control_client_begin(command, options, &exit_code);
    if (!control)
        return exit_code;
    exit_code = control_client_ask(control, route, body, &answer, reason);
    if (exit_code != EXIT_CODE_OK)
        cli_fail("%s: %s", command, reason);
    control_client_close(control);
    if (exit_code == EXIT_CODE_OK && is_json)
        control_client_answer_print(&answer, stdout);
    if (exit_code == EXIT_CODE_OK)
        exit_code = said(&answer.root, is_json);
    control_client_answer_finish(&answer);
    return exit_code;
}

void control_client_body(char body[CONTROL_CLIENT_BODY_BYTES], const char *pointer,
                         const char *members)
{
    if (pointer)
        snprintf(body, CONTROL_CLIENT_BODY_BYTES, "{\"pipeline\":\"%s\"%s}", pointer, members);
    else
        snprintf(body, CONTROL_CLIENT_BODY_BYTES, "{%s}", members + (members[0] == ','));
}

bool control_client_pointer_check(const char *command, const char *pointer)
{
    if (!pointer || pointer_is_valid(pointer, strlen(pointer)))
        return true;
    cli_fail("%s: '%s' is not a pointer like me/words:v1", command, pointer);
    return false;
}

/* ---- one request --------------------------------------------------------------------------- */

static bool on_piece(void *context, long status, const char *bytes, size_t count)
{
    const struct control_client_reading *reading = context;
    if (status == 200 && reading->consumer)
        return reading->consumer(reading->context, status, bytes, count);
    text_add_bytes(reading->text, bytes, count);
    return !reading->text->failed &&
           reading->text->count <=
               (status == 200 ? CONTROL_CLIENT_ANSWER_BYTES_MAX : DETAIL_BYTES_MAX);
}

static int control_client_request(struct control_client *control, const char *route,
                                  const char *body, const struct control_client_reading *reading,
                                  struct client_answer *end,
                                  char reason[CONTROL_CLIENT_REASON_BYTES])
{
    char why[CLIENT_REASON_BYTES];
    struct control_client_reading context = *reading;
    int rc = client_request(control->client, route, body, body ? strlen(body) : 0, on_piece,
                            &context, end, why);
    if (rc == -ECANCELED && reading->consumer && end->status == 200)
        return EXIT_CODE_OK;
    if (rc < 0)
        return control_client_failed(control, rc, end, why, reason);
    return end->status == 200 ? EXIT_CODE_OK
                              : control_client_refused(control, end->status, reading->text, reason);
}

static int control_client_failed(const struct control_client *control, int rc,
                                 const struct client_answer *end, const char *why,
                                 char reason[CONTROL_CLIENT_REASON_BYTES])
{
    int error = end->os_error;
    bool is_closed = rc == -ECONNRESET || (rc == -ECONNREFUSED && error == 0);
    if (is_closed) /* it looks at who connects, and reads nothing of whom it refuses */
        snprintf(reason, CONTROL_CLIENT_REASON_BYTES,
                 "%s: the server refuses: it answers root and its own user, and few at once",
                 control->path);
    else if (rc == -ECONNREFUSED && (error == EACCES || error == EPERM))
        snprintf(reason, CONTROL_CLIENT_REASON_BYTES,
                 "%s: %s: it is for root and for the user of the server", control->path,
                 strerror(error));
    else if (rc == -ECONNREFUSED)
        snprintf(reason, CONTROL_CLIENT_REASON_BYTES,
                 "no server answers at %s: %s: millrace serve --control PATH starts one that does",
                 control->path, strerror(error));
    if (is_closed || rc == -ECONNREFUSED)
        return EXIT_CODE_CONNECT;
    if (rc == -ETIMEDOUT)
        snprintf(reason, CONTROL_CLIENT_REASON_BYTES, "%s: no answer came within %u ms",
                 control->path, control->timeout_ms);
    else if (rc == -ECANCELED)
        snprintf(reason, CONTROL_CLIENT_REASON_BYTES, "%s: the answer is too long, or was given up",
                 control->path);
    else if (rc == -EPIPE)
        snprintf(reason, CONTROL_CLIENT_REASON_BYTES,
                 "%s: the answer was cut: the server may have ended", control->path);
    else
        snprintf(reason, CONTROL_CLIENT_REASON_BYTES, "%s", why);
    return EXIT_CODE_FAILED;
}

/* In the server's words, if it has any. */
static int control_client_refused(const struct control_client *control, long status,
                                  const struct text *text, char reason[CONTROL_CLIENT_REASON_BYTES])
{
    struct json_view root, detail;
    struct json_error error;
    struct text words = {0};
    bool is_refused = status == 403;
    if (json_view_parse(&root, text->bytes ? text->bytes : "", text->count, &error) == 0 &&
        json_view_member(&root, "detail", &detail) && json_view_is_string(&detail))
        json_view_string(&detail, &words);
    if (words.count > 0 && !words.failed)
        snprintf(reason, CONTROL_CLIENT_REASON_BYTES, "%s%.*s",
                 is_refused ? "the server refuses: " : "", (int)words.count, words.bytes);
    else
        snprintf(reason, CONTROL_CLIENT_REASON_BYTES, "%s: the answer has the status %ld",
                 control->path, status);
    text_finish(&words);
    return is_refused ? EXIT_CODE_CONNECT : EXIT_CODE_FAILED;
}
