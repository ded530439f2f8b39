/* SPDX-License-Identifier: MIT */
/*
 * cmd_token.c - `millrace token new NAME`: a token, shown once, and the line that stands for it.
 */
#include "dispatcher/cli/commands.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/config/cli.h"
#include "dispatcher/config/exit_code.h"
#include "dispatcher/config/tokens.h"

struct token_values {
    const char *file;
};

static const struct cli_option options[] = {
    {"file", "FILE", CLI_TEXT, CLI_MEMBER(struct token_values, file),
     .help = "append the line to this token file, which is made when it is missing"},
};

static const char *const actions[] = {"new", NULL};

const struct cli_command token_command = {
    .name = "token",
    .words = "new NAME",
    .about =
        "Makes a token and prints it, this once, and then the line NAME:SHA256 for the server's\n"
        "token file. With --file the line goes there and only the token is printed.",
    .options = options,
    .option_count = ARRAY_COUNT(options),
    .words_are = CLI_WORDS_CHOICES,
    .word_choices = actions,
    .word_count_min = 2,
    .word_count_max = 2,
};

static int token_new(const char *name, const char *file);

int cmd_token(int argc, char **argv)
{
    struct token_values values = {0};
    struct cli_words words;
    int exit_code;
    if (!cli_begin(&token_command, argc, argv, &values, &words, &exit_code))
        return exit_code;
    if (strcmp(words.items[0], "new") != 0) {
        cli_fail("token: unknown action %s, it is: millrace token new NAME", words.items[0]);
        return EXIT_CODE_USAGE;
    }
    if (!token_name_is_valid(words.items[1])) {
        cli_fail("token: the name '%s' is not 1 to %u letters, digits and ._@-", words.items[1],
                 TOKEN_NAME_BYTES_MAX);
        return EXIT_CODE_USAGE;
    }
    return token_new(words.items[1], values.file);
}

static int token_new(const char *name, const char *file)
{
    char token[TOKEN_BYTES];
    char hash[TOKEN_HASH_BYTES];
    if (token_create(token, hash) < 0) {
        cli_fail("token: there is no source of randomness");
        return EXIT_CODE_FAILED;
    }
    if (!file) {
        printf("%s\n%s:%s\n", token, name, hash);
        return EXIT_CODE_OK;
    }
    char reason[256];
    int rc = tokens_append(file, name, hash, reason, sizeof(reason));
    if (rc == -EINVAL)
        cli_fail("token: %s: %s", file, reason);
    else if (rc == -EEXIST)
        cli_fail("token: %s: it has a token named %s already", file, name);
    else if (rc < 0)
        cli_fail("token: %s: %s", file, strerror(-rc));
    if (rc < 0)
        return EXIT_CODE_TOKENS;
    printf("%s\n", token);
    return EXIT_CODE_OK;
}
