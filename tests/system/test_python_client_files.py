# SPDX-License-Identifier: MIT
"""What is a file in a call of the client uploads itself; what is one in a result can be saved."""

import asyncio
import gzip
import io
import json
import os
import pty
import sys
import tempfile

import pytest

from pipeline import Directory, File
from pipeline.cloud import files, pipelines
from pipeline.cloud.asyncio import pipelines as asynchronous
from pipeline.cloud.errors import APIError
from pipeline.cloud.pipelines import run_pipeline, stream_pipeline
from pipeline.cloud.results import RunResult
from pipeline.cloud.schemas.runs import RunOutput
from pipeline.objects.graph import InputField, InputSchema
from routes import parts_of
from server import make_tokens
from test_given_files import content
from twins import BOTH_RUNS, BOTH_STREAMS, run_async, stream_async, stream_sync

POINTER = "me/photos:v1"
RESULT = {"id": "run_1", "created_at": 1, "updated_at": 1, "pipeline_id": "p", "state": "completed", "queue_position": None,
          "inputs": None, "error": None, "outputs": [{"type": "string", "value": "done", "file": None}]}


class Edit(InputSchema):
    photo: File = InputField()
    mask: "File | None" = InputField(default=None, optional=True)
    steps: int = InputField(default=4)


@pytest.fixture
def taking(site):
    """A server that takes files and runs; `uploads()` are (name, bytes) as they came, `inputs()` those of the last run."""
    def number():
        return len(uploads())

    def uploads():
        return [parts_of(fields, body)["pfile"] for line, fields, body in site.seen if line == "POST /v4/files"]

    def inputs():
        return json.loads(site.seen[-1][2])["inputs"]

    site.routes.update({
        "POST /v4/files": (201, lambda *_: {"id": f"f{number()}", "path": f"x/{number()}.bin", "url": f"{site.url}/x/{number()}"}),
        "POST /v4/runs": (200, RESULT), "POST /v4/runs/stream": (200, json.dumps(RESULT).encode() + b"\n")})
    site.uploads, site.inputs = uploads, inputs
    return site


def as_said(site, number):
    return {"type": "file", "value": None, "file_name": f"{number}.bin", "file_path": f"x/{number}.bin",
            "file_url": f"{site.url}/x/{number}"}


# ---- inputs ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("call", [run_pipeline, run_async, stream_sync, stream_async])
def test_files_are_uploaded_before_the_run(taking, tmp_path, call):
    photo = tmp_path / "a photo.png"
    photo.write_bytes(b"png")
    with photo.open("rb") as opened:
        opened.read()
        call(POINTER, "a", File(photo), opened, io.BytesIO(b"bytes"), url=taking.url, token="t")
    assert taking.uploads() == [("a photo.png", b"png"), ("a photo.png", b"png"), ("file", b"bytes")]
    assert taking.inputs() == [
        {"type": "string", "value": "a", "file_name": None, "file_path": None, "file_url": None},
        as_said(taking, 1), as_said(taking, 2), as_said(taking, 3)]
    assert all(fields["Authorization"] == "Bearer t" for _, fields, _ in taking.seen)


def test_files_inside_of_values_are_uploaded_too(taking, tmp_path):
    (tmp_path / "a.png").write_bytes(b"a")
    with (tmp_path / "a.png").open("rb") as opened:
        edit = Edit(photo=opened, mask=File(url="http://host/a b.png"))
        run_pipeline(POINTER, edit, {"all": [File(tmp_path / "a.png")], "far": {"file_url": "http://host/ä.png"}}, [edit],
                     url=taking.url)
    assert taking.uploads() == [("a.png", b"a")] * 3
    far = {"type": "file", "value": None, "file_name": "a b.png", "file_path": "http://host/a b.png",
           "file_url": "http://host/a%20b.png"}
    said = taking.inputs()
    assert [one["type"] for one in said] == ["dictionary", "dictionary", "array"]
    assert said[0]["value"] == {"photo": as_said(taking, 1), "mask": far, "steps": 4}
    assert said[1]["value"] == {"all": [as_said(taking, 2)], "far": {"file_url": "http://host/%C3%A4.png"}}
    assert said[2]["value"] == [{"photo": as_said(taking, 3), "mask": far, "steps": 4}]


class Pipe(io.RawIOBase):
    """What cannot go back."""

    def __init__(self, data):
        self.data = io.BytesIO(data)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self.data.readinto(buffer)


def named(file, name):
    file.name = name
    return file


