# SPDX-License-Identifier: MIT
"""Pipelines that are engines, in C and in Python: many runs in one step, each with its own end."""

import json
import os
import signal

import pytest

import wire
from engine_streams import STREAM_COUNT, Engine, assert_whole, last_error, read_all, switches_in, values_of, wait_for_rest
from operator_socket import pipeline_state
from server import wait_until
from test_python_worker import HERE, pytestmark as of_python

STEP_ERRORS = {"c": ("cuda_oom", "the step failed"), "python": ("oom", "MemoryError('the step failed')")}


@pytest.fixture(scope="module", params=["c", pytest.param("python", marks=of_python)])
def language(request):
    return request.param


@pytest.fixture(scope="module")
def engine(language, pipelines):
    source = pipelines("engine") if language == "c" else os.path.join(HERE, "pipelines", "engines.py") + ":batched"
    return Engine("local/engine:v1", source)


@pytest.fixture(scope="module")
def server(start_shared, engine):
    return start_shared(f"{engine.pointer}={engine.source}", options=["--concurrency", "64", "--cancel-grace", "5s"])


@pytest.fixture
def start_engine(start, engine):
    """start_engine(OPTION...) is a server of the engine."""
    def start_one(*options, concurrency=8):
        return start(f"{engine.pointer}={engine.source}", options=["--concurrency", str(concurrency), *options])

    return start_one


def test_many_runs_share_each_step(engine, server):
    count = 200
    values = read_all([engine.open(server, count=count, ms=5) for _ in range(STREAM_COUNT)])
    for own in values:
        assert_whole(own, count)
    steps = {value[1] for own in values for value in own}
    # One after the other they would take 32 times as many.
    assert len(steps) < count * 3
    assert max(value[2] for own in values for value in own) > STREAM_COUNT // 2


def test_one_fails_one_is_cancelled_one_stalls_and_the_others_are_whole(engine, server):
    count = 200
    others = [engine.open(server, count=count, ms=5) for _ in range(STREAM_COUNT - 3)]
    failing = engine.open(server, "fail", count, at=17, ms=5)
    leaving = engine.open(server, count=0, ms=5)
    stalled = engine.open(server, count=0, ms=5, receive_buffer_bytes=4096)
    run_id = leaving.next()["id"]
    stalled_id = stalled.next()["id"]
    mark = server.log_mark()
    leaving.close()
    for own in read_all(others):
        assert_whole(own, count)
    with failing:
        *lines, last = failing.all()
    assert [wire.output_of(line)[0] for line in lines] == list(range(17))
    error = last["error"]
    assert (error["type"], error["message"], error["traceback"]) == ("cuda_error", "failed at 17", None)
    assert "state=cancelled" in server.wait_run_end(run_id, mark)
    assert server.log_since(0, f"run={run_id} .*evicted after")
    assert not server.log_since(0, f"run={stalled_id} .*evicted after")
    stalled.close()
    server.wait_log(f"run={stalled_id} .*evicted after")


def test_an_evicted_run_has_no_step_after_its_cancellation_was_heard(engine, server):
    with engine.open(server, count=0, ms=300) as stream:
        line = stream.next()
        step = wire.output_of(line)[1]
    after = int(server.wait_log(rf"run={line['id']} .*evicted after (\d+) steps")[1])
    # The connection's end may come within the next step, whose end is then the last.
    assert after - step <= 2


def test_a_stalled_client_costs_no_processor_time(engine, server):
    with engine.open(server, count=0, ms=0, receive_buffer_bytes=4096) as stream:
        stream.next()
        pid = engine.worker(server)["pid"]
        wait_for_rest(pid)
        assert switches_in(pid, 1) == 0
        assert_whole(values_of(engine.open(server, count=20)), 20)


def test_an_idle_engine_does_not_wake_up(engine, server):
    values_of(engine.open(server, count=3))
    pid = engine.worker(server)["pid"]
    wait_for_rest(pid)
    assert switches_in(pid, 1) == 0


def test_a_step_that_fails_ends_all_its_runs_and_the_pipeline_goes_on(engine, server, language):
    others = [engine.open(server, count=0) for _ in range(3)]
    for stream in others:
        stream.next()
    errors = [last_error(stream) for stream in [engine.open(server, "fail all", 10, at=5), *others]]
    assert {(error["type"], error["message"]) for error in errors} == {STEP_ERRORS[language]}
    assert_whole(values_of(engine.open(server, count=5)), 5)


