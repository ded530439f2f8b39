# SPDX-License-Identifier: MIT
"""No descriptors, no memory, no room for the log, a clock that jumps: while a run is in each of its phases."""

import contextlib
import json
import os
import re
import resource
import select
import signal
import struct
import time

import pytest

import wire
from phases import COUNT, FAULTS, PHASES, Held, worker
from server import IS_SANITIZED, SLOWNESS, example, wait_until

OPTIONS = ["--cancel-grace", "300ms", "--keepalive", "0", "--log-level", "debug", "--max-connections", "64",
           "--output-memory", "16m"]


@pytest.fixture
def server(start, built):
    return start(f"{FAULTS}={built('faults')}", example("numbers.so"), options=OPTIONS)


def finish(held):
    """The run goes on to its end, and is whole."""
    held.release()
    lines = list(held.stream)
    assert len(lines) == held.count - (COUNT - 1 if held.phase == "streaming" else 0), lines[-1:]
    assert held.stream.trailers["Millrace-Run-State"] == "completed"


def held_at(server, phase):
    """A run that goes on by itself when it is released, or a moment later."""
    return Held(server, phase, "brief")


@contextlib.contextmanager
def limited(server, kind, value):
    before = resource.prlimit(server.process.pid, kind)
    resource.prlimit(server.process.pid, kind, (value, before[1]))
    try:
        yield
    finally:
        resource.prlimit(server.process.pid, kind, before)


def kill_worker_until(server, mark, pattern):
    """In the starting phase: the next worker cannot start while the limit holds."""
    os.kill(worker(server)["pid"], signal.SIGKILL)
    server.wait_log(pattern, mark)


@pytest.fixture
def crowded(start, built):
    """A server that inherited so many descriptors that it cannot have all it counts on: 16 connections, two workers,
    and a successor."""
    limit = 64 + 3 * 10 + 16
    crowd = 'for ((fd = 10; fd < 88; fd++)); do eval "exec $fd</dev/null"; done; exec prlimit --nofile="$@"'
    server = start(f"{FAULTS}={built('faults')}", example("numbers.so"), command=("bash", "-c", crowd, "bash", str(limit)),
                   options=[*OPTIONS, "--max-connections", "16"])
    room = limit - len(os.listdir(f"/proc/{server.process.pid}/fd"))
    assert 2 < room < 16, "else the limit on connections is what is reached"
    return server


@pytest.mark.parametrize("phase", PHASES)
def test_descriptors(crowded, figure, phase):
    """Runs on open connections go on; new clients wait in the backlog; a worker that cannot be started is
    tried again; all is well when there are descriptors again."""
    server = crowded
    mark = server.log_mark()
    with held_at(server, phase) as held, server.connect() as idle:
        idle.request("GET", "/livez")
        assert idle.response().status == 200
        with contextlib.ExitStack() as crowd:
            # More than there are descriptors, and more than those that a dead worker gives back.
            waiting = [crowd.enter_context(server.connect()) for _ in range(40)]
            server.wait_log(" accept_failed ", mark)
            if phase == "starting":
                [pid] = {int(found[1]) for line in server.log_since(mark, " worker_start ")
                         if (found := re.search(rf"pipeline={FAULTS} .*pid=(\d+)", line))}
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                held.release()  # the next ones are quick
                server.wait_log(" worker_start_failed ", mark)
            else:
                finish(held)
            idle.request("GET", "/livez")
            assert idle.response().status == 200
        began = time.monotonic()
        if phase == "starting":
            finish(held)
        assert server.get("/livez").status == 200
        figure(f"{len(waiting)} clients too many; served {(time.monotonic() - began) * 1000:.0f} ms after they left")
    wait_until(lambda: server.metric("millrace_connections") == 1)


# Large ones would be files, which take no address space.
BODIES, BODY_BYTES = 60, 250_000


def bodies_refused(server):
    """How those bodies were answered for which there is no memory, of many that all lack their last byte."""
    refused = []
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in range(BODIES)]
        for connection in connections:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.send(connection.head("POST", "/v4/runs/stream", {"Content-Length": BODY_BYTES}))
                connection.send(b" " * (BODY_BYTES - 1))
        assert server.get("/livez").status == 200  # what came before has been looked at
        readable, _, _ = select.select([connection.socket for connection in connections], [], [], wire.TIMEOUT_S)
        for connection in connections:
            if connection.socket in readable:
                try:
                    refused.append(connection.response().status)
                except (wire.Closed, ConnectionResetError):
                    refused.append("closed")
    assert refused, "there was memory for all of them"
    return refused


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.skipif(IS_SANITIZED, reason="address space cannot be limited under a sanitizer")
def test_memory(server, figure, phase):
    """A request that needs memory that is not there gets 503, or its connection is closed; the others go on; a
    worker that cannot be started is tried again."""
    mark = server.log_mark()
    with held_at(server, phase) as held:
        with open(f"/proc/{server.process.pid}/statm", encoding="ascii") as file:
            size = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        with limited(server, resource.RLIMIT_AS, size + (1 << 20)):
            began = time.monotonic()
            refused = bodies_refused(server)
            took = time.monotonic() - began
            assert set(refused) <= {503, "closed"}, refused
            if phase == "starting":
                kill_worker_until(server, mark, r" worker_(start_failed|exit) ")
                held.release()
            else:
                finish(held)
        if phase == "starting":
            finish(held)
        figure(f"of {BODIES} bodies that arrive {len(refused)} refused with 503 or closed in {took * 1000:.0f} ms")
    assert len(server.lines(FAULTS, "none", "first", COUNT)) == COUNT


