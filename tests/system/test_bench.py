# SPDX-License-Identifier: MIT
"""`millrace bench` says what came: counts, times, and everything that is wrong with an answer."""

import json
import os
import pty
import re
import socket
import subprocess
import threading
import time

import pytest

from server import MILLRACE, SLOWNESS, TOP, example

NUMBERS = "local/numbers:v1"
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def bench(url, *words, expect=0):
    result = subprocess.run([MILLRACE, "bench", "--url", url, "--json", *words], check=False, capture_output=True,
                            text=True, timeout=50 * SLOWNESS)
    assert result.returncode == expect, result.stderr
    return json.loads(result.stdout) if result.stdout.startswith("{") else result.stderr


# What an answer is counted as; of bad ones the first is told.
BAD = ["failed", "truncated", "wrong", "refused"]
KINDS = ["complete", *BAD, "left", "unfinished"]


def counts(figures):
    """What is not zero of the counts. Each request is in one of them."""
    assert figures["requests"] == sum(figures[kind] for kind in KINDS)
    return {name: figures[name] for name in ("requests", *KINDS) if figures[name]}


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
    assert counts(figures) == {"requests": 40, "complete": 40}
    assert figures["lines"] == 4000 and not any(figures[f"first_{kind}"] for kind in BAD)
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
    assert counts(figures) == {"requests": 10, "complete": 6, "left": 4}


def test_answers_under_way_at_the_end_are_a_count_of_their_own(server):
    figures = bench(server.url, NUMBERS, "1000000", "x", "1", "--connections", "5", "--duration", "500ms", "--leavers", "1",
                    "--leave-after", "1000000")
    assert counts(figures) == {"requests": 5, "unfinished": 5}


def test_with_a_warm_up_each_request_is_counted_once_or_not_at_all(server):
    figures = bench(server.url, NUMBERS, "1", "x", "1", "--connections", "8", "--warmup", "300ms", "--duration", "800ms",
                    "--leavers", "2")
    assert set(counts(figures)) <= {"requests", "complete", "left", "unfinished"}
    assert figures["complete"] > 0 and figures["left"] > 0


def test_slow_clients_read_at_their_rate_and_do_not_hold_up_the_end(server):
    flood = [NUMBERS, "1000000", "x", "0", "--connections", "2", "--requests", "2", "--slow", "2", "--duration", "1s"]
    nothing = bench(server.url, *flood)
    # Nobody but slow clients: there is nothing to wait for.
    assert (nothing["unfinished"], nothing["lines"], nothing["seconds"] < 1) == (2, 0, True)
    some = bench(server.url, NUMBERS, "4000", "x", "1", "--connections", "3", "--requests", "3", "--slow", "2",
                 "--slow-rate", "20k", "--duration", "1500ms")
    # One that reads what comes, less than 400 bytes each millisecond; and two that read 20 KiB a second.
    assert counts(some) == {"requests": 3, "unfinished": 3}
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


# ---- the first of each kind ---------------------------------------------------------------------------


def first(figures, kind):
    """What is said of the first of this kind, the only one there was."""
    assert [other for other in BAD if figures[f"first_{other}"]] == [kind]
    return figures[f"first_{kind}"]


ERROR = b'{"type":"pipeline_error","message":"it \\u00fcber\\nran","traceback":null}'


