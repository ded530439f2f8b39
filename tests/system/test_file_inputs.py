# SPDX-License-Identifier: MIT
"""Runs take files: uploaded ones by id, as inputs and inside of dictionaries; each run sees its own, until it is over."""

import ast
import contextlib
import io
import os
import shutil
import signal
import time
import zipfile

import pytest

import wire
from confined import needs_landlock, needs_python, needs_root
from conftest import HERE
from fetching import Target, says, whole
from server import bearer, make_tokens, wait_until

LOOK, WORDS, ATTEMPT, NATIVE = "me/look:v1", "me/words:v1", "me/attempt:v1", "me/files:v1"
CODE = os.path.join(HERE, "pipelines", "files.py")
UNPACK = "me/unpack:v1"
SERVED = [f"{LOOK}={CODE}:looks", f"{WORDS}={CODE}:streams", f"{ATTEMPT}={CODE}:attempts", f"{UNPACK}={CODE}:unpacks"]

pytestmark = needs_python


@pytest.fixture(scope="module")
def server(start_shared, pipelines):
    return start_shared(*SERVED, f"{NATIVE}={pipelines('files')}:files", options=["--files", "files", "--concurrency", "4"])


def upload(server, data, name="a.txt", headers=None):
    fields = {"Content-Type": "application/octet-stream", "Content-Disposition": f'attachment; filename="{name}"'}
    response = server.ask("POST", "/v4/files", data, {**fields, **(headers or {})})
    assert response.status == 201, response
    return response.json()


def by_id(file):
    return {"type": "file", "value": None, "file_name": None, "file_path": file["id"], "file_url": None}


def dictionary(**values):
    return {"type": "dictionary", "value": values}


def result_of(response):
    assert response.status == 200, response
    return wire.output_of(wire.check_line(response.body))


def refused(response, status=400):
    assert response.status == status, response
    return wire.check_line(response.body)["error"]["message"]


def folders_of_runs(server):
    return os.listdir(f"{server.folder}/files/runs")


def wait_until_they_are_gone(server):
    wait_until(lambda: not folders_of_runs(server), what="an empty folder of runs")


def test_a_pipe_gets_a_local_file_with_the_name_it_was_uploaded_with(server):
    photo, mask = upload(server, b"a cat", "cat.jpg"), upload(server, b"a mask", "../../mask.png")
    seen = result_of(server.run(LOOK, by_id(photo), dictionary(count=5, mask=by_id(mask))))
    folder = seen.pop("folder")
    assert seen == {"name": "cat.jpg", "text": "a cat", "count": 5, "mask": ["mask.png", "a mask"]}
    assert os.path.dirname(folder) == os.path.realpath(f"{server.folder}/files/runs")
    wait_until_they_are_gone(server)


def test_the_url_that_an_upload_got_is_its_file(server):
    photo = upload(server, b"a cat", "cat.jpg")
    as_sdk = {"type": "file", "value": None, "file_name": photo["id"], "file_path": photo["path"], "file_url": photo["url"]}
    as_path = {"type": "file", "file_path": "https://proxy.example" + photo["url"][photo["url"].index("/v4"):] + "?x=1"}
    for said in (as_sdk, as_path):
        assert result_of(server.run(LOOK, said, dictionary()))["text"] == "a cat"


def test_pipelines_in_c_get_a_path_and_a_name(server):
    photo = upload(server, b"a cat", "cat.jpg")
    outputs = wire.check_line(server.run(NATIVE, by_id(photo), dictionary(image=by_id(photo), other=1)).body)["outputs"]
    assert [output["value"] for output in outputs] == ["cat.jpg: a cat"] * 2
    outputs = wire.check_line(server.run(NATIVE, None, dictionary(image=None)).body)["outputs"]
    assert [output["value"] for output in outputs] == ["none", "another type"]


def test_a_folder_comes_as_a_zip(server):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.txt", "a")
        archive.writestr("b/c.txt", "c")
    assert result_of(server.run(UNPACK, by_id(upload(server, packed.getvalue(), "my.zip")))) == ["a.txt", "b/c.txt"]
    other = wire.check_line(server.run(UNPACK, by_id(upload(server, b"x", "my.tar"))).body)["error"]
    assert other["type"] == "input_error" and "comes as a .zip, not as my.tar" in other["message"]


