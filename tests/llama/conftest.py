# SPDX-License-Identifier: MIT
"""Fixtures of the tests of llama.cpp: those of the system tests, models, devices, the bare loop, and figures."""

import glob
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
SYSTEM = os.path.join(os.path.dirname(HERE), "system")
sys.path[:0] = [SYSTEM, HERE]

import borrowed  # noqa: E402
import toy_gguf  # noqa: E402
from answers import Bare  # noqa: E402
from server import TOP  # noqa: E402

system = borrowed.lend(globals(), "start", "start_shared")
figure = borrowed.figure

FETCHED = os.path.join(TOP, "build/llama")
LIBRARIES = os.path.join(FETCHED, "lib")
SOURCE = os.path.join(TOP, "build/examples/llama.so")
TRAINED = os.path.join(TOP, "docs/examples/llama/toy/toy.gguf")
LAVAPIPE = "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json"
DRIVER = "/usr/lib/x86_64-linux-gnu/libvulkan_lvp.so"
# What the driver calls its device, and of as many letters what a copy of it does.
NAME, OTHER_NAME = b"llvmpipe (LLVM ", b"device %d (LLVM "
DEVICES = 4


class Llama:
    """What servers of the pipeline are given: one thread, and numbers that every device rounds alike."""

    def __init__(self, model, **variables):
        if not os.path.exists(SOURCE) or not os.path.exists(os.path.join(FETCHED, "fetched")):
            pytest.skip("there is no llama.cpp: tests/llama/run fetches it")
        self.source, self.model = SOURCE, str(model)
        self.variables = {"LLAMA_MODEL": self.model, "LLAMA_LIBRARY": LIBRARIES, "LLAMA_THREADS": "1", "LLAMA_KV_TYPE": "f32",
                          **variables}

    def options(self, *options, **variables):
        both = {**self.variables, **variables}
        options = ("--concurrency", "64", *options)
        return [word for name, value in both.items() for word in ("--env", f"{name}={value}")] + list(options)


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
def trained():
    """The toy model of the example, on the processor."""
    return Llama(TRAINED)


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    """Random weights of four bytes each, which the processor and other devices compute with alike, and four devices."""
    folder = tmp_path_factory.mktemp("llama")
    # Halves round more than the CPU does: after some forty tokens another one is the likeliest.
    llama = Llama(folder / "random.gguf", GGML_VK_DISABLE_F16="1", LP_NUM_THREADS="1", LLAMA_CONTEXT="4096", LLAMA_PARALLEL="4",
                  MESA_SHADER_CACHE_DIR=os.path.join(FETCHED, "shaders"))
    toy_gguf.write(llama.model)
    llama.variables["VK_ICD_FILENAMES"] = ":".join(make_devices(folder))
    return llama


@pytest.fixture(scope="session")
def bare(tmp_path_factory, trained):
    """bare(PROMPT...) is what the toy model says in a loop without a server: lists of tokens."""
    program = str(tmp_path_factory.mktemp("bare") / "bare")
    libraries = glob.glob(os.path.join(LIBRARIES, "libllama.*so")) + glob.glob(os.path.join(LIBRARIES, "libggml.*so"))
    system.compile_c(os.path.join(HERE, "bare.c"), program, "-isystem", os.path.join(FETCHED, "include"), *libraries,
                     os.path.join(LIBRARIES, "libggml-base.so"), f"-Wl,-rpath,{LIBRARIES}")
    return Bare(program, trained.model, LIBRARIES)


@pytest.fixture(scope="session")
def text_library(tmp_path_factory):
    """text.c of the example."""
    target = str(tmp_path_factory.mktemp("text") / "text.so")
    subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", "-O1", "-g", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror", "-o", target,
                    os.path.join(TOP, "docs/examples/llama/text.c")], check=True)
    return target
