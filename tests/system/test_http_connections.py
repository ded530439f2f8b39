# SPDX-License-Identifier: MIT
"""Connections: how many there may be, idle ones, half-closed ones."""

import contextlib
import os
import socket
import time

import pytest

import wire
from server import SLOWNESS, example, wait_until
from wire import get, numbers_of, post

NUMBERS = "local/numbers:v1"


@pytest.fixture(scope="module")
def server(start_shared):
    return start_shared(example("numbers.so"),
                        options=["--concurrency", "8", "--body-limit", "100k", "--head-timeout", "400ms",
                                 "--idle-timeout", "700ms"])


# ---- idle --------------------------------------------------------------------------------------------


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


# ---- more clients than there is room for -------------------------------------------------------------


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
    # What 16 connections, one worker and its successor are said to need at most.
    limit = 64 + 2 * 10 + 16
    crowd = 'for ((fd = 10; fd < 82; fd++)); do eval "exec $fd</dev/null"; done; exec prlimit --nofile="$@"'
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


# ---- half-closed -------------------------------------------------------------------------------------


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