def test_a_run_that_is_refused_or_whose_value_is_not_whole_fails_alone(engine, server):
    with engine.open(server, count=100) as other:
        other.next()
        refused = wire.result_of(server.run(engine.pointer, "refuse", 30, 2, 2))["error"]
        assert (refused["type"], refused["message"]) == ("input_error", "refused")
        error = last_error(engine.open(server, "half", 30, at=2))
        assert error["type"] == "pipeline_error" and "3" in error["message"], error
        assert len(other.all()) == 99


def test_a_run_waits_for_its_admission_until_there_is_room(engine, server):
    with engine.open(server, count=0) as first:
        first.next()
        waiting = engine.open(server, "one", 3)
        behind = engine.open(server, count=3)
        wait_until(lambda: engine.worker(server)["active"] == 3)
    assert_whole(values_of(waiting), 3)
    assert_whole(values_of(behind), 3)


def test_a_run_that_finishes_early_ends_as_complete(engine, server):
    assert_whole(values_of(engine.open(server, "finish", 30, at=4)), 4)


# ---- workers ---------------------------------------------------------------------------------------

def test_one_run_at_a_time_works_too(engine, start_engine):
    server = start_engine(concurrency=1)
    for values in read_all([engine.open(server, count=5) for _ in range(8)]):
        assert_whole(values, 5)


def test_a_killed_worker_costs_its_own_runs_and_another_one_serves(engine, start_engine):
    count = 400
    server = start_engine("--workers", "2")
    streams = [engine.open(server, count=count, ms=5) for _ in range(16)]
    firsts = [stream.next() for stream in streams]
    victim, other = server.workers(engine.pointer)
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
    server.wait_worker(engine.pointer, victim["index"], victim["pid"])
    for own in read_all([engine.open(server, count=5) for _ in range(4)]):
        assert_whole(own, 5)


def test_a_step_that_hangs_is_found_out(engine, start_engine):
    server = start_engine("--progress-timeout", "2s", "--cancel-grace", "500ms")
    # 2.2 s of steps that each take 100 ms are no such one.
    assert_whole(values_of(engine.open(server, count=22, ms=100)), 22)
    assert "no progress" in last_error(engine.open(server, "hang", 10, at=2))["message"]
    server.wait_log(" worker_hung ")


@pytest.mark.parametrize("preload", ["import", "startup"])
def test_engines_are_served_by_copies_of_a_template_and_warmed_up(engine, start_engine, preload):
    server = start_engine("--workers", "2", "--preload", preload,
                          "--warmup", json.dumps([wire.as_input(value) for value in ("none", 3, -1, 1)]))
    for values in read_all([engine.open(server, count=20) for _ in range(8)]):
        assert_whole(values, 20)
    assert len({worker["pid"] for worker in server.workers(engine.pointer)}) == 2
    assert pipeline_state(server, engine.pointer)["template"]["state"] == "ready"


def test_a_reload_replaces_an_engine_and_lets_its_runs_end(engine, start, tmp_path):
    file = tmp_path / "millrace.yaml"
    text = f"pipelines:\n  {engine.pointer}:\n    source: {engine.source}\n    concurrency: "
    file.write_text(text + "8\n")
    server = start(options=["--config", str(file)])
    pid = engine.worker(server)["pid"]
    streams = [engine.open(server, count=100, ms=5) for _ in range(4)]
    firsts = [stream.next() for stream in streams]
    file.write_text(text + "16\n")
    mark = server.log_mark()
    server.signal(signal.SIGHUP)
    server.wait_log(" reload_end .*replaced=1", mark)
    assert_whole(values_of(engine.open(server, count=5)), 5)
    for first, stream in zip(firsts, streams):
        with stream:
            assert_whole([wire.output_of(line) for line in [first, *stream.all()]], 100)
    wait_until(lambda: pid not in [worker["pid"] for worker in server.workers(engine.pointer)],
               what="the old worker's end")


def test_workers_are_replaced_and_stopped_while_their_engines_have_runs(engine, start_engine):
    server = start_engine("--recycle-runs", "5")
    pid = engine.worker(server)["pid"]
    for _ in range(3):
        for values in read_all([engine.open(server, count=10) for _ in range(4)]):
            assert_whole(values, 10)
    assert engine.worker(server)["pid"] != pid
    stream = engine.open(server, count=100, ms=5)
    stream.next()
    server.signal(signal.SIGTERM)
    with stream:
        assert len(stream.all()) == 99
    assert server.wait_exit() == 0
