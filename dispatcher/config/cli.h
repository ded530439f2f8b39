/* SPDX-License-Identifier: MIT */
/*
 * cli.h - a command's options as one table, which is parsed, checked and printed as its help.
 *
 * A table's fields name members of a values struct of the command, which holds the defaults before
 * and the outcome after cli_parse(). Since --help prints the same table and the same values, it
 * cannot say anything else than what is done.
 */
#ifndef DISPATCHER_CLI_H
#define DISPATCHER_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "millrace/check.h"

/* What an option's value is, and the type of the member it is put into. */
enum cli_kind {
    CLI_FLAG = 0,   /* bool; has no value */
    CLI_TEXT,       /* const char *; memory of argv */
    CLI_LIST,       /* struct cli_list; may be given several times */
    CLI_NUMBER,     /* uint32_t or uint64_t */
    CLI_SIZE,       /* likewise, bytes: 65536, 64k, 1m, 2g */
    CLI_SIZE_POWER, /* likewise, a power of two */
    CLI_DURATION,   /* likewise, milliseconds: 500ms, 10s, 2m, 1h */
    CLI_RANGE,      /* struct cli_range: 4, or 1-8; the greater one is 1 or more */
    CLI_CHOICE,     /* uint32_t, an index into `choices` */
    CLI_KIND_COUNT
};

#define CLI_LIST_COUNT_MAX 256u
#define CLI_REASON_BYTES 1024u
#define CLI_JSON_BYTES_MAX 65536u /* of a text that is JSON */

/* Texts are memory of argv. */
struct cli_list {
    const char *items[CLI_LIST_COUNT_MAX];
    uint32_t count;
};

struct cli_range {
    uint32_t min, max; /* both included */
};

/* What of a text is a path, which in a file begins at that file's folder. */
enum cli_path {
    CLI_NO_PATH = 0,
    CLI_PATH,         /* all of it */
    CLI_PATH_OR_NONE, /* unless it is the word none */
    CLI_PATH_OR_NAME, /* if it has a slash; a name is looked for in PATH */
};

struct cli_option {
    const char *name;  /* without its dashes */
    const char *value; /* its word in the help text; NULL: the usual one of the kind */
    enum cli_kind kind;
    size_t offset; /* of the member, see CLI_MEMBER */
    size_t bytes;
    uint64_t min, max;          /* of numbers, both included; of a list, `max` is its length */
    const char *const *choices; /* NULL-terminated */
    const char *help;
    char letter;             /* -c is it, too; 0: none */
    bool is_of_command_line; /* a configuration file does not say it */
    bool is_list_of_json;    /* of a text: a file has it as a list, too */
    enum cli_path path;
    /* Of a text or an item of a list: what cannot be right. NULL: nothing is looked at. Of the
     * reason the name of the option is part. */
    int (*check)(const char *text, char reason[CLI_REASON_BYTES]);
    /* It takes [POINTER=]VALUE: it may be said for one pipeline. Then it goes to the command's
     * say(), and its member is one of a pipeline's values; a list needs none. */
    bool by_pipeline;
    const char *key; /* the word that a file has for it below a pipeline; NULL: its name */
};

#define CLI_MEMBER(type, member)                                                                   \
    .offset = offsetof(type, member), .bytes = sizeof(((type *)0)->member)

/* What the words of a command are, for those who complete them. */
enum cli_words_kind {
    CLI_WORDS_ANY = 0,
    CLI_WORDS_FILES,
    CLI_WORDS_POINTERS, /* of pipelines that are served */
    CLI_WORDS_CHOICES,
};

