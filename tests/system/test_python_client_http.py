# SPDX-License-Identifier: MIT
"""The client's other modules: plain requests, files that are uploaded, the servers that are configured."""

import asyncio
import io
import json
import pathlib
import urllib.parse
import zipfile

import pytest

from pipeline import Directory, File, configuration
from pipeline.cloud import authenticate, files, http as client, logs, pointers
from pipeline.cloud.asyncio import pipelines as asynchronous
from pipeline.cloud.errors import APIError, ApiError, ConnectionBroken, HTTPStatusError, NoResourcesAvailable, RunFailed
from pipeline.cloud.exchange import Endpoint
from pipeline.cloud.pipelines import run_pipeline
from pipeline.cloud.runs import get_run
from pipeline.cloud.schemas.runs import ClusterRunResult, RunState
from pipeline.util.streaming import handle_stream_response
from routes import parts_of
from server import example

WORDS = "my_user/my_pipeline:v1"


@pytest.fixture(scope="module")
def url(start_shared):
    return start_shared(f"{WORDS}={example('words.so')}:my_pipeline").url


# ---- plain requests ----------------------------------------------------------------------------------

def test_answers_have_what_those_of_httpx_have(url):
    answer = client.get("/v4/pipelines", url=url)
    assert (answer.status_code, answer.is_success, answer.url) == (200, True, url + "/v4/pipelines")
    assert answer.headers["content-type"] == "application/json" and json.loads(answer.text) == answer.json()
    assert answer.content == answer.read() == answer.text.encode() and answer.raise_for_status() is answer
    assert list(answer.iter_lines()) == answer.text.splitlines() and "".join(answer.iter_text()) == answer.text
    body = {"pipeline": WORDS, "inputs": [{"type": "string", "value": "a b"}]}
    result = ClusterRunResult.parse_raw(client.post("/v4/runs", body, url=url).text)
    assert result.outputs_formatted() == [["a ", "b "]]
    assert asyncio.run(client.async_post("v4/runs", body, url=url)).json()["state"] == "completed"


def test_a_stream_comes_line_by_line(url):
    body = {"pipeline": WORDS, "inputs": [{"type": "string", "value": "a b c"}]}
    with client.stream("POST", "/v4/runs/stream", body, url=url) as answer:
        assert [said["outputs"][0]["value"] for said in handle_stream_response(answer)] == ["a ", "b ", "c "]
    with client.stream("POST", "/v4/runs/stream", body, url=url) as answer:
        assert [json.loads(line)["outputs"][0]["value"] for line in answer.iter_lines()] == ["a ", "b ", "c "]


def test_requests_say_what_they_are_told_to(site):
    site.routes.update({f"{method} /a": (200, {}) for method in ("GET", "DELETE", "POST", "PATCH")})
    client.get("/a", params={"x": "ä b", "y": [1, 2]}, url=site.url, token="t")
    client.delete("a", url=site.url)
    client.post("/a", {"n": "ä"}, url=site.url)
    client.post("/a", url=site.url)
    client.patch("/a", [1], url=site.url)
    assert [(line, body) for line, _, body in site.seen] == [
        ("GET /a?x=%C3%A4+b&y=1&y=2", b""), ("DELETE /a", b""), ("POST /a", b'{"n": "\\u00e4"}'), ("POST /a", b""), ("PATCH /a", b"[1]")]
    assert site.seen[0][1]["Authorization"] == "Bearer t" and site.seen[2][1]["Content-Type"] == "application/json"


@pytest.mark.parametrize("said, detail, text", [
    ({"detail": {"message": "no", "more": 1}}, {"message": "no", "more": 1}, "no"), ({"detail": "no"}, {"detail": "no"}, "no"),
    ({"detail": [{"loc": ["body"], "msg": "bad"}]}, {"detail": [{"loc": ["body"], "msg": "bad"}]}, "body: bad"),
    (b"<html>", {"message": "Something went wrong.", "response": "<html>"}, "<html>"),
    ([1], {"message": "Something went wrong.", "response": "[1]"}, "[1]")])
