/* SPDX-License-Identifier: MIT */
/*
 * commands.h - the words of `millrace COMMAND ...`.
 */
#ifndef DISPATCHER_COMMANDS_H
#define DISPATCHER_COMMANDS_H

#include "dispatcher/config/cli.h"

/* What main() does: finds the command, runs it, and makes sure that what it printed has arrived.
 * Returns an exit code (serve.h). */
int commands_run(int argc, char **argv);

/* Each takes the words after its own name and returns an exit code. What goes wrong is one line on
 * stderr, written before they return. */
int cmd_serve(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_init(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_token(int argc, char **argv);
int cmd_config(int argc, char **argv);
int cmd_ps(int argc, char **argv);
int cmd_reload(int argc, char **argv);
int cmd_drain(int argc, char **argv);
int cmd_resume(int argc, char **argv);
int cmd_scale(int argc, char **argv);
int cmd_restart(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_logs(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_devices(int argc, char **argv);
int cmd_completion(int argc, char **argv);

/* Their options; that of serve is in serve_options.h. */
extern const struct cli_command check_command, init_command, run_command, bench_command,
    token_command, config_command, ps_command, reload_command, drain_command, resume_command,
    scale_command, restart_command, stop_command, logs_command, top_command, devices_command,
    completion_command;

/* One of them, in the order in which help lists them. */
struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *about;
    const struct cli_command *table;
};

/* All, but for `help`. */
extern const struct command commands[];
extern const size_t command_count;

#endif
