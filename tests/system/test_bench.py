# SPDX-License-Identifier: MIT
"""`millrace bench` says what came: counts, times, and everything that is wrong with an answer."""

import json
import os
import pty
import socket
import subprocess
import threading
import time

import pytest

from server import MILLRACE, SLOWNESS, example

NUMBERS = "local/numbers:v1"
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def bench(url, *words, expect=0):
    result = subprocess.run([MILLRACE, "bench", "--url", url, "--json", *words], check=False, capture_output=True,
                            text=True, timeout=50 * SLOWNESS)
    assert result.returncode == expect, result.stderr
    return json.loads(result.stdout) if result.stdout.startswith("{") else result.stderr


@pytest.fixture(scope="module")
def server(start_shared):
    return start_shared(example("numbers.so"), options=["--concurrency", "64", "--queue", "4000"])


class Canned:
    """A server that answers every request with the same bytes, and closes unless told to keep."""

    def __init__(self, answer, keep=False):
        self.answer, self.keep = answer, keep
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            while connection.recv(65536):
                for piece in self.answer if isinstance(self.answer, list) else [self.answer]:
                    connection.sendall(piece)
                if not self.keep:
                    return


@pytest.fixture
def canned():
    servers = []

    def start(*arguments, **more):
        servers.append(Canned(*arguments, **more))
        return servers[-1].url

    yield start
    for one in servers:
        # A thread in accept() would wait on, and hold the number of a descriptor for it.
        one.listener.shutdown(socket.SHUT_RDWR)
        one.listener.close()


def chunk(*lines):
    data = b"".join(line + b"\n" for line in lines)
    return b"%x\r\n%s\r\n" % (len(data), data)


def line(number, text=b"x", error=b"null"):
    outputs = b'[{"type":"dictionary","value":{"i":%d,"chunk":"%s"},"file":null}]' % (number, text)
    return b'{"outputs":%s,"error":%s}' % (outputs if error == b"null" else b"null", error)


FAILED = line(0, error=b'{"type":"timeout","message":"","traceback":null}')


# ---- of a real server ---------------------------------------------------------------------------------


def test_whole_answers_are_complete_and_their_lines_bytes_and_times_counted(server):
    figures = bench(server.url, NUMBERS, "100", "x", "1", "--connections", "20", "--requests", "40", "--lines", "100",
                    "--check")
    assert {name: figures[name] for name in ("requests", "complete", "failed", "truncated", "wrong", "left", "lines")} \
        == {"requests": 40, "complete": 40, "failed": 0, "truncated": 0, "wrong": 0, "left": 0, "lines": 4000}
    assert figures["bytes"] > 4000 * 300
    assert figures["latency_ns"]["count"] == 4000
    assert figures["first_line_ns"]["count"] == figures["total_ns"]["count"] == 40
    assert 1e6 <= figures["first_line_ns"]["p50"] < figures["total_ns"]["p50"]
    assert 100e6 <= figures["total_ns"]["p50"] <= figures["total_ns"]["max"]
    assert 0 < figures["gap_ns"]["count"] <= 4000 - 40
    assert 0.2 <= figures["seconds"] and 0 < figures["cpu_seconds"] < 10 * SLOWNESS


def test_a_flood_of_lines_that_reads_cut_is_looked_into(server):
    inputs = [{"type": "integer", "value": 30}, {"type": "string", "value": "x" * 100_000},
              {"type": "integer", "value": 0}]
    figures = bench(server.url, "--body", json.dumps({"inputs": inputs}), "--connections", "3", "--requests", "3",
                    "--lines", "30", "--check")
    assert (figures["complete"], figures["lines"], figures["latency_ns"]["count"]) == (3, 90, 90)


def test_server_sent_events_are_counted_like_lines(server):
    figures = bench(server.url, NUMBERS, "50", "x", "0", "--events", "--requests", "2", "--lines", "50", "--check")
    assert (figures["complete"], figures["lines"], figures["latency_ns"]["count"]) == (2, 100, 100)


