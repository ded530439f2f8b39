/* SPDX-License-Identifier: MIT */
/*
 * arena.c - a list of blocks, freed together.
 */
#include "worker/engine/arena.h"

#include <stdalign.h>

struct arena_block {
    struct arena_block *next;
    alignas(max_align_t) unsigned char data[];
};

_Static_assert(sizeof(struct arena_block) == ARENA_HEAD_BYTES, "what a piece takes is known");

void *arena_take(struct arena *arena, size_t bytes)
{
    struct arena_block *block = calloc(1, sizeof *block + bytes);
    if (!block)
        return NULL;
    block->next = arena->blocks;
    arena->blocks = block;
    return block->data;
}

void arena_finish(struct arena *arena)
{
    while (arena->blocks) {
        struct arena_block *block = arena->blocks;
        arena->blocks = block->next;
        free(block);
    }
}
