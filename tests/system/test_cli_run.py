# SPDX-License-Identifier: MIT
"""`millrace run` as people meet it: what it reads and prints, how it ends, and what --timing says."""

import contextlib
import datetime
import json
import os
import pty
import re
import signal
import socket
import subprocess
import threading

import pytest

import server as servers
from server import MILLRACE, SLOWNESS, example
from test_cli import CONNECT, FAILED, OK, TIMEOUT_S, USAGE, millrace, says


@pytest.fixture(scope="module")
def url(start_shared):
    return start_shared("me/words:v1=" + example("words.so"), example("echo.so"), example("numbers.so")).url


def run(url, *arguments, **options):
    return millrace("run", *arguments, environment={"PIPELINE_API_URL": url}, **options)


@contextlib.contextmanager
def running(*arguments, **options):
    """A process that does not outlive the test, whatever happens in it."""
    with subprocess.Popen([MILLRACE, *arguments], stdout=subprocess.PIPE, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def test_only_clients_load_libcurl_and_say_so_when_they_cannot(start_shared, url, tmp_path):
    server = start_shared(example("numbers.so"))
    with open(f"/proc/{server.process.pid}/maps", encoding="utf-8") as maps:
        assert "libcurl" not in maps.read()
    (tmp_path / "libcurl.so.4").write_bytes(b"")
    for command in (["run", "me/words:v1", "x"], ["bench", "me/words:v1", "x"]):
        result = millrace(*command, "--url", url, environment={"LD_LIBRARY_PATH": str(tmp_path)})
        says(result, FAILED, f"{command[0]}: cannot load libcurl: {tmp_path}/libcurl.so.4: file too short")


def test_run_shows_no_terminal_what_a_value_says_to_steer_it(url):
    words = [MILLRACE, "run", "local/echo:v1", '{"a":"é\\u001b[2J\\u009b\\u202e\\n"}', "--url", url]
    ours, theirs = pty.openpty()
    with subprocess.Popen(words, stdout=theirs) as process:
        os.close(theirs)
        assert process.wait(timeout=TIMEOUT_S) == OK
    assert os.read(ours, 4096) == "é?[2J?????\r\n\r\n".encode()
    os.close(ours)
    assert subprocess.run(words, check=True, capture_output=True).stdout == "é\x1b[2J\x9b\u202e\n\n".encode()


def test_run_prints_strings_as_they_are_and_other_values_as_json(url):
    assert run(url, "me/words:v1", "hello there").stdout == "hello \nthere \n"
    values = '{"a":"é\\u0000\\n","b":18446744073709551615,"c":0.1,"d":[1,null,{"e":"f"}],"g":true}'
    assert run(url, "local/echo:v1", values).stdout == 'é\0\n\n18446744073709551615\n0.1\n[1,null,{"e":"f"}]\ntrue\n'


def test_run_keeps_every_digit_of_an_integer(url):
    for integer in (2**53 + 1, -(2**63), 2**64 - 1):
        assert run(url, "local/echo:v1", '{"i":%d}' % integer).stdout == f"{integer}\n"


def test_run_reads_each_input_by_its_type(url):
    result = run(url, "local/numbers:v1", "2", "7", "0")
    assert [json.loads(line)["chunk"] for line in result.stdout.splitlines()] == ["7", "7"]
    says(run(url, "local/numbers:v1", "two", "7", "0"), USAGE, "input 1: it is of type integer, which is written as JSON")
    says(run(url, "local/echo:v1", "{a}"), USAGE, "input 1: it is of type dictionary, which is written as JSON")


def test_run_reads_inputs_from_files_and_stdin(url, tmp_path):
    path = tmp_path / "value"
    path.write_text("from a file\n")
    assert run(url, "me/words:v1", f"@{path}").stdout == "from \na \nfile \n"
    assert run(url, "me/words:v1", "@-", stdin="x" * 100000 + " y").stdout == "x" * 100000 + " \ny \n"
    assert run(url, "me/words:v1", "@@home").stdout == "@home \n"
    assert run(url, "me/words:v1", "--", "--json").stdout == "--json \n"
    path.write_text('{"a":1}')
    assert run(url, "local/echo:v1", f"@{path}").stdout == "1\n"
    says(run(url, "me/words:v1", "@/nowhere"), FAILED, "input 1: /nowhere: No such file or directory")


def test_run_refuses_text_that_is_not_utf8(url):
    result = run(url, "me/words:v1", "@-", stdin=b"a\xff", text=False)
    assert (result.returncode, result.stdout) == (USAGE, b"")
    assert result.stderr == b"millrace: run: input 1: the text is not UTF-8\n"


def test_run_with_json_prints_the_lines_of_the_server(url):
    result = run(url, "me/words:v1", "a b", "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["outputs"][0]["value"] for line in lines] == ["a ", "b "]
    assert len({line["id"] for line in lines}) == 1


def test_run_finds_a_pipeline_by_its_id(url):
    described = json.loads(run(url, "me/words:v1", "a", "--json").stdout)
    assert run(url, described["pipeline_id"], "a").stdout == "a \n"


def test_run_says_what_the_server_refused(url):
    says(run(url, "me/nothing:v1", "a"), FAILED, "the server answered with status 404: Pipeline not found; this server has "
         "me/words:v1")
    says(run(url, "me/words:v1"), FAILED, "input_error: ")


def test_an_interrupt_cancels_the_run(start):
    server = start(example("numbers.so"))
    with running("run", "local/numbers:v1", "1000000", "x", "10", "--url", server.url) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_S) == -signal.SIGINT
    servers.wait_until(lambda: server.metric("millrace_runs") == 0, what="the end of the run")


def test_a_reader_that_leaves_ends_the_run(url):
    with running("run", "local/numbers:v1", "1000000", "x", "1", "--url", url, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b"millrace: run: cannot write to stdout: Broken pipe\n"
        assert process.wait(TIMEOUT_S) == FAILED


def test_run_says_when_no_server_answers():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        says(millrace("run", "me/words:v1", "--url", "http://127.0.0.1:%d" % bound.getsockname()[1]), CONNECT,
             "Couldn't connect to server")


class FakeServer:
    """Answers the question for the variables, and then a run with the bytes it was given, and the question
    for that run if there is an answer to it. It takes no other connection: a run that is sent again waits
    for ever."""

    DESCRIPTION = b'{"input_variables":[]}'

    def __init__(self, answer, rest=b"", run=None):
        self.answer = answer
        self.run = [run] if run else []
        self.rest = rest
        self.go_on = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(TIMEOUT_S)
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve)

    def serve(self):
        length = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self.DESCRIPTION)
        for answer in (length + self.DESCRIPTION, self.answer, *self.run):
            connection = self.listener.accept()[0]
            with connection:
                connection.settimeout(TIMEOUT_S)
                self.read_request(connection)
                connection.sendall(answer)
                if answer is self.answer and self.rest and self.go_on.wait(TIMEOUT_S):
                    connection.sendall(self.rest)

    @staticmethod
    def read_request(connection):
        text = b""
        while b"\r\n\r\n" not in text:
            text += connection.recv(65536)
        head, _, body = text.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        while length and len(body) < int(length[1]):
            body += connection.recv(65536)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join(TIMEOUT_S)
        self.listener.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
