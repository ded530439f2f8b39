/* SPDX-License-Identifier: MIT */
/* binding.c - lists of numbers, and the two calls of the kernel that take them. */
#include "worker/confine/binding.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

_Static_assert(BINDING_NUMBER_COUNT % BINDING_WORD_BITS == 0, "whole words");

static bool binding_parse_number(const char **text, unsigned *out);
static long binding_set_memory(const struct binding_list *nodes);

int binding_parse(struct binding_list *out, const char *text)
{
    struct binding_list list = {.text = text};
    const char *rest = text;
    do {
        unsigned first, last;
        if (!binding_parse_number(&rest, &first))
            return -EINVAL;
        last = first;
        if (*rest == '-' && (rest++, !binding_parse_number(&rest, &last)))
            return -EINVAL;
        if (first > last)
            return -EINVAL;
        for (unsigned i = first; i <= last; i++)
            list.bits[i / BINDING_WORD_BITS] |= 1ul << i % BINDING_WORD_BITS;
    } while (*rest == ',' && rest++);
    if (*rest != '\0')
        return -EINVAL;
    *out = list;
    return 0;
}

void binding_enter(const struct binding *binding)
{
    const struct binding_list *cores = &binding->cores;
    const struct binding_list *nodes = &binding->memory_nodes;
    /* Not cpu_set_t, which ends at 1024. */
    if (cores->text && syscall(SYS_sched_setaffinity, 0, sizeof cores->bits, cores->bits) == -1)
        fprintf(stderr, "the worker is not bound to the cores %s: %s\n", cores->text,
                strerror(errno));
    if (nodes->text && binding_set_memory(nodes) == -1)
        fprintf(stderr, "the worker does not prefer the memory of the nodes %s: %s\n", nodes->text,
                strerror(errno));
}

static bool binding_parse_number(const char **text, unsigned *out)
{
    const char *digit = *text;
    unsigned number = 0;
    while (*digit >= '0' && *digit <= '9' && number < BINDING_NUMBER_COUNT)
        number = number * 10 + (unsigned)(*digit++ - '0');
    if (digit == *text || number >= BINDING_NUMBER_COUNT)
        return false;
    *text = digit;
    *out = number;
    return true;
}

/* Preferred, and not MPOL_BIND: where these nodes are full, memory that is further away makes a run
 * slower, while the kernel would kill the worker if there were to be no other. Linux before 5.15
 * knows one preferred node, and takes the first of several. */
static long binding_set_memory(const struct binding_list *nodes)
{
    const unsigned long end = BINDING_NUMBER_COUNT + 1; /* the kernel reads one bit less */
    long rc = syscall(SYS_set_mempolicy, MPOL_PREFERRED_MANY, nodes->bits, end);
    if (rc == -1 && errno == EINVAL)
        rc = syscall(SYS_set_mempolicy, MPOL_PREFERRED, nodes->bits, end);
    return rc;
}
