# SPDX-License-Identifier: MIT
"""An output of which nobody says what it is (-> Any) is shown as what it turns out to be."""

import os

import pytest

from server import TOP
from test_python_worker import pytestmark
from wire import result_of

assert pytestmark  # of all tests that need the extension: it holds here, too

CODE = os.path.join(TOP, "tests/system/pipelines/undeclared.py")
HOWS = ("plainly", "threaded", "asynchronously")


@pytest.fixture(scope="module")
def server(start_shared, tmp_path_factory):
    sources = [f"me/plainly:v1={CODE}:plainly", f"me/threaded:v1={CODE}:plainly", f"me/asynchronously:v1={CODE}:asynchronously"]
    files = tmp_path_factory.mktemp("undeclared") / "files"
    return start_shared(*sources, options=["--python-threads=me/threaded:v1", "--concurrency", "2", "--files", str(files)])


def output(text):
    kind, value = ("string", text) if text else ("array", [1, 2, 3])
    return {"type": kind, "value": value, "file": None}


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("first, second", [("é", ""), ("", "x"), ("a", "b"), ("", "")])
def test_a_value_is_the_value_and_a_stream_is_all_of_its(server, how, first, second):
    """And each line of a stream has it, as it has any."""
    lines = server.lines(f"me/{how}:v1", first, second)
    assert [[one["value"] for one in line["outputs"]] for line in lines] == [
        [first or number, second or number] for number in ([1] if first and second else [1, 2, 3])]
    assert result_of(server.run(f"me/{how}:v1", first, second))["outputs"] == [output(first), output(second)]


@pytest.mark.parametrize("how", HOWS)
def test_a_file_is_a_file(server, how):
    file, numbers = result_of(server.run(f"me/{how}:v1", "file", ""))["outputs"]
    assert (file["type"], file["value"], file["file"]["size"], numbers) == ("file", None, 1, output(""))
    assert server.get("/v4/files/download/" + file["file"]["path"]).body == b"\xff"
