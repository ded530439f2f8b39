# SPDX-License-Identifier: MIT
"""The whole server under valgrind: no byte is read before it is written or after it is freed, and none is lost."""

import os
import signal

import pytest

import wire
from server import IS_SANITIZED, child_called, example, wait_until

NUMBERS, MISBEHAVE = "local/numbers:v1", "local/misbehave:v1"
VALGRIND = ("valgrind", "-q", "--error-exitcode=99", "--leak-check=full", "--child-silent-after-fork=yes")

pytestmark = [pytest.mark.bounded(60),
              pytest.mark.skipif(IS_SANITIZED, reason="a sanitizer looks for the same, and cannot run under valgrind")]


def test_a_server_that_has_seen_all_kinds_of_ends(start):
    server = start(example("numbers.so"), example("misbehave.so"), command=VALGRIND,
                   options=["--concurrency", "4", "--recycle-runs", "10", "--log-level", "debug"])
    assert len(server.lines(NUMBERS, 3, "a large request " * 30_000, 0)) == 3
    with server.stream(NUMBERS, 1_000_000, "x", 1) as leaving:
        leaving.next()
    with server.stream(NUMBERS, 1_000_000, "x" * 100, 0):  # one that never reads
        wait_until(lambda: server.workers(NUMBERS)[0]["active"] >= 1)
    mark = server.log_mark()
    pid = server.workers(NUMBERS)[0]["pid"]
    os.kill(pid, signal.SIGKILL)
    server.wait_worker(NUMBERS, 0, pid, mark)
    os.kill(child_called(server.process.pid, "mr-spawner"), signal.SIGKILL)
    server.wait_log(" spawner_start ", mark)
    os.kill(child_called(server.process.pid, "mr-reader"), signal.SIGKILL)
    server.wait_log(" reader_start ", mark)
    assert len(server.lines(NUMBERS, 3, "a large request " * 30_000, 0)) == 3
    for _ in range(12):  # recycled meanwhile
        assert len(server.lines(NUMBERS, 3, "x", 0)) == 3
    for how in ("fail", "crash", "exit"):
        assert server.lines(MISBEHAVE, how, 2, None)[-1]["error"]
    for path in ("/metrics", "/v4/pipelines", "/v4/runs", "/readyz", "/nowhere"):
        assert server.get(path).status in (200, 404, 503)
    with wire.Connection(server.port) as connection:
        connection.send(b"POST /v4/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n{{{")
        assert connection.response().status == 422
    server.stop()  # with exit code 0: valgrind's own is 99
    assert not [line for line in server.log if line.startswith("==")]
