# SPDX-License-Identifier: MIT
"""Batched pipes in Python that misbehave: a call fails, or nothing does, and later runs are called for as ever."""

import os

import pytest

import wire
from confined import needs_python
from server import wait_until

pytestmark = needs_python

HERE = os.path.dirname(os.path.abspath(__file__))
POINTER = "me/faults:v1"


@pytest.fixture(params=["now", "later"])
def server(request, start):
    return serve(start, request.param)


def serve(start, name):
    module = os.path.join(HERE, "pipelines", "batch_faults.py")
    return start(f"{POINTER}={module}:{name}",
                 options=["--python", "/usr/bin/python3", "--batch-max", "4", "--run-timeout", "20s",
                          "--cancel-grace", "60s"])


def active(server):
    return sum(worker["active"] for worker in server.workers(POINTER))


def word_of(server, word):
    [line] = server.lines(POINTER, word)
    assert line["error"] is None, line["error"]
    return wire.output_of(line)


def test_lists_that_cannot_be_read_fail_their_call_and_no_other(server):
    messages = {"unreadable": "it cannot be read", "empty": "returned 0 results for 1 run",
                "nameless": "it has no class"}
    for word, message in messages.items():
        error = server.lines(POINTER, word)[-1]["error"]
        assert error["type"] == "pipeline_error" and message in error["message"]
        assert word_of(server, "good") == "good"


def test_a_run_that_user_code_cancels_before_its_call_holds_no_other(server):
    error = server.lines(POINTER, "cancel")[-1]["error"]
    assert "CancelledError" in error["message"]
    assert word_of(server, "good") == "good"


@pytest.fixture
def held(start, tmp_path):
    """A server at whose pipe a run is being called for, alone, and what ends that call."""
    server = serve(start, "now")
    path = tmp_path / "go"
    mark = server.log_mark()
    with server.stream(POINTER, str(path)):
        server.wait_log('text="it is held"', mark)
        yield server, path.touch


def test_a_run_that_comes_in_a_call_for_another_one_has_none_of_its_variables(held):
    server, go = held
    with server.stream(POINTER, "mark") as stream:
        wait_until(lambda: active(server) == 2)
        go()
        assert wire.output_of(stream.all()[-1]) == "nobody"


def test_a_run_that_comes_in_a_call_for_another_one_sees_that_it_is_cancelled_itself(held):
    server, go = held
    with server.stream(POINTER, "obey"):
        wait_until(lambda: active(server) == 2)
        go()
        server.wait_log('text="it asks"')
    wait_until(lambda: active(server) == 0)
    assert word_of(server, "good") == "good"
