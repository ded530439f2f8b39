/* SPDX-License-Identifier: MIT */
/*
 * preload.h - how far a pipeline is loaded once for all of its workers, --preload.
 */
#ifndef MILLRACE_PRELOAD_H
#define MILLRACE_PRELOAD_H

enum preload {
    PRELOAD_NONE = 0, /* each worker begins by itself */
    PRELOAD_IMPORT,   /* workers are copies of a template, which has loaded the source and run the
                         hooks that ask for it, */
    PRELOAD_STARTUP,  /* and has run all startup hooks */
    PRELOAD_COUNT
};

/* As the options of the server and of the worker have them, in this order. */
#define PRELOAD_WORDS "none", "import", "startup"

#endif
