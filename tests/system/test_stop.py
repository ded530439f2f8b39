# SPDX-License-Identifier: MIT
"""How a server ends: in order, at its limit, at once, and when it is killed itself."""

import contextlib
import os
import re
import signal
import subprocess
import time

import pytest

import wire
from server import MILLRACE, SLOWNESS, example, process_exists, wait_until

NUMBERS = "local/numbers:v1"
MISBEHAVE = "local/misbehave:v1"
QUIET = "test/quiet:v1"
EXIT_STOPPED_AT_ONCE = 9
STOPS = [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP]
# What other daemons take, and what ends or halts a program that says nothing of it.
HARMLESS = [signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO, signal.SIGPWR, signal.SIGTTIN,
            signal.SIGTTOU]
SILENT = [signal.SIGPIPE, signal.SIGWINCH, signal.SIGURG, signal.SIGCHLD, signal.SIGCONT, signal.SIGXFSZ]


def worker_pids(server, *pointers):
    return [worker["pid"] for pointer in pointers for worker in server.workers(pointer)]


def assert_gone(pids, timeout_s=1):
    wait_until(lambda: not any(process_exists(pid) for pid in pids), timeout_s * SLOWNESS, "no worker left")


def assert_refuses_connections(server):
    def is_refused():
        try:
            server.connect().close()
        except ConnectionRefusedError:
            return True
        return False

    wait_until(is_refused, what="connections refused")


@pytest.mark.parametrize("number", STOPS)
def test_an_idle_server_stops_at_once_with_0(start, number):
    server = start(example("numbers.so"), options=["--workers", "2"])
    pids = worker_pids(server, NUMBERS)
    server.lines(NUMBERS, 3, "x", 0)
    began = time.monotonic()
    server.signal(number)
    assert server.wait_exit() == 0
    assert time.monotonic() - began < 2 * SLOWNESS
    assert_gone(pids)
    for event in (f" signal signal={int(number)} ", " draining ", " stopped code=0"):
        assert len(server.log_since(0, event)) == 1, event


def test_idle_connections_do_not_delay_the_end(start):
    server = start(example("numbers.so"))
    with contextlib.ExitStack() as stack:
        fresh = stack.enter_context(server.connect())
        used = stack.enter_context(server.connect())
        used.request("GET", "/livez")
        used.response()
        half = stack.enter_context(server.connect())
        half.send(b"GET / HT")
        used.request("GET", "/livez")
        used.response()
        server.signal(signal.SIGTERM)
        assert server.wait_exit() == 0
        assert fresh.is_closed() and used.is_closed()


def test_running_streams_finish_while_nothing_new_is_let_in(start):
    server = start(example("numbers.so"), options=["--concurrency", "4"])
    streams = [server.stream(NUMBERS, 60, f"{number}", 10) for number in range(4)]
    for stream in streams:
        stream.next()
    waiting = server.stream(NUMBERS, 1, "never", 0)
    wait_until(lambda: server.pipeline(NUMBERS)["queued"] == 1)
    server.signal(signal.SIGTERM)
    server.wait_log(" draining ")
    assert_refuses_connections(server)
    # The one that waited is told, at once.
    with waiting:
        head = waiting.begin()
        assert head.status == 503
        assert int(head.header("Retry-After")) >= 1
        [line] = list(waiting)
        assert line["state"] == "no_resources_available"
        assert "stopping" in line["error"]["message"]
    for stream in streams:
        with stream:
            assert [wire.output_of(line)["i"] for line in stream] == list(range(1, 60))
            assert stream.trailers["Millrace-Run-State"] == "completed"
    assert server.wait_exit() == 0


def test_a_draining_server_is_not_ready_and_takes_no_run_on_an_open_connection(start):
    """New connections are refused, so what it says is heard only behind a running stream."""
    server = start(example("numbers.so"))
    with server.connect() as connection:
        stream = wire.Stream(connection, wire.run_body(NUMBERS, [30, "x", 10]))
        stream.next()
        connection.request("GET", "/readyz")
        server.signal(signal.SIGTERM)
        server.wait_log(" draining ")
        assert len(list(stream)) == 29
        ready = connection.response()
        assert ready.status == 503
        assert b"stopping" in ready.body
        assert ready.header("Connection") == "close"
        assert connection.is_closed()
    assert server.wait_exit() == 0


