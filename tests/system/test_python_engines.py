# SPDX-License-Identifier: MIT
"""The worker for Python: what only engines in Python can do, or get wrong. test_engines.py has the rest."""

import json
import os
import signal
import subprocess

import pytest

import wire
from engine_streams import Engine, assert_whole, last_error, read_all, values_of
from operator_socket import pipeline_state
from server import MILLRACE, SLOWNESS, wait_until
from test_python_worker import HERE, failure, outputs, pointer, pytestmark

assert pytestmark  # of all tests that need the extension: it holds here, too

ENGINES = os.path.join(HERE, "pipelines", "engines.py")
BATCHED = Engine(pointer("batched"))


def served(*names):
    return [f"{pointer(name)}={ENGINES}:{name}" for name in names]


@pytest.fixture(scope="module")
def server(start_shared):
    return start_shared(*served("batched", "stepped", "plain", "returning", "awaiting"),
                        options=["--concurrency", "64", "--cancel-grace", "5s", "--tracebacks", "client"])


def test_the_traceback_of_a_step_is_that_of_the_engines_own_code(server):
    error = last_error(BATCHED.open(server, "fail all", 10, at=5))
    assert "in act\n" in error["traceback"] and "millrace_worker" not in error["traceback"]


def test_a_run_that_is_evicted_is_cancelled(server):
    with BATCHED.open(server, "cancelled", count=0) as stream:
        run_id = stream.next()["id"]
    server.wait_log(f"run={run_id} .*is cancelled: True")


@pytest.mark.parametrize("word, kind, message", [
    ("refuse alone", "input_error", "refused in words"),
    ("admit set", "pipeline_error", "TypeError('admit() of the engine returned set, where None or LATER was meant')"),
    ("fail exception", "pipeline_error", "KeyError('its own')"),
    ("nested", "pipeline_error", "TypeError: chunk 3 of type Nested cannot be sent as JSON"),
    ("half", "pipeline_error", "TypeError: chunk 3 of type list cannot be sent as JSON: it holds a value of type set")])
def test_what_one_run_fails_with_is_no_other_runs(server, word, kind, message):
    with BATCHED.open(server, count=50) as other:
        other.next()
        error = wire.result_of(server.run(BATCHED.pointer, word, 30, 2, 2))["error"]
        assert (error["type"], error["message"]) == (kind, message)
        assert len(other.all()) == 49


def test_a_run_that_is_over_is_an_exception_to_use(server):
    error = last_error(BATCHED.open(server, "stale", 10, at=2))
    assert error is None  # it was complete before
    other = BATCHED.open(server, count=0)
    other.next()
    with BATCHED.open(server, "stale", 10, at=2) as stream:
        assert len(stream.all()) == 2
    error = last_error(other)
    assert error["message"] == "RuntimeError('emit: the run is not in: it is over, or yet to be admitted')"
    mark = server.log_mark()
    with BATCHED.open(server, "emit in evict", 0) as stream:
        stream.next()
    server.wait_log("emit: the run is being evicted: nothing more can be done for it", mark)
    assert_whole(values_of(BATCHED.open(server, count=5)), 5)


def test_inputs_that_are_wrong_fail_the_run_alone(server):
    error = wire.result_of(server.run(BATCHED.pointer, "none", 1, 2))["error"]
    assert error["type"] == "input_error"


# ---- steps that are a generator, and graphs that are none ------------------------------------------

def test_a_generator_of_steps_goes_on_where_it_was(server):
    streams = [server.stream(pointer("stepped"), 10) for _ in range(4)]
    for stream in streams:
        with stream:
            values = [wire.output_of(line) for line in stream.all()]
        assert [number for number, _ in values] == list(range(10))
        rounds = [number for _, number in values]
        assert rounds == sorted(set(rounds)), "one value in a round"


def test_a_generator_of_steps_that_raises_is_made_anew(server):
    mark = server.log_mark()
    sent, error = failure(server.lines(pointer("stepped"), 100))
    assert [number for number, _ in sent] == list(range(13))
    assert error["message"].startswith("ValueError('thirteen in round ")
    server.wait_log("the steps ended", mark)
    assert len(server.lines(pointer("stepped"), 5)) == 5


def test_an_object_that_has_an_engine_is_a_pipeline(server):
    assert outputs(server.lines(pointer("plain"), 7)) == [[7]]
    assert server.log_since(0, "started up")


