/* SPDX-License-Identifier: MIT */
/*
 * exit_code.h - how this program ends, for whoever started it.
 */
#ifndef DISPATCHER_EXIT_CODE_H
#define DISPATCHER_EXIT_CODE_H

/* Exit codes of `millrace`, listed in millrace(1). */
enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_FAILED = 1,   /* a run failed (millrace run), or an error without a code of its own */
    EXIT_CODE_USAGE = 2,    /* options or arguments are wrong */
    EXIT_CODE_LISTEN = 3,   /* an address cannot be listened on */
    EXIT_CODE_PIPELINE = 4, /* a source is missing or does not load */
    EXIT_CODE_IO_URING = 5, /* the kernel refuses io_uring */
    EXIT_CODE_WORKER = 6,   /* millrace-worker cannot be executed */
    EXIT_CODE_TOKENS = 7,   /* the token file cannot be used */
    EXIT_CODE_CONNECT = 8,  /* no server answers, or none that may be asked */
    EXIT_CODE_STOPPED = 9   /* a second signal stopped the server at once */
};

#endif
