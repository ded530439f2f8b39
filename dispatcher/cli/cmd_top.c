/* SPDX-License-Identifier: MIT */
/*
 * cmd_top.c - `millrace top`: a running server as it goes on, a screen each second.
 *
 * It only asks: one request a second on one connection, none while it is paused. A terminal that
 * takes nothing holds up this process alone.
 */
#include "dispatcher/cli/commands.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dispatcher/cli/operate/control_client.h"
#include "dispatcher/cli/operate/live_state.h"
#include "dispatcher/cli/operate/top_frame.h"
#include "dispatcher/cli/operate/top_terminal.h"
#include "dispatcher/config/cli.h"
#include "dispatcher/config/exit_code.h"

#define TOP_INTERVAL_MS 1000
#define TOP_ROWS 24u
#define TOP_PATIENCE_MS 300 /* so long an answer is waited for though there is a key */

struct top_values {
    const char *control_path;
    bool json;
    bool once;
};

static const struct cli_option options[] = {
    CONTROL_CLIENT_OPTION_PATH(struct top_values),
    CONTROL_CLIENT_OPTION_JSON(struct top_values),
    {"once", NULL, CLI_FLAG, CLI_MEMBER(struct top_values, once),
     .help = "print what a second was like, and leave; also without a terminal"},
};

const struct cli_command top_command = {
    .name = "top",
    .words = "",
    .about = "Shows a running server as it goes on: pipelines with what they do in a second,\n"
             "workers, and the slowest clients. Keys: q quits, p pauses, w shows workers, the\n"
             "arrows scroll.",
    .options = options,
    .option_count = ARRAY_COUNT(options),
};

/* Two moments, of which the later one is shown. Owns their states. */
struct top {
    struct control_client *control;
    struct live_state states[2]; /* before, now */
    double at_s[2];
    uint32_t count;                           /* of states: 0 to 2 */
    char reason[CONTROL_CLIENT_REASON_BYTES]; /* why there is no answer; "": there was one */
    struct top_view view;
    struct top_terminal terminal;
    bool is_on; /* the terminal is ours */
    int64_t asked_ms;
};

static int top_ask(struct top *top, bool is_json);
static int top_once(struct top *top);
static int top_watch(struct top *top);
static bool top_goes_on(void *context);

static int64_t top_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int cmd_top(int argc, char **argv)
{
    struct top_values values = {0};
    struct cli_words words;
    int exit_code;
    if (!cli_begin(&top_command, argc, argv, &values, &words, &exit_code))
        return exit_code;
    const char *no_color = getenv("NO_COLOR");
    bool is_screen = !values.once && !values.json && top_terminal_is_there();
    static struct top top; /* large for a stack */
    top = (struct top){.view = {.columns = TOP_COLUMNS,
                                .shows_workers = true,
                                .has_color = is_screen && !(no_color && *no_color != '\0')}};
    top.control = control_client_begin(
        top_command.name,
        &(struct control_client_options){.path = values.control_path,
                                         .timeout_ms = CONTROL_CLIENT_ANSWER_MS,
                                         .keeps_connection = true,
                                         .goes_on = top_goes_on,
                                         .context = &top},
        &exit_code);
    if (!top.control)
        return exit_code;
    exit_code = top_ask(&top, values.json);
    if (exit_code != EXIT_CODE_OK)
        cli_fail("top: %s", top.reason);
    else if (!values.json)
        exit_code = is_screen ? top_watch(&top) : top_once(&top);
    live_state_finish(&top.states[0]);
    live_state_finish(&top.states[1]);
    control_client_close(top.control);
    return exit_code;
}

/* One more moment. An exit code, and the reason. */
static int top_ask(struct top *top, bool is_json)
{
    struct control_client_answer answer = {0};
    struct live_state state;
    top->asked_ms = top_now_ms();
    top->reason[0] = '\0';
    int exit_code =
        control_client_ask(top->control, CONTROL_CLIENT_STATE, NULL, &answer, top->reason);
    int rc = exit_code == EXIT_CODE_OK ? live_state_read(&state, &answer.root) : -1;
    if (exit_code == EXIT_CODE_OK && rc < 0) {
        snprintf(top->reason, sizeof top->reason, "%s", live_state_error(rc));
        exit_code = EXIT_CODE_FAILED;
    } else if (exit_code == EXIT_CODE_OK) {
        live_state_finish(&top->states[0]);
        top->states[0] = top->states[1];
        top->at_s[0] = top->at_s[1];
        top->states[1] = state;
        top->at_s[1] = (double)top_now_ms() / 1000;
        top->count += top->count < 2;
        /* Another process begins to count anew. */
        bool is_other = top->states[0].pid != state.pid || top->states[0].uptime_s > state.uptime_s;
        if (top->count == 2 && is_other) {
            live_state_finish(&top->states[0]);
            top->count = 1;
        }
        if (is_json)
            control_client_answer_print(&answer, stdout);
    }
    control_client_answer_finish(&answer);
    return exit_code;
}

