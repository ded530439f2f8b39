# SPDX-License-Identifier: MIT
"""More than there is room for: queues, connections, memory of requests. What does not fit is refused at once,
with the time to come again; everyone else is served as ever."""

import contextlib
import socket
import time

import pytest

import wire
from server import bearer, example, make_tokens, wait_until

NUMBERS = "local/numbers:v1"
WORDS = "local/my_pipeline:v1"
MIB = 1 << 20


def refused(server, cause, headers=None):
    return server.metric(f'millrace_refusals_total{{cause="{cause}"}}', headers)


# ---- queues -------------------------------------------------------------------------------------------------------


def test_the_time_to_come_again_is_measured(start):
    server = start(example("numbers.so"), options=["--queue", "2"])
    began = time.monotonic()
    assert len(server.lines(NUMBERS, 31, "x", 50)) == 31
    took = time.monotonic() - began
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(server.stream(NUMBERS, 100000, "x", 20))
        wait_until(lambda: server.pipeline(NUMBERS)["queued"] == 2)
        answer = server.run(NUMBERS, 1, "x", 0)
        assert answer.status == 429
        # The two that wait and this one, each as long as the one that was measured.
        assert 3 * 1.5 <= int(answer.header("Retry-After")) <= 3 * took + 1


def test_all_queues_together_have_a_bound(start):
    server = start(example("numbers.so"), f"a/b:v1={example('numbers.so')}", options=["--queue", "2", "--queue-total", "3"])
    with contextlib.ExitStack() as stack:
        for pointer in (NUMBERS, "a/b:v1"):
            for _ in range(2):
                stack.enter_context(server.stream(pointer, 100000, "x", 20))
            wait_until(lambda p=pointer: server.pipeline(p)["queued"] == 1)
        stack.enter_context(server.stream(NUMBERS, 100000, "x", 20))
        wait_until(lambda: server.pipeline(NUMBERS)["queued"] == 2)
        for pointer, cause, words in ((NUMBERS, "queue_full", "queue of this pipeline"),
                                      ("a/b:v1", "queue_total", "queues of all pipelines together")):
            answer = server.run(pointer, 1, "x", 0)
            assert answer.status == 429 and int(answer.header("Retry-After")) >= 1
            assert words in wire.check_line(answer.body)["error"]["message"]
            assert server.metric(f'millrace_refusals_total{{pipeline="{pointer}",cause="{cause}"}}') == 1


# ---- connections --------------------------------------------------------------------------------------------------


def connect_from(server, address):
    connection = wire.Connection.__new__(wire.Connection)
    connection.socket = socket.create_connection(("127.0.0.1", server.port), wire.TIMEOUT_S, (address, 0))
    connection.port, connection.buffer = server.port, b""
    return connection


def test_one_client_has_so_many_connections_and_others_are_served(start):
    server = start(example("numbers.so"), options=["--max-connections-per-client", "3"])
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connect_from(server, "127.0.0.2")) for _ in range(3)]
        for connection in held:
            connection.request("GET", "/livez")
            assert connection.response().status == 200
        for _ in range(3):
            with connect_from(server, "127.0.0.2") as connection:
                answer = connection.response()
                assert answer.status == 429
                assert answer.header("Retry-After") == "1" and answer.header("Connection") == "close"
                assert answer.json() == {"detail": "Too many connections from one address."}
                assert connection.is_closed()
        assert refused(server, "client_connections") == server.metric("millrace_connections_refused_total") == 3
        for address in ("127.0.0.1", "127.0.0.3"):
            with connect_from(server, address) as connection:
                connection.request("GET", "/livez")
                assert connection.response().status == 200
        # One leaves, and may come back.
        held[0].close()

        def is_served():
            with connect_from(server, "127.0.0.2") as connection, contextlib.suppress(OSError, wire.Closed):
                connection.request("GET", "/livez")
                return connection.response().status == 200
            return False

        wait_until(is_served)
        held[1].request("GET", "/livez")
        assert held[1].response().status == 200


# ---- memory -------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(start):
    return start(example("numbers.so"), example("words.so") + ":my_pipeline",
                 options=["--body-limit", "1m", "--input-memory", "2m", "--queue", "10"])


