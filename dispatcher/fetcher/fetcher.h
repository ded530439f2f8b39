/* SPDX-License-Identifier: MIT */
/*
 * fetcher.h - the process that fetches files from URLs and posts results to them.
 */
#ifndef DISPATCHER_FETCHER_H
#define DISPATCHER_FETCHER_H

/* What argv[0] of this program is when it is the fetcher: main() asks for it first of all. Its word
 * is the size of the largest file that it may write. */
#define FETCHER_NAME "millrace-fetcher"

/* fetcher_main.c: the process itself. Returns its exit code. */
int fetcher_main(int argc, char **argv);

#endif
