/* SPDX-License-Identifier: MIT */
/* token_class.c - NAME=CLASS, for each token that is named. */
#include "dispatcher/config/token_class.h"

#include <string.h>

#include "dispatcher/config/config.h"
#include "dispatcher/config/refuse.h"
#include "dispatcher/text/run_class.h"

#define OTHERS "*"

static int token_class_split(const char *text, char name[TOKEN_NAME_BYTES_MAX + 1], uint32_t *class)
{
    const char *equals = strrchr(text, '=');
    size_t bytes = equals ? (size_t)(equals - text) : 0;
    if (bytes == 0 || bytes > TOKEN_NAME_BYTES_MAX)
        return -EINVAL;
    memcpy(name, text, bytes);
    name[bytes] = '\0';
    if (strcmp(name, OTHERS) != 0 && !token_name_is_valid(name))
        return -EINVAL;
    return run_class_read(equals + 1, strlen(equals + 1), class);
}

int token_class_check(const char *text, char reason[CLI_REASON_BYTES])
{
    char name[TOKEN_NAME_BYTES_MAX + 1];
    uint32_t class;
    if (token_class_split(text, name, &class) == 0)
        return 0;
    return refuse(reason,
                  "--token-class '%.100s' is not NAME=CLASS: the name of a token, or * for all "
                  "others, and interactive, batch or 0 to 9",
                  text);
}

static struct token_entry *token_class_find(struct config *config, const char *name)
{
    for (size_t i = 0; i < config->tokens.count; i++)
        if (strcmp(config->tokens.entries[i].name, name) == 0)
            return &config->tokens.entries[i];
    return NULL;
}

/* The last one that is said of a name wins. */
int token_classes_fill(struct config *config, char reason[CLI_REASON_BYTES])
{
    char name[TOKEN_NAME_BYTES_MAX + 1];
    uint32_t class;
    config->others_class = RUN_CLASS_NONE;
    for (uint32_t i = 0; i < config->token_classes.count; i++) {
        int rc = token_class_split(config->token_classes.items[i], name, &class);
        mr_assert(rc == 0); /* which was checked */
        if (strcmp(name, OTHERS) == 0)
            config->others_class = class;
    }
    bool is_said = config->others_class != RUN_CLASS_NONE;
    for (size_t i = 0; i < config->tokens.count; i++)
        config->tokens.entries[i].class = is_said ? config->others_class : RUN_CLASS_USUAL;
    for (uint32_t i = 0; i < config->token_classes.count; i++) {
        int rc = token_class_split(config->token_classes.items[i], name, &class);
        struct token_entry *entry = token_class_find(config, name);
        mr_assert(rc == 0);
        if (entry)
            entry->class = class;
        else if (strcmp(name, OTHERS) != 0)
            return refuse(reason, "--token-class %s: there is no token of this name", name);
    }
    return 0;
}
