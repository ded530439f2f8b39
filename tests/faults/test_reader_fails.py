# SPDX-License-Identifier: MIT
"""The process that reads large bodies is killed or hangs: one body is lost with it, and nobody else notices."""

import contextlib
import os
import signal
import time

import pytest

import wire
from phases import FAULTS, NUMBERS
from server import SLOWNESS, child_called, example, process_exists, wait_until

OPTIONS = ["--keepalive", "0", "--log-level", "debug"]
ANSWER_S = 10
LARGE = "a large request " * 30_000


@pytest.fixture
def server(start, built):
    return start(f"{FAULTS}={built('faults')}", example("numbers.so"), options=OPTIONS)


def reader_of(server):
    return child_called(server.process.pid, "mr-reader")


def upload(stack, server):
    """A large request, which the reader is asked for or which waits for it."""
    count = server.metric("millrace_reader_bodies_total")
    connection = stack.enter_context(server.connect())
    connection.request("POST", "/v4/runs", wire.run_body(NUMBERS, [1, LARGE, 0]))
    wait_until(lambda: server.metric("millrace_reader_bodies_total") == count + 1)
    return connection


def assert_goes_on(stream, count):
    assert [wire.output_of(line)["i"] for line in stream] == list(range(1, count))


def test_killed(server, figure):
    """Its body is answered 500, those that wait are read by the next one."""
    with contextlib.ExitStack() as stack:
        neighbour = stack.enter_context(server.stream(NUMBERS, 200, "neighbour", 2))
        neighbour.next()
        reader = reader_of(server)
        os.kill(reader, signal.SIGSTOP)
        lost, waiting = upload(stack, server), upload(stack, server)
        began = time.monotonic()
        os.kill(reader, signal.SIGKILL)
        assert lost.response().status == 500
        assert_goes_on(neighbour, 200)
        assert waiting.response().status == 200
        took = time.monotonic() - began
    assert not process_exists(reader)
    assert server.metric("millrace_reader_losses_total") == 1
    figure(f"complete after {took * 1000:.0f} ms")


@pytest.mark.bounded(60)
def test_hanging(server, figure):
    """It is given up after a while; small requests are served meanwhile."""
    mark = server.log_mark()
    with contextlib.ExitStack() as stack:
        reader = reader_of(server)
        os.kill(reader, signal.SIGSTOP)
        lost, waiting = upload(stack, server), upload(stack, server)
        began = time.monotonic()
        slowest = 0
        connection = stack.enter_context(server.connect())
        while not server.log_since(mark, " reader_lost "):
            asked = time.monotonic()
            connection.request("GET", "/livez")
            assert connection.response().status == 200
            slowest = max(slowest, time.monotonic() - asked)
            time.sleep(0.02)
        took = time.monotonic() - began
        assert took < (ANSWER_S + 1) * SLOWNESS
        assert lost.response().status == 500
        assert waiting.response().status == 200
    assert not process_exists(reader)
    figure(f"given up after {took:.1f} s; slowest `/livez` {slowest * 1000:.1f} ms")


def test_stopped_server_leaves_none(server):
    reader = reader_of(server)
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert not process_exists(reader)
