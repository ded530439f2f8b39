# SPDX-License-Identifier: MIT
"""The process that starts the workers is killed or hangs: runs go on, and workers are started again."""

import os
import signal
import time

import pytest

import wire
from phases import COUNT, FAULTS, NUMBERS, worker
from server import SLOWNESS, child_called, example, process_exists, wait_until

OPTIONS = ["--keepalive", "0", "--log-level", "debug"]
ANSWER_S = 5


@pytest.fixture
def server(start, built):
    return start(f"{FAULTS}={built('faults')}", example("numbers.so"), options=OPTIONS)


def spawner_of(server):
    return child_called(server.process.pid, "mr-spawner")


def assert_serves(server):
    lines = server.lines(FAULTS, "none", "first", COUNT)
    assert [wire.output_of(line) for line in lines] == list(range(COUNT))


def assert_goes_on(stream):
    assert [wire.output_of(line)["i"] for line in stream] == list(range(1, 200))


def test_killed(server, figure):
    """Nobody notices; the next one starts at once."""
    mark = server.log_mark()
    with server.stream(NUMBERS, 200, "neighbour", 2) as neighbour:
        neighbour.next()
        began = time.monotonic()
        old = spawner_of(server)
        os.kill(old, signal.SIGKILL)
        server.wait_log(" spawner_lost ", mark)
        server.wait_log(" spawner_start ", mark)
        took = time.monotonic() - began
        pid = worker(server)["pid"]
        os.kill(pid, signal.SIGKILL)
        server.wait_worker(FAULTS, 0, pid, mark)
        assert_goes_on(neighbour)
    assert_serves(server)
    assert not process_exists(old)
    assert server.metric("millrace_spawner_losses_total") == 1
    figure(f"the next one started after {took * 1000:.0f} ms")


def test_killed_with_a_worker(server, figure):
    """The run that waits is served by the worker that the next spawner starts."""
    mark = server.log_mark()
    spawner, pid = spawner_of(server), worker(server)["pid"]
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    os.kill(spawner, signal.SIGKILL)
    server.wait_log(f" worker_exit pipeline={FAULTS} ", mark)
    assert_serves(server)
    figure(f"complete after {(time.monotonic() - began) * 1000:.0f} ms")


@pytest.mark.bounded(60)
def test_hanging(server, figure):
    """It is given up after a while, which costs the workers that wait for it, and nobody else."""
    mark = server.log_mark()
    spawner, pid = spawner_of(server), worker(server)["pid"]
    os.kill(spawner, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: worker(server)["state"] == "spawning")
    began = time.monotonic()
    slowest = 0
    with server.connect() as connection:
        while not server.log_since(mark, " spawner_lost "):
            asked = time.monotonic()
            assert len(wire.Stream(connection, wire.run_body(NUMBERS, [10, "x", 0])).all()) == 10
            slowest = max(slowest, time.monotonic() - asked)
            time.sleep(0.02)
    took = time.monotonic() - began
    assert took < (ANSWER_S + 1) * SLOWNESS
    server.wait_worker(FAULTS, 0, pid, mark)
    assert_serves(server)
    assert not process_exists(spawner)
    figure(f"given up after {took:.1f} s; slowest other run {slowest * 1000:.1f} ms")


def test_stopped_server_leaves_none(server):
    spawner = spawner_of(server)
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert not process_exists(spawner)
