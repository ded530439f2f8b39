# SPDX-License-Identifier: MIT
"""Pipelines of the shapes that were published for the original package, with mocks in place of what they import.

PIPELINE_EXAMPLES names a folder of others: each file in it that makes a pipeline is loaded, too.
"""

import glob
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from conftest import public_folder
from pipeline.cloud.pipelines import run_pipeline, stream_pipeline
from server import MILLRACE, TOP
from test_python_worker import pytestmark

assert pytestmark  # of all tests that need the extension: it holds here, too

FOLDER = os.path.join(TOP, "tests/system/pipelines/published")
NAMES = sorted(name[:-len(".py")] for name in os.listdir(FOLDER) if name.endswith(".py") and name != "mocks.py")
EXAMPLES = os.environ.get("PIPELINE_EXAMPLES")
# The types of inputs and outputs, as GET /v4/pipelines says them.
TYPES = {
    "chat": (["array", "dictionary"], ["array"]),
    "frames": (["string", "dictionary"], ["stream"]),
    "pictures": (["array", "dictionary"], ["array"]),
    "refined": (["string", "dictionary"], ["file"]),
    "search": (["array", "dictionary"], ["stream", "array"]),
    "sentiment": (["string"], ["array"]),
    "summary": (["dictionary", "dictionary"], ["stream"]),
    "transcript": (["file", "dictionary"], ["string", "array"]),
}

YAML = """\
runtime: {{python: {{version: "3.10", requirements: [pipeline-ai, torch==2.0.1, not-there]}}}}
accelerators: [nvidia_l4]
pipeline_graph: new_pipeline:{name}
pipeline_name: me/{name}
extras: {{model_type: chat}}
"""


@pytest.fixture(scope="module")
def mocks():
    """A folder for PYTHONPATH that makes every interpreter find what is not installed."""
    with public_folder() as folder:
        shutil.copy(os.path.join(FOLDER, "mocks.py"), os.path.join(folder, "sitecustomize.py"))
        yield folder


def environment(mocks):
    return {**os.environ, "PYTHONPATH": mocks}


def check(mocks, source):
    """What `millrace check` says of a pipeline: types of inputs, types of outputs."""
    result = subprocess.run([MILLRACE, "check", source, "--json"], capture_output=True, text=True, check=False, timeout=60,
                            env=environment(mocks))
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout)
    return [one["type"] for one in said["input_variables"]], [one["type"] for one in said["output_variables"]]


@pytest.mark.parametrize("name", NAMES)
def test_it_loads_by_its_name_and_by_its_pipeline_yaml(mocks, tmp_path, name):
    source = os.path.join(FOLDER, f"{name}.py")
    assert check(mocks, f"{source}:{name}") == TYPES[name]
    shutil.copy(source, tmp_path / "new_pipeline.py")
    (tmp_path / "pipeline.yaml").write_text(YAML.format(name=name))
    assert check(mocks, str(tmp_path)) == TYPES[name]


