# SPDX-License-Identifier: MIT
"""HTTP on the wire: limits, and everything ambiguous or malformed refused."""

import contextlib
import random
import socket
import time

import pytest

import wire
from server import SLOWNESS, example, wait_until
from wire import RUN, assert_refused, chunked, get, numbers_of, post

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
    connection.send(b"POST /v4/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
    began = time.monotonic()
    yield connection, began
    connection.close()


# ---- limits ------------------------------------------------------------------------------------------


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
    post(b" " * (100 * 1024 + 1)), b"POST /v4/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9223372036854775807\r\n\r\n",
    chunked(b" " * (100 * 1024), b" "), chunked(last=b"ffffffffffffffff\r\n"), chunked(last=b"7fffffffffffffff\r\n"),
], ids=["length", "absurd", "chunked", "largest", "large"])
def test_a_body_above_the_limit_is_a_413(connection, request_bytes):
    connection.send(request_bytes)
    assert_refused(connection, 413)


@pytest.mark.parametrize("part", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: y\r\n"])
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


# ---- what is ambiguous -------------------------------------------------------------------------------

SMUGGLED = get("/status")
HOST = b"Host: localhost\r\n"
POST = b"POST /v4/runs HTTP/1.1\r\nHost: localhost\r\n"

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
    "an_lf_as_the_empty_line": (400, b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\n"),
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
    "two_hosts": (400, b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"),
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
    connection.send(b"HEAD /livez HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: the-first\r\n\r\n")
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
    connection.send(b"POST /v4/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n")
    assert connection.response().status == 413
    assert connection.socket.recv(1) == b"", "a FIN, no reset"
    for _ in range(40):
        connection.send(b"x" * 10000)


def test_a_refusal_reaches_a_client_that_sends_all_of_a_large_body_first(connection):
    connection.send(post(b"x" * 20_000_000, path="/nowhere"))
    assert connection.response().status == 404
    assert connection.socket.recv(1) == b"", "a FIN, no reset"


# ---- garbage -----------------------------------------------------------------------------------------


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


# ---- last, since it takes its time -------------------------------------------------------------------


def test_a_body_below_the_minimum_rate_is_a_408_after_its_grace(slow_body):
    connection, began = slow_body
    assert_refused(connection, 408)
    assert BODY_GRACE_S - 1 < time.monotonic() - began
