# SPDX-License-Identifier: MIT
"""The commands that ask a running server over its control socket, and what they make of any answer."""

import json
import os
import socket
import stat
import subprocess
import threading

import pytest

from control_server import answering, pipeline, state, worker
from server import MILLRACE, SLOWNESS

OK, FAILED, USAGE, CONNECT = 0, 1, 2, 8
TIMEOUT_S = 30 * SLOWNESS
USER = 65534

LONG = "me/a-rather-long-name-of-a-pipeline/that-goes-on:v1-beta"


def millrace(*arguments, control=None, user=None, environment=None):
    at = ["--control", getattr(control, "path", control)] if control else []
    return subprocess.run([MILLRACE, *arguments, *at], capture_output=True, text=True, timeout=TIMEOUT_S, user=user,
                          env={**os.environ, **(environment or {})}, check=False)


def says(result, code, line):
    """One line on stderr that has the text, nothing on stdout, and the exit code."""
    assert (result.returncode, result.stdout) == (code, ""), result
    assert result.stderr.startswith("millrace: ") and result.stderr.count("\n") == 1, result
    assert line in result.stderr, result


@pytest.fixture
def asked(tmp_path):
    """asked({ROUTE: ANSWER}) is a server that answers so; it ends with the test."""
    started = []

    def begin(routes):
        started.append(answering(tmp_path, routes))
        return started[-1].__enter__()

    yield begin
    for one in started:
        one.__exit__(None, None, None)


# ---- whoever answers, or does not ------------------------------------------------------------------


def test_without_a_server_the_path_is_said_and_how_to_have_one(tmp_path):
    path = str(tmp_path / "control.sock")
    result = millrace("ps", control=path)
    says(result, CONNECT, f"ps: no server answers at {path}: No such file or directory: millrace serve --control PATH")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    says(millrace("ps", control=path), CONNECT, f"{path}: Connection refused")
    says(millrace("ps", control="/" + 107 * "x"), FAILED, "has more than 107 bytes")


def test_without_a_path_the_usual_one_is_asked(tmp_path, asked):
    control = asked({"/control/state": state()})
    assert millrace("ps", environment={"RUNTIME_DIRECTORY": str(tmp_path)}).returncode == OK
    assert control.requests == [("GET", "/control/state", None)]
    result = millrace("ps", environment={"RUNTIME_DIRECTORY": str(tmp_path / "other")})
    says(result, CONNECT, f"no server answers at {tmp_path}/other/control.sock")


def test_a_proxy_of_the_environment_is_not_asked(asked):
    control = asked({"/control/state": state()})
    assert millrace("ps", control=control, environment={"http_proxy": "http://127.0.0.1:1"}).returncode == OK


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else for a moment")
def test_who_may_not_open_the_socket_is_told_whose_it_is(asked):
    control = asked({"/control/state": state()})
    os.chmod(control.path, 0o600)
    folder = os.path.dirname(control.path)
    while folder != "/":
        os.chmod(folder, stat.S_IMODE(os.stat(folder).st_mode) | 0o011)
        folder = os.path.dirname(folder)
    says(millrace("ps", control=control, user=USER), CONNECT, "Permission denied: it is for root and for the user")


@pytest.mark.parametrize("answer, line", [
    ((403, {"detail": "not you\x1b[2J"}), "ps: the server refuses: not you?[2J"),
    ((500, {"detail": "no memory"}), "ps: no memory"),
    ((500, b"<html>"), "the answer has the status 500"),
    (b"<html>", "what is answered there is none of a server's"),
    (b"", "what is answered there is none of a server's"),
    ([1], "what is answered there is none of a server's"),
    ({"server": 1}, "what the server says of its state cannot be read"),
    ({"server": {}, "pipelines": [1]}, "what the server says of its state cannot be read"),
])
def test_an_answer_that_is_an_error_or_none_is_one_line(asked, answer, line):
    says(millrace("ps", control=asked({"/control/state": answer})), FAILED, line)


@pytest.mark.parametrize("answer, line", [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"server\":", "the answer was cut"),
    (b"HTTP/1.1 200 OK\r\n\r\n{\"server\":{}}", "the answer was cut"),
    (b"", "the answer was cut"),
    (b"SSH-2.0-x\r\n", "control.sock: "),
])
def test_an_answer_that_was_cut_is_one_line(tmp_path, answer, line):
    path = str(tmp_path / "control.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve():
            with listener.accept()[0] as client:
                client.recv(65536)
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        result = millrace("ps", control=path)
        thread.join()
    says(result, FAILED, line)


# ---- ps --------------------------------------------------------------------------------------------


TABLE = """\
millrace 0.1.0, pid 4242, up 3m12s, serving on 127.0.0.1:8080
3 connections, 3 runs, 0 queued; configuration 3, the next is being read

PIPELINE                    STATE       ACTIVE   QUEUED  WORKERS
  WORKER                    STATE       ACTIVE RESTARTS      PID    AGE  MEMORY
me/words:v1                 ready            2        0      2/2 (1-8)
  0                         ready            1        0     4711  3m12s   12.3M
  1                         ready            1        3  4194303  3d04h   12.3M
{LONG}
                            quarantined      1        0      0/1 leaving drained
  it dies ?[2J again and again, for a reason that has no end, no end, no end, n~
  0                         spawning         1        0        -      -       -

ALIAS                       RUNS                        WEIGHT
me/chat:prod                me/chat:v2                      90
                            me/chat:v3                      10
me/other:prod               me/words:v1
""".replace("{LONG}", LONG)


def test_ps_shows_pipelines_workers_and_aliases_in_80_columns(asked):
    words = pipeline(workers=[worker(0), worker(1, restarts=3, age_s=86400 * 3 + 3600 * 4, pid=4194303)],
                     workers_min=1, workers_max=8)
    dies = pipeline(LONG, state="quarantined", drained=True, phase="leaving",
                    error="it dies \x1b[2J again and again, for a reason that has" + 9 * " no end,",
                    workers=[worker(0, state="spawning", pid=None, age_s=None, memory_bytes=None)])
    control = asked({"/control/state": state(words, dies, pid=4242, reload={"state": "reading"}, aliases=[
        {"pointer": "me/chat:prod", "targets": [{"pointer": "me/chat:v2", "weight": 90},
                                                {"pointer": "me/chat:v3", "weight": 10}]},
        {"pointer": "me/other:prod", "targets": [{"pointer": "me/words:v1", "weight": 1}]}])})
    result = millrace("ps", control=control)
    assert (result.returncode, result.stderr) == (OK, "")
    assert result.stdout == TABLE
    assert max(len(line) for line in TABLE.splitlines()) == 80


def test_with_json_an_answer_is_printed_as_it_came(asked):
    answer = state(pipeline())
    control = asked({"/control/state": json.dumps(answer, indent=1).encode() + b"\r\n\n"})
    result = millrace("ps", "--json", control=control)
    assert (result.returncode, result.stderr) == (OK, "")
    assert result.stdout.count("\n") == 1 and json.loads(result.stdout) == answer


def test_ps_shows_a_server_that_has_nothing(asked):
    result = millrace("ps", control=asked({"/control/state": state()}))
    assert result.returncode == OK and len(result.stdout.splitlines()) == 2
