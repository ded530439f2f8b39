# SPDX-License-Identifier: MIT
"""The run that each worker begins with before it is ready: what it is for, what is seen of it, how it ends."""

import json
import os
import re
import signal

import pytest

import wire
from confined import needs_python
from server import SLOWNESS, example, wait_until
from test_cli import OK, PIPELINE, USAGE, millrace

HERE = os.path.dirname(os.path.abspath(__file__))
MODULE = os.path.join(HERE, "pipelines", "warm.py")
WARM, NUMBERS = "me/warm:v1", "me/numbers:v1"
LIMIT_S = 1 * SLOWNESS


def texts(*words):
    return json.dumps([{"type": "string", "value": word} for word in words])


def numbers(count, pace_ms):
    return json.dumps([{"type": "integer", "value": count}, {"type": "string", "value": "x"},
                       {"type": "integer", "value": pace_ms}])


def start_python(start, word, *options, **more):
    return start(f"{WARM}={MODULE}:graph", options=[
        "--python", "/usr/bin/python3", "--warmup", texts(word), *options], **more)


def start_numbers(start, warm_up, *options, **more):
    return start(f"{NUMBERS}={example('numbers.so')}", options=["--warmup", warm_up, *options], **more)


def go(server):
    with open(server.folder + "/go", "wb"):
        pass


def before(server):
    return wire.output_of(wire.result_of(server.run(WARM, "client")))["before"]


# ---- what it is for ----------------------------------------------------------------------------------


@needs_python
@pytest.mark.parametrize("concurrency", ["1", "3"])
def test_a_client_is_never_the_first_of_a_process(start, concurrency):
    server = start_python(start, "warm", "--workers", "2", "--concurrency", concurrency)
    assert all(before(server) >= 1 for _ in range(2))
    os.kill(server.workers(WARM)[0]["pid"], signal.SIGKILL)
    wait_until(lambda: len(server.log_since(0, " worker_ready ")) == 3, timeout_s=20 * SLOWNESS)
    assert all(before(server) >= 1 for _ in range(6))
    # What it prints is the worker's, and it is none of the runs.
    printed = r' output pipeline=\S+ worker=\d+ stream=log text="a run with warm"'
    wait_until(lambda: len(server.log_since(0, printed)) >= 3, what="what three workers print")
    assert len(server.log_since(0, printed)) == 3
    assert server.metric(f'millrace_runs_accepted_total{{pipeline="{WARM}"}}') == 8
    assert server.metric(f'millrace_runs_ended_total{{pipeline="{WARM}",end="completed"}}') == 8
    assert len(server.get("/v4/runs").json()["data"]) == 8


def test_a_pipeline_in_c_is_warmed_up_with_a_stream(start):
    server = start_numbers(start, numbers(100_000, 0))
    assert len(server.lines(NUMBERS, 3, "x", 0)) == 3
    assert server.metric("millrace_lines_total") == 3
    assert not server.log_since(0, " warm_up_cut ")


# ---- what is seen of it ------------------------------------------------------------------------------


@needs_python
def test_until_it_is_over_the_pipeline_loads(start):
    server = start_python(start, "wait", wait=False).wait_listening()
    wait_until(lambda: [worker["state"] for worker in server.workers(WARM)] == ["warming"], timeout_s=20 * SLOWNESS)
    assert re.fullmatch(rf"pipeline {WARM} is not ready \(loading\): warm-up \(\d+ s\)\n",
                        server.get("/readyz").body.decode())
    answer = server.run(WARM, "client")
    assert answer.status == 503 and ": warm-up (" in wire.result_of(answer)["error"]["message"]
    worker, = server.workers(WARM)
    assert worker["active"] == 0 and not server.log_since(0, " worker_ready ")
    go(server)
    server.wait_ready()
    assert before(server) == 1


@needs_python
def test_a_successor_is_warm_before_it_takes_over(start):
    server = start_python(start, "wait", wait=False).wait_listening()
    go(server)
    server.wait_ready()
    old, = (worker["pid"] for worker in server.workers(WARM))
    os.unlink(server.folder + "/go")
    server.signal(signal.SIGUSR2)
    wait_until(lambda: "warming" in [worker["state"] for worker in server.workers(WARM)], timeout_s=20 * SLOWNESS)
    assert [before(server) for _ in range(3)] == [1, 2, 3]
    go(server)
    server.wait_worker(WARM, 0, old)
    server.wait_log(" worker_retire ")
    wait_until(lambda: [worker["state"] for worker in server.workers(WARM)] == ["ready"], timeout_s=20 * SLOWNESS)
    assert before(server) == 1


@needs_python
def test_another_warm_up_is_of_workers_that_start_from_then_on(start, tmp_path):
    path = tmp_path / "millrace.yaml"

    def say(word):
        path.write_text(f"listen: ['127.0.0.1:0']\npipelines:\n  {WARM}:\n    source: '{MODULE}:graph'\n"
                        f"    python: /usr/bin/python3\n    warmup:\n    - {{type: string, value: {word}}}\n")

    say("one")
    server = start(options=["--config", str(path)])
    pid = server.workers(WARM)[0]["pid"]
    say("two")
    mark = server.log_mark()
    server.signal(signal.SIGHUP)
    server.wait_log(" reload_end ", mark)
    assert server.workers(WARM)[0]["pid"] == pid
    os.kill(pid, signal.SIGKILL)
    server.wait_log(' text="a run with two"', mark)
    server.wait_worker(WARM, 0, pid)


