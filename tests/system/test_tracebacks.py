# SPDX-License-Identifier: MIT
"""millrace serve --tracebacks: who sees where a run or a start failed."""

import json
import re
import subprocess

import pytest

import wire
from server import MILLRACE, example
from test_python_worker import BROKEN, GRAPHS, pointer, pytestmark, served

assert pytestmark  # of all tests that need the extension: it holds here, too
MISBEHAVE = "local/misbehave:v1"
WHO = ("log", "client", "off")


def options_of(who):
    return [] if who is None else ["--tracebacks", who]


def event_of(server, name, *values):
    """The error that the last event but [DONE] has."""
    answer = server.ask("POST", "/v4/runs/stream", wire.run_body(pointer(name), values), {"Accept": "text/event-stream"})
    event = answer.body.decode().split("event: error\ndata: ")[1]
    return json.loads(event.split("\n")[0])["error"]


@pytest.mark.parametrize("who", [None, *WHO])
def test_clients_see_tracebacks_only_where_it_is_said(start, who):
    server = start(*served("misbehave"), options=options_of(who))
    run = server.run(pointer("misbehave"), "raise").json()
    errors = [run["error"], server.lines(pointer("misbehave"), "raise")[-1]["error"],
              event_of(server, "misbehave", "raise")]
    for error in errors:
        assert list(error) == ["type", "message", "traceback"]
        assert error["message"] == "ValueError('boom')"
        assert (f'File "{GRAPHS}"' in error["traceback"]) if who == "client" else error["traceback"] is None
    if who != "client":
        assert server.get(f"/v4/runs/{run['id']}").json()["error"]["traceback"] is None


@pytest.mark.parametrize("who", [None, *WHO])
def test_where_a_start_failed_is_told_to_the_same_people(start, who):
    server = start(*served("plain"), f"me/broken:v1={BROKEN}:x", options=options_of(who))
    server.wait_log(r"pipeline_failed .*broken on purpose")
    response = server.run("me/broken:v1")
    assert response.status == 500
    for error in (response.json()["error"], server.pipeline("me/broken:v1")["error"]):
        assert error["message"] == "RuntimeError('broken on purpose')"
        assert (f'File "{BROKEN}"' in error["traceback"]) if who == "client" else error["traceback"] is None
    server.stop()
    assert bool(server.log_since(0, "worker_broken.py.*, line 4, in")) == (who != "off")


@pytest.mark.parametrize("who", [None, *WHO])
def test_folders_of_what_cannot_start_are_told_to_the_same_people(start, tmp_path, who):
    path = tmp_path / "broken.so"
    path.write_bytes(b"no object")
    words = "cannot load the shared object: {}: file too short"
    told = words.format(path if who == "client" else path.name)
    server = start(*served("plain"), f"me/broken:v1={path}", options=options_of(who))
    run = server.run("me/broken:v1").json()
    for error in (run["error"], server.get(f"/v4/runs/{run['id']}").json()["error"],
                  server.pipeline("me/broken:v1")["error"]):
        assert error["message"] == told
    assert server.get("/readyz").body.decode().endswith(f": {told}\n")
    assert words.format(path) in server.ready_line
    server.wait_log(f' pipeline_failed .* text="{re.escape(words.format(path))}"')


def test_a_server_that_cannot_start_keeps_a_traceback_to_itself_if_nobody_is_to_see_it(start):
    for who in WHO:
        server = start(f"me/broken:v1={BROKEN}:x", options=options_of(who), wait=False)
        assert server.wait_exit() == 4
        assert server.log_since(0, "does not load: .*broken on purpose")
        assert bool(server.log_since(0, "line 4, in <module>")) == (who != "off")


def test_what_a_pipeline_raises_cannot_begin_a_line_of_stderr(start, tmp_path):
    """Neither one that looks like ours, nor one that the journal takes a priority from."""
    path = tmp_path / "forged.py"
    path.write_text("raise RuntimeError('forged\\n\\n<0>to every terminal\\nmillrace: ready')\n")
    server = start(str(path), wait=False)
    assert server.wait_exit() == 4
    assert all(re.match(r"    |\d{4}-\d\d-|millrace: \S+ does not load: ", line) for line in server.log), server.log
    assert "    <0>to every terminal" in server.log and "    millrace: ready" in server.log


@pytest.mark.parametrize("options, is_logged, is_shown", [
    ([], True, False), (["--tracebacks", "client"], True, True), (["--crash-traceback"], True, True),
    (["--tracebacks", "off"], False, False)])
def test_frames_of_a_crash_are_told_to_the_same_people(start, options, is_logged, is_shown):
    server = start(example("misbehave.so"), options=options)
    error = server.lines(MISBEHAVE, "crash", 1, 0)[-1]["error"]
    assert "signal 11 (SIGSEGV)" in error["message"]
    frames = server.wait_log(r' worker_crash .* signal=11 .*text="(.*)"')[1]
    assert ("misbehave.so" in frames) if is_logged else frames == ""
    assert ("misbehave.so" in error["traceback"]) if is_shown else error["traceback"] is None


def test_the_old_word_for_it_does_not_contradict_the_new_one():
    result = subprocess.run([MILLRACE, "serve", example("words.so"), "--crash-traceback", "--tracebacks", "off"],
                            capture_output=True, text=True, check=False, timeout=30)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "--crash-traceback is --tracebacks client, and --tracebacks off is there, too" in result.stderr


def test_check_shows_a_traceback_always():
    result = subprocess.run([MILLRACE, "check", BROKEN + ":x"], capture_output=True, text=True, check=False, timeout=30)
    assert result.returncode == 4
    assert "line 4, in <module>" in result.stderr
