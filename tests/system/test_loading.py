# SPDX-License-Identifier: MIT
"""Starts of minutes, which are seconds here: workers that say how far they are, and who waits for them."""

import datetime
import os
import re
import threading

import pytest

import wire
from confined import needs_python
from operator_socket import state
from server import SLOWNESS, example, wait_until
from test_cli import millrace
from test_file_inputs import by_id, upload

HERE = os.path.dirname(os.path.abspath(__file__))
MODULE = os.path.join(HERE, "pipelines", "progress.py")
PYTHON, C = "me/python:v1", "me/c:v1"
WAITS = {"wait_for_resources": True}
START_S = 1 * SLOWNESS
# Unscaled: a start of three minutes, and a limit of ten seconds.
LONG_START_S, LONG_LIMIT_S, TICK_S = 180, 10, 0.2


def go(server):
    with open(server.folder + "/go", "wb"):
        pass


def time_of(server, pattern):
    """When the line was written, in seconds."""
    text = server.wait_log(rf"^(\S+) .*{pattern}", timeout_s=20 * SLOWNESS)[1]
    return datetime.datetime.fromisoformat(text.rstrip("Z")).timestamp()


def loading(server, pointer):
    return server.pipeline(pointer)["loading"]


def wait_progress(server, pointer):
    wait_until(lambda: (loading(server, pointer) or {}).get("progress") is not None, what="some progress")
    return loading(server, pointer)


def start_c(start, pipelines, name, *options, **more):
    return start(f"{C}={pipelines('progress')}:{name}", options=["--start-timeout", f"{START_S}s", *options], wait=False,
                 **more).wait_listening()


def start_python(start, says, *options):
    return start(f"{PYTHON}={MODULE}:graph", wait=False, options=[
        "--python", "/usr/bin/python3", "--env", f"SAYS={says}", "--keepalive", "300ms", *options]).wait_listening()


def times_of(server, event):
    return [datetime.datetime.fromisoformat(line.split()[0].rstrip("Z")).timestamp()
            for line in server.log_since(0, f" worker_{event} ")]


# ---- the limit ---------------------------------------------------------------------------------------


def test_a_start_that_ticks_passes_a_limit_that_is_shorter(start, pipelines):
    ticks = 20 * SLOWNESS
    server = start_c(start, pipelines, "ticking", "--env", f"TICKS={ticks}")
    took_ms = int(server.wait_log(rf" worker_ready pipeline={C} worker=0 pid=\d+ ms=(\d+)", timeout_s=60 * SLOWNESS)[1])
    assert took_ms >= ticks * 200 > 1000 * START_S
    assert wire.output_of(server.lines(C)[0]) == "started"
    assert not server.log_since(0, " worker_kill ")
    assert loading(server, C) is None


def test_one_that_stops_ticking_is_ended_then_and_all_are_told_where(start, pipelines):
    server = start_c(start, pipelines, "stalling")
    reason = f"it was not ready in time: no progress for {START_S} s, at 62 %, loading shard 5 of 8"
    killed_s = time_of(server, rf' worker_kill pipeline={C} worker=0 pid=\d+ reason="{re.escape(reason)}"')
    said_s = time_of(server, ' text="the last tick"')
    assert START_S - 0.05 <= killed_s - said_s < START_S + 0.5 * SLOWNESS
    server.wait_log(rf' worker_exit pipeline={C} .*reason=".*{re.escape(reason)}"')
    answer = server.run(C)
    assert answer.status == 500 and reason in wire.result_of(answer)["error"]["message"]


@needs_python
def test_an_import_that_stops_ticking_is_ended_too(start):
    server = start_python(start, "stall", "--start-timeout", f"{5 * SLOWNESS}s")
    server.wait_log(r' worker_kill .*no progress for \d+ s, at 62 %, loading shard 5 of 8"', timeout_s=30 * SLOWNESS)


