# SPDX-License-Identifier: MIT
"""Runs by docs/api.md: the one result, looking up and cancelling, limits of their time."""

import contextlib
import json
import time

import pytest

import wire
from server import SLOWNESS, example

NUMBERS = "local/numbers:v1"
MISBEHAVE = "local/misbehave:v1"
PLAIN = "test/plain:v1"
NOTHING = "test/nothing:v1"
QUIET = "test/quiet:v1"
LOCKSTEP = "test/lockstep:v1"


@pytest.fixture(scope="module")
def server(start_shared, pipelines):
    shapes = pipelines("shapes")
    return start_shared(example("numbers.so"), example("misbehave.so"), f"{PLAIN}={shapes}:plain",
                        f"{NOTHING}={shapes}:nothing", f"{LOCKSTEP}={example('several.so')}:lockstep",
                        options=["--concurrency", "4", "--keepalive", "60ms", "--body-limit", "200k",
                                 "--cancel-grace", "1s"])


# ---- one result --------------------------------------------------------------------------------------


def test_a_plain_run_of_a_stream_collects_its_values(server):
    answer = server.run(NUMBERS, 4, "x", 0)
    assert answer.status == 200
    assert answer.header("Content-Type") == "application/json"
    result = wire.result_of(answer)
    assert result["state"] == "completed"
    [output] = result["outputs"]
    assert output["type"] == "array"
    assert [value["i"] for value in output["value"]] == [0, 1, 2, 3]


def test_a_plain_run_of_a_plain_pipeline_is_its_value(server):
    result = wire.result_of(server.run(PLAIN, "é"))
    assert result["outputs"] == [{"type": "dictionary", "value": {"text": "é", "bytes": 2}, "file": None}]


def test_a_plain_run_of_a_stream_without_items_is_an_empty_array(server):
    assert wire.result_of(server.run(NOTHING))["outputs"] == [{"type": "array", "value": [], "file": None}]


def test_a_plain_run_of_several_outputs_has_each_in_its_place(server):
    outputs = wire.result_of(server.run(LOCKSTEP))["outputs"]
    assert [(output["type"], output["value"]) for output in outputs] == [
        ("array", [1, 2, 3, 4]), ("string", "static"), ("array", ["hello", "world"])]


def test_a_plain_run_above_the_body_limit_is_an_error_that_names_the_stream(server):
    result = wire.result_of(server.run(NUMBERS, 100000, "x" * 50, 0))
    assert result["state"] == "failed"
    assert "/v4/runs/stream" in result["error"]["message"]


def test_a_plain_run_that_fails_is_a_failed_result(server):
    answer = server.run(MISBEHAVE, "fail_errno", 3, 0)
    assert answer.status == 200
    result = wire.result_of(answer)
    assert result["state"] == "failed"
    assert result["error"]["type"] == "pipeline_error"


def test_an_async_run_answers_at_once_and_its_result_is_looked_up(server):
    began = time.monotonic()
    first = wire.result_of(server.run(NUMBERS, 10, "later", 30, async_run=True))
    assert first["state"] in ("queued", "running")
    while (now := server.get(f"/v4/runs/{first['id']}").json())["state"] in ("queued", "running"):
        assert time.monotonic() - began < 10 * SLOWNESS
        time.sleep(0.01)
    assert now["state"] == "completed"
    assert time.monotonic() - began > 0.25
    assert [value["i"] for value in now["outputs"][0]["value"]] == list(range(10))


def test_an_async_stream_is_a_422(server):
    with server.stream(NUMBERS, 1, "x", 0, async_run=True) as stream:
        assert stream.begin().status == 422


# ---- runs --------------------------------------------------------------------------------------------


def test_a_run_can_be_watched_cancelled_and_looked_up_afterwards(server):
    with server.stream(NUMBERS, 100000, "x", 5) as stream:
        first = stream.next()
        path = f"/v4/runs/{first['id']}"
        live = server.get(path).json()
        assert (live["id"], live["state"], live["error"]) == (first["id"], "running", None)
        assert live["lines"] >= 1 and live["outputs"] is None
        cancelled = server.ask("DELETE", path)
        assert cancelled.status == 200
        last = list(stream)[-1]
    assert last["state"] == "failed" and last["error"]["type"] == "unknown"
    assert "DELETE" in last["error"]["message"]
    past = server.get(path).json()
    assert past["state"] == "failed"
    assert past["error"] == last["error"] == cancelled.json()["error"]
    # Cancelling twice is no mistake.
    assert server.ask("DELETE", path).json()["error"] == last["error"]


