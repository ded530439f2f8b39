# SPDX-License-Identifier: MIT
"""Every way in which a worker can fail, in every phase of a run: one typed end, and only its own runs notice."""

import datetime
import os
import signal
import threading
import time

import pytest

import wire
from server import IS_SANITIZED, SLOWNESS, example, process_exists, wait_until

FAULTS = "test/faults:v1"
NUMBERS = "local/numbers:v1"
COUNT = 5
PROGRESS_S = 0.4
GRACE_S = 0.2
START_S = 1
OPTIONS = ["--progress-timeout", f"{int(PROGRESS_S * 1000)}ms", "--cancel-grace", f"{int(GRACE_S * 1000)}ms",
           "--start-timeout", f"{START_S * SLOWNESS}s", "--keepalive", "0", "--log-level", "debug"]

KILLED = ("pipeline_error", "signal 9 (SIGKILL)")
HUNG = ("timeout", "no progress")
# What the pipeline does, and how its run may end. SIGKILL comes from outside while the pipeline hangs.
WAYS = {
    "SIGKILL": ("hang", [KILLED]),
    "SIGSEGV": ("crash", [("pipeline_error", "signal 11 (SIGSEGV)")]),
    "abort": ("abort", [("pipeline_error", "signal 6 (SIGABRT)")]),
    "exit": ("exit", [("pipeline_error", "exited with code 3")]),
    "SIGSTOP": ("stop", [HUNG]),
    "loop": ("spin", [HUNG]),
    "memory": ("allocate", [("oom", "out of memory")]),
    "garbage": ("scribble", [("pipeline_error", "the worker"), HUNG]),
    "descriptors": ("close", [("pipeline_error", "the worker"), HUNG]),
}
PHASES = {"first": 0, "streaming": COUNT - 1, "finishing": COUNT}
# These have no end of their own, so the limit on progress ends them.
ENDS_BY_LIMIT = ("SIGSTOP", "loop")


@pytest.fixture
def server(request, start, built):
    options, command = list(OPTIONS), ()
    fault = request.getfixturevalue("fault") if "fault" in request.fixturenames else None
    if fault == "memory":
        if IS_SANITIZED:
            pytest.skip("address space cannot be limited under a sanitizer")
        # The server itself must fit into the limit that its workers inherit.
        command = ("prlimit", f"--as={400 << 20}")
        options += ["--max-connections", "32", "--output-memory", "16m", "--queue", "8"]
    return start(f"{FAULTS}={built('faults')}", example("numbers.so"), options=options, command=command)


def worker(server):
    return server.workers(FAULTS)[0]


def read_to_end(stream):
    """Chunks, the error, and when it was read."""
    lines = list(stream)
    now = time.monotonic()
    error = lines.pop()["error"] if lines and lines[-1]["error"] else None
    assert all(line["error"] is None for line in lines)
    return [wire.output_of(line) for line in lines], error, now


def assert_caused(error, fault):
    assert any(error["type"] == kind and text in error["message"] for kind, text in WAYS[fault][1]), error


def start_fault(server, fault, phase="streaming"):
    """A stream whose fault is about to happen, and when it was caused."""
    stream = server.stream(FAULTS, WAYS[fault][0], phase, COUNT)
    began = time.monotonic()
    if fault == "SIGKILL":
        wait_until(lambda: worker(server)["active"] == 1)
        for _ in range(PHASES[phase]):
            stream.seen = stream.next()
        began = time.monotonic()
        os.kill(worker(server)["pid"], signal.SIGKILL)
    return stream, began


def replaced_after_ms(server, mark):
    """From the old worker's end to the moment at which the new one takes runs, by the log's clock."""
    lines = server.log_since(mark, rf" worker_(exit|ready) pipeline={FAULTS} ")
    while " worker_exit " not in lines[0]:
        lines.pop(0)
    died, ready = (datetime.datetime.fromisoformat(next(line for line in lines if event in line).split()[0][:-1])
                   for event in (" worker_exit ", " worker_ready "))
    return (ready - died).total_seconds() * 1000