def test_leavers_leave_and_the_others_are_complete(server):
    figures = bench(server.url, NUMBERS, "300", "x", "1", "--connections", "10", "--requests", "10", "--leavers", "4",
                    "--leave-after", "5", "--lines", "300")
    assert (figures["complete"], figures["left"], figures["truncated"]) == (6, 4, 0)


def test_slow_clients_read_at_their_rate_and_do_not_hold_up_the_end(server):
    flood = [NUMBERS, "1000000", "x", "0", "--connections", "2", "--requests", "2", "--slow", "2", "--duration", "1s"]
    nothing = bench(server.url, *flood)
    # Nobody but slow clients: there is nothing to wait for.
    assert (nothing["left"], nothing["lines"], nothing["seconds"] < 1) == (2, 0, True)
    some = bench(server.url, NUMBERS, "4000", "x", "1", "--connections", "3", "--requests", "3", "--slow", "2",
                 "--slow-rate", "20k", "--duration", "1500ms")
    # One that reads what comes, less than 400 bytes each millisecond; and two that read 20 KiB a second.
    assert some["left"] == 3
    most = (some["seconds"] + 0.1) * 1000 * 400 + 2 * (some["seconds"] * 20480 + 8192)
    assert 2 * 20480 < some["bytes"] < most


def test_idle_connections_are_held_and_those_that_the_server_closes_counted(server, start):
    figures = bench(server.url, NUMBERS, "300", "x", "1", "--idle", "50", "--requests", "1")
    assert (figures["idle"], figures["idle_closed"], figures["complete"]) == (50, 0, 1)
    hasty = start(example("numbers.so"), options=["--idle-timeout", "100ms"])
    figures = bench(hasty.url, NUMBERS, "2500", "x", "1", "--idle", "50", "--requests", "1")
    assert (figures["idle"], figures["idle_closed"], figures["complete"]) == (50, 50, 1)


def test_idle_connections_need_no_request(server):
    figures = bench(server.url, "--connections", "0", "--idle", "10", "--duration", "200ms")
    assert (figures["idle"], figures["requests"]) == (10, 0)
    assert 0.2 <= figures["seconds"]


def test_the_warm_up_is_not_counted(server):
    before, began = server.metric("millrace_lines_total"), time.monotonic()
    figures = bench(server.url, NUMBERS, "100000", "x", "1", "--warmup", "500ms", "--duration", "1s", "--check")
    sent, took = server.metric("millrace_lines_total") - before, time.monotonic() - began
    assert figures["seconds"] <= took - 0.5
    assert figures["warmup_lines"] > 0
    assert figures["latency_ns"]["count"] == figures["lines"] > 0
    # Each line that came is in one of both.
    assert figures["warmup_lines"] + figures["lines"] <= sent


def test_clients_begin_spread_over_the_ramp(server):
    # One begins in each fortieth of the second; of each a line every millisecond.
    paced = bench(server.url, NUMBERS, "1000000", "x", "1", "--connections", "40", "--ramp", "1s", "--duration", "1s")
    assert 10 * 1000 / SLOWNESS < paced["lines"] < 30 * 1000
    assert paced["requests"] >= 38


def test_a_ramp_ends_with_the_requests(server):
    figures = bench(server.url, NUMBERS, "1", "x", "0", "--connections", "1000", "--requests", "5", "--ramp", "50s")
    assert (figures["complete"], figures["seconds"] < 5 * SLOWNESS) == (5, True)


def test_thousands_of_connections_take_their_turns(server):
    figures = bench(server.url, NUMBERS, "3", "x", "0", "--connections", "3000", "--requests", "3000", "--lines", "3",
                    "--check")
    assert figures["complete"] == figures["requests"] == 3000


# ---- what is wrong ------------------------------------------------------------------------------------


