/* SPDX-License-Identifier: MIT */
/*
 * run_list.h - lists of runs: each run is in one list at most, by a link that it owns.
 *
 * The link is the first member of what it links, which a cast finds. A link of zeroes is in no
 * list; a list of zeroes is empty. Nothing here allocates or fails.
 */
#ifndef WORKER_RUN_LIST_H
#define WORKER_RUN_LIST_H

#include <stdint.h>

struct run_link {
    struct run_list *list;
    struct run_link *before, *behind;
};

struct run_list {
    struct run_link *first, *last;
    uint32_t count;
};

/* Out of the list that it is in, if it is in one. */
void run_list_remove(struct run_link *link);

/* Out of the list that it is in, and behind the others of this one, or in front of them. */
void run_list_append(struct run_list *list, struct run_link *link);
void run_list_prepend(struct run_list *list, struct run_link *link);

#endif
