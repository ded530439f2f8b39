/* SPDX-License-Identifier: MIT */
/* cmd_stop.c - `millrace stop`: a running server ends, and this waits for it. */
#include "dispatcher/cli/commands.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dispatcher/cli/operate/control_client.h"
#include "dispatcher/cli/operate/control_report.h"
#include "dispatcher/cli/operate/live_state.h"
#include "dispatcher/cli/operate/progress.h"
#include "dispatcher/config/cli.h"
#include "dispatcher/config/exit_code.h"

#define STOP_POLL_MS 250

struct stop_values {
    const char *control_path;
    bool json;
    bool now;
    bool no_wait;
};

static const struct cli_option options[] = {
    CONTROL_CLIENT_OPTION_PATH(struct stop_values),
    CONTROL_CLIENT_OPTION_JSON(struct stop_values),
    {"now", NULL, CLI_FLAG, CLI_MEMBER(struct stop_values, now),
     .help = "end its runs, too, as a second signal does"},
    {"no-wait", NULL, CLI_FLAG, CLI_MEMBER(struct stop_values, no_wait),
     .help = "leave when the server has begun to stop"},
};

const struct cli_command stop_command = {
    .name = "stop",
    .words = "",
    .about = "Has a running server stop, as SIGTERM does: its runs end first, as long as\n"
             "--stop-timeout of serve allows. Waits until its process has ended.",
    .options = options,
    .option_count = ARRAY_COUNT(options),
};

static void stop_wait(struct control_client *control, int pidfd, double runs, bool is_json);

int cmd_stop(int argc, char **argv)
{
    struct stop_values values = {0};
    struct cli_words words;
    int exit_code;
    if (!cli_begin(&stop_command, argc, argv, &values, &words, &exit_code))
        return exit_code;
    struct control_client *control = control_client_begin(
        stop_command.name,
        &(struct control_client_options){.path = values.control_path,
                                         .timeout_ms = CONTROL_CLIENT_ANSWER_MS,
                                         .keeps_connection = true},
        &exit_code);
    if (!control)
        return exit_code;
    struct control_client_answer answer = {0};
    char reason[CONTROL_CLIENT_REASON_BYTES];
    /* It comes first on its connection, so that it is not sent twice: twice is a second signal. */
    exit_code =
        control_client_ask(control, "/control/stop",
                           values.now ? "{\"now\":true}" : "{\"now\":false}", &answer, reason);
    pid_t pid = exit_code == EXIT_CODE_OK ? control_client_peer_pid(control) : 0;
    int pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    bool is_gone = pid > 0 && pidfd == -1 && errno == ESRCH;
    if (exit_code != EXIT_CODE_OK)
        cli_fail("stop: %s", reason);
    else if (values.json)
        control_client_answer_print(&answer, stdout);
    if (exit_code == EXIT_CODE_OK && !is_gone && !values.no_wait)
        stop_wait(control, pidfd, report_number(&answer.root, "runs"), values.json);
    if (pidfd != -1)
        close(pidfd);
    if (exit_code == EXIT_CODE_OK && !values.json)
        puts(values.no_wait ? "stopping" : "stopped");
    control_client_answer_finish(&answer);
    control_client_close(control);
    return exit_code;
}

/* How many runs it has; false: it does not answer any more. */
static bool stop_look(struct control_client *control, double *runs)
{
    struct control_client_answer answer = {0};
    struct json_view server;
    char reason[CONTROL_CLIENT_REASON_BYTES];
    int exit_code = control_client_ask(control, CONTROL_CLIENT_STATE, NULL, &answer, reason);
    if (exit_code == EXIT_CODE_OK && json_view_member(&answer.root, "server", &server) &&
        server.text[0] == '{')
        *runs = report_number(&server, "runs");
    control_client_answer_finish(&answer);
    return exit_code != EXIT_CODE_CONNECT;
}

/* Of a process that cannot be seen from here nothing is known but that nobody answers. */
static void stop_wait(struct control_client *control, int pidfd, double runs, bool is_json)
{
    struct progress progress = progress_begin(is_json ? NULL : stdout);
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    bool answers = true;
    for (;;) {
        if (runs >= 0)
            progress_show(&progress, "stopping: %.0f %s", runs, runs == 1 ? "run" : "runs");
        if (poll(&ended, 1, STOP_POLL_MS) > 0 || (pidfd == -1 && !answers))
            break;
        answers = stop_look(control, &runs);
    }
    progress_end(&progress);
}
