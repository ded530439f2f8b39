# SPDX-License-Identifier: MIT
"""millrace run: what @FILE names is uploaded where a pipeline takes a file, and files that come out are saved."""

import json
import os
import pty
import re
import select
import subprocess
import threading

import pytest

from server import MILLRACE, SLOWNESS, make_tokens

OK, FAILED, USAGE = 0, 1, 2
POINTER = "me/photos:v1"
ID = "file_" + "0123456789abcdef" * 2


def line(*outputs, state="running"):
    return json.dumps({"id": "run_1", "created_at": 1, "updated_at": 1, "pipeline_id": "p", "state": state, "queue_position": None,
                       "inputs": None, "outputs": list(outputs), "error": None}).encode() + b"\n"


def text(value):
    return {"type": "string", "value": value, "file": None}


def id_of(number):
    return f"file_{number:032x}"


def file(name="a.png", path=ID, size=3, url="http://127.0.0.1:1/x"):
    return {"type": "file", "value": None, "file": {"name": name, "path": path, "size": size, "url": url}}


@pytest.fixture
def serving(site):
    """A server with a pipeline of (string, file, dictionary) that keeps what comes; run() asks it."""
    kinds = ["string", "file", "dictionary"]
    site.routes.update({
        f"GET /v4/pipelines/{POINTER}": (200, {"input_variables": [{"type": kind} for kind in kinds]}),
        "POST /v4/files": (201, {"id": ID, "path": ID, "url": "http://127.0.0.1:1/x"}),
        "POST /v4/runs/stream": (200, line(text("done"))),
        **{f"GET /v4/files/download/{path}": (200, b"png") for path in (ID, *map(id_of, range(5)))}})

    def run(*words, code=OK, **more):
        more = {"capture_output": True, **more}
        result = subprocess.run([MILLRACE, "run", POINTER, *words, "--url", site.url, "--token", "t"],
                                timeout=30 * SLOWNESS, check=False, **more)
        assert result.returncode == code, result
        return result

    site.run = run
    return site


def sent(site, path):
    return [(fields, body) for said, fields, body in site.seen if said == path]


def inputs_of(site):
    return json.loads(sent(site, "POST /v4/runs/stream")[-1][1])["inputs"]


# ---- inputs ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", [0, 5, 3 * 1024 * 1024 + 1])
def test_a_file_is_uploaded_as_it_is_and_named_by_its_id(serving, tmp_path, size):
    content = bytes(number % 251 for number in range(size))
    name = 'a "ä" %.png'
    (tmp_path / name).write_bytes(content)
    result = serving.run("x", f"@{tmp_path / name}")
    assert (result.stdout, result.stderr) == (b"done\n", b"")
    (fields, body), = sent(serving, "POST /v4/files")
    assert body == content and fields["Content-Length"] == str(size) and fields["Authorization"] == "Bearer t"
    assert fields["Content-Disposition"] == "attachment; filename*=UTF-8''a%20%22%C3%A4%22%20%25.png"
    assert fields["Content-Type"] == "application/octet-stream"
    assert inputs_of(serving) == [{"type": "string", "value": "x"},
                                  {"type": "file", "value": None, "file_name": name, "file_path": ID}]


@pytest.mark.parametrize("word, said", [
    ("https://host/a b.png", {"type": "file", "value": None, "file_url": "https://host/a b.png"}),
    ("@HTTP://host/a.png", {"type": "file", "value": None, "file_url": "HTTP://host/a.png"}),
    (ID, {"type": "file", "value": None, "file_path": ID}), ("null", {"type": "none", "value": None})])
def test_a_url_and_an_id_go_as_they_are(serving, word, said):
    serving.run("@@x", word, '{"a":[1]}')
    assert inputs_of(serving) == [{"type": "string", "value": "@x"}, said,
                                  {"type": "dictionary", "value": {"a": [1]}}]
    assert not sent(serving, "POST /v4/files")


