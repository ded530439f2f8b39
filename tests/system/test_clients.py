# SPDX-License-Identifier: MIT
"""Clients that leave, or do not read: their runs end, and nobody else notices."""

import os
import threading
import time

import pytest

import wire
from server import SLOWNESS, example, wait_until

NUMBERS = "local/numbers:v1"
QUIET = "test/quiet:v1"
WINDOW_BYTES = 64 * 1024


@pytest.fixture(scope="module")
def server(start_shared, pipelines):
    return start_shared(example("numbers.so"), f"{QUIET}={pipelines('shapes')}:quiet",
                        options=["--concurrency", "8", "--window", "64k", "--log-level", "debug"])


def is_free(server, pointer):
    return all(worker["active"] == 0 for worker in server.workers(pointer))


# ---- leaving ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_cancels_its_run_and_the_iterator_is_closed(server, how):
    mark = server.log_mark()
    stream = server.stream(QUIET, False)
    first = stream.next()
    assert server.workers(QUIET)[0]["active"] == 1
    getattr(stream.connection, how)()
    line = server.wait_log(r" output .* run=(run_\w+) .*quiet was closed, cancelled=(\d)", mark)
    assert line.groups() == (first["id"], "1")
    wait_until(lambda: is_free(server, QUIET))
    assert "state=cancelled cause=client_gone" in server.wait_run_end(first["id"], mark)
    past = server.get(f"/v4/runs/{first['id']}").json()
    assert past["state"] == "failed"
    assert past["error"]["message"] == "cancelled: the client went away"


def test_a_client_that_leaves_in_mid_flood_cancels_its_run(server):
    stream = server.stream(NUMBERS, 100_000_000, "x", 0)
    for _ in range(100):
        run_id = stream.next()["id"]
    stream.close()
    wait_until(lambda: is_free(server, NUMBERS))
    assert server.get(f"/v4/runs/{run_id}").json()["state"] == "failed"


def test_a_client_that_leaves_the_queue_is_forgotten(start):
    server = start(example("numbers.so"))
    with server.stream(NUMBERS, 100000, "x", 10) as running:
        running.next()
        waiting = [server.stream(NUMBERS, 1, "x", 0) for _ in range(5)]
        wait_until(lambda: server.pipeline(NUMBERS)["queued"] == 5)
        for stream in waiting[:4]:
            stream.close()
        wait_until(lambda: server.pipeline(NUMBERS)["queued"] == 1)
    assert len(waiting[4].all()) == 1
    waiting[4].close()
    # The one that ran, and four that never started; those were cancelled too.
    left = f'millrace_runs_cancelled_total{{pipeline="{NUMBERS}",cause="client_gone"}}'
    wait_until(lambda: server.metric(left) == 5)


def test_a_client_that_leaves_during_a_plain_run_cancels_it(server):
    with server.connect() as connection:
        connection.request("POST", "/v4/runs", wire.run_body(QUIET, [False]))
        wait_until(lambda: not is_free(server, QUIET))
    wait_until(lambda: is_free(server, QUIET))


def test_hundreds_of_clients_that_leave_at_once_leave_nothing_behind(server):
    count = len(os.listdir(f"/proc/{server.process.pid}/fd"))
    streams = [server.stream(NUMBERS, 100000, "x", 5) for _ in range(200)]
    for stream in streams[:8]:
        stream.next()
    for number, stream in enumerate(streams):
        if number % 2:
            stream.connection.reset()
        else:
            stream.close()
    wait_until(lambda: server.metric("millrace_runs") == 0, what="no run left")
    wait_until(lambda: server.metric("millrace_connections") == 1, what="no connection left")
    wait_until(lambda: len(os.listdir(f"/proc/{server.process.pid}/fd")) <= count, what="no descriptor left")
    assert is_free(server, NUMBERS)
    assert server.metric("millrace_output_memory_bytes") <= 16384


# ---- not reading --------------------------------------------------------------------------------------


def lines_produced(server, run_id):
    return server.get(f"/v4/runs/{run_id}").json()["lines"]


def wait_blocked(server, run_id):
    """The run's client reads nothing: sooner or later its pipeline makes nothing more. How many lines."""
    before, since = -1, time.monotonic()
    while time.monotonic() - since < 0.2:
        now = lines_produced(server, run_id)
        if now != before:
            before, since = now, time.monotonic()
    return before


