/* SPDX-License-Identifier: MIT */
/*
 * explorer.h - runs the real code of a few sides in every order, with every value that each of
 * their loads may see (weak_memory.h), and says whether one of these runs goes wrong.
 *
 * Nothing of it depends on time, on luck or on the processor. The code under test is compiled with
 * -fsanitize=thread, which turns each access into a call; the calls go to the explorer, not to
 * ThreadSanitizer (intercept.c). A side is a function with a stack of its own that stops before
 * each access to an atomic word. A run is a sequence of decisions: which side goes on, and what it
 * sees. The explorer makes the same run again and again, and each time changes the last decision
 * that can still be changed, until all are made. Where a run comes to a point at which an earlier
 * one has been (the same memory, and each side has seen the same), what follows is known, and it is
 * left.
 *
 * A side must do nothing but what follows from what it read: no time, no chance, no allocation.
 */
#ifndef TESTS_EXPLORER_H
#define TESTS_EXPLORER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPLORER_SIDE_MAX 4u
#define EXPLORER_TEXT_BYTES 16384u

struct explorer_side {
    const char *name;
    void (*run)(void *world);
};

/* A word of the world, to be called something in what is printed. */
struct explorer_name {
    size_t offset;
    const char *text;
};

struct explorer_world {
    void *memory; /* what the sides share; zeroed before each run */
    size_t bytes;
    void (*begin)(void *world); /* puts things in order, before the sides begin; may be NULL */
    void (*end)(void *world);   /* looks at what came out, after the last one ended; likewise */
    const struct explorer_side *sides;
    uint32_t side_count;
    const struct explorer_name *names;
    uint32_t name_count;
};

enum explorer_finding {
    EXPLORER_NOTHING = 0,
    EXPLORER_STUCK,  /* every side has ended or sleeps, and one sleeps */
    EXPLORER_RACE,   /* two plain accesses that nothing orders */
    EXPLORER_BROKEN, /* an explorer_expect() that does not hold */
    EXPLORER_ENDLESS /* more steps than a run may have, or more runs */
};

struct explorer_result {
    enum explorer_finding finding;
    uint64_t run_count;             /* begun; most are left at a point that is known */
    uint64_t whole_count;           /* that went to their end */
    uint64_t point_count;           /* different ones */
    char text[EXPLORER_TEXT_BYTES]; /* the steps of the run that went wrong, and how */
};

/* Makes all runs, or all until one goes wrong. */
void explorer_explore(const struct explorer_world *world, struct explorer_result *result);

/* What was found, on the standard error output. */
void explorer_print(const struct explorer_result *result);

/* ---- for a side, and for end() --------------------------------------------------------------- */

/* The descriptor of bell 0 or 1: write() to it counts. explorer_sleep() waits until somebody has
 * written, explorer_poll() does not; both empty it. */
int explorer_bell(uint32_t number);
void explorer_sleep(int bell);
void explorer_poll(int bell);

/* Either: 0 to `count` - 1. For what a side may do or not do, such as waking by itself. */
uint32_t explorer_choose(uint32_t count);

/* Ends the run as a wrong one. A macro, so that the text is the condition. */
#define explorer_expect(condition) explorer_expect_that((condition), #condition)
void explorer_expect_that(bool holds, const char *text);

#endif