def test_an_answer_of_no_success_is_an_api_error(site, capsys, said, detail, text):
    site.routes["GET /a"] = site.routes["POST /a"] = site.routes["POST /v4/runs"] = (418, said)
    for call in (lambda: client.get("/a", url=site.url), lambda: client.post("/a", {}, url=site.url),
                 lambda: asyncio.run(client.async_post("/a", {}, url=site.url)), lambda: client.stream("POST", "/a", url=site.url).__enter__(),
                 lambda: run_pipeline(WORDS, url=site.url)):
        with pytest.raises(APIError) as caught:
            call()
        error = caught.value
        assert (error.status_code, error.status, error.detail, error.request_id, error.text) == (418, 418, detail, "request-7", text)
        assert error.url.startswith(site.url)
    assert "status 418" in capsys.readouterr().out
    assert client.get("/a", handle_error=False, url=site.url).status_code == 418 and APIError is ApiError
    with pytest.raises(HTTPStatusError) as caught:
        client.get("/a", False, url=site.url).raise_for_status()
    assert caught.value.response.status_code == 418


def test_a_token_is_looked_at(site):
    site.routes["GET /v4/tokens/validate"] = (200, {})
    authenticate("t", site.url)
    assert site.seen[0][1]["Authorization"] == "Bearer t"
    site.routes["GET /v4/tokens/validate"] = (401, {"detail": {"message": "Not authenticated."}})
    with pytest.raises(HTTPStatusError, match="status 401"):
        authenticate("t", site.url)


def test_results_of_the_client_are_the_originals_schemas(url):
    result = run_pipeline(WORDS, "a b", url=url)
    assert isinstance(result, ClusterRunResult) and result.state is RunState.completed
    assert (result.updated_at - result.created_at).total_seconds() >= 0
    said = json.loads(result.json())
    assert said["outputs"][0]["value"] == ["a ", "b "] and ClusterRunResult.parse_obj(said).outputs == result.outputs
    failed = run_pipeline(WORDS, 5, url=url)
    assert json.loads(failed.error.json(indent=2)) == {"type": "input_error", "message": failed.error.message, "traceback": None}
    assert str(failed.error) == f"{failed.error.type}: {failed.error.message}" == f"input_error: {failed.error.message}"


def test_a_refused_run_has_the_originals_attributes(site):
    said = {"id": "run_1", "created_at": 1, "updated_at": 2, "pipeline_id": "p", "state": "no_resources_available",
            "error": {"type": "of a later server", "message": "full"}}
    site.routes["POST /v4/runs"] = (429, said)
    with pytest.raises(NoResourcesAvailable) as caught:
        run_pipeline(WORDS, url=site.url)
    assert (caught.value.run_result.id, caught.value.message) == ("run_1", "of a later server: full")
    assert str(NoResourcesAvailable(caught.value.run_result, message="words")) == "words"


def test_the_calls_for_asyncio_are_where_the_original_has_them(url):
    result = asyncio.run(asynchronous.run_pipeline(WORDS, "a", url=url))
    assert result.outputs_formatted() == [["a "]]
    answer = asyncio.run(asynchronous.run_pipeline(WORDS, "a", return_response=True, url=url))
    assert answer.status_code == 200 and answer.json()["state"] == "completed"
    with pytest.raises(RunFailed, match="input_error"):
        asyncio.run(asynchronous.run_pipeline(WORDS, 5, url=url))

    async def stream():
        return [result.outputs_formatted()[0] async for result in asynchronous.stream_pipeline(WORDS, "a b", url=url)]

    assert asyncio.run(stream()) == ["a ", "b "]


# ---- what this server does not have ------------------------------------------------------------------