def test_a_completed_run_is_remembered_with_its_count(server):
    lines = server.lines(NUMBERS, 7, "x", 0)
    past = server.get(f"/v4/runs/{lines[0]['id']}").json()
    assert past["state"] == "completed" and past["lines"] == 7 and past["error"] is None
    assert past["created_at"] == lines[0]["created_at"]
    assert past["pipeline_id"] == lines[0]["pipeline_id"]


def test_recent_runs_are_listed_newest_first_live_ones_before(server):
    ids = [server.lines(NUMBERS, 1, "x", 0)[0]["id"] for _ in range(3)]
    with server.stream(NUMBERS, 1000, "x", 50) as stream:
        live = stream.next()["id"]
        listed = server.get("/v4/runs").json()
        assert listed["limit"] == 100
        assert listed["total"] == len(listed["data"]) <= 100
        assert [run["id"] for run in listed["data"]][:4] == [live, *reversed(ids)]
        assert [run["state"] for run in listed["data"]][:4] == ["running"] + ["completed"] * 3
    for run in listed["data"]:
        wire.check_line(json.dumps(run))


def test_a_list_has_as_many_as_were_asked_for(server):
    for _ in range(3):
        server.lines(NUMBERS, 1, "x", 0)
    newest = [run["id"] for run in server.get("/v4/runs").json()["data"]]
    with server.stream(NUMBERS, 1000, "x", 50) as stream:
        newest.insert(0, stream.next()["id"])
        for query, limit in (("limit=2", 2), ("limit=1", 1), ("x=1&limit=003", 3), ("limit=100", 100), ("limits=2", 100)):
            listed = server.get("/v4/runs?" + query).json()
            assert (listed["limit"], listed["total"]) == (limit, min(limit, len(newest)))
            assert [run["id"] for run in listed["data"]] == newest[:limit]


@pytest.mark.parametrize("limit", ["0", "101", "1000", "", "-1", "1.5", "x", "1x", "%31", "4294967297"])
def test_a_wrong_limit_of_a_list_is_a_400(server, limit):
    answer = server.get("/v4/runs?limit=" + limit)
    assert answer.status == 400
    assert answer.json() == {"detail": "limit must be a number from 1 to 100."}


def test_the_times_of_a_run_are_told_to_who_looks_it_up(server):
    with server.stream(NUMBERS, 50, "x", 20) as stream:
        line = stream.next()
        assert not {"times", "worker", "attempt"} & set(line)
        path = f"/v4/runs/{line['id']}"
        live = server.get(path).json()
        assert 0 < live["times"]["queued"] <= live["times"]["started"] <= live["times"]["first_chunk"]
        assert live["times"]["ended"] is None
        assert (live["worker"], live["attempt"]) == (0, 1)
        rest = stream.all()
        assert not {"times", "worker", "attempt"} & set(rest[-1])
    past = server.get(path).json()
    times = past["times"]
    assert {name: times[name] for name in ("queued", "started", "first_chunk")} == \
        {name: live["times"][name] for name in ("queued", "started", "first_chunk")}
    assert times["queued"] == past["created_at"] and times["ended"] == past["updated_at"]
    assert times["first_chunk"] < times["ended"]
    # The pace counts from the worker's beginning. How late the first line was seen is the machine's.
    assert 0.99 < times["ended"] - times["started"] < 10 * SLOWNESS
    [listed] = [run for run in server.get("/v4/runs").json()["data"] if run["id"] == past["id"]]
    assert listed == past
    assert "times" not in server.ask("DELETE", path).json()


