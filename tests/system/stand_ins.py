# SPDX-License-Identifier: MIT
"""stand_ins - what takes the place of a GPU, of weights or of a picture, for the examples that want some: variables of a
server."""

import ctypes
import glob
import os

import pytest

import encoders
import printed
from conftest import compile_c
from server import TOP

FAKES = os.path.join(TOP, "tests/system/fakes")


def pocl(folder):
    """OpenCL devices that are processors, with a folder for what is compiled. PoCL and its compiler keep memory that
    AddressSanitizer takes for lost."""
    try:
        ctypes.CDLL("libOpenCL.so.1")
    except OSError:
        pytest.skip("there is no libOpenCL.so.1: ocl-icd-libopencl1 is missing")
    if not glob.glob("/etc/OpenCL/vendors/pocl*.icd"):
        pytest.skip("there is no PoCL: pocl-opencl-icd is missing")
    suppressions = os.path.join(folder, "suppressions")
    with open(suppressions, "w", encoding="ascii") as file:
        file.write("leak:libpocl\nleak:libLLVM\nleak:libclang\n")
    return {"POCL_CACHE_DIR": os.path.join(folder, "pocl"),
            "LSAN_OPTIONS": f"suppressions={suppressions}:print_suppressions=0"}


def opencl(folder, devices, **variables):
    """The library of OpenCL of a machine with so many devices, which every worker sees."""
    compile_c(os.path.join(FAKES, "opencl.c"), os.path.join(folder, "libOpenCL.so.1"), "-shared", "-fPIC")
    return {"LD_LIBRARY_PATH": str(folder), "OCL_FAKE_DEVICES": str(devices - 1), **variables}


def cuda(folder, gpus=1):
    """NVIDIA's libraries without a GPU; what happens to it is told by files in `folder`."""
    for name, library in (("nvml", "libnvidia-ml.so.1"), ("cuda", "libcuda.so.1")):
        compile_c(os.path.join(FAKES, f"{name}.c"), os.path.join(folder, library), "-shared", "-fPIC")
    return {"LD_LIBRARY_PATH": str(folder), "NVIDIA_FAKE_GPUS": str(gpus), "NVIDIA_FAKE_STATE": str(folder)}


def torch(_):
    """A module `torch` of few functions, which goes before the real one."""
    return {"PYTHONPATH": os.path.join(FAKES, "torch_stand_in")}


def weights(folder):
    """A toy model of sentences."""
    encoders.write_toy(str(folder))
    return {"EMBED_MODEL": str(folder)}


def picture(folder):
    """A page with one line of text, in the folder that its client is in."""
    printed.page(["Hello there"])[0].save(os.path.join(folder, "page.png"))
    return {}
