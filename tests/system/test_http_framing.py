# SPDX-License-Identifier: MIT
"""HTTP/1.1 and 1.0 on the wire: where requests and their answers begin and end."""

import threading

import pytest

import wire
from server import example
from wire import RUN, chunked, get, numbers_of, post

NUMBERS = "local/numbers:v1"


@pytest.fixture(scope="module")
def server(start_shared):
    return start_shared(example("numbers.so"),
                        options=["--concurrency", "8", "--body-limit", "100k", "--head-timeout", "400ms",
                                 "--idle-timeout", "700ms"])


# ---- keep-alive and pipelining -----------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_order(connection):
    connection.send(get() + post() + get("/status") + post(path="/v4/runs") + get("/nothing") + get())
    assert connection.response().body == b"ok\n"
    assert numbers_of(connection.response().body) == [0, 1, 2]
    assert connection.response().json()["status"] == "ok"
    assert len(connection.response().json()["outputs"][0]["value"]) == 3
    assert connection.response().status == 404
    assert connection.response().body == b"ok\n"


def test_thousands_of_pipelined_requests_are_each_answered(server, connection):
    """More than may wait at once: the server stops reading until it has answered."""
    count = 6000
    stream = wire.run_body(NUMBERS, [100, "first", 1])
    sender = threading.Thread(target=connection.send, args=(post(stream) + get() * count,))
    sender.start()
    assert numbers_of(connection.response().body) == list(range(100))
    for _ in range(count):
        assert connection.response().body == b"ok\n"
    sender.join()
    assert server.is_alive()


def test_a_head_that_is_cut_where_the_server_stopped_reading_is_read_to_its_end(connection):
    """Of what may wait at once the last request is hardly ever whole."""
    count = 3000
    sender = threading.Thread(target=connection.send, args=(get(fields=f"X-Pad: {'a' * 151}\r\n") * count,))
    sender.start()
    for _ in range(count):
        assert connection.response().status == 200
    sender.join()


@pytest.mark.parametrize("request_bytes", [get(), post(), post() + get()], ids=["get", "post", "both"])
def test_a_request_may_arrive_byte_by_byte(connection, request_bytes):
    for position in range(len(request_bytes)):
        connection.send(request_bytes[position:position + 1])
    if request_bytes.startswith(b"POST"):
        assert numbers_of(connection.response().body) == [0, 1, 2]
    if request_bytes.endswith(get()):
        assert connection.response().body == b"ok\n"


