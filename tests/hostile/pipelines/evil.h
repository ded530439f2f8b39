/* SPDX-License-Identifier: MIT */
/*
 * evil.h - what the attacks of the pipeline `evil` share: its words, its targets, its answers.
 *
 * An attack is a function that is given the words of its run and returns 0 ("ok": it got in) or
 * -errno (what it was told). It may say more in `answer`. What it holds it holds until its worker
 * ends.
 */
#ifndef MILLRACE_TESTS_HOSTILE_EVIL_H
#define MILLRACE_TESTS_HOSTILE_EVIL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define EVIL_WORD_COUNT_MAX 8
#define EVIL_ANSWER_BYTES 512

struct evil {
    const char *words[EVIL_WORD_COUNT_MAX]; /* the attack's name, and its arguments */
    size_t word_count;
    char answer[EVIL_ANSWER_BYTES]; /* "" for "ok", or the name of the error */
    int64_t chunk_count;            /* this many chunks follow the answer */
    size_t chunk_bytes;
    uint64_t pace_ms; /* between them */
    bool has_waited;
    char *text; /* the memory of the words */
    int64_t next;
};

typedef int evil_fn(struct evil *evil);

struct attack {
    const char *name;
    evil_fn *run;
    const char *sentence;
};

/* Each ends with an entry without a name. */
extern const struct attack evil_calls[];
extern const struct attack evil_signals[];
extern const struct attack evil_machine[];
extern const struct attack evil_files[];
extern const struct attack evil_network[];
extern const struct attack evil_limits[];
extern const struct attack evil_segment[];
extern const struct attack evil_floods[];
extern const struct attack evil_rights[];

/* What a system call said, as attacks return it. */
#define SAID(call) ((call) == -1 ? -errno : 0)

/* Word `index`, or what stands for one that was not said. */
const char *evil_word(const struct evil *evil, size_t index, const char *otherwise);
long evil_number(const struct evil *evil, size_t index, long otherwise);

/*
 * The process that a word names: dispatcher, spawner, self (0), own (its number), or a number. With
 * "+upper" behind it the upper half of the register holds what the kernel does not look at.
 */
long evil_pid(const struct evil *evil, size_t index);
/* Likewise, where 0 is not oneself and no upper half can be. */
pid_t evil_process(const struct evil *evil, size_t index);

/* The user of a process, as the kernel says it. */
uid_t evil_user_of(pid_t pid);

/* Writes "ok COUNT" into the answer. */
int evil_say_count(struct evil *evil, long count);

#endif
