# SPDX-License-Identifier: MIT
"""The worker for Python: pipelines that are engines, many runs in one step."""

import json
import os
import signal
import subprocess

import pytest

import test_engine_api as api
import wire
from operator_socket import pipeline_state
from server import MILLRACE, SLOWNESS, wait_until
from test_python_many_runs import wait_for_rest
from test_python_worker import HERE, failure, outputs, pointer, pytestmark

assert pytestmark  # of all tests that need the extension: it holds here, too

ENGINES = os.path.join(HERE, "pipelines", "engines.py")
BATCHED = pointer("batched")
STREAM_COUNT = 32


def served(*names):
    return [f"{pointer(name)}={ENGINES}:{name}" for name in names]


@pytest.fixture(scope="module")
def server(start_shared):
    return start_shared(*served("batched", "stepped", "plain", "returning", "awaiting"),
                        options=["--concurrency", "64", "--cancel-grace", "5s", "--tracebacks", "client"])


def open_stream(server, word="none", count=10, at=-1, ms=2, **connection):
    """A run whose values are [its number, the number of the step, runs in that step]."""
    return wire.Stream(server.connect(**connection), wire.run_body(BATCHED, [word, count, at, ms]))


def last_error(stream):
    with stream:
        return stream.all()[-1]["error"]


def test_many_runs_of_a_python_engine_share_each_step(server):
    count = 100
    values = api.read_all([open_stream(server, count=count, ms=5) for _ in range(STREAM_COUNT)])
    for own in values:
        api.assert_whole(own, count)
    assert len({value[1] for own in values for value in own}) < count * 3
    assert max(value[2] for own in values for value in own) > STREAM_COUNT // 2


def test_one_fails_one_is_cancelled_one_stalls_and_the_others_are_whole(server):
    count = 100
    others = [open_stream(server, count=count, ms=5) for _ in range(STREAM_COUNT - 3)]
    failing = open_stream(server, "fail", count, at=17, ms=5)
    leaving = open_stream(server, "cancelled", count=0, ms=5)
    stalled = open_stream(server, count=0, ms=5, receive_buffer_bytes=4096)
    run_id = leaving.next()["id"]
    stalled_id = stalled.next()["id"]
    mark = server.log_mark()
    leaving.close()
    for own in api.read_all(others):
        api.assert_whole(own, count)
    with failing:
        sent, error = failure(failing.all())
    assert [number for number, _, _ in sent] == list(range(17))
    assert (error["type"], error["message"], error["traceback"]) == ("cuda_error", "failed at 17", None)
    assert "state=cancelled" in server.wait_run_end(run_id, mark)
    server.wait_log(f"run={run_id} .*is cancelled: True")
    assert not server.log_since(0, f"run={stalled_id} .*evicted after")
    stalled.close()
    server.wait_log(f"run={stalled_id} .*evicted after")


def test_an_evicted_run_has_no_step_after_its_cancellation_was_heard(server):
    with open_stream(server, count=0, ms=300) as stream:
        line = stream.next()
        step = wire.output_of(line)[1]
    after = int(server.wait_log(rf"run={line['id']} .*evicted after (\d+) steps")[1])
    assert after - step <= 2


def test_a_stalled_client_and_an_idle_engine_cost_no_processor_time(server):
    with open_stream(server, count=0, ms=0, receive_buffer_bytes=4096) as stream:
        stream.next()
        worker, = server.workers(BATCHED)
        wait_for_rest(worker["pid"])
        assert api.switches_in(worker["pid"], 0.5) == 0
        api.assert_whole(api.values_of(open_stream(server, count=20)), 20)


def test_an_exception_in_a_step_is_that_of_all_runs_and_the_worker_goes_on(server):
    others = [open_stream(server, count=0) for _ in range(3)]
    for stream in others:
        stream.next()
    errors = [last_error(stream) for stream in [open_stream(server, "raise", 10, at=5), *others]]
    assert {(error["type"], error["message"]) for error in errors} == {("oom", "MemoryError('the step failed')")}
    assert all("in act\n" in error["traceback"] and "millrace_worker" not in error["traceback"] for error in errors)
    api.assert_whole(api.values_of(open_stream(server, count=5)), 5)


@pytest.mark.parametrize("word, kind, message", [
    ("refuse", "input_error", "refused"), ("refuse alone", "input_error", "refused in words"),
    ("admit set", "pipeline_error", "TypeError('admit() of the engine returned set, where None or LATER was meant')"),
    ("fail exception", "pipeline_error", "KeyError('its own')"),
    ("nested", "pipeline_error", "TypeError: chunk 3 of type Nested cannot be sent as JSON"),
    ("half", "pipeline_error", "TypeError: chunk 3 of type list cannot be sent as JSON: it holds a value of type set")])
def test_what_one_run_fails_with_is_no_other_runs(server, word, kind, message):
    with open_stream(server, count=50) as other:
        other.next()
        error = wire.result_of(server.run(BATCHED, word, 30, 2, 2))["error"]
        assert (error["type"], error["message"]) == (kind, message)
        assert len(other.all()) == 49


