# SPDX-License-Identifier: MIT
"""_device_errors - which exceptions say that a device failed, or that its memory is full.

Libraries have few types for that, and say the rest in words. Words count in a RuntimeError, which is what most of them
raise, and in exceptions of those that raise others: anybody else who mentions CUDA means something else.
"""

from __future__ import annotations

import re

# Whose exceptions are no RuntimeError: the first part of their modules.
LIBRARIES = ("numba", "onnxruntime", "tensorflow")

# The first that fits counts. The type of the exception, or one that it is derived from, is a library's and has a name
# ("": it is a RuntimeError, or of those libraries); and this is in the text. docs/python.md says who says it.
SIGNS = (
    # word         type                                 text
    ("cuda_oom",   "torch.OutOfMemoryError",            r""),
    ("cuda_oom",   "cupy.OutOfMemoryError",             r""),
    ("oom",        "tensorflow.ResourceExhaustedError", r"OOM when allocating .* by allocator cpu\b"),
    ("cuda_oom",   "tensorflow.ResourceExhaustedError", r"OOM when allocating"),
    ("cuda_oom",   "",                                  r"(CUDA|HIP|XPU) out of memory"),
    ("cuda_oom",   "",                                  r"(CUDA|HIP) error: out of memory"),
    ("cuda_oom",   "",                                  r"(CUDA|Cuda|HIP) failure( 2)?:? '?out of memory"),
    ("cuda_oom",   "",                                  r"\b(CUDNN|CUBLAS|CUSOLVER|CUSPARSE|HIPBLAS)_STATUS_ALLOC_FAILED"),
    ("cuda_oom",   "",                                  r"\bCUDA_ERROR_OUT_OF_MEMORY\b"),
    ("cuda_oom",   "",                                  r"\bcudaErrorMemoryAllocation\b"),
    ("cuda_oom",   "",                                  r"RESOURCE_EXHAUSTED: (Out of memory|Failed to allocate)"),
    ("cuda_oom",   "",                                  r"BFCArena.* Failed to allocate memory"),
    ("oom",        "",                                  r"(failed|unable) to allocate (CPU\S*|\S*_Host) buffer"),
    ("cuda_oom",   "",                                  r"(failed|unable) to allocate (CUDA|ROCm|Vulkan|SYCL|OpenCL)\S* buffer"),
    ("cuda_oom",   "",                                  r"\bDevice memory allocation of size .* failed"),
    ("cuda_oom",   "",                                  r"\bcudaMalloc failed.*out of memory"),
    ("cuda_oom",   "",                                  r"\bROCm error: out of memory"),
    ("cuda_oom",   "",                                  r"\bhipErrorOutOfMemory\b"),
    ("cuda_oom",   "",                                  r"\b(ErrorOutOfDeviceMemory|VK_ERROR_OUT_OF_DEVICE_MEMORY)\b"),
    ("cuda_oom",   "",                                  r"\bCL_MEM_OBJECT_ALLOCATION_FAILURE\b"),
    ("oom",        "",                                  r"\b(ErrorOutOfHostMemory|VK_ERROR_OUT_OF_HOST_MEMORY)\b"),
    ("oom",        "",                                  r"\bCL_OUT_OF_HOST_MEMORY\b"),
    ("cuda_error", "torch.AcceleratorError",            r""),
    ("cuda_error", "numba.CudaAPIError",                r""),
    ("cuda_error", "",                                  r"(CUDA|HIP) error"),
    ("cuda_error", "",                                  r"(CUDA|Cuda|HIP) failure"),
    ("cuda_error", "",                                  r"\b(CUDNN|CUBLAS|CUSOLVER|CUSPARSE|HIPBLAS)_STATUS_"),
    ("cuda_error", "",                                  r"\bCUDA_ERROR_"),
    ("cuda_error", "",                                  r"\bcudaError[A-Z]"),
    ("cuda_error", "",                                  r"NCCL [Ee]rror"),
    ("cuda_error", "",                                  r"\b(ROCm error|hipError[A-Z])"),
    ("cuda_error", "",                                  r"\b(ErrorDeviceLost|DeviceLostError|VK_ERROR_DEVICE_LOST)\b"),
    ("cuda_error", "",                                  r"\bdevice lost on "),
    ("cuda_error", "",                                  r"\b(CL_OUT_OF_RESOURCES|CL_DEVICE_NOT_AVAILABLE)\b"),
)


def word_of(exception: BaseException, text: str) -> str | None:
    """What clients are told of an exception that has this text; None: it is of no device."""
    kinds = [(library_of(kind), kind.__name__) for kind in type(exception).__mro__]
    types = {f"{library}.{name}" for library, name in kinds}
    if isinstance(exception, RuntimeError) or any(library in LIBRARIES for library, _ in kinds):
        types.add("")
    for word, name, pattern in SIGNS:
        if name in types and re.search(pattern, text):
            return word
    return None


def library_of(kind: type) -> str:
    return str(kind.__module__).partition(".")[0]
