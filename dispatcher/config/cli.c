/* SPDX-License-Identifier: MIT */
/*
 * cli.c - a command's options as one table, which is parsed, checked and printed as its help.
 */
#include "dispatcher/config/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include "dispatcher/config/exit_code.h"
#include "dispatcher/config/refuse.h"
#include "dispatcher/text/utf8.h"

#define MESSAGE_LINE_BYTES 2048u
#define WORD_BYTES_MAX 64u /* of what is compared when looking for the nearest name */

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit size_units[] = {
    {"g", UINT64_C(1) << 30}, {"m", 1u << 20}, {"k", 1u << 10}, {"", 1}, {NULL, 0}};
static const struct unit duration_units[] = {
    {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0}};
static const struct unit number_units[] = {{"", 1}, {NULL, 0}};

/* What help and messages call the value of each kind, and how one looks. */
static const struct {
    const char *value;
    const char *example;
    const struct unit *units;
} kinds[CLI_KIND_COUNT] = {
    [CLI_TEXT] = {"TEXT", NULL, NULL},
    [CLI_LIST] = {"TEXT", NULL, NULL},
    [CLI_NUMBER] = {"N", "a number", number_units},
    [CLI_SIZE] = {"SIZE", "a size like 65536, 64k or 1m", size_units},
    [CLI_SIZE_POWER] = {"SIZE", "a size like 65536, 64k or 1m", size_units},
    [CLI_DURATION] = {"TIME", "a time like 500ms, 10s or 2m", duration_units},
    [CLI_RANGE] = {"N[-MAX]", "a number, or two like 1-8", number_units},
    [CLI_CHOICE] = {"WORD", NULL, NULL},
};

static int cli_option_take(const struct cli_command *command, int argc, char **argv, int *at,
                           void *values, struct cli_words *words, char reason[CLI_REASON_BYTES]);
static const struct cli_option *cli_option_find(const struct cli_command *command, const char *name,
                                                size_t bytes);
static const struct cli_option *cli_letter_find(const struct cli_command *command,
                                                const char *word);
static int cli_text_check(const struct cli_option *option, const char *text,
                          char reason[CLI_REASON_BYTES]);
static int cli_option_refuse(const struct cli_command *command, const char *word, size_t bytes,
                             char reason[CLI_REASON_BYTES]);
static int cli_words_check(const struct cli_command *command, const struct cli_words *words,
                           char reason[CLI_REASON_BYTES]);

static bool cli_is_option(const char *word);
static bool cli_help_is_asked(int argc, char **argv);
static int cli_number_set(const struct cli_option *option, const char *text, void *member,
                          char reason[CLI_REASON_BYTES]);
static int cli_range_set(const struct cli_option *option, const char *text, void *member,
                         char reason[CLI_REASON_BYTES]);
static uint64_t cli_default_of(const struct cli_option *option, const void *member);
static int cli_choice_set(const struct cli_option *option, const char *text, void *member,
                          char reason[CLI_REASON_BYTES]);
static void cli_shown_print(FILE *file, const char *text, size_t count, const char *kept);
static char cli_stand_in(const char *text, size_t count, size_t *bytes);

bool cli_begin(const struct cli_command *command, int argc, char **argv, void *values,
               struct cli_words *words, int *exit_code)
{
    char reason[CLI_REASON_BYTES];
    int rc = cli_parse(command, argc, argv, values, words, reason);
    if (rc == 0)
        return true;
    if (rc == 1) {
        cli_help(stdout, command, values);
        *exit_code = EXIT_CODE_OK;
    } else {
        cli_fail("%s: %s", command->name, reason);
        *exit_code = EXIT_CODE_USAGE;
    }
    return false;
}

int cli_parse(const struct cli_command *command, int argc, char **argv, void *values,
              struct cli_words *words, char reason[CLI_REASON_BYTES])
{
    if (cli_help_is_asked(argc, argv))
        return 1;
    struct cli_words found = {.items = argv};
    bool options_end = false;
    for (int i = 0; i < argc; i++) {
        if (options_end || !cli_is_option(argv[i])) {
            found.items[found.count++] = argv[i];
        } else if (strcmp(argv[i], "--") == 0) {
            options_end = true;
        } else {
            int rc = cli_option_take(command, argc, argv, &i, values, &found, reason);
            if (rc < 0)
                return rc;
        }
    }
    int rc = cli_words_check(command, &found, reason);
    if (rc < 0)
        return rc;
    *words = found;
    return 0;
}

static bool cli_is_option(const char *word)
{
    bool is_negative_number =
        word[0] == '-' && (word[1] == '.' || (word[1] >= '0' && word[1] <= '9'));
    return word[0] == '-' && word[1] != '\0' && !is_negative_number;
}