LINE = b'{"id":"run_1","state":"running","outputs":[{"type":"integer","value":7,"file":null}],"error":null}\n'
CHUNK = b"%x\r\n%s\r\n" % (len(LINE), LINE)
FAILED_LINE = b'{"id":"run_1","state":"failed","outputs":null,"error":null}\n'
TRAILERS = b"0\r\nMillrace-Run-State: %s\r\nMillrace-Run-Lines: %d\r\n\r\n"


@pytest.mark.parametrize("answer, code, printed, line", [
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK + TRAILERS % (b"completed", 1), OK, "7\n", ""),
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK + b"0\r\n\r\n", OK, "7\n", ""),
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n" + CHUNK + b"0\r\n\r\n", OK, "7\n", ""),
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK, FAILED, "7\n", "transfer closed"),
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK[:-20], FAILED, "", "transfer closed"),
    (HEAD + b"\r\n" + LINE, FAILED, "7\n", "nothing says that this was all"),
    (HEAD + b"Content-Length: 1000\r\n\r\n" + LINE, FAILED, "7\n", "transfer closed"),
    (HEAD + b"Content-Length: %d\r\n\r\n" % len(LINE) + LINE, OK, "7\n", ""),
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK + TRAILERS % (b"completed", 2), FAILED, "7\n",
     "1 lines came, the server counts 2"),
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK + TRAILERS % (b"failed", 1), FAILED, "7\n",
     "the run is failed"),
    (HEAD + b"Content-Length: 9\r\n\r\n{nothing}", FAILED, "", "line 1 of the answer is no result"),
    (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>", FAILED, "", "status 502"),
    (b"", FAILED, "", "Empty reply from server"),
    (HEAD + b"Content-Length: %d\r\n\r\n" % len(FAILED_LINE) + FAILED_LINE, FAILED, "", "the answer does not say why"),
    (b"no HTTP at all\r\n\r\n", FAILED, "", "Received HTTP/0.9"),
])
def test_a_silent_end_always_means_that_the_run_completed(answer, code, printed, line):
    with FakeServer(answer) as fake:
        result = millrace("run", "me/words:v1", "--url", fake.url)
    assert (result.returncode, result.stdout) == (code, printed), result.stderr
    assert line in result.stderr
    assert result.stderr.count("\n") == (0 if code == OK else 1)


