# SPDX-License-Identifier: MIT
"""Engines in C: what a crash ends, and what only the C interface can get wrong. test_engines.py has the rest."""

import threading

import wire
from engine_streams import Engine, assert_whole, last_error, read_all, values_of
from server import example

POINTER = "local/engine:v1"
ENGINE = Engine(POINTER)


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
            own = values_of(ENGINE.open(server, count=count, ms=1))
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


def test_a_crash_ends_all_runs_of_the_worker_with_what_it_was(start, pipelines):
    server = start(pipelines("engine"), options=["--concurrency", "8"])
    other = ENGINE.open(server, count=0)
    other.next()
    for stream in (ENGINE.open(server, "abort", 10, at=2), other):
        error = last_error(stream)
        assert error["type"] == "pipeline_error" and "SIGABRT" in error["message"]


def test_to_use_a_run_that_is_over_ends_the_worker_and_the_log_says_so(start, pipelines):
    server = start(pipelines("engine"), options=["--concurrency", "8"])
    with ENGINE.open(server, "stale", 10, at=2) as stream:
        assert_whole([wire.output_of(line) for line in stream.all()], 2)
    server.wait_log("mr_emit: the run is not in")
    server.wait_log(" worker_exit .*SIGABRT")


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