def assert_serves_again(server):
    """A whole run, no slot taken, no run left."""
    lines = server.lines(FAULTS, "none", "first", COUNT)
    assert [wire.output_of(line) for line in lines] == list(range(COUNT))
    assert worker(server)["active"] == 0
    assert server.metric("millrace_runs") == 0


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("fault", WAYS)
def test_worker(server, figure, fault, phase):
    """The chunks before the fault arrive, then one line that says what happened; the neighbour loses
    nothing; the successor serves."""
    mark = server.log_mark()
    pid = worker(server)["pid"]
    with server.stream(NUMBERS, 200, "neighbour", 2) as neighbour:
        neighbour.next()
        stream, began = start_fault(server, fault, phase)
        with stream:
            chunks, error, now = read_to_end(stream)
            if fault == "SIGKILL":
                chunks = list(range(PHASES[phase] - len(chunks))) + chunks
        assert [wire.output_of(line)["i"] for line in neighbour] == list(range(1, 200))
    # Garbage may overwrite chunks that were not taken yet; never are there wrong ones.
    assert chunks == list(range(len(chunks)))
    if fault in ("garbage", "descriptors"):
        assert len(chunks) <= COUNT
    else:
        assert len(chunks) == PHASES[phase]
    if fault == "descriptors" and error is None:
        # It got the run's end through before the server noticed: a run that ended is not ended again.
        assert len(chunks) == COUNT
        error = {"type": "none"}
    else:
        assert_caused(error, fault)
    limit_s = PROGRESS_S + 0.3 if fault in ENDS_BY_LIMIT or error["type"] == "timeout" else 0.5
    assert now - began < limit_s * SLOWNESS + (1 if fault == "memory" else 0)
    text = f"error line after {(now - began) * 1000:.1f} ms"
    if fault != "memory":  # its worker lives on
        server.wait_worker(FAULTS, 0, pid, mark)
        text += f", a new worker ready {replaced_after_ms(server, mark):.0f} ms after the old one's end"
    assert_serves_again(server)
    figure(text)


@pytest.mark.parametrize("fault", WAYS)
def test_worker_while_queued(server, figure, fault):
    """A run that waits behind the one that fails is served by the successor."""
    stream, began = start_fault(server, fault)
    with stream, server.stream(FAULTS, "none", "first", COUNT) as waiting:
        error = read_to_end(stream)[1]
        if error is not None or fault != "descriptors":
            assert_caused(error, fault)
        chunks, error, now = read_to_end(waiting)
    if fault == "descriptors" and error is not None:
        # It was given to the same worker, before that was seen to have hung up.
        assert_caused(error, fault)
    else:
        assert chunks == list(range(COUNT))
        assert error is None
    assert now - began < 3 * SLOWNESS
    figure(f"waiting run complete after {(now - began) * 1000:.0f} ms")
    assert_serves_again(server)


@pytest.mark.parametrize("fault", WAYS)
def test_worker_while_starting(server, figure, fault):
    """A worker that fails in its start is started again; the run that waits for it is served then."""
    mark = server.log_mark()
    with open(os.path.join(server.folder, "startup"), "w", encoding="ascii") as file:
        file.write(WAYS[fault][0])
    os.kill(worker(server)["pid"], signal.SIGKILL)
    server.wait_log(rf" worker_exit pipeline={FAULTS} ", mark)
    began = time.monotonic()
    if fault == "SIGKILL":
        killer = threading.Thread(target=kill_in_startup, args=(server,))
        killer.start()
    with server.stream(FAULTS, "none", "first", COUNT) as waiting:
        chunks, error, now = read_to_end(waiting)
    if fault == "garbage" and error:
        # It was not seen to be broken before it had a run.
        assert_caused(error, fault)
    else:
        assert error is None
        assert chunks == list(range(COUNT))
    assert now - began < (START_S + 2) * SLOWNESS
    figure(f"waiting run over after {(now - began) * 1000:.0f} ms")
    if fault == "SIGKILL":
        killer.join()
    wait_until(lambda: worker(server)["state"] == "ready")
    assert_serves_again(server)
    assert server.get("/readyz").status == 200


def test_worker_that_only_hangs_up_is_replaced(server, figure):
    """Its rings still work, but a request too large for them cannot reach it."""
    mark = server.log_mark()
    pid = worker(server)["pid"]
    assert len(server.lines(FAULTS, "hang_up", "first", COUNT)) == COUNT
    began = time.monotonic()
    lines = server.lines(FAULTS, "none", "first" + " " * 300_000, COUNT)
    took = time.monotonic() - began
    assert [wire.output_of(line) for line in lines] == list(range(COUNT))
    server.wait_log(r" worker_kill .*it closed its socket", mark)
    assert worker(server)["pid"] != pid
    figure(f"a large request was served after {took * 1000:.0f} ms")


def test_what_a_worker_started_goes_with_it(server, figure):
    mark = server.log_mark()
    began = time.monotonic()
    lines = server.lines(FAULTS, "abandon", "streaming", COUNT)
    assert "signal 6" in lines[-1]["error"]["message"]
    child = int(server.wait_log(r"child pid=(\d+)", mark)[1])
    wait_until(lambda: not process_exists(child), 1 * SLOWNESS, "the child gone")
    figure(f"child gone after {(time.monotonic() - began) * 1000:.0f} ms")
    server.wait_log(" worker_ready ", mark)
    assert_serves_again(server)


def kill_in_startup(server):
    """Once the new worker hangs in its hook: the hook has removed the file."""
    wait_until(lambda: not os.path.exists(os.path.join(server.folder, "startup")))
    os.kill(worker(server)["pid"], signal.SIGKILL)