def test_a_file_is_there_for_as_long_as_the_run(server):
    book = upload(server, b"one two three four")
    with server.stream(WORDS, by_id(book), 0.1) as stream:
        assert wire.output_of(stream.next()) == "one"
        assert server.ask("DELETE", f"/v4/files/{book['id']}").status == 204
        assert len(folders_of_runs(server)) == 1
        assert [wire.output_of(line) for line in stream.all()] == ["two", "three", "four"]
    wait_until_they_are_gone(server)
    assert "there is no such file" in refused(server.run(WORDS, by_id(book), 0.0))


@pytest.mark.parametrize("how", ["leaves", "cancels", "is killed"])
def test_nothing_is_left_of_a_run_that_does_not_end_by_itself(server, how):
    book = upload(server, b"word " * 1000)
    with server.stream(WORDS, by_id(book), 0.05) as stream:
        run = stream.next()["id"]
        if how == "cancels":
            assert server.ask("DELETE", f"/v4/runs/{run}").status == 200
        elif how == "is killed":
            os.kill(server.workers(WORDS)[0]["pid"], signal.SIGKILL)
        if how != "leaves":
            assert stream.all()[-1]["state"] == "failed"
    wait_until_they_are_gone(server)


def test_one_file_may_be_several_inputs_and_of_several_runs(server):
    book = upload(server, b"one two")
    for _ in range(3):
        assert result_of(server.run(LOOK, by_id(book), dictionary(mask=by_id(book))))["mask"] == ["a.txt", "one two"]
    streams = [server.stream(WORDS, by_id(book), 0.05) for _ in range(8)]
    for stream in streams:
        with stream:
            assert [wire.output_of(line) for line in stream.all()] == ["one", "two"]
    wait_until_they_are_gone(server)


def test_an_asynchronous_run_has_its_files(server):
    book = upload(server, b"one two")
    run = wire.check_line(server.run(WORDS, by_id(book), 0.0, async_run=True).body)
    assert run["state"] == "routing"
    ended = lambda: server.get(f"/v4/runs/{run['id']}").json()["state"] == "completed"
    wait_until(ended, what="the run's end")
    assert server.get(f"/v4/runs/{run['id']}").json()["outputs"][0]["value"] == ["one", "two"]


@pytest.mark.parametrize("size", [100_000, 3_000_000])
def test_a_body_that_another_process_reads_may_name_files(server, size):
    """One that is copied, and one that stays a file."""
    photo = upload(server, b"a cat")
    items = ["x" * 100] * (size // 100)
    seen = result_of(server.run(LOOK, by_id(photo), dictionary(more=items, mask=by_id(photo))))
    assert (seen["text"], seen["mask"]) == ("a cat", ["a.txt", "a cat"])


@pytest.mark.parametrize("said, expected", [
    ({"file_path": "/etc/passwd"}, "input 1: /etc/passwd: there is no such file"),
    ({"file_path": "file_" + "0" * 32}, "there is no such file"),
    ({"file_path": "../stored/x"}, "there is no such file"),
    ({}, "A file must either have a path or url attribute"),
    ({"file_path": 5}, "input 1: file_path must be a string, got an integer"),
])
def test_what_is_no_file_of_this_server_is_refused(server, said, expected):
    for how in ({}, {"async_run": True}):
        assert expected in refused(server.run(LOOK, {"type": "file", "value": None, **said}, dictionary(), **how))
    wait_until_they_are_gone(server)


# ---- from URLs ----

def by_url(url, name=None):
    return {"type": "file", "value": None, "file_name": name, "file_path": None, "file_url": url}


@pytest.fixture(scope="module")
def fetching(start_shared):
    return start_shared(*SERVED, options=["--files", "files", "--fetch-allow", "127.0.0.0/8", "--fetch-limit", "100000",
                                          "--fetch-timeout", "2s"])


@pytest.fixture
def serve():
    """serve(ANSWER) is a server of it."""
    with contextlib.ExitStack() as stack:
        yield lambda answer: stack.enter_context(contextlib.closing(Target(answer)))


def test_what_a_url_has_is_fetched_before_the_run(fetching, serve):
    target = serve(says(whole(b"a cat")))
    for said in (by_url(target.url("/b%20c/cat.jpg?key=1"), "photo.jpg"), {"type": "file", "file_path": target.url("/photo.jpg?x=/y")}):
        seen = result_of(fetching.run(LOOK, said, dictionary(mask=by_url(target.url("/mask.png")))))
        assert (seen["name"], seen["text"], seen["mask"]) == ("photo.jpg", "a cat", ["mask.png", "a cat"])
    wait_until_they_are_gone(fetching)
    assert fetching.get("/v4/files").json()["data"] == []


def test_one_url_is_fetched_once_a_run(fetching, serve):
    target = serve(says(whole(b"a cat")))
    for count in (1, 2):
        seen = result_of(fetching.run(LOOK, by_url(target.url("/a")), dictionary(mask=by_url(target.url("/a")))))
        assert seen["mask"] == ["a", "a cat"]
        assert len(target.heads) == count


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/", "http://2130706433:{port}/", "http://localhost:{port}/", "http://[::1]:{port}/",
                                 "http://169.254.169.254/latest", "file:///etc/passwd", "gopher://127.0.0.1:{port}/x", "http://"])