def test_what_has_no_length_is_sent_as_it_comes(serving, tmp_path):
    """As `millrace run me/photos:v1 x @-` and `@<(command)` of a shell."""
    serving.run("x", "@-", input=b"from stdin")
    fields, _ = sent(serving, "POST /v4/files")[0]
    assert fields["Transfer-Encoding"] == "chunked" and "Content-Length" not in fields
    assert fields["Content-Disposition"].endswith("''stdin")
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"piped",))
    writer.start()
    serving.run("x", f"@{tmp_path / 'pipe'}")
    writer.join(10)
    assert sent(serving, "POST /v4/files")[1][1] == b"piped"


@pytest.mark.parametrize("words, code, said", [
    (("x", "@none.png"), FAILED, "input 2: none.png: No such file or directory"),
    (("x", "@."), FAILED, "input 2: .: it is a folder, and a file is sent"),
    (("x", "photo.png"), USAGE, "input 2: it is a file, which is @PATH, a URL or an id of the server's, and not 'photo.png'"),
    (("x", "@@photo.png"), USAGE, "and not '@@photo.png'"), (("x", "file_123"), USAGE, "and not 'file_123'"),
    (("x", "@" + __file__, "{"), USAGE, "input 3: it is of type dictionary, which is written as JSON"),
])
def test_wrong_words_are_said_before_anything_is_uploaded(serving, tmp_path, words, code, said):
    result = serving.run(*words, code=code, cwd=tmp_path)
    assert said in result.stderr.decode() and result.stderr.count(b"\n") == 1 and result.stdout == b""
    assert [line for line, _, _ in serving.seen] == [f"GET /v4/pipelines/{POINTER}"]


@pytest.mark.parametrize("status, answer, said", [
    (501, {"detail": "This server keeps no files. millrace serve does with --files DIR."},
     "input 2: the server answered with status 501: This server keeps no files. millrace serve does with --files DIR."),
    (413, {"detail": {"message": "too large"}}, "input 2: the server answered with status 413: too large"),
    (500, b"<html>", "input 2: the server answered with status 500"),
    (201, {"id": "x"}, "input 2: the server does not say where the file is")])
def test_a_server_that_takes_no_file_is_one_line(serving, status, answer, said):
    serving.routes["POST /v4/files"] = (status, answer)
    result = serving.run("x", "@" + __file__, code=FAILED)
    assert result.stderr.decode() == f"millrace: run: {said}\n" and not sent(serving, "POST /v4/runs/stream")


def test_an_upload_that_takes_long_is_shown_on_a_terminal(serving):
    ours, theirs = pty.openpty()
    reading, writing = os.pipe()

    def write_until_something_is_shown():
        with os.fdopen(writing, "wb", 0) as pipe:
            for _ in range(200):
                pipe.write(b"x" * 1024)
                if select.select([ours], [], [], 0.11)[0]:
                    return

    with os.fdopen(theirs, "wb", 0) as terminal, os.fdopen(ours, "rb", 0) as screen, os.fdopen(reading, "rb") as source:
        writer = threading.Thread(target=write_until_something_is_shown)
        writer.start()
        result = serving.run("x", "@-", stdin=source, capture_output=False, stdout=subprocess.PIPE, stderr=terminal)
        writer.join(30)
        shown = b""
        while not shown.endswith(b"\r\x1b[K") and select.select([screen], [], [], 10)[0]:
            shown += screen.read(65536)  # the kernel hands it on in pieces
    assert re.match(rb"\rstdin: [\d.]+K\x1b\[K", shown) and shown.endswith(b"\r\x1b[K") and result.stdout == b"done\n"


# ---- outputs -----------------------------------------------------------------------------------------

def test_files_are_saved_and_their_paths_are_printed(serving, tmp_path):
    serving.routes["POST /v4/runs/stream"] = (200, line(text("a"), file()) + line(
        {"type": "array", "value": [file(path=id_of(1)), file("b.png", id_of(2)), 5], "file": None}, text("b")))
    (tmp_path / "b.png").write_bytes(b"mine")
    result = serving.run("x", cwd=tmp_path)
    assert (result.stdout.decode(), result.stderr) == ('a\ta.png\n["a-1.png","b-1.png",5]\tb\n', b"")
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == {
        "a.png": b"png", "a-1.png": b"png", "b.png": b"mine", "b-1.png": b"png"}
    assert all(fields["Authorization"] == "Bearer t" for fields, _ in sent(serving, f"GET /v4/files/download/{ID}"))


