/* SPDX-License-Identifier: MIT */
/* serve_again.h - the same command line, and the file of --config as it is now, once more. */
#ifndef DISPATCHER_SERVE_AGAIN_H
#define DISPATCHER_SERVE_AGAIN_H

#include <stdio.h>

#include "dispatcher/config/config.h"
#include "millrace/check.h"

/* A command line as it was said; the words are memory of argv. */
struct serve_words {
    int count;
    char **items; /* owned */
};

/* A copy, which parsing does not reorder. 0 or -ENOMEM. */
int serve_words_keep(struct serve_words *words, int argc, char **argv) MUST_USE;
void serve_words_finish(struct serve_words *words);

/* For struct config_source; `owner` is a struct serve_words. */
int serve_again(void *owner, const char *path, struct config **out, FILE *complaints) MUST_USE;

#endif
