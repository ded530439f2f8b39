/* SPDX-License-Identifier: MIT */
/* collected.c - results of plain runs while they are collected. */
#include "dispatcher/api/collected.h"

#include <errno.h>
#include <stdlib.h>

#include "dispatcher/server/loop.h"
#include "dispatcher/workers/unfinished.h"

static struct pipeline *pipeline_of(struct loop *loop, const struct run *run)
{
    return &loop->pipelines[run->pipeline_index];
}

static void count_set(struct loop *loop, struct run *run, uint64_t bytes)
{
    struct pipeline *pipeline = pipeline_of(loop, run);
    mr_assert(pipeline->collected_bytes >= run->collected_bytes);
    mr_assert(loop->collected_bytes >= pipeline->collected_bytes);
    pipeline->collected_bytes = pipeline->collected_bytes - run->collected_bytes + bytes;
    loop->collected_bytes = loop->collected_bytes - run->collected_bytes + bytes;
    run->collected_bytes = bytes;
}

static uint64_t rooms(struct loop *loop, const struct run *run)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < pipeline_of(loop, run)->variables.output_count; i++)
        bytes += run->collected[i].room;
    return bytes;
}

static int limits_check(struct loop *loop, const struct pipeline *pipeline)
{
    if (pipeline->collected_bytes > unfinished_share(loop))
        return -EDQUOT;
    /* All of it could be answered now, and leaves to other answers what lines do. */
    return out_pool_allows(&loop->front.out, loop->collected_bytes) ? 0 : -ENOMEM;
}

/* Only a run that grows is refused: the others may have what they have. */
int collected_count(struct loop *loop, struct run *run)
{
    struct pipeline *pipeline = pipeline_of(loop, run);
    uint64_t before = run->collected_bytes;
    count_set(loop, run, rooms(loop, run));
    if (run->collected_bytes <= before || limits_check(loop, pipeline) == 0)
        return 0;
    /* It may do without room for what comes next. */
    for (size_t i = 0; i < pipeline->variables.output_count; i++)
        text_trim(&run->collected[i], 0);
    count_set(loop, run, rooms(loop, run));
    return limits_check(loop, pipeline);
}

void collected_free(struct loop *loop, struct run *run)
{
    if (!run->collected)
        return;
    count_set(loop, run, 0);
    for (size_t i = 0; i < pipeline_of(loop, run)->variables.output_count; i++)
        text_finish(&run->collected[i]);
    free(run->collected);
    run->collected = NULL;
}