/* Whether help is asked for is looked at first: the help text shows the defaults, not what the rest
 * of the command line says. */
static bool cli_help_is_asked(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

/* Takes the option at argv[*at], and the value after it when it needs one. */
static int cli_option_take(const struct cli_command *command, int argc, char **argv, int *at,
                           void *values, struct cli_words *words, char reason[CLI_REASON_BYTES])
{
    const char *word = argv[*at];
    const char *name = word + (word[1] == '-' ? 2 : 1);
    size_t bytes = strcspn(name, "=");
    const char *text = name[bytes] == '=' ? name + bytes + 1 : NULL;
    const struct cli_option *option =
        word[1] == '-' ? cli_option_find(command, name, bytes) : cli_letter_find(command, word);
    if (!option)
        return cli_option_refuse(command, word, (size_t)(name + bytes - word), reason);
    words->given[option - command->options] = true;
    bool is_flag = option->kind == CLI_FLAG;
    if (is_flag && text && !option->by_pipeline)
        return refuse(reason, "--%s takes no value", option->name);
    if (!is_flag && !text && *at + 1 < argc && strncmp(argv[*at + 1], "--", 2) != 0)
        text = argv[++*at];
    if (!is_flag && !text)
        return refuse(reason, "--%s needs a value (%s)", option->name, cli_value_word(option));
    return option->by_pipeline ? command->say(values, option, text, reason)
                               : cli_set(option, text, values, reason);
}

static const struct cli_option *cli_option_find(const struct cli_command *command, const char *name,
                                                size_t bytes)
{
    for (size_t i = 0; i < command->option_count; i++) {
        const char *known = command->options[i].name;
        if (strlen(known) == bytes && memcmp(known, name, bytes) == 0)
            return &command->options[i];
    }
    return NULL;
}

/* -c and nothing after it. */
static const struct cli_option *cli_letter_find(const struct cli_command *command, const char *word)
{
    for (size_t i = 0; i < command->option_count && strlen(word) == 2; i++)
        if (command->options[i].letter == word[1])
            return &command->options[i];
    return NULL;
}

const struct cli_option *cli_find(const struct cli_command *command, const char *name)
{
    return cli_option_find(command, name, strlen(name));
}

const struct cli_option *cli_find_key(const struct cli_command *command, const char *key,
                                      bool by_pipeline)
{
    for (size_t i = 0; i < command->option_count; i++)
        if (command->options[i].by_pipeline == by_pipeline &&
            strcmp(cli_key(&command->options[i]), key) == 0)
            return &command->options[i];
    return NULL;
}

static int cli_words_check(const struct cli_command *command, const struct cli_words *words,
                           char reason[CLI_REASON_BYTES])
{
    if (words->count < command->word_count_min)
        return refuse(reason, "not enough arguments, it is: millrace %s %s", command->name,
                      command->words);
    if (words->count > command->word_count_max)
        return refuse(reason, "too many arguments at '%s', it is: millrace %s %s",
                      words->items[command->word_count_max], command->name, command->words);
    return 0;
}

/* ---- values -------------------------------------------------------------------------------- */

int cli_set(const struct cli_option *option, const char *text, void *values,
            char reason[CLI_REASON_BYTES])
{
    void *member = (char *)values + option->offset;
    switch (option->kind) {
    case CLI_FLAG:
        *(bool *)member = !text || strcmp(text, "on") == 0;
        if (text && !*(bool *)member && strcmp(text, "off") != 0)
            return refuse(reason, "--%s %s is neither on nor off", option->name, text);
        return 0;
    case CLI_TEXT:
        if (*text == '\0')
            return refuse(reason, "--%s needs a value that is not empty", option->name);
        if (cli_text_check(option, text, reason) < 0)
            return -EINVAL;
        *(const char **)member = text;
        return 0;
    case CLI_LIST: {
        struct cli_list *list = member;
        if (cli_text_check(option, text, reason) < 0)
            return -EINVAL;
        mr_assert(option->max <= CLI_LIST_COUNT_MAX);
        if (list->count == option->max)
            return refuse(reason, "--%s can be given %u times at most", option->name,
                          (unsigned)option->max);
        list->items[list->count++] = text;
        return 0;
    }
    case CLI_NUMBER:
    case CLI_SIZE:
    case CLI_SIZE_POWER:
    case CLI_DURATION:
        return cli_number_set(option, text, member, reason);
    case CLI_RANGE:
        return cli_range_set(option, text, member, reason);
    case CLI_CHOICE:
    case CLI_KIND_COUNT:
        break;
    }
    mr_assert(option->kind == CLI_CHOICE);
    return cli_choice_set(option, text, member, reason);
}

static int cli_text_check(const struct cli_option *option, const char *text,
                          char reason[CLI_REASON_BYTES])
{
    return option->check ? option->check(text, reason) : 0;
}

void cli_format(enum cli_kind kind, uint64_t number, char text[CLI_NUMBER_TEXT_BYTES])
{
    const struct unit *unit = kinds[kind].units;
    mr_assert(unit != NULL);
    while (unit[1].name && (number == 0 || number % unit->factor != 0))
        unit++;
    snprintf(text, CLI_NUMBER_TEXT_BYTES, "%llu%s", (unsigned long long)(number / unit->factor),
             number == 0 ? "" : unit->name);
}

/* Digits and a unit's name. -EINVAL: not that; -ERANGE: more than 64 bits. */
static int cli_number_parse(const char *text, const struct unit *units, uint64_t *out)
{
    uint64_t number = 0;
    const char *end = text;
    for (; *end >= '0' && *end <= '9'; end++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*end - '0'), &number))
            return -ERANGE;
    if (end == text)
        return -EINVAL;
    if (*end == '\0' && number == 0) {
        *out = 0; /* no unit changes nothing */
        return 0;
    }
    for (; units->name; units++)
        if (strcasecmp(end, units->name) == 0)
            return __builtin_mul_overflow(number, units->factor, out) ? -ERANGE : 0;
    return -EINVAL;
}

