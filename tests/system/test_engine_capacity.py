# SPDX-License-Identifier: MIT
"""How many runs an engine has room for: no worker holds more, and others take what waits."""

import threading

import pytest

import wire
from operator_socket import pipeline_state
from server import wait_until

POINTER = "local/engine:v1"


def open_stream(server, word="none", count=0):
    return wire.Stream(server.connect(), wire.run_body(POINTER, [word, count, -1, 1]))


def begin(start, pipelines, capacity, *options):
    return start(pipelines("engine"), options=["--env", f"CAPACITY={capacity}", "--concurrency", "8", *options])


def active(server):
    return [worker["active"] for worker in server.workers(POINTER)]


def test_runs_beyond_the_capacity_wait_in_the_queue_until_one_is_over(start, pipelines):
    server = begin(start, pipelines, 2)
    first, second = open_stream(server), open_stream(server)
    first.next(), second.next()
    third = open_stream(server, count=3)
    wait_until(lambda: server.pipeline(POINTER)["queued"] == 1)
    assert active(server) == [2]
    first.close()
    with third:
        assert len(third.all()) == 3
    second.close()


def test_what_one_worker_has_no_room_for_another_one_takes(start, pipelines):
    server = begin(start, pipelines, 1, "--workers", "2")
    streams = [open_stream(server) for _ in range(2)]
    for stream in streams:
        stream.next()
    assert active(server) == [1, 1]
    waiting = open_stream(server, count=1)
    wait_until(lambda: server.pipeline(POINTER)["queued"] == 1)
    streams.pop().close()
    with waiting:
        assert len(waiting.all()) == 1
    streams.pop().close()


def test_workers_are_added_for_what_waits_beyond_the_capacity_and_stay_while_it_is_needed(start, pipelines):
    server = begin(start, pipelines, 1, "--workers", "1-3", "--worker-idle-timeout", "1s")
    streams = []
    for count in (1, 2, 3):
        streams.append(open_stream(server))
        wait_until(lambda n=count: sum(active(server)) == n)
    threading.Event().wait(1.5)
    assert not server.log_since(0, " scale_down "), "one worker would have had slots for all, and no room"
    for stream in streams:
        stream.next()
    assert sorted(active(server)) == [1, 1, 1]
    for stream in streams:
        stream.close()
    server.wait_log(" scale_down ")


@pytest.mark.parametrize("capacity", [0, -5, 8, 9, 2147483647])
def test_a_capacity_that_says_nothing_leaves_all_slots(start, pipelines, capacity):
    server = begin(start, pipelines, capacity)
    streams = [open_stream(server) for _ in range(8)]
    for stream in streams:
        stream.next()
    assert active(server) == [8]
    for stream in streams:
        stream.close()


@pytest.mark.parametrize("options", [[], ["--preload", "import"], ["--preload", "startup"]])
def test_an_operator_sees_how_many_runs_a_worker_takes(start, pipelines, options):
    server = begin(start, pipelines, 3, *options)
    assert [worker["slots"] for worker in pipeline_state(server, POINTER)["workers"]] == [3]
