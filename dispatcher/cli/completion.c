/* SPDX-License-Identifier: MIT */
/* completion.c - scripts that have a shell complete the commands, made from their tables. */
#include "dispatcher/cli/completion.h"

#include <string.h>

#include "dispatcher/cli/commands.h"
#include "dispatcher/config/cli.h"

/* What a server that answers serves; one that does not is not waited for. */
#define POINTERS                                                                                   \
    "ps --json 2>/dev/null | grep -o '\"pointer\": *\"[^\"]*\"' | cut -d '\"' -f 4 | sort -u"

/* What an option's value can be. */
enum value_kind { VALUE_NONE = 0, VALUE_ANY, VALUE_FILE, VALUE_POINTER, VALUE_CHOICE };

static enum value_kind completion_value_kind(const struct cli_option *option)
{
    const char *word = cli_value_word(option);
    if (option->kind == CLI_FLAG)
        return VALUE_NONE;
    if (option->kind == CLI_CHOICE)
        return VALUE_CHOICE;
    if (option->path != CLI_NO_PATH || strcmp(word, "FILE") == 0)
        return VALUE_FILE;
    return strcmp(word, "POINTER") == 0 ? VALUE_POINTER : VALUE_ANY;
}

static void completion_choices_print(FILE *file, const char *const *choices)
{
    for (size_t i = 0; choices[i]; i++)
        fprintf(file, "%s%s", i > 0 ? " " : "", choices[i]);
}

/* ---- bash ---------------------------------------------------------------------------------- */

/* The words as they were typed, since readline splits at : and =, which pointers and values have;
 * of a candidate it wants what is behind the last one of those. */
static const char bash_begin[] =
    "# bash completion of millrace: written by `millrace completion bash`\n"
    "\n"
    "_millrace_options()\n"
    "{\n"
    "    case $1 in\n";

static const char bash_values[] = "    esac\n"
                                  "}\n"
                                  "\n"
                                  "# What the value of an option can be; false: it has none.\n"
                                  "_millrace_value()\n"
                                  "{\n"
                                  "    kind=any words=\n"
                                  "    case $1 in\n";

static const char bash_words[] = "    *) return 1 ;;\n"
                                 "    esac\n"
                                 "}\n"
                                 "\n"
                                 "# What else a command takes.\n"
                                 "_millrace_words()\n"
                                 "{\n"
                                 "    kind=any words=\n"
                                 "    case $1 in\n";

static const char bash_end[] =
    "    esac\n"
    "}\n"
    "\n"
    "# Adds candidates that begin with $2, each behind $1.\n"
    "_millrace_add()\n"
    "{\n"
    "    local candidate\n"
    "    case $kind in\n"
    "    file)\n"
    "        compopt -o filenames 2>/dev/null\n"
    "        while IFS= read -r candidate; do COMPREPLY+=(\"$1$candidate\"); done < <(compgen -f "
    "-- \"$2\")\n"
    "        return ;;\n"
    "    pointer) words=$(\"${typed[0]}\" " POINTERS ") ;;\n"
    "    any) return ;;\n"
    "    esac\n"
    "    while IFS= read -r candidate; do COMPREPLY+=(\"$1$candidate\"); done < <(compgen -W "
    "\"$words\" -- \"$2\")\n"
    "}\n"
    "\n"
    "_millrace()\n"
    "{\n"
    "    local -a typed\n"
    "    local kind words cut i line=${COMP_LINE:0:COMP_POINT}\n"
    "    read -ra typed <<<\"$line\"\n"
    "    [[ $line == *[[:space:]] ]] && typed+=('')\n"
    "    local cur=${typed[-1]} before=${typed[-2]} command=${typed[1]}\n"
    "    COMPREPLY=()\n"
    "    if ((${#typed[@]} == 2)); then\n"
    "        kind=words words=\"$(_millrace_options '') help --version --help\"\n"
    "        _millrace_add '' \"$cur\"\n"
    "    elif [[ $command == help ]]; then\n"
    "        kind=words words=$(_millrace_options '')\n"
    "        _millrace_add '' \"$cur\"\n"
    "    elif [[ $cur == --*=* ]]; then\n"
    "        _millrace_value \"$command:${cur%%=*}\" && _millrace_add \"${cur%%=*}=\" "
    "\"${cur#*=}\"\n"
    "    elif _millrace_value \"$command:$before\"; then\n"
    "        _millrace_add '' \"$cur\"\n"
    "    elif [[ $cur == -* ]]; then\n"
    "        kind=words words=\"$(_millrace_options \"$command\") --help\"\n"
    "        _millrace_add '' \"$cur\"\n"
    "    else\n"
    "        _millrace_words \"$command\"\n"
    "        _millrace_add '' \"$cur\"\n"
    "    fi\n"
    "    # Of a candidate readline wants what is behind the last of its breaks.\n"
    "    for ((i = 0; i < ${#cur}; i++)); do\n"
    "        [[ ${cur:i:1} == [:=] && $COMP_WORDBREAKS == *\"${cur:i:1}\"* ]] && cut=$((i + 1))\n"
    "    done\n"
    "    for i in \"${!COMPREPLY[@]}\"; do COMPREPLY[i]=${COMPREPLY[i]:${cut:-0}}; done\n"
    "}\n"
    "\n"
    "complete -F _millrace millrace\n";