def test_what_the_server_does_not_have_is_said(url, tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    for status, call in (
            (404, lambda: logs.get_run_logs("run_1", url=url)), (404, lambda: list(logs.tail_run_logs("run_1", url=url))),
            (404, lambda: logs.get_pipeline_startup_logs(WORDS, url=url)), (404, lambda: get_run("run_1", url=url)),
            (501, lambda: files.get_path_from_id("f", url=url)), (501, lambda: files.upload_multipart_file(tmp_path / "a", url=url))):
        with pytest.raises(APIError) as caught:
            call()
        assert caught.value.status_code == status
    with pytest.raises(HTTPStatusError):
        pointers.create_pointer(WORDS, WORDS, url=url)


def test_logs_and_pointers_of_a_server_that_has_them(site):
    site.routes.update({"GET /v4/logs/run/run_1": (200, {"log_entries": ["a", "b"]}), "POST /v3/pointers": (409, {}),
                        "PATCH /v3/pointers/a/b:v1": (200, {})})
    assert logs.get_run_logs("run_1", url=site.url) == list(logs.tail_run_logs("run_1", url=site.url)) == ["a", "b"]
    with pytest.raises(HTTPStatusError):
        pointers.create_pointer("a/b:v1", "c/d:v1", url=site.url)
    pointers.create_pointer("a/b:v1", "c/d:v1", overwrite=True, url=site.url)
    assert json.loads(site.seen[-1][2]) == {"pointer_or_pipeline_id": "c/d:v1", "locked": False}
    assert json.loads(site.seen[-2][2]) == {"pointer": "a/b:v1", "pointer_or_pipeline_id": "c/d:v1", "locked": False}


# ---- files -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", [0, 5, 3 * 256 * 1024 + 1])
def test_a_file_is_uploaded_as_a_form(site, tmp_path, size):
    content = bytes(number % 251 for number in range(size))
    (tmp_path / 'a "b".bin').write_bytes(content)
    site.routes["POST /v4/files"] = (201, {"id": "f1", "path": "x/a.bin", "url": "http://host/x/a.bin"})
    sent = files.upload_file(tmp_path / 'a "b".bin', url=site.url, token="t")
    assert (sent.id, sent.path, sent.url) == ("f1", "x/a.bin", "http://host/x/a.bin")
    (line, fields, body), = site.seen
    assert line == "POST /v4/files" and fields["Authorization"] == "Bearer t"
    assert parts_of(fields, body) == {"pfile": ("a %22b%22.bin", content)}
    site.routes["POST /v4/files"] = (200, {"path": "/tmp/x"})
    assert files.upload_file(tmp_path / 'a "b".bin', url=site.url).path == "/tmp/x"


def test_a_form_has_fields_and_files_of_any_kind(site, capsys):
    site.routes["POST /a"] = (200, {})
    answer = client.post_files("/a", {"one": io.BytesIO(b"1"), "two": ("n\r\n.txt", b"2", "text/plain")}, params={"q": 1},
                               data={"three": "ä"}, progress=True, url=site.url)
    assert answer.status_code == 200 and "Uploading" in capsys.readouterr().err
    line, fields, body = site.seen[0]
    assert line == "POST /a?q=1" and parts_of(fields, body) == {
        "three": (None, "ä".encode()), "one": ("upload", b"1"), "two": ("n%0D%0A.txt", b"2")}


def test_a_file_that_becomes_shorter_while_it_is_sent_is_no_whole_upload(site):
    class Shrinking(io.BytesIO):
        def read(self, _size=-1):
            return b""

    with pytest.raises(OSError, match="became shorter"):
        client.post_file("/a", {"pfile": ("a", Shrinking(b"abc"))}, url=site.url)


@pytest.fixture
def storage(site, monkeypatch):
    """A server that takes files in parts, as the original's does; `stored` is what came."""
    monkeypatch.setattr(files, "FILE_CHUNK_SIZE", 10)
    stored = site.stored = {}

    def place(_fields, body):
        asked = json.loads(body)
        path = f"/part/{asked['part_num']}"
        site.routes[f"PUT {path}"] = (200, lambda _, part: stored.setdefault(asked["part_num"], part) and b"", ("ETag", f'"{asked["part_num"]}"'))
        return {"upload_url": f"{site.url}{path}?signature=s"}

    site.routes.update({
        "POST /v3/pipeline_files/initiate-multipart-upload": (200, {"file_id": "f1", "upload_id": "u1"}),
        "POST /v3/pipeline_files/presigned-url": (200, place),
        "POST /v3/pipeline_files/finalise-multipart-upload":
            (200, {"id": "f1", "path": "x/stored", "created_at": 1, "updated_at": 2}),
        "GET /v3/pipeline_files/f9": (200, {"id": "f9", "path": "x/nine", "created_at": 1, "updated_at": 2}),
        "POST /v4/files": (201, {"id": "f2", "path": "x/two", "url": "http://host/x/two"})})
    return site


def test_a_large_file_is_uploaded_in_parts(storage, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"0123456789" * 2 + b"end")
    done = files.upload_multipart_file(tmp_path / "a.bin", progress=True, url=storage.url, token="t")
    assert (done.id, done.path) == ("f1", "x/stored")
    assert storage.stored == {1: b"0123456789", 2: b"0123456789", 3: b"end"}
    puts = [fields for line, fields, _ in storage.seen if line.startswith("PUT")]
    assert len(puts) == 3 and not any("Authorization" in fields for fields in puts), "a token went to another server"
    assert json.loads(storage.seen[-1][2])["multipart_metadata"] == [{"ETag": f'"{n}"', "PartNumber": n} for n in (1, 2, 3)]
    assert json.loads(storage.seen[0][2]) == {"name": "a.bin"}


def test_a_folder_is_uploaded_as_a_zip_with_its_names(storage, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "FILE_CHUNK_SIZE", 1 << 20)
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "sub/a.txt").write_text("b")
    assert files.create_remote_directory(tmp_path, url=storage.url).path == "x/stored"
    with zipfile.ZipFile(io.BytesIO(storage.stored[1])) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {"a.txt": b"a", "sub/a.txt": b"b"}
    for path, error in ((tmp_path / "none", FileNotFoundError), (tmp_path / "a.txt", ValueError)):
        with pytest.raises(error):
            files.create_remote_directory(path, url=storage.url)


