/* SPDX-License-Identifier: MIT */
/*
 * commands.h - the words of `millrace COMMAND ...`.
 */
#ifndef DISPATCHER_COMMANDS_H
#define DISPATCHER_COMMANDS_H

/* What main() does: finds the command, runs it, and makes sure that what it printed has arrived.
 * Returns an exit code (serve.h). */
int commands_run(int argc, char **argv);

/* Each takes the words after its own name and returns an exit code. What goes wrong is one line on
 * stderr, written before they return. */
int cmd_serve(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_token(int argc, char **argv);
int cmd_config(int argc, char **argv);

#endif
