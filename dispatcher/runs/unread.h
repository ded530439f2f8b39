/* SPDX-License-Identifier: MIT */
/*
 * unread.h - runs that were taken before anybody knew what inputs their pipeline has: it loads for
 * the first time. They wait with their requests, which are read when it is known and one of them is
 * to be given to a worker.
 */
#ifndef DISPATCHER_UNREAD_H
#define DISPATCHER_UNREAD_H

struct run;

/* Who reads them. Filled in by the server. */
struct unread_ops {
    /* The run is queued, and its payload is its request. Afterwards that is what its worker gets;
     * or its files are brought; or it has ended, and is told why. */
    void (*read)(void *owner, struct run *run);
};

#endif
