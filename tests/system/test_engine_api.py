# SPDX-License-Identifier: MIT
"""Pipelines that are engines: many runs in one step, each with its own end."""

import json
import os
import re
import signal
import threading

import pytest

import wire
from operator_socket import pipeline_state
from server import example, wait_until

POINTER = "local/engine:v1"
STREAM_COUNT = 32


@pytest.fixture(scope="module")
def server(start_shared, pipelines):
    return start_shared(pipelines("engine"), options=["--concurrency", "64", "--cancel-grace", "5s"])


def open_stream(server, word="none", count=10, at=-1, ms=2, **connection):
    """A run whose values are [its number, the number of the step, runs in that step]."""
    return wire.Stream(server.connect(**connection), wire.run_body(POINTER, [word, count, at, ms]))


def values_of(stream):
    with stream:
        return [wire.output_of(line) for line in stream.all() if line["error"] is None]


def read_all(streams):
    """The values of each stream, read at the same time."""
    values = [None] * len(streams)

    def read(i):
        values[i] = values_of(streams[i])

    threads = [threading.Thread(target=read, args=[i]) for i in range(len(streams))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return values


def assert_whole(values, count):
    assert [value[0] for value in values] == list(range(count))
    steps = [value[1] for value in values]
    assert steps == list(range(steps[0], steps[0] + count)), "it has had no value in some step"


def worker_of(server):
    worker, = server.workers(POINTER)
    return worker["pid"]


def test_many_runs_share_each_step(server):
    count = 200
    values = read_all([open_stream(server, count=count, ms=5) for _ in range(STREAM_COUNT)])
    for own in values:
        assert_whole(own, count)
    steps = {value[1] for own in values for value in own}
    # One after the other they would take 32 times as many.
    assert len(steps) < count * 3
    assert max(value[2] for own in values for value in own) > STREAM_COUNT // 2


def test_a_thousand_streams_go_through_one_engine_in_order(start, pipelines):
    count, rest = 10, 1000
    server = start(pipelines("engine"), options=["--concurrency", "256", "--queue", "1000"])
    values = []
    lock = threading.Lock()

    def read():
        nonlocal rest
        while True:
            with lock:
                rest -= 1
                if rest < 0:
                    return
            own = values_of(open_stream(server, count=count, ms=1))
            with lock:
                values.append(own)

    threads = [threading.Thread(target=read) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(values) == 1000
    for own in values:
        assert_whole(own, count)


def test_one_fails_one_is_cancelled_one_stalls_and_the_others_are_whole(server):
    count = 200
    others = [open_stream(server, count=count, ms=5) for _ in range(STREAM_COUNT - 3)]
    failing = open_stream(server, "fail", count, at=17, ms=5)
    leaving = open_stream(server, count=0, ms=5)
    stalled = open_stream(server, count=0, ms=5, receive_buffer_bytes=4096)
    run_id = leaving.next()["id"]
    stalled_id = stalled.next()["id"]
    mark = server.log_mark()
    leaving.close()
    values = read_all([*others])
    for own in values:
        assert_whole(own, count)
    with failing:
        lines = failing.all()
    assert [wire.output_of(line)[0] for line in lines[:-1]] == list(range(17))
    assert lines[-1]["error"]["type"] == "cuda_error" and "failed at 17" in lines[-1]["error"]["message"]
    assert "state=cancelled" in server.wait_run_end(run_id, mark)
    assert server.log_since(0, f"run={run_id} .*evicted after")
    assert not server.log_since(0, f"run={stalled_id} .*evicted after")
    stalled.close()
    server.wait_log(f"run={stalled_id} .*evicted after")


def test_an_evicted_run_has_no_step_after_its_cancellation_was_heard(server):
    with open_stream(server, count=0, ms=300) as stream:
        line = stream.next()
        step = wire.output_of(line)[1]
    after = int(server.wait_log(rf"run={line['id']} .*evicted after (\d+) steps")[1])
    # The connection's end may come within the next step, whose end is then the last.
    assert after - step <= 2


def test_a_stalled_client_costs_no_processor_time(server):
    with open_stream(server, count=0, ms=0, receive_buffer_bytes=4096) as stream:
        stream.next()
        pid = worker_of(server)
        wait_until(lambda: switches_in(pid, 0.2) == 0, what="the worker's rest")
        assert switches_in(pid, 1) == 0
        again = open_stream(server, count=20)
        assert_whole(values_of(again), 20)


def switches_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"^voluntary_ctxt_switches:\s(\d+)", file.read(), re.MULTILINE)[1])


def switches_in(pid, seconds):
    """How often it went to sleep anew in that time."""
    before = switches_of(pid)
    threading.Event().wait(seconds)
    return switches_of(pid) - before


def test_an_idle_engine_does_not_wake_up(server):
    values_of(open_stream(server, count=3))
    pid = worker_of(server)
    wait_until(lambda: switches_in(pid, 0.2) == 0, what="the worker's rest")
    assert switches_in(pid, 1) == 0


def test_a_step_that_fails_ends_all_its_runs_and_the_worker_goes_on(server):
    others = [open_stream(server, count=0) for _ in range(3)]
    for stream in others:
        stream.next()
    with open_stream(server, "fail all", 10, at=5) as stream:
        errors = [stream.all()[-1]["error"]]
    for stream in others:
        with stream:
            errors.append(stream.all()[-1]["error"])
    assert {(error["type"], error["message"]) for error in errors} == {("cuda_oom", "the step failed")}