@pytest.mark.skipif("SLOW" not in os.environ, reason="it takes three minutes; SLOW=1 has it run")
@pytest.mark.bounded(LONG_START_S + 60)
def test_a_start_of_three_minutes_passes_ten_seconds_without_its_first_client(start, pipelines):
    stalls = "me/stalls:v1"
    server = start(f"{C}={pipelines('progress')}:ticking", f"{stalls}={pipelines('progress')}:stalling", wait=False,
                   options=["--start-timeout", f"{LONG_LIMIT_S}s", "--keepalive", "1s", "--env",
                            f"TICKS={round(LONG_START_S / TICK_S)}"]).wait_listening()
    reason = f"no progress for {LONG_LIMIT_S} s, at 62 %, loading shard 5 of 8"
    wait_progress(server, C)
    worker, = server.workers(C)
    with server.stream(C, **WAITS) as stream:
        killed_s = time_of(server, rf' worker_kill pipeline={stalls} .*{reason}"')
        stream.begin()
    assert LONG_LIMIT_S - 0.05 <= killed_s - time_of(server, ' text="the last tick"') < LONG_LIMIT_S + 1
    left_s = time_of(server, rf" run_end run=\S+ pipeline={C} .*state=cancelled cause=client_gone")
    ready = server.wait_log(rf" worker_ready pipeline={C} worker=0 pid={worker['pid']} ms=(\d+)", timeout_s=LONG_START_S + 30)
    ready_s = time_of(server, f" worker_ready pipeline={C} ")
    assert int(ready[1]) >= LONG_START_S * 1000 and ready_s - left_s > LONG_START_S - 2 * LONG_LIMIT_S
    assert wire.output_of(server.lines(C)[0]) == "started"
    print(f"ready after {int(ready[1]) / 1000:.1f} s; the first client left {ready_s - left_s:.1f} s before; the one "
          f"that stopped was ended {killed_s - time_of(server, ' text=.the last tick.'):.2f} s after its last tick")


# ---- what is shown -----------------------------------------------------------------------------------


def test_how_far_a_start_is_can_be_seen_everywhere(start, pipelines):
    server = start_c(start, pipelines, "paced")
    assert wait_progress(server, C) == {"worker": 0, "elapsed_s": pytest.approx(5, abs=5 * SLOWNESS), "progress": 0.62,
                                        "text": "loading shard 5 of 8"}
    words = r": 62 %, loading shard 5 of 8 \(\d+ s\)"
    for path in ("/v4/runs", "/v4/runs/stream"):
        answer = server.ask("POST", path, wire.run_body(C, []))
        error = wire.result_of(answer)["error"]
        assert answer.status == 503 and 1 <= int(answer.header("Retry-After")) <= 60
        assert error["type"] == "pipeline_loading" and re.fullmatch(f"pipeline {C} is loading{words}", error["message"])
    assert re.fullmatch(rf"pipeline {C} is not ready \(loading\){words}\n", server.get("/readyz").body.decode())
    assert server.metric(f'millrace_pipeline_loading_ratio{{pipeline="{C}"}}') == 0.62
    assert state(server)["pipelines"][0]["loading"]["text"] == "loading shard 5 of 8"
    listed = millrace("ps", "--control", server.folder + "/control.sock").stdout
    assert re.search(f"^  loading{words}$", listed, re.MULTILINE)
    go(server)
    server.wait_ready()
    assert loading(server, C) is None
    assert "millrace_pipeline_loading_ratio{" not in server.get("/metrics").body.decode()


@needs_python
@pytest.mark.parametrize("says, progress, text", [
    ("speak", 0.62, "loading shard 5 of 8"),
    ("wonder", None, "compiling?"),
    ("draw", 0.62, "Loading checkpoint shards: 5/8"),
    ("count", None, "Reading: 41it"),
    ("be_silent", None, None),
    ("tqdm", 0.62, "Loading checkpoint shards: 5/8"),
])
def test_what_a_module_says_and_draws_while_it_is_imported_is_its_progress(start, says, progress, text):
    server = start_python(start, says)
    if text is None:
        server.wait_log(' text="62% of nothing')
    else:
        wait_until(lambda: (loading(server, PYTHON) or {}).get("text") == text, what=text, timeout_s=20 * SLOWNESS)
    assert (loading(server, PYTHON)["progress"], loading(server, PYTHON)["text"]) == (progress, text)
    assert server.workers(PYTHON)[0]["state"] == "starting"  # its inputs are not known yet
    go(server)
    server.wait_ready()
    assert wire.output_of(server.lines(PYTHON, "you")[0]) == "hello you"


def test_a_pipeline_that_says_much_before_it_is_loaded_can_be_checked_and_served(start, pipelines):
    checked = millrace("check", f"{pipelines('progress')}:wordy")
    assert (checked.returncode, checked.stderr) == (0, "")
    server = start_c(start, pipelines, "wordy")
    server.wait_ready()
    assert wire.output_of(server.lines(C)[0]) == "started"


