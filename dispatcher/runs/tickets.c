/* SPDX-License-Identifier: MIT */
/* tickets.c - a circle of bits. */
#include "dispatcher/runs/tickets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WORD_BITS 64u

static uint64_t *tickets_word_of(const struct tickets *tickets, uint64_t number);
static uint64_t tickets_bit_of(uint64_t number);

int tickets_init(struct tickets *tickets, uint32_t count_max)
{
    /* Twice as many, so that drawing again is rare. */
    uint64_t bit_count = WORD_BITS;
    while (bit_count < 2 * (uint64_t)count_max)
        bit_count *= 2;
    *tickets = (struct tickets){.bit_count = bit_count};
    tickets->words = calloc(bit_count / WORD_BITS, sizeof(*tickets->words));
    return tickets->words ? 0 : -ENOMEM;
}

void tickets_finish(struct tickets *tickets)
{
    free(tickets->words);
    *tickets = (struct tickets){0};
}

bool tickets_are_used_up(const struct tickets *tickets, uint64_t oldest)
{
    return tickets->next - oldest >= tickets->bit_count;
}

void tickets_reset(struct tickets *tickets)
{
    memset(tickets->words, 0, tickets->bit_count / 8);
    tickets->next = 0;
}

uint64_t tickets_draw(struct tickets *tickets)
{
    uint64_t number = tickets->next++;
    mr_assert(!(*tickets_word_of(tickets, number) & tickets_bit_of(number)));
    *tickets_word_of(tickets, number) |= tickets_bit_of(number);
    return number;
}

void tickets_return(struct tickets *tickets, uint64_t number)
{
    mr_assert(*tickets_word_of(tickets, number) & tickets_bit_of(number));
    *tickets_word_of(tickets, number) &= ~tickets_bit_of(number);
}

uint32_t tickets_before(const struct tickets *tickets, uint64_t oldest, uint64_t number)
{
    mr_assert(oldest <= number);
    mr_assert(number - oldest < tickets->bit_count);
    uint32_t count = 0;
    while (oldest < number) {
        uint64_t word = *tickets_word_of(tickets, oldest) >> oldest % WORD_BITS;
        uint64_t in_word = WORD_BITS - oldest % WORD_BITS;
        if (number - oldest < in_word) {
            in_word = number - oldest;
            word &= (UINT64_C(1) << in_word) - 1;
        }
        count += (uint32_t)__builtin_popcountll(word);
        oldest += in_word;
    }
    return count;
}

static uint64_t *tickets_word_of(const struct tickets *tickets, uint64_t number)
{
    return &tickets->words[number % tickets->bit_count / WORD_BITS];
}

static uint64_t tickets_bit_of(uint64_t number)
{
    return UINT64_C(1) << number % WORD_BITS;
}
