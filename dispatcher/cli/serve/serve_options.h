/* SPDX-License-Identifier: MIT */
/*
 * serve_options.h - the table of all that can be said of a server and its pipelines, on the command
 * line and in a file, and the values that it fills.
 */
#ifndef DISPATCHER_SERVE_OPTIONS_H
#define DISPATCHER_SERVE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "dispatcher/config/cli.h"
#include "dispatcher/config/config.h"

/* What the rows name. Texts are memory of argv, or of the configuration if a file said them. */
struct serve_values {
    struct config config;
    const char *config_path;
    struct cli_list listen;
    const char *token_file;
    const char *worker;
    struct pipeline_config usual; /* the defaults of options by pipeline */
    uint32_t log_level;           /* an index into log_levels */
    const char *log_runs;
    uint32_t log_format;   /* an index into log_formats */
    uint32_t error_status; /* an index into error_statuses */
    uint32_t metrics;      /* an index into metrics_accesses */
    uint32_t tracebacks;   /* an index into tracebacks_words */
    bool crash_traceback;  /* the same as --tracebacks client */
    FILE *complaints;      /* borrowed; what is wrong goes there, a line each; NULL: to stderr */
};

extern const struct cli_command serve_command;

/* The defaults of all rows. */
void serve_values_init(struct serve_values *values);

/* --log-runs as the configuration has it. False: it is no such word. */
bool serve_log_runs_read(const char *word, uint32_t *out);

#endif