def test_it_does_not_load_without_the_mocks(tmp_path):
    result = subprocess.run([MILLRACE, "check", os.path.join(FOLDER, "chat.py")], capture_output=True, text=True, check=False,
                            timeout=60, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert "No module named 'vllm'" in result.stderr or "No module named 'torch'" in result.stderr


if EXAMPLES:
    @pytest.mark.parametrize("path", [path for path in sorted(glob.glob(os.path.join(EXAMPLES, "**/*.py"), recursive=True))
                                      if "builder.get_pipeline()" in pathlib.Path(path).read_text(encoding="utf-8")])
    def test_an_example_loads_by_its_name_and_by_its_pipeline_yaml(mocks, path):
        manifest = pathlib.Path(path).with_name("pipeline.yaml")
        name = re.search(r"^pipeline_graph: *\w+:(\w+)", manifest.read_text(encoding="utf-8"), re.M).group(1)
        if f"{name} = " not in pathlib.Path(path).read_text(encoding="utf-8"):
            pytest.skip(f"its pipeline.yaml names {name}, which it does not make")
        assert check(mocks, f"{path}:{name}") == check(mocks, str(manifest))


# ---- without a server: files too ---------------------------------------------------------------------

LOCAL = """
import json, sys
from pipeline import File
name, inputs = sys.argv[1], json.loads(sys.argv[2])
graph = getattr(__import__(name), name)
inputs = [File(path=one["path"]) if isinstance(one, dict) and "path" in one else one for one in inputs]
for one in inputs:
    for key in [key for key in one if key in ("source", "file_in")] if isinstance(one, dict) else ():
        one[key] = File(path=one[key])
print(json.dumps(graph.run(*inputs), default=lambda one: one.path.read_text()))
"""


@pytest.mark.parametrize("name, inputs, outputs", [
    ("transcript", [{"path": "{file}"}, {"return_positions": True}], ["bcd", [[0, "bc"], [2, "d"]]]),
    ("transcript", [{"path": "{file}"}, {}], ["bcd", None]),
    ("pictures", [["ab"], {"count": 2, "folder": "{folder}"}], [["P2 1 64 255\n" + "\x02" * 64] * 2]),
    ("refined", ["words", {"source": "{file}", "style": "loud"}], ["ABCWORDS"]),
    ("refined", ["words", {}], ["words"]),
    ("summary", [{"file_in": "{file}"}, {"max_length": 1}], [[{"summary_text": "abc"}]]),
])
def test_it_runs_without_a_server(mocks, tmp_path, name, inputs, outputs):
    (tmp_path / "audio").write_text("abc")
    said = json.dumps(inputs).replace("{file}", str(tmp_path / "audio")).replace("{folder}", str(tmp_path / "new"))
    path = os.pathsep.join([mocks, FOLDER, os.path.join(TOP, "worker/python")])
    result = subprocess.run([sys.executable, "-c", LOCAL, name, said], capture_output=True, text=True, check=False, timeout=60,
                            env={**os.environ, "PYTHONPATH": path})
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == outputs


# ---- served ------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def server(start_shared, mocks):
    return start_shared(*(f"me/{name}:v1={os.path.join(FOLDER, name)}.py:{name}" for name in NAMES),
                        environment={"PYTHONPATH": mocks}, options=["--python", "/usr/bin/python3"])


@pytest.fixture(scope="module")
def url(server):
    return f"http://127.0.0.1:{server.port}"


@pytest.mark.parametrize("name, inputs, outputs", [
    ("chat", [[[{"role": "user", "content": "Hello"}, {"role": "system", "content": "you"}]], {"max_new_tokens": 8}], [["Hello yo"]]),
    ("chat", [None, {"unknown": 1}], [["Hello"]]),
    ("sentiment", ["yes @all no yes"], [[{"positive": 0.5}, {"negative": 0.25}]]),
])
def test_it_runs_on_a_server(url, name, inputs, outputs):
    result = run_pipeline(f"me/{name}:v1", *inputs, url=url)
    assert result.error is None and result.outputs_formatted() == outputs


@pytest.mark.parametrize("name, inputs, lines", [
    ("frames", ["a", {"steps": 2, "count": 2}], [[["YQ==", "YQ=="]], [["YWE=", "YWE="]]]),
    ("search", [[[{"content": "two words"}]], {}], [
        [[{"role": "assistant", "content": word}], [{"title": "two words"}]] for word in ("two", "words")]),
    ("summary", [{"text_in": "a b c d"}, {}], [[[{"summary_text": "a b c"}]]]),
])
def test_it_streams_on_a_server(url, name, inputs, lines):
    assert [result.outputs_formatted() for result in stream_pipeline(f"me/{name}:v1", *inputs, url=url)] == lines


def test_files_are_refused_with_words_that_say_so(server, url):
    item = {"type": "file", "value": None, "file_name": "a", "file_path": "/etc/passwd", "file_url": None}
    with server.connect() as connection:
        for inputs, message in (([item], "the inputs name files, and this server keeps none: millrace serve does with --files DIR"),
                                ([{"type": "string", "value": "/etc/passwd"}], "input 1 must be a file, got a string"),
                                ([{"type": "none", "value": None}], "input 1 must be a file, got null")):
            body = {"pipeline": "me/transcript:v1", "inputs": [*inputs, {"type": "dictionary", "value": {}}]}
            connection.request("POST", "/v4/runs", json.dumps(body).encode())
            answer = connection.response()
            assert answer.status == 400 and answer.json()["error"]["message"] == message
    error = run_pipeline("me/refined:v1", "x", {"source": item}, url=url).error
    assert (error.type, "this server keeps none" in error.message) == ("input_error", True)
    error = run_pipeline("me/refined:v1", "x", {}, url=url).error
    keeps_none = "cannot be sent: the server keeps no files: serve it with --files DIR"
    assert error.type == "pipeline_error" and keeps_none in error.message
    error = run_pipeline("me/pictures:v1", ["x"], {}, url=url).error
    assert error.type == "pipeline_error" and keeps_none in error.message
