# SPDX-License-Identifier: MIT
"""How the end of a run is told to those who run the server: one line in the log for each run."""

import contextlib
import json
import re
import subprocess

import pytest

import wire
from server import MILLRACE, bearer, example, make_tokens, wait_until

MISBEHAVE = "local/misbehave:v1"
NUMBERS = "local/numbers:v1"
TIMES = ("waited_ms", "ms")


def events(server, name="run_end", since=0):
    """Of a server that writes JSON."""
    found = [json.loads(line) for line in server.log_since(since, rf'"event":"{name}"')]
    return [event for event in found if event["event"] == name]


def end_of(server, key, value):
    """The one line of this run, or of this request."""
    wait_until(lambda: [event for event in events(server) if event.get(key) == value], what=f"the end of {value}")
    [event] = [event for event in events(server) if event.get(key) == value]
    return event


def without_times(event):
    return {key: value for key, value in event.items() if key not in ("time", "first_ms", *TIMES)}


@pytest.fixture(scope="module")
def server(start_shared):
    return start_shared(example("numbers.so"), example("misbehave.so"),
                        options=["--log-format", "json", "--concurrency", "2", "--queue", "1", "--cancel-grace", "1s"])


# ---- what a line says -----------------------------------------------------------------------------------------


def test_a_completed_run_has_a_line(server):
    with server.stream(NUMBERS, 3, "abc", 20, headers={"X-Request-Id": "rid-7"}) as stream:
        lines = stream.all()
    event = end_of(server, "request", "rid-7")
    # Each value is [{"i": n, "t_ns": n, "chunk": "abc"}] or the like, as msgpack.
    assert 3 * 10 < event["bytes"] < 3 * 100
    assert without_times(event) == {
        "level": "info", "event": "run_end", "run": lines[0]["id"], "pipeline": NUMBERS, "worker": 0,
        "request": "rid-7", "client": "127.0.0.1", "state": "completed", "status": 200, "lines": 3,
        "bytes": event["bytes"]}
    assert 0 <= event["waited_ms"] <= event["first_ms"] <= event["ms"] and event["ms"] >= 40


def test_a_request_without_an_id_has_the_one_it_was_answered_with(server):
    answer = server.run(NUMBERS, 1, "x", 0)
    event = end_of(server, "request", answer.header("X-Request-Id"))
    assert event["run"] == answer.json()["id"]


def test_a_failed_run_is_a_warning_with_its_message(server):
    answer = server.run(MISBEHAVE, "fail_errno", 2, 0)
    event = end_of(server, "run", answer.json()["id"])
    assert (event["level"], event["state"], event["error"]) == ("warning", "failed", "pipeline_error")
    assert event["message"] == answer.json()["error"]["message"]
    assert "cause" not in event and event["status"] == 200


def test_a_cancelled_run_says_who_cancelled_it(server):
    with server.stream(NUMBERS, 100000, "x", 20) as left:
        line = left.next()
    event = end_of(server, "run", line["id"])
    assert (event["level"], event["state"], event["cause"], event["status"]) == ("info", "cancelled", "client_gone", 200)
    assert "error" not in event and "message" not in event and event["lines"] >= 1
    with server.stream(NUMBERS, 100000, "x", 20) as stream:
        line = stream.next()
        server.ask("DELETE", f"/v4/runs/{line['id']}")
        stream.all()
    event = end_of(server, "run", line["id"])
    assert (event["state"], event["cause"], event["status"]) == ("cancelled", "requested", 200)


def test_a_run_that_never_started_has_no_worker_and_waited_all_the_time(server):
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(server.stream(NUMBERS, 100000, "x", 20)).next()
        waits = server.stream(NUMBERS, 1, "x", 0, headers={"X-Request-Id": "waits"})
        wait_until(lambda: server.pipeline(NUMBERS)["queued"] == 1)
        refused = server.run(NUMBERS, 1, "x", 0)
        waits.close()
        event = end_of(server, "request", "waits")
    assert (event["state"], event["cause"], event["lines"], event["bytes"]) == ("cancelled", "client_gone", 0, 0)
    assert not {"worker", "status", "first_ms"} & set(event)
    assert event["waited_ms"] == event["ms"]
    event = end_of(server, "run", refused.json()["id"])
    assert (event["level"], event["state"], event["cause"], event["status"]) == ("info", "refused", "queue_full", 429)


def test_a_refused_run_says_why(server):
    answer = server.run(NUMBERS, 1, "x", "late", headers={"X-Request-Id": "wrong"})
    event = end_of(server, "request", "wrong")
    assert (event["state"], event["cause"], event["status"]) == ("refused", "input", 400)
    assert (event["run"], event["message"]) == (answer.json()["id"], answer.json()["error"]["message"])


