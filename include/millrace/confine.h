/* SPDX-License-Identifier: MIT */
/*
 * confine.h - what a worker is told to give up before it loads user code.
 *
 * The text of its option --confine: lines KEY=VALUE, each ended by a newline, in any order; a key
 * that is not said restricts nothing. A worker that does not know a key, or cannot do what it says,
 * leaves with WORKER_EXIT_CONFINE: no user code runs with more than it was meant to have.
 *
 *  key      value                        gives up
 *  nofile   SOFT:HARD                    descriptors beyond that many (RLIMIT_NOFILE)
 *  core     SOFT:HARD                    core files larger than that (RLIMIT_CORE)
 *  data     SOFT:HARD                    private memory beyond that (RLIMIT_DATA)
 *  nproc    SOFT:HARD                    threads of its user beyond that many (RLIMIT_NPROC)
 *  sigpending SOFT:HARD                  signals and timers of its user that wait
 *                                        (RLIMIT_SIGPENDING)
 *  uid      number                       its user, for good;
 *  gid      number                       its group,
 *  groups   number,number...             and its supplementary groups, all three together
 *  folder   path                         the folder it was started in, for this one
 *  home     path                         HOME in its environment; nothing: as it is, whatever user
 *                                        it becomes
 *  deny     machine                      system calls (docs/operations.md has the lists) that
 *                                        change the machine or other processes' settings,
 *           others                       that look into other processes,
 *           network                      and sockets but local ones
 *  restrict reading                      files but those of the lines read= and write=, and what
 *                                        every worker needs (worker/confine/isolation.c),
 *           writing                      likewise of write=,
 *           connecting                   TCP but to the ports of connect=
 *  read     path                         and all below; what is not there is not allowed either
 *  write    path                         likewise
 *  inputs   path                         what lies below, and the folders are not listed
 *  scratch  path                         and a folder below it, named by --scratch, is written:
 *                                        made for this worker alone, and its TMPDIR
 *  connect  port
 *
 * A limit is bytes or a count; "unlimited" means no limit. One above the hard limit that is there
 * is cut to it, unless the worker may raise it.
 */
#ifndef MILLRACE_CONFINE_H
#define MILLRACE_CONFINE_H

/* Of all lines together. */
enum { CONFINE_TEXT_BYTES_MAX = 32 * 1024 };

enum { CONFINE_GROUP_COUNT_MAX = 64, CONFINE_PATH_COUNT_MAX = 512, CONFINE_PORT_COUNT_MAX = 256 };

#endif