@pytest.fixture
def mute(start, built):
    """A server whose log goes to a full disk: what the kernel says there is what it says for /dev/full."""
    return start(f"{FAULTS}={built('faults')}", example("numbers.so"), options=OPTIONS, deaf=True,
                 command=("/bin/sh", "-c", 'exec "$0" "$@" 2>/dev/full'))


@pytest.mark.parametrize("phase", PHASES)
def test_disk(mute, figure, phase):
    """Nothing but log lines is lost, and they are counted."""
    began = time.monotonic()
    if phase == "starting":
        pid = worker(mute)["pid"]
        os.kill(pid, signal.SIGKILL)
        # Else the run might be given to the one that just died.
        wait_until(lambda: (entry := worker(mute))["pid"] != pid or entry["state"] != "ready")
        lines = mute.lines(FAULTS, "none", "first", COUNT)
    elif phase == "queued":
        with mute.stream(FAULTS, "brief", "first", COUNT) as ahead, mute.stream(FAULTS, "none", "first", COUNT) as one:
            assert len(ahead.all()) == COUNT
            lines = one.all()
    else:
        lines = mute.lines(FAULTS, "brief", phase, COUNT)
    assert [wire.output_of(line) for line in lines] == list(range(COUNT))
    took = time.monotonic() - began
    assert took < 2 * SLOWNESS
    lost = mute.metric("millrace_log_lines_dropped_total")
    # As many as there were, not one more for each that could not be said.
    assert 2 <= lost < 50
    figure(f"run complete after {took * 1000:.0f} ms, {lost:.0f} lines lost")


@pytest.fixture
def jumpy(start, built, tmp_path):
    """A server, and a function that makes its wall clock jump by so many seconds."""
    if IS_SANITIZED:
        pytest.skip("nothing can be preloaded before a sanitizer")
    path = tmp_path / "jump"
    path.write_bytes(struct.pack("=q", 0))

    def jump(seconds):
        with open(path, "r+b") as file:
            file.write(struct.pack("=q", seconds))

    return start(f"{FAULTS}={built('faults')}", example("numbers.so"), options=OPTIONS,
                 environment={"LD_PRELOAD": built("clock"), "CLOCK_JUMP": str(path)}), jump


@pytest.mark.parametrize("seconds", [86400, -86400, -1_700_000_000])
@pytest.mark.parametrize("phase", PHASES)
def test_clock(jumpy, figure, phase, seconds):
    """Limits and pauses are measured on the monotonic clock: a jump of the wall clock ends and delays nothing,
    and is seen in updated_at alone, also by a machine that wakes up in the seventies."""
    server, jump = jumpy
    with held_at(server, phase) as held:
        began = time.monotonic()
        jump(seconds)
        held.release()
        lines = [json.loads(line) for line in held.stream.raw_lines()]
        took = time.monotonic() - began
        assert all(line["error"] is None for line in lines)
        assert held.stream.trailers["Millrace-Run-State"] == "completed"
        moved = lines[-1]["updated_at"] - lines[-1]["created_at"]
        if phase != "finishing":  # else its lines were made before
            assert abs(moved - seconds) < 60
        assert took < 2 * SLOWNESS
    assert server.get("/v4/runs").status == 200
    figure(f"run complete {took * 1000:.0f} ms after a jump of {seconds} s")
    assert not [line for line in server.log if re.search(r"error=timeout|client_stalled|worker_kill", line)]


@pytest.fixture
def group():
    """A control group of version 1 or 2 whose memory is limited, below the one of this process."""
    with open("/proc/self/cgroup", encoding="ascii") as file:
        lines = [line.rstrip("\n").split(":", 2) for line in file]
    parents = [f"/sys/fs/cgroup/memory{path}" for _, names, path in lines if names == "memory"]
    limit = "memory.limit_in_bytes"
    if not parents:
        parents, limit = [f"/sys/fs/cgroup{path}" for _, names, path in lines if names == ""], "memory.max"
    folder = os.path.join(parents[0], f"millrace-faults-{os.getpid()}")
    try:
        os.mkdir(folder)
        with open(os.path.join(folder, limit), "w", encoding="ascii") as file:
            file.write(str(200 << 20))
    except OSError as error:
        with contextlib.suppress(OSError):
            os.rmdir(folder)
        pytest.skip(f"no control group can be made: {error}")
    yield folder

    def is_removed():
        with contextlib.suppress(OSError):
            os.rmdir(folder)
        return not os.path.exists(folder)

    wait_until(is_removed, what="the control group empty")


@pytest.mark.skipif(IS_SANITIZED, reason="a sanitizer needs more memory than the group has")
def test_oom_killer(group, start, built, figure):
    """What the kernel kills for memory is `oom`, not just any SIGKILL; a SIGKILL afterwards is one again."""
    with start(f"{FAULTS}={built('faults')}", options=OPTIONS,
               command=("/bin/sh", "-c", f'echo $$ >{group}/cgroup.procs; exec "$0" "$@"')) as server:
        pid = worker(server)["pid"]
        with server.stream(FAULTS, "devour", "streaming", COUNT) as stream:
            began = time.monotonic()
            *chunks, last = list(stream)
            took = time.monotonic() - began
        assert [wire.output_of(line) for line in chunks] == list(range(COUNT - 1))
        assert last["error"]["type"] == "oom"
        assert "OOM killer" in last["error"]["message"]
        server.wait_worker(FAULTS, 0, pid)
        assert len(server.lines(FAULTS, "none", "first", COUNT)) == COUNT
        with server.stream(FAULTS, "hang", "first", COUNT) as stream:
            wait_until(lambda: worker(server)["active"] == 1)
            os.kill(worker(server)["pid"], signal.SIGKILL)
            assert list(stream)[-1]["error"]["type"] == "pipeline_error"
    figure(f"killed and told after {took * 1000:.0f} ms")
