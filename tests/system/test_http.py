# SPDX-License-Identifier: MIT
"""HTTP/1.1 and 1.0 on the wire: framing, limits, and everything ambiguous refused."""

import contextlib
import os
import random
import socket
import threading
import time

import pytest

import wire
from server import SLOWNESS, example, wait_until

NUMBERS = "local/numbers:v1"
RUN = wire.run_body(NUMBERS, [3, "x", 0])
HEAD_BYTES_MAX = 16 * 1024
BODY_GRACE_S = 10


@pytest.fixture(scope="module")
def server(start_shared):
    return start_shared(example("numbers.so"),
                        options=["--concurrency", "8", "--body-limit", "100k", "--head-timeout", "400ms",
                                 "--idle-timeout", "700ms"])


@pytest.fixture(scope="module", autouse=True)
def slow_body(server):
    """A request whose body hardly comes; the last test of this module looks what became of it."""
    connection = server.connect()
    connection.send(b"POST /v4/runs HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{")
    began = time.monotonic()
    yield connection, began
    connection.close()


@pytest.fixture
def connection(server):
    with server.connect() as connection:
        yield connection


def post(body=RUN, path="/v4/runs/stream", fields="", version="1.1"):
    return (f"POST {path} HTTP/{version}\r\nHost: a\r\n{fields}Content-Length: {len(body)}\r\n\r\n").encode() + body


def get(path="/livez", fields="", version="1.1"):
    return f"GET {path} HTTP/{version}\r\nHost: a\r\n{fields}\r\n".encode()


def numbers_of(body):
    return [wire.output_of(wire.check_line(line))["i"] for line in body.splitlines()]


# ---- keep-alive and pipelining ------------------------------------------------------------------------


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


def test_an_idle_connection_is_closed_after_its_time(server):
    with server.connect() as fresh, server.connect() as used:
        used.send(get())
        used.response()
        began = time.monotonic()
        assert used.is_closed() and fresh.is_closed()
        assert 0.5 < time.monotonic() - began < 0.7 + 2 * SLOWNESS


def test_a_connection_in_use_is_not_idle(server):
    with server.connect() as connection:
        connection.send(post(wire.run_body(NUMBERS, [3, "slow", 500])))
        assert numbers_of(connection.response().body) == [0, 1, 2]


# ---- HTTP/1.0 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["Host: a\r\n", ""])
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


# ---- bodies -----------------------------------------------------------------------------------------------


def chunked(*pieces, last=b"0\r\n\r\n", path="/v4/runs/stream", fields=""):
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\n{fields}Transfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + last


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
    connection.send(f"POST /v4/runs/stream HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{field}\r\n\r\n".encode())
    interim = connection.response_head()
    assert (interim.status, interim.headers) == (100, [])
    connection.send(RUN if framing == "length" else b"%x\r\n%s\r\n0\r\n\r\n" % (len(RUN), RUN))
    assert numbers_of(connection.response().body) == [0, 1, 2]


def test_a_body_that_is_refused_gets_its_final_status_instead_of_100(connection):
    connection.send(b"POST /v4/runs HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 102401\r\n\r\n")
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
    connection.send(b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + get())
    assert connection.response().status == 200
    assert connection.response().body == b"ok\n"


# ---- limits -----------------------------------------------------------------------------------------------


def assert_refused(connection, status):
    """One answer that says why, and the end of the connection; nothing behind it is answered."""
    response = connection.response()
    assert response.status == status, response
    assert response.header("Content-Type") == "application/json"
    assert isinstance(response.json()["detail"], str)
    assert response.header("Connection") == "close"
    assert connection.is_closed()


def test_a_head_of_16_kib_is_taken_and_a_longer_one_is_a_431(server):
    for beyond, status in ((0, 200), (1, 431)):
        with server.connect() as connection:
            room = HEAD_BYTES_MAX - len(get(fields="X: \r\n")) + beyond
            connection.send(get(fields=f"X: {'x' * room}\r\n"))
            if status == 200:
                assert connection.response().status == 200
            else:
                assert_refused(connection, status)


def test_a_head_without_end_is_a_431(connection):
    # The answer may come while more is being sent, and then the connection ends.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.send(b"GET / HTTP/1.1\r\nX: ")
        connection.send(b"x" * HEAD_BYTES_MAX)
    assert_refused(connection, 431)


