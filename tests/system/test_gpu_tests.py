# SPDX-License-Identifier: MIT
"""The tests for a real GPU: they are right where libraries play one, and where there is none they say so."""

import os
import subprocess

import pytest

from server import SLOWNESS, TOP

RUN = os.path.join(TOP, "tests/gpu/run")


def run(*words, **variables):
    result = subprocess.run([RUN, *words], capture_output=True, text=True, check=False, timeout=100 * SLOWNESS,
                            env={**os.environ, **variables})
    return result.returncode, result.stdout + result.stderr


@pytest.mark.parametrize("required, status", [("", 0), ("1", 1)])
def test_where_there_is_no_gpu_the_tests_for_one_say_so(tmp_path, required, status):
    (tmp_path / "libnvidia-ml.so.1").touch()
    assert run(LD_LIBRARY_PATH=str(tmp_path), REQUIRE_GPU=required) == (
        status, f"skipped: no NVIDIA GPU: {tmp_path}/libnvidia-ml.so.1: file too short\n")


@pytest.mark.bounded(110)
def test_the_tests_for_a_gpu_pass_with_libraries_that_play_one():
    status, said = run("--built", GPU_FAKES="1", TURNS="2")
    assert status == 0 and " passed, " in said, said