@pytest.mark.parametrize("make, name, content", [
    (lambda _: named(io.BytesIO(b"abc"), "/no/such/b.png"), "b.png", b"abc"),
    (lambda _: named(io.BytesIO(b"abc"), __file__), os.path.basename(__file__), b"abc"),
    (lambda _: named(io.BytesIO(b"abc"), 7), "file", b"abc"),
    (lambda _: io.StringIO("ä"), "file", "ä".encode()),
    (lambda _: Pipe(b"abc"), "file", b"abc"),
    (lambda _: io.BytesIO(), "file", b""),
    (lambda path: gzip.open(path / "a.gz"), "a.gz", gzip.compress(b"abc", mtime=0)),
    (lambda path: (path / "a.txt").open(encoding="utf-8"), "a.txt", b"abc"),
])
def test_an_open_file_is_all_that_it_holds(taking, tmp_path, make, name, content):
    (tmp_path / "a.txt").write_bytes(b"abc")
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"abc", mtime=0))
    with make(tmp_path) as opened:
        opened.read(1) if opened.seekable() else None
        at = opened.tell() if opened.seekable() else None
        run_pipeline(POINTER, opened, url=taking.url)
        assert at is None or opened.tell() == at, "it stands elsewhere"
    assert taking.uploads() == [(name, content)]


def test_what_was_written_and_what_has_no_name_any_more_is_sent(taking, tmp_path):
    with (tmp_path / "a").open("w+b") as written, tempfile.NamedTemporaryFile() as wrapped, tempfile.TemporaryFile() as nameless:
        for file in (written, wrapped, nameless):
            file.write(b"abc")
        run_pipeline(POINTER, written, wrapped, nameless, url=taking.url)
        (tmp_path / "a").rename(tmp_path / "b")
        (tmp_path / "a").write_bytes(b"another")
        run_pipeline(POINTER, written, url=taking.url)
    assert taking.uploads() == [("a", b"abc"), (os.path.basename(wrapped.name), b"abc"), ("file", b"abc"), ("a", b"abc")]


def test_nothing_is_sent_before_all_is_known_to_be_fine(taking, tmp_path):
    for call in (stream_pipeline, run_pipeline, pipelines.stream_pipeline_async):
        with pytest.raises(TypeError, match="input 2 is of type bytes"):
            call(POINTER, io.BytesIO(b"a"), b"b", url=taking.url)
    stream_pipeline(POINTER, io.BytesIO(b"a"), url=taking.url).close()
    for value, error in ((File(tmp_path / "none"), FileNotFoundError), (File(tmp_path), IsADirectoryError),
                         (File(), ValueError), (Directory(tmp_path / "none.zip"), FileNotFoundError)):
        for call in (run_pipeline, run_async, stream_sync, stream_async):
            with pytest.raises(error):
                call(POINTER, value, url=taking.url)
    assert taking.seen == []


@BOTH_RUNS
def test_a_server_that_takes_no_files_is_an_api_error(taking, run):
    taking.routes["POST /v4/files"] = (501, {"detail": "This server keeps no files."})
    with pytest.raises(APIError, match="keeps no files") as caught:
        run(POINTER, io.BytesIO(b"a"), url=taking.url)
    assert caught.value.status_code == 501 and [line for line, _, _ in taking.seen] == ["POST /v4/files"]


@BOTH_STREAMS
def test_leaving_a_stream_with_files_ends_it(taking, stream):
    async def leave():
        results = pipelines.stream_pipeline_async(POINTER, io.BytesIO(b"a"), url=taking.url)
        result = await results.__anext__()
        await results.aclose()
        return result

    if stream is stream_async:
        result = asyncio.run(leave())
    else:
        results = stream_pipeline(POINTER, io.BytesIO(b"a"), url=taking.url)
        result = next(results)
        results.close()
    assert result.outputs_formatted() == ["done"]


def test_the_asynchronous_module_of_the_original_uploads_too(taking):
    answer = asyncio.run(asynchronous.run_pipeline(POINTER, io.BytesIO(b"a"), return_response=True, url=taking.url))
    assert answer.json() == RESULT and taking.inputs() == [as_said(taking, 1)]
    assert asyncio.run(asynchronous.run_pipeline(POINTER, io.BytesIO(b"a"), url=taking.url)).outputs_formatted() == ["done"]


# ---- outputs -----------------------------------------------------------------------------------------

def output(url="http://host/x/1", name="a.png", **more):
    return {"type": "file", "value": None, "file": {"name": name, "path": "x/1", "size": 3, "url": url, **more}}


def formatted(*outputs):
    return RunResult({**RESULT, "outputs": list(outputs)}).outputs_formatted()


def test_outputs_that_are_files_come_back_as_files():
    file, many, plain = formatted(
        output(), {"type": "array", "value": [output(name="b.png"), [output(name="c.png")], {"d": output(name="d.png")}, 5], "file": None},
        {"type": "dictionary", "value": {"type": "file", "file": {"name": "x"}, "n": [1]}, "file": None})
    assert (file.url.geturl(), file.name, file.path) == ("http://host/x/1", "a.png", None)
    assert [one.name for one in (many[0], many[1][0], many[2]["d"])] == ["b.png", "c.png", "d.png"] and many[3] == 5
    assert all(isinstance(one, File) for one in (file, many[0], many[1][0], many[2]["d"]))
    assert plain == {"type": "file", "file": {"name": "x"}, "n": [1]}, "a dictionary of the pipeline's own is another"
    with pytest.raises(ValueError, match="missing information"):
        formatted(output(url=None))
    assert RunOutput.parse_obj(output()).formatted().name == "a.png"


