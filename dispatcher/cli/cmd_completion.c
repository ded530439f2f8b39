/* SPDX-License-Identifier: MIT */
/* cmd_completion.c - `millrace completion`: prints what has a shell complete the commands. */
#include "dispatcher/cli/commands.h"

#include <string.h>

#include "dispatcher/cli/completion.h"
#include "dispatcher/config/cli.h"
#include "dispatcher/config/exit_code.h"

static const char *const shells[] = {"bash", "zsh", NULL};

const struct cli_command completion_command = {
    .name = "completion",
    .words = "bash|zsh",
    .about = "Prints a script that has this shell complete the commands and options of millrace.",
    .words_are = CLI_WORDS_CHOICES,
    .word_choices = shells,
    .word_count_min = 1,
    .word_count_max = 1,
};

int cmd_completion(int argc, char **argv)
{
    struct cli_words words;
    int exit_code;
    char unused;
    if (!cli_begin(&completion_command, argc, argv, &unused, &words, &exit_code))
        return exit_code;
    if (strcmp(words.items[0], "bash") == 0) {
        completion_bash_print(stdout);
    } else if (strcmp(words.items[0], "zsh") == 0) {
        completion_zsh_print(stdout);
    } else {
        cli_fail("completion: %s is neither bash nor zsh", words.items[0]);
        return EXIT_CODE_USAGE;
    }
    return EXIT_CODE_OK;
}
