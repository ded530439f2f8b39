# SPDX-License-Identifier: MIT
"""Values of numpy and of PIL: scalars are numbers, anything else is refused with words that say what to write."""

import json
import os

import numpy
import pytest
from PIL import Image

from pipeline import InputField, InputSchema
from pipeline.cloud.inputs import RunBody
from pipeline.cloud.pipelines import stream_pipeline
from server import TOP
from test_python_worker import pytestmark

assert pytestmark  # of all tests that need the extension: it holds here, too

SOURCE = os.path.join(TOP, "tests/system/pipelines/scientific.py")


@pytest.fixture(scope="module")
def url(start_shared):
    # Debian's interpreter, which has Debian's numpy.
    server = start_shared(f"me/values:v1={SOURCE}:values", f"me/numbers:v1={SOURCE}:numbers", options=["--python", "/usr/bin/python3"])
    return f"http://127.0.0.1:{server.port}"


def made(url, name):
    result, = stream_pipeline("me/values:v1", name, url=url)
    return result


@pytest.mark.parametrize("name, word, value", [
    ("bool_", "boolean", True), ("int8", "integer", -5), ("uint64", "integer", 2**64 - 1), ("float16", "fp", 0.5),
    ("float64", "fp", 0.1), ("nan", "fp", None), ("str_", "string", "ä"), ("point", "integer", 7), ("mean", "fp", 1.5),
    ("inside", "dictionary", {"scores": [0.25, [3]]}), ("tolist", "array", [[0, 1], [2, 3]])])
def test_scalars_are_what_they_say(url, name, word, value):
    output, = made(url, name).outputs
    assert (output.type, output.value) == (word, value) and type(output.value) is type(value)


def test_scalars_of_a_stream_are_numbers(url):
    assert [result.outputs_formatted()[0] for result in stream_pipeline("me/numbers:v1", 4, url=url)] == [0, 0.5, 1, 1.5]


@pytest.mark.parametrize("name, message", [
    ("array", "output 1 of type ndarray cannot be sent as JSON: its tolist() makes what can"),
    ("array_inside", "output 1 of type list cannot be sent as JSON: it holds a value of type ndarray: its tolist() makes what can"),
    ("complex", "output 1 of type complex64 cannot be sent as JSON"),
    ("image", "output 1 of type Image cannot be sent as JSON: it is an image: the io.BytesIO that its save() writes to can, as "
              "a file, and base64.b64encode() of that, decoded to a str"),
    ("file", "output 1 of type File cannot be sent as JSON: FileNotFoundError: [Errno 2] No such file or directory: 'a.png'"),
    ("path", "output 1 of type PosixPath cannot be sent as JSON: it is a path: File(path=...) of it can, as a file"),
    ("time", "output 1 of type datetime cannot be sent as JSON: its isoformat() makes what can"),
    ("decimal", "output 1 of type Decimal cannot be sent as JSON"),
    ("key", "output 1 of type dict cannot be sent as JSON: it holds a value of type int64: a key of a dict must be a str")])
def test_other_values_are_refused_with_what_to_write(url, name, message):
    error = made(url, name).error
    assert (error.type, error.message) == ("pipeline_error", "TypeError: " + message)


class Settings(InputSchema):
    rate: float = InputField(default=1.0)


def test_a_client_sends_scalars_as_numbers_too():
    body = RunBody("a", [numpy.int64(5), numpy.float32(0.5), numpy.bool_(True), [numpy.int8(1)],
                         {"a": numpy.array(2)}, Settings(rate=numpy.float64(0.1))])
    request = json.loads(body.encode({}))
    assert [(one["type"], one["value"]) for one in request["inputs"]] == [
        ("integer", 5), ("fp", 0.5), ("integer", True), ("array", [1]), ("dictionary", {"a": 2}), ("dictionary", {"rate": 0.1})]


@pytest.mark.parametrize("value, words", [
    (numpy.zeros(2), "type ndarray, which JSON does not have: its tolist"), (Image.new("L", (1, 1)), "it is an image"),
    (numpy.complex64(1), "type complex64, which")])
def test_a_client_says_what_to_write_instead_of_other_values(value, words):
    with pytest.raises(TypeError, match="^input 1 is of .*" + words):
        RunBody("a", [value])