def test_a_run_that_passed_a_limit_says_which(server):
    with server.stream(NUMBERS, 100000, "x", 20, headers={"X-Request-Timeout": "0.1"}) as stream:
        run = stream.all()[0]["id"]
    event = end_of(server, "run", run)
    assert (event["state"], event["error"], event["cause"]) == ("failed", "timeout", "run_timeout")


def test_an_asynchronous_run_has_the_status_it_was_begun_with(server):
    run = server.run(NUMBERS, 2, "x", 0, async_run=True).json()["id"]
    event = end_of(server, "run", run)
    assert (event["state"], event["status"], event["lines"]) == ("completed", 200, 2)


def test_a_line_names_the_token_and_never_shows_it(start, tmp_path):
    alice, bob = make_tokens(tmp_path / "tokens", "alice", "bob@box.example")
    server = start(example("numbers.so"), options=["--token-file", str(tmp_path / "tokens"), "--log-format", "json"])
    for token, name in ((alice, "alice"), (bob, "bob@box.example")):
        run = server.run(NUMBERS, 1, "x", 0, headers=bearer(token)).json()["id"]
        assert end_of(server, "run", run)["token"] == name
    assert not [line for line in server.log if alice in line or bob in line]


def test_a_request_id_cannot_make_a_field_or_a_line(start):
    server = start(example("numbers.so"))
    run = server.run(NUMBERS, 1, "x", 0, headers={"X-Request-Id": 'a" state=failed\\'.replace(" ", "")}).json()["id"]
    line = server.wait_run_end(run)
    assert r' request="a\"state=failed\\" ' in line and " state=completed " in line
    # One that is no harmless text is not taken.
    run = server.run(NUMBERS, 1, "x", 0, headers={"X-Request-Id": "a b"}).json()["id"]
    assert re.search(r" request=[0-9a-f]{32} ", server.wait_run_end(run))


# ---- which lines there are ------------------------------------------------------------------------------------


@pytest.mark.parametrize("which,completed,others", [("all", 6, 2), ("failed", 0, 2), ("off", 0, 0), ("3", 2, 2)])
def test_which_runs_are_logged_is_configured(start, which, completed, others):
    server = start(example("numbers.so"), example("misbehave.so"),
                   options=["--log-format", "json", "--log-runs", which])
    for _ in range(6):
        server.lines(NUMBERS, 1, "x", 0)
    server.lines(MISBEHAVE, "fail_errno", 0, 0)
    server.run(NUMBERS, 1)
    server.stop()
    states = [event["state"] for event in events(server)]
    assert states.count("completed") == completed
    assert sorted(set(states) - {"completed"}) == (["failed", "refused"] if others else [])
    assert len(states) == completed + others


def test_a_higher_level_leaves_failures_alone(start):
    server = start(example("numbers.so"), example("misbehave.so"),
                   options=["--log-format", "json", "--log-level", "warning"])
    server.lines(NUMBERS, 1, "x", 0)
    server.lines(MISBEHAVE, "fail_errno", 0, 0)
    server.stop()
    assert [event["state"] for event in events(server)] == ["failed"]


@pytest.mark.parametrize("word", ["none", "0", "-1", "1000001", "1x", "", "4294967297"])
def test_other_words_are_refused(word):
    result = subprocess.run([MILLRACE, "serve", example("numbers.so"), "--log-runs", word], capture_output=True, text=True,
                            check=False, timeout=20)
    assert result.returncode == 2 and "--log-runs" in result.stderr


# ---- tracebacks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tracebacks,there", [("log", True), ("client", True), ("off", False)])
def test_the_traceback_of_a_failed_run_is_an_event_of_its_own(start, tmp_path, tracebacks, there):
    module = tmp_path / "failing.py"
    module.write_text('''from pipeline import Pipeline, Variable, pipe


@pipe
def fails(word: str) -> str:
    raise ValueError(word)


with Pipeline() as builder:
    builder.output(fails(Variable(str)))
graph = builder.get_pipeline()
''', encoding="utf-8")
    server = start(f"me/failing:v1={module}:graph", options=["--log-format", "json", "--tracebacks", tracebacks])
    result = wire.result_of(server.run("me/failing:v1", "boom"))
    event = end_of(server, "run", result["id"])
    assert event["message"] == result["error"]["message"] == "ValueError('boom')"
    assert "traceback" not in event
    server.stop()
    found = [event for event in events(server, "run_traceback") if event["run"] == result["id"]]
    assert len(found) == there
    if there:
        assert found[0]["level"] == "info" and found[0]["pipeline"] == "me/failing:v1"
        assert "in fails\n" in found[0]["traceback"] and found[0]["traceback"].endswith("ValueError: boom")