def test_run_prints_each_line_as_it_comes():
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    with FakeServer(chunked + CHUNK, CHUNK + TRAILERS % (b"completed", 2)) as fake:
        with running("run", "me/words:v1", "--url", fake.url) as process:
            assert process.stdout.readline() == b"7\n"
            fake.go_on.set()
            assert process.stdout.read() == b"7\n"
            assert process.wait(TIMEOUT_S) == OK


def test_a_failed_run_prints_its_outputs_then_its_error_and_traceback():
    error = {"type": "pipeline_error", "message": "it\nbroke \033[31m", "traceback": "one\n  two\n"}
    last = json.dumps({"state": "failed", "outputs": None, "error": error}).encode() + b"\n"
    answer = HEAD + b"Content-Length: %d\r\n\r\n" % (len(LINE) + len(last)) + LINE + last
    with FakeServer(answer) as fake:
        result = millrace("run", "me/words:v1", "--url", fake.url)
    assert (result.returncode, result.stdout) == (FAILED, "7\n")
    assert result.stderr == "millrace: run: pipeline_error: it broke ?[31m\none\n  two\n"


def test_several_outputs_of_a_line_are_separated_by_tabs():
    outputs = [{"type": "string", "value": "a", "file": None}, {"type": "none", "value": None, "file": None}]
    line = json.dumps({"outputs": outputs, "error": None}).encode() + b"\n"
    with FakeServer(HEAD + b"Content-Length: %d\r\n\r\n" % len(line) + line) as fake:
        assert millrace("run", "me/words:v1", "--url", fake.url).stdout == "a\tnull\n"


# ---- run --timing ----------------------------------------------------------------------------------


TIMES = ("run", "queued", "started", "first chunk", "ended", "worker", "attempt")


def timing_of(result):
    """The seven lines at the end of stderr, by name; times after the first one are numbers."""
    lines = [re.fullmatch(r"(.{11})  (\S.*)", line).groups() for line in result.stderr.splitlines()[-len(TIMES):]]
    assert tuple(name.rstrip() for name, _ in lines) == TIMES, result.stderr
    found = {name.rstrip(): value for name, value in lines}
    for name in ("started", "first chunk", "ended"):
        after = re.fullmatch(r"after (\d+\.\d{3}) s", found[name])
        found[name] = float(after[1]) if after else found[name]
    return found


