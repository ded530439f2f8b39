# SPDX-License-Identifier: MIT
"""Clients that leave, close half, stop reading or hardly read, in every phase of their run."""

import re
import socket
import statistics
import time

import pytest

import wire
from phases import COUNT, FAULTS, FINISHED_COUNT, NUMBERS, PHASES, Held, is_idle, worker
from server import SLOWNESS, example, wait_until

STALL_S = 0.5
OPTIONS = ["--stall-timeout", f"{int(STALL_S * 1000)}ms", "--cancel-grace", "2s", "--keepalive", "0",
           "--log-level", "debug"]


@pytest.fixture(scope="module")
def shared(start_shared, built):
    return start_shared(f"{FAULTS}={built('faults')}", example("numbers.so"), options=OPTIONS)


@pytest.fixture
def server(shared):
    wait_until(lambda: worker(shared)["state"] == "ready" and is_idle(shared), what="an idle server")
    return shared


def leave(connection, how):
    if how == "FIN":
        connection.close()
    elif how == "RST":
        connection.reset()
    else:
        connection.socket.shutdown(socket.SHUT_WR)


def first_run_of(server, mark, pattern):
    return int(server.wait_log(pattern, mark)[1]) / 1e9


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("how", ["FIN", "RST", "half-close"])
def test_leave(server, figure, how, phase):
    """The run is cancelled wherever it is, exactly once; its slot or place is free; the worker lives."""
    with Held(server, phase, "watch") as held:
        mark = server.log_mark()
        pid = worker(server)["pid"]
        began = time.monotonic()
        leave(held.stream.connection, how)
        if phase == "queued":
            wait_until(lambda: server.pipeline(FAULTS)["queued"] == 0)
            text = "place free"
        elif phase == "starting":
            wait_until(lambda: server.pipeline(FAULTS)["queued"] == 0)
            held.release()
            wait_until(lambda: worker(server)["state"] == "ready")
            pid = worker(server)["pid"]
            text = "place free and worker ready"
        elif phase == "finishing":
            if how == "half-close":
                # Its run is over; what is left is still sent to those who read.
                assert len(list(held.stream)) == FINISHED_COUNT
            text = "nothing left"
        else:
            told = first_run_of(server, mark, r"told t_ns=(\d+)") - began
            assert told < 0.1 * SLOWNESS
            text = f"worker told after {told * 1000:.2f} ms, slot free"
            wait_until(lambda: is_idle(server))
        if phase != "finishing":
            text += f" after {(time.monotonic() - began) * 1000:.1f} ms"
        held.release()
        if phase != "queued":
            held.stream.close()
        wait_until(held.is_over, what="nothing of it left")
        if phase == "finishing":
            text += f" after {(time.monotonic() - began) * 1000:.1f} ms"
    ends = server.log_since(held.mark, r" run_end ")
    runs = [re.search(r"run=(\w+)", line)[1] for line in ends]
    assert len(runs) == len(set(runs)) == (2 if phase == "queued" else 1), ends
    for line in ends:
        assert ("state=completed" if phase == "finishing" else "state=cancelled cause=client_gone") in line
    assert worker(server)["pid"] == pid
    assert len(server.lines(FAULTS, "none", "first", COUNT)) == COUNT
    figure(text)


@pytest.mark.parametrize("phase", ["streaming", "finishing"])
@pytest.mark.parametrize("how", ["stall", "trickle"])
def test_stall(server, figure, how, phase):
    """Whoever reads nothing, or a byte now and then, is let go after the stall limit: a completed run stays
    completed, one that still streams is cancelled."""
    # A collected result is far larger than what the kernel's buffers take from the server.
    count, path = (1_000_000, "/v4/runs/stream") if phase == "streaming" else (20_000, "/v4/runs")
    with server.connect(receive_buffer_bytes=4096) as connection:
        mark = server.log_mark()
        wire.Stream(connection, wire.run_body(NUMBERS, [count, "x" * 500, 0]), path=path)
        began = time.monotonic()
        while not server.log_since(mark, " client_stalled "):
            if how == "trickle":
                connection.socket.recv(1)
            assert time.monotonic() - began < (STALL_S + 2) * SLOWNESS
            time.sleep(0.02)
        took = time.monotonic() - began
        assert took > STALL_S * 0.9
    end = server.wait_log(r" run_end run=\w+ .* state=(\w+)", mark)[1]
    assert end == ("cancelled" if phase == "streaming" else "completed")
    wait_until(lambda: is_idle(server, NUMBERS) and server.metric("millrace_runs") == 0)
    figure(f"let go after {took * 1000:.0f} ms of a limit of {STALL_S * 1000:.0f} ms")


@pytest.mark.parametrize("phase", PHASES)
def test_delete(server, figure, phase):
    """DELETE ends a run wherever it is, but not one that is over."""
    with Held(server, phase) as held:
        if phase == "finishing":
            run_id = server.wait_log(r" run_end run=(\w+) ", held.mark)[1]
            server.ask("DELETE", f"/v4/runs/{run_id}")
            assert len(list(held.stream)) == FINISHED_COUNT
            assert server.get(f"/v4/runs/{run_id}").json()["state"] == "completed"
            figure("completed all the same")
            return
        [run_id] = [run["id"] for run in server.get("/v4/runs").json()["data"]
                    if run["state"] == ("running" if phase in ("first", "streaming") else "queued")]
        began = time.monotonic()
        assert server.ask("DELETE", f"/v4/runs/{run_id}").status == 200
        lines = list(held.stream)
        took = time.monotonic() - began
        assert lines[-1]["error"]["type"] == "unknown"
        assert "cancelled" in lines[-1]["error"]["message"]
        assert took < 0.2 * SLOWNESS
        held.release()
        wait_until(lambda: worker(server)["state"] == "ready")
    wait_until(held.is_over)
    figure(f"error line after {took * 1000:.1f} ms")


@pytest.mark.parametrize("phase", PHASES)
def test_deadline(server, figure, phase):
    """X-Request-Timeout ends a run wherever it is; one that waits never starts; one that is over is over."""
    began = time.monotonic()
    with Held(server, phase, headers={"X-Request-Timeout": "0.3"}) as held:
        lines = list(held.stream)
        took = time.monotonic() - began
        if phase == "finishing":
            assert len(lines) == FINISHED_COUNT
            assert lines[-1]["error"] is None
        else:
            assert lines[-1]["error"]["type"] == "timeout"
            assert 0.29 < took < 0.8 * SLOWNESS
            assert held.stream.response.status == (200 if phase == "streaming" else 504)
        held.release()
        wait_until(lambda: worker(server)["state"] == "ready")
    wait_until(held.is_over)
    figure("completed" if phase == "finishing" else f"error line after {took * 1000:.0f} ms of a limit of 300 ms")


def test_leaving_in_the_middle_of_the_body_makes_no_run(server, figure):
    before = server.metric("millrace_runs")
    body = wire.run_body(FAULTS, ["none", "first", COUNT])
    times = []
    for how in ("FIN", "RST", "half-close"):
        mark = server.log_mark()
        with server.connect() as connection:
            connection.send(connection.head("POST", "/v4/runs/stream", {"Content-Length": len(body)}) + body[:-5])
            began = time.monotonic()
            leave(connection, how)
            wait_until(lambda: server.metric("millrace_connections") == 1, what="the connection gone")
            times.append(time.monotonic() - began)
        assert server.metric("millrace_runs") == before
        assert not server.log_since(mark, " run_end ")
    figure(f"connection gone after {statistics.median(times) * 1000:.1f} ms")
