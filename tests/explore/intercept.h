/* SPDX-License-Identifier: MIT */
/*
 * intercept.h - what intercept.c tells the explorer of: the accesses of compiled code.
 */
#ifndef TESTS_INTERCEPT_H
#define TESTS_INTERCEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* False between runs, where accesses are what they always are. */
bool explorer_is_exploring(void);

uint64_t explorer_load(void *address, uint8_t bytes, int order);
void explorer_store(void *address, uint8_t bytes, int order, uint64_t bits);
uint64_t explorer_add(void *address, uint8_t bytes, int order, uint64_t operand);
uint64_t explorer_compare_exchange(void *address, uint8_t bytes, int order, int order_failed,
                                   uint64_t expected, uint64_t desired);
void explorer_fence(int order);
void explorer_plain(const void *address, size_t bytes, bool is_write);
/* False when the descriptor is not a bell. */
bool explorer_bell_write(int fd);

#endif