/* Keys are not made to wait for a server that does not answer. */
static bool top_goes_on(void *context)
{
    const struct top *top = context;
    return !top->is_on || top_now_ms() - top->asked_ms < TOP_PATIENCE_MS ||
           !top_terminal_has_key(&top->terminal);
}

static void top_frame(struct top *top, struct text *lines)
{
    const struct top_sample before = {&top->states[0], top->at_s[0]};
    const struct top_sample now = {&top->states[1], top->at_s[1]};
    top_frame_add(lines, top->count == 2 ? &before : NULL, &now, &top->view);
}

static int top_once(struct top *top)
{
    struct text lines = {0};
    uint32_t rows;
    (void)poll(NULL, 0, TOP_INTERVAL_MS);
    int exit_code = top_ask(top, false);
    if (exit_code != EXIT_CODE_OK) {
        cli_fail("top: %s", top->reason);
        return exit_code;
    }
    top_terminal_size(&top->view.columns, &rows);
    top->view.columns = top->view.columns < TOP_COLUMNS_MIN ? TOP_COLUMNS_MIN : top->view.columns;
    top_frame(top, &lines);
    if (!lines.failed)
        fwrite(lines.bytes, 1, lines.count, stdout);
    else
        cli_fail("top: no memory");
    exit_code = lines.failed ? EXIT_CODE_FAILED : EXIT_CODE_OK;
    text_finish(&lines);
    return exit_code;
}

/* ---- a screen each second ------------------------------------------------------------------ */

static int top_draw(struct top *top)
{
    char message[CONTROL_CLIENT_REASON_BYTES + 32];
    struct text lines = {0};
    snprintf(message, sizeof message, "no answer, tried again: %s", top->reason);
    top->view.message = top->reason[0] != '\0' ? message : NULL;
    top->view.columns = TOP_COLUMNS;
    top->view.rows = TOP_ROWS;
    top_terminal_size(&top->view.columns, &top->view.rows);
    top_frame(top, &lines);
    int rc = top_terminal_draw(&lines, top->view.columns);
    text_finish(&lines);
    top->view.message = NULL;
    return rc;
}

/* False: it is the last one. */
static bool top_key_take(struct top_view *view, enum top_key key)
{
    uint32_t page = view->rows > 2 ? view->rows / 2 : 1;
    switch (key) {
    case TOP_KEY_QUIT:
    case TOP_KEY_SIGNAL:
        return false;
    case TOP_KEY_PAUSE:
        view->is_paused = !view->is_paused;
        break;
    case TOP_KEY_WORKERS:
        view->shows_workers = !view->shows_workers;
        break;
    case TOP_KEY_UP:
        view->scroll -= view->scroll > 0;
        break;
    case TOP_KEY_DOWN:
        view->scroll++; /* the frame has it end where it has to */
        break;
    case TOP_KEY_PAGE_UP:
        view->scroll -= view->scroll < page ? view->scroll : page;
        break;
    case TOP_KEY_PAGE_DOWN:
        view->scroll += page;
        break;
    case TOP_KEY_NONE:
    case TOP_KEY_REDRAW:
        break;
    }
    return true;
}

static int top_watch(struct top *top)
{
    int64_t next_ms = top_now_ms() + TOP_INTERVAL_MS;
    int rc = top_terminal_open(&top->terminal);
    if (rc < 0) {
        cli_fail("top: the terminal: %s", strerror(-rc));
        return EXIT_CODE_FAILED;
    }
    top->is_on = true;
    bool goes_on = true;
    while (goes_on && (rc = top_draw(top)) == 0) {
        int64_t left_ms = next_ms - top_now_ms();
        int wait_ms = left_ms > 0 ? (int)left_ms : 0;
        enum top_key key = top_terminal_wait(&top->terminal, top->view.is_paused ? -1 : wait_ms);
        goes_on = top_key_take(&top->view, key);
        if (goes_on && !top->view.is_paused && top_now_ms() >= next_ms) {
            (void)top_ask(top, false);
            next_ms = top_now_ms() + TOP_INTERVAL_MS;
        }
    }
    top->is_on = false;
    top_terminal_close(&top->terminal);
    if (rc < 0)
        cli_fail("top: the terminal: %s", strerror(-rc));
    return rc < 0 ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}
