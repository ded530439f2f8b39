/* SPDX-License-Identifier: MIT */
/*
 * isolate.h - keeps a worker out of other processes of the same user.
 *
 * Workers and the dispatcher run as one user, who may open what is in the memory and the
 * descriptors of any of his processes (ptrace, /proc/PID/mem, /proc/PID/fd, pidfd_getfd). A worker
 * therefore enters a Landlock domain of its own: the kernel lets it look into nothing but itself
 * and its children, and signal nobody else where the kernel is 6.12 or later. Files, network, and
 * those who look from outside (gdb, core dumps) are not restricted.
 */
#ifndef WORKER_ISOLATE_H
#define WORKER_ISOLATE_H

/* Once, before there are threads; needs no_new_privs. 0, or -errno: the kernel has no Landlock, or
 * one that could not do it without restricting files (before 5.19). */
int isolate(void);

#endif