@pytest.mark.parametrize("name, what", [("returning", "int"), ("awaiting", "coroutine")])
def test_a_step_that_returns_something_else_says_so(server, name, what):
    sent, error = failure(server.lines(pointer(name), 7))
    assert sent == []
    assert error["message"] == f"TypeError('step() of the engine returned {what}, where None or LATER was meant')"


@pytest.mark.parametrize("name, message", [
    ("asynchronous", "step() of the engine is asynchronous, and would not be awaited"),
    ("two_outputs", "a pipeline with an engine has one output, a stream; this one has: stream, integer")])
def test_an_engine_that_can_be_none_does_not_load(name, message):
    checked = subprocess.run([MILLRACE, "check", f"{ENGINES}:{name}"], capture_output=True, text=True, check=False,
                             timeout=30 * SLOWNESS)
    assert checked.returncode != 0
    assert message in checked.stdout + checked.stderr


# ---- room and work of a step -----------------------------------------------------------------------

ROWED = pointer("rowed")


def begin_rowed(start, rows, *options):
    return start(*served("rowed"), options=["--env", f"ROWS={rows}", "--concurrency", "4", *options])


@pytest.mark.parametrize("options", [[], ["--preload", "import"], ["--preload", "startup"]])
def test_runs_beyond_what_an_engine_says_it_has_room_for_wait_in_the_queue(start, options):
    server = begin_rowed(start, 2, *options)
    assert [worker["slots"] for worker in pipeline_state(server, ROWED)["workers"]] == [2]
    first, second = server.stream(ROWED, 1), server.stream(ROWED, 1)
    first.next(), second.next()
    third = server.stream(ROWED, 0)
    wait_until(lambda: server.pipeline(ROWED)["queued"] == 1)
    first.close()
    assert values_of(third) == [-1]
    second.close()


@pytest.mark.parametrize("rows, slots", [("None", 4), ("0", 4), ("-3", 4), ("99999999999999999999", 4), ("4", 4), ("1", 1)])
def test_room_that_is_not_said_or_beyond_the_slots_leaves_all_of_them(start, rows, slots):
    server = begin_rowed(start, rows)
    assert [worker["slots"] for worker in pipeline_state(server, ROWED)["workers"]] == [slots]


def test_room_that_is_no_number_is_a_mistake_of_the_start(start):
    server = begin_rowed(start, "many", "--quarantine-after", "1")
    server.wait_log("capacity.. of the engine returned str, where a number or None was meant")


def test_an_engine_reads_its_budget_anew_in_each_step(start, tmp_path):
    file = tmp_path / "millrace.yaml"
    text = f"pipelines:\n  {ROWED}:\n    source: {ENGINES}:rowed\n    step-budget: "
    file.write_text(text + "7\n")
    server = start(options=["--config", str(file)])
    pid = server.workers(ROWED)[0]["pid"]
    assert outputs(server.lines(ROWED, 0)) == [[7]]
    file.write_text(text + "9\n")
    mark = server.log_mark()
    server.signal(signal.SIGHUP)
    server.wait_log(" reload_end ", mark)
    assert outputs(server.lines(ROWED, 0)) == [[9]]
    assert server.workers(ROWED)[0]["pid"] == pid


# ---- workers ---------------------------------------------------------------------------------------

def test_an_engine_is_woken_by_its_thread_which_can_do_nothing_else(start):
    server = start(*served("threaded"), options=["--concurrency", "16"])
    gone = server.stream(pointer("threaded"), 1_000_000)
    gone.next()
    streams = [server.stream(pointer("threaded"), 200) for _ in range(4)]
    gone.close()
    for stream in streams:
        assert values_of(stream) == list(range(201))
    server.wait_log("emit: it is not for other threads, which wake the engine instead")


def test_a_step_that_exits_ends_its_runs(start):
    server = start(*served("batched"))
    error = last_error(BATCHED.open(server, "exit", 10, at=2))
    assert error["message"] == "the worker process exited with code 3"


@pytest.mark.parametrize("preload, where", [("import", "the process that loaded"), ("startup", "another")])
def test_pipes_of_the_start_are_run_where_the_preload_says(start, preload, where):
    server = start(*served("batched"), options=[
        "--preload", preload, "--warmup", json.dumps([wire.as_input(value) for value in ("none", 3, -1, 1)])])
    server.wait_log(f"steps in {where} one by 1")


def test_an_engine_has_one_thread_whatever_plain_runs_have(start):
    server = start(*served("batched"), options=["--concurrency", "8", "--python-threads"])
    for values in read_all([BATCHED.open(server, count=20) for _ in range(8)]):
        assert_whole(values, 20)