def test_a_client_that_reads_nothing_holds_a_window_and_disturbs_nobody_on_its_worker(server):
    chunk = "x" * 1000
    with server.connect(receive_buffer_bytes=4096) as connection:
        stuck = wire.Stream(connection, wire.run_body(NUMBERS, [20000, chunk, 0]))
        first = stuck.next()
        made = wait_blocked(server, first["id"])
        # Far from all of it: the kernel's buffers and one window, but not 20 MB.
        assert made < 15000
        # Waiting costs the server nothing.
        cpu_s = server.cpu_s()
        times = []
        for _ in range(4):
            began = time.monotonic()
            assert len(server.lines(NUMBERS, 3000, "other", 0)) == 3000
            times.append(time.monotonic() - began)
        assert max(times) < 5 * SLOWNESS
        assert server.cpu_s() - cpu_s < 2 * SLOWNESS
        assert lines_produced(server, first["id"]) == made
        # And when it reads at last, everything is there.
        numbers = [0] + [wire.output_of(line)["i"] for line in stuck]
        assert numbers == list(range(20000))
        assert stuck.trailers["Millrace-Run-State"] == "completed"


def test_four_readers_finish_while_one_reads_nothing_and_one_reads_slowly(server):
    with server.connect(receive_buffer_bytes=4096) as connection, server.stream(NUMBERS, 400, "y" * 500, 0) as slow:
        stuck = wire.Stream(connection, wire.run_body(NUMBERS, [100000, "x" * 500, 0]))
        stuck.begin()
        results = [None] * 4

        def read(index):
            results[index] = len(server.lines(NUMBERS, 5000, str(index), 0))

        threads = [threading.Thread(target=read, args=(index,)) for index in range(4)]
        for thread in threads:
            thread.start()
        slowly = [wire.output_of(slow.next())["i"]]
        for thread in threads:
            thread.join()
            slowly.append(wire.output_of(slow.next())["i"])
        assert results == [5000] * 4
        assert slowly + [wire.output_of(line)["i"] for line in slow] == list(range(400))


def test_a_client_that_reads_nothing_for_the_stall_timeout_loses_its_run(start):
    server = start(example("numbers.so"), options=["--stall-timeout", "300ms", "--log-level", "debug"])
    with server.connect(receive_buffer_bytes=4096) as connection:
        stream = wire.Stream(connection, wire.run_body(NUMBERS, [100_000_000, "x" * 1000, 0]))
        first = stream.next()
        server.wait_log(" client_stalled ")
        assert "state=cancelled cause=client_stalled" in server.wait_run_end(first["id"])
        wait_until(lambda: is_free(server, NUMBERS))
        # What had been sent can be read; there is no end that looks like one.
        with pytest.raises(wire.Closed):
            list(stream)
    assert len(server.lines(NUMBERS, 3, "x", 0)) == 3


def test_a_slow_reader_is_not_stalled(start):
    server = start(example("numbers.so"), options=["--stall-timeout", "1s"])
    with server.connect(receive_buffer_bytes=4096) as connection:
        stream = wire.Stream(connection, wire.run_body(NUMBERS, [3000, "x" * 1000, 0]))
        numbers = []
        for line in stream:
            numbers.append(wire.output_of(line)["i"])
            # As slow as the limit allows by far, but never silent.
            if len(numbers) % 100 == 0:
                threading.Event().wait(0.05)
        assert numbers == list(range(3000))
    assert server.log_since(0, " client_stalled ") == []


def test_output_memory_is_bounded_and_the_run_that_needs_more_fails(start):
    """Thirty clients read nothing, and there is memory for the windows of fewer. Who has its window waits
    and is complete in the end; the others end with a line that says why. Nobody is cut."""
    server = start(example("numbers.so"), options=["--concurrency", "30", "--output-memory", "2m", "--window", "64k"])
    streams = []
    try:
        for _ in range(30):
            connection = server.connect(receive_buffer_bytes=4096)
            streams.append(wire.Stream(connection, wire.run_body(NUMBERS, [15000, "x" * 300, 0])))
        server.wait_log(r" run_end .* error=oom ")
        ends = [how_it_ended(stream, 15000) for stream in streams]
    finally:
        for stream in streams:
            stream.close()
    assert "oom" in ends and set(ends) <= {"oom", "completed"}, ends
    assert len(server.lines(NUMBERS, 3, "x", 0)) == 3
    wait_until(lambda: server.metric("millrace_output_memory_bytes") <= 16384)


def how_it_ended(stream, count):
    try:
        lines = list(stream.raw_lines())
    except wire.Closed:
        return "cut"
    last = wire.check_line(lines[-1])
    if last["error"]:
        assert last["error"]["type"] == "oom"
        return "oom"
    assert len(lines) == count
    assert wire.output_of(last)["i"] == count - 1
    return "completed"
