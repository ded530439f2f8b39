/* SPDX-License-Identifier: MIT */
/* probe_cuda.c - one of NVIDIA's devices, or slices, is used by libcuda. */
#include "dispatcher/devices/probe.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/reactor/library.h"
#include "millrace/check.h"

#define LIBRARY_CUDA "libcuda.so.1"
#define PIECE_BYTES 65536u
#define PATTERN 0x5a

/* CUDA Driver API, "Data types used by CUDA driver". */
enum { CUDA_SUCCESS = 0, CUDA_ERROR_OUT_OF_MEMORY = 2 };

struct cuda_context; /* the library's own */

struct cuda_library {
    int (*init)(unsigned);
    int (*device)(int *, int);
    int (*context)(struct cuda_context **, unsigned, int);
    int (*allocate)(unsigned long long *, size_t);
    int (*fill)(unsigned long long, unsigned char, size_t);
    int (*fetch)(void *, unsigned long long, size_t);
    int (*synchronize)(void);
    int (*memory)(size_t *, size_t *);
    int (*error_name)(int, const char **); /* older ones have none */
};

#define FUNCTION(place, name)                                                                      \
    {                                                                                              \
        "cu" name, offsetof(struct cuda_library, place)                                            \
    }
static const struct library_function needed[] = {
    FUNCTION(init, "Init"),
    FUNCTION(device, "DeviceGet"),
    FUNCTION(context, "CtxCreate_v2"),
    FUNCTION(allocate, "MemAlloc_v2"),
    FUNCTION(fill, "MemsetD8_v2"),
    FUNCTION(fetch, "MemcpyDtoH_v2"),
    FUNCTION(synchronize, "CtxSynchronize"),
    FUNCTION(memory, "MemGetInfo_v2"),
};
static const struct library_function others[] = {FUNCTION(error_name, "GetErrorName")};
#undef FUNCTION

static struct cuda_library cuda;

/* Its memory is used up by others: it answers, and more is not asked. */
static bool probe_cuda_passes(int error)
{
    return error == CUDA_SUCCESS || error == CUDA_ERROR_OUT_OF_MEMORY;
}

static enum scan_message_kind probe_cuda_fail(struct finding *finding, const char *step, int error)
{
    const char *name = NULL;
    if (!cuda.error_name || cuda.error_name(error, &name) != CUDA_SUCCESS || !name)
        name = "error";
    finding_say(finding, "%s: %s (%d)", step, name, error);
    return SCAN_FAILED;
}

/* What was written is there. */
static enum scan_message_kind probe_cuda_use(struct finding *finding)
{
    static unsigned char piece[PIECE_BYTES];
    unsigned long long address = 0;
    const char *step = "cuMemAlloc";
    int error = cuda.allocate(&address, PIECE_BYTES);
    if (error == CUDA_ERROR_OUT_OF_MEMORY)
        return SCAN_DONE;
    if (error == CUDA_SUCCESS) {
        step = "cuMemsetD8";
        error = cuda.fill(address, PATTERN, PIECE_BYTES);
    }
    if (error == CUDA_SUCCESS) {
        step = "cuCtxSynchronize";
        error = cuda.synchronize();
    }
    if (error == CUDA_SUCCESS) {
        step = "cuMemcpyDtoH";
        error = cuda.fetch(piece, address, PIECE_BYTES);
    }
    if (error != CUDA_SUCCESS)
        return probe_cuda_fail(finding, step, error);
    for (size_t i = 0; i < PIECE_BYTES; i++)
        if (piece[i] != PATTERN) {
            finding_say(finding, "memory that was written is not what is read");
            return SCAN_FAILED;
        }
    return SCAN_DONE;
}

enum scan_message_kind probe_cuda(struct finding *finding)
{
    struct cuda_context *context;
    size_t free_bytes, total_bytes;
    int number = 0;
    const char *why = library_load(LIBRARY_CUDA, needed, ARRAY_COUNT(needed), &cuda);
    if (!why)
        why = library_load_some(LIBRARY_CUDA, others, ARRAY_COUNT(others), &cuda);
    if (why) {
        finding_say(finding, "not tried: %s", why);
        return SCAN_DONE;
    }
    const char *step = "cuInit";
    int error = cuda.init(0);
    if (error == CUDA_SUCCESS) {
        step = "cuDeviceGet";
        error = cuda.device(&number, 0); /* the only one that the mask shows */
    }
    if (error == CUDA_SUCCESS) {
        step = "cuCtxCreate";
        error = cuda.context(&context, 0, number);
    }
    if (error != CUDA_SUCCESS)
        return probe_cuda_passes(error) ? SCAN_DONE : probe_cuda_fail(finding, step, error);
    if (cuda.memory(&free_bytes, &total_bytes) == CUDA_SUCCESS)
        finding->devices[0].memory_free_bytes = free_bytes;
    return probe_cuda_use(finding);
}
