# SPDX-License-Identifier: MIT
"""The example pipelines in Python, served as they are, through the client and through curl."""

import asyncio
import importlib.util
import json
import os
import re
import subprocess
import sys
import time

import pytest

from pipeline.cloud.pipelines import run_pipeline, stream_pipeline, stream_pipeline_async
from server import BUILD, MILLRACE, SLOWNESS, TOP

pytestmark = pytest.mark.skipif(
    not os.path.exists(os.path.join(BUILD, "python/millrace_worker/_ring.abi3.so")),
    reason="the extension was not built: python3-dev is missing")

FOLDER = os.path.join(TOP, "docs/examples/python")
# Debian's, which has Debian's numpy.
PYTHON = ["--python", "/usr/bin/python3"]
NAMES = {"my_module": ["my_pipeline"], "several_outputs": ["several", "lockstep"], "schema": ["generate"],
         "async_words": ["words"], "model": ["writer"], "nearest": ["nearest"], "flood": ["numbers"], "numpy_engine": ["collatz"],
         "async_llm": ["chat"]}
CONCURRENT = ("async_words", "numpy_engine", "async_llm")
WORDS = "my_user/my_pipeline:v1"

# The file that users have. It is served as it stands here.
MY_MODULE = '''\
import time
from pipeline import Pipeline, pipe
from pipeline.objects.graph import Stream, Variable

@pipe
def streamer(input_data: str) -> Stream:
    def iter_output(data):
        for word in data.split():
            time.sleep(0.1)
            yield word + " "
    return Stream(iter_output(input_data))

with Pipeline() as builder:
    in_1 = Variable(str)
    result = streamer(in_1)
    builder.output(result)

my_pipeline = builder.get_pipeline()
'''


def source(module, name):
    return f"{os.path.join(FOLDER, module)}.py:{name}"


@pytest.fixture(scope="module")
def server(start_shared):
    sources = [f"ex/{name}:v1={source(module, name)}" for module, names in NAMES.items() for name in names
               if module not in ("my_module", *CONCURRENT)]
    return start_shared(f"{WORDS}={source('my_module', 'my_pipeline')}", *sources, options=PYTHON)


@pytest.fixture(scope="module")
def concurrent(start_shared):
    sources = [f"ex/{name}:v1={source(module, name)}" for module in CONCURRENT for name in NAMES[module]]
    return start_shared(*sources, options=["--concurrency", "64", *PYTHON])


@pytest.fixture
def api(server, monkeypatch):
    monkeypatch.setenv("PIPELINE_API_URL", server.url)
    return server


def values(*arguments):
    return [result.outputs_formatted() for result in stream_pipeline(*arguments)]


def local(module):
    """The example as a module of this process, to run its graphs without any server."""
    spec = importlib.util.spec_from_file_location(f"example_{module}", os.path.join(FOLDER, f"{module}.py"))
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


# ---- the main job --------------------------------------------------------------------------------

def test_the_file_of_the_users_is_served_to_the_letter_and_their_snippet_prints_its_words(api):
    with open(os.path.join(FOLDER, "my_module.py"), encoding="ascii") as file:
        assert file.read() == MY_MODULE
    script = ("from pipeline.cloud.pipelines import stream_pipeline\n"
              "for result in stream_pipeline(\"my_user/my_pipeline:v1\", \"hello there world\"):\n"
              "    print(result.outputs_formatted()[0])\n")
    environment = {**os.environ, "PYTHONPATH": os.path.join(TOP, "worker/python"), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment) as process:
        arrivals = [(line, time.monotonic()) for line in process.stdout]
    assert process.returncode == 0
    assert [line for line, _ in arrivals] == [b"hello \n", b"there \n", b"world \n"]
    assert arrivals[-1][1] - arrivals[0][1] > 0.1, "they came together"


def test_curl_prints_a_line_when_its_word_is_there(server):
    body = '{"pipeline":"my_user/my_pipeline:v1","inputs":[{"type":"string","value":"a b c d"}]}'
    command = ["curl", "-sSN", "-X", "POST", f"{server.url}/v4/runs/stream", "-H", "Authorization: Bearer token",
               "-H", "Content-Type: application/json", "-d", body]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        arrivals = [(json.loads(line), time.monotonic()) for line in process.stdout]
    assert process.returncode == 0
    assert [line["outputs"] for line, _ in arrivals] == [
        [{"type": "string", "value": word, "file": None}] for word in ("a ", "b ", "c ", "d ")]
    assert arrivals[-1][1] - arrivals[0][1] > 0.15


def test_check_shows_the_variables_of_every_example():
    for module, names in NAMES.items():
        for name in names:
            shown = subprocess.run([MILLRACE, "check", source(module, name), *PYTHON], check=True,
                                   capture_output=True, text=True, timeout=30 * SLOWNESS).stdout
            assert name in shown
            title = {"several": "limit", "writer": "prompt", "words": "pace_s"}.get(name)
            assert title is None or title in shown, shown


# ---- the others ----------------------------------------------------------------------------------

def test_several_outputs_advance_together_and_an_entity_counts_runs(api):
    lines = values("ex/several:v1", "  to be ", 4)
    counts = [line[2]["run"] for line in lines]
    assert [line[:2] for line in lines] == [["to", "t"], ["be", "o"], [None, " "], [None, "b"]]
    assert lines[0][2]["cut_off"] == 3 and len(set(counts)) == 1
    assert values("ex/several:v1", "x")[0][2]["run"] == counts[0] + 1
    assert values("ex/lockstep:v1") == [[1, "static", "hello"], [2, "static", "world"], [3, "static", None],
                                        [4, "static", None]]


