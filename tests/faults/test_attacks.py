# SPDX-License-Identifier: MIT
"""Clients that attack: slowhttptest's four ways, and more connections than there are places."""

import re
import shutil
import socket
import subprocess
import threading
import time

import pytest

import wire
from phases import NUMBERS
from server import SLOWNESS, example, wait_until

ATTACK_S = 5
CONNECTIONS = 400
OPTIONS = ("--head-timeout", "1s", "--stall-timeout", "1s", "--concurrency", "64", "--log-level", "warning")
ATTACKS = {
    "heads": ("-H", "-i", "1", "-x", "24"),
    # Less than the 1 KiB/s that a body must have after its grace of 10 s.
    "bodies": ("-B", "-i", "1", "-x", "10", "-s", "8192", "-f", "application/json"),
    "reading": ("-X", "-k", "10", "-n", "1", "-w", "1", "-y", "64", "-z", "1"),
    "ranges": ("-R", "-a", "1", "-b", "3000"),
}


class Meanwhile:
    """A client that asks for one-line runs, one after the other, as long as the block lasts."""

    def __init__(self, server):
        self.server = server
        self.times_s = []
        self.problem = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self):
        try:
            while not self._over.wait(0.01):
                began = time.monotonic()
                assert len(self.server.lines(NUMBERS, 1, "x", 0)) == 1
                self.times_s.append(time.monotonic() - began)
        except BaseException as problem:  # told to the test
            self.problem = problem

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def check(self):
        if self.problem:
            raise self.problem
        assert len(self.times_s) > 20
        assert max(self.times_s) < 1 * SLOWNESS

    def __str__(self):
        times = sorted(self.times_s)
        return (f"{len(times)} other runs, p99 {times[int(len(times) * 0.99)] * 1000:.1f} ms, "
                f"worst {times[-1] * 1000:.1f} ms")


def connection_count(server):
    return server.metric("millrace_connections")


@pytest.mark.skipif(not shutil.which("slowhttptest"), reason="slowhttptest is not installed")
@pytest.mark.bounded(90)
@pytest.mark.parametrize("attack", ATTACKS)
def test_slow_http(start, figure, attack):
    server = start(example("numbers.so"), options=OPTIONS)
    path = "/v4/runs/stream" if attack == "bodies" else "/metrics"
    with Meanwhile(server) as other:
        result = subprocess.run(
            ["slowhttptest", *ATTACKS[attack], "-c", str(CONNECTIONS), "-r", str(CONNECTIONS), "-l", str(ATTACK_S),
             "-p", "3", "-u", server.url + path], capture_output=True, text=True, timeout=60, check=False)
    other.check()
    said = re.sub(r"\x1b\[[0-9;]*m", "", result.stdout)
    assert re.findall(r"service available:\s+(\w+)", said)[-1] == "YES", said
    assert server.metric("millrace_connections_accepted_total") >= CONNECTIONS
    wait_until(lambda: connection_count(server) == 1, timeout_s=30 * SLOWNESS, what="no connection left")
    figure(str(other))


def test_a_flood_of_connections(start, figure):
    places = 50
    server = start(example("numbers.so"), options=(*OPTIONS, "--max-connections", str(places)))
    with server.stream(NUMBERS, 200, "x", 10) as inside:
        inside.next()
        outside = [socket.create_connection(("127.0.0.1", server.port), timeout=wire.TIMEOUT_S)
                   for _ in range(CONNECTIONS)]
        answers = []
        for client in outside[places - 1:]:
            data = client.recv(4096)
            answers.append(data.split(b"\r\n", 1)[0])
        for client in outside:
            client.close()
        assert len(inside.all()) == 199
    assert answers == [b"HTTP/1.1 503 Service Unavailable"] * (CONNECTIONS - places + 1)
    wait_until(lambda: connection_count(server) == 1, what="no connection left")
    assert len(server.lines(NUMBERS, 3, "x", 0)) == 3
    figure(f"{len(answers)} told 503")
