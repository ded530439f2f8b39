/* SPDX-License-Identifier: MIT */
/*
 * fetcher_confine.h - what the fetcher gives up before it connects to anybody.
 */
#ifndef DISPATCHER_FETCHER_CONFINE_H
#define DISPATCHER_FETCHER_CONFINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* It ends with its parent, belongs to nobody where it belonged to root, is out of reach of other
 * processes of its user, starts no program and no process, opens no file but for reading, and of
 * those only what the system has of name servers, certificates and libraries, writes no more than
 * so many bytes to a file, and has only the system calls that fetching takes. False: the parent has
 * gone already, or the kernel refused. */
bool fetcher_confine(pid_t parent, uint64_t file_bytes_max);

#endif