static void bash_value_print(FILE *file, const struct command *command,
                             const struct cli_option *option)
{
    fprintf(file, "    %s:--%s", command->name, option->name);
    if (option->letter)
        fprintf(file, " | %s:-%c", command->name, option->letter);
    fputs(") ", file);
    switch (completion_value_kind(option)) {
    case VALUE_FILE:
        fputs("kind=file ", file);
        break;
    case VALUE_POINTER:
        fputs("kind=pointer ", file);
        break;
    case VALUE_CHOICE:
        fputs("kind=words words='", file);
        completion_choices_print(file, option->choices);
        fputs("' ", file);
        break;
    case VALUE_NONE:
    case VALUE_ANY:
        break;
    }
    fputs(";;\n", file);
}

static void bash_words_print(FILE *file, const struct command *command)
{
    switch (command->table->words_are) {
    case CLI_WORDS_FILES:
        fprintf(file, "    %s) kind=file ;;\n", command->name);
        break;
    case CLI_WORDS_POINTERS:
        fprintf(file, "    %s) kind=pointer ;;\n", command->name);
        break;
    case CLI_WORDS_CHOICES:
        fprintf(file, "    %s) kind=words words='", command->name);
        completion_choices_print(file, command->table->word_choices);
        fputs("' ;;\n", file);
        break;
    case CLI_WORDS_ANY:
        break;
    }
}

void completion_bash_print(FILE *file)
{
    fputs(bash_begin, file);
    fputs("    '') echo '", file);
    for (size_t i = 0; i < command_count; i++)
        fprintf(file, "%s%s", i > 0 ? " " : "", commands[i].name);
    fputs("' ;;\n", file);
    for (size_t i = 0; i < command_count; i++) {
        const struct cli_command *table = commands[i].table;
        fprintf(file, "    %s) echo '", commands[i].name);
        for (size_t k = 0; k < table->option_count; k++)
            fprintf(file, "%s--%s", k > 0 ? " " : "", table->options[k].name);
        fputs("' ;;\n", file);
    }
    fputs(bash_values, file);
    for (size_t i = 0; i < command_count; i++)
        for (size_t k = 0; k < commands[i].table->option_count; k++)
            if (commands[i].table->options[k].kind != CLI_FLAG)
                bash_value_print(file, &commands[i], &commands[i].table->options[k]);
    fputs(bash_words, file);
    for (size_t i = 0; i < command_count; i++)
        bash_words_print(file, &commands[i]);
    fputs(bash_end, file);
}

/* ---- zsh ----------------------------------------------------------------------------------- */

static const char zsh_begin[] =
    "#compdef millrace\n"
    "# zsh completion of millrace: written by `millrace completion zsh`\n"
    "\n"
    "_millrace_pointers()\n"
    "{\n"
    "    local -a found\n"
    "    found=(${(f)\"$(millrace " POINTERS ")\"})\n"
    "    compadd -a found\n"
    "}\n"
    "\n"
    "_millrace()\n"
    "{\n"
    "    local -a commands\n"
    "    commands=(\n";