uint64_t cli_size_read(const char *text)
{
    uint64_t bytes;
    return cli_number_parse(text, size_units, &bytes) == 0 ? bytes : 0;
}

/* A word of the text that was said, which may be all of it. */
static int cli_number_read(const struct cli_option *option, const char *text, const char *word,
                           uint64_t *out, char reason[CLI_REASON_BYTES])
{
    char min[CLI_NUMBER_TEXT_BYTES];
    char max[CLI_NUMBER_TEXT_BYTES];
    cli_format(option->kind, option->min, min);
    cli_format(option->kind, option->max, max);
    int rc = cli_number_parse(word, kinds[option->kind].units, out);
    if (rc == -EINVAL)
        return refuse(reason, "--%s %s is not %s (%s to %s)", option->name, text,
                      kinds[option->kind].example, min, max);
    if (rc < 0 || *out < option->min || *out > option->max)
        return refuse(reason, "--%s %s is out of range, %s to %s", option->name, text, min, max);
    return 0;
}

static int cli_number_set(const struct cli_option *option, const char *text, void *member,
                          char reason[CLI_REASON_BYTES])
{
    uint64_t number;
    if (cli_number_read(option, text, text, &number, reason) < 0)
        return -EINVAL;
    if (option->kind == CLI_SIZE_POWER && (number & (number - 1)) != 0)
        return refuse(reason, "--%s %s is not a power of two", option->name, text);
    if (option->bytes == sizeof(uint32_t)) {
        mr_assert(option->max <= UINT32_MAX);
        *(uint32_t *)member = (uint32_t)number;
    } else {
        mr_assert(option->bytes == sizeof(uint64_t));
        *(uint64_t *)member = number;
    }
    return 0;
}

static int cli_range_set(const struct cli_option *option, const char *text, void *member,
                         char reason[CLI_REASON_BYTES])
{
    char first[CLI_NUMBER_TEXT_BYTES];
    const char *dash = strchr(text, '-');
    uint64_t min, max;
    mr_assert(option->bytes == sizeof(struct cli_range) && option->max <= UINT32_MAX);
    snprintf(first, sizeof first, "%.*s", dash ? (int)(dash - text) : (int)strlen(text), text);
    if (cli_number_read(option, text, first, &min, reason) < 0 ||
        cli_number_read(option, text, dash ? dash + 1 : first, &max, reason) < 0)
        return -EINVAL;
    if (min > max)
        return refuse(reason, "--%s %s: the first is greater than the second", option->name, text);
    if (max == 0)
        return refuse(reason, "--%s %s is never any; 0-1 is none or one", option->name, text);
    *(struct cli_range *)member = (struct cli_range){(uint32_t)min, (uint32_t)max};
    return 0;
}

static int cli_choice_set(const struct cli_option *option, const char *text, void *member,
                          char reason[CLI_REASON_BYTES])
{
    char known[128];
    size_t filled = 0;
    for (uint32_t i = 0; option->choices[i]; i++) {
        if (strcmp(option->choices[i], text) == 0) {
            *(uint32_t *)member = i;
            return 0;
        }
        int count = snprintf(known + filled, sizeof(known) - filled, "%s%s", i ? ", " : "",
                             option->choices[i]);
        filled += (size_t)count;
        mr_assert(filled < sizeof(known));
    }
    return refuse(reason, "--%s %s is none of %s", option->name, text, known);
}