def test_100_fields_are_taken_and_one_more_is_a_431(server):
    for count, status in ((99, 200), (100, 431)):
        with server.connect() as connection:
            connection.send(get(fields="".join(f"X-{number}: y\r\n" for number in range(count))))
            if status == 200:
                assert connection.response().status == 200
            else:
                assert_refused(connection, status)


def test_a_target_above_8_kib_is_a_414(server):
    for length, status in ((8192, 404), (8193, 414)):
        with server.connect() as connection:
            connection.send(get("/" + "x" * (length - 1)))
            if status == 404:
                assert connection.response().status == 404
            else:
                assert_refused(connection, status)


def test_a_body_at_the_limit_is_taken(connection):
    body = RUN + b" " * (100 * 1024 - len(RUN))
    connection.send(post(body) + chunked(body[:50000], body[50000:]))
    assert [numbers_of(connection.response().body) for _ in range(2)] == [[0, 1, 2]] * 2


@pytest.mark.parametrize("request_bytes", [
    post(b" " * (100 * 1024 + 1)), b"POST /v4/runs HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n\r\n",
    chunked(b" " * (100 * 1024), b" "), chunked(last=b"ffffffffffffffff\r\n"), chunked(last=b"7fffffffffffffff\r\n"),
], ids=["length", "absurd", "chunked", "largest", "large"])
def test_a_body_above_the_limit_is_a_413(connection, request_bytes):
    connection.send(request_bytes)
    assert_refused(connection, 413)


