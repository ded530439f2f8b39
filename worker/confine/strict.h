/* SPDX-License-Identifier: MIT */
/*
 * strict.h - the last thing that a strict worker gives up.
 */
#ifndef WORKER_STRICT_H
#define WORKER_STRICT_H

/* From here on the process can start no program, no process, and open no socket; or leaves. Not
 * before the exec of an interpreter, which this would deny. */
void strict_enter(void);

#endif
