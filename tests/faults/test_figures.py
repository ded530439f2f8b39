# SPDX-License-Identifier: MIT
"""The numbers of the fault matrix, over many faults each."""

import datetime
import json
import os
import selectors
import signal
import statistics
import time

import pytest

import wire
from phases import COUNT, FAULTS, NUMBERS, is_idle, worker
from server import IS_SANITIZED, SLOWNESS, example, wait_until

KILL_COUNT = 60
CANCEL_COUNT = 100
STALLED_COUNT = 50
READER_COUNT = 31
GAP_CHUNKS = 100
GAP_ROUNDS = 5
GAP_PACE_MS = 10


def percentiles(values_s, unit_s=1e-3, digits=2):
    values = sorted(values_s)
    p50, p99 = statistics.median(values), values[min(len(values) - 1, int(len(values) * 0.99))]
    return f"p50 {p50 / unit_s:.{digits}f}, p99 {p99 / unit_s:.{digits}f}"


def stamp_of(line):
    return datetime.datetime.fromisoformat(line.split()[0][:-1]).replace(tzinfo=datetime.timezone.utc).timestamp()


def end_row(server):
    """A run that ends when its worker is older than 50 ms: if it dies then, its successor starts without a pause."""
    assert len(server.lines(NUMBERS, 2, "x", 30)) == 2


@pytest.mark.bounded(60)
def test_kill_to_error_line_and_to_replacement(start, figure):
    server = start(example("numbers.so"), options=["--concurrency", "1"])
    to_error, to_ready, to_line = [], [], []
    for _ in range(KILL_COUNT):
        end_row(server)
        mark = server.log_mark()
        pid = worker(server, NUMBERS)["pid"]
        with server.stream(NUMBERS, 100_000, "x", 2) as stream, server.stream(NUMBERS, 1, "x", 0) as waiting:
            stream.next()
            wait_until(lambda: server.pipeline(NUMBERS)["queued"] == 1)
            began, began_wall = time.monotonic(), time.time()
            os.kill(pid, signal.SIGKILL)
            for line in stream.raw_lines():
                last = line
            to_error.append(time.monotonic() - began)
            assert json.loads(last)["error"]["type"] == "pipeline_error"
            waiting.next()
            to_line.append(time.monotonic() - began)
        server.wait_worker(NUMBERS, 0, pid, mark)
        to_ready.append(stamp_of(server.log_since(mark, " worker_ready ")[-1]) - began_wall)
    figure(f"kill to error line {percentiles(to_error)} ms; to a new worker ready {percentiles(to_ready, digits=1)} ms; "
           f"to the first line of a run that waited {percentiles(to_line, digits=1)} ms")
    assert statistics.median(to_error) < 0.1 * SLOWNESS
    # There was no pause, which would be 50 ms.
    assert statistics.median(to_ready) < 0.045 * SLOWNESS


@pytest.mark.bounded(60)
def test_fin_to_cancel_word_and_to_free_slot(start, built, figure):
    """The pipeline asks without a pause whether it is cancelled, and says when it was; the clock is one."""
    server = start(f"{FAULTS}={built('faults')}", options=["--concurrency", "1"])
    to_word, to_free = [], []
    with server.connect() as observer:
        for _ in range(CANCEL_COUNT):
            mark = server.log_mark()
            stream = server.stream(FAULTS, "watch", "streaming", COUNT)
            for _ in range(COUNT - 1):
                stream.next()
            server.wait_log('"watching"', mark)
            began = time.monotonic()
            stream.close()
            # One slot: when it is free, the next run ends.
            wire.Stream(observer, wire.run_body(FAULTS, ["none", "first", 1])).all()
            to_free.append(time.monotonic() - began)
            to_word.append(int(server.wait_log(r"told t_ns=(\d+)", mark)[1]) / 1e9 - began)
            time.sleep(0.03)  # no more than 200 lines a second of one worker are logged
    figure(f"FIN to cancel word seen {percentiles(to_word, 1e-6, 0)} us; to the next run on the slot complete "
           f"{percentiles(to_free)} ms")
    assert statistics.median(to_word) < 0.001 * SLOWNESS * 5