@pytest.mark.parametrize("said, name", [("../../x", "x"), ("..", ""), ("a\\b\0c", "c"), ("/etc/passwd", "passwd"), (".ssh", "ssh")])
def test_the_name_of_an_output_is_no_path(said, name):
    assert formatted(output(name=said))[0].name == (name or "1")


def test_a_file_is_saved_whole_or_not_at_all(site, tmp_path):
    site.routes.update({"GET /whole": (200, b"png"), "GET /none": (404, {}), "GET /cut": (200, b"png", ("Content-Length", "9"), ("Connection", "close")),
                        "GET /empty": (200, b"")})
    kept = tmp_path / "kept.png"
    kept.write_bytes(b"old")
    for way in ("none", "cut"):
        with pytest.raises(OSError):
            formatted(output(f"{site.url}/{way}"))[0].save(kept)
    assert kept.read_bytes() == b"old" and os.listdir(tmp_path) == ["kept.png"]
    (tmp_path / "link").symlink_to("kept.png")
    formatted(output(f"{site.url}/whole"))[0].save(tmp_path / "link")
    assert kept.read_bytes() == b"png" and (tmp_path / "link").is_symlink()
    formatted(output(f"{site.url}/empty"))[0].save(str(tmp_path / "empty"))
    assert (tmp_path / "empty").read_bytes() == b"" and sorted(os.listdir(tmp_path)) == ["empty", "kept.png", "link"]
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "empty").stat().st_mode & 0o777 == 0o666 & ~mask
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    formatted(output(f"{site.url}/whole"))[0].save(tmp_path / "pipe")
    assert os.read(reader, 10) == b"png", "a pipe was replaced"
    os.close(reader)


def test_a_token_goes_to_no_other_server_than_its_own(site, tmp_path, monkeypatch):
    site.routes.update({"GET /a": (200, b"a"), "GET /moved": (302, b"", ("Location", site.url.replace("127.0.0.1", "localhost") + "/a"))})

    def sent(path):
        site.seen.clear()
        File(url=site.url + path).save(tmp_path / "a")
        return [fields.get("Authorization") for _, fields, _ in site.seen]

    monkeypatch.setenv("PIPELINE_API_TOKEN", "secret")
    monkeypatch.setenv("PIPELINE_API_URL", site.url)
    assert sent("/a") == ["Bearer secret"]
    assert sent("/a?expires=1&signature=ab") == [None], "the URL has its own permission"
    assert sent("/moved") == ["Bearer secret", None], "the token followed to another host"
    for url in ("http://127.0.0.1:1", site.url.replace("http:", "https:"), "http://localhost:" + site.url.rpartition(":")[2], "no URL"):
        monkeypatch.setenv("PIPELINE_API_URL", url)
        assert sent("/a") == [None], url


@BOTH_STREAMS
def test_what_a_server_gives_out_is_saved_without_a_token(giving, tmp_path, stream):
    server, token = giving
    results = stream("me/pictures:v1", 3, 70000, url=server.url, token=token)
    files = [file for result in results for file in result.outputs_formatted()]
    assert [file.name for file in files] == ["picture 0.png", "picture 1.png", "picture 2.png"]
    for number, file in enumerate(files):
        file.save(tmp_path / file.name)
        assert (tmp_path / file.name).read_bytes() == content(number, 70000)
    unsigned = File(url=files[0].url._replace(query="").geturl())
    with pytest.raises(OSError, match="401"):
        unsigned.save(tmp_path / "a")
    parcel, = run_pipeline("me/parcel:v1", 5, url=server.url, token=token).outputs_formatted()
    assert parcel["said"].endswith("and more") and [type(file) for file in parcel["files"]] == [File, File]
    parcel["files"][1].save(tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == content(2, 5)


@pytest.fixture(scope="module")
def giving(start_shared, pipelines, tmp_path_factory):
    """A server that asks for tokens, and one of them."""
    folder = tmp_path_factory.mktemp("giving")
    token, = make_tokens(folder / "tokens", "alice")
    sources = [f"me/{name}:v1={pipelines('gives')}:{name}" for name in ("pictures", "parcel")]
    return start_shared(*sources, options=["--files", str(folder / "files"), "--token-file", str(folder / "tokens")]), token


# ---- progress ----------------------------------------------------------------------------------------

def test_a_bar_is_shown_where_somebody_looks(taking, tmp_path, capsys, monkeypatch):
    taking.routes["GET /a"] = (200, b"abc")
    (tmp_path / "a.bin").write_bytes(b"abc")

    def shown(**more):
        files.upload_file(tmp_path / "a.bin", url=taking.url, **more)
        File(url=taking.url + "/a").save(tmp_path / "b.bin")
        return capsys.readouterr().err

    assert shown() == "" and "Uploading a.bin: 100%" in shown(progress=True)
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, os.fdopen(ours, "rb", 0) as screen:
        monkeypatch.setattr(sys, "stderr", terminal)
        shown()
        terminal.flush()
        told = screen.read(4096).decode()
    assert "Uploading a.bin: 100%" in told and "Saving b.bin: 100%" in told
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert shown(progress=True) == "" and sys.stderr.getvalue() == ""
