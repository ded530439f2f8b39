# SPDX-License-Identifier: MIT
"""What libraries in C print when a device fails, and what clients are told of it: the same of a pipeline in C and C++ as
of a RuntimeError in Python."""

import pytest

import wire
from test_python_device_errors import ILLEGAL, ORT_ARENA, TORCH_OOM, XLA_ILLEGAL, XLA_OOM, word_of  # pylint: disable=unused-import

POINTER = "local/device_texts:v1"

# As issues of these projects quote them.
TEXTS = [
    # llama.cpp and ggml
    ("ggml_vulkan: Device memory allocation of size 1037832192 failed.", "cuda_oom"),
    ("ggml_vulkan: vk::Device::allocateMemory: ErrorOutOfDeviceMemory", "cuda_oom"),
    ("alloc_tensor_range: failed to allocate Vulkan0 buffer of size 1037832192", "cuda_oom"),
    ("llama_model_load: error loading model: unable to allocate Vulkan0 buffer", "cuda_oom"),
    ("cudaMalloc failed: out of memory\nalloc_tensor_range: failed to allocate CUDA0 buffer of size 5064192000\n"
     "error loading model: unable to allocate CUDA0 buffer", "cuda_oom"),
    ("ggml_gallocr_reserve_n: failed to allocate ROCm0 buffer of size 1048898304", "cuda_oom"),
    ("ggml_backend_cuda_buffer_type_alloc_buffer: allocating 4829.30 MiB on device 0: cudaMalloc failed: out of memory",
     "cuda_oom"),
    ("alloc_tensor_range: failed to allocate CUDA_Host buffer of size 1048898304", "oom"),
    ("alloc_tensor_range: failed to allocate CPU buffer of size 68719476736", "oom"),
    ("CUDA error: out of memory\n  current device: 0, in function alloc at ggml-cuda.cu:438", "cuda_oom"),
    ("CUDA error: an illegal memory access was encountered", "cuda_error"),
    ("ROCm error: unspecified launch failure", "cuda_error"),
    ("ROCm error: out of memory", "cuda_oom"),
    ("ggml_vulkan: device lost on Vulkan0 waiting for submission (nodes 1055 to 1055):", "cuda_error"),
    ("vk::Device::waitForFences: ErrorDeviceLost", "cuda_error"),
    ("terminate called after throwing an instance of 'vk::DeviceLostError'", "cuda_error"),
    # ONNX Runtime
    (ORT_ARENA, "cuda_oom"),
    ("CUDA failure 2: out of memory ; GPU=0 ; hostname=gpu1 ; file=cuda_allocator.cc ; line=47", "cuda_oom"),
    ("CUDA failure 700: an illegal memory access was encountered ; GPU=0", "cuda_error"),
    ("CUDNN failure 4: CUDNN_STATUS_INTERNAL_ERROR ; GPU=0", "cuda_error"),
    # Vulkan, OpenCL
    ("vkAllocateMemory: VK_ERROR_OUT_OF_DEVICE_MEMORY", "cuda_oom"),
    ("vkAllocateMemory: VK_ERROR_OUT_OF_HOST_MEMORY", "oom"),
    ("vkQueueSubmit returned VK_ERROR_DEVICE_LOST", "cuda_error"),
    ("clEnqueueNDRangeKernel: CL_MEM_OBJECT_ALLOCATION_FAILURE", "cuda_oom"),
    ("clEnqueueReadBuffer: CL_OUT_OF_RESOURCES", "cuda_error"),
    ("clCreateBuffer: CL_OUT_OF_HOST_MEMORY", "oom"),
    ("clEnqueueNDRangeKernel: CL_DEVICE_NOT_AVAILABLE", "cuda_error"),
    # the runtimes, torch and XLA
    ("cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY", "cuda_oom"),
    ("cuCtxSynchronize: CUDA_ERROR_ILLEGAL_ADDRESS", "cuda_error"),
    ("cudaErrorMemoryAllocation: out of memory", "cuda_oom"),
    ("hipErrorOutOfMemory", "cuda_oom"),
    ("hipErrorIllegalAddress", "cuda_error"),
    ("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)", "cuda_oom"),
    ("NCCL Error 1: unhandled cuda error", "cuda_error"),
    (TORCH_OOM, "cuda_oom"),
    (ILLEGAL, "cuda_error"),
    (XLA_OOM, "cuda_oom"),
    (XLA_ILLEGAL, "cuda_error"),
    # of none of them
    ("out of memory", "pipeline_error"),
    ("failed to allocate audio buffer of size 4096", "pipeline_error"),
    ("clBuildProgram: CL_BUILD_PROGRAM_FAILURE", "pipeline_error"),
    ("vkCreateInstance: VK_ERROR_LAYER_NOT_PRESENT", "pipeline_error"),
    ("MY_CL_OUT_OF_RESOURCES", "pipeline_error"),
    ("no CUSTOMER_STATUS_ACTIVE in ACCUMULATED_STATUS_ALLOC_FAILED", "pipeline_error"),
    ("no such model", "pipeline_error"),
]


@pytest.fixture(scope="module")
def server(start_shared, pipelines):
    return start_shared(pipelines("device_texts"), options=[word for name in ("on-cuda-error", "on-cuda-oom", "on-oom")
                                                            for word in (f"--{name}", "keep")])


@pytest.mark.parametrize("text, word", TEXTS)
def test_a_text_means_the_same_in_c_and_in_python(server, word_of, text, word):  # pylint: disable=redefined-outer-name
    error = wire.result_of(server.run(POINTER, text))["error"]
    assert (error["type"], error["message"]) == (word, f"pipe fail: {text}")
    assert word_of(RuntimeError(text)) == word