def test_a_file_becomes_what_a_request_says_of_it(storage, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    for file, name, path, url in (
            (File(url="http://host/a b.txt"), "a b.txt", "http://host/a b.txt", "http://host/a%20b.txt"),
            (File(remote_id="f9"), "nine", "x/nine", None),
            (File(path=tmp_path / "a.txt"), "two", "x/two", "http://host/x/two"),
            (Directory(path=tmp_path), "stored", "x/stored", None)):
        said = files.resolve_run_input_file_object(file, url=storage.url)
        assert (said.type, said.value, said.file_name, said.file_path, said.file_url) == ("file", None, name, path, url)
    with pytest.raises(ValueError, match="must have remote_id, path, or URL"):
        files.resolve_run_input_file_object(File(), url=storage.url)
    for file, path in ((File(url="http://host/a"), None), (File(remote_id="f9"), "x/nine"), (File(path=tmp_path / "a.txt"), "x/stored")):
        files.resolve_pipeline_file_object(file, url=storage.url)
        assert file.path == (path and pathlib.Path(path))
    assert files.is_file_like(File()) and files.is_file_like(io.BytesIO()) and not files.is_file_like("a")


# ---- which server ------------------------------------------------------------------------------------

def test_the_configured_server_is_meant_where_none_is_named(url, tmp_path, monkeypatch):
    monkeypatch.setattr(configuration, "PIPELINE_DIR", tmp_path)
    monkeypatch.setenv("PIPELINE_API_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("PIPELINE_API_TOKEN", "environment's")
    fresh = configuration.Configuration()
    monkeypatch.setattr("pipeline.cloud.exchange.current_configuration", fresh)
    assert (Endpoint().port, Endpoint().token) == (1, "environment's")
    fresh.add_remote("home", url, "home's")
    assert run_pipeline(WORDS, "a").outputs_formatted() == [["a "]]
    assert client.get("/v4/pipelines").url == url + "/v4/pipelines"
    with pytest.raises(APIError, match="keeps no files"):
        run_pipeline(WORDS, io.BytesIO(b"a"))
    with pytest.raises(ConnectionRefusedError):
        client.get("/v4/pipelines", url="http://127.0.0.1:1")
    assert (Endpoint().url_of("/x"), Endpoint().token) == (url + "/x", "home's")
    assert Endpoint(token="mine").token == "mine"
    named = Endpoint(url="http://127.0.0.1:2")
    assert (named.port, named.token) == (2, "environment's"), "a configured token went to another server"
    fresh.add_remote("open", url)
    fresh.set_active_remote("open")
    assert Endpoint().token == "", "the environment's token went to a configured server"
    assert urllib.parse.urlsplit(Endpoint().url_of("")).netloc in url


def test_a_body_that_is_cut_is_an_exception(site):
    site.routes["GET /a"] = (200, b"abc", ("Content-Length", "10"), ("Connection", "close"))
    with pytest.raises(ConnectionBroken):
        client.get("/a", url=site.url, timeout_s=5)