@pytest.mark.parametrize("numbers, words, outcome", [
    ((0, 1, 2), [], "complete"),
    ((0, 2, 1), [], "complete"),
    ((0, 2, 1), ["--check"], "wrong"),
    ((1, 2, 3), ["--check"], "wrong"),
    ((0, 1, 1), ["--check"], "wrong"),
    ((0, 1), ["--lines", "3"], "wrong"),
    ((0, 1, 2, 3), ["--lines", "3"], "wrong"),
    (tuple(range(12)), ["--check", "--lines", "12"], "complete"),
])
def test_an_answer_out_of_sequence_or_of_other_length_is_wrong(canned, numbers, words, outcome):
    url = canned(HEAD + chunk(*map(line, numbers)) + END, keep=True)
    figures = bench(url, "--body", "{}", "--requests", "2", *words, expect=outcome != "complete")
    assert figures[outcome] == figures["requests"] == 2
    assert figures["lines"] == 2 * len(numbers)


@pytest.mark.parametrize("answer", [
    HEAD + chunk(line(0), FAILED) + END,
    [bytes([byte]) for byte in HEAD + chunk(line(0), FAILED) + END],
    HEAD + chunk(line(0), line(1, b"y" * 5000)) + chunk(FAILED) + END,
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\n\r\n{}\n",
], ids=["error line", "byte by byte", "behind a long line", "status"])
def test_an_error_is_a_failed_answer(canned, answer):
    figures = bench(canned(answer, keep=True), "--body", "{}", "--requests", "2", expect=1)
    assert figures["failed"] == figures["requests"] == 2


def test_a_value_that_speaks_of_errors_is_none(canned):
    text = b'\\"outputs\\":null,\\"error\\":{'
    figures = bench(canned(HEAD + chunk(line(0, text)) + END), "--body", "{}", "--requests", "1")
    assert figures["complete"] == 1


@pytest.mark.parametrize("answer", [
    HEAD + chunk(line(0)),
    HEAD + chunk(line(0))[:-20],
    b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}\n",
    HEAD[:-10],
    HEAD + b"no chunk",
    b"",
], ids=["no last chunk", "in a chunk", "too short", "in the head", "framing", "nothing"])
def test_an_answer_without_its_end_is_truncated(canned, answer):
    figures = bench(canned(answer), "--body", "{}", "--requests", "2", expect=1)
    assert figures["truncated"] == figures["requests"] == 2


def test_an_answer_that_ends_with_its_connection_is_complete(canned):
    url = canned(b"HTTP/1.0 200 OK\r\n\r\n" + line(0) + b"\n" + line(1) + b"\n")
    figures = bench(url, "--body", "{}", "--requests", "3", "--lines", "2", "--check")
    assert figures["complete"] == 3


def test_a_connection_is_kept_when_the_server_keeps_it(canned):
    figures = bench(canned(HEAD + chunk(line(0)) + END, keep=True), "--body", "{}", "--requests", "50")
    assert (figures["complete"], figures["refused"]) == (50, 0)


# ---- being used ---------------------------------------------------------------------------------------


def test_other_machines_need_a_word_more():
    assert "needs --remote" in bench("http://192.0.2.1:80", "--body", "{}", expect=2)


def test_a_pipeline_that_is_not_there_is_told_in_its_own_name(server):
    assert bench(server.url, "me/nothing:v1", expect=1).startswith("millrace: bench: the server answered with status 404")


def test_nobody_there_is_an_exit_code_of_its_own():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    bench(f"http://127.0.0.1:{port}", "--body", "{}", "--requests", "1", expect=8)


def test_progress_is_shown_on_a_terminal_and_nowhere_else(server):
    words = [MILLRACE, "bench", "--url", server.url, NUMBERS, "100000", "x", "1", "--duration", "1300ms"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the other side is closed
                break
            if not piece:
                break
            shown += piece
        assert process.wait(timeout=20) == 0
    os.close(ours)
    assert b" lines/s" in shown
    assert subprocess.run(words, check=True, capture_output=True, timeout=20).stderr == b""