def rss_bytes(server):
    with open(f"/proc/{server.process.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def wait_for_silence(server):
    """What is not read has filled all buffers on its way: no line comes any more."""
    lines = None
    while lines != (now := server.metric("millrace_lines_total")):
        lines = now
        time.sleep(0.3)


@pytest.mark.bounded(60)
@pytest.mark.skipif(IS_SANITIZED, reason="memory under a sanitizer says nothing")
def test_memory_of_a_stalled_client(start, figure):
    window = 64 * 1024
    server = start(example("numbers.so"), options=["--concurrency", str(STALLED_COUNT), "--window", "64k"])
    body = wire.run_body(NUMBERS, [1_000_000, "x" * 200, 0])

    def stalled():
        connections = []
        for _ in range(STALLED_COUNT):
            connections.append(server.connect(receive_buffer_bytes=4096))
            connections[-1].request("POST", "/v4/runs/stream", body)
        wait_for_silence(server)
        return connections

    # Once to warm up, since pages that were touched are kept.
    before = rss_bytes(server)
    connections = stalled()
    grown = (rss_bytes(server) - before) / STALLED_COUNT
    for connection in connections:
        connection.close()
    wait_until(lambda: is_idle(server, NUMBERS))
    again = rss_bytes(server)
    connections = stalled()
    more = (rss_bytes(server) - again) / STALLED_COUNT
    for connection in connections:
        connection.close()
    wait_until(lambda: is_idle(server, NUMBERS))
    figure(f"{grown / 1024:.0f} KiB a stalled client with a window of 64 KiB; {more / 1024:.0f} KiB more the second time")
    # The window counts packed chunks; their lines are longer, and blocks are 16 KiB.
    assert grown < 5 * window
    assert more < window / 2


def p99_gap_of_readers(server, requests):
    """The 99th percentile of the pauses between lines of streams that are all read, in seconds."""
    gaps, selector = [], selectors.DefaultSelector()
    for request in requests:
        connection = server.connect()
        connection.request("POST", "/v4/runs/stream", request, {"Connection": "close"})
        selector.register(connection.socket, selectors.EVENT_READ, [connection, None])
    while selector.get_map():
        for key, _ in selector.select():
            data = key.fileobj.recv(1 << 16)
            now = time.monotonic()
            if not data:
                selector.unregister(key.fileobj)
                key.data[0].close()
                continue
            if b'"i":' in data:
                if key.data[1] is not None:
                    gaps.append(now - key.data[1])
                key.data[1] = now
    return sorted(gaps)[int(len(gaps) * 0.99)]


@pytest.mark.bounded(60)
def test_gaps_of_others_beside_a_stalled_reader(start, figure):
    server = start(example("numbers.so"), options=["--concurrency", "32"])
    requests = [wire.run_body(NUMBERS, [GAP_CHUNKS, f"stream {number}", GAP_PACE_MS]) for number in range(READER_COUNT)]
    results = {"alone": [], "beside": []}
    for _ in range(GAP_ROUNDS):
        results["alone"].append(p99_gap_of_readers(server, requests))
        with server.connect(receive_buffer_bytes=4096) as stuck:
            stuck.request("POST", "/v4/runs/stream", wire.run_body(NUMBERS, [10_000_000, "x" * 500, 0]))
            wait_until(lambda: worker(server, NUMBERS)["active"] == 1)
            wait_for_silence(server)
            results["beside"].append(p99_gap_of_readers(server, requests))
        wait_until(lambda: is_idle(server, NUMBERS))
    # Of several rounds in turn: whatever else the machine does falls on both.
    alone, beside = (statistics.median(results[name]) for name in ("alone", "beside"))
    figure(f"p99 gap of {READER_COUNT} streams at {GAP_PACE_MS} ms: {alone * 1000:.1f} ms, beside a stalled reader "
           f"{beside * 1000:.1f} ms, x{beside / alone:.2f}")
    assert beside < alone * 3 + 0.02 * SLOWNESS
