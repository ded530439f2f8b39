/* SPDX-License-Identifier: MIT */
/*
 * check.h - assertions that stay on in release, and the functions that do not compile here.
 *
 * mr_assert() is for *our* mistakes only (an index past a count, an impossible state). What a peer
 * or the world does wrong is a result, never an assertion.
 */
#ifndef MILLRACE_CHECK_H
#define MILLRACE_CHECK_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define mr_assert(condition)                                                                       \
    ((condition) ? (void)0 : mr_assert_failed(#condition, __FILE__, __LINE__, __func__))

static inline _Noreturn void mr_assert_failed(const char *condition, const char *file, int line,
                                              const char *function)
{
    fprintf(stderr, "millrace: assertion failed: %s at %s:%d in %s\n", condition, file, line,
            function);
    abort();
}

/* A place that cannot be reached. */
#define mr_unreachable(text) mr_assert_failed(text, __FILE__, __LINE__, __func__)

/* Results that must be looked at. */
#define MUST_USE __attribute__((warn_unused_result))

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Each has a bounded or a checked sibling: snprintf, strtoll, strtok_r, sigaction. clang refuses to
 * poison what its libc headers make macros of. */
#ifndef __clang__
#pragma GCC poison strcpy strcat sprintf vsprintf strtok atoi atol signal gets
#endif

#endif
