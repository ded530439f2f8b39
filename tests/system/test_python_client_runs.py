# SPDX-License-Identifier: MIT
"""The client pipeline.cloud against the real server: streams, runs, their failures and their ends."""

import asyncio
import contextlib
import gc
import io
import os
import subprocess
import sys
import time

import pytest
import tqdm

from pipeline import InputField, InputSchema
from pipeline.cloud import pipelines, runs
from pipeline.cloud.errors import ApiError, RunFailed
from pipeline.cloud.pipelines import NoResourcesAvailable, run_pipeline, stream_pipeline
from pipeline.cloud.runs import get_run, poll_for_run_completion
from server import MILLRACE, SLOWNESS, TOP, example
from twins import BOTH_RUNS, BOTH_STREAMS, stream_async, stream_sync

WORDS = "my_user/my_pipeline:v1"
ECHO = "local/echo:v1"
LOCKSTEP = "local/lockstep:v1"
MISBEHAVE = "local/misbehave:v1"
NUMBERS = "local/numbers:v1"
TOKEN = "a token of the tests"


@pytest.fixture(scope="module")
def server(start_shared):
    return start_shared(f"{WORDS}={example('words.so')}:my_pipeline", example("echo.so"),
                        f"{LOCKSTEP}={example('several.so')}:lockstep", example("misbehave.so"),
                        example("numbers.so"), options=["--concurrency", "8"])


@pytest.fixture
def api(server, monkeypatch):
    monkeypatch.setenv("PIPELINE_API_URL", server.url)
    monkeypatch.setenv("PIPELINE_API_TOKEN", TOKEN)
    return server


# ---- the main job ------------------------------------------------------------------------------------

def test_the_snippet_that_users_have_prints_word_by_word(api):
    script = ("from pipeline.cloud.pipelines import stream_pipeline\n"
              "for result in stream_pipeline(\"my_user/my_pipeline:v1\", \"hello there world\"):\n"
              "    print(result.outputs_formatted()[0])\n")
    environment = {**os.environ, "PYTHONPATH": os.path.join(TOP, "worker/python"), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment)
    with process:
        arrivals = [(line, time.monotonic()) for line in process.stdout]
    assert process.returncode == 0
    assert [line for line, _ in arrivals] == [b"hello \n", b"there \n", b"world \n"]
    assert arrivals[-1][1] - arrivals[0][1] > 0.1, "they came together"


def test_asynchronous_streams_are_incremental_and_run_side_by_side(api):
    async def one():
        times = []
        async for result in pipelines.stream_pipeline_async(WORDS, "a b c d"):
            times.append((result.outputs_formatted(), time.monotonic()))
        return times

    async def main():
        return await asyncio.gather(*(one() for _ in range(4)))

    began = time.monotonic()
    streams = asyncio.run(main())
    assert time.monotonic() - began < 4 * 0.4 * SLOWNESS, "they waited for each other"
    for times in streams:
        assert [values for values, _ in times] == [["a "], ["b "], ["c "], ["d "]]
        assert times[-1][1] - times[0][1] > 0.2


@BOTH_STREAMS
def test_several_outputs_come_in_lock_step(api, stream):
    assert [result.outputs_formatted() for result in stream(LOCKSTEP)] == [
        [1, "static", "hello"], [2, "static", "world"], [3, "static", None], [4, "static", None]]


def test_a_result_has_all_that_a_line_says(api):
    result = next(stream_pipeline(WORDS, "hello"))
    assert result.id.startswith("run_") and result.pipeline_id.startswith("pipeline_")
    assert result.state == "running" and result.error is None and not result.is_final
    assert result.created_at <= result.updated_at
    assert [(output.type, output.value, output.file) for output in result.outputs] == [("string", "hello ", None)]
    assert result.raw["queue_position"] is None and "hello " in repr(result)


@BOTH_STREAMS
def test_a_stream_without_a_line_is_no_results(api, stream):
    assert stream(NUMBERS, 0, "x", 0) == []


