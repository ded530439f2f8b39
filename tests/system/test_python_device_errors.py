# SPDX-License-Identifier: MIT
"""What clients are told when libraries in Python say that a device failed: by the type and the text of the exception."""

import importlib
import os

import pytest

from server import TOP


@pytest.fixture
def word_of(monkeypatch):
    """The word that clients are told of an exception."""
    monkeypatch.syspath_prepend(os.path.join(TOP, "worker/python"))
    failure = importlib.import_module("millrace_worker._failure")
    return lambda exception: failure.WORDS[failure.kind_of(exception)]


def raised(where, base, text):
    """An exception of the type that is called so, in a module that is called so."""
    module, _, name = where.rpartition(".")
    return type(name, (base, ), {"__module__": module})(text)


TORCH_OOM = ("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.79 GiB of which 1.20 GiB "
             "is free.")
ILLEGAL = ("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronously reported at "
           "some other API call, so the stacktrace below might be incorrect.")
ORT_ARENA = ("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. "
             "Name:'Conv_0' Status Message: /onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:376 void* "
             "onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*, bool, "
             "onnxruntime::WaitNotificationFn) Failed to allocate memory for requested buffer of size 8388608000")
ORT_CALL = ("[ONNXRuntimeError] : 1 : FAIL : /onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:121 "
            "std::conditional_t<THRW, void, onnxruntime::common::Status> onnxruntime::CudaCall(...) CUDA failure {} ; "
            "GPU=0 ; hostname=gpu1 ; file=/onnxruntime_src/cuda_stream_handle.cc ; line=175 ; expr=cudaStreamCreate")
ORT = "onnxruntime.capi.onnxruntime_pybind11_state."
TF = "tensorflow.python.framework.errors_impl."
TF_OOM = ("{{{{function_node __wrapped__MatMul_device_{0}}}}} OOM when allocating tensor with shape[100000,100000] and "
          "type float on /job:localhost/replica:0/task:0/device:{0}:0 by allocator {1} [Op:MatMul]")
XLA_OOM = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 7406166528 bytes."
XLA_ILLEGAL = ("INTERNAL: Failed to execute XLA Runtime executable: run time error: custom call 'xla.gpu.memset' failed: "
               "CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered")