static const char zsh_commands[] = "        'help:print the help of a command'\n"
                                   "    )\n"
                                   "    if ((CURRENT == 2)); then\n"
                                   "        _describe -t commands command commands\n"
                                   "        [[ $words[2] == -* ]] && compadd -- --version --help\n"
                                   "        return\n"
                                   "    fi\n"
                                   "    local command=$words[2]\n"
                                   "    shift words\n"
                                   "    ((CURRENT--))\n"
                                   "    case $command in\n"
                                   "    help) _describe -t commands command commands ;;\n";

static const char zsh_end[] = "    esac\n"
                              "}\n"
                              "\n"
                              "if [[ $funcstack[1] == _millrace ]]; then\n"
                              "    _millrace \"$@\"\n"
                              "else\n"
                              "    compdef _millrace millrace\n"
                              "fi\n";

/* Within single quotes, and where brackets and colons mean something. */
static void zsh_text_print(FILE *file, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            fputs("'\\''", file);
        else if (strchr("[]:\\", *text))
            fprintf(file, "\\%c", *text);
        else
            fputc(*text, file);
    }
}

/* 'EXPLANATION:ACTION' of a value. */
static void zsh_value_print(FILE *file, const struct cli_option *option)
{
    enum value_kind kind = completion_value_kind(option);
    if (kind == VALUE_NONE)
        return;
    fputc(':', file);
    zsh_text_print(file, cli_value_word(option));
    fputc(':', file);
    if (kind == VALUE_FILE)
        fputs("_files", file);
    if (kind == VALUE_POINTER)
        fputs("_millrace_pointers", file);
    if (kind == VALUE_CHOICE) {
        fputc('(', file);
        completion_choices_print(file, option->choices);
        fputc(')', file);
    }
}

/* Under its name, or its letter. */
static void zsh_option_print(FILE *file, const struct cli_option *option, const char *name)
{
    bool is_again = option->kind == CLI_LIST || option->by_pipeline;
    fprintf(file, "            '%s%s[", is_again ? "*" : "", name);
    zsh_text_print(file, option->help);
    fputc(']', file);
    zsh_value_print(file, option);
    fputs("' \\\n", file);
}

static void zsh_options_print(FILE *file, const struct cli_command *table)
{
    for (size_t i = 0; i < table->option_count; i++) {
        const struct cli_option *option = &table->options[i];
        char name[64];
        snprintf(name, sizeof name, "--%s%s", option->name, option->kind == CLI_FLAG ? "" : "=");
        zsh_option_print(file, option, name);
        snprintf(name, sizeof name, "-%c", option->letter);
        if (option->letter)
            zsh_option_print(file, option, name);
    }
}

static void zsh_command_print(FILE *file, const struct command *command)
{
    const struct cli_command *table = command->table;
    fprintf(file, "    %s)\n        _arguments \\\n", command->name);
    zsh_options_print(file, table);
    fputs("            '--help[print this and exit]'", file);
    switch (table->words_are) {
    case CLI_WORDS_FILES:
        fputs(" \\\n            '*:source:_files'", file);
        break;
    case CLI_WORDS_POINTERS:
        fputs(" \\\n            '1:pointer:_millrace_pointers'", file);
        break;
    case CLI_WORDS_CHOICES:
        fputs(" \\\n            '1:word:(", file);
        completion_choices_print(file, table->word_choices);
        fputs(")'", file);
        break;
    case CLI_WORDS_ANY:
        break;
    }
    fputs(" ;;\n", file);
}

void completion_zsh_print(FILE *file)
{
    fputs(zsh_begin, file);
    for (size_t i = 0; i < command_count; i++) {
        fprintf(file, "        '%s:", commands[i].name);
        zsh_text_print(file, commands[i].about);
        fputs("'\n", file);
    }
    fputs(zsh_commands, file);
    for (size_t i = 0; i < command_count; i++)
        zsh_command_print(file, &commands[i]);
    fputs(zsh_end, file);
}
