/* SPDX-License-Identifier: MIT */
/*
 * stepper.h - a process that dies at every instruction of one step of a protocol.
 *
 * A body marks its steps with stepper_stage(). A row of the crash table is one stage: a forked
 * child runs up to it, is traced from there instruction by instruction, and killed (SIGKILL) after
 * k of them; then the survivor, this process, checks what the table promises. That for k = 0, 1, 2,
 * ... until the child reaches its next stage alive. The code under test knows nothing of it.
 */
#ifndef TESTS_STEPPER_H
#define TESTS_STEPPER_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "millrace/check.h"

#include <cmocka.h>

/* No step of a protocol takes more instructions; system calls count as one. */
#define STEP_COUNT_MAX 20000u

/* In memory that both processes share. */
struct stepper {
    _Atomic uint32_t stage; /* where the child is */
    uint32_t wanted;        /* where it is to die */
};

struct row {
    void *(*prepare)(void);     /* a fresh world, whose first member is its struct stepper */
    void (*body)(void *world);  /* what the child does */
    void (*check)(void *world); /* what the survivor finds */
    void (*dispose)(void *world);
    uint32_t stage;
};

/* The child enters a stage; in the wanted one it stops, for the parent to go on. */
static inline void stepper_stage(struct stepper *stepper, uint32_t stage)
{
    atomic_store_explicit(&stepper->stage, stage, memory_order_seq_cst);
    if (stage == stepper->wanted)
        kill(getpid(), SIGSTOP);
}

static inline uint32_t stepper_current(struct stepper *stepper)
{
    return atomic_load_explicit(&stepper->stage, memory_order_seq_cst);
}

/* Waits until the traced child stands still; it must not end by itself. */
static inline void stepper_await_stop(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSTOPPED(status));
}

static inline void stepper_reap(pid_t pid)
{
    int status;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

/* A child that stands at the begin of the wanted stage. */
static inline pid_t stepper_start(const struct row *row, void *world)
{
    struct stepper *stepper = world;
    stepper->wanted = row->stage;
    pid_t pid = fork();
    assert_int_not_equal(pid, -1);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == -1)
            _exit(1);
        row->body(world);
        _exit(0);
    }
    stepper_await_stop(pid);
    assert_int_equal(stepper_current(stepper), row->stage);
    return pid;
}

/* One death, after `steps` instructions. False when the stage was over before. */
static inline bool stepper_die(const struct row *row, void *world, uint32_t steps)
{
    pid_t pid = stepper_start(row, world);
    bool inside = true;
    for (uint32_t i = 0; i < steps && inside; i++) {
        assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
        stepper_await_stop(pid);
        inside = stepper_current(world) == row->stage;
    }
    stepper_reap(pid);
    return inside;
}

/* Every death in the row's stage; returns how many there were. */
static inline uint32_t stepper_run(const struct row *row)
{
    for (uint32_t steps = 0; steps < STEP_COUNT_MAX; steps++) {
        void *world = row->prepare();
        bool inside = stepper_die(row, world, steps);
        if (inside)
            row->check(world);
        row->dispose(world);
        if (!inside)
            return steps;
    }
    fail_msg("the stage did not end within %u instructions", STEP_COUNT_MAX);
    return 0;
}

/* A death in a system call that blocks: the child is killed once it sleeps. */
static inline void stepper_run_blocked(const struct row *row)
{
    void *world = row->prepare();
    pid_t pid = stepper_start(row, world);
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    assert_int_equal(ptrace(PTRACE_DETACH, pid, NULL, NULL), 0);
    for (char line[128] = ""; strstr(line, ") S ") == NULL; sched_yield()) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        ssize_t count = read(fd, line, sizeof line - 1);
        assert_true(count > 0);
        line[count] = '\0';
        close(fd);
    }
    stepper_reap(pid);
    row->check(world);
    row->dispose(world);
}

#endif
