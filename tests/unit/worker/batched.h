/* SPDX-License-Identifier: MIT */
/*
 * batched.h - the loop of a graph with batched pipes in this process, for tests of it.
 *
 * The test is the pipeline and the dispatcher. A run has one input, a number.
 */
#ifndef TESTS_WORKER_BATCHED_H
#define TESTS_WORKER_BATCHED_H

#include "shm/clock.h"
#include "tests/unit/worker/both_ends.h"
#include "worker/native/batch_loop.h"

#define SLOT_COUNT 8u
#define RING_BYTES (1u << 20)
/* So many chunks of one small number fit. */
#define WINDOW_CHUNK_COUNT 3u
#define WINDOW_BYTES (WINDOW_CHUNK_COUNT * (CHUNK_CHARGE_BYTES + 4))

struct fixture {
    struct context context;
    struct both_ends ends;
    struct batch_loop loop;
    struct mr_builder graph;
};

/* Begins a graph; batched_start() follows. */
static inline mr_variable batched_graph(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    return graph_input(&f->graph, &(struct mr_input_options){.type = MR_INTEGER});
}

static inline mr_variable batched_pipe(struct fixture *f, mr_batch_fn *function, enum mr_type type,
                                       mr_variable argument)
{
    const int words[] = {(int)type, argument.index_};
    return graph_pipe_batched(&f->graph, function, "batched", words, 2);
}

static inline mr_variable plain_pipe(struct fixture *f, mr_pipe_fn *function, enum mr_type type,
                                     mr_variable argument)
{
    const int words[] = {(int)type, argument.index_};
    return graph_pipe(&f->graph, function, "plain", words, 2);
}

static inline void batched_start(struct fixture *f, const struct batch_limits *limits)
{
    const struct segment_options options = {.slot_count = SLOT_COUNT,
                                            .request_ring_bytes = RING_BYTES,
                                            .reply_ring_bytes = RING_BYTES,
                                            .window_bytes = WINDOW_BYTES};
    both_ends_init(&f->ends, &f->context, &options);
    assert_null(graph_check(&f->graph));
    assert_int_equal(batch_loop_init(&f->loop, &f->context, &f->graph, limits), 0);
}

static inline void finish(struct fixture *f)
{
    batch_loop_finish(&f->loop);
    graph_finish(&f->graph);
    both_ends_finish(&f->ends);
}

static inline void offer(struct fixture *f, uint16_t slot, uint8_t number)
{
    const uint8_t request[] = {0x92, 0xa3, 'r', 'u', 'n', 0x91, 0xcc, number};
    both_ends_offer(&f->ends, slot, request, sizeof request);
}

/* As both_ends_take(); of a chunk also the number in it, else -1. Of an error the text is behind
 * its type. */
static inline int take(struct fixture *f, uint32_t *slot, int *number, char *text, size_t room)
{
    int kind = both_ends_take(&f->ends, slot, text, room);
    const uint8_t *bytes = (const uint8_t *)text;
    *number = kind != RECORD_CHUNK ? -1 : bytes[1] == 0xcc ? bytes[2] : bytes[1];
    return kind;
}

static inline int call_fail(struct mr_call *call, const char *text)
{
    error_set(call->error, ERROR_CUDA, "%s", text);
    return -ECANCELED;
}

__attribute__((format(printf, 1, 2))) static inline int batch_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int rc = batch_call_vfail(MR_ERROR_CUDA_OOM, format, arguments);
    va_end(arguments);
    return rc;
}

static inline int64_t number_of_call(const struct mr_call *call)
{
    return call->arguments[0]->u.integer;
}

#endif
