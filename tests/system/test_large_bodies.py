# SPDX-License-Identifier: MIT
"""Bodies that take long to read are read by another process: nobody else waits for them, they are answered like any
other, and what happens to that process happens to them alone."""

import contextlib
import json
import os
import signal

import pytest

import wire
from server import SLOWNESS, child_called, example, process_cpu_s, process_exists, wait_until

ECHO = "local/echo:v1"
NUMBERS = "local/numbers:v1"
MIB = 1 << 20

# More than the loop reads itself, in every way in which a body can be large; each is one value.
WORST = {
    "text": '"%s"' % ("a" * (15 * MIB)),
    "escapes": '"%s"' % (r"\u00e9" * (15 * MIB // 6)),
    "numbers": "[%s]" % ",".join(["1"] * 500_000),
    "keys": "{%s}" % ",".join(f'"{i:x}":0' for i in range(250_000)),
    "nested": "[%s]" % ",".join(["[" * 20 + "0" + "]" * 20] * 24_000),
    "doubles": "[%s]" % ",".join(["0.1234567890123e-7"] * 400_000),
}


@pytest.fixture
def server(start):
    return start(example("echo.so"), example("numbers.so"), options=["--stop-timeout", "2s"])


def reader_of(server):
    return child_called(server.process.pid, "mr-reader")


def body_of(value, pointer=ECHO, **members):
    """A request for a run with this JSON text as its only input, a dictionary's one member."""
    more = "".join(f',"{key}":{json.dumps(member)}' for key, member in members.items())
    return f'{{"pipeline":"{pointer}","inputs":[{{"type":"dictionary","value":{{"v":{value}}}}}]{more}}}'.encode()


def many(count=20_000):
    return "[%s]" % ",".join(["1"] * count)


def send(stack, server, body, path="/v4/runs", headers=None):
    connection = stack.enter_context(server.connect())
    connection.request("POST", path, body, headers)
    return connection


def read_count(server):
    return server.metric("millrace_reader_bodies_total")


@contextlib.contextmanager
def stopped(server):
    """The reader does nothing meanwhile."""
    reader = reader_of(server)
    os.kill(reader, signal.SIGSTOP)
    try:
        yield reader
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(reader, signal.SIGCONT)


# ---- others meanwhile ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", WORST)
def test_others_are_served_while_the_worst_body_is_read(server, shape):
    """One that the loop read itself would be answered before whoever asks after it. The reader is stopped until both
    are there, so that a body which is quickly read shows it, too."""
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(server.stream(NUMBERS, 100_000, "x", 1))
        stream.next()
        with stopped(server):
            connection = send(stack, server, body_of(WORST[shape]))
            wait_until(lambda: read_count(server) == 1)
            for _ in range(20):
                assert server.get("/livez").status == 200
                stream.next()
        answer = connection.response()
        assert answer.status in (200, 400)  # deeper than an input may be, or not
        assert server.metric("millrace_reader_losses_total") == 0


def test_reading_them_is_not_the_loops_time(server):
    """Half a million numbers take a tenth of a second of a processor at the least. That they are refused in the end,
    the pipeline taking other inputs, saves their way back."""
    before, reader_before = server.cpu_s(), process_cpu_s(reader_of(server))
    for _ in range(10):
        assert server.ask("POST", "/v4/runs", body_of(WORST["numbers"], pointer=NUMBERS)).status == 400
    assert server.cpu_s() - before < 0.3 * SLOWNESS
    assert process_cpu_s(reader_of(server)) - reader_before > 0.3


# ---- answers ------------------------------------------------------------------------------------------------------


def test_they_come_back_as_they_were_sent(server):
    value = {"n": list(range(30_000)), "t": "\u00e9\0\U0001f600" * 50_000, "f": 0.1, "m": {f"k{i}": None for i in range(9000)}}
    answer = server.ask("POST", "/v4/runs", body_of(json.dumps(value)))
    assert answer.status == 200
    assert wire.output_of(wire.result_of(answer)) == [value]
    assert read_count(server) == 1


def test_they_may_come_in_chunks_and_requests_behind_them_wait(server):
    body = body_of(many())
    pieces = [body[at:at + 7000] for at in range(0, len(body), 7000)]
    with server.connect() as connection:
        connection.send(wire.chunked(*pieces, path="/v4/runs") + wire.get())
        assert connection.response().status == 200
        assert connection.response().status == 200
    assert read_count(server) == 1


def test_a_body_that_is_a_file_is_packed_into_one_for_the_worker(server):
    text = "x" * (2 * MIB)
    with wire.Stream(server.connect(), body_of(json.dumps(text))) as stream:
        [line] = stream.all()
        assert wire.output_of(line) == text
    wait_until(lambda: server.metric("millrace_input_memory_bytes") == 0)


def test_an_asynchronous_one_is_found_by_its_id(server):
    answer = server.ask("POST", "/v4/runs", body_of(many(), async_run=True))
    assert answer.status == 200
    run_id = answer.json()["id"]
    wait_until(lambda: server.get(f"/v4/runs/{run_id}").json()["state"] == "completed")


@pytest.mark.parametrize("large, status, words", [
    (body_of(many())[:-1] + b"x", 422, "value_error.jsondecode"),
    (b"[" + many().encode() + b"]", 422, "value is not a valid dict"),
    (body_of(many(), pointer="me/nowhere:v1"), 404, "Pipeline not found"),
    (body_of(many(), pointer="x" * 100_000), 404, "Pipeline not found"),
    (body_of(many(), pointer=NUMBERS), 400, "input_error"),
    (body_of(many() + ',"v":1'), 422, "occurs twice"),
    (b" " * 100_000, 422, "value_error.jsondecode"),
], ids=["json", "list", "pipeline", "long_name", "inputs", "key_twice", "blank"])
def test_what_is_wrong_with_them_is_said_as_of_small_ones(server, large, status, words):
    answer = server.ask("POST", "/v4/runs", large)
    assert (answer.status, answer.header("Content-Type")) == (status, "application/json")
    assert words in answer.body.decode()
    assert read_count(server) == 1
    assert server.metric("millrace_input_memory_bytes") == 0


def test_an_asynchronous_stream_is_refused(server):
    answer = server.ask("POST", "/v4/runs/stream", body_of(many(), async_run=True))
    assert answer.status == 422 and "a stream cannot be asynchronous" in answer.body.decode()


def test_other_requests_may_have_them_too(server):
    with server.connect() as connection:
        connection.request("GET", "/livez", b"x" * MIB)
        assert connection.response().status == 200
    assert read_count(server) == 0
    assert server.metric("millrace_input_memory_bytes") == 0


# ---- clients, time, and the end -----------------------------------------------------------------------------------


def test_who_leaves_before_it_is_read_is_forgotten(server):
    with contextlib.ExitStack() as stack, stopped(server):
        connections = [send(stack, server, body_of(many() + " " * MIB)) for _ in range(3)]
        wait_until(lambda: server.metric("millrace_reader_waiting") == 2)
        assert server.metric("millrace_input_memory_bytes") > 3 * MIB
        for connection in connections:
            connection.close()
        wait_until(lambda: server.metric("millrace_input_memory_bytes") == 0)
        assert server.metric("millrace_reader_waiting") == 0
    assert server.ask("POST", "/v4/runs", body_of(many())).status == 200
    assert server.metric("millrace_reader_losses_total") == 0


def test_a_request_has_its_time_also_before_it_is_read(server):
    with contextlib.ExitStack() as stack, stopped(server):
        connection = send(stack, server, body_of(many()), headers={"X-Request-Timeout": "0.2"})
        assert connection.response().status == 504
    assert server.ask("POST", "/v4/runs", body_of(many())).status == 200


def test_a_reader_that_is_killed_takes_one_body_with_it(server):
    mark = server.log_mark()
    with contextlib.ExitStack() as stack:
        with stopped(server) as reader:
            first = send(stack, server, body_of(many()))
            wait_until(lambda: read_count(server) == 1)
            others = [send(stack, server, body_of(many())) for _ in range(3)]
            wait_until(lambda: server.metric("millrace_reader_waiting") == 3)
            os.kill(reader, signal.SIGKILL)
            answer = first.response()
            assert answer.status == 500 and "the process that read it failed" in answer.body.decode()
        for connection in others:
            assert connection.response().status == 200
    server.wait_log(" reader_lost .* waiting=3 ", mark)
    server.wait_log(" reader_start ", mark)
    assert not process_exists(reader)
    assert server.metric("millrace_reader_losses_total") == 1
    assert server.metric('millrace_refusals_total{cause="reader"}') == 1


def test_those_that_wait_are_answered_when_the_server_stops(server):
    with contextlib.ExitStack() as stack, stopped(server) as reader:
        connections = [send(stack, server, body_of(many())) for _ in range(2)]
        wait_until(lambda: server.metric("millrace_reader_waiting") == 1)
        server.signal(signal.SIGTERM)
        for connection in connections:
            answer = connection.response()
            assert answer.status == 503 and "the server is stopping" in answer.body.decode()
        os.kill(reader, signal.SIGCONT)
        assert server.wait_exit() == 0
        assert not process_exists(reader)


def test_it_ends_with_a_server_that_is_killed(server):
    reader = reader_of(server)
    server.process.kill()
    wait_until(lambda: not process_exists(reader))