struct cli_command {
    const char *name;  /* "serve" */
    const char *words; /* its arguments in the usage line */
    const char *about; /* what it does, in a few sentences */
    const struct cli_option *options;
    size_t option_count;
    int word_count_min, word_count_max;
    enum cli_words_kind words_are;
    const char *const *word_choices; /* of CLI_WORDS_CHOICES; NULL-terminated */
    /* For options by pipeline: takes what is said (NULL: of a flag), and where in the values of the
     * command those of a pipeline are that has the defaults. */
    int (*say)(void *values, const struct cli_option *option, const char *text,
               char reason[CLI_REASON_BYTES]);
    size_t usual;
};

#define CLI_OPTION_COUNT_MAX 128u /* of a command */

/* What is left of the command line without the options. Memory of argv, which is reordered. */
struct cli_words {
    char **items;
    int count;
    bool given[CLI_OPTION_COUNT_MAX]; /* which rows of the table were said */
};

/* Reads `argv` (without the command's own name) into `values`. 0; 1 when --help was asked for; or
 * -EINVAL with one line in `reason`. "--" ends the options; "-" and what looks like a negative
 * number are words. */
int cli_parse(const struct cli_command *command, int argc, char **argv, void *values,
              struct cli_words *words, char reason[CLI_REASON_BYTES]) MUST_USE;

/* cli_parse() for commands: true to go on. False when help was printed or an error: leave with
 * *exit_code. */
bool cli_begin(const struct cli_command *command, int argc, char **argv, void *values,
               struct cli_words *words, int *exit_code) MUST_USE;

/* The help text; `values` hold the defaults. */
void cli_help(FILE *file, const struct cli_command *command, const void *values);

/* "1 to 256, default 1" and the like, of what is parsed against; "": there is nothing to say.
 * `values` hold the defaults, and 0 is one that is worked out later. */
#define CLI_LIMITS_BYTES 128u
void cli_limits(const struct cli_option *option, const void *values, char text[CLI_LIMITS_BYTES]);

/* The word for its value: N, TIME, PATH; NULL: it has none. */
const char *cli_value_word(const struct cli_option *option);

/* Writes `millrace: ` and the message to stderr as one line, whatever bytes are in it. */
void cli_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Writes text that is not ours so that it stays on its line and moves no cursor. */
void cli_print(FILE *file, const char *text);

/* Likewise text of several lines, of which each ends with a newline afterwards. */
void cli_print_lines(FILE *file, const char *text, size_t count);

/* Likewise a value for a terminal: newlines and tabs in it stay. */
void cli_print_value(FILE *file, const char *text, size_t count);

/* Inserts, deletions, replacements and swaps of neighbours that turn one word into the other. A
 * `word` that `name` begins with counts as one step. */
size_t cli_distance(const char *word, const char *name);

/* Whether one may have been meant by the other: one step away, or one for three letters. */
bool cli_is_near(const char *word, const char *name);

/* The name with the least distance to `word`, if it is near, or NULL; `names` ends with NULL and is
 * not empty. */
const char *cli_nearest(const char *word, const char *const *names);

/* Sets the member of `values` that the option names to what `text` says; of a flag NULL, "on" or
 * "off". -EINVAL with one line in `reason`. */
int cli_set(const struct cli_option *option, const char *text, void *values,
            char reason[CLI_REASON_BYTES]) MUST_USE;

/* The row of that name; NULL: there is none. */
const struct cli_option *cli_find(const struct cli_command *command, const char *name);

/* The word that a file has for it. */
static inline const char *cli_key(const struct cli_option *option)
{
    return option->key ? option->key : option->name;
}

/* Likewise of what is said of the server, or of a pipeline, by the word that a file has. */
const struct cli_option *cli_find_key(const struct cli_command *command, const char *key,
                                      bool by_pipeline);

/* What a text says as one of CLI_SIZE; 0: it is none, or too large. */
uint64_t cli_size_read(const char *text);

/* A number as it would be written on the command line: 64k, 10s, 7. */
#define CLI_NUMBER_TEXT_BYTES 32u
void cli_format(enum cli_kind kind, uint64_t number, char text[CLI_NUMBER_TEXT_BYTES]);

#endif
