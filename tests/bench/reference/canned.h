/* SPDX-License-Identifier: MIT */
/*
 * canned.h - a server that costs next to nothing, to measure a load tool with.
 */
#ifndef TESTS_BENCH_REFERENCE_CANNED_H
#define TESTS_BENCH_REFERENCE_CANNED_H

#include <stddef.h>
#include <stdint.h>

/* Answers every request with the same `lines` lines, `text_bytes` of text in each. */
_Noreturn void canned_run(uint64_t lines, size_t text_bytes);

#endif
