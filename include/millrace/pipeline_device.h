/* SPDX-License-Identifier: MIT */
/*
 * millrace/pipeline_device.h - the device of a worker, and what libraries say when it fails;
 * pipeline.h includes it.
 */
#ifndef MILLRACE_PIPELINE_H
#include <millrace/pipeline.h>
#endif
#ifndef MILLRACE_PIPELINE_DEVICE_H
#define MILLRACE_PIPELINE_DEVICE_H

#include <string.h>

/* The device that this worker has, until its end, also for MR_PIPELINE, hooks and threads; NULL: it
 * has none of its own. pipeline_table.h has the struct: kind, index, uuid. */
static inline const struct mr_device_info *mr_device(void)
{
    return mr_api_->device();
}

/* A text has one of these: `first`, where no letter, digit or underscore is before it, and `then`
 * anywhere behind it; NULL: nothing more. */
struct mr_device_sign_ {
    enum mr_error error;
    const char *first, *then;
};

/* Where `first` begins as a word. */
static inline const char *mr_word_find_(const char *text, const char *first)
{
    for (const char *at = strstr(text, first); at; at = strstr(at + 1, first)) {
        char before = at > text ? at[-1] : ' ';
        if (before != '_' && !(before >= '0' && before <= '9') &&
            !(before >= 'a' && before <= 'z') && !(before >= 'A' && before <= 'Z'))
            return at;
    }
    return NULL;
}

static inline bool mr_sign_is_in_(const struct mr_device_sign_ *sign, const char *text)
{
    const char *at = mr_word_find_(text, sign->first);
    return at && (!sign->then || strstr(at + strlen(sign->first), sign->then));
}

/* What a text of a library says of the device that the worker has: MR_ERROR_CUDA_OOM, its memory is
 * full; MR_ERROR_OOM, the host's is; MR_ERROR_CUDA, it failed; `otherwise`, nothing. The first row
 * that fits counts. millrace_pipeline(3) says whose texts are known.
 *
 *     return mr_fail(call, mr_device_error(text, MR_ERROR_PIPELINE), "%s", text); */