@pytest.mark.parametrize("part", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n"])
def test_a_head_that_does_not_arrive_in_time_is_a_408(connection, part):
    connection.send(part)
    began = time.monotonic()
    assert_refused(connection, 408)
    assert 0.3 < time.monotonic() - began < 0.4 + 2 * SLOWNESS


def test_a_head_that_trickles_in_does_not_extend_its_time(connection):
    began = time.monotonic()
    connection.socket.settimeout(0.05)
    connection.send(b"GET / HTTP/1.1\r\nX: ")
    while True:
        try:
            connection.receive()
            break
        except TimeoutError:
            connection.send(b"x")
        assert time.monotonic() - began < 5 * SLOWNESS
    assert connection.response().status == 408
    assert time.monotonic() - began > 0.3


# ---- what is ambiguous --------------------------------------------------------------------------------------

SMUGGLED = get("/status")
HOST = b"Host: a\r\n"
POST = b"POST /v4/runs HTTP/1.1\r\nHost: a\r\n"

REFUSED = {
    # framing: the smuggler's tools
    "both_lengths": (400, POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG"),
    "both_lengths_reversed": (400, POST + b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nG"),
    "two_lengths": (400, POST + b"Content-Length: 0\r\nContent-Length: 40\r\n\r\n"),
    "same_length_twice": (400, POST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n"),
    "a_list_of_lengths": (400, POST + b"Content-Length: 0, 0\r\n\r\n"),
    "a_signed_length": (400, POST + b"Content-Length: +0\r\n\r\n"),
    "a_negative_length": (400, POST + b"Content-Length: -1\r\n\r\n"),
    "a_hexadecimal_length": (400, POST + b"Content-Length: 0x0\r\n\r\n"),
    "an_empty_length": (400, POST + b"Content-Length:\r\n\r\n"),
    "a_length_that_overflows": (400, POST + b"Content-Length: 18446744073709551616\r\n\r\n"),
    "two_codings": (400, POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
    "chunked_twice": (400, POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    "chunked_not_last": (400, POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    "an_unknown_coding": (501, POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "a_coding_before_chunked": (501, POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "a_vertical_tab_before_chunked": (400, POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    "chunked_in_http_1_0": (400, b"POST /v4/runs HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "a_space_before_the_colon": (400, POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    "a_folded_line": (400, POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    "a_bare_lf": (400, POST + b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "a_bare_cr": (400, POST + b"X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "an_lf_as_the_empty_line": (400, b"GET /livez HTTP/1.1\r\nHost: a\r\n\n"),
    "a_nul": (400, POST + b"X: \0\r\n\r\n"),
    "a_control_byte": (400, POST + b"X: \x1b[2J\r\n\r\n"),
    "an_empty_name": (400, POST + b": x\r\n\r\n"),
    "a_field_without_a_colon": (400, POST + b"Content-Length\r\n\r\n"),
    # chunks
    "no_chunk_size": (400, chunked(last=b"\r\n")),
    "a_chunk_size_that_is_no_number": (400, chunked(last=b"g\r\n")),
    "a_chunk_size_with_a_prefix": (400, chunked(last=b"0x5\r\nhello\r\n0\r\n\r\n")),
    "a_chunk_size_with_a_sign": (400, chunked(last=b"+5\r\nhello\r\n0\r\n\r\n")),
    "a_chunk_size_behind_a_space": (400, chunked(last=b" 5\r\nhello\r\n0\r\n\r\n")),
    "a_chunk_size_that_overflows": (413, chunked(last=b"10000000000000005\r\nhello\r\n0\r\n\r\n")),
    "a_chunk_longer_than_its_size": (400, chunked(last=b"5\r\nhello!\r\n0\r\n\r\n")),
    "a_chunk_size_ended_by_lf": (400, chunked(last=b"5\nhello\r\n0\r\n\r\n")),
    "chunk_data_ended_by_lf": (400, chunked(last=b"5\r\nhello\n0\r\n\r\n")),
    "an_oversized_extension": (400, chunked(last=b"5;" + b"x" * 1000 + b"\r\nhello\r\n0\r\n\r\n")),
    "an_extension_with_a_control_byte": (400, chunked(last=b"5;\0\r\nhello\r\n0\r\n\r\n")),
    "a_malformed_trailer": (400, chunked(last=b"0\r\nX : y\r\n\r\n")),
    # the host
    "no_host": (400, b"GET /livez HTTP/1.1\r\n\r\n"),
    "two_hosts": (400, b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    "an_empty_host": (400, b"GET /livez HTTP/1.1\r\nHost:\r\n\r\n"),
    "a_list_of_hosts": (400, b"GET /livez HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    "an_absolute_target_without_host": (400, b"GET http://a/livez HTTP/1.1\r\n\r\n"),
    # the request line
    "no_target": (400, b"GET HTTP/1.1\r\n\r\n"),
    "two_spaces": (400, b"GET  /livez HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a_tab": (400, b"GET\t/livez HTTP/1.1\r\n" + HOST + b"\r\n"),
    "http_0_9": (400, b"GET /livez\r\n\r\n"),
    "http_1_2": (505, b"GET /livez HTTP/1.2\r\n" + HOST + b"\r\n"),
    "http_2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "lower_case_http": (400, b"GET /livez http/1.1\r\n" + HOST + b"\r\n"),
    "connect": (501, b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
    "a_fragment": (400, b"GET /livez#x HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a_raw_byte_in_the_target": (400, b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n"),
    "too_many_empty_lines": (400, b"\r\n" * 5 + get()),
    "tls": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(40))),
    "ssh": (400, b"SSH-2.0-OpenSSH_9.2p1\r\n"),
    "redis": (400, b"*1\r\n$4\r\nPING\r\n"),
    "json": (400, RUN),
    "nuls": (400, bytes(64)),
    # what is understood and not served
    "an_expectation": (417, POST + b"Expect: 200-ok\r\nContent-Length: 0\r\n\r\n"),
}


@pytest.mark.parametrize("status,request_bytes", REFUSED.values(), ids=REFUSED)
def test_what_is_ambiguous_or_malformed_is_refused_once_and_the_connection_closed(server, status, request_bytes):
    with server.connect() as connection:
        connection.send(request_bytes + SMUGGLED)
        assert_refused(connection, status)


def test_a_refusal_carries_a_request_id(connection):
    connection.send(b"GET\r\n\r\n")
    assert connection.response().header("X-Request-Id")


def test_a_refusal_is_not_about_the_request_before(connection):
    connection.send(b"HEAD /livez HTTP/1.1\r\nHost: a\r\nX-Request-Id: the-first\r\n\r\n")
    connection.response("HEAD")
    connection.send(b"GET /liv")
    refusal = connection.response()
    assert refusal.status == 408
    assert refusal.json()["detail"]
    assert refusal.header("X-Request-Id") != "the-first"


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip"])
def test_a_coded_body_is_a_415(connection, coding):
    connection.send(post(fields=f"Content-Encoding: {coding}\r\n"))
    assert_refused(connection, 415)


def test_a_refusal_reaches_a_client_that_goes_on_sending(connection):
    """The server reads away what comes, since an RST could eat the answer on its way."""
    connection.send(b"POST /v4/runs HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n")
    assert connection.response().status == 413
    assert connection.socket.recv(1) == b"", "a FIN, no reset"
    for _ in range(40):
        connection.send(b"x" * 10000)


def test_a_refusal_reaches_a_client_that_sends_all_of_a_large_body_first(connection):
    connection.send(post(b"x" * 20_000_000, path="/nowhere"))
    assert connection.response().status == 404
    assert connection.socket.recv(1) == b"", "a FIN, no reset"


# ---- garbage ------------------------------------------------------------------------------------------------


def test_mutated_requests_never_confuse_the_server(server):
    """A fixed walk: each request is bent in one to four places. Whatever comes back is well-formed HTTP,
    and the server goes on."""
    rng = random.Random(20240117)
    sources = [get(), post(), chunked(RUN[:20], RUN[20:]), get() + post(), post(fields="Expect: 100-continue\r\n")]
    inserts = [b"\r\n", b"\n", b"\0", b" ", b":", b"\xff", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"]
    for _ in range(400):
        data = bytearray(rng.choice(sources))
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            kind = rng.randrange(4)
            if kind == 0:
                data[at] = rng.randrange(256)
            elif kind == 1:
                del data[at:at + rng.randint(1, 10)]
            elif kind == 2:
                data[at:at] = rng.choice(inserts)
            else:
                data[at:at] = data[rng.randrange(len(data)):][:rng.randint(1, 60)]
            if not data:
                data = bytearray(b"x")
        with server.connect() as connection:
            connection.send(bytes(data))
            connection.socket.shutdown(socket.SHUT_WR)
            read_answers(connection)
    assert server.get("/livez").status == 200


def read_answers(connection):
    """Whole answers until the end. The client has left, so a stream may be cut; nothing else may."""
    while True:
        try:
            response = connection.response_head()
        except wire.Closed:
            assert connection.buffer == b"", connection.buffer
            return
        try:
            list(connection.body_pieces(response))
        except wire.Closed:
            assert response.header("Transfer-Encoding") == "chunked"
            return


def test_clients_that_leave_anywhere_leave_nothing_behind(server):
    whole = post() + chunked(RUN) + get()
    for cut in range(0, len(whole), 7):
        connection = server.connect()
        connection.send(whole[:cut])
        if cut % 2:
            connection.reset()
        else:
            connection.close()
    # The slow one, and the one that asks.
    wait_until(lambda: server.metric("millrace_connections") <= 2, what="all connections gone")
    wait_until(lambda: server.metric("millrace_runs") == 0, what="all runs gone")
    assert server.metric("millrace_output_memory_bytes") <= 16384


# ---- more clients than there is room for ------------------------------------------------------------------------


def test_too_many_connections_are_a_503_and_served_again_when_one_leaves(start):
    server = start(example("numbers.so"), options=["--max-connections", "3"])
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(server.connect()) for _ in range(3)]
        for connection in held:
            connection.send(get())
            assert connection.response().status == 200
        for _ in range(3):
            with server.connect() as refused:
                response = refused.response()
                assert response.status == 503
                assert response.header("Retry-After") == "1"
                assert response.header("Connection") == "close"
                assert response.json() == {"detail": "Too many connections."}
                assert refused.is_closed()
        # Those that are held are served as before.
        held[0].send(post())
        assert numbers_of(held[0].response().body) == [0, 1, 2]
        held[1].send(get("/metrics"))
        assert b"\nmillrace_connections_refused_total 3\n" in held[1].response().body
        held[2].close()

        def is_served():
            with server.connect() as connection:
                connection.send(get())
                with contextlib.suppress(wire.Closed):
                    return connection.response().status == 200
                return False

        wait_until(is_served)


@pytest.fixture
def crowded(start):
    """A server that cannot have as many connections as it believes, since it inherited descriptors; and
    how many it can have."""
    # What 16 connections and one worker are said to need at most.
    limit = 64 + 10 + 16
    crowd = 'for ((fd = 10; fd < 72; fd++)); do eval "exec $fd</dev/null"; done; exec prlimit --nofile="$@"'
    server = start(example("numbers.so"), command=("bash", "-c", crowd, "bash", str(limit)),
                   options=["--max-connections", "16"])
    room = limit - len(os.listdir(f"/proc/{server.process.pid}/fd"))
    assert 2 <= room < 16
    return server, room


def test_running_out_of_descriptors_does_not_spin_and_passes(crowded):
    server, room = crowded
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(room + 6)]
        for client in clients:
            client.send(get())
        served, waiting = clients[:room], clients[room:]
        for client in served:
            assert client.response().status == 200
        # The others wait in the backlog, and the server does next to nothing meanwhile.
        mark, cpu_s, began = server.log_mark(), server.cpu_s(), time.monotonic()
        for _ in range(8):
            server.wait_log(" accept_failed ", mark)
            mark = server.log_mark()
        elapsed = time.monotonic() - began
        assert elapsed > 0.2
        assert len(server.log_since(0, " accept_failed ")) < 100 + elapsed * 20
        assert server.cpu_s() - cpu_s < 0.05 + 0.2 * elapsed
        # Those who are connected are served all the while.
        served[0].send(post())
        assert numbers_of(served[0].response().body) == [0, 1, 2]
        # One leaves, one enters.
        for left, entered in zip(served[1:], waiting[:room - 1]):
            left.close()
            assert entered.response().status == 200
    wait_until(lambda: server.metric("millrace_connections") == 1, what="all gone but the one that asks")
    assert server.metric("millrace_accept_failures_total") >= 8


# ---- half-closed ------------------------------------------------------------------------------------------------


def test_a_client_that_half_closes_is_served_to_its_end_only_where_that_is_configured(start):
    body = wire.run_body(NUMBERS, [10, "x", 20])
    server = start(example("numbers.so"), options=["--keep-half-closed"])
    with server.connect() as connection:
        connection.send(post(body))
        connection.socket.shutdown(socket.SHUT_WR)
        response = connection.response()
        assert numbers_of(response.body) == list(range(10))
        assert dict(response.trailers)["Millrace-Run-State"] == "completed"
        assert connection.is_closed()


def test_what_was_asked_before_a_half_close_is_answered(server):
    with server.connect() as connection:
        connection.send(get() * 3)
        connection.socket.shutdown(socket.SHUT_WR)
        assert [connection.response().body for _ in range(3)] == [b"ok\n"] * 3
        assert connection.is_closed()


def test_a_client_that_leaves_is_noticed_also_when_nothing_of_it_is_received(start):
    """It has sent so much ahead that receiving is paused, and its run says nothing."""
    server = start(example("misbehave.so"), options=["--keepalive", "0", "--cancel-grace", "100ms"])
    with server.connect() as connection:
        connection.send(post(wire.run_body("local/misbehave:v1", ["hang", 1, None])))
        response = connection.response_head()
        run_id = wire.check_line(next(connection.body_pieces(response)).split(b"\n")[0])["id"]
        # Above what may wait, and below what the kernel's buffers hold: or its FIN would wait, too.
        connection.send(b"x" * 90_000)
        assert [server.get("/livez").status for _ in range(2)] == [200, 200]  # by then it has all that
    wait_until(lambda: server.get(f"/v4/runs/{run_id}").json()["state"] == "failed")


def test_a_client_that_half_closes_cancels_its_run(server):
    with server.connect() as connection:
        connection.send(post(wire.run_body(NUMBERS, [100000, "x", 20])))
        response = connection.response_head()
        pieces = connection.body_pieces(response)
        run_id = wire.check_line(next(pieces).split(b"\n")[0])["id"]
        connection.socket.shutdown(socket.SHUT_WR)
        with pytest.raises(wire.Closed):
            list(pieces)
    wait_until(lambda: server.get(f"/v4/runs/{run_id}").json()["state"] == "failed")
    assert "client" in server.get(f"/v4/runs/{run_id}").json()["error"]["message"]


# ---- last, since it takes its time --------------------------------------------------------------------------------


def test_a_body_below_the_minimum_rate_is_a_408_after_its_grace(slow_body):
    connection, began = slow_body
    assert_refused(connection, 408)
    assert BODY_GRACE_S - 1 < time.monotonic() - began