/* ---- help ---------------------------------------------------------------------------------- */

#define HELP_COLUMN 28

#define HELP_WIDTH 80

/* Prints words up to the right margin; further lines begin at HELP_COLUMN. */
static void cli_help_wrap(FILE *file, int column, const char *text)
{
    const char *separator = "";
    while (*text != '\0') {
        int length = (int)strcspn(text, " ");
        if (*separator != '\0' && column + 1 + length > HELP_WIDTH) {
            fprintf(file, "\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
            separator = "";
        }
        fprintf(file, "%s%.*s", separator, length, text);
        column += (int)strlen(separator) + length;
        separator = " ";
        text += length;
        text += strspn(text, " ");
    }
    fputc('\n', file);
}

void cli_limits(const struct cli_option *option, const void *values, char text[CLI_LIMITS_BYTES])
{
    const char *member = (const char *)values + option->offset;
    text[0] = '\0';
    if (option->kind == CLI_CHOICE) {
        const char *usual = option->choices[*(const uint32_t *)(const void *)member];
        if (strcmp(usual, "default") != 0) /* a word that says it itself */
            snprintf(text, CLI_LIMITS_BYTES, "default %s", usual);
    } else if (kinds[option->kind].units) {
        uint64_t number = cli_default_of(option, member);
        char min[CLI_NUMBER_TEXT_BYTES];
        char max[CLI_NUMBER_TEXT_BYTES];
        char usual[CLI_NUMBER_TEXT_BYTES];
        cli_format(option->kind, option->min, min);
        cli_format(option->kind, option->max, max);
        cli_format(option->kind, number, usual);
        snprintf(text, CLI_LIMITS_BYTES, "%s to %s%s%s", min, max, number ? ", default " : "",
                 number ? usual : "");
    }
}

/* That of a range is one number. */
static uint64_t cli_default_of(const struct cli_option *option, const void *member)
{
    if (option->kind == CLI_RANGE)
        return ((const struct cli_range *)member)->max;
    return option->bytes == sizeof(uint32_t) ? *(const uint32_t *)member
                                             : *(const uint64_t *)member;
}

const char *cli_value_word(const struct cli_option *option)
{
    return option->value ? option->value : kinds[option->kind].value;
}

static void cli_help_option(FILE *file, const struct cli_option *option, const void *values)
{
    const char *value = cli_value_word(option);
    const char *before = option->by_pipeline ? "[POINTER=]" : "";
    char letter[8] = "";
    if (option->letter)
        snprintf(letter, sizeof letter, "-%c, ", option->letter);
    int column = value ? fprintf(file, "  %s--%s %s%s", letter, option->name, before, value)
                       : fprintf(file, "  %s--%s%s", letter, option->name,
                                 option->by_pipeline ? "[=POINTER]" : "");
    if (column >= HELP_COLUMN - 1) {
        fputc('\n', file);
        column = 0;
    }
    fprintf(file, "%*s", HELP_COLUMN - column, "");
    char limits[CLI_LIMITS_BYTES];
    char text[1024];
    cli_limits(option, values, limits);
    snprintf(text, sizeof(text), "%s%s%s%s", option->help, *limits ? " (" : "", limits,
             *limits ? ")" : "");
    cli_help_wrap(file, HELP_COLUMN, text);
}

void cli_help(FILE *file, const struct cli_command *command, const void *values)
{
    fprintf(file, "Usage: millrace %s %s [OPTION]...\n\n%s\n\nOptions:\n", command->name,
            command->words, command->about);
    for (size_t i = 0; i < command->option_count; i++)
        cli_help_option(file, &command->options[i],
                        command->options[i].by_pipeline ? (const char *)values + command->usual
                                                        : values);
    fprintf(file, "  %-*s%s\n", HELP_COLUMN - 2, "--help", "print this and exit");
}

/* ---- messages ------------------------------------------------------------------------------ */

void cli_print(FILE *file, const char *text)
{
    cli_shown_print(file, text, strlen(text), "");
}

void cli_print_lines(FILE *file, const char *text, size_t count)
{
    cli_shown_print(file, text, count, "\n");
    if (count > 0 && text[count - 1] != '\n')
        fputc('\n', file);
}

void cli_print_value(FILE *file, const char *text, size_t count)
{
    cli_shown_print(file, text, count, "\n\t");
}

void cli_fail(const char *format, ...)
{
    char line[MESSAGE_LINE_BYTES] = "millrace: ";
    size_t start = strlen(line);
    size_t room = sizeof(line) - start - 1; /* for the newline */
    va_list arguments;
    va_start(arguments, format);
    int count = vsnprintf(line + start, room, format, arguments);
    va_end(arguments);
    size_t end = strlen(line);
    for (size_t i = start, bytes; i < end; i += bytes) {
        char instead = cli_stand_in(line + i, end - i, &bytes);
        if (instead != '\0')
            line[i] = instead;
    }
    if (count >= 0 && (size_t)count >= room)
        memcpy(line + end - 3, "...", 3);
    line[end] = '\n';
    line[end + 1] = '\0';
    fputs(line, stderr);
}

size_t cli_distance(const char *word, const char *name)
{
    size_t word_bytes = strnlen(word, WORD_BYTES_MAX);
    size_t name_bytes = strnlen(name, WORD_BYTES_MAX);
    if (word_bytes > 0 && word_bytes < name_bytes && strncmp(word, name, word_bytes) == 0)
        return 1;
    /* Row i of the table: the distances of the first i bytes of `word` from each start of `name`;
     * the two rows above it are all that is needed. */
    size_t rows[3][WORD_BYTES_MAX + 1];
    for (size_t k = 0; k <= name_bytes; k++)
        rows[0][k] = k;
    for (size_t i = 1; i <= word_bytes; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i - 1) % 3];
        const size_t *above_two = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t k = 1; k <= name_bytes; k++) {
            size_t best = above[k - 1] + (word[i - 1] == name[k - 1] ? 0 : 1);
            if (above[k] + 1 < best)
                best = above[k] + 1;
            if (row[k - 1] + 1 < best)
                best = row[k - 1] + 1;
            bool swapped =
                i > 1 && k > 1 && word[i - 1] == name[k - 2] && word[i - 2] == name[k - 1];
            if (swapped && above_two[k - 2] + 1 < best)
                best = above_two[k - 2] + 1;
            row[k] = best;
        }
    }
    return rows[word_bytes % 3][name_bytes];
}