@BOTH_STREAMS
def test_a_long_stream_is_whole(api, stream):
    results = stream(NUMBERS, 20_000, "some text \u20ac", 0)
    assert [result.outputs_formatted()[0]["i"] for result in results] == list(range(20_000))


@BOTH_RUNS
def test_a_run_gives_one_result(api, run):
    result = run(WORDS, "a b")
    assert result.state == "completed" and result.is_final
    assert result.outputs_formatted() == [["a ", "b "]]


def test_values_of_every_type_go_there_and_back(api):
    class Settings(InputSchema):
        depth: int = InputField(default=3, gt=0)
        tags: list = ["a"]

    values = {"text": "h\u00e9 \U0001f600 \0", "low": -(2**63), "high": 2**64 - 1, "fp": 0.1, "true": True,
              "none": None, "array": [1, "a", None, {"b": [True]}], "dictionary": {"a": 1.5, "b": {}}}
    results = list(stream_pipeline(ECHO, values))
    assert [result.outputs_formatted() for result in results] == [[value] for value in values.values()]
    assert [result.outputs[0].type for result in results] == [
        "string", "integer", "integer", "fp", "boolean", "none", "array", "dictionary"]
    assert run_pipeline(ECHO, Settings(depth=5)).outputs_formatted() == [[5, ["a"]]]


# ---- failures of runs --------------------------------------------------------------------------------

@BOTH_STREAMS
def test_a_failure_in_mid_stream_is_a_last_result_with_an_error(api, stream):
    results = stream(MISBEHAVE, "crash", 3, None)
    assert [result.outputs_formatted() for result in results[:-1]] == [[0], [1], [2]]
    assert results[-1].state == "failed" and results[-1].outputs is None
    assert results[-1].error.type == "pipeline_error" and "signal" in results[-1].error.message
    with pytest.raises(RunFailed, match="pipeline_error: .*signal") as caught:
        results[-1].outputs_formatted()
    assert caught.value.result is results[-1]


@BOTH_RUNS
def test_wrong_inputs_are_a_failed_result(api, run):
    result = run(WORDS, 5)
    assert (result.state, result.error.type) == ("failed", "input_error")
    assert "must be a string" in str(result.error)
    assert stream_sync(WORDS)[0].error.type == "input_error"


@BOTH_STREAMS
def test_requests_that_are_refused_are_exceptions_with_status_and_text(api, stream):
    with pytest.raises(ApiError) as caught:
        stream("nobody/nothing:v1", "x")
    assert caught.value.status == 404 and caught.value.text == "Pipeline not found"
    assert caught.value.detail["message"] == "Pipeline not found" and WORDS in caught.value.detail["pipelines"]
    with pytest.raises(ApiError) as caught:
        stream("not a pointer", "x")
    assert caught.value.status in (404, 422)


def test_a_full_queue_is_no_resources_available(start, monkeypatch):
    server = start(f"{WORDS}={example('words.so')}:my_pipeline", options=["--queue", "0"])
    monkeypatch.setenv("PIPELINE_API_URL", server.url)
    first = stream_pipeline(WORDS, "one " * 100)
    next(first)
    for refused in (lambda: run_pipeline(WORDS, "x"), lambda: stream_sync(WORDS, "x"),
                    lambda: stream_async(WORDS, "x")):
        with pytest.raises(NoResourcesAvailable) as caught:
            refused()
        assert caught.value.status == 429 and caught.value.retry_after_s >= 1
        assert caught.value.run_id.startswith("run_")
        assert caught.value.result.state == "no_resources_available"
    first.close()


