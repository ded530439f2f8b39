# SPDX-License-Identifier: MIT
"""The server is told to stop, or killed, while a run is in each of its phases."""

import contextlib
import os
import signal
import time

import pytest

import wire
from phases import COUNT, FAULTS, PHASES, Held, worker
from server import SLOWNESS, children_of, example, process_exists, wait_until

STOP_S = 0.3
OPTIONS = ["--stop-timeout", f"{int(STOP_S * 1000)}ms", "--cancel-grace", "300ms", "--keepalive", "0",
           "--log-level", "debug"]


@pytest.fixture
def server(start, built):
    return start(f"{FAULTS}={built('faults')}", example("numbers.so"), options=OPTIONS)


def pids_of(server):
    return [entry["pid"] for pointer in (FAULTS, "local/numbers:v1") for entry in server.workers(pointer)]


@pytest.mark.parametrize("phase", PHASES)
def test_sigterm(server, figure, phase):
    """Who waits is told at once; who runs may finish, and is told at the limit; the exit status is 0."""
    pids = pids_of(server)
    with Held(server, phase) as held:
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        lines = list(held.stream)
        told = time.monotonic() - began
        if phase == "finishing":
            assert len(lines) == held.count
            assert held.stream.trailers["Millrace-Run-State"] == "completed"
        else:
            error = lines[-1]["error"]
            assert error["type"] == "unknown"
            assert "the server is stopping" in error["message"]
            assert told < (0.2 if phase in ("queued", "starting") else STOP_S + 0.5) * SLOWNESS
        if phase in ("queued", "starting"):
            assert lines[-1]["state"] == "no_resources_available"
            assert held.stream.response.status == 503
        assert server.wait_exit() == 0
        figure(f"client answered after {told * 1000:.1f} ms, server gone after "
               f"{(time.monotonic() - began) * 1000:.0f} ms")
    assert not any(process_exists(pid) for pid in pids)


@pytest.mark.parametrize("phase", PHASES)
def test_sigkill(server, start, built, figure, phase):
    """The client sees a stream without its end; no process is left; the port can be taken again at once."""
    pids, port = pids_of(server), server.port
    with Held(server, phase) as held:
        began = time.monotonic()
        os.kill(server.process.pid, signal.SIGKILL)
        if phase == "finishing":
            # What the kernel had taken is delivered, and that may be all of it.
            with contextlib.suppress(wire.Closed):
                list(held.stream)
        else:
            with pytest.raises(wire.Closed):
                list(held.stream)
        wait_until(lambda: not any(process_exists(pid) for pid in pids), 1 * SLOWNESS, "no worker left")
        gone = time.monotonic() - began
        assert server.wait_exit() == -signal.SIGKILL
        successor = start(f"{FAULTS}={built('faults')}", options=[*OPTIONS, "--listen", f"127.0.0.1:{port}"])
        ready = time.monotonic() - began
        with wire.Connection(port) as connection:
            lines = wire.Stream(connection, wire.run_body(FAULTS, ["none", "first", COUNT])).all()
        assert [wire.output_of(line) for line in lines] == list(range(COUNT))
        assert worker(successor)["active"] == 0
    figure(f"no worker left after {gone * 1000:.0f} ms, the next server ready after {ready * 1000:.0f} ms")


def test_sigkill_takes_what_workers_started_with_it(server, figure):
    """Also processes that left the worker's group."""
    mark = server.log_mark()
    with server.stream(FAULTS, "settle", "first", COUNT) as stream:
        wait_until(lambda: len(server.log_since(mark, r"child pid=")) == 2)
        children = [int(line.rsplit("=", 1)[1].strip('"')) for line in server.log_since(mark, r"child pid=")]
        own = [pid for pid in children_of(server.process.pid) if pid not in pids_of(server)]
        left = [*pids_of(server), *children, *own]
        assert all(process_exists(pid) for pid in left)
        began = time.monotonic()
        os.kill(server.process.pid, signal.SIGKILL)
        with pytest.raises(wire.Closed):
            list(stream)
        wait_until(lambda: not any(process_exists(pid) for pid in left), 1 * SLOWNESS, "nothing left")
        gone = time.monotonic() - began
    assert server.wait_exit() == -signal.SIGKILL
    figure(f"nothing left after {gone * 1000:.0f} ms")