def test_files_are_saved_however_deep_they_are(serving, tmp_path):
    plain = {"type": "file", "n": [1.50, {}], "file": {"path": "mine"}, "é": []}
    value = {"a": [[file(path=id_of(1))], {"b": file("b.png", id_of(2)), "c": plain}], "d": None}
    other = '{"type": "dictionary", "value": {"not a": "file",  "n": 1.50}}'
    said = line({"type": "dictionary", "value": value, "file": None}, {"type": "string", "value": "x"}).replace(
        b'{"type": "string", "value": "x"}', other.encode())
    serving.routes["POST /v4/runs/stream"] = (200, said)
    printed, untouched = serving.run("x", cwd=tmp_path).stdout.decode().rstrip("\n").split("\t")
    assert json.loads(printed) == {"a": [["a.png"], {"b": "b.png", "c": plain}], "d": None} and "1.5" in printed
    assert untouched == '{"not a":"file","n":1.50}'
    assert sorted(os.listdir(tmp_path)) == ["a.png", "b.png"]


def test_a_file_that_is_on_every_line_is_saved_once(serving, tmp_path):
    """As a plain output beside a stream is."""
    serving.routes["POST /v4/runs/stream"] = (200, b"".join(
        line(file("one.png", id_of(0)), file("each.png", id_of(number)), {"type": "array", "value": [file("one.png", id_of(0))]})
        for number in range(1, 4)))
    result = serving.run("x", cwd=tmp_path)
    assert result.stdout.decode() == "".join(f'one.png\t{name}.png\t["one.png"]\n' for name in ("each", "each-1", "each-2"))
    assert sorted(os.listdir(tmp_path)) == ["each-1.png", "each-2.png", "each.png", "one.png"]


@pytest.mark.parametrize("name, saved", [
    ("../../x.png", "x.png"), ("/etc/passwd", "passwd"), ("..", "file"), ("", "file"), (".ssh", "ssh"), ("a\n\x1b[2Jb", "a__[2Jb"),
    ("a\0b", "a_b"), ("x" * 10000 + ".png", "x" * 196 + ".png"), ("ä.tar.gz", "ä.tar.gz")])
def test_no_name_of_a_server_is_a_path(serving, tmp_path, name, saved):
    serving.routes["POST /v4/runs/stream"] = (200, line(file(name)))
    (tmp_path / "into").mkdir()
    result = serving.run("x", "--output", "into", cwd=tmp_path)
    assert result.stdout.decode() == f"into/{saved}\n" and os.listdir(tmp_path) == ["into"]
    assert os.listdir(tmp_path / "into") == [saved]


def test_a_link_that_is_there_is_not_written_through(serving, tmp_path):
    serving.routes["POST /v4/runs/stream"] = (200, line(file()))
    (tmp_path / "a.png").symlink_to("elsewhere")
    assert serving.run("x", cwd=tmp_path).stdout == b"a-1.png\n" and not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("change, said", [
    ({"file": (404, {"detail": {"message": "File not found"}})}, "the server answered with status 404: File not found"),
    ({"size": 4}, "a.png: 3 bytes came, of 4"), ({"path": "../x", "url": "file:///etc/passwd"}, "does not say where the file is"),
    ({"path": "x" * 65, "url": "http://127.0.0.1:1/x"}, "127.0.0.1"),
    ({"file": (200, b"png", ("Content-Length", "9"), ("Connection", "close"))}, "a.png: http")])
