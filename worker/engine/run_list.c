/* SPDX-License-Identifier: MIT */
/*
 * run_list.c - lists of runs, linked both ways.
 */
#include "worker/engine/run_list.h"

#include <stddef.h>

/* Puts a link that is in no list between two of a list's; NULL: its end. */
static void run_list_insert(struct run_list *list, struct run_link *link, struct run_link *before,
                            struct run_link *behind)
{
    *link = (struct run_link){.list = list, .before = before, .behind = behind};
    *(before ? &before->behind : &list->first) = link;
    *(behind ? &behind->before : &list->last) = link;
    list->count++;
}

void run_list_remove(struct run_link *link)
{
    struct run_list *list = link->list;
    if (!list)
        return;
    *(link->before ? &link->before->behind : &list->first) = link->behind;
    *(link->behind ? &link->behind->before : &list->last) = link->before;
    list->count--;
    *link = (struct run_link){.list = NULL};
}

void run_list_append(struct run_list *list, struct run_link *link)
{
    run_list_remove(link);
    run_list_insert(list, link, list->last, NULL);
}

void run_list_prepend(struct run_list *list, struct run_link *link)
{
    run_list_remove(link);
    run_list_insert(list, link, NULL, list->first);
}
