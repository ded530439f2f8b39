/* SPDX-License-Identifier: MIT */
/* init_files.h - what `millrace init` writes: the files of share/init, as they are. */
#ifndef DISPATCHER_INIT_FILES_H
#define DISPATCHER_INIT_FILES_H

#include <stddef.h>

/* Where the name of the pipeline goes. */
#define INIT_NAME_MARK "@NAME@"

struct init_file {
    const char *name; /* in the folder */
    const char *text;
    const char *end;
};

/* Each ends with a row without a name. */
extern const struct init_file init_files_python[];
extern const struct init_file init_files_c[];

#endif