def test_a_run_that_is_refused_or_whose_value_is_not_whole_fails_alone(server):
    with open_stream(server, count=100) as other:
        other.next()
        refused = wire.result_of(server.run(POINTER, "refuse", 30, 2, 2))["error"]
        assert (refused["type"], refused["message"]) == ("input_error", "refused")
        with open_stream(server, "half", 30, at=2) as stream:
            error = stream.all()[-1]["error"]
        assert error["type"] == "pipeline_error" and "3" in error["message"], error
        assert len(other.all()) == 99


def test_a_run_waits_for_its_admission_until_there_is_room(server):
    with open_stream(server, count=0) as first:
        first.next()
        waiting = open_stream(server, "one", 3)
        behind = open_stream(server, count=3)
        wait_until(lambda: server.workers(POINTER)[0]["active"] == 3)
    assert_whole(values_of(waiting), 3)
    assert_whole(values_of(behind), 3)


def test_a_run_that_finishes_early_ends_as_complete(server):
    assert_whole(values_of(open_stream(server, "finish", 30, at=4)), 4)


def test_one_run_at_a_time_works_too(start, pipelines):
    server = start(pipelines("engine"), options=["--concurrency", "1"])
    for values in read_all([open_stream(server, count=5) for _ in range(8)]):
        assert_whole(values, 5)


def test_a_killed_worker_costs_its_own_runs_and_another_one_serves(start, pipelines):
    count = 400
    server = start(pipelines("engine"), options=["--concurrency", "8", "--workers", "2"])
    streams = [open_stream(server, count=count, ms=5) for _ in range(16)]
    firsts = [stream.next() for stream in streams]
    victim, other = server.workers(POINTER)
    assert victim["active"] + other["active"] == len(streams)
    os.kill(victim["pid"], signal.SIGKILL)
    failed = 0
    for first, stream in zip(firsts, streams):
        with stream:
            lines = [first, *stream.all()]
        if lines[-1]["error"]:
            assert lines.pop()["error"]["type"] == "pipeline_error"
            failed += 1
        else:
            assert len(lines) == count
        assert_whole([wire.output_of(line) for line in lines], len(lines))
    assert failed == victim["active"] > 0
    server.wait_worker(POINTER, victim["index"], victim["pid"])
    for own in read_all([open_stream(server, count=5) for _ in range(4)]):
        assert_whole(own, 5)


def test_a_crash_ends_all_runs_of_the_worker_with_what_it_was(start, pipelines):
    server = start(pipelines("engine"), options=["--concurrency", "8"])
    other = open_stream(server, count=0)
    other.next()
    for stream in (open_stream(server, "abort", 10, at=2), other):
        with stream:
            error = stream.all()[-1]["error"]
        assert error["type"] == "pipeline_error" and "SIGABRT" in error["message"]


def test_to_use_a_run_that_is_over_ends_the_worker_and_the_log_says_so(start, pipelines):
    server = start(pipelines("engine"), options=["--concurrency", "8"])
    with open_stream(server, "stale", 10, at=2) as stream:
        assert_whole([wire.output_of(line) for line in stream.all()], 2)
    server.wait_log("mr_emit: the run is not in")
    server.wait_log(" worker_exit .*SIGABRT")


def test_a_step_that_hangs_is_found_out(start, pipelines):
    server = start(pipelines("engine"), options=["--concurrency", "8", "--progress-timeout", "2s",
                                                 "--cancel-grace", "500ms"])
    # 3 s of steps that each take 100 ms are no such one.
    assert_whole(values_of(open_stream(server, count=30, ms=100)), 30)
    with open_stream(server, "hang", 10, at=2) as stream:
        error = stream.all()[-1]["error"]
    assert "no progress" in error["message"]


def test_a_stop_lets_the_runs_of_an_engine_end(start, pipelines):
    server = start(pipelines("engine"), options=["--concurrency", "8"])
    stream = open_stream(server, count=100, ms=5)
    stream.next()
    server.signal(signal.SIGTERM)
    with stream:
        assert len(stream.all()) == 99
    assert server.wait_exit() == 0


@pytest.mark.parametrize("preload", ["import", "startup"])
def test_engines_are_served_by_copies_of_a_template_and_warmed_up(start, pipelines, preload):
    server = start(pipelines("engine"), options=[
        "--concurrency", "8", "--workers", "2", "--preload", preload,
        "--warmup", json.dumps([wire.as_input(value) for value in ("none", 3, -1, 1)])])
    for values in read_all([open_stream(server, count=20) for _ in range(8)]):
        assert_whole(values, 20)
    assert len({worker["pid"] for worker in server.workers(POINTER)}) == 2
    assert pipeline_state(server, POINTER)["template"]["state"] == "ready"


def test_an_engine_is_woken_by_the_thread_that_does_its_work(start, pipelines):
    pointer = "local/engine_thread:v1"
    server = start(pipelines("engine_thread"), options=["--concurrency", "16"])
    gone = server.stream(pointer, 1_000_000)
    gone.next()
    streams = [server.stream(pointer, 500) for _ in range(4)]
    gone.close()
    for stream in streams:
        *squares, step_count = values_of(stream)
        assert squares == [number * number for number in range(500)]
        # One for each value, and a few for windows and for wakes that find nothing.
        assert step_count < 3 * 500


def test_the_example_of_an_engine_computes_in_batches(start):
    server = start(example("engine.so"), options=["--concurrency", "64"])
    streams = [wire.Stream(server.connect(), wire.run_body(POINTER, [27])) for _ in range(40)]
    expected = []
    number = 27
    while number != 1:
        number = number // 2 if number % 2 == 0 else 3 * number + 1
        expected.append(number)
    assert read_all(streams) == [expected] * 40
    refused = wire.result_of(server.run(POINTER, 0))["error"]
    assert (refused["type"], refused["message"]) == ("input_error", "the number is from 1 to 2147483647")
