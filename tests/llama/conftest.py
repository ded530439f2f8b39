# SPDX-License-Identifier: MIT
"""Fixtures of the tests of llama.cpp: those of the system tests, the pipeline, its model, devices, and figures."""

import glob
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
SYSTEM = os.path.join(os.path.dirname(HERE), "system")
sys.path[:0] = [SYSTEM, HERE]

import borrowed  # noqa: E402
import toy_gguf  # noqa: E402
from server import TOP  # noqa: E402

system = borrowed.lend(globals(), "start_shared")
figure = borrowed.figure

FETCHED = os.path.join(TOP, "build/llama")
HEADERS = [os.path.join(FETCHED, "source", folder) for folder in ("include", "ggml/include")]
LAVAPIPE = "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json"
DRIVER = "/usr/lib/x86_64-linux-gnu/libvulkan_lvp.so"
# What the driver calls its device, and of as many letters what a copy of it does.
NAME, OTHER_NAME = b"llvmpipe (LLVM ", b"device %d (LLVM "
DEVICES = 4


class Llama:
    """What servers of the pipeline are given."""

    def __init__(self, folder):
        found = glob.glob(os.path.join(FETCHED, "node_modules/@node-llama-cpp/*/bins/*/libllama.*so"))
        if not found:
            pytest.skip("there is no llama.cpp: tests/llama/run fetches it")
        libraries = os.path.dirname(found[0])
        self.source = str(folder / "llama.so")
        # Halves round more than the CPU does: after some forty tokens another one is the likeliest.
        self.variables = {"LLAMA_MODEL": str(folder / "toy.gguf"), "LLAMA_BACKENDS": libraries, "GGML_VK_DISABLE_F16": "1",
                          "LP_NUM_THREADS": "1", "MESA_SHADER_CACHE_DIR": os.path.join(FETCHED, "shaders")}
        toy_gguf.write(self.variables["LLAMA_MODEL"])
        linked = glob.glob(os.path.join(libraries, "libggml*.so"))
        system.compile_c(os.path.join(HERE, "llama.c"), self.source, "-shared", "-fPIC",
                         *(f"-I{path}" for path in HEADERS), *found,
                         *(path for path in linked if "-cpu-" not in path and "-vulkan" not in path), f"-Wl,-rpath,{libraries}")
        self.variables["VK_ICD_FILENAMES"] = ":".join(make_devices(folder))

    def options(self, *options):
        return [word for name, value in self.variables.items() for word in ("--env", f"{name}={value}")] + list(options)


def make_devices(folder):
    """Copies of the driver that is a processor. Each says another name, so that one sees which one a worker has."""
    with open(DRIVER, "rb") as file:
        driver = file.read()
    with open(LAVAPIPE, encoding="utf-8") as file:
        words = file.read()
    assert driver.count(NAME) == 1 and DRIVER in words
    for number in range(DEVICES):
        copy = folder / f"device{number}.so"
        copy.write_bytes(driver.replace(NAME, OTHER_NAME % number))
        (folder / f"device{number}.json").write_text(words.replace(DRIVER, str(copy)))
    return [str(folder / f"device{number}.json") for number in range(DEVICES)]


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    return Llama(tmp_path_factory.mktemp("llama"))
