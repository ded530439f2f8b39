/* SPDX-License-Identifier: MIT */
/*
 * control_client.h - requests to the control socket of a running server (docs/control.md).
 *
 * Waits, like client.h.
 */
#ifndef DISPATCHER_CONTROL_CLIENT_H
#define DISPATCHER_CONTROL_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "dispatcher/cli/client/client.h"
#include "dispatcher/config/cli.h"
#include "dispatcher/text/json_view.h"
#include "dispatcher/text/text.h"
#include "millrace/check.h"

#define CONTROL_CLIENT_REASON_BYTES 1024u
#define CONTROL_CLIENT_STATE "/control/state"
#define CONTROL_CLIENT_ANSWER_BYTES_MAX (64u * 1024 * 1024)
#define CONTROL_CLIENT_ANSWER_MS 10000u /* of what the server answers at once */

/* The rows that each command has which asks the socket. */
#define CONTROL_CLIENT_OPTION_PATH(type)                                                           \
    {                                                                                              \
        "control", "PATH", CLI_TEXT, CLI_MEMBER(type, control_path),                               \
            .path = CLI_PATH,                                                                      \
            .help = "the server's control socket; if not said, where a server has it that was "    \
                    "told none"                                                                    \
    }
#define CONTROL_CLIENT_OPTION_JSON(type)                                                           \
    {                                                                                              \
        "json", NULL, CLI_FLAG, CLI_MEMBER(type, json),                                            \
            .help = "print the server's answer as it came, on one line"                            \
    }

struct control_client_options {
    const char *path;    /* NULL: the usual one */
    uint32_t timeout_ms; /* of each request as a whole; 0: none */
    bool keeps_connection;
    bool (*goes_on)(void *context); /* as of a client; NULL: it waits on */
    void *context;
};

struct control_client;

/* NULL: there is no such path, no memory, or no libcurl, with one line in `reason`. */
struct control_client *control_client_open(const struct control_client_options *options,
                                           char reason[CONTROL_CLIENT_REASON_BYTES]);
void control_client_close(struct control_client *control);

/* An object that the server answered; memory of the text, which is whoever's who asked. */
struct control_client_answer {
    struct text text;
    struct json_view root;
};

/* One request; `body` NULL: GET, else POST of that JSON. Returns an exit code: EXIT_CODE_OK and the
 * answer, EXIT_CODE_CONNECT when nobody answers or we may not ask, else EXIT_CODE_FAILED, both with
 * one line in `reason`. What was in `answer` is given back before. */
int control_client_ask(struct control_client *control, const char *route, const char *body,
                       struct control_client_answer *answer,
                       char reason[CONTROL_CLIENT_REASON_BYTES]) MUST_USE;
void control_client_answer_finish(struct control_client_answer *answer);

/* A request whose answer is text that comes bit by bit. Likewise; what the consumer does not want
 * any more, or goes_on() ends, is EXIT_CODE_OK. *end is what was learned of it; the consumer can
 * read it, since its headers come first. */
int control_client_read(struct control_client *control, const char *route,
                        client_consumer *consumer, void *context, struct client_answer *end,
                        char reason[CONTROL_CLIENT_REASON_BYTES]) MUST_USE;

/* Of a kept connection; see client_peer_pid(). */
pid_t control_client_peer_pid(struct control_client *control);

/* On one line, whatever blanks it has. */
void control_client_answer_print(const struct control_client_answer *answer, FILE *file);

/* What most commands do: one POST, or GET, and its answer as it came where JSON is asked for.
 * `said` prints it otherwise, and in any case what the server could not do; it returns the exit
 * code. What else goes wrong is said on stderr in the name of `command`. */
int control_client_tell(const char *command, const struct control_client_options *options,
                        const char *route, const char *body, bool is_json,
                        int (*said)(const struct json_view *root, bool is_json)) MUST_USE;

/* For a command that asks more than once; NULL: it was said on stderr why not. */
struct control_client *control_client_begin(const char *command,
                                            const struct control_client_options *options,
                                            int *exit_code);

/* {"pipeline":"POINTER"} and the members, which begin with a comma; NULL: there is no pointer, and
 * they begin without one. The pointer is a valid one. */
#define CONTROL_CLIENT_BODY_BYTES 512u
void control_client_body(char body[CONTROL_CLIENT_BODY_BYTES], const char *pointer,
                         const char *members);

/* A word of the command line as a pointer, or NULL, which is none that is wrong: false if it is no
 * pointer, which was said. */
bool control_client_pointer_check(const char *command, const char *pointer);

#endif
