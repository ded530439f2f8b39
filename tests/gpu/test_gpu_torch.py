# SPDX-License-Identifier: MIT
"""A real GPU, by torch: the example computes on it, one device is seen, and what torch raises is told by its kind."""

import os
import subprocess

import pytest

from asking import outputs, result
from confined import needs_python
from conftest import HERE, IS_FAKE, PRELOADS, PYTHON
from server import TOP

ROD, TORCH = "local/rod:v1", "local/torch:v1"
EXAMPLE = os.path.join(TOP, "docs/examples/python/torch_device.py:rod")
HEAT = [0, 0, 0, 16, 0, 0, 0, 0]
SPREAD = [[0, 0, 4, 8, 4, 0, 0, 0], [0, 1, 4, 6, 4, 1, 0, 0], [0.25, 1.5, 3.75, 5, 3.75, 1.5, 0.25, 0]]
HAS_CUDA = "import sys, torch; sys.exit(not torch.cuda.is_available())"

pytestmark = [pytest.mark.bounded(180), needs_python]


@pytest.fixture(scope="module", autouse=True)
def torch(gpu):
    asked = subprocess.run([PYTHON, "-c", HAS_CUDA], env={**os.environ, **gpu.variables}, capture_output=True, text=True,
                           check=False)
    if asked.returncode != 0:
        reason = (asked.stderr.strip().splitlines() or ["it sees no GPU"])[-1]
        pytest.skip(f"torch of {PYTHON} is not tried: {reason}")


def serving(start, gpu, source, *options):
    return start(source, options=["--devices", "cuda:0", "--python", PYTHON, "--start-timeout", "120s", *options],
                 environment=gpu.variables)


def test_the_example_computes_on_the_gpu(start, gpu):
    server = serving(start, gpu, EXAMPLE)
    server.wait_log('"computes on cuda; the worker has cuda 0"')
    assert outputs(server, ROD, HEAT, 3) == SPREAD


@pytest.mark.skipif(not PRELOADS, reason="this millrace has no --preload")
def test_torch_that_was_imported_before_the_fork_computes_on_the_gpu(start, gpu, figure):
    server = serving(start, gpu, EXAMPLE, "--preload", "import")
    server.wait_log('"computes on cuda; the worker has cuda 0"')
    assert outputs(server, ROD, HEAT, 3) == SPREAD
    figure(server.wait_log(" (template_.*)")[1])


@pytest.mark.skipif(IS_FAKE, reason="what plays torch does no more than the example wants")
def test_torch_sees_one_device_computes_on_it_and_its_failures_are_told(start, gpu):
    server = serving(start, gpu, f"{TORCH}={os.path.join(HERE, 'torch_gpu.py')}:graph")
    pids = set()
    for failure, kind in ((None, None), ("fill", "cuda_oom"), ("crash", "cuda_error")):
        if failure:
            error = result(server, TORCH, failure)
            assert error["type"] == kind, error
        facts = result(server, TORCH, "facts")
        assert (facts["count"], facts["is_right"]) == (1, True)
        pids.add(facts["pid"])
    assert len(pids) == 3, "each failure is followed by another process"
