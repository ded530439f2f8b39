/* SPDX-License-Identifier: MIT */
/* noise.c - counting within a window of time. */
#include "dispatcher/workers/noise.h"

bool noise_add(struct noise *noise, uint64_t now_ms, uint32_t cost)
{
    uint64_t window = now_ms / NOISE_WINDOW_MS;
    if (noise->window != window)
        *noise = (struct noise){.window = window};
    noise->used += cost < NOISE_MAX ? cost : NOISE_MAX;
    return noise->used > NOISE_MAX;
}