def test_tokens_are_sent_and_a_wrong_one_is_an_exception(start, tmp_path, monkeypatch):
    tokens = tmp_path / "tokens"
    made = subprocess.run([MILLRACE, "token", "new", "tests", "--file", str(tokens)], check=True,
                          capture_output=True, text=True, timeout=30)
    token = made.stdout.strip()
    server = start(f"{WORDS}={example('words.so')}:my_pipeline", options=["--token-file", str(tokens)])
    assert run_pipeline(WORDS, "a", url=server.url, token=token).outputs_formatted() == [["a "]]
    monkeypatch.setenv("PIPELINE_API_TOKEN", token)
    assert run_pipeline(WORDS, "a", url=server.url + "/").state == "completed"
    with pytest.raises(ApiError, match="Not authenticated") as caught:
        run_pipeline(WORDS, "a", url=server.url, token="wrong")
    assert caught.value.status == 401


# ---- asynchronous runs -------------------------------------------------------------------------------

def test_an_asynchronous_run_is_polled_until_it_has_its_outputs(api):
    began = run_pipeline(WORDS, "a b c", async_run=True)
    assert not began.is_final and began.outputs_formatted() == []
    assert get_run(began.id).state in ("created", "queued", "running")
    done = poll_for_run_completion(began.id, interval_secs=0.05)
    assert done.state == "completed" and done.outputs_formatted() == [["a ", "b ", "c "]]
    assert get_run(began.id).outputs_formatted() == [["a ", "b ", "c "]]

    async def again():
        began = await pipelines.run_pipeline_async(WORDS, "d", async_run=True)
        return await runs.poll_for_run_completion_async(began.id), await runs.get_run_async(began.id)

    assert [run.outputs_formatted() for run in asyncio.run(again())] == [[["d "]], [["d "]]]


def test_polling_gives_up_and_runs_are_cancelled(api):
    began = run_pipeline(WORDS, "word " * 200, async_run=True)
    with pytest.raises(TimeoutError, match="has not ended in 0.1 s"):
        poll_for_run_completion(began.id, interval_secs=0.02, timeout_secs=0.1)
    runs.cancel_run(began.id)
    ended = poll_for_run_completion(began.id, interval_secs=0.02, timeout_secs=10 * SLOWNESS)
    assert ended.state == "failed" and ended.error.type == "unknown"
    with pytest.raises(ApiError, match="Run not found") as caught:
        get_run("run_" + "0" * 32)
    assert caught.value.status == 404
    assert asyncio.run(runs.cancel_run_async(began.id)).state == "failed"


# ---- leaving early -----------------------------------------------------------------------------------

def test_leaving_the_loop_ends_the_run(api):
    mark = api.log_mark()
    for result in stream_pipeline(WORDS, "word " * 200):
        break
    assert "state=cancelled cause=client_gone" in api.wait_run_end(result.id, since=mark)


def test_leaving_an_asynchronous_loop_ends_the_run(api):
    mark = api.log_mark()

    async def main():
        async for result in pipelines.stream_pipeline_async(WORDS, "word " * 200):
            return result

    result = asyncio.run(main())
    gc.collect()
    assert "state=cancelled cause=client_gone" in api.wait_run_end(result.id, since=mark)


def test_closing_an_asynchronous_stream_ends_the_run_at_once(api):
    mark = api.log_mark()

    async def main():
        results = pipelines.stream_pipeline_async(WORDS, "word " * 200)
        result = await results.__anext__()
        await results.aclose()
        # The loop goes on and the generator is held: nothing but aclose() can have ended it.
        return await asyncio.to_thread(api.wait_run_end, result.id, mark)

    assert "state=cancelled cause=client_gone" in asyncio.run(main())


def test_closing_a_stream_ends_the_run(api):
    mark = api.log_mark()
    with contextlib.closing(stream_pipeline(WORDS, "word " * 200)) as results:
        result = next(results)
    assert "state=cancelled cause=client_gone" in api.wait_run_end(result.id, since=mark)


def test_a_progress_bar_may_be_put_around_a_stream(api):
    shown = io.StringIO()
    results = list(tqdm.tqdm(stream_pipeline(NUMBERS, 5, "x", 0), file=shown))
    assert len(results) == 5 and "5it" in shown.getvalue()
    assert not hasattr(stream_pipeline(NUMBERS, 5, "x", 0), "__len__")
