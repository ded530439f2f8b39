# SPDX-License-Identifier: MIT
"""What a pipeline in Python knows of the device that its worker was given."""

import os
import subprocess
import sys

import pytest

from server import BUILD, SLOWNESS, TOP

WORKER = os.path.join(BUILD, "millrace-worker")
TIMEOUT_S = 20 * SLOWNESS


def worker(code, **variables):
    """What the code prints in an interpreter that a worker with these variables became."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
    done = subprocess.run(
        [WORKER, "--parent", str(os.getpid()), "--", sys.executable, "-c", f"import millrace_worker; {code}"],
        env={**environment, "PYTHONPATH": os.path.join(TOP, "worker/python"), "PYTHONDONTWRITEBYTECODE": "1",
             **{f"MILLRACE_DEVICE_{name}": value for name, value in variables.items()}},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@pytest.mark.parametrize("variables, device", [
    ({"KIND": "cuda", "INDEX": "3", "UUID": "GPU-5b1f0c3e"}, "Device(kind='cuda', index=3, uuid='GPU-5b1f0c3e')"),
    ({"KIND": "level-zero", "INDEX": "0"}, "Device(kind='level-zero', index=0, uuid=None)"),
    ({"KIND": "cpu", "INDEX": "1", "UUID": ""}, "Device(kind='cpu', index=1, uuid=None)")])
def test_a_device_is_what_the_variables_say(variables, device):
    assert worker("print(millrace_worker.device())", **variables) == device


@pytest.mark.parametrize("variables", [
    {}, {"INDEX": "0", "UUID": "GPU-5b1f0c3e"}, {"KIND": "", "INDEX": "0"}, {"KIND": "cuda"},
    {"KIND": "cuda", "INDEX": ""}, {"KIND": "cuda", "INDEX": "-1"}, {"KIND": "cuda", "INDEX": "1x"},
    {"KIND": "cuda", "INDEX": "²"}, {"KIND": "cuda", "INDEX": "1" * 5000}])
def test_without_a_kind_or_a_number_there_is_none(variables):
    assert worker("print(millrace_worker.device())", **variables) == "None"


def test_it_stays_the_same_whatever_a_pipeline_does():
    code = ("import os; os.environ['MILLRACE_DEVICE_INDEX'] = '7'; before = millrace_worker.device()\n"
            "try: before.index = 8\n"
            "except AttributeError: print(millrace_worker.device() is before, before.index)")
    assert worker(code, KIND="hip", INDEX="2") == "True 2"
