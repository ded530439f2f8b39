/* SPDX-License-Identifier: MIT */
/*
 * commands.c - the words of `millrace COMMAND ...`.
 */
#include "dispatcher/cli/commands.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "build/version.h"
#include "dispatcher/cli/serve/serve_options.h"
#include "dispatcher/config/cli.h"
#include "dispatcher/config/exit_code.h"

const struct command commands[] = {
    {"serve", cmd_serve, "serve pipelines to HTTP clients", &serve_command},
    {"check", cmd_check, "load a pipeline in a process of its own and show its variables",
     &check_command},
    {"init", cmd_init, "write a small pipeline that works, to go on from", &init_command},
    {"run", cmd_run, "run a pipeline of a server and print its outputs as they come", &run_command},
    {"bench", cmd_bench, "put load on a server and say how fast and how right it answers",
     &bench_command},
    {"token", cmd_token, "make a token for the server's token file", &token_command},
    {"config", cmd_config, "print what a configuration file can say", &config_command},
    {"ps", cmd_ps, "show the pipelines and workers of a running server", &ps_command},
    {"top", cmd_top, "show a running server as it goes on, a screen each second", &top_command},
    {"reload", cmd_reload, "have it read its configuration file again", &reload_command},
    {"drain", cmd_drain, "have a pipeline, or all, take no more runs, and wait for those it has",
     &drain_command},
    {"resume", cmd_resume, "have it take runs again", &resume_command},
    {"scale", cmd_scale, "give a pipeline more workers, or fewer", &scale_command},
    {"restart", cmd_restart, "replace workers by new processes, without cutting a run",
     &restart_command},
    {"logs", cmd_logs, "print the log of a running server, of one pipeline or run if asked",
     &logs_command},
    {"stop", cmd_stop, "stop a running server, and wait until it has ended", &stop_command},
    {"devices", cmd_devices, "list the GPUs and processors that workers could be bound to",
     &devices_command},
    {"completion", cmd_completion, "print what has bash or zsh complete all this",
     &completion_command},
};
const size_t command_count = ARRAY_COUNT(commands);

static void commands_help_print(void);
static int commands_command_run(int argc, char **argv);
static int commands_word_refuse(const char *word);

int commands_run(int argc, char **argv)
{
    /* With SIGCHLD ignored, which a parent can leave us, children would vanish before we look. */
    struct sigaction usual = {.sa_handler = SIG_DFL};
    sigaction(SIGCHLD, &usual, NULL);

    int exit_code = commands_command_run(argc - 1, argv + 1);
    errno = 0; /* what could not be written earlier is not tried again */
    if ((fflush(stdout) == EOF || ferror(stdout)) && exit_code == EXIT_CODE_OK) {
        cli_fail("cannot write to stdout: %s", errno != 0 ? strerror(errno) : "a line was lost");
        exit_code = EXIT_CODE_FAILED;
    }
    return exit_code;
}

static int commands_command_run(int argc, char **argv)
{
    if (argc <= 0) {
        cli_fail("no command: serve, check, run, bench, token and others (millrace --help)");
        return EXIT_CODE_USAGE;
    }
    const char *word = argv[0];
    bool asks_help = strcmp(word, "help") == 0;
    if ((asks_help && argc == 1) || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        commands_help_print();
        return EXIT_CODE_OK;
    }
    if (strcmp(word, "--version") == 0) {
        printf("millrace %s, for pipelines in C, C++ and Python\n", MILLRACE_VERSION);
        return EXIT_CODE_OK;
    }
    /* `millrace help serve` is `millrace serve --help`. */
    char help[] = "--help";
    char *help_argv[] = {help};
    if (asks_help)
        word = argv[1];
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
        if (strcmp(commands[i].name, word) == 0)
            return asks_help ? commands[i].run(1, help_argv) : commands[i].run(argc - 1, argv + 1);
    return commands_word_refuse(word);
}

static int commands_word_refuse(const char *word)
{
    const char *kind = word[0] == '-' ? "option" : "command";
    const char *words[ARRAY_COUNT(commands) + 4] = {"help", "--version", "--help"};
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
        words[3 + i] = commands[i].name;
    const char *nearest = cli_nearest(word, words);
    if (nearest)
        cli_fail("unknown %s %s (nearest: %s)", kind, word, nearest);
    else
        cli_fail("unknown %s %s (millrace --help has them all)", kind, word);
    return EXIT_CODE_USAGE;
}

static void commands_help_print(void)
{
    printf("Usage: millrace COMMAND ...\n\n"
           "Serves pipelines, code in C, C++ or Python that turns inputs into a stream of\n"
           "outputs.\n\n"
           "Commands:\n");
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
        printf("  %-12s%s\n", commands[i].name, commands[i].about);
    printf("  %-12s%s\n", "help", "print this, or the help of a command\n");
    printf(
        "Options:\n  --version   print the version and exit\n  --help      print this and exit\n\n"
        "millrace COMMAND --help lists a command's options; millrace(1) has the exit codes.\n");
}
