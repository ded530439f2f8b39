# SPDX-License-Identifier: MIT
"""Pipelines in Python give out files: what has a path, what is open, bytes that are no text; also one by one, in lists,
and from asyncio and threads."""

import io
import os
import re

import pytest

import wire
from confined import needs_landlock, needs_python
from conftest import HERE
from test_file_inputs import by_id, upload

CODE = os.path.join(HERE, "pipelines", "given.py")
NAMES = ("gives", "streams", "streams_later", "gives_later", "returns", "paints", "shows", "both_later")
SERVED = [f"p/{name}:v1={CODE}:{name}" for name in NAMES]
OPTIONS = ["--files", "files", "--concurrency", "4", "--python", "/usr/bin/python3"]  # the one that has PIL
DATA = bytes(range(256)) * 300

pytestmark = needs_python


@pytest.fixture(scope="module")
def server(start_shared):
    return start_shared(*SERVED, options=OPTIONS)


@pytest.fixture(scope="module", params=["in turn", "in threads"])
def ways(request, server, start_shared):
    if request.param == "in turn":
        return server
    return start_shared(*SERVED, options=[*OPTIONS, "--python-threads"])


def outputs_of(response):
    line = wire.result_of(response)
    assert line["error"] is None, line
    return line["outputs"]


def error_of(response):
    return wire.result_of(response)["error"]["message"]


def download(server, output):
    assert output["type"] == "file", output
    response = server.get("/v4/files/download/" + output["file"]["path"])
    assert response.status == 200 and len(response.body) == output["file"]["size"]
    return response.body


@pytest.mark.parametrize("name", ["gives", "gives_later"])
@pytest.mark.parametrize("kind, shown, what", [
    ("file", "a.bin", "data"), ("open", "b.bin", "data"), ("written", "c.txt", "text"), ("raw", "d.bin", "data"),
    ("bytesio", "output.bin", "data"), ("named", "e.bin", "data"), ("stringio", "output.bin", "text"),
    ("gzip", "f.gz", "data"), ("temporary", "tmp.*", "text"), ("bytes", "output.bin", "data"),
    ("bytearray", "output.bin", "data"), ("empty", "output.bin", "nothing")])
def test_a_file_of_any_kind_is_given_whole(server, name, kind, shown, what):
    output, = outputs_of(server.run(f"p/{name}:v1", kind))
    assert re.fullmatch(shown, output["file"]["name"])
    assert download(server, output) == {"data": DATA, "text": "h\u00e9llo".encode(), "nothing": b""}[what]


@pytest.mark.parametrize("kind, shown", [("other bytes", "?.bin"), ("nul", "n_n.bin"), ("surrogate", "?.bin")])
def test_a_name_that_is_no_text_is_made_one_and_no_descriptor_is_left(ways, kind, shown):
    def count():
        return len(os.listdir(f"/proc/{ways.workers('p/gives:v1')[0]['pid']}/fd"))

    before = outputs_of(ways.run("p/gives:v1", "bytes")) and count()
    for _ in range(3):
        output, = outputs_of(ways.run("p/gives:v1", kind))
        assert output["file"]["name"] == shown and download(ways, output) == DATA
    assert count() == before


def test_bytes_that_are_text_stay_text(server):
    output, = outputs_of(server.run("p/gives:v1", "text"))
    assert output == {"type": "string", "value": "h\u00e9llo", "file": None}


def test_files_in_lists_and_dictionaries_stand_where_they_were(server):
    output, = outputs_of(server.run("p/gives:v1", "list"))
    assert output["type"] == "array" and output["file"] is None
    first, second, third, fourth = output["value"]
    assert download(server, first) == DATA and download(server, second) == b"two"
    assert download(server, third["three"]) == b"three" and fourth == 4