def test_a_run_sent_behind_a_stream_that_drains_is_a_503(start):
    server = start(example("numbers.so"))
    with server.connect() as connection:
        stream = wire.Stream(connection, wire.run_body(NUMBERS, [30, "x", 10]))
        stream.next()
        connection.request("POST", "/v4/runs/stream", wire.run_body(NUMBERS, [1, "x", 0]))
        server.signal(signal.SIGTERM)
        list(stream)
        answer = connection.response()
        assert answer.status == 503
        assert wire.check_line(answer.body)["state"] == "no_resources_available"
    assert server.wait_exit() == 0


def test_a_request_whose_body_is_on_its_way_is_answered_before_the_end(start):
    server = start(example("numbers.so"))
    body = wire.run_body(NUMBERS, [1, "x", 0])
    with server.connect() as connection:
        connection.send(f"POST /v4/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body[:9])
        # The server has seen it when it has seen a later one.
        assert server.get("/livez").status == 200
        server.signal(signal.SIGTERM)
        server.wait_log(" draining ")
        connection.send(body[9:])
        assert connection.response().status == 503
    assert server.wait_exit() == 0


def test_runs_that_outlast_the_limit_end_with_a_typed_error(start, pipelines):
    server = start(f"{QUIET}={pipelines('shapes')}:quiet", options=["--stop-timeout", "300ms", "--concurrency", "2"])
    pids = worker_pids(server, QUIET)
    with server.stream(QUIET, False) as begun, server.stream(QUIET, True) as silent:
        begun.next()
        wait_until(lambda: server.workers(QUIET)[0]["active"] == 2)
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        [line] = list(begun)
        assert 0.25 < time.monotonic() - began < 0.3 + 2 * SLOWNESS
        assert line["error"]["type"] == "unknown"
        assert "the server is stopping" in line["error"]["message"]
        assert begun.trailers["Millrace-Run-State"] == "failed"
        assert silent.begin().status == 503
        [line] = list(silent)
        assert line["error"]["type"] == "unknown"
    assert server.wait_exit() == 0
    assert_gone(pids)
    assert len(server.log_since(0, "quiet was closed, cancelled=1")) == 2
    server.wait_log(" drain_over runs=2")


def test_a_hung_run_does_not_keep_the_server(start):
    server = start(example("misbehave.so"), options=["--stop-timeout", "100ms", "--cancel-grace", "200ms"])
    pids = worker_pids(server, MISBEHAVE)
    with server.stream(MISBEHAVE, "spin", 1, 1) as stream:
        stream.next()
        server.signal(signal.SIGTERM)
        [line] = list(stream)
        assert line["error"]["type"] == "unknown"
    assert server.wait_exit() == 0
    assert_gone(pids)


def test_a_client_that_does_not_read_does_not_keep_the_server(start):
    server = start(example("numbers.so"), options=["--stop-timeout", "100ms", "--cancel-grace", "200ms"])
    with server.connect(receive_buffer_bytes=4096) as connection:
        stream = wire.Stream(connection, wire.run_body(NUMBERS, [1_000_000, "x" * 1000, 0]))
        stream.next()
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.wait_exit() == 0
        assert time.monotonic() - began < 5 * SLOWNESS


def test_a_second_signal_stops_at_once_with_9(start, pipelines):
    server = start(f"{QUIET}={pipelines('shapes')}:quiet", example("misbehave.so"))
    pids = worker_pids(server, QUIET, MISBEHAVE)
    with server.stream(QUIET, False) as quiet, server.stream(MISBEHAVE, "spin", 1, 1) as spinning:
        quiet.next()
        spinning.next()
        server.signal(signal.SIGTERM)
        server.wait_log(" draining ")
        began = time.monotonic()
        server.signal(signal.SIGINT)
        assert server.wait_exit() == EXIT_STOPPED_AT_ONCE
        assert time.monotonic() - began < 1 * SLOWNESS
        for stream in (quiet, spinning):  # told, if the words left in time
            with contextlib.suppress(wire.Closed):
                assert list(stream)[-1]["error"]["message"] == "cancelled: the server is stopping"
    assert_gone(pids)
    server.wait_log(" stopped_at_once runs=2$")
    assert len(server.log_since(0, " run_end .* state=cancelled cause=draining ")) == 2


def test_before_it_drains_a_server_tells_balancers_and_goes_on(start):
    delay_s = 1 * SLOWNESS
    server = start(example("numbers.so"), options=["--concurrency", "4", "--drain-delay", f"{delay_s}s"])
    with server.connect() as kept, server.stream(NUMBERS, 1_000_000, "x", 10) as stream:
        stream.next()
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        server.wait_log(r" info stop_announced runs=1 delay_ms=\d+$")
        ready = server.get("/readyz")
        assert (ready.status, ready.body) == (503, b"the server is stopping\n")
        assert server.get("/livez").status == 200
        assert server.run(NUMBERS, 1, "x", 0).status == 200
        kept.request("GET", "/readyz")
        assert kept.response().status == 503
        stream.next()
        server.wait_log(" draining ")
        # Times of the loop are whole milliseconds.
        assert delay_s - 0.002 <= time.monotonic() - began < delay_s + 2 * SLOWNESS
        assert_refuses_connections(server)
        stream.next()
    assert server.wait_exit() == 0


def test_a_second_signal_ends_the_delay_and_a_third_one_stops_at_once(start):
    server = start(example("numbers.so"), options=["--drain-delay", "1h"])
    with server.stream(NUMBERS, 1_000_000, "x", 10) as stream:
        stream.next()
        server.signal(signal.SIGTERM)
        server.wait_log(" stop_announced ")
        server.signal(signal.SIGTERM)
        server.wait_log(" draining ")
        assert_refuses_connections(server)
        stream.next()
        server.signal(signal.SIGTERM)
        assert server.wait_exit() == EXIT_STOPPED_AT_ONCE


def test_processor_time_that_runs_out_allows_no_delay(start):
    server = start(example("numbers.so"), options=["--drain-delay", "1h"])
    server.signal(signal.SIGXCPU)
    assert server.wait_exit() == 1
    assert server.log_since(0, " draining ")


def test_a_server_that_loads_stops_at_once(start, pipelines):
    server = start(f"test/patient:v1={pipelines('startup')}:patient", wait=False).wait_listening()
    pids = worker_pids(server, "test/patient:v1")
    began = time.monotonic()
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert time.monotonic() - began < 2 * SLOWNESS
    assert_gone(pids)


def holds_signals(pid):
    """Whether the process is past the loader, and SIGTERM no longer ends it by itself."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        masks = re.findall(r"^Sig(?:Blk|Cgt):\s*([0-9a-f]+)$", file.read(), re.MULTILINE)
    return any(int(mask, 16) >> (signal.SIGTERM - 1) & 1 for mask in masks)


def left_behind_by(pid):
    """Command lines that name the server as their parent."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
            if words[0].startswith(b"millrace-") and str(pid).encode() in words and process_exists(int(name)):
                found.append(words)
    return found


@pytest.mark.parametrize("number", STOPS)
def test_a_stop_at_any_moment_of_the_start_ends_with_0_and_leaves_nothing(tmp_path, number):
    """From the first instruction that is not the loader's on."""
    for step in range(30):
        words = [MILLRACE, "serve", example("numbers.so"), "--listen", "127.0.0.1:0"]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              env=dict(os.environ, RUNTIME_DIRECTORY=str(tmp_path))) as process:
            try:
                wait_until(lambda: holds_signals(process.pid))
                time.sleep(step / 1000 * SLOWNESS)
                process.send_signal(number)
                _, log = process.communicate(timeout=20 * SLOWNESS)
            finally:
                process.kill()
        assert process.returncode == 0, (step, log)
        wait_until(lambda: not left_behind_by(process.pid))


