/* SPDX-License-Identifier: MIT */
/*
 * stepped.h - the loop of a pipeline's engine in this process, for tests of it.
 *
 * The test is the pipeline's engine and the dispatcher.
 */
#ifndef TESTS_WORKER_STEPPED_H
#define TESTS_WORKER_STEPPED_H

#include <poll.h>

#include "shm/clock.h"
#include "tests/unit/worker/both_ends.h"
#include "worker/native/host_engine.h"
#include "worker/step/step_loop.h"

#define SLOT_COUNT 8u
#define RING_BYTES (1u << 20)
/* So many chunks of one small number fit. */
#define WINDOW_CHUNK_COUNT 3u
#define WINDOW_BYTES (WINDOW_CHUNK_COUNT * (CHUNK_CHARGE_BYTES + 2))

struct fixture {
    struct context context;
    struct both_ends ends;
    struct step_loop loop;
    struct mr_builder graph;
    struct host_engine engine;
};

static inline void start(struct fixture *f, const struct mr_engine *engine)
{
    memset(f, 0, sizeof *f);
    const struct segment_options options = {.slot_count = SLOT_COUNT,
                                            .request_ring_bytes = RING_BYTES,
                                            .reply_ring_bytes = RING_BYTES,
                                            .window_bytes = WINDOW_BYTES};
    both_ends_init(&f->ends, &f->context, &options);
    const int words[] = {MR_STREAM};
    graph_engine(&f->graph, engine, sizeof *engine, words, 1);
    assert_null(graph_check(&f->graph));
    host_engine_init(&f->engine, &f->graph, &f->context.error);
    assert_int_equal(step_loop_init(&f->loop, &f->context, &f->engine.host), 0);
}

static inline void finish(struct fixture *f)
{
    step_loop_finish(&f->loop);
    both_ends_finish(&f->ends);
}

static inline void offer(struct fixture *f, uint16_t slot)
{
    static const char request[] = "\x92\xa3run\x90";
    both_ends_offer(&f->ends, slot, request, sizeof request - 1);
}

/* Rounds until there is nothing to do now. */
static inline void settle(struct fixture *f)
{
    uint64_t due_ns;
    for (int i = 0; i < 100; i++) {
        assert_true(step_loop_round(&f->loop, &due_ns));
        if (due_ns == CLOCK_NEVER)
            return;
    }
    fail_msg("the loop does not come to rest");
}

static inline int run_fail(struct mr_run *run, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int rc = step_run_vfail(run, MR_ERROR_CUDA, format, arguments);
    va_end(arguments);
    return rc;
}

static inline int engine_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int rc = step_engine_vfail(MR_ERROR_CUDA_OOM, format, arguments);
    va_end(arguments);
    return rc;
}

#endif