def test_empty_lines_before_a_request_are_skipped(connection):
    connection.send(b"\r\n\r\n" + get() + b"\r\n" + get())
    assert [connection.response().status for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("fields", ["Connection: close\r\n", "Connection: x, Close\r\n"])
def test_connection_close_is_honoured(connection, fields):
    connection.send(get(fields=fields) + get())
    response = connection.response()
    assert response.header("Connection") == "close"
    assert connection.is_closed()


def test_connection_close_is_honoured_after_a_stream(connection):
    connection.send(post(fields="Connection: close\r\n"))
    response = connection.response()
    assert response.header("Connection") == "close"
    assert numbers_of(response.body) == [0, 1, 2]
    assert dict(response.trailers)["Millrace-Run-State"] == "completed"
    assert connection.is_closed()


# ---- HTTP/1.0 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["Host: localhost\r\n", ""])
def test_http_1_0_gets_a_stream_without_chunks_that_ends_with_the_connection(connection, host):
    connection.send(f"POST /v4/runs/stream HTTP/1.0\r\n{host}Content-Length: {len(RUN)}\r\n\r\n".encode() + RUN)
    response = connection.response_head()
    assert response.status == 200
    assert response.header("Transfer-Encoding") is None
    assert response.header("Content-Length") is None
    assert response.header("Trailer") is None
    assert response.header("Connection") == "close"
    assert numbers_of(b"".join(connection.until_end())) == [0, 1, 2]


def test_http_1_0_can_ask_for_a_line_that_proves_completeness(connection):
    body = wire.run_body(NUMBERS, [2, "x", 0], stream_options={"final_line": True})
    connection.send(post(body, version="1.0"))
    connection.response_head()
    lines = [wire.check_line(line) for line in b"".join(connection.until_end()).splitlines()]
    assert (lines[-1]["state"], lines[-1]["lines"]) == ("completed", 2)


def read_to_reset(connection):
    """All that comes, and then it must be a reset: a FIN is the end of a complete stream."""
    with pytest.raises(wire.Closed, match="reset"):
        while True:
            connection.receive()
    return connection.buffer


def test_http_1_0_sees_that_a_stream_was_cut(start):
    server = start(example("numbers.so"), options=["--stall-timeout", "300ms"])
    mark = server.log_mark()
    with server.connect(receive_buffer_bytes=4096) as connection:
        connection.send(post(wire.run_body(NUMBERS, [1_000_000, "x" * 200, 0]), version="1.0"))
        server.wait_log(" client_stalled ", mark)
        assert numbers_of(read_to_reset(connection).split(b"\r\n\r\n", 1)[1].rsplit(b"\n", 1)[0])[:2] == [0, 1]


def test_http_1_0_sees_that_the_server_was_killed(start):
    server = start(example("numbers.so"))
    with server.connect() as connection:
        connection.send(post(wire.run_body(NUMBERS, [1_000_000, "x", 10]), version="1.0"))
        connection.response_head()
        connection.receive()
        server.process.kill()
        read_to_reset(connection)
    server.wait_exit()


def test_http_1_0_closes_unless_it_asks_to_be_kept(connection):
    connection.send(get(version="1.0", fields="Connection: keep-alive\r\n"))
    response = connection.response()
    assert response.header("Connection") == "keep-alive"
    assert response.body == b"ok\n"
    connection.send(get(version="1.0"))
    response = connection.response()
    assert response.header("Connection") == "close"
    assert connection.is_closed()


# ---- bodies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_bytes", [
    chunked(RUN), chunked(*[RUN[at:at + 1] for at in range(len(RUN))]), chunked(RUN[:7], RUN[7:]),
    chunked(RUN, last=b"0\r\nDigest: x\r\nX: y\r\n\r\n"), chunked(RUN, last=b"0;last\r\n\r\n"),
    chunked(last=b"%x;name=value;a=\"b c\"\r\n%s\r\n000\r\n\r\n" % (len(RUN), RUN)),
    chunked(last=b"%08X\r\n%s\r\n0\r\n\r\n" % (len(RUN), RUN)),
], ids=["whole", "bytes", "two", "trailers", "extension", "extensions", "zeros"])
def test_chunked_bodies_are_taken_and_the_connection_goes_on(connection, request_bytes):
    connection.send(request_bytes + get())
    assert numbers_of(connection.response().body) == [0, 1, 2]
    assert connection.response().body == b"ok\n"


def test_a_chunked_body_may_arrive_byte_by_byte(connection):
    for byte in chunked(RUN[:10], RUN[10:], last=b"0\r\nA: b\r\n\r\n"):
        connection.send(bytes([byte]))
    assert numbers_of(connection.response().body) == [0, 1, 2]


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_expect_100_continue_is_answered_before_the_body(connection, framing):
    field = f"Content-Length: {len(RUN)}" if framing == "length" else "Transfer-Encoding: chunked"
    connection.send(f"POST /v4/runs/stream HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n{field}\r\n\r\n".encode())
    interim = connection.response_head()
    assert (interim.status, interim.headers) == (100, [])
    connection.send(RUN if framing == "length" else b"%x\r\n%s\r\n0\r\n\r\n" % (len(RUN), RUN))
    assert numbers_of(connection.response().body) == [0, 1, 2]


def test_a_body_that_is_refused_gets_its_final_status_instead_of_100(connection):
    connection.send(b"POST /v4/runs HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 102401\r\n\r\n")
    assert connection.response().status == 413
    assert connection.is_closed()


def test_no_100_is_sent_to_a_client_that_did_not_wait(connection):
    connection.send(post(fields="Expect: 100-continue\r\n"))
    assert connection.response_head().status == 200


def test_http_1_0_never_gets_a_100(connection):
    connection.send(f"POST /v4/runs HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: {len(RUN)}\r\n\r\n".encode())
    connection.send(RUN)
    assert connection.response_head().status == 200


def test_a_body_on_a_route_that_takes_none_is_read_away(connection):
    connection.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello" + get())
    assert connection.response().status == 200
    assert connection.response().body == b"ok\n"
