/* SPDX-License-Identifier: MIT */
/*
 * config_value.h - a value of a configuration file becomes what its option says.
 *
 * For config_file.c, which knows where in the file it is. Every function tells what is wrong as a
 * problem and goes on.
 */
#ifndef DISPATCHER_CONFIG_VALUE_H
#define DISPATCHER_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/config/config_file.h"
#include "dispatcher/text/document.h"
#include "millrace/check.h"

/* What is read, and into what. */
struct config_value {
    const struct config_file *file;
    const struct document *document;
    struct problems *problems;
    const char *folder; /* of the file, in memory of the configuration; "": it is where we are */
    int rc;             /* -ENOMEM, once that was so */
};

/* 0 or -ENOMEM. */
int config_value_begin(struct config_value *value) MUST_USE;

/* A copy that lives as long as the configuration; NULL: value->rc says that there is no memory. */
const char *config_value_keep(struct config_value *value, const char *text);

/* The text of one value, which the option can have; NULL: it is told why there is none. It lives as
 * long as the configuration. */
const char *config_value_take(struct config_value *value, const char *where,
                              const struct cli_option *option, uint32_t node);

/* Sets the member that the option names, unless the command line said it. */
void config_value_set(struct config_value *value, const struct cli_option *option, uint32_t node);

/* Says the option for a pipeline, or with "" for all. `where` is for problems, likewise below. */
void config_value_say(struct config_value *value, const char *where,
                      const struct cli_option *option, const char *pointer, uint32_t node);

/* A mapping of names and values of variables at `key`, each of which the option says: of one
 * without a value the name alone. */
void config_value_environment(struct config_value *value, const char *where,
                              const struct cli_option *option, const char *pointer, uint32_t key,
                              uint32_t node);

/* Adds a pipeline. */
void config_value_source(struct config_value *value, const char *where, const char *pointer,
                         uint32_t node);

#endif
