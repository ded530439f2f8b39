# SPDX-License-Identifier: MIT
"""Files that runs give out: each is kept before its line is sent, can be downloaded, and belongs to the run's token;
nothing is left of those that no line named."""

import contextlib
import json
import os
import signal

import pytest

from confined import needs_root
from server import bearer, make_tokens, wait_until
from wire import result_of, run_body

NAMES = ("pictures", "parcel", "words", "pair", "odd", "cut", "vast", "both", "chained")
MIB = 1 << 20


def content(number, count):
    """As gives.c writes it."""
    return bytes((number * 31 + at * 7 + (at >> 8)) & 0xff for at in range(count))


def pipelines_of(path):
    return [f"g/{name}:v1={path}:{name}" for name in NAMES]


@pytest.fixture(scope="module")
def gives(pipelines):
    return pipelines_of(pipelines("gives"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("given") / "files"


@pytest.fixture(scope="module")
def server(start_shared, gives, folder):
    return start_shared(*gives, options=["--files", str(folder), "--file-limit", "256M"])


def download(server, file, headers=None):
    response = server.get("/v4/files/download/" + file["path"], headers)
    assert response.status == 200, response
    return response.body


def error_of(response):
    return result_of(response)["error"]["message"]


def is_settled(server, folder):
    """Nothing is on its way: every file in the folder is one that is kept."""
    kept = {file["path"] for file in server.get("/v4/files?limit=100").json()["data"]}
    names = {name.removesuffix(".about") for name in os.listdir(folder / "stored")}
    return names == kept and not open_files(server, folder)


def open_files(server, folder):
    """Those that are on their way to the disk."""
    found = []
    for fd in os.listdir(f"/proc/{server.process.pid}/fd"):
        try:
            target = os.readlink(f"/proc/{server.process.pid}/fd/{fd}")
        except FileNotFoundError:
            continue
        if target.startswith(f"{folder}/stored/"):
            found.append(target)
    return found


def test_a_stream_of_fifty_files_arrives_one_by_one_and_each_can_be_downloaded_while_it_runs(server):
    with server.stream("g/pictures:v1", 50, 20000) as stream:
        for number, line in enumerate(stream):
            output = line["outputs"][0]
            assert output["type"] == "file" and output["value"] is None
            file = output["file"]
            assert (file["name"], file["size"]) == (f"picture {number}.png", 20000)
            assert file["url"] == f"{server.url}/v4/files/download/{file['path']}"
            assert download(server, file) == content(number, 20000)
        assert number == 49
        assert stream.trailers == {"Millrace-Run-State": "completed", "Millrace-Run-Lines": "50"}


@pytest.mark.parametrize("count", [0, 1, 65536, 3 * MIB + 5])
def test_files_within_a_value_stand_where_they_were_put(server, count):
    output = result_of(server.run("g/parcel:v1", count))["outputs"][0]
    assert output["type"] == "dictionary" and output["value"]["said"] == "\u0581 and more"
    first, second = output["value"]["files"]
    assert first["type"] == second["type"] == "file" and first["value"] is second["value"] is None
    assert first["file"]["name"].startswith("run_") and second["file"]["name"] == "output.bin"
    if count < MIB:
        assert download(server, first["file"]) == content(1, count)
        assert download(server, second["file"]) == content(2, count)
    else:
        assert [len(download(server, file["file"])) for file in (first, second)] == [count, count]


def test_a_plain_file_beside_a_stream_is_sent_once_and_named_on_each_line(server):
    lines = server.lines("g/pair:v1")
    assert [line["outputs"][1]["value"] for line in lines] == ["word 2", "word 1", "word 0"]
    files = [line["outputs"][0]["file"] for line in lines]
    assert files[0] == files[1] == files[2]
    assert download(server, files[0]) == content(3, 1000)
    outputs = result_of(server.run("g/pair:v1"))["outputs"]
    assert [output["type"] for output in outputs] == ["file", "array"]


def test_what_is_no_file_is_refused_with_its_name_and_the_reason(server, folder):
    for kind, name, why in [("/", "output.bin", "it is a directory; pack it into one file, a .zip"),
                            ("/nowhere/a.txt", "/nowhere/a.txt", "No such file or directory"),
                            ("/dev/null", "null", "it is no regular file"),
                            ("pipe", "pipe.bin", "it is no regular file"),
                            ("path", "path.bin", "it is a directory; pack it into one file, a .zip"),
                            ("many", "one.bin", "one line has 64 at most")]:
        assert error_of(server.run("g/odd:v1", kind)) == f"pipe odd_make: the file {name} cannot be sent: {why}"
    assert error_of(server.run("g/cut:v1")) == \
        "the file cut.bin cannot be sent: it became shorter while it was read"
    assert error_of(server.run("g/chained:v1")) == \
        "the result of pipe file_make cannot be given to another one: it is a file, or has one in it"
    assert error_of(server.run("g/vast:v1", 256 * MIB + 1, "v.bin")) == \
        "the file v.bin cannot be sent: it is larger than --file-limit (268435456 bytes)"
    wait_until(lambda: is_settled(server, folder))


def test_names_are_made_harmless(server):
    for name, shown in [("../../etc/x", "x"), (".hidden", "hidden"), ("a\nb", "a_b"), ("", "output.bin"),
                        ("n" * 2000, "n" * 200), ('say "x"\\y', "y")]:
        file = result_of(server.run("g/vast:v1", 3, name))["outputs"][0]["file"]
        assert file["name"] == shown
        assert download(server, file) == bytes(3)


def test_a_run_goes_on_while_another_one_of_its_worker_gives_out_a_large_file(server, start, gives, folder):
    server = start(*gives, options=["--files", str(folder.parent / "two"), "--concurrency", "2"])
    with server.stream("g/vast:v1", 100 * MIB, "v.bin") as stream:
        wait_until(lambda: open_files(server, folder.parent / "two"))
        process = server.workers("g/vast:v1")[0]["pid"]
        file = result_of(server.run("g/vast:v1", 1, "w.bin"))["outputs"][0]["file"]
        assert open_files(server, folder.parent / "two")
        assert file["name"] == "w.bin" and server.workers("g/vast:v1")[0]["pid"] == process
        assert stream.all()[0]["outputs"][0]["file"]["size"] == 100 * MIB


def test_nothing_is_left_of_a_file_whose_client_leaves(server, folder):
    process = server.workers("g/vast:v1")[0]["pid"]
    with server.stream("g/vast:v1", 200 * MIB, "v.bin"):
        wait_until(lambda: open_files(server, folder))
    wait_until(lambda: is_settled(server, folder))
    assert result_of(server.run("g/vast:v1", 1, "w.bin"))["state"] == "completed"
    assert server.workers("g/vast:v1")[0]["pid"] == process


def test_nothing_is_left_of_a_file_whose_worker_dies(server, folder):
    process = server.workers("g/vast:v1")[0]["pid"]
    with server.stream("g/vast:v1", 200 * MIB, "v.bin") as stream:
        wait_until(lambda: open_files(server, folder))
        os.kill(process, signal.SIGKILL)
        error = stream.all()[-1]["error"]
    assert error["type"] == "pipeline_error" and "signal 9" in error["message"]
    wait_until(lambda: is_settled(server, folder))


def test_a_file_that_was_kept_for_a_line_that_is_not_sent_is_removed(server, folder):
    before = server.get("/v4/files?limit=100").json()["data"]
    assert "the file large.bin cannot be sent: it is larger than --file-limit" in \
        error_of(server.run("g/both:v1", 256 * MIB + 1))
    wait_until(lambda: is_settled(server, folder))
    assert server.get("/v4/files?limit=100").json()["data"] == before


def test_more_runs_than_there_are_pipes_give_out_their_files_in_turn(start, gives, tmp_path):
    server = start(*gives, options=["--files", str(tmp_path / "f"), "--concurrency", "100"])
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(server.stream("g/vast:v1", 300000 + number, "v.bin")) for number in range(100)]
        sizes = [stream.all()[0]["outputs"][0]["file"]["size"] for stream in streams]
    assert sizes == [300000 + number for number in range(100)]
    assert len(server.get("/v4/files?limit=100").json()["data"]) == 100


def test_a_server_without_files_says_how_to_have_them(start, gives):
    server = start(*gives)
    assert error_of(server.run("g/pair:v1")) == \
        "the file a name.bin cannot be sent: the server keeps no files: serve it with --files DIR"
    assert [line["outputs"][0]["value"] for line in server.lines("g/words:v1")] == ["word 2", "word 1", "word 0"]


def test_a_full_disk_ends_the_run_and_nothing_is_left(start, gives, small_disk):
    command, folder, seen = small_disk(1024)
    server = start(*gives, options=["--files", str(folder / "files")], command=command)
    assert error_of(server.run("g/vast:v1", 3 * MIB, "v.bin")) == \
        "the file v.bin cannot be sent: the disk of the server is full"
    assert result_of(server.run("g/vast:v1", 1000, "w.bin"))["state"] == "completed"
    assert len(os.listdir(seen(server.process.pid) + "/files/stored")) == 2


def test_files_of_all_runs_are_bounded_together_and_the_oldest_go(start, gives, tmp_path):
    server = start(*gives, options=["--files", str(tmp_path / "f"), "--files-total", "2M"])
    paths = [result_of(server.run("g/vast:v1", 900000, "v.bin"))["outputs"][0]["file"]["path"] for _ in range(3)]
    assert [file["path"] for file in server.get("/v4/files").json()["data"]] == paths[:0:-1]
    assert error_of(server.run("g/vast:v1", 2 * MIB + 1, "v.bin")) == \
        "the file v.bin cannot be sent: there is no room for it among the files of the server (--files-total)"


def test_a_file_belongs_to_the_token_of_its_run_and_outlives_the_server(start, gives, tmp_path):
    ann, bob = make_tokens(tmp_path / "tokens", "ann", "bob")
    options = ["--files", str(tmp_path / "f"), "--token-file", str(tmp_path / "tokens")]
    server = start(*gives, options=options)
    file = result_of(server.run("g/vast:v1", 5, "v.bin", headers=bearer(ann)))["outputs"][0]["file"]
    assert download(server, file, bearer(ann)) == bytes(5)
    path = "/v4/files/download/" + file["path"]
    assert server.get(path, bearer(bob)).status == 404 and server.get(path).status == 401
    server.stop()
    server = start(*gives, options=options)
    assert download(server, file, bearer(ann)) == bytes(5)


def test_events_show_files_as_lines_do(server):
    response = server.ask("POST", "/v4/runs/stream", run_body("g/pictures:v1", [2, 10]), {"Accept": "text/event-stream"})
    events = [json.loads(event.removeprefix("data: ")) for event in response.body.decode().split("\n\n")[:2]]
    assert [event["outputs"][0]["file"]["name"] for event in events] == ["picture 0.png", "picture 1.png"]
    assert download(server, events[1]["outputs"][0]["file"]) == content(1, 10)


@needs_root
def test_a_worker_with_a_user_of_its_own_gives_out_what_it_may_read(start, gives, tmp_path):
    server = start(*gives, options=["--files", str(tmp_path / "f")], default_user=True)
    files = result_of(server.run("g/parcel:v1", 1000))["outputs"][0]["value"]["files"]
    assert [download(server, file["file"]) for file in files] == [content(1, 1000), content(2, 1000)]
    assert "/etc/shadow cannot be sent: Permission denied" in error_of(server.run("g/odd:v1", "/etc/shadow"))


def test_the_result_of_an_asynchronous_run_shows_its_files_later(server):
    run = server.run("g/pair:v1", async_run=True).json()
    wait_until(lambda: server.get("/v4/runs/" + run["id"]).json()["state"] == "completed")
    output = server.get("/v4/runs/" + run["id"]).json()["outputs"][0]
    assert output["file"]["url"].startswith(server.url) and download(server, output["file"]) == content(3, 1000)