def test_a_schema_is_filled_from_a_dictionary_and_its_limits_hold(api):
    assert values("ex/generate:v1", "a b c") == [["a"], ["b"], ["c"]]
    assert values("ex/generate:v1", "a b c", {"mode": "reversed", "max_tokens": 2}) == [["c"], ["b"]]
    assert values("ex/generate:v1", "a b c", {"stop_words": ["b"], "repetition": 1.9}) == [["a"], ["a"]]
    result, = stream_pipeline("ex/generate:v1", "a", {"max_tokens": 0, "mode": "loud"})
    assert result.state == "failed" and result.error.type == "input_error"
    assert result.error.message.startswith('input 2 ("settings"): 2 validation errors for Settings\nmax_tokens\n')
    assert "permitted: 'plain', 'shuffled', 'reversed'" in result.error.message


def test_asynchronous_runs_share_one_worker(concurrent):
    async def one():
        results = stream_pipeline_async("ex/words:v1", "a b c", url=concurrent.url)
        return [result.outputs_formatted()[0] async for result in results]

    async def main():
        return await asyncio.gather(*(one() for _ in range(40)))

    began = time.monotonic()
    assert asyncio.run(main()) == [["a ", "b ", "c "]] * 40
    spent_s = time.monotonic() - began
    assert 0.25 < spent_s < 3 * SLOWNESS, "40 runs of 0.3 s each"
    assert len(concurrent.workers("ex/words:v1")) == 1


def together(server, *inputs):
    """What each run gives, of all of them at once."""
    async def one(pointer, *values):
        results = stream_pipeline_async(pointer, *values, url=server.url)
        return [result.outputs_formatted()[0] async for result in results]

    async def main():
        return await asyncio.gather(*(one(*each) for each in inputs))

    return asyncio.run(main())


def collatz(number):
    numbers = []
    while number != 1:
        number = number // 2 if number % 2 == 0 else 3 * number + 1
        numbers.append(number)
    return numbers


def test_an_engine_of_rows_computes_more_runs_than_it_has_rows(concurrent):
    starts = range(2, 62)
    assert together(concurrent, *(("ex/collatz:v1", number) for number in starts)) == list(map(collatz, starts))
    result, = stream_pipeline("ex/collatz:v1", 0, url=concurrent.url)
    assert (result.error.type, result.error.message) == ("input_error", "the number is from 1 to 1000000")
    example = local("numpy_engine")
    assert list(example.collatz.run(27)[0]) == collatz(27)


def test_an_engine_like_that_of_vllm_is_hosted(concurrent):
    prompts = [" ".join(f"w{word}" for word in range(number)) for number in range(1, 41)]
    answers = together(concurrent, *(("ex/chat:v1", prompt, 8) for prompt in prompts))
    assert answers == [[word + " " for word in reversed(prompt.split())][:8] for prompt in prompts]


def test_a_model_is_loaded_at_startup_and_writes_letter_by_letter(api):
    example = local("model")
    example.writer.startup()
    for prompt in ("the ", "miller"):
        letters = [letter for letter, in values("ex/writer:v1", prompt, {"max_tokens": 40})]
        assert letters == list(example.writer.run(prompt, {"max_tokens": 40})[0])
        # All but the first and the last word are whole ones; it has learnt to spell.
        words = "".join(letters).split()[1:-1]
        assert len(words) >= 3 and set(words) <= set(example.TEXT.split()), words
    warm = run_pipeline("ex/writer:v1", "the ", {"temperature": 1.5, "seed": 3, "max_tokens": 200})
    assert len(warm.outputs_formatted()[0]) == 200


def test_a_client_that_leaves_ends_the_models_work(api):
    mark = api.log_mark()
    for result in stream_pipeline("ex/writer:v1", "the ", {"max_tokens": 10_000}):
        break
    end = api.wait_run_end(result.id, since=mark)
    assert "state=cancelled" in end
    assert int(re.search(r"lines=(\d+)", end)[1]) < 10_000


def test_a_flood_is_whole_and_in_order(api):
    lines = values("ex/numbers:v1", 30_000, "some text", 0)
    assert [line[0]["i"] for line in lines] == list(range(30_000))
    assert {line[0]["chunk"] for line in lines} == {"some text"}
    times = [line[0]["t_ns"] for line in lines]
    assert times == sorted(times)


def test_a_pace_is_kept(api):
    times = [line[0]["t_ns"] for line in values("ex/numbers:v1", 10, "x", 20)]
    assert 0.17e9 < times[-1] - times[0] < 1e9 * SLOWNESS
    result, = stream_pipeline("ex/numbers:v1", -1, "x", 0)
    assert (result.error.type, result.error.message) == ("input_error", "N and MS must not be negative")


def test_two_workers_stream_while_one_of_them_is_slow(start):
    """What a plain generator does in one worker is no matter of another's."""
    server = start(f"{WORDS}={source('my_module', 'my_pipeline')}", f"ex/numbers:v1={source('flood', 'numbers')}",
                   options=PYTHON)
    slow = stream_pipeline(WORDS, "word " * 100, url=server.url)
    assert next(slow).outputs_formatted() == ["word "]
    began = time.monotonic()
    assert len(list(stream_pipeline("ex/numbers:v1", 1000, "x", 0, url=server.url))) == 1000
    assert time.monotonic() - began < 5, "it waited for a run of ten seconds"
    assert next(slow).outputs_formatted() == ["word "]
    slow.close()
