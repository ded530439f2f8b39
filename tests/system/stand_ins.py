# SPDX-License-Identifier: MIT
"""stand_ins - what takes the place of a GPU for the examples that want one: variables of a server."""

import ctypes
import glob
import os

import pytest

from server import TOP

FAKES = os.path.join(TOP, "tests/system/fakes")


def pocl(folder):
    """OpenCL devices that are processors, with a folder for what is compiled."""
    try:
        ctypes.CDLL("libOpenCL.so.1")
    except OSError:
        pytest.skip("there is no libOpenCL.so.1: ocl-icd-libopencl1 is missing")
    if not glob.glob("/etc/OpenCL/vendors/pocl*.icd"):
        pytest.skip("there is no PoCL: pocl-opencl-icd is missing")
    return {"POCL_CACHE_DIR": os.path.join(folder, "pocl")}