def test_what_other_daemons_take_harmlessly_ends_nothing(start):
    server = start(example("numbers.so"))
    with server.stream(NUMBERS, 50, "x", 10) as stream:
        stream.next()
        for number in SILENT + HARMLESS:  # SIGCONT takes back what halts
            server.signal(number)
        for number in HARMLESS:
            server.wait_log(rf' info signal signal={int(number)} sender=\d+ name=SIG\w+ reason="ignored"$')
        assert len(list(stream)) == 49
    assert len(server.log_since(0, " signal ")) == len(HARMLESS)


def test_no_moment_of_the_start_is_too_early_for_a_harmless_signal():
    """From the first instruction that is not the loader's on, also where nobody reads it yet."""
    for step in range(20):
        words = [MILLRACE, "serve", example("numbers.so"), "--listen", "127.0.0.1:0"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            wait_until(lambda: holds_signals(process.pid))
            time.sleep(step / 1000 * SLOWNESS)
            for number in HARMLESS + [signal.SIGUSR1, signal.SIGUSR2]:
                process.send_signal(number)
            assert process.stdout.readline().startswith(b"millrace: ready on "), step
            process.send_signal(signal.SIGTERM)
            assert process.wait(20 * SLOWNESS) == 0


def test_the_limit_on_processor_time_ends_a_server_in_order_with_1_and_is_named(start):
    """The kernel says SIGXCPU once a second from the soft limit on: it is said here."""
    server = start(example("numbers.so"), options=["--concurrency", "2"], command=["prlimit", "--cpu=160"])
    server.wait_log(" warning cpu_limit seconds=149")
    with server.stream(NUMBERS, 50, "x", 10) as short, server.stream(NUMBERS, 1_000_000, "x", 10) as long:
        short.next()
        long.next()
        server.signal(signal.SIGXCPU)
        server.wait_log(r" error signal signal=24 .*name=SIGXCPU reason=\"the limit on processor time ")
        assert len(list(short)) == 49
        server.signal(signal.SIGXCPU)
        *_, last = list(long)
        assert "the server is stopping" in last["error"]["message"]
    assert server.wait_exit() == 1
    assert len(server.log_since(0, " signal ")) == 1


def test_a_killed_server_leaves_no_worker_behind(start, pipelines):
    """Idle, computing, waiting, in the middle of its start: none is left after a second."""
    server = start(example("numbers.so"), example("misbehave.so"), f"{QUIET}={pipelines('shapes')}:quiet",
                   f"test/broken:v1={pipelines('startup')}:broken", options=["--workers", "2"])
    pids = worker_pids(server, NUMBERS, MISBEHAVE, QUIET)
    assert len(pids) == 6
    with server.stream(MISBEHAVE, "spin", 1, 1) as spinning, server.stream(QUIET, False) as quiet, \
            server.stream(NUMBERS, 1_000_000, "x", 0) as flood:
        for stream in (spinning, quiet, flood):
            stream.next()
        began = time.monotonic()
        os.kill(server.process.pid, signal.SIGKILL)
        assert server.wait_exit() == -signal.SIGKILL
        assert_gone(pids)
        assert time.monotonic() - began < 1 * SLOWNESS


def test_a_killed_server_that_was_loading_leaves_no_worker_behind(start, pipelines):
    server = start(f"test/patient:v1={pipelines('startup')}:patient", wait=False).wait_listening()
    pids = worker_pids(server, "test/patient:v1")
    os.kill(server.process.pid, signal.SIGKILL)
    server.wait_exit()
    assert_gone(pids)


def test_workers_end_in_order_and_their_state_is_destroyed(start):
    server = start(f"a/b:v1={example('several.so')}:several")
    server.lines("a/b:v1", "x", None)
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert server.log_since(0, "several is ready")
    assert server.log_since(0, "several served 1 runs")