def upload(server, count, sent):
    """A request whose body is `count` bytes, of which so many are sent."""
    connection = server.connect()
    connection.send(connection.head("POST", "/v4/runs", {"Content-Length": count}) + b" " * sent)
    return connection


def held(server):
    return server.metric("millrace_input_memory_bytes")


def test_bodies_that_arrive_share_their_memory(small):
    assert small.metric("millrace_input_memory_limit_bytes") == 2 * MIB
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(small.stream(NUMBERS, 100, "x", 20))
        stream.next()
        first = [stack.enter_context(upload(small, MIB, MIB - 1)) for _ in range(2)]
        wait_until(lambda: held(small) >= 2 * (MIB - 1))
        for _ in range(3):
            with upload(small, MIB, 200_000) as connection:
                answer = connection.response()
                assert answer.status == 503
                assert answer.header("Retry-After") == "1" and answer.header("Connection") == "close"
        assert refused(small, "input_memory") == 3
        # Requests that come in one piece are served, and so is who was served before.
        assert small.run(WORDS, "a b c").status == 200
        assert len(stream.all()) == 99
        for connection in first:
            connection.send(b"]")
            assert connection.response().status == 422
    wait_until(lambda: held(small) == 0, what="all memory given back")
    with upload(small, 900_000, 899_999) as connection:
        connection.send(b"]")
        assert connection.response().status == 422


def test_runs_that_wait_share_it_too(small):
    text = "x" * 600_000
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(small.stream(NUMBERS, 100000, "x", 20))
        running.next()
        waiting = []
        for count in (1, 2, 3):
            waiting.append(stack.enter_context(small.stream(NUMBERS, 1, text, 0)))
            wait_until(lambda n=count: small.pipeline(NUMBERS)["queued"] == n)
        answer = small.run(NUMBERS, 1, text, 0)
        assert answer.status == 503 and answer.header("Retry-After") == "1"
        assert refused(small, "input_memory") == 1
        # Another pipeline has a slot for it.
        assert small.run(WORDS, "a b c").status == 200
        running.close()
        for stream in waiting:
            [line] = stream.all()
            assert len(wire.output_of(line)["chunk"]) == len(text)
    wait_until(lambda: held(small) == 0, what="all memory given back")


def test_a_request_sent_ahead_is_lost_before_the_one_that_is_answered(small):
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(upload(small, MIB, MIB - 1))
        wait_until(lambda: held(small) >= 2 * (MIB - 1))
        connection = stack.enter_context(small.connect())
        connection.request("POST", "/v4/runs/stream", wire.run_body(NUMBERS, [20, "x", 20]))
        answer = connection.response_head()
        connection.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" * 300)
        wait_until(lambda: refused(small, "input_memory") == 1)
        pieces = b"".join(connection.body_pieces(answer))
        assert len(pieces.split(b"\n")) - 1 == 20
        assert dict(answer.trailers)["Millrace-Run-State"] == "completed"
        assert connection.is_closed()


def test_what_a_plain_run_collects_is_seen_and_given_back_when_its_client_leaves(start):
    server = start(example("numbers.so"))
    with server.connect() as connection:
        connection.request("POST", "/v4/runs", wire.run_body(NUMBERS, [100_000, "x" * 60_000, 20]))
        wait_until(lambda: server.metric("millrace_output_memory_bytes") > MIB)
    wait_until(lambda: server.metric("millrace_output_memory_bytes") <= 16384, what="all memory given back")


def test_results_that_are_collected_share_the_memory_of_output(start):
    """Sixteen plain runs want 2.4 MB each at once, and there are 16 MiB: some fail and give theirs back, others
    end well, and a stream beside them is whole."""
    server = start(example("numbers.so"), options=["--concurrency", "17", "--output-memory", "16m"])
    most = 0
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(server.stream(NUMBERS, 40, "x" * 1000, 20))
        plain = [stack.enter_context(server.connect()) for _ in range(16)]
        for connection in plain:
            connection.request("POST", "/v4/runs", wire.run_body(NUMBERS, [40, "x" * 60_000, 20]))
        wait_until(lambda: server.metric(f'millrace_runs_accepted_total{{pipeline="{NUMBERS}"}}') == 17)
        while server.metric("millrace_runs") > 0:
            most = max(most, server.metric("millrace_output_memory_bytes"))
        assert most <= 16 * MIB + 17 * 16384
        assert len(stream.all()) == 40
        errors = [connection.response().json()["error"] for connection in plain]
    failed = [error for error in errors if error is not None]
    assert 0 < len(failed) < len(errors)
    assert all(error["type"] == "oom" and "--output-memory" in error["message"] for error in failed)
    wait_until(lambda: server.metric("millrace_output_memory_bytes") <= 16384, what="all memory given back")
    assert server.run(NUMBERS, 40, "x" * 60_000, 0).json()["error"] is None


