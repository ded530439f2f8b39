/* SPDX-License-Identifier: MIT */
/*
 * miscounts.c - an engine that fills the counts of its steps with the byte that is its input.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <millrace/layout.h>
#include <millrace/pipeline.h>
#include <millrace/protocol.h>

static struct mr_run *here;

static struct segment_header *find_header(void)
{
    struct stat file;
    if (fstat(WORKER_FD_SEGMENT, &file) == -1)
        return NULL;
    void *base =
        mmap(NULL, (size_t)file.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, WORKER_FD_SEGMENT, 0);
    return base == MAP_FAILED ? NULL : base;
}

static int admit(struct mr_run *run)
{
    if (here)
        return MR_LATER;
    here = run;
    return 0;
}

static void evict(struct mr_run *run)
{
    (void)run;
    here = NULL;
}

static int step(void *nothing)
{
    (void)nothing;
    struct segment_header *header = find_header();
    if (!header)
        return mr_engine_fail(MR_ERROR_PIPELINE, "the segment is not there");
    int byte = (int)mr_run_arg_integer(here, 0);
    memset((void *)&header->steps, byte, sizeof header->steps);
    memset((void *)&header->batches, byte, sizeof header->batches);
    mr_value_integer(mr_emit(here), byte);
    mr_run_finish(here);
    here = NULL;
    return 0;
}

MR_PIPELINE(miscounts)
{
    static const struct mr_engine engine = {.admit = admit, .step = step, .evict = evict};
    mr_engine(builder, &engine, mr_input(builder, MR_INTEGER, .title = "byte"));
}