static inline enum mr_error mr_device_error(const char *text, enum mr_error otherwise)
{
    static const struct mr_device_sign_ signs[] = {
        /* ggml and llama.cpp; what they call _Host is memory of the host */
        {MR_ERROR_OOM, "failed to allocate CPU", " buffer"},
        {MR_ERROR_OOM, "failed to allocate ", "_Host buffer"},
        {MR_ERROR_OOM, "unable to allocate CPU", " buffer"},
        {MR_ERROR_OOM, "unable to allocate ", "_Host buffer"},
        {MR_ERROR_CUDA_OOM, "failed to allocate CUDA", " buffer"},
        {MR_ERROR_CUDA_OOM, "failed to allocate ROCm", " buffer"},
        {MR_ERROR_CUDA_OOM, "failed to allocate Vulkan", " buffer"},
        {MR_ERROR_CUDA_OOM, "failed to allocate SYCL", " buffer"},
        {MR_ERROR_CUDA_OOM, "failed to allocate OpenCL", " buffer"},
        {MR_ERROR_CUDA_OOM, "unable to allocate CUDA", " buffer"},
        {MR_ERROR_CUDA_OOM, "unable to allocate ROCm", " buffer"},
        {MR_ERROR_CUDA_OOM, "unable to allocate Vulkan", " buffer"},
        {MR_ERROR_CUDA_OOM, "unable to allocate SYCL", " buffer"},
        {MR_ERROR_CUDA_OOM, "unable to allocate OpenCL", " buffer"},
        {MR_ERROR_CUDA_OOM, "Device memory allocation of size ", " failed"},
        {MR_ERROR_CUDA_OOM, "cudaMalloc failed", "out of memory"},
        /* the runtimes of NVIDIA and AMD, torch, ONNX Runtime, XLA */
        {MR_ERROR_CUDA_OOM, "CUDA out of memory", NULL},
        {MR_ERROR_CUDA_OOM, "HIP out of memory", NULL},
        {MR_ERROR_CUDA_OOM, "XPU out of memory", NULL},
        {MR_ERROR_CUDA_OOM, "CUDA error: out of memory", NULL},
        {MR_ERROR_CUDA_OOM, "HIP error: out of memory", NULL},
        {MR_ERROR_CUDA_OOM, "ROCm error: out of memory", NULL},
        {MR_ERROR_CUDA_OOM, "CUDA failure 2: out of memory", NULL},
        {MR_ERROR_CUDA_OOM, "HIP failure 2: out of memory", NULL},
        {MR_ERROR_CUDA_OOM, "Cuda failure 'out of memory'", NULL},
        {MR_ERROR_CUDA_OOM, "CUDNN_STATUS_ALLOC_FAILED", NULL},
        {MR_ERROR_CUDA_OOM, "CUBLAS_STATUS_ALLOC_FAILED", NULL},
        {MR_ERROR_CUDA_OOM, "CUSOLVER_STATUS_ALLOC_FAILED", NULL},
        {MR_ERROR_CUDA_OOM, "CUSPARSE_STATUS_ALLOC_FAILED", NULL},
        {MR_ERROR_CUDA_OOM, "HIPBLAS_STATUS_ALLOC_FAILED", NULL},
        {MR_ERROR_CUDA_OOM, "CUDA_ERROR_OUT_OF_MEMORY", NULL},
        {MR_ERROR_CUDA_OOM, "cudaErrorMemoryAllocation", NULL},
        {MR_ERROR_CUDA_OOM, "hipErrorOutOfMemory", NULL},
        {MR_ERROR_CUDA_OOM, "RESOURCE_EXHAUSTED: Out of memory", NULL},
        {MR_ERROR_CUDA_OOM, "RESOURCE_EXHAUSTED: Failed to allocate", NULL},
        {MR_ERROR_CUDA_OOM, "BFCArena", " Failed to allocate memory"},
        /* Vulkan and OpenCL */
        {MR_ERROR_CUDA_OOM, "ErrorOutOfDeviceMemory", NULL},
        {MR_ERROR_CUDA_OOM, "VK_ERROR_OUT_OF_DEVICE_MEMORY", NULL},
        {MR_ERROR_CUDA_OOM, "CL_MEM_OBJECT_ALLOCATION_FAILURE", NULL},
        {MR_ERROR_OOM, "ErrorOutOfHostMemory", NULL},
        {MR_ERROR_OOM, "VK_ERROR_OUT_OF_HOST_MEMORY", NULL},
        {MR_ERROR_OOM, "CL_OUT_OF_HOST_MEMORY", NULL},
        {MR_ERROR_CUDA, "ErrorDeviceLost", NULL},
        {MR_ERROR_CUDA, "DeviceLostError", NULL},
        {MR_ERROR_CUDA, "VK_ERROR_DEVICE_LOST", NULL},
        {MR_ERROR_CUDA, "device lost on ", NULL},
        {MR_ERROR_CUDA, "CL_OUT_OF_RESOURCES", NULL},
        {MR_ERROR_CUDA, "CL_DEVICE_NOT_AVAILABLE", NULL},
        /* whatever else those say that are above */
        {MR_ERROR_CUDA, "CUDA error", NULL},
        {MR_ERROR_CUDA, "HIP error", NULL},
        {MR_ERROR_CUDA, "ROCm error", NULL},
        {MR_ERROR_CUDA, "CUDA failure", NULL},
        {MR_ERROR_CUDA, "Cuda failure", NULL},
        {MR_ERROR_CUDA, "HIP failure", NULL},
        {MR_ERROR_CUDA, "CUDNN_STATUS_", NULL},
        {MR_ERROR_CUDA, "CUBLAS_STATUS_", NULL},
        {MR_ERROR_CUDA, "CUSOLVER_STATUS_", NULL},
        {MR_ERROR_CUDA, "CUSPARSE_STATUS_", NULL},
        {MR_ERROR_CUDA, "HIPBLAS_STATUS_", NULL},
        {MR_ERROR_CUDA, "CUDA_ERROR_", NULL},
        {MR_ERROR_CUDA, "cudaError", NULL},
        {MR_ERROR_CUDA, "hipError", NULL},
        {MR_ERROR_CUDA, "NCCL error", NULL},
        {MR_ERROR_CUDA, "NCCL Error", NULL},
    };
    for (size_t i = 0; text && i < sizeof signs / sizeof signs[0]; i++)
        if (mr_sign_is_in_(&signs[i], text))
            return signs[i].error;
    return otherwise;
}

#endif