def test_what_is_not_fetched_is_an_input_error(server, url):
    """What else is not, test_fetcher.py tells."""
    for how in ({}, {"async_run": True}):
        response = server.run(LOOK, by_url(url.format(port=server.port)), dictionary(), **how)
        if how and response.status == 200:  # a name that had to be looked up
            run = response.json()["id"]
            wait_until(lambda: server.get(f"/v4/runs/{run}").json()["state"] == "failed", what="the run's end")
            assert server.get(f"/v4/runs/{run}").json()["error"]["type"] == "input_error"
        else:
            assert "input 1: " in refused(response)
    wait_until_they_are_gone(server)


@pytest.mark.parametrize("answer, expected", [
    (whole(b"no", "404 Not Found"), "404"),
    (whole(b"x" * 100_001), "100000"),
    (b"nonsense\r\n\r\n", ""),
    (None, ""),
], ids=["404", "too large", "nonsense", "silence"])
def test_a_url_that_cannot_be_fetched_is_an_input_error(fetching, serve, answer, expected):
    target = serve(says(answer) if answer else lambda *_: time.sleep(10))
    message = refused(fetching.run(LOOK, by_url(target.url("/secret?key=hidden")), dictionary()))
    assert message.startswith("input 1: " + target.url("/secret") + ": ") and expected in message and "hidden" not in message
    wait_until_they_are_gone(fetching)


def test_what_is_fetched_takes_room_of_all_files(start, serve):
    server = start(SERVED[0], options=["--files", "files", "--fetch-allow", "127.0.0.1", "--file-limit", "2M", "--files-total", "2M"])
    target = serve(says(whole(b"x" * (3 << 19))))
    two = [by_url(target.url("/a")), dictionary(mask=by_url(target.url("/b")))]
    assert "there is no room for it" in refused(server.run(LOOK, *two), 507)
    wait_until_they_are_gone(server)  # what had come of them takes room until then
    assert result_of(server.run(LOOK, two[0], dictionary()))["name"] == "a"
    wait_until_they_are_gone(server)


def test_a_run_that_waits_for_a_url_can_be_cancelled(fetching, serve):
    target = serve(lambda *_: time.sleep(10))
    run = fetching.run(LOOK, by_url(target.url()), dictionary(), async_run=True).json()
    assert run["state"] == "routing" and fetching.get(f"/v4/runs/{run['id']}").json()["state"] == "routing"
    assert result_of(fetching.run(LOOK, by_id(upload(fetching, b"a cat")), dictionary()))["text"] == "a cat"
    assert fetching.ask("DELETE", f"/v4/runs/{run['id']}").json()["state"] == "failed"
    wait_until_they_are_gone(fetching)


def test_a_file_of_another_token_is_none(start, tmp_path):
    tokens = tmp_path / "tokens"
    alice, bob = make_tokens(tokens, "alice", "bob")
    server = start(SERVED[0], options=["--files", "files", "--token-file", str(tokens)])
    photo = upload(server, b"a cat", headers=bearer(alice))
    assert "there is no such file" in refused(server.run(LOOK, by_id(photo), dictionary(), headers=bearer(bob)))
    url = {"type": "file", "value": None, "file_url": photo["url"]}
    assert refused(server.run(LOOK, url, dictionary(), headers=bearer(bob)))
    for said in (by_id(photo), url):
        assert result_of(server.run(LOOK, said, dictionary(), headers=bearer(alice)))["text"] == "a cat"


def test_a_server_without_files_says_so(start):
    server = start(SERVED[0])
    assert "this server keeps none: millrace serve does with --files DIR" in refused(
        server.run(LOOK, by_id({"id": "file_" + "0" * 32}), dictionary()))


def test_a_start_removes_what_runs_were_given(start, tmp_path):
    left = tmp_path / "files" / "runs" / "old" / "0"
    left.mkdir(parents=True)
    (left / "a.txt").write_text("left")
    start(SERVED[0], options=["--files", str(tmp_path / "files")])
    assert os.listdir(tmp_path / "files" / "runs") == []