def test_what_does_not_come_whole_leaves_nothing_and_fails_the_command(serving, tmp_path, change, said):
    if "file" in change:
        serving.routes[f"GET /v4/files/download/{ID}"] = change.pop("file")
    serving.routes["POST /v4/runs/stream"] = (200, line(file(**change)) + line(text("more")))
    result = serving.run("x", code=FAILED, cwd=tmp_path)
    assert said in result.stderr.decode() and result.stderr.count(b"\n") == 1
    assert result.stdout == b"\nmore\n" and os.listdir(tmp_path) == []


def test_a_url_of_another_server_gets_no_token(serving, tmp_path):
    serving.routes["POST /v4/runs/stream"] = (200, line(file(path="container/a.png", url=serving.url + "/a?signature=s")))
    serving.routes["GET /a"] = (200, b"png")
    assert serving.run("x", cwd=tmp_path).stdout == b"a.png\n"
    (fields, _), = sent(serving, "GET /a?signature=s")
    assert "Authorization" not in fields


def test_json_stays_as_it_is_and_saves_where_it_is_told_to(serving, tmp_path):
    answer = line(file()) + line({"type": "array", "value": [file("b.png", id_of(1))], "file": None})
    serving.routes["POST /v4/runs/stream"] = (200, answer)
    result = serving.run("x", "--json", cwd=tmp_path)
    assert (result.stdout, os.listdir(tmp_path)) == (answer, [])
    result = serving.run("x", "--json", "--output", ".", cwd=tmp_path)
    assert (result.stdout, result.stderr) == (answer, b"./a.png\n./b.png\n")


@pytest.mark.parametrize("folder, said", [("none", "No such file or directory"), ("a.txt", "Not a directory")])
def test_a_folder_that_is_none_is_said_before_the_run(serving, tmp_path, folder, said):
    (tmp_path / "a.txt").write_text("")
    result = serving.run("x", "--output", folder, code=USAGE, cwd=tmp_path)
    assert result.stderr.decode() == f"millrace: run: --output {folder}: {said}\n" and serving.seen == []


# ---- a server that has it all ------------------------------------------------------------------------

def test_files_go_to_a_real_server_and_come_from_one(start, pipelines, tmp_path):
    token, = make_tokens(tmp_path / "tokens", "alice")
    options = ["--files", str(tmp_path / "files"), "--file-limit", "1m", "--token-file", str(tmp_path / "tokens")]
    server = start(f"me/says:v1={pipelines('files')}:files", f"me/gives:v1={pipelines('gives')}:pictures",
                   f"me/pair:v1={pipelines('gives')}:pair",
                   f"me/parcel:v1={pipelines('gives')}:parcel", options=options)
    here = tmp_path / "here"
    here.mkdir()

    def run(*words, code=OK, **more):
        result = subprocess.run([MILLRACE, "run", *words, "--url", server.url, "--token", token], cwd=here, capture_output=True,
                                timeout=30 * SLOWNESS, check=False, **more)
        assert result.returncode == code, result
        return (result.stderr if code else result.stdout).decode()

    (here / "ä b.txt").write_text("of a file")
    assert run("me/says:v1", "@ä b.txt", "{}") == "ä b.txt: of a file\tnone\n"
    assert run("me/says:v1", "@-", "null", input=b"piped") == "stdin: piped\tnone\n"
    (here / "large").write_bytes(bytes(1 << 21))
    assert "status 413: The file is larger" in run("me/says:v1", "@large", "null", code=FAILED)
    assert run("me/gives:v1", "3", "70000") == "picture 0.png\npicture 1.png\npicture 2.png\n"
    assert [(here / f"picture {number}.png").stat().st_size for number in range(3)] == [70000] * 3
    first, second = json.loads(run("me/parcel:v1", "5"))["files"]
    assert first.startswith("run_") and [(here / name).stat().st_size for name in (first, second)] == [5, 5]
    (here / first).unlink()
    assert run("me/pair:v1") == "".join(f"a name.bin\tword {number}\n" for number in (2, 1, 0))
    assert sorted(os.listdir(here)) == ["a name.bin", "large", "output.bin", *(f"picture {number}.png" for number in range(3)), "ä b.txt"]