# ---- who waits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", ["1", "0-1"])
def test_the_first_client_leaves_and_the_load_goes_on(start, pipelines, workers):
    server = start_c(start, pipelines, "paced", "--workers", workers, "--keepalive", "100ms")
    with server.stream(C, **WAITS) as stream:
        stream.begin()  # it hears that it is not forgotten, and leaves
        worker, = server.workers(C)
    wait_until(lambda: server.metric("millrace_runs") == 0, what="the end of the run")
    server.wait_log(rf" run_end run=\S+ pipeline={C} .*state=cancelled cause=client_gone")
    assert server.workers(C)[0]["pid"] == worker["pid"] and server.pipeline(C)["state"] == "loading"
    go(server)
    server.wait_log(rf" worker_ready pipeline={C} worker=0 pid={worker['pid']} ")
    assert wire.output_of(server.lines(C)[0]) == "started"


@needs_python
def test_runs_wait_for_inputs_that_nobody_knows_yet(start):
    server = start_python(start, "speak")
    wait_progress(server, PYTHON)
    answers = {}

    def ask(name, path, *values):
        answers[name] = server.ask("POST", path, wire.run_body(PYTHON, values, **WAITS))

    asking = [threading.Thread(target=ask, args=args) for args in (
        ("good", "/v4/runs", "you"), ("many", "/v4/runs", "a", "b"), ("wrong", "/v4/runs", 5))]
    for thread in asking:
        thread.start()
    with server.stream(PYTHON, "stream", **WAITS) as stream:
        wait_until(lambda: server.pipeline(PYTHON)["queued"] == 4, what="four that wait")
        assert server.run(PYTHON, "x").status == 503  # who does not ask for it does not wait
        too_large = server.run(PYTHON, "x" * 100_000, **WAITS)
        assert too_large.status == 503 and wire.result_of(too_large)["error"]["type"] == "pipeline_loading"
        go(server)
        assert [wire.output_of(line) for line in stream.all()] == ["hello stream"]
    for thread in asking:
        thread.join(20 * SLOWNESS)
    assert answers["good"].status == 200 and wire.output_of(wire.result_of(answers["good"])) == "hello you"
    for name in ("many", "wrong"):
        assert answers[name].status == 400 and wire.result_of(answers[name])["error"]["type"] == "input_error"


@needs_python
def test_files_are_brought_when_it_is_known_that_inputs_name_them(start, tmp_path):
    server = start_python(start, "speak", "--env", "INPUT=file", "--files", str(tmp_path / "files"))
    wait_progress(server, PYTHON)
    stored = upload(server, b"file")
    with server.stream(PYTHON, by_id(stored), **WAITS) as stream, \
            server.stream(PYTHON, by_id({"id": "file_" + "0" * 32}), **WAITS) as missing:
        wait_until(lambda: server.pipeline(PYTHON)["queued"] == 2, what="two that wait")
        stream.begin()
        missing.begin()
        go(server)
        assert [wire.output_of(line) for line in stream.all()] == ["hello file"]
        assert "there is no such file" in missing.all()[-1]["error"]["message"]


def test_runs_wait_for_a_start_whose_inputs_are_known(start, pipelines):
    server = start_c(start, pipelines, "paced", "--keepalive", "100ms")
    wait_until(lambda: server.pipeline(C)["input_variables"] is not None, what="the inputs")
    with server.stream(C, **WAITS) as stream:
        go(server)
        assert [wire.output_of(line) for line in stream.all()] == ["started"]


def test_who_may_not_wait_so_long_is_told_how_far_it_is(start, pipelines):
    server = start_c(start, pipelines, "paced", "--queue-timeout", "300ms")
    wait_progress(server, C)
    answer = server.run(C, **WAITS)
    error = wire.result_of(answer)["error"]
    assert answer.status == 503 and answer.header("Retry-After") and error["type"] == "pipeline_loading"
    assert re.search(r"the pipeline is being started: 62 %, loading shard 5 of 8 \(\d+ s\)$", error["message"])
    go(server)
    server.wait_ready()


def test_who_waits_for_a_start_that_fails_is_told_why(start, pipelines):
    server = start_c(start, pipelines, "stalling")
    answer = server.run(C, **WAITS)
    assert answer.status == 500 and "at 62 %, loading shard 5 of 8" in wire.result_of(answer)["error"]["message"]


# ---- workers that lie --------------------------------------------------------------------------------