# ---- who has no token -----------------------------------------------------------------------------------------------------


@pytest.fixture
def guarded(start, tmp_path):
    """A server with 16 MiB for requests, of which 2 are for strangers, and the headers of who may call."""
    [token] = make_tokens(tmp_path / "tokens", "alice")
    server = start(example("numbers.so"), options=["--token-file", str(tmp_path / "tokens"), "--body-limit", "1m",
                                                   "--input-memory", "16m", "--output-memory", "16m"])
    return server, bearer(token)


def strangers_hold(server):
    return server.metric("millrace_input_memory_unauthorized_bytes")


@contextlib.contextmanager
def strangers(server, count, data):
    """So many connections, which send this as far as it is taken and read nothing."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(server.connect(receive_buffer_bytes=4096)) for _ in range(count)]
        for connection in connections:
            connection.socket.setblocking(False)
            with contextlib.suppress(OSError):
                connection.socket.send(data)
        yield connections


def assert_served(server, caller):
    """A body that comes in pieces needs memory."""
    body = wire.run_body(NUMBERS, [1, "x" * 60_000, 0])
    for _ in range(3):
        with server.connect() as connection:
            head = connection.head("POST", "/v4/runs", {"Content-Length": len(body), **caller})
            for piece in (head + body[:1000], body[1000:30_000], body[30_000:]):
                connection.send(piece)
                time.sleep(0.01)  # a piece for each receive, if it can be had; all in one would be served as well
            assert connection.response().status == 200


def test_who_pipelines_without_a_token_is_answered_once_and_holds_nothing(guarded):
    server, caller = guarded
    with strangers(server, 200, wire.get("/v4/runs") * 5000):
        wait_until(lambda: refused(server, "unauthorized") == 200)
        assert held(server) == 0
        assert_served(server, caller)
        assert refused(server, "unauthorized") == 200 and refused(server, "input_memory") == 0


def test_a_bad_token_is_told_before_the_body_comes(guarded):
    server, _ = guarded
    with server.connect() as connection:
        connection.send(connection.head("POST", "/v4/runs", {"Content-Length": 1 << 20, "Expect": "100-continue"}))
        answer = connection.response()
        assert answer.status == 401 and answer.header("Connection") == "close"
        assert connection.is_closed()


@pytest.mark.parametrize("data", [wire.get("/livez")[:-2] + b"X-Long: " + b"x" * 15_000,
                                  wire.get("/livez", "Content-Length: 16000\r\n") + b"x" * 15_000], ids=["head", "body"])
def test_what_strangers_leave_unfinished_is_a_part_of_the_memory(guarded, data):
    server, caller = guarded
    with strangers(server, 200, data):
        wait_until(lambda: refused(server, "input_memory") >= 50)
        assert 1 * MIB < strangers_hold(server) <= 2 * MIB + 32 * 1024
        assert_served(server, caller)
        assert server.get("/livez").status == 200
        with server.connect() as connection:
            connection.send(data)
            assert connection.response().status == 503
    wait_until(lambda: held(server) == strangers_hold(server) == 0, what="all memory given back")


def test_what_strangers_do_not_read_is_a_part_of_the_memory(guarded):
    """/metrics is the largest answer that needs no token."""
    server, caller = guarded
    with strangers(server, 400, wire.get("/metrics") * 300):
        wait_until(lambda: refused(server, "memory", caller) >= 50)
        assert_served(server, caller)
        assert MIB < server.metric("millrace_output_memory_unauthorized_bytes", caller) <= 2 * MIB
        assert server.metric("millrace_output_memory_bytes", caller) <= 2 * MIB
        assert len(server.stream(NUMBERS, 3, "x" * 100_000, 0, headers=caller).all()) == 3