# ---- how it ends -------------------------------------------------------------------------------------


@needs_python
def test_one_that_fails_is_a_start_that_fails_and_says_why(start):
    server = start_python(start, "fail", wait=False).wait_listening()
    server.wait_log(rf' pipeline_failed pipeline={WARM} worker=0 type=\S+ '
                    r"text=\"the warm-up failed: .*this kernel does not compile'\)\"", timeout_s=20 * SLOWNESS)
    server.wait_log(r' pipeline_traceback .*in fail"')
    server.wait_log(r' worker_kill .*reason="its warm-up failed"')
    answer = server.run(WARM, "client")
    assert answer.status == 500
    assert "the warm-up failed: " in wire.result_of(answer)["error"]["message"]
    server.wait_log(r" pipeline_failed .*same_as_before=1 ", timeout_s=20 * SLOWNESS)  # it is tried again


@needs_python
def test_one_that_hangs_is_ended_like_a_start_that_does(start):
    server = start_python(start, "hang", "--start-timeout", f"{WARM}={LIMIT_S + 4}s", wait=False).wait_listening()
    server.wait_log(rf' worker_kill .*reason="it was not ready in time: no progress for {LIMIT_S + 4} s, at warm-up"',
                    timeout_s=40 * SLOWNESS)
    server.wait_log(" worker_hung ")
    server.wait_log("    File .* in hang$")
    assert server.run(WARM, "client").status == 500
    assert server.metric(f'millrace_worker_restarts_total{{pipeline="{WARM}",cause="start_timeout"}}') >= 1


def test_one_that_yields_for_ever_is_cut_when_its_time_is_over(start):
    server = start_numbers(start, numbers(1 << 40, 0), "--start-timeout", f"{LIMIT_S}s")
    assert server.log_since(0, rf" warm_up_cut pipeline={NUMBERS} worker=0 values=\d\d+")
    took_ms = int(server.wait_log(r" worker_ready .* ms=(\d+)")[1])
    assert took_ms >= 1000 * LIMIT_S
    assert len(server.lines(NUMBERS, 3, "x", 0)) == 3


def test_a_server_that_stops_does_not_wait_for_it(start):
    server = start_numbers(start, numbers(1 << 40, 1000), wait=False).wait_listening()
    wait_until(lambda: [worker["state"] for worker in server.workers(NUMBERS)] == ["warming"])
    server.stop()
    assert server.log_since(0, r' worker_kill .*reason="the server is stopping"')


# ---- inputs that cannot be ---------------------------------------------------------------------------


@pytest.mark.parametrize("said, why", [
    ("[", "it is no JSON: "),
    ('{"a": 1}', "it is the list that a run has as its inputs, like "),
    ("[5]", "inputs, 0: value is not a valid dict"),
    ('[{"value": 5}]', "inputs, 0, type: field required"),
    ('[{"type": "integer", "value": 5}], "async_run": true', "it is no JSON: "),
    ('["' + "x" * 65536 + '"]', "it is larger than 65536 bytes"),
])
def test_what_no_run_has_as_its_inputs_is_refused_before_anything_starts(said, why):
    result = millrace("serve", f"{NUMBERS}={example('numbers.so')}", "--warmup", said)
    assert (result.returncode, result.stdout) == (USAGE, "")
    assert result.stderr.startswith(f"millrace: serve: --warmup: {why}") and result.stderr.count("\n") == 1


def test_what_the_pipeline_does_not_take_is_said_when_that_is_known(start):
    server = start_numbers(start, texts("x"), wait=False).wait_listening()
    why = "the warm-up failed: the pipeline takes 3 inputs, got 1"
    server.wait_log(rf' pipeline_failed .*text="{why}"')
    server.wait_log(r' worker_kill .*reason="it cannot warm up with the inputs for that"')
    assert why in wire.result_of(server.run(NUMBERS, 3, "x", 0))["error"]["message"]


def test_none_takes_the_warm_up_of_all_from_one(start):
    server = start(f"{NUMBERS}={example('numbers.so')}", options=["--warmup", texts("x"), "--warmup", f"{NUMBERS}=none"])
    assert len(server.lines(NUMBERS, 3, "x", 0)) == 3


@pytest.mark.parametrize("inputs, code, why", [
    ("[{type: integer, value: 3}, {type: string, value: x}, {type: integer, value: 0}]", OK, None),
    ("[{type: integer, value: 3}]", PIPELINE, "cannot be warmed up: the pipeline takes 3 inputs, got 1"),
    ("[{type: integer, value: 3}, {type: string, value: x}, {type: file, file_id: file_1}]", PIPELINE,
     "cannot be warmed up: input 3"),
    ("[3]", USAGE, "warmup: inputs, 0: value is not a valid dict"),
])
def test_check_tells_what_a_file_says_of_it(tmp_path, inputs, code, why):
    path = tmp_path / "millrace.yaml"
    path.write_text(f"pipelines:\n  {NUMBERS}:\n    source: {example('numbers.so')}\n    warmup: {inputs}\n")
    result = millrace("check", "--config", str(path), "--load")
    assert result.returncode == code and result.stderr.count("\n") == (why is not None), result.stderr
    assert (why or "") in result.stderr
