# SPDX-License-Identifier: MIT
"""What a worker can reach of the server and of other workers, tried from inside a worker."""

import ctypes
import os
import signal

import pytest

import wire
from server import example

SPY = "test/spy:v1"
PYTHON_SPY = "test/python:v1"
INTO_OTHERS = ["memory", "segment", "descriptors", "read", "trace"]
if os.geteuid() != 0:  # CAP_PERFMON may read it, whatever a domain says
    INTO_OTHERS.append("environment")
SYS_LANDLOCK_CREATE_RULESET = 444


def landlock_version():
    return ctypes.CDLL(None).syscall(SYS_LANDLOCK_CREATE_RULESET, None, 0, 1)


needs_landlock = pytest.mark.skipif(landlock_version() < 2, reason="this kernel has no Landlock (5.19 and later)")


@pytest.fixture(scope="module")
def server(start_shared, pipelines):
    return start_shared(f"{SPY}={pipelines('spy')}", example("numbers.so"), options=["--workers", "2"])


def look(server, pid):
    """What a worker says of each way into the process; 0 is the server."""
    return dict(wire.output_of(line).split(": ") for line in server.lines(SPY, pid))


@needs_landlock
@pytest.mark.parametrize("other", ["server", "worker of another pipeline", "worker of the same pipeline"])
def test_a_worker_cannot_look_into_other_processes(server, other):
    """Even as root: the kernel asks whether its Landlock domain may, not only whose it is."""
    if other == "server":
        results = look(server, 0)
    elif other == "worker of another pipeline":
        results = look(server, server.workers("local/numbers:v1")[0]["pid"])
    else:
        # Each of the two takes one look at each of the two; one of these is at itself.
        pids = [worker["pid"] for worker in server.workers(SPY)]
        results = min((look(server, pid) for pid in pids), key=lambda found: list(found.values()).count("ok"))
    for way in INTO_OTHERS:
        assert results[way] in ("EACCES", "EPERM"), (way, results)
    if landlock_version() >= 6:
        assert results["signal"] == "EPERM"


@needs_landlock
def test_a_worker_can_look_at_itself(server):
    """What is refused above is there: else these tests would prove nothing."""
    pids = [worker["pid"] for worker in server.workers(SPY)]
    results = max((look(server, pid) for pid in pids), key=lambda found: list(found.values()).count("ok"))
    assert results["memory"] == results["read"] == results["signal"] == results["environment"] == "ok", results


@needs_landlock
def test_files_can_be_moved_between_directories(start, tmp_path):
    """A Landlock domain denies that where it does not say otherwise."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "file").write_text("here")
    source = tmp_path / "mover.py"
    source.write_text(
        "import os\n"
        "from pipeline import Pipeline, Variable, pipe\n"
        "@pipe\n"
        "def move(source: str, target: str) -> str:\n"
        "    os.rename(source, target)\n"
        "    return 'moved'\n"
        "with Pipeline() as builder:\n"
        "    source, target = Variable(str), Variable(str)\n"
        "    builder.output(move(source, target))\n"
        "graph = builder.get_pipeline()\n")
    server = start(f"{PYTHON_SPY}={source}:graph")
    response = server.run(PYTHON_SPY, str(tmp_path / "a" / "file"), str(tmp_path / "b" / "file"))
    result = wire.check_line(response.body)
    assert wire.output_of(result) == "moved"
    assert (tmp_path / "b" / "file").read_text() == "here"


def test_a_killed_server_can_be_started_again_on_its_port_at_once(start):
    server = start(example("numbers.so"))
    port = server.port
    with server.stream("local/numbers:v1", 100_000, "x", 1) as stream:
        stream.next()
        os.kill(server.process.pid, signal.SIGKILL)
        assert server.wait_exit() == -signal.SIGKILL
        successor = start(example("numbers.so"), options=["--listen", f"127.0.0.1:{port}"])
        successor.wait_log(rf" listening address=\S+:{successor.port}\b")
        with wire.Connection(port) as connection:
            lines = wire.Stream(connection, wire.run_body("local/numbers:v1", [3, "x", 0])).all()
    assert [wire.output_of(line)["i"] for line in lines] == [0, 1, 2]
