# SPDX-License-Identifier: MIT
"""What the client pipeline.cloud sends, and what it makes of answers: cut, odd, behind TLS."""

import asyncio
import contextlib
import json
import pathlib
import socket
import ssl
import subprocess
import threading

import pytest

from pipeline import File
from pipeline.cloud import pipelines
from pipeline.cloud.answers import Answer, ResultReader
from pipeline.cloud.errors import ApiError, CloudError, ConnectionBroken, RunFailed
from pipeline.cloud.pipelines import NoResourcesAvailable, run_pipeline, stream_pipeline
from pipeline.cloud.runs import poll_for_run_completion
from twins import BOTH_RUNS, BOTH_STREAMS, stream_async, stream_sync

WORDS = "my_user/my_pipeline:v1"


# ---- what is sent ------------------------------------------------------------------------------------

class Fake:
    """A server of one connection at a time: takes a request, sends what it was told to, and closes."""

    def __init__(self, *pieces, reset=False, wait=None):
        self.pieces = pieces
        self.reset = reset
        self.wait = wait
        self.request = b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        if self.wait:
            self.wait.set()
        self.listener.close()
        self.thread.join(10)

    def serve(self):
        connection, _ = self.listener.accept()
        with connection:
            connection.settimeout(10)
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(65536)
            head, _, body = head.partition(b"\r\n\r\n")
            length = next((int(line[15:]) for line in head.split(b"\r\n")
                           if line.lower().startswith(b"content-length:")), 0)
            while len(body) < length:
                body += connection.recv(65536)
            self.request = head + b"\r\n\r\n" + body
            for piece in self.pieces:
                connection.sendall(piece)
            if self.wait:
                self.wait.wait(10)
            if self.reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def body(self):
        return json.loads(self.request.partition(b"\r\n\r\n")[2])

    def fields(self):
        lines = self.request.partition(b"\r\n\r\n")[0].decode().split("\r\n")
        return lines[0], dict(line.split(": ", 1) for line in lines[1:])


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def line(value, state="running", error=None, run_id="run_1"):
    outputs = None if error else [{"type": "string", "value": value, "file": None}]
    return json.dumps({"id": run_id, "created_at": 1.5, "updated_at": 2.5, "pipeline_id": "pipeline_1",
                       "state": state, "queue_position": None, "inputs": None, "outputs": outputs,
                       "error": error}).encode() + b"\n"


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def plain_answer(status, body, *fields):
    return ("\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]) + "\r\n\r\n").encode() + body


def test_inputs_are_encoded_as_the_api_has_them():
    with Fake(HEAD + END) as fake:
        stream_sync(WORDS, "a", 5, 1.5, True, None, [1], (2,), {"b": None}, url=fake.url + "/base/", token="t")
    start, fields = fake.fields()
    assert start == "POST /base/v4/runs/stream HTTP/1.1"
    assert fields["Authorization"] == "Bearer t" and fields["Host"] == fake.url[len("http://"):]
    assert fields["Content-Type"] == "application/json"
    body = fake.body()
    assert body["pipeline"] == WORDS and body["async_run"] is False and body["wait_for_resources"] is None
    assert [(one["type"], one["value"]) for one in body["inputs"]] == [
        ("string", "a"), ("integer", 5), ("fp", 1.5), ("integer", True), ("none", None), ("array", [1]),
        ("array", [2]), ("dictionary", {"b": None})]
    assert all(list(one) == ["type", "value", "file_name", "file_path", "file_url"] for one in body["inputs"])


@BOTH_RUNS
def test_a_callback_is_said_where_there_is_one(run):
    for more, said in (({}, None), ({"callback_url": "http://host/a"}, "http://host/a")):
        with Fake(plain_answer("200 OK", line("x", "completed"))) as fake:
            run(WORDS, "a", async_run=True, url=fake.url, **more)
        assert fake.body().get("callback_url") == said and ("callback_url" in fake.body()) is bool(said)


def test_without_a_token_none_is_sent(monkeypatch):
    monkeypatch.delenv("PIPELINE_API_TOKEN", raising=False)
    with Fake(plain_answer("200 OK", line("x", "completed"))) as fake:
        assert run_pipeline(WORDS, async_run=True, url=fake.url).outputs_formatted() == ["x"]
    assert "Authorization" not in fake.fields()[1]
    assert fake.body()["async_run"] is True


@pytest.mark.parametrize("value, message", [
    (b"bytes", r"input 2 is of type bytes, .*: io.BytesIO\(\) of it"), ({1, 2}, "input 2 is of type set"),
    (pathlib.Path("x"), r"input 2 is of type PosixPath, .*: File\(path\) of it"), (float("nan"), "input 2 cannot be sent as JSON"),
    ([object()], "input 2 cannot be sent as JSON"), ({"a": [File(path="x"), b""]}, "input 2 cannot be .* type bytes .*BytesIO")])
def test_values_that_cannot_be_sent_are_refused_at_once(value, message):
    for call in (stream_pipeline, run_pipeline, pipelines.stream_pipeline_async):
        with pytest.raises((TypeError, ValueError), match=message):
            call(WORDS, "fine", value, url="http://127.0.0.1:1")


def test_bad_addresses_and_tokens_are_refused_at_once():
    for url in ("127.0.0.1:8080", "ftp://host", "http://", "http://host/?a=b"):
        with pytest.raises(ValueError, match="is no base URL"):
            stream_pipeline(WORDS, url=url)
    with pytest.raises(ValueError, match="line breaks"):
        stream_pipeline(WORDS, url="http://host", token="a\r\nX: y")
    with pytest.raises(TypeError, match="named by text"):
        stream_pipeline(5, url="http://host")


def test_nobody_at_the_address_is_an_error_of_the_system():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    for stream in (stream_sync, stream_async):
        with pytest.raises(ConnectionRefusedError):
            stream(WORDS, url=url)


# ---- broken connections ------------------------------------------------------------------------------

CUTS = {
    "before_a_head": ((), 0, "before an answer began"),
    "in_the_head": ((HEAD[:40],), 0, "before the answer's head was whole"),
    "after_the_head": ((HEAD,), 0, "before the answer was whole"),
    "after_a_line": ((HEAD, chunk(line("a"))), 1, "before the answer was whole"),
    "in_a_line": ((HEAD, chunk(line("a")), chunk(line("b")[:30])), 1, "before the answer was whole"),
    "in_a_chunk": ((HEAD, chunk(line("a")), b"50\r\n{"), 1, "before the answer was whole"),
    "in_a_chunk_size": ((HEAD, chunk(line("a")), b"5"), 1, "before the answer was whole"),
    "before_the_last_newline": ((HEAD, chunk(line("a")), b"0\r\n"), 1, "before the answer was whole"),
    "in_a_body_with_a_length": ((plain_answer("200 OK", line("a") + line("b"))[:-5],), 1, "answer was whole"),
    "without_a_framing": ((b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", line("a")), 1, "answer was whole"),
    "of_a_count": ((HEAD, chunk(line("a")), b"0\r\nMillrace-Run-Lines: 2\r\n\r\n"), 1, "1 lines came, of 2"),
}


@pytest.mark.parametrize("iterate", ["sync", "async"])
@pytest.mark.parametrize("name", CUTS)
def test_a_broken_connection_is_an_exception_after_the_results_that_came(name, iterate):
    pieces, count, message = CUTS[name]
    results = []

    async def collect(stream):
        async for result in stream:
            results.append(result)

    with Fake(*pieces) as fake, pytest.raises(ConnectionBroken, match=message) as caught:
        if iterate == "sync":
            for result in stream_pipeline(WORDS, url=fake.url):
                results.append(result)
        else:
            asyncio.run(collect(pipelines.stream_pipeline_async(WORDS, url=fake.url)))
    assert len(results) == count
    assert isinstance(caught.value, CloudError) and isinstance(caught.value, ConnectionError)


@BOTH_STREAMS
def test_a_reset_connection_is_an_exception(stream):
    with Fake(HEAD, reset=True) as fake, pytest.raises(ConnectionBroken, match="the connection broke"):
        stream(WORDS, url=fake.url)


@BOTH_STREAMS
def test_silence_is_a_timeout_when_a_limit_was_asked_for(stream):
    with Fake(HEAD, chunk(line("a")), wait=threading.Event()) as fake:
        with pytest.raises(TimeoutError, match="no sign of life from .* in 0.1 s"):
            stream(WORDS, url=fake.url, timeout_s=0.1)


@BOTH_RUNS
def test_an_empty_answer_to_a_run_is_an_exception(run):
    with Fake(HEAD, END) as fake, pytest.raises(ConnectionBroken, match="0 came"):
        run(WORDS, url=fake.url)


@BOTH_STREAMS
def test_a_line_comes_before_the_next_one_is_sent_and_blank_ones_are_skipped(stream):
    whole = line("a") + b"\n" + line("b") + b"  \r\n" + line("c")
    pieces = [chunk(whole[at:at + 7]) for at in range(0, len(whole), 7)]
    with Fake(HEAD, *pieces, b"0\r\nMillrace-Run-Lines: 3\r\n\r\n") as fake:
        assert [result.outputs_formatted() for result in stream(WORDS, url=fake.url)] == [["a"], ["b"], ["c"]]


def test_a_line_is_given_while_the_connection_is_open_and_silent():
    with Fake(HEAD + chunk(line("a")), wait=threading.Event()) as fake:
        with contextlib.closing(stream_pipeline(WORDS, url=fake.url)) as results:
            assert next(results).outputs_formatted() == ["a"]


# ---- other answers -----------------------------------------------------------------------------------

@BOTH_STREAMS
@pytest.mark.parametrize("status, body, text", [
    ("401 Unauthorized", b'{"detail":{"message":"Not authenticated."}}\n', "Not authenticated."),
    ("422 Unprocessable", b'{"detail":[{"loc":["body","inputs"],"msg":"field required"}]}', "body.inputs: field required"),
    ("413 Too Large", b'{"detail":"too large"}', "too large"),
    ("502 Bad Gateway", b"<html>bad gateway</html>", "<html>bad gateway</html>"),
    ("302 Found", b"", "nothing more"),
    ("200 OK", b'{"detail":"odd"}\n', "odd"),
    ("200 OK", b"no JSON\n", "no JSON"),
    ("200 OK", b"[1]\n", "[1]")])
def test_answers_that_are_no_results_are_exceptions(status, body, text, stream):
    with Fake(plain_answer(status, body, "Location: http://127.0.0.1:1/")) as fake:
        with pytest.raises(ApiError) as caught:
            stream(WORDS, url=fake.url)
    assert caught.value.status == int(status[:3]) and caught.value.text == text


@BOTH_RUNS
@pytest.mark.parametrize("status", [429, 503])
def test_refused_runs_are_no_resources_available(status, run):
    body = line(None, "no_resources_available", {"type": "pipeline_loading", "message": "loading", "traceback": None})
    with Fake(plain_answer(f"{status} No", body, "Retry-After: 7")) as fake:
        with pytest.raises(NoResourcesAvailable, match="pipeline_loading: loading") as caught:
            run(WORDS, url=fake.url)
    assert (caught.value.status, caught.value.retry_after_s, caught.value.run_id) == (status, 7, "run_1")


def test_a_run_that_was_refused_can_be_looked_up():
    with Fake(plain_answer("200 OK", line(None, "no_resources_available"))) as fake:
        assert poll_for_run_completion("run_1", url=fake.url).state == "no_resources_available"
    assert fake.fields()[0] == "GET /v4/runs/run_1 HTTP/1.1"


def test_failed_runs_are_results_whatever_the_status():
    body = line(None, "failed", {"type": "startup_error", "message": "no", "traceback": "a\nb"})
    with Fake(plain_answer("500 Internal Server Error", body)) as fake:
        result = run_pipeline(WORDS, url=fake.url)
    assert result.error.traceback == "a\nb"
    with pytest.raises(RunFailed, match="startup_error: no\na\nb"):
        result.outputs_formatted()


@pytest.mark.parametrize("reads_on", [True, False])
def test_an_answer_before_the_whole_request_was_sent_is_heard(reads_on):
    listener = socket.create_server(("127.0.0.1", 0))

    def refuse():
        connection, _ = listener.accept()
        connection.recv(100)
        connection.sendall(plain_answer("413 Too Large", b'{"detail":"too large"}'))
        connection.shutdown(socket.SHUT_WR)
        while reads_on and connection.recv(1 << 20):
            pass
        connection.close()  # a reset, while the client is still sending

    thread = threading.Thread(target=refuse, daemon=True)
    thread.start()
    with listener, pytest.raises(ApiError, match="too large"):
        run_pipeline(WORDS, "x" * 8_000_000, url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_s=10)
    thread.join(10)


# ---- the reader --------------------------------------------------------------------------------------

def test_an_answer_is_the_same_however_its_bytes_are_cut():
    whole = (b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + chunk(line("a") + line("b")[:20])
             + b"%X;ext=1\r\n" % len(line("b")[20:]) + line("b")[20:] + b"\r\n"
             + b"0\r\nMillrace-Run-Lines: 2\r\nMillrace-Run-State: completed\r\n\r\n")
    for size in range(1, len(whole) + 1):
        reader, values = ResultReader(), []
        for at in range(0, len(whole), size):
            assert not reader.is_done
            values += [result.outputs_formatted()[0] for result in reader.feed(whole[at:at + size])]
        assert values == ["a", "b"] and reader.is_done, size
    assert reader.answer.trailers["millrace-run-state"] == "completed"


@pytest.mark.parametrize("data", [
    b"SSH-2.0-x\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 20\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    HEAD + b"zz\r\n", HEAD + b"\r\n", HEAD + b"-5\r\n", HEAD + b"1\r\nab\r\n", HEAD + b"1" * 5000,
    b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20000])
def test_what_is_no_http_is_an_exception(data):
    with pytest.raises(ConnectionBroken, match="is no HTTP"):
        Answer().feed(data)


# ---- https -------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(folder / "key.pem"),
                    "-out", str(folder / "cert.pem")], check=True, capture_output=True, timeout=60)
    return folder


@pytest.mark.parametrize("stream", [stream_sync, stream_async])
@pytest.mark.parametrize("cut", [False, True])
def test_https_is_verified_and_a_cut_is_noticed(certificate, stream, cut):
    inner = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inner.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"https://127.0.0.1:{listener.getsockname()[1]}"

    def serve():
        for _ in range(2):
            connection, _ = listener.accept()
            with contextlib.suppress(OSError), inner.wrap_socket(connection, server_side=True) as secure:
                secure.recv(65536)
                secure.sendall(HEAD + chunk(line("a")) + (b"" if cut else END))
                if cut:
                    secure.shutdown(socket.SHUT_RDWR)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with listener:
        with pytest.raises(ssl.SSLCertVerificationError):
            stream(WORDS, url=url)
        trusted = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
        if cut:
            with pytest.raises(ConnectionBroken):
                stream(WORDS, url=url, ssl_context=trusted)
        else:
            assert stream(WORDS, url=url, ssl_context=trusted)[0].outputs_formatted() == ["a"]
        thread.join(10)
