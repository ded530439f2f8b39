# SPDX-License-Identifier: MIT
"""What workers may use: descriptors, core files, memory."""

import os
import re
import resource
import signal
import subprocess
import sys

import pytest

import wire
from confined import CODE, KINDS, has_python, needs_core_files, needs_python, unless_sanitized
from server import AS_SERVER, MILLRACE, process_exists, wait_until

RLIMIT_SIGPENDING = 11  # which the module has no name for
HARD_NOFILE = resource.getrlimit(resource.RLIMIT_NOFILE)[1]


# ---- limits ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", KINDS)
def test_workers_have_not_the_descriptors_of_the_server(usual, kind):
    assert usual.limit(resource.RLIMIT_NOFILE, kind) == (min(1024, HARD_NOFILE // 2), min(1 << 19, HARD_NOFILE // 2))


@pytest.mark.parametrize("kind", KINDS)
def test_of_what_is_counted_for_a_user_part_stays_the_servers(usual, kind):
    _, threads = resource.getrlimit(resource.RLIMIT_NPROC)
    with open("/proc/sys/kernel/threads-max", encoding="ascii") as file:
        machine = int(file.read()) // 2
    threads = machine if threads == resource.RLIM_INFINITY else min(threads, machine)
    assert usual.limit(resource.RLIMIT_NPROC, kind) == (threads - threads // 4,) * 2
    _, signals = resource.getrlimit(RLIMIT_SIGPENDING)
    assert usual.limit(RLIMIT_SIGPENDING, kind) == (signals // 2 if signals >= 0 else signals,) * 2


@pytest.mark.parametrize("kind", KINDS)
def test_workers_keep_the_limits_that_nothing_was_said_of(usual, kind):
    for name in (resource.RLIMIT_CORE, resource.RLIMIT_DATA, resource.RLIMIT_AS,
                 resource.RLIMIT_MEMLOCK, resource.RLIMIT_STACK):
        assert usual.limit(name, kind) == resource.getrlimit(name)


@pytest.mark.parametrize("kind", KINDS)
def test_workers_have_the_limits_that_were_said(confined, kind):
    server = confined("--worker-nofile", "80", "--worker-core", "0", "--worker-data", "1000000g",
                      "--worker-nproc", "12345")
    assert server.limit(resource.RLIMIT_NOFILE, kind) == (80, 80)
    assert server.limit(resource.RLIMIT_CORE, kind) == (0, 0)
    assert server.limit(resource.RLIMIT_DATA, kind) == (1000000 << 30, 1000000 << 30)
    assert server.limit(resource.RLIMIT_NPROC, kind) == (12345, 12345)


def test_a_limit_can_be_of_one_pipeline(confined):
    server = confined("--worker-nofile", "me/file:v1=90", "--worker-nofile", "80", "--worker-nofile",
                      "me/limit:v1=100")
    assert server.limit(resource.RLIMIT_NOFILE, "C") == (100, 100)
    if has_python:
        assert server.limit(resource.RLIMIT_NOFILE, "Python") == (80, 80)


@needs_python
@unless_sanitized
def test_memory_beyond_the_data_limit_is_an_error_and_reserved_addresses_are_none(confined):
    """What has no memory behind it is not counted: device libraries reserve far more than there is."""
    server = confined("--worker-data", "me/code:v1=400m")
    assert server.code("answer = len(bytearray(1 << 20))") == str(1 << 20)
    assert server.code("answer = len(bytearray(400 << 20))") == "MemoryError"
    reserve = "import mmap; memory = mmap.mmap(-1, 1 << 40, mmap.MAP_PRIVATE | 0x4000, prot=0)"
    assert server.code(reserve) == "ok"
    shared = "import mmap; memory = mmap.mmap(-1, 1 << 30, mmap.MAP_SHARED)"
    assert server.code(shared) == "ok"


@needs_core_files
@pytest.mark.parametrize("option, is_written", [(["--worker-core", "unlimited"], True), (["--worker-core", "0"], False)])
def test_a_crash_leaves_a_core_file_when_it_may(confined, option, is_written):
    """The kernel writes it as the worker, whose domain does not keep it from that."""
    if is_written and os.geteuid() != 0 and resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("core files are forbidden here")
    server = confined(*option).server
    result = wire.check_line(server.run("me/crash:v1", 0).body)
    assert result["state"] == "failed"
    assert "SIGSEGV" in result["error"]["message"]
    assert ("core dumped" in result["error"]["message"]) == is_written
    names = [name for name in os.listdir(server.folder) if name.startswith("core")]
    assert len(names) == (1 if is_written else 0)
    for name in names:
        with open(os.path.join(server.folder, name), "rb") as file:
            assert file.read(4) == b"\x7fELF"


# ---- memory ------------------------------------------------------------------------------------------

@pytest.fixture
def limited(start, confined):
    """A server whose group may be divided: as it is started here, or in a scope of its own."""
    if not has_python:
        pytest.skip("the extension was not built: python3-dev is missing")
    options = ["--worker-memory", "me/code:v1=150m"]
    reasons = []
    for command in ([], ["systemd-run", "--scope", "--quiet", "-p", "Delegate=yes"]):
        if command and not os.path.isdir("/run/systemd/system"):
            continue
        server = start(f"me/code:v1={CODE}:graph", options=[*options, "--python", sys.executable], command=command,
                       wait=False)
        try:
            return server.wait_ready()
        except AssertionError:
            reasons += [line for line in server.log if "control group" in line]
            assert server.wait_exit() == 2 and reasons, server.log
    return pytest.skip(reasons[0])


@unless_sanitized
def test_a_worker_that_needs_more_memory_than_its_limit_is_killed_and_replaced(limited):
    def code(text):
        return wire.check_line(limited.run("me/code:v1", text).body)

    group = wire.output_of(code("answer = open('/proc/self/cgroup').read()"))
    assert re.search(r"^0::.*/millrace-\d+-0-0$", group, re.MULTILINE)
    assert wire.output_of(code("answer = len(bytearray(60 << 20))")) == str(60 << 20)
    for greedy in ("bytearray(400 << 20)",
                   "import subprocess, sys; subprocess.run([sys.executable, '-c', 'bytearray(400 << 20)'])"):
        mark = limited.log_mark()
        error = code(greedy)["error"]
        assert error["type"] == "oom"
        assert error["message"].endswith("(SIGKILL): it needed more than its limit of 150 MiB of memory")
        limited.wait_log("worker_ready", mark)
    # One that was killed otherwise was not over the limit; and takes all it started with it.
    daemon = int(wire.output_of(code("import subprocess; answer = subprocess.Popen(['sleep', '100'], "
                                     "start_new_session=True).pid")))
    worker, = [worker["pid"] for worker in limited.workers("me/code:v1")]
    mark = limited.log_mark()
    os.kill(worker, signal.SIGKILL)
    assert "limit" not in limited.wait_log("worker_exit.*", mark)[0]
    wait_until(lambda: not process_exists(daemon), what="the end of what the worker started")


def test_a_server_whose_group_cannot_be_divided_does_not_start(pipelines):
    """One that has other processes, or that cannot limit memory: this test's own is such a one."""
    try:
        result = subprocess.run([MILLRACE, "serve", f"me/limit:v1={pipelines('confined')}:limit", "--listen",
                                 "127.0.0.1:0", "--worker-memory", "1g", *AS_SERVER], capture_output=True, text=True, check=False,
                                timeout=5)
    except subprocess.TimeoutExpired:
        pytest.skip("the group of the tests can be divided")
    assert result.returncode == 2
    assert re.match(r"millrace: --worker-memory: .*(control group .*Delegate=|not mounted)", result.stderr)