def test_timing_is_said_on_stderr_after_the_run(url):
    plain, result = run(url, "local/numbers:v1", "3", "x", "50"), run(url, "local/numbers:v1", "3", "x", "50", "--timing")
    assert (result.returncode, result.stdout.count("\n"), result.stderr.count("\n")) == (OK, 3, len(TIMES))
    assert plain.stderr == ""
    times = timing_of(result)
    assert re.fullmatch(r"run_[0-9a-f]{32}", times["run"])
    queued = datetime.datetime.fromisoformat(times["queued"].replace("Z", "+00:00"))
    assert abs((datetime.datetime.now(datetime.timezone.utc) - queued).total_seconds()) < 60
    assert 0 <= times["started"] <= times["first chunk"] < times["ended"]
    assert 0.05 - 0.002 <= times["first chunk"] and times["ended"] >= 0.15 - 0.002
    assert (times["worker"], times["attempt"]) == ("0", "1")


def test_timing_says_what_never_was_and_leaves_the_exit_code_alone(start):
    server = start(example("misbehave.so"), example("numbers.so"), options=["--concurrency", "1", "--queue", "0"])
    failed = run(server.url, "local/misbehave:v1", "fail_errno", "0", "0", "--timing")
    assert failed.returncode == FAILED and failed.stderr.startswith("millrace: run: pipeline_error: ")
    assert (timing_of(failed)["first chunk"], timing_of(failed)["worker"]) == ("never", "0")
    with server.stream("local/numbers:v1", 100000, "x", 20) as stream:
        stream.next()
        refused = timing_of(run(server.url, "local/numbers:v1", "1", "x", "0", "--timing"))
    assert (refused["started"], refused["first chunk"], refused["worker"], refused["attempt"]) == (
        "never", "never", "none", "0")
    assert refused["ended"] < 5 * SLOWNESS


def test_without_a_line_there_is_nothing_to_look_up(url):
    result = run(url, "local/numbers:v1", "0", "x", "0", "--timing")
    assert (result.returncode, result.stdout) == (OK, "")
    assert result.stderr == "millrace: run: no times: no line came that names the run\n"


@pytest.mark.parametrize("name", ["run_" + "/" * 32, "run_" + "0" * 31, "run_" + "\u001b" * 32, "x", 7, None])
def test_what_is_no_id_of_a_run_is_not_looked_up(name):
    line = json.dumps({"id": name, "outputs": [{"value": 7}], "error": None}).encode() + b"\n"
    with FakeServer(HEAD + b"Content-Length: %d\r\n\r\n" % len(line) + line) as fake:
        result = millrace("run", "me/words:v1", "--timing", "--url", fake.url)
    assert (result.returncode, result.stdout) == (OK, "7\n")
    assert result.stderr == "millrace: run: no times: no line came that names the run\n"


@pytest.mark.parametrize("status,run,said", [
    (404, b'{"detail":{"message":"Run not found"}}', "millrace: run: no times: the server answered with status 404\n"),
    (200, b"<html>", "millrace: run: no times: what the server says of the run is not JSON: "),
    (200, b"", "millrace: run: no times: what the server says of the run is not JSON: "),
    (200, b"[]", "queued       not known\nstarted      not yet\n"),
    (200, b'{"times":7,"worker":"x","attempt":{}}', "queued       not known\nstarted      not yet\n"),
    (200, b'{"times":{"queued":1e300,"started":null,"ended":2e300}}', "queued       not known\nstarted      never\n"),
    (200, b'{"times":{"queued":-1.5,"started":0}}',
     "queued       1969-12-31T23:59:58.500Z\nstarted      after 1.500 s\n"),
])
def test_whatever_the_server_says_of_the_run_is_no_harm(status, run, said):
    line = json.dumps({"id": "run_" + "0" * 32, "outputs": [{"value": 7}], "error": None}).encode() + b"\n"
    looked_up = b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(run)) + run
    with FakeServer(HEAD + b"Content-Length: %d\r\n\r\n" % len(line) + line, run=looked_up) as fake:
        result = millrace("run", "me/words:v1", "--timing", "--url", fake.url)
    assert (result.returncode, result.stdout) == (OK, "7\n")
    assert said in result.stderr and "\x1b" not in result.stderr