def test_a_run_that_waits_or_never_started_has_no_such_times(server):
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(server.stream(NUMBERS, 1000, "x", 50)).next()
        first = wire.result_of(server.run(NUMBERS, 1, "x", 0, async_run=True))
        path = f"/v4/runs/{first['id']}"
        assert "times" not in first
        for ended in (False, True):
            seen = server.get(path).json()
            assert (seen["times"]["started"], seen["times"]["first_chunk"], seen["worker"]) == (None, None, None)
            assert (seen["times"]["ended"] is not None, seen["attempt"]) == (ended, 0)
            server.ask("DELETE", path)


@pytest.mark.parametrize("run_id", ["run_" + "0" * 32, "run_", "x", "stream2", "%00", "a" * 300, "%zz"])
def test_an_unknown_run_is_a_404(server, run_id):
    for method in ("GET", "DELETE"):
        answer = server.ask(method, "/v4/runs/" + run_id)
        assert answer.status == 404
        assert "detail" in answer.json()


# ---- limits of a run ---------------------------------------------------------------------------------


def test_a_run_that_waits_too_long_in_the_queue_is_a_504_and_never_starts(start):
    server = start(example("numbers.so"), options=["--queue-timeout", "200ms"])
    with server.stream(NUMBERS, 1000, "running", 20) as running:
        running.next()
        for path in ("/v4/runs", "/v4/runs/stream"):
            began = time.monotonic()
            answer = server.ask("POST", path, wire.run_body(NUMBERS, [1, "waiting", 0]))
            assert 0.19 < time.monotonic() - began < 0.2 + 2 * SLOWNESS
            assert answer.status == 504
            result = wire.result_of(answer)
            assert result["state"] == "failed"
            assert result["error"]["type"] == "timeout"
        running.next()


@pytest.mark.parametrize("option,silent", [("--first-chunk-timeout", True), ("--run-timeout", True),
                                           ("--run-timeout", False)])
def test_a_run_that_takes_too_long_is_cancelled_with_a_timeout(start, pipelines, option, silent):
    server = start(f"{QUIET}={pipelines('shapes')}:quiet", options=[option, "200ms"])
    mark = server.log_mark()
    began = time.monotonic()
    with server.stream(QUIET, silent) as stream:
        status = stream.begin().status
        lines = list(stream)
    assert 0.19 < time.monotonic() - began < 0.2 + 2 * SLOWNESS
    assert status == (504 if silent else 200)
    assert lines[-1]["state"] == "failed" and lines[-1]["error"]["type"] == "timeout"
    assert len(lines) == (1 if silent else 2)
    server.wait_log("quiet was closed, cancelled=1", mark)


def test_a_request_can_shorten_its_time_but_not_lengthen_it(start, pipelines):
    server = start(f"{QUIET}={pipelines('shapes')}:quiet", options=["--run-timeout", "400ms"])
    for asked, expected in (("0.1", 0.1), ("1000", 0.4)):
        began = time.monotonic()
        with server.stream(QUIET, False, headers={"X-Request-Timeout": asked}) as stream:
            assert [line["error"] and line["error"]["type"] for line in stream.all()] == [None, "timeout"]
        assert expected - 0.01 < time.monotonic() - began < expected + 2 * SLOWNESS
    for wrong in ("0", "-1", "x", "1s", "", "1e3", "86401", "0.0001", "1.2.3", "nan"):
        assert server.run(QUIET, False, headers={"X-Request-Timeout": wrong}).status == 400


def test_a_run_that_shows_no_sign_of_life_is_cancelled_and_its_worker_killed(start):
    server = start(example("misbehave.so"), options=["--progress-timeout", "200ms", "--cancel-grace", "100ms"])
    mark = server.log_mark()
    with server.stream(MISBEHAVE, "spin", 2, 1) as stream:
        lines = stream.all()
    assert [wire.output_of(line) for line in lines[:2]] == [0, 1]
    assert lines[-1]["error"]["type"] == "timeout"
    server.wait_log(" worker_kill .*grace time", mark)


def test_a_run_that_waits_on_purpose_shows_signs_of_life(start):
    server = start(example("numbers.so"), options=["--progress-timeout", "100ms"])
    lines = server.lines(NUMBERS, 2, "x", 300)
    assert [line["error"] for line in lines] == [None, None]