WHAT_IS_DENIED = {
    "runs are not listed": "os.listdir(os.path.dirname(folder))",
    "what is stored is not there": "os.listdir(os.path.join(root, 'stored'))",
    "nor the secret": "open(os.path.join(root, 'secret'))",
    "the file is not written": "open(path, 'r+')",
}


@needs_landlock(2)
def test_a_worker_that_may_not_read_all_reads_its_own_inputs(start):
    server = start(SERVED[2], options=["--files", "files", "--allow-read", "none", "--seccomp", "strict"])
    photo = upload(server, b"a cat")
    assert result_of(server.run(ATTEMPT, by_id(photo), "open(path).read()")) == "'a cat'"
    for what in list(WHAT_IS_DENIED.values())[:3]:
        assert result_of(server.run(ATTEMPT, by_id(photo), what)) == "PermissionError", what


TEMPORARY = "[__import__('tempfile').NamedTemporaryFile(delete=False).name, os.listdir(os.environ['TMPDIR'])]"


@needs_landlock(3)
@pytest.mark.parametrize("options", [["--allow-read", "none"], ["--allow-write", "none"], ["--allow-read", "none", "--allow-write", "none"]])
def test_a_worker_that_may_not_use_all_files_has_a_folder_of_its_own(start, options):
    server = start(SERVED[2], options=["--files", "files", *options])
    photo = upload(server, b"a cat")
    name, seen = ast.literal_eval(result_of(server.run(ATTEMPT, by_id(photo), TEMPORARY)))
    assert os.path.dirname(name) == os.path.realpath(f"{server.folder}/files/scratch/{name.split('/')[-2]}")
    assert seen == [os.path.basename(name)]
    deep = "[os.makedirs(os.environ['TMPDIR'] + '/d' * 500), os.mkdir(os.environ['TMPDIR'] + '/closed', 0)]"
    assert result_of(server.run(ATTEMPT, by_id(photo), deep)) == "[None, None]"
    assert result_of(server.run(ATTEMPT, by_id(photo), "os.listdir(os.path.dirname(os.environ['TMPDIR']))")) == \
        ("PermissionError" if "--allow-read" in options else repr(os.listdir(f"{server.folder}/files/scratch")))
    since, pid = server.log_mark(), server.workers(ATTEMPT)[0]["pid"]
    os.kill(pid, signal.SIGKILL)
    server.wait_worker(ATTEMPT, 0, pid, since)
    assert len(ast.literal_eval(result_of(server.run(ATTEMPT, by_id(photo), TEMPORARY)))[1]) == 1


def test_a_tmpdir_that_is_said_stays(start, tmp_path):
    options = ["--files", "files", "--allow-write", str(tmp_path), "--env", f"TMPDIR={tmp_path}"]
    server = start(SERVED[2], options=options)
    name = ast.literal_eval(result_of(server.run(ATTEMPT, by_id(upload(server, b"a cat")), TEMPORARY)))[0]
    assert os.path.dirname(name) == str(tmp_path)


@needs_root
def test_workers_with_users_of_their_own_read_what_they_are_given(start, public):
    shutil.copy(CODE, public)
    served = f"{ATTEMPT}={public}/files.py:attempts"
    options = ["--python", "/usr/bin/python3", "--files", f"{public}/files"]
    server = start(served, options=options, default_user=True, environment={"PYTHONPATH": ""})
    photo = upload(server, b"a cat")
    assert result_of(server.run(ATTEMPT, by_id(photo), "open(path).read()")) == "'a cat'"
    for what in (*WHAT_IS_DENIED.values(), "os.chmod(path, 0o666)", "os.unlink(path)", "os.rmdir(folder)"):
        assert result_of(server.run(ATTEMPT, by_id(photo), what)) == "PermissionError", what


@needs_root
def test_a_folder_that_such_workers_cannot_get_to_is_told(start, public, tmp_path):
    shutil.copy(CODE, public)
    os.chmod(tmp_path, 0o700)
    options = ["--python", "/usr/bin/python3", "--files", str(tmp_path / "files")]
    server = start(f"{ATTEMPT}={public}/files.py:attempts", options=options, default_user=True, environment={"PYTHONPATH": ""})
    photo = upload(server, b"a cat")
    assert "cannot get to the folder of --files" in refused(server.run(ATTEMPT, by_id(photo), "path"), 500)
