/* SPDX-License-Identifier: MIT */
/*
 * window.h - how much of a run may be on its way to its client: one rule for both sides.
 *
 * Small values fill the window. A value that is large beside it would have to wait until nothing
 * is undelivered, and worker and dispatcher would take turns instead of working side by side: so
 * one more of its kind may be on its way, and only one that is larger by far passes alone.
 */
#ifndef SHM_WINDOW_H
#define SHM_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

/* Two values may together be so many windows. */
#define WINDOW_PAIR_MAX 16u

/* May a value of `charge` (protocol.h) follow while `waiting` is undelivered? All in bytes. */
static inline bool window_allows(uint64_t waiting, uint64_t charge, uint32_t window_bytes)
{
    if (waiting == 0 || waiting + charge <= window_bytes)
        return true;
    return waiting <= charge && waiting + charge <= (uint64_t)WINDOW_PAIR_MAX * window_bytes;
}

/* May the bytes of a value of which more is to come be so many? As much as the largest value that
 * may follow; alone a value may have any size. */
static inline bool window_allows_part(uint64_t waiting, uint64_t charge, uint32_t window_bytes)
{
    return waiting == 0 || waiting + charge <= (uint64_t)WINDOW_PAIR_MAX * window_bytes;
}

#endif