def test_a_run_that_is_over_is_an_exception_to_use(server):
    error = last_error(open_stream(server, "stale", 10, at=2))
    assert error is None  # it was complete before
    other = open_stream(server, count=0)
    other.next()
    with open_stream(server, "stale", 10, at=2) as stream:
        assert len(stream.all()) == 2
    error = last_error(other)
    assert error["message"] == "RuntimeError('emit: the run is not in: it is over, or yet to be admitted')"
    mark = server.log_mark()
    with open_stream(server, "emit in evict", 0) as stream:
        stream.next()
    server.wait_log("emit: the run is being evicted: nothing more can be done for it", mark)
    api.assert_whole(api.values_of(open_stream(server, count=5)), 5)


def test_a_run_waits_for_its_admission_until_there_is_room(server):
    with open_stream(server, count=0) as first:
        first.next()
        waiting = open_stream(server, "one", 3)
        behind = open_stream(server, count=3)
        wait_until(lambda: server.workers(BATCHED)[0]["active"] == 3)
    api.assert_whole(api.values_of(waiting), 3)
    api.assert_whole(api.values_of(behind), 3)


def test_inputs_that_are_wrong_fail_the_run_alone(server):
    error = wire.result_of(server.run(BATCHED, "none", 1, 2))["error"]
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
    assert api.values_of(third) == [-1]
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
        assert api.values_of(stream) == list(range(201))
    server.wait_log("emit: it is not for other threads, which wake the engine instead")


def test_a_killed_worker_costs_its_own_runs_and_another_one_serves(start):
    count = 100
    server = start(*served("batched"), options=["--concurrency", "8", "--workers", "2"])
    streams = [open_stream(server, count=count, ms=5) for _ in range(16)]
    firsts = [stream.next() for stream in streams]
    victim, other = server.workers(BATCHED)
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
        api.assert_whole([wire.output_of(line) for line in lines], len(lines))
    assert failed == victim["active"] > 0
    server.wait_worker(BATCHED, victim["index"], victim["pid"])
    api.assert_whole(api.values_of(open_stream(server, count=5)), 5)


def test_a_step_that_hangs_is_found_out_and_one_that_exits_ends_its_runs(start):
    server = start(*served("batched"), options=["--concurrency", "8", "--progress-timeout", "2s", "--cancel-grace",
                                                "500ms"])
    # 2.2 s of steps that each take 100 ms are no hang.
    api.assert_whole(api.values_of(open_stream(server, count=22, ms=100)), 22)
    assert "no progress" in last_error(open_stream(server, "hang", 10, at=2))["message"]
    server.wait_log(r"worker_hung")
    error = last_error(open_stream(server, "exit", 10, at=2))
    assert error["message"] == "the worker process exited with code 3"


@pytest.mark.parametrize("preload", ["import", "startup"])
def test_engines_are_served_by_copies_of_a_template_and_warmed_up(start, preload):
    server = start(*served("batched"), options=[
        "--concurrency", "8", "--workers", "2", "--preload", preload,
        "--warmup", json.dumps([wire.as_input(value) for value in ("none", 3, -1, 1)])])
    for values in api.read_all([open_stream(server, count=20) for _ in range(8)]):
        api.assert_whole(values, 20)
    assert len({worker["pid"] for worker in server.workers(BATCHED)}) == 2
    assert pipeline_state(server, BATCHED)["template"]["state"] == "ready"
    where = "another" if preload == "startup" else "the process that loaded"
    assert server.log_since(0, f"steps in {where} one by 1")


def test_an_engine_has_one_thread_whatever_plain_runs_have(start):
    server = start(*served("batched"), options=["--concurrency", "8", "--python-threads"])
    for values in api.read_all([open_stream(server, count=20) for _ in range(8)]):
        api.assert_whole(values, 20)


def test_a_reload_replaces_an_engine_and_lets_its_runs_end(start, tmp_path):
    file = tmp_path / "millrace.yaml"
    text = "pipelines:\n  %s:\n    source: %s:batched\n    concurrency: %d\n"
    file.write_text(text % (BATCHED, ENGINES, 8))
    server = start(options=["--config", str(file)])
    pid = server.workers(BATCHED)[0]["pid"]
    streams = [open_stream(server, count=100, ms=5) for _ in range(4)]
    firsts = [stream.next() for stream in streams]
    file.write_text(text % (BATCHED, ENGINES, 16))
    mark = server.log_mark()
    server.signal(signal.SIGHUP)
    server.wait_log(" reload_end .*replaced=1", mark)
    api.assert_whole(api.values_of(open_stream(server, count=5)), 5)
    for first, stream in zip(firsts, streams):
        with stream:
            api.assert_whole([wire.output_of(line) for line in [first, *stream.all()]], 100)
    wait_until(lambda: pid not in [worker["pid"] for worker in server.workers(BATCHED)], what="the old worker's end")


def test_workers_are_replaced_and_stopped_while_their_engines_have_runs(start):
    server = start(*served("batched"), options=["--concurrency", "4", "--recycle-runs", "5"])
    pid = server.workers(BATCHED)[0]["pid"]
    for _ in range(3):
        for values in api.read_all([open_stream(server, count=10) for _ in range(4)]):
            api.assert_whole(values, 10)
    assert server.workers(BATCHED)[0]["pid"] != pid
    stream = open_stream(server, count=50, ms=5)
    stream.next()
    server.signal(signal.SIGTERM)
    with stream:
        assert len(stream.all()) == 49
    assert server.wait_exit() == 0
