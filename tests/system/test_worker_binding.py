# SPDX-License-Identifier: MIT
"""What a worker is bound to by its command line: processing units, memory of nodes, files of its device."""

import os
import shutil
import subprocess
import sys

import pytest

from confined import needs_landlock
from server import BUILD, SLOWNESS

WORKER = os.path.join(BUILD, "millrace-worker")
TIMEOUT_S = 20 * SLOWNESS

UNITS = sorted(os.sched_getaffinity(0))
NODES = "/sys/devices/system/node/online"
needs_units = pytest.mark.skipif(len(UNITS) < 2, reason="this process may use one processing unit only")
needs_nodes = pytest.mark.skipif(not (os.path.exists("/proc/self/numa_maps") and os.path.exists(NODES)),
                                 reason="this kernel knows no nodes (CONFIG_NUMA)")

SAY_UNITS = "import os; print(sorted(os.sched_getaffinity(0)))"
SAY_MEMORY = "print({line.split()[1] for line in open('/proc/self/numa_maps')})"

# In a folder /dev of its own, where there are files that are called as those of devices.
DEVICES = ("dri/card0", "kfd", "nvidia0", "nvidia1", "nvidiactl", "null", "zero")
MAKE_DEVICES = ("mount -t tmpfs none /dev && mkdir /dev/dri && touch " +
                " ".join(f"/dev/{name}" for name in DEVICES) + ' && exec "$0" --parent $PPID "$@"')
SAY_DEVICES = f"""
import os
def is_open(name):
    try:
        os.close(os.open("/dev/" + name, os.O_RDWR))
        return True
    except PermissionError:
        return False
print(*filter(is_open, {DEVICES}))
"""
CARDS = ["dri/card0", "kfd", "nvidia0", "nvidia1", "nvidiactl"]
STATELESS = ["null", "zero"]


def may_mount():
    return shutil.which("unshare") is not None and subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/dev"], stderr=subprocess.DEVNULL, check=False).returncode == 0


def become(code, *options, before=()):
    """A worker that becomes an interpreter, with what that says."""
    command = [*before, WORKER, *([] if before else ["--parent", str(os.getpid())]), *options, "--", sys.executable, "-c", code]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def said(code, *options, **more):
    """What it says where nothing else is to be said."""
    done = become(code, *options, **more)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


# ---- processing units and memory -------------------------------------------------------------------


@needs_units
@pytest.mark.parametrize("unit", UNITS[:2])
def test_a_worker_runs_on_its_processing_units_and_so_does_what_it_becomes(unit):
    assert said(SAY_UNITS, "--cores", str(unit)) == str([unit])


@needs_units
def test_units_that_are_not_there_are_left_out(unit=UNITS[1]):
    assert said(SAY_UNITS, "--cores", f"{unit},8000-8191") == str([unit])


def test_a_worker_that_may_use_none_of_its_units_runs_unbound_and_says_so():
    done = become(SAY_UNITS, "--cores", "8190-8191")
    assert (done.returncode, done.stdout) == (0, f"{UNITS}\n")
    assert done.stderr == "the worker is not bound to the cores 8190-8191: Invalid argument\n"


@needs_units
def test_a_pipeline_may_bind_itself_otherwise():
    code = f"import os; os.sched_setaffinity(0, {set(UNITS)}); {SAY_UNITS}"
    assert said(code, "--cores", str(UNITS[1]), "--confine", "deny=machine\n") == str(UNITS)


@needs_nodes
def test_memory_of_its_nodes_is_preferred():
    with open(NODES, encoding="ascii") as file:
        nodes = file.read().strip()
    policies = said(SAY_MEMORY, "--memory-nodes", nodes)
    assert "prefer" in policies and "bind" not in policies
    assert "prefer" not in said(SAY_MEMORY)


@needs_nodes
def test_nodes_that_are_not_there_are_one_line_and_no_failure():
    done = become("print('here')", "--memory-nodes", "60-63")
    assert (done.returncode, done.stdout) == (0, "here\n")
    assert done.stderr == "the worker does not prefer the memory of the nodes 60-63: Invalid argument\n"


@pytest.mark.parametrize("option", ["--cores", "--memory-nodes"])
@pytest.mark.parametrize("text", ["", "a", "1-", "8192"])
def test_what_is_no_list_is_no_command_line_of_a_worker(option, text):
    done = become(SAY_UNITS, option, text)
    assert (done.returncode, done.stdout) == (64, "")
    assert "--help lists its options" in done.stderr


# ---- files of its device ---------------------------------------------------------------------------


def devices(*options):
    if not may_mount():
        pytest.skip("no folder /dev of one's own can be had (unshare -rm, mount)")
    return said(SAY_DEVICES, *options, before=["unshare", "-rm", "sh", "-c", MAKE_DEVICES]).split()


def confined(what):
    return ["--confine", f"restrict={what}\nread={sys.prefix}\n"]


@needs_landlock(3)
@pytest.mark.parametrize("what", ["reading", "writing"])
def test_a_confined_worker_opens_all_cards_and_with_nodes_of_its_own_only_those(what):
    assert devices(*confined(what)) == CARDS + STATELESS
    assert devices(*confined(what), "--device-nodes", "/dev/nvidia1:/dev/nvidiactl") == ["nvidia1", "nvidiactl"] + STATELESS
    assert devices(*confined(what), "--device-nodes", "/dev/dri") == ["dri/card0"] + STATELESS


@needs_landlock(3)
def test_nodes_that_are_not_there_are_left_out_and_none_are_none():
    assert devices(*confined("reading"), "--device-nodes", "/dev/nvidia7::/dev/nvidia0:") == ["nvidia0"] + STATELESS
    assert devices(*confined("reading"), "--device-nodes", "") == STATELESS


def test_a_worker_that_is_not_confined_opens_what_it_finds():
    assert devices("--device-nodes", "/dev/nvidia1") == list(DEVICES)
