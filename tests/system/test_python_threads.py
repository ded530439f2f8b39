# SPDX-License-Identifier: MIT
"""millrace serve --python-threads: plain generators of one worker run at once, each in a thread."""

import re
import signal
import time

import pytest

import wire
from server import SLOWNESS, process_cpu_s, process_exists, wait_until
from test_python_loading import interpreters
from test_python_worker import GRAPHS, failure, misbehaving, outputs, pointer, pytestmark, served

assert pytestmark  # of all tests that need the extension: it holds here, too
COUNT = 4


@pytest.fixture(scope="module")
def server(start_shared):
    names = ("numbers", "values", "odd", "misbehave", "failing", "lockstep", "plain", "ended", "speak", "fork", "meeting",
             "hanging", "where", "ticks", "async_misbehave", "slow_to_begin", "original", "asking")
    return start_shared(*served(*names), options=["--concurrency", str(COUNT), "--python-threads", "--cancel-grace",
                                                  "500ms", "--tracebacks", "client"])


def wait_free(server, name):
    wait_until(lambda: server.workers(pointer(name))[0]["active"] == 0, what="a free slot", timeout_s=30 * SLOWNESS)


# ---- at once ---------------------------------------------------------------------------------------

def test_two_runs_of_one_worker_are_in_user_code_at_once(server):
    streams = [server.stream(pointer("meeting"), 20000) for _ in range(2)]
    for stream in streams:
        with stream:
            assert outputs(stream.all()) == [["met"]]


def test_without_threads_they_are_not(start):
    server = start(*served("meeting"), options=["--concurrency", "2"])
    streams = [server.stream(pointer("meeting"), 200) for _ in range(2)]
    for stream in streams:
        with stream:
            assert failure(stream.all())[1]["message"].startswith("BrokenBarrierError")


def test_generators_that_sleep_take_the_time_of_one(server):
    began = time.monotonic()
    streams = [server.stream(pointer("numbers"), 5, 200) for _ in range(COUNT)]
    for stream in streams:
        with stream:
            assert [values["i"] for values, in outputs(stream.all())] == list(range(5))
    took_s = time.monotonic() - began
    assert took_s >= 1
    assert took_s < 2 * SLOWNESS  # 4 s in turns


def test_a_run_that_hangs_delays_no_other_and_is_killed_with_the_worker(server):
    stream = server.stream(pointer("hanging"))
    assert stream.next()["outputs"][0]["value"] == 1
    pid = server.workers(pointer("hanging"))[0]["pid"]
    with server.stream(pointer("hanging")) as other:
        assert other.next()["outputs"][0]["value"] == 1
    stream.close()
    wait_until(lambda: not process_exists(pid), what="the worker's end")
    with server.stream(pointer("hanging")) as stream:
        assert stream.next()["outputs"][0]["value"] == 1


def test_a_generator_that_spins_is_killed_too_and_said_where(server):
    mark = server.log_mark()
    stream = server.stream(misbehaving(server), "spin")
    stream.next()
    pid = server.workers(pointer("misbehave"))[0]["pid"]
    before_s = process_cpu_s(pid)
    # Closed before it spins, it would end as it should.
    wait_until(lambda: process_cpu_s(pid) > before_s + 0.1, what="a generator that spins")
    stream.close()
    wait_until(lambda: not process_exists(pid), what="the worker's end")
    server.wait_log(rf" worker_hung .* pid={pid} ", mark)
    server.wait_log(r'^ +File ".*/worker_graphs\.py", line \d+ in misbehave$', mark)


def test_all_code_of_a_run_is_called_in_one_thread_and_context(server):
    mark = server.log_mark()
    with server.stream(pointer("where")) as stream:
        first = stream.next()
        assert first["outputs"][0]["value"] == [True, False, "of the run"]
    server.wait_log(rf'run={first["id"]} stream=log text="closed in its thread"', mark)
    wait_free(server, "where")


@pytest.mark.parametrize("path", interpreters())
def test_every_interpreter_has_them(start, path):
    server = start(*served("meeting"), options=["--concurrency", "2", "--python-threads", "--python", path])
    streams = [server.stream(pointer("meeting"), 20000) for _ in range(2)]
    for stream in streams:
        with stream:
            assert outputs(stream.all()) == [["met"]]


# ---- what comes ------------------------------------------------------------------------------------

def test_lines_are_whole_and_in_order(server):
    streams = [server.stream(pointer("numbers"), 1000, 0) for _ in range(COUNT)]
    for stream in streams:
        with stream:
            assert [values["i"] for values, in outputs(stream.all())] == list(range(1000))


def test_values_larger_than_the_window_and_the_ring_arrive(server):
    items = ["x" * 100000, "y" * 3000000, "z" * 300000, {"a": [1]}]
    assert [values for values, in outputs(server.lines(pointer("values"), items))] == items


def test_outputs_are_as_without_threads(server):
    assert outputs(server.lines(pointer("lockstep"))) == [[1, "static", "hello"], [2, "static", "world"],
                                                          [3, "static", None], [4, "static", None]]
    assert outputs(server.lines(pointer("plain"), "abc", 1)) == [["ABC", 2]]
    assert outputs(server.lines(pointer("original"), "one two")) == [["one"], ["two"]]
    assert server.lines(pointer("numbers"), 0, 0) == []


@pytest.mark.parametrize("how, kind, message", [
    ("raise", "pipeline_error", "ValueError('boom')"), ("exit", "pipeline_error", "SystemExit(3)"),
    ("memory", "oom", "MemoryError('all of it')"), ("bad repr", "pipeline_error", "BadRepr (its repr() raised ValueError)")])