@pytest.mark.parametrize("kind, message", [  # a pattern, or the text itself
    ("url", "TypeError: output 1 of type File cannot be sent as JSON: it has only a url, and the server does not fetch "
            "it: File(path=...) of a file that is here can"),
    ("nothing", "TypeError: output 1 of type File cannot be sent as JSON: it has no path: File(path=...) of a file that "
                "is here can"),
    ("missing", "TypeError: output 1 of type File cannot be sent as JSON: FileNotFoundError: [Errno 2] No such file or "
                "directory: '/nowhere/a.png'"),
    ("folder", r"ValueError: output 1: the file tmp\w+ cannot be sent: it is a directory; pack it into one file, a .zip"),
    ("device", "ValueError: output 1: the file zero cannot be sent: it is no regular file"),
    ("closed", r"TypeError: output 1 of type BytesIO cannot be sent as JSON: ValueError: .*"),
    ("path", "TypeError: output 1 of type PosixPath cannot be sent as JSON: it is a path: File(path=...) of it can, as a "
             "file")], ids=lambda value: value.split(":")[0])
def test_what_cannot_be_given_is_said(server, kind, message):
    said = error_of(server.run("p/gives:v1", kind))
    assert said == message or re.fullmatch(message, said), said


def test_an_image_is_refused_with_what_to_write(server):
    assert error_of(server.run("p/shows:v1")) == \
        "TypeError: output 1 of type Image cannot be sent as JSON: it is an image: the io.BytesIO that its save() writes " \
        "to can, as a file, and base64.b64encode() of that, decoded to a str"


@pytest.mark.parametrize("name, kind", [("streams", "file"), ("streams", "memory"), ("streams_later", "memory")])
def test_files_of_a_stream_come_one_by_one_with_what_was_in_them_then(ways, name, kind):
    with ways.stream(f"p/{name}:v1", kind, 20) as stream:
        for number, line in enumerate(stream):
            assert download(ways, line["outputs"][0]) == b"%d" % number * 1000
        assert number == 19


def test_a_plain_file_beside_a_stream_is_given_once(ways):
    lines = ways.lines("p/both_later:v1", "file", 3)
    plain = [line["outputs"][0]["file"] for line in lines]
    assert plain[0] == plain[1] == plain[2]
    assert len({line["outputs"][1]["file"]["path"] for line in lines}) == 3
    assert download(ways, lines[0]["outputs"][0]) == download(ways, lines[2]["outputs"][1]) == DATA


def test_a_stream_of_what_cannot_be_given_fails_in_asyncio_too(ways):
    with ways.stream("p/streams_later:v1", "device", 3) as stream:
        assert "the file zero cannot be sent: it is no regular file" in stream.all()[-1]["error"]["message"]


def test_a_file_of_the_inputs_can_be_given_back(server):
    file = upload(server, DATA, "in.bin")
    output, = outputs_of(server.run("p/returns:v1", by_id(file)))
    assert output["file"]["name"] == "in.bin" and output["file"]["path"] != file["id"]
    assert download(server, output) == DATA


def test_fifty_images_are_images_when_they_arrive(server):
    from PIL import Image  # pylint: disable=import-outside-toplevel

    with server.stream("p/paints:v1", 50) as stream:
        for number, line in enumerate(stream):
            output = line["outputs"][0]
            assert output["file"]["name"] == f"step {number}.png"
            image = Image.open(io.BytesIO(download(server, output)))
            assert (image.format, image.size) == ("PNG", (64, 64))
        assert number == 49


@pytest.mark.parametrize("name", ["gives", "gives_later", "streams_later"])
def test_a_server_without_files_says_how_to_have_them(start, name):
    server = start(f"p/x:v1={CODE}:{name}")
    values = ["memory", 2] if name == "streams_later" else ["bytes"]
    what = "" if name == "streams_later" else " (bytes that are no text in UTF-8)"
    assert error_of(server.run("p/x:v1", *values)).startswith(
        f"the file output.bin{what} cannot be sent: the server keeps no files: serve it with --files DIR")


@pytest.mark.parametrize("options", [["--seccomp", "strict"], ["--seccomp", "strict", "--allow-read", "none",
                                                               "--allow-write", "none", "--network", "none"]],
                         ids=["strict", "alone"])
@needs_landlock(1)
def test_a_confined_worker_gives_out_files_of_memory_and_of_its_own_folder(start, options):
    server = start(f"p/gives:v1={CODE}:gives", options=["--files", "files", *options])
    for kind in ("bytes", "file", "open", "bytesio"):
        assert download(server, outputs_of(server.run("p/gives:v1", kind))[0]) == DATA
    assert download(server, outputs_of(server.run("p/gives:v1", "written"))[0]) == "h\u00e9llo".encode()