@pytest.mark.parametrize("where, base, text, word", [
    # torch
    ("torch.cuda.OutOfMemoryError", RuntimeError, TORCH_OOM, "cuda_oom"),
    ("torch.OutOfMemoryError", RuntimeError, TORCH_OOM, "cuda_oom"),
    ("torch.OutOfMemoryError", RuntimeError, "Allocation on device 0 would exceed allowed memory.", "cuda_oom"),
    ("builtins.RuntimeError", RuntimeError, TORCH_OOM, "cuda_oom"),
    ("builtins.RuntimeError", RuntimeError, "HIP out of memory. Tried to allocate 20.00 MiB (GPU 0; 7.98 GiB)", "cuda_oom"),
    ("builtins.RuntimeError", RuntimeError, "XPU out of memory. Tried to allocate 20.00 MiB.", "cuda_oom"),
    ("builtins.RuntimeError", RuntimeError, "CUDA error: out of memory", "cuda_oom"),
    ("torch.AcceleratorError", RuntimeError, "CUDA error: out of memory", "cuda_oom"),
    ("torch.AcceleratorError", RuntimeError, ILLEGAL, "cuda_error"),
    ("builtins.RuntimeError", RuntimeError, ILLEGAL, "cuda_error"),
    ("builtins.RuntimeError", RuntimeError, "HIP error: invalid device function", "cuda_error"),
    ("builtins.RuntimeError", RuntimeError, "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", "cuda_error"),
    ("builtins.RuntimeError", RuntimeError, "cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "cuda_oom"),
    ("builtins.RuntimeError", RuntimeError,
     "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "cuda_oom"),
    ("builtins.RuntimeError", RuntimeError,
     "CUDA error: HIPBLAS_STATUS_ALLOC_FAILED when calling `hipblasCreate(handle)`", "cuda_oom"),
    ("builtins.RuntimeError", RuntimeError,
     "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle, opa, opb, m, n, k)`", "cuda_error"),
    ("builtins.RuntimeError", RuntimeError, "cusolver error: CUSOLVER_STATUS_INTERNAL_ERROR", "cuda_error"),
    ("builtins.RuntimeError", RuntimeError,
     "NCCL Error 1: unhandled cuda error (run with NCCL_DEBUG=INFO for details)", "cuda_error"),
    ("torch.distributed.DistBackendError", RuntimeError,
     "NCCL error in: ../torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:1970, unhandled cuda error, NCCL version 2.20.5\n"
     "ncclUnhandledCudaError: Call to CUDA function failed.\nLast error:\nCuda failure 'out of memory'", "cuda_oom"),
    # CuPy
    ("cupy.cuda.memory.OutOfMemoryError", MemoryError,
     "Out of memory allocating 8,000,000,512 bytes (allocated so far: 512 bytes).", "cuda_oom"),
    ("cupy_backends.cuda.api.runtime.CUDARuntimeError", RuntimeError,
     "cudaErrorIllegalAddress: an illegal memory access was encountered", "cuda_error"),
    ("cupy_backends.cuda.api.runtime.CUDARuntimeError", RuntimeError, "cudaErrorMemoryAllocation: out of memory", "cuda_oom"),
    ("cupy_backends.cuda.api.driver.CUDADriverError", RuntimeError,
     "CUDA_ERROR_OUT_OF_MEMORY: out of memory", "cuda_oom"),
    ("cupy_backends.cuda.libs.cublas.CUBLASError", RuntimeError, "CUBLAS_STATUS_NOT_INITIALIZED", "cuda_error"),
    # JAX
    ("jaxlib.xla_extension.XlaRuntimeError", RuntimeError, XLA_OOM, "cuda_oom"),
    ("jax.errors.JaxRuntimeError", RuntimeError, XLA_OOM, "cuda_oom"),
    ("builtins.RuntimeError", RuntimeError, XLA_OOM, "cuda_oom"),
    ("jaxlib.xla_extension.XlaRuntimeError", RuntimeError,
     "RESOURCE_EXHAUSTED: Failed to allocate request for 2.99GiB (3206250496B) on device ordinal 0", "cuda_oom"),
    ("jaxlib.xla_extension.XlaRuntimeError", RuntimeError, XLA_ILLEGAL, "cuda_error"),
    # TensorFlow
    (TF + "ResourceExhaustedError", Exception, TF_OOM.format("GPU", "GPU_0_bfc"), "cuda_oom"),
    (TF + "ResourceExhaustedError", Exception, TF_OOM.format("CPU", "cpu"), "oom"),
    (TF + "InternalError", Exception,
     "CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered", "cuda_error"),
    # ONNX Runtime
    (ORT + "RuntimeException", Exception, ORT_ARENA, "cuda_oom"),
    (ORT + "Fail", Exception, ORT_CALL.format("2: out of memory"), "cuda_oom"),
    (ORT + "RuntimeException", Exception, ORT_CALL.format("700: an illegal memory access was encountered"), "cuda_error"),
    (ORT + "Fail", Exception,
     "[ONNXRuntimeError] : 1 : FAIL : CUDNN failure 4: CUDNN_STATUS_INTERNAL_ERROR ; GPU=0 ; hostname=gpu1", "cuda_error"),
    # numba
    ("numba.cuda.cudadrv.driver.CudaAPIError", Exception,
     "[700] Call to cuMemcpyDtoH results in UNKNOWN_CUDA_ERROR", "cuda_error"),
    ("numba.cuda.cudadrv.driver.CudaAPIError", Exception,
     "[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY", "cuda_oom"),
    # Vulkan
    ("builtins.RuntimeError", RuntimeError, "vk::Queue::submit: ErrorDeviceLost", "cuda_error"),
    ("builtins.RuntimeError", RuntimeError, "terminate called after throwing an instance of 'vk::DeviceLostError'", "cuda_error"),
    ("builtins.RuntimeError", RuntimeError, "vk::Device::allocateMemory: ErrorOutOfDeviceMemory", "cuda_oom"),
    # of none of them
    ("builtins.MemoryError", MemoryError, "Unable to allocate 74.5 GiB for an array", "oom"),
    ("numpy.core._exceptions._ArrayMemoryError", MemoryError, "Unable to allocate 74.5 GiB for an array", "oom"),
    ("builtins.ValueError", ValueError, ILLEGAL, "pipeline_error"),
    ("my_module.MyError", Exception, TORCH_OOM, "pipeline_error"),
    ("my_module.OutOfMemoryError", Exception, "no room in the list", "pipeline_error"),
    ("grpc._channel._InactiveRpcError", Exception, XLA_OOM, "pipeline_error"),
    ("builtins.RuntimeError", RuntimeError, "out of memory", "pipeline_error"),
    ("builtins.RuntimeError", RuntimeError, "no CUSTOMER_STATUS_ACTIVE in ACCUMULATED_STATUS_ALLOC_FAILED", "pipeline_error"),
    ("jaxlib.xla_extension.XlaRuntimeError", RuntimeError, "INVALID_ARGUMENT: shapes do not match", "pipeline_error"),
    (TF + "ResourceExhaustedError", Exception, "the queue is full", "pipeline_error"),
    (ORT + "InvalidArgument", Exception,
     "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got invalid dimensions for input: x", "pipeline_error")])
def test_clients_are_told_what_a_library_says_of_its_device(word_of, where, base, text, word):
    assert word_of(raised(where, base, text)) == word


def test_what_an_exception_says_of_itself_goes_before(word_of):
    error = RuntimeError(ILLEGAL)
    error.error_type = "input_error"
    assert word_of(error) == "input_error"


def test_a_type_that_is_derived_from_one_of_them_is_one(word_of):
    base = type("OutOfMemoryError", (RuntimeError, ), {"__module__": "torch"})
    assert word_of(type("Mine", (base, ), {"__module__": "my_module"})("no room")) == "cuda_oom"


def test_an_exception_without_a_text_or_a_module_is_like_any_other(word_of):
    class Odd(RuntimeError):
        __module__ = None

        def __str__(self):
            raise ValueError

    assert word_of(Odd()) == "pipeline_error"
