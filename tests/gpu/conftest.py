# SPDX-License-Identifier: MIT
"""Fixtures of the GPU tests: those of the system tests, the GPU, or what plays it, pipelines for it, and figures."""

import json
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
SYSTEM = os.path.join(os.path.dirname(HERE), "system")
sys.path[:0] = [SYSTEM, HERE]

import borrowed  # noqa: E402
import nvidia  # noqa: E402
from server import MILLRACE  # noqa: E402

system = borrowed.lend(globals(), "start", "start_shared", "compile_c")  # compile_c for stand_ins.py
figure = borrowed.figure

IS_FAKE = os.environ.get("GPU_FAKES") == "1"
PYTHON = os.environ.get("PYTHON", "/usr/bin/python3")
PRELOADS = "--preload" in subprocess.run([MILLRACE, "serve", "--help"], capture_output=True, text=True, check=True).stdout
# What plays nvidia-smi, of the GPU that the libraries play.
SMI = """#!/bin/sh
echo '<?xml version="1.0" ?><!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd"><nvidia_smi_log>
<attached_gpus>1</attached_gpus><gpu id="00000000:10:00.0"><product_name>Fake ?GPU</product_name>
<uuid>GPU-00000000-0000-0000-0000-000000000000</uuid><minor_number>0</minor_number>
<fb_memory_usage><total>10240 MiB</total></fb_memory_usage></gpu></nvidia_smi_log>'
"""


class Gpu:
    """The first device of kind cuda, and the variables of servers that are to see it."""

    def __init__(self, folder):
        self.variables = self.fakes(folder) if IS_FAKE else {}
        self.nvml = nvidia.Nvml(str(folder / "libnvidia-ml.so.1") if IS_FAKE else "libnvidia-ml.so.1")
        self.devices = [device for device in self.list()["devices"] if device["kind"] == "cuda"]
        assert self.devices, "millrace finds no device, though there is one"
        self.uuid = self.devices[0]["uuid"]
        self.pipeline = str(folder / "gpu.so")
        system.compile_c(os.path.join(HERE, "gpu.c"), self.pipeline, "-shared", "-fPIC")

    def fakes(self, folder):
        import stand_ins  # pylint: disable=import-outside-toplevel

        (folder / "nvidia-smi").write_text(SMI)
        (folder / "nvidia-smi").chmod(0o755)
        variables = {**stand_ins.cuda(folder), **stand_ins.torch(folder)}
        # The library that plays NVML is in this very process, too.
        os.environ.update(variables, PATH=f"{folder}:{os.environ['PATH']}")
        return variables

    def list(self):
        result = subprocess.run([MILLRACE, "devices", "--json"], capture_output=True, text=True, check=True, timeout=60,
                                env={**os.environ, "RUNTIME_DIRECTORY": "/nowhere", **self.variables})
        return json.loads(result.stdout)

    def used_mib(self):
        """Memory of the device that is used, by whomever."""
        return self.nvml.memory(self.uuid).used >> 20


@pytest.fixture(scope="session")
def gpu(tmp_path_factory):
    reason = None if IS_FAKE else nvidia.absent()
    if reason:
        pytest.skip(f"no NVIDIA GPU: {reason}")
    return Gpu(tmp_path_factory.mktemp("gpu"))
