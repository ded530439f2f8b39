# SPDX-License-Identifier: MIT
"""Workers of another user than the server: what that takes from them, and what it must not."""

import os
import pwd
import signal
import subprocess
import sys

import pytest

import wire
from confined import KINDS, Confined, needs_python, needs_root
from server import process_exists, wait_until

@pytest.fixture(scope="module")
def as_nobody(start_shared, public):
    return Confined(start_shared, lambda name: os.path.join(public, f"{name}.so"), "--worker-user", "nobody",
                    environment={"PYTHONPATH": os.path.join(public, "python")},
                    code=os.path.join(public, "confined.py"))


@needs_root
@needs_python
def test_a_worker_of_another_user_has_nothing_of_root(as_nobody):
    nobody = pwd.getpwnam("nobody")
    assert as_nobody.code("import os; answer = os.getresuid() + os.getresgid()") \
        == str((nobody.pw_uid,) * 3 + (nobody.pw_gid,) * 3)
    assert as_nobody.code("import os; answer = os.getgroups()") == str([nobody.pw_gid])
    assert as_nobody.code("import os; answer = os.environ['HOME']") == nobody.pw_dir
    status = as_nobody.code("answer = open('/proc/self/status').read()")
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert f"{kind}:\t{0:016x}\n" in status
    assert "NoNewPrivs:\t1\n" in status
    assert as_nobody.code("import os; os.setuid(0)") == "EPERM"
    assert as_nobody.code("open('/etc/shadow')") == "EACCES"


@needs_root
@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_of_another_user_can_open_what_is_its_own(as_nobody, kind):
    for path in ("/proc/self/mem", "/proc/self/environ", "/dev/stdout", "/dev/stderr", "/dev/null"):
        if kind == "C":
            assert as_nobody.ask("file", path, os.O_WRONLY if path.startswith("/dev") else os.O_RDONLY) == "ok"
        else:
            assert as_nobody.code(f"open({path!r}, {'w' if path.startswith('/dev') else 'r'!r})") == "ok"


@needs_root
def test_a_worker_of_another_user_works_and_dies_like_any_other(start, public):
    server = start(f"me/limit:v1={public}/confined.so:limit", options=["--worker-user", "nobody"])
    pid, = [worker["pid"] for worker in server.workers("me/limit:v1")]
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        assert f"Uid:\t{pwd.getpwnam('nobody').pw_uid}\t" in file.read()
    mark = server.log_mark()
    os.kill(pid, signal.SIGKILL)
    server.wait_log("worker_ready", since=mark)
    pid, = [worker["pid"] for worker in server.workers("me/limit:v1")]
    server.signal(signal.SIGKILL)
    server.wait_exit()
    wait_until(lambda: not process_exists(pid), what="the worker's end")


@needs_root
@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_of_another_user_still_dies_with_the_server(as_nobody, kind):
    """By the signal that it asked for, which a process that changes its user loses."""
    if kind == "C":
        assert as_nobody.ask("deathsig", 0) == str(int(signal.SIGKILL))
    else:
        assert as_nobody.code("import ctypes; number = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(number));"
                              " answer = number.value") == str(int(signal.SIGKILL))


@needs_root
@needs_python
def test_a_user_has_no_more_threads_than_were_said(start, public):
    server = start(f"me/code:v1={public}/confined.py:graph",
                   options=["--worker-user", "4321:4321", "--worker-nproc", "8", "--python", sys.executable],
                   environment={"PYTHONPATH": os.path.join(public, "python")})
    result = server.run("me/code:v1", "import threading; stop = threading.Event(); count = 1\n"
                        "try:\n"
                        "    for count in range(1, 20): threading.Thread(target=stop.wait).start()\n"
                        "except RuntimeError: answer = count\n"
                        "finally: stop.set()\n")
    assert wire.output_of(wire.check_line(result.body)) == "8"


def test_a_worker_that_cannot_become_its_user_does_not_run(start, pipelines):
    """In a namespace of users that has root alone."""
    if subprocess.run(["unshare", "--map-root-user", "true"], check=False).returncode != 0:
        pytest.skip("this machine has no namespaces of users")
    server = start(f"me/limit:v1={pipelines('confined')}:limit", options=["--worker-user", "4321:1"],
                   command=["unshare", "--map-root-user"])
    assert "1 of the pipelines failed" in server.ready_line
    error = wire.check_line(server.run("me/limit:v1", 0).body)["error"]
    assert error["type"] == "startup_error"
    assert "the worker cannot be confined: setgroups to user 4321, group 1: Operation not permitted" in error["message"]
    server.wait_log("the worker process exited with code 75")