@pytest.mark.parametrize("answer, said", [
    (HEAD + chunk(line(0), line(0, error=ERROR)) + END, "status 200, pipeline_error: it über\nran"),
    (HEAD + chunk(b'event: error', b'data: ' + line(0, error=ERROR), b'', b'data: [DONE]', b'') + END,
     "status 200, pipeline_error: it über\nran"),
    (b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: %d\r\n\r\n%s\n" % (len(line(0, error=ERROR)) + 1, line(0, error=ERROR)),
     "status 429, pipeline_error: it über\nran"),
    (b'HTTP/1.1 401 Unauthorized\r\nContent-Length: 43\r\n\r\n{"detail":{"message":"Not authenticated."}}', "status 401, Not authenticated."),
    (b'HTTP/1.1 404 Not Found\r\nContent-Length: 23\r\n\r\n{"detail":"Not Found"}\n', "status 404, Not Found"),
    (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 16\r\n\r\n<html>\r\n<head>\r\n", "status 502, <html>"),
    (b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n", "status 500"),
])
def test_the_first_error_is_told_with_its_status(canned, answer, said):
    events = ["--events"] if b"event: " in answer else []
    figures = bench(canned(answer, keep=True), "--body", "{}", "--requests", "3", *events, expect=1)
    assert first(figures, "failed") == said


@pytest.mark.parametrize("numbers, words, said", [
    ((0, 2, 1), ["--check"], f"number 2 where 1 was to come: {line(2).decode()}"),
    ((0, 1), ["--lines", "3"], f"2 lines where 3 were to come, the last one: {line(1).decode()}"),
    ((), ["--lines", "3"], "0 lines where 3 were to come, the last one: "),
    ((0, 1), ["--lines", "1"], f"2 lines where 1 were to come, the last one: {line(1).decode()}"),
])
def test_a_wrong_answer_is_shown_by_one_of_its_lines(canned, numbers, words, said):
    url = canned(HEAD + (chunk(*map(line, numbers)) if numbers else b"") + END, keep=True)
    assert first(bench(url, "--body", "{}", "--requests", "3", *words, expect=1), "wrong") == said


@pytest.mark.parametrize("answer, said", [
    (HEAD + chunk(line(0), line(1)), "the connection was closed, in the body, after 2 lines"),
    (HEAD + b"x\r\n", "a chunk without a size, in the body, after 0 lines"),
    (HEAD[:20], "the connection was closed, before the body, after 0 lines"),
    (b"SSH-2.0-OpenSSH\r\n\r\n", ", before the body, after 0 lines"),
])
def test_a_truncated_answer_says_how_it_ended(canned, answer, said):
    assert said in first(bench(canned(answer), "--body", "{}", "--requests", "2", expect=1), "truncated")


def test_a_refused_connection_says_why():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    assert first(bench(url, "--body", "{}", "--requests", "1", expect=8), "refused") == "Connection refused"


def test_the_table_has_the_words_of_the_page_and_obeys_no_answer(canned):
    answer = HEAD + chunk(line(0, error=b'{"type":"x","message":"\\u001b[2J\\n","traceback":null}')) + END
    result = subprocess.run([MILLRACE, "bench", "--url", canned(answer, keep=True), "--body", "{}", "--requests", "2"], check=False,
                            capture_output=True, text=True, timeout=20)
    rows = dict(re.split(r"  +", text, maxsplit=1) for text in result.stdout.splitlines() if "  " in text)
    assert rows["requests"] == "2" and re.fullmatch(r"0 +0 /s", rows["complete"])
    assert rows["other answers"] == "2 failed, 0 truncated, 0 wrong, 0 left, 0 unfinished, 0 refused"
    assert rows["first failed"] == "status 200, x: ?[2J "
    with open(os.path.join(TOP, "docs/man/millrace-bench.1"), encoding="utf-8") as file:
        page = re.findall(r"^\.It ([a-z]+)$", file.read(), flags=re.MULTILINE)
    help_ = subprocess.run([MILLRACE, "bench", "--help"], check=True, capture_output=True, text=True, timeout=20).stdout
    assert sorted(page) == sorted(KINDS)
    assert [word for word in KINDS if word not in help_] == []


# ---- being used ---------------------------------------------------------------------------------------


def test_other_machines_need_a_word_more():
    assert "needs --remote" in bench("http://192.0.2.1:80", "--body", "{}", expect=2)


def test_https_needs_a_tunnel_and_the_page_has_some():
    assert "a tunnel makes it that of https, see man millrace-bench" in bench("https://127.0.0.1:1", "--body", "{}", expect=2)


def test_a_pipeline_that_is_not_there_is_told_in_its_own_name(server):
    assert bench(server.url, "me/nothing:v1", expect=1).startswith("millrace: bench: the server answered with status 404")


def test_nobody_there_is_an_exit_code_of_its_own():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    bench(f"http://127.0.0.1:{port}", "--body", "{}", "--requests", "1", expect=8)
    bench(f"http://127.0.0.1:{port}", "--connections", "0", "--idle", "2", "--duration", "100ms", expect=8)


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


def test_of_the_addresses_of_a_name_one_is_taken_where_somebody_listens(server, tmp_path):
    """A fresh Debian's localhost is ::1 first, and a server may listen on 127.0.0.1 alone."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n::1 localhost\n")
    private = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-c",
               f'mount --bind {hosts} /etc/hosts && exec "$@"', "sh"]
    if subprocess.run([*private, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("this kernel or container gives no namespace of mounts")
    first = subprocess.run([*private, "getent", "ahosts", "localhost"], check=True, capture_output=True, text=True).stdout
    assert first.startswith("::1 ")
    result = subprocess.run([*private, MILLRACE, "bench", NUMBERS, "2", "x", "0", "--requests", "3", "--quiet",
                             "--url", f"http://localhost:{server.port}"], check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
