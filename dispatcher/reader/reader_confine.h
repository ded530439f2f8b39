/* SPDX-License-Identifier: MIT */
/*
 * reader_confine.h - what the reader gives up before it reads anything.
 */
#ifndef DISPATCHER_READER_CONFINE_H
#define DISPATCHER_READER_CONFINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* It ends with its parent, gets no more rights by any exec, is out of reach of other processes of
 * its user, belongs to nobody where it belonged to root, makes no process and no large file, has
 * memory for bodies of this size, and only the system calls that reading takes. False: the parent
 * has gone already, or the kernel refused. */
bool reader_confine(pid_t parent, uint64_t body_bytes_max);

#endif
