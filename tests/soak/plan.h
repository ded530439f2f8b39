/* SPDX-License-Identifier: MIT */
/*
 * plan.h - what one client of the soak does, drawn from the seed alone.
 */
#ifndef TESTS_SOAK_PLAN_H
#define TESTS_SOAK_PLAN_H

#include <stdbool.h>
#include <stdint.h>

/* How a client behaves towards the server. */
enum manner {
    MANNER_POLITE,       /* reads everything */
    MANNER_FIN,          /* leaves some time after its request */
    MANNER_RST,          /* likewise, with an RST once it has read something */
    MANNER_LEAVES_EARLY, /* leaves with half a request sent */
    MANNER_PAUSES,       /* reads nothing for a while, then the rest */
    MANNER_STALLS,       /* never reads */
    MANNER_DELETES,      /* asks to have its run cancelled after the first line */
    MANNER_COUNT
};

struct plan {
    enum manner manner;
    bool is_words;     /* else numbers */
    uint32_t count;    /* chunks of the run */
    uint32_t pace_ms;  /* between two of them */
    uint32_t pause_ms; /* when it leaves, or for how long it pauses */
    bool keeps_connection;
};

static inline uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state * UINT64_C(2685821657736338717);
}

static inline uint32_t random_below(uint64_t *state, uint32_t bound)
{
    return (uint32_t)((random_next(state) >> 33) % bound);
}

/* Most runs are far shorter than the 80 ms between two kills of one worker. */
static inline struct plan plan_draw(uint64_t *state)
{
    static const uint8_t shares[MANNER_COUNT] = {
        [MANNER_POLITE] = 68, [MANNER_FIN] = 9,    [MANNER_RST] = 6,     [MANNER_LEAVES_EARLY] = 3,
        [MANNER_PAUSES] = 8,  [MANNER_STALLS] = 1, [MANNER_DELETES] = 5,
    };
    static const uint8_t paces_ms[] = {0, 0, 0, 1, 1, 2, 5};
    struct plan plan = {0};
    uint32_t draw = random_below(state, 100);
    while (draw >= shares[plan.manner])
        draw -= shares[plan.manner++];
    plan.is_words = random_below(state, 20) == 0;
    plan.pace_ms = paces_ms[random_below(state, sizeof(paces_ms))];
    plan.count = plan.pace_ms > 0 ? random_below(state, 25) : random_below(state, 400);
    if (plan.is_words)
        plan.count = random_below(state, 6);
    plan.pause_ms = random_below(state, plan.is_words ? 400 : 60);
    plan.keeps_connection = random_below(state, 2) == 0;
    if (plan.manner == MANNER_STALLS) /* more than all buffers on the way hold */
        plan.is_words = false, plan.pace_ms = 0, plan.count = 50000;
    return plan;
}

#endif