bool cli_is_near(const char *word, const char *name)
{
    size_t bytes = strlen(word) > strlen(name) ? strlen(word) : strlen(name);
    size_t distance = cli_distance(word, name);
    return distance <= 1 || distance <= bytes / 3;
}

const char *cli_nearest(const char *word, const char *const *names)
{
    const char *nearest = names[0];
    mr_assert(nearest != NULL);
    for (size_t i = 1; names[i]; i++)
        if (cli_distance(word, names[i]) < cli_distance(word, nearest))
            nearest = names[i];
    return cli_is_near(word, nearest) ? nearest : NULL;
}

/* What stands for the byte at the start of `text` where a terminal is not to be shown it; 0: it is,
 * and so are the *bytes of its character. */
static char cli_stand_in(const char *text, size_t count, size_t *bytes)
{
    size_t shown = utf8_shown_bytes(text, count);
    *bytes = shown > 0 ? shown : 1;
    if (shown > 0)
        return '\0';
    return *text == '\n' || *text == '\t' ? ' ' : '?';
}

/* But for `kept`. */
static void cli_shown_print(FILE *file, const char *text, size_t count, const char *kept)
{
    for (size_t i = 0, bytes; i < count; i += bytes) {
        char instead = cli_stand_in(text + i, count - i, &bytes);
        if (instead == '\0' || (text[i] != '\0' && strchr(kept, text[i])))
            fwrite(text + i, 1, bytes, file);
        else
            fputc(instead, file);
    }
}

/* `bytes` of the word are its dashes and its name. */
static int cli_option_refuse(const struct cli_command *command, const char *word, size_t bytes,
                             char reason[CLI_REASON_BYTES])
{
    const char *names[CLI_OPTION_COUNT_MAX + 2] = {"help"};
    char name[WORD_BYTES_MAX];
    mr_assert(command->option_count <= CLI_OPTION_COUNT_MAX);
    for (size_t i = 0; i < command->option_count; i++)
        names[1 + i] = command->options[i].name;
    size_t dashes = strspn(word, "-");
    snprintf(name, sizeof(name), "%.*s", (int)(bytes - dashes), word + dashes);
    const char *nearest = cli_nearest(name, names);
    if (nearest)
        return refuse(reason, "unknown option %.*s (nearest: --%s)", (int)bytes, word, nearest);
    return refuse(reason, "unknown option %.*s (millrace %s --help has them all)", (int)bytes, word,
                  command->name);
}
