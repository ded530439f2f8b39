# SPDX-License-Identifier: MIT
"""The process that fetches URLs is killed or hangs: what it had under way fails, and nobody else notices."""

import contextlib
import json
import os
import signal
import time

import pytest

import wire
from fetching import Target, says, whole
from phases import NUMBERS
from server import SLOWNESS, child_called, example, process_exists

LOOK = "me/look:v1"
SILENCE_S = 30


@pytest.fixture
def server(start):
    files = os.path.join(os.path.dirname(__file__), "..", "system", "pipelines", "files.py")
    return start(f"{LOOK}={files}:looks", example("numbers.so"),
                 options=["--files", "files", "--fetch-allow", "127.0.0.1", "--concurrency", "4"])


def endless(connection, _head):
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)
        time.sleep(0.001)


@contextlib.contextmanager
def fetching_run(server):
    """A run whose file is on its way: the connection that waits for its answer, and the fetcher."""
    with contextlib.closing(Target(endless)) as target, server.connect() as connection:
        inputs = [{"type": "file", "file_url": target.url("/endless")}, {"type": "dictionary", "value": {}}]
        connection.request("POST", "/v4/runs", body_of(inputs))
        fetcher = child_called(server.process.pid, "mr-fetcher")
        while not target.heads:
            time.sleep(0.005)
        yield connection, fetcher


def body_of(inputs):
    return json.dumps({"pipeline": LOOK, "inputs": inputs}).encode()


def fetched(server):
    """Another run's file comes."""
    with contextlib.closing(Target(says(whole(b"a cat")))) as target:
        answer = server.ask("POST", "/v4/runs", body_of([{"type": "file", "file_url": target.url("/cat.txt")},
                                                         {"type": "dictionary", "value": {}}]))
    assert wire.output_of(wire.check_line(answer.body))["text"] == "a cat"


def assert_failed(connection):
    answer = connection.response()
    assert answer.status == 503
    assert wire.check_line(answer.body)["error"]["message"].endswith("/endless: the process that does it failed")


def test_killed(server, figure):
    """The run whose file it was fetching is answered 503; the next one fetches for the next run."""
    with fetching_run(server) as (connection, fetcher):
        began = time.monotonic()
        os.kill(fetcher, signal.SIGKILL)
        assert_failed(connection)
        fetched(server)
        took = time.monotonic() - began
    assert not process_exists(fetcher)
    assert server.metric("millrace_fetcher_losses_total") == 1
    figure(f"the next file after {took * 1000:.0f} ms")


@pytest.mark.bounded(60)
def test_hanging(server, figure):
    """It is given up after a while; streams go on meanwhile."""
    with fetching_run(server) as (connection, fetcher):
        os.kill(fetcher, signal.SIGSTOP)
        began = time.monotonic()
        with server.stream(NUMBERS, 200, "neighbour", 2) as neighbour:
            assert len(list(neighbour)) == 200
        assert_failed(connection)
        took = time.monotonic() - began
        assert took < (SILENCE_S + 2) * SLOWNESS
        fetched(server)
    assert not process_exists(fetcher)
    figure(f"given up after {took:.1f} s")


def test_stopped_server_leaves_none(server):
    fetched(server)
    fetcher = child_called(server.process.pid, "mr-fetcher")
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert not process_exists(fetcher)
