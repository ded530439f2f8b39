# SPDX-License-Identifier: MIT
"""The worker for Python: runs that share it at once, each a task of its own."""

import time

import pytest

from server import SLOWNESS, wait_until
from test_python_worker import GRACE_MS, assert_lockstep, failure, outputs, pointer, pytestmark, served

assert pytestmark  # of all tests that need the extension: it holds here, too


@pytest.fixture(scope="module")
def concurrent(start_shared):
    return start_shared(*served("numbers", "ticks", "async_misbehave", "async_lockstep", "fat", "slow_to_begin",
                                "asking_asynchronously"),
                        options=["--concurrency", "4", "--cancel-grace", f"{GRACE_MS}ms", "--tracebacks",
                                 "client"])


def test_asynchronous_streams_advance_in_lock_step(concurrent):
    assert_lockstep(concurrent, "async_lockstep")


def test_asynchronous_runs_share_a_worker_at_once(concurrent):
    began = time.monotonic()
    streams = [concurrent.stream(pointer("ticks"), 10, 50) for _ in range(4)]
    for stream in streams:
        with stream:
            assert [values for values, in outputs(stream.all())] == list(range(10))
    assert time.monotonic() - began < 1.5 * SLOWNESS


def test_asynchronous_output_is_tagged_with_its_run(concurrent):
    mark = concurrent.log_mark()
    first, second = (concurrent.stream(pointer("ticks"), 3, 20) for _ in range(2))
    ids = {stream.all()[0]["id"] for stream in (first, second)}
    assert len(ids) == 2
    for run in ids:
        concurrent.wait_log(rf'run={run} stream=log text="tick 2"', mark)
        concurrent.wait_log(rf'run={run} stream=log text="closed in its task"', mark)


def test_a_client_that_leaves_closes_an_asynchronous_generator_in_its_task(concurrent):
    mark = concurrent.log_mark()
    with concurrent.stream(pointer("ticks"), 10 ** 6, 5) as stream:
        run = stream.next()["id"]
    concurrent.wait_log(rf'run={run} stream=log text="closed in its task"', mark)
    wait_until(lambda: concurrent.workers(pointer("ticks"))[0]["active"] == 0, what="a free slot")


@pytest.mark.parametrize("how, chunks, message", [
    ("raise", [1], "ValueError('boom')"), ("exit", [1], "SystemExit(3)"), ("start", [], "ValueError('never started')"),
    ("set", [1], "TypeError: chunk 2 of type set cannot be sent as JSON (yielded at worker_graphs.py:")])
def test_an_asynchronous_failure_is_an_error_line(concurrent, how, chunks, message):
    sent, error = failure(concurrent.lines(pointer("async_misbehave"), how))
    assert (sent, error["message"][:len(message)]) == (chunks, message)
    assert "millrace_worker" not in (error["traceback"] or "")


def test_a_task_that_exits_ends_neither_the_worker_nor_the_run(concurrent):
    pid = concurrent.workers(pointer("async_misbehave"))[0]["pid"]
    assert outputs(concurrent.lines(pointer("async_misbehave"), "task")) == [[1], ["last"]]
    assert concurrent.workers(pointer("async_misbehave"))[0]["pid"] == pid


def test_a_thread_of_an_asynchronous_run_speaks_for_it(concurrent):
    mark = concurrent.log_mark()
    lines = concurrent.lines(pointer("async_misbehave"), "thread")
    concurrent.wait_log(rf'run={lines[0]["id"]} stream=log text="of a thread"', mark)


def test_a_run_that_swallows_its_cancellation_ends_all_the_same(concurrent):
    with concurrent.stream(pointer("async_misbehave"), "swallow") as stream:
        stream.next()
        pid = concurrent.workers(pointer("async_misbehave"))[0]["pid"]
    wait_until(lambda: concurrent.workers(pointer("async_misbehave"))[0]["active"] == 0, what="a free slot")
    assert concurrent.workers(pointer("async_misbehave"))[0]["pid"] == pid


def test_a_run_that_is_cancelled_before_its_task_begins_ends_all_the_same(concurrent):
    mark = concurrent.log_mark()
    pid = concurrent.workers(pointer("slow_to_begin"))[0]["pid"]
    stream = concurrent.stream(pointer("slow_to_begin"))
    concurrent.wait_log(r'text="about to begin"', mark)
    stream.close()
    wait_until(lambda: concurrent.workers(pointer("slow_to_begin"))[0]["active"] == 0, what="a free slot")
    assert concurrent.workers(pointer("slow_to_begin"))[0]["pid"] == pid


def test_an_asynchronous_run_waits_for_its_window_and_goes_on(concurrent):
    lines = concurrent.lines(pointer("fat"), 100, 50000)
    assert len(lines) == 100
    assert all(len(values) == 50000 for values, in outputs(lines))


def test_asynchronous_values_larger_than_the_ring_arrive(concurrent):
    (line, ) = concurrent.lines(pointer("fat"), 1, 3 * 1024 * 1024)
    assert len(line["outputs"][0]["value"]) == 3 * 1024 * 1024


def test_plain_generators_of_one_worker_take_turns(concurrent):
    began = time.monotonic()
    streams = [concurrent.stream(pointer("numbers"), 10, 10) for _ in range(3)]
    for stream in streams:
        with stream:
            assert len(stream.all()) == 10
    assert time.monotonic() - began < 3 * SLOWNESS


def test_an_asynchronous_run_and_its_threads_know_who_they_are(concurrent):
    mark = concurrent.log_mark()
    with concurrent.stream(pointer("asking_asynchronously")) as stream:
        line = stream.next()
        assert outputs([line]) == [[line["id"]]]
    concurrent.wait_log(rf'text="asked in {line["id"]}"', mark)
    wait_until(lambda: concurrent.workers(pointer("asking_asynchronously"))[0]["active"] == 0, what="a free slot")