def test_an_exception_is_an_error_line_behind_the_chunks(server, how, kind, message):
    chunks, error = failure(server.lines(misbehaving(server), how))
    assert chunks == [1]
    assert (error["type"], error["message"]) == (kind, message)
    assert f'File "{GRAPHS}", line ' in error["traceback"]
    assert "millrace_worker" not in error["traceback"]


def test_a_run_that_does_not_start_and_a_value_that_cannot_be_sent_are_errors(server):
    assert failure(server.lines(pointer("failing"), "x"))[1]["message"] == "ValueError('never started')"
    chunks, error = failure(server.lines(pointer("odd"), "set"))
    assert chunks == []
    assert re.fullmatch(r"TypeError: chunk 1 of type set cannot be sent as JSON \(yielded at worker_graphs\.py:\d+\)",
                        error["message"])


def test_a_crash_says_what_its_thread_was_doing(server):
    _, error = failure(server.lines(misbehaving(server), "segv"))
    assert "SIGSEGV" in error["message"]
    assert "in misbehave" in error["traceback"]


@pytest.mark.parametrize("how, status", [("prints", 0), ("returns", 70)])
def test_a_run_may_fork(server, how, status):
    assert outputs(server.lines(pointer("fork"), how)) == [[1], [["child ended with", status]]]


def test_asynchronous_pipelines_are_driven_by_the_event_loop_as_ever(server):
    mark = server.log_mark()
    streams = [server.stream(pointer("ticks"), 5, 20) for _ in range(2)]
    for stream in streams:
        with stream:
            lines = stream.all()
            assert [values for values, in outputs(lines)] == list(range(5))
            server.wait_log(rf'run={lines[0]["id"]} stream=log text="closed in its task"', mark)
    assert failure(server.lines(pointer("async_misbehave"), "start"))[1]["message"] == "ValueError('never started')"


# ---- ends ------------------------------------------------------------------------------------------

def test_a_client_that_leaves_closes_the_generator(server):
    pid = server.workers(pointer("numbers"))[0]["pid"]
    mark = server.log_mark()
    streams = [server.stream(pointer("numbers"), 10 ** 6, 10) for _ in range(2)]
    ids = [stream.next()["id"] for stream in streams]
    for stream, run in zip(streams, ids):
        stream.close()
        server.wait_log(rf'run={run} stream=log text="closed after \d+"', mark)
    wait_free(server, "numbers")
    assert server.workers(pointer("numbers"))[0]["pid"] == pid


def test_a_client_that_leaves_while_its_line_waits_for_the_window_closes_the_generator(server):
    mark = server.log_mark()
    with server.connect(receive_buffer_bytes=4096) as connection:
        stream = wire.Stream(connection, wire.run_body(pointer("numbers"), [10 ** 7, 0]))
        stream.next()
        time.sleep(0.3)  # what it makes meanwhile is bounded, however long this is
    assert int(server.wait_log(r'text="closed after (\d+)"', mark)[1]) < 100000
    wait_free(server, "numbers")


def test_an_iterator_that_can_be_ended_is_ended(server):
    mark = server.log_mark()
    with server.stream(pointer("ended")) as stream:
        stream.next()
    server.wait_log(r'text="end was called"', mark)


def test_a_run_that_works_for_long_may_ask_who_it_is_and_whether_it_was_cancelled(server):
    mark = server.log_mark()
    with server.stream(pointer("asking")) as stream, server.stream(pointer("asking")) as other:
        lines = [stream.next(), other.next()]
        assert outputs(lines) == [[line["id"]] for line in lines]
        for line in lines:
            server.wait_log(rf'run={line["id"]} stream=log text="asks"', mark)
    for line in lines:
        server.wait_log(rf'run={line["id"]} stream=log text="saw that it was cancelled"', mark)


def test_a_server_that_stops_closes_generators_in_their_threads(start):
    server = start(*served("where"), options=["--concurrency", "2", "--python-threads", "--stop-timeout", "100ms"])
    with server.stream(pointer("where")) as stream:
        stream.next()
        server.signal(signal.SIGTERM)
        assert "the server is stopping" in list(stream)[-1]["error"]["message"]
    assert server.wait_exit() == 0
    server.wait_log(r'text="closed in its thread"')


def test_a_run_that_is_cancelled_before_it_turns_out_asynchronous_ends(server):
    mark = server.log_mark()
    pid = server.workers(pointer("slow_to_begin"))[0]["pid"]
    stream = server.stream(pointer("slow_to_begin"))
    server.wait_log(r'text="about to begin"', mark)
    stream.close()
    wait_free(server, "slow_to_begin")
    assert server.workers(pointer("slow_to_begin"))[0]["pid"] == pid


# ---- output ----------------------------------------------------------------------------------------

def test_what_runs_print_at_once_is_tagged_with_each(server):
    mark = server.log_mark()
    streams = [server.stream(pointer("speak"), "print") for _ in range(COUNT)]
    ids = set()
    for stream in streams:
        with stream:
            ids.add(stream.all()[0]["id"])
    assert len(ids) == COUNT
    for run in ids:
        server.wait_log(rf'run={run} stream=log text="to stdout"', mark)
        server.wait_log(rf'run={run} stream=log text="without an end"', mark)


def test_a_flood_of_output_spoils_no_chunk(server):
    streams = [server.stream(pointer("speak"), "flood") for _ in range(2)]
    for stream in streams:
        with stream:
            assert outputs(stream.all()) == [[1], [2]]