def test_a_worker_that_floods_the_server_with_progress_slows_nobody_else(start, pipelines):
    other = "me/numbers:v1"
    server = start(f"{other}={example('numbers.so')}", f"{C}={pipelines('progress')}:flood", wait=False,
                   options=["--start-timeout", f"{START_S}s"]).wait_listening()
    server.wait_log(rf" worker_noisy pipeline={C} ")
    server.wait_log(rf" worker_ready pipeline={other} ")
    for _ in range(20):
        assert len(server.lines(other, 3, "x", 0)) == 3
    text = wait_progress(server, C)["text"]
    assert text == "??[2J???"
    go(server)
    server.wait_ready()
    assert wire.output_of(server.lines(C)[0]) == "started"
    assert server.metric("millrace_worker_pauses_total") >= 1


def test_a_worker_whose_progress_cannot_be_read_loses_itself_alone(start, pipelines):
    other = "me/numbers:v1"
    server = start(f"{other}={example('numbers.so')}", f"{C}={pipelines('progress')}:garbage", wait=False).wait_listening()
    server.wait_log(rf' worker_kill pipeline={C} .*reason="it told of its start in a way that cannot be read"')
    server.wait_log(rf" worker_ready pipeline={other} ")
    assert len(server.lines(other, 3, "x", 0)) == 3
    assert loading(server, other) is None


def test_a_worker_that_serves_has_nothing_to_say_of_its_start(start, pipelines):
    server = start_c(start, pipelines, "late")
    server.wait_ready()
    line = server.lines(C)[-1]
    assert line["error"]["type"] == "pipeline_error" and "it said PROGRESS out of turn" in line["error"]["message"]


# ---- enough workers ----------------------------------------------------------------------------------


def test_readyz_wants_as_many_workers_as_it_is_told(start, pipelines):
    server = start_c(start, pipelines, "halves", "--workers", "2", "--ready-workers", f"{C}=2")
    server.wait_log(rf" worker_ready pipeline={C} worker=0 ")
    ready = server.get("/readyz")
    assert (ready.status, ready.body.decode()) == (503, f"pipeline {C} is not ready (1 of 2 workers serve)\n")
    assert server.get("/v4/container/state").json()["state"] == "loading"
    assert wire.output_of(server.lines(C)[0]) == "started"  # who comes is served
    go(server)
    server.wait_ready()
    assert server.get("/readyz").status == 200


def test_one_worker_is_enough_where_nothing_is_said(start, pipelines):
    server = start_c(start, pipelines, "halves", "--workers", "2")
    server.wait_log(rf" worker_ready pipeline={C} worker=0 ")
    assert server.get("/readyz").status == 200
    go(server)
    server.wait_ready()


def test_of_workers_that_come_with_their_runs_no_more_are_wanted_than_there_should_be(start):
    pointer = "me/numbers:v1"
    server = start(f"{pointer}={example('numbers.so')}", options=["--workers", "1-4", "--ready-workers", "4"])
    assert server.get("/readyz").status == 200


def test_more_than_there_can_be_are_refused(tmp_path):
    refused = millrace("serve", f"me/a:v1={example('numbers.so')}", "--workers", "2", "--ready-workers", "3",
                       "--control", str(tmp_path / "none"))
    assert refused.returncode == 2
    assert "me/a:v1: --ready-workers 3 is more than there can be: --workers 2" in refused.stderr


# ---- many at once ------------------------------------------------------------------------------------


@pytest.mark.parametrize("options, most", [((), 4), (("--load-parallel", "1"), 1), (("--load-parallel", "2"), 2),
                                           (("--device-load-parallel", "1"), 2), (("--device-load-parallel", "2"), 4)])
def test_as_many_workers_load_at_once_as_may(start, pipelines, options, most):
    server = start_c(start, pipelines, "ticking", "--devices", "vulkan:x2", "--workers-per-device", "2", "--log-level", "debug",
                     "--env", "TICKS=3", *options)
    wait_until(lambda: len(server.log_since(0, " worker_ready ")) == 4, 20 * SLOWNESS)
    loading_now, seen = 0, []
    for line in server.log_since(0, r" worker_(start|ready) "):
        loading_now += 1 if " worker_start " in line else -1
        seen.append(loading_now)
    assert max(seen) == most and loading_now == 0
    # Who waits is woken, and does not look now and then.
    last = max(start_s - max([ready_s for ready_s in times_of(server, "ready") if ready_s <= start_s], default=start_s)
               for start_s in times_of(server, "start"))
    assert last < 0.5 * SLOWNESS
