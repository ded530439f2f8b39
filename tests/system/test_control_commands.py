# SPDX-License-Identifier: MIT
"""The commands that ask a running server over its control socket, and what they make of any answer."""

import contextlib
import json
import os
import pty
import signal
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


def test_what_somebody_else_may_have_put_at_the_usual_path_is_not_asked(tmp_path, asked):
    control = asked({"/control/state": state()})
    os.chmod(tmp_path, 0o777)
    result = millrace("ps", environment={"RUNTIME_DIRECTORY": str(tmp_path)})
    says(result, FAILED, f"ps: {tmp_path} is not a folder that is ours alone to write in")
    assert not control.requests
    assert millrace("ps", control=control).returncode == OK


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_the_folder_of_another_user_in_tmp_is_not_looked_in():
    user, folder = 4712, "/tmp/millrace-4712"
    os.mkdir(folder, 0o755)
    try:
        os.chown(folder, user + 1, user + 1)
        environment = {"RUNTIME_DIRECTORY": "", "XDG_RUNTIME_DIR": ""}
        says(millrace("ps", user=user, environment=environment), FAILED, f"{folder} is not a folder that is ours")
        os.chown(folder, user, user)
        says(millrace("ps", user=user, environment=environment), CONNECT, f"no server answers at {folder}/control.sock")
    finally:
        os.rmdir(folder)


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


def test_who_is_refused_is_told_so(asked):
    control = asked({"/control/state": (403, {"detail": "not you\x1b[2J"})})
    says(millrace("ps", control=control), CONNECT, "ps: the server refuses: not you?[2J")


@pytest.mark.parametrize("answer, line", [
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

ALIAS                       LEADS TO                    WEIGHT     RUNS
me/chat:prod                me/chat:v2                      90     8991
                            me/chat:v3                      10     1009
me/other:prod               ~long-name-of-a-pipeline:v1      1        0
""".replace("{LONG}", LONG)


def test_ps_shows_pipelines_workers_and_aliases_in_80_columns(asked):
    words = pipeline(workers=[worker(0), worker(1, restarts=3, age_s=86400 * 3 + 3600 * 4, pid=4194303)],
                     workers_min=1, workers_max=8)
    dies = pipeline(LONG, state="quarantined", drained=True, phase="leaving",
                    error="it dies \x1b[2J again and again, for a reason that has" + 9 * " no end,",
                    workers=[worker(0, state="spawning", pid=None, age_s=None, memory_bytes=None)])
    control = asked({"/control/state": state(words, dies, pid=4242, reload={"state": "reading"}, aliases=[
        {"pointer": "me/chat:prod", "targets": [{"pointer": "me/chat:v2", "weight": 90, "runs": 8991},
                                                {"pointer": "me/chat:v3", "weight": 10, "runs": 1009}]},
        {"pointer": "me/other:prod", "targets": [{"pointer": "me/that-has-a-very-long-name-of-a-pipeline:v1", "weight": 1,
                                                  "runs": 0}]}])})
    result = millrace("ps", control=control)
    assert (result.returncode, result.stderr) == (OK, "")
    assert result.stdout == TABLE
    assert max(len(line) for line in TABLE.splitlines()) == 80


DEVICES = """\
PIPELINE           STATE       ACTIVE   QUEUED  WORKERS
  WORKER           STATE       ACTIVE RESTARTS      PID    AGE  MEMORY
me/words:v1        ready            3        0      2/3
  0 cuda:2         ready            1        0     4711  3m12s   12.3M
  12 level-zero:31 ready            1        0     4723  3m12s   12.3M
  13               spawning         1        0        -      -       -
"""


def test_ps_shows_the_device_of_a_worker_behind_its_number(asked):
    words = pipeline(workers=[worker(0, device={"kind": "cuda", "index": 2, "uuid": "GPU-a"}),
                              worker(12, device={"kind": "level-zero", "index": 31, "uuid": None}),
                              worker(13, state="spawning", pid=None, age_s=None, memory_bytes=None, device=None)])
    result = millrace("ps", control=asked({"/control/state": state(words)}))
    assert (result.returncode, result.stderr) == (OK, "")
    assert result.stdout.split("\n\n")[1] == DEVICES


def test_with_json_an_answer_is_printed_as_it_came(asked):
    answer = state(pipeline())
    control = asked({"/control/state": json.dumps(answer, indent=1).encode() + b"\r\n\n"})
    result = millrace("ps", "--json", control=control)
    assert (result.returncode, result.stderr) == (OK, "")
    assert result.stdout.count("\n") == 1 and json.loads(result.stdout) == answer


def test_ps_shows_a_server_that_has_nothing(asked):
    result = millrace("ps", control=asked({"/control/state": state()}))
    assert result.returncode == OK and len(result.stdout.splitlines()) == 2


# ---- reload ----------------------------------------------------------------------------------------


def test_reload_says_what_was_different(asked):
    control = asked({"/control/reload": {
        "result": "done", "generation": 4, "ms": 120, "added": ["me/a:v1"], "replaced": ["me/b:v1", "me/c:v1"],
        "removed": ["me/d:v1"], "changed": ["me/e:v1"], "kept": ["me/f:v1"], "aliases": ["me/g:prod"],
        "failed": [], "errors": [], "restart_keys": ["ring"]}})
    result = millrace("reload", control=control)
    assert (result.returncode, result.stderr) == (OK, "")
    assert result.stdout == ("added     me/a:v1\nreplaced  me/b:v1\nreplaced  me/c:v1\nremoved   me/d:v1\n"
                             "changed   me/e:v1\nkept      me/f:v1\nalias     me/g:prod\n"
                             "restart   ring is different, which needs a restart of the server\n"
                             "configuration 4 is served, after 120 ms\n")
    assert control.requests == [("POST", "/control/reload", {"wait": True})]


def test_a_reload_that_failed_says_why_a_line_each(asked):
    answer = {"result": "failed", "generation": 3, "ms": 1, "errors": ["a.yaml:3:5: unknown key\nx\x1b", "a.yaml:4:1: no"],
              "failed": [{"pointer": "me/a:v1", "reason": "it dies"}], "kept": ["me/b:v1"]}
    control = asked({"/control/reload": answer})
    result = millrace("reload", control=control)
    assert (result.returncode, result.stdout) == (FAILED, "kept      me/b:v1\n")
    assert result.stderr == ("a.yaml:3:5: unknown key x?\na.yaml:4:1: no\nmillrace: reload: me/a:v1: it dies\n"
                             "millrace: reload: nothing has changed, configuration 3 is served\n")
    control.routes["/control/reload"] = {**answer, "errors": []}
    assert millrace("reload", control=control).stderr.endswith("configuration 3 is served, not all of the file\n")
    control.routes["/control/reload"] = answer
    result = millrace("reload", "--json", control=control)
    assert result.returncode == FAILED and json.loads(result.stdout) == answer
    control.routes["/control/reload"] = (409, {"detail": "the server has no --config"})
    says(millrace("reload", control=control), FAILED, "reload: the server has no --config")


def test_reload_can_leave_when_it_has_begun(asked):
    control = asked({"/control/reload": {"result": "started", "generation": 3}})
    result = millrace("reload", "--no-wait", control=control)
    assert (result.returncode, result.stdout, result.stderr) == (OK, "begun\n", "")
    assert control.requests == [("POST", "/control/reload", {"wait": False})]


# ---- drain and resume ------------------------------------------------------------------------------


def emptied(*states):
    """Answers with one after the other, and with the last one again and again."""
    left = list(states)
    return lambda body: left.pop(0) if len(left) > 1 else left[0]


def test_drain_waits_until_a_pipeline_is_empty_and_says_how_far_it_is(asked):
    def of(active, queued, phase="leaving"):
        return state(pipeline(active=active, queued=queued, drained=True), pipeline("me/other:v1", active=9),
                     pipeline(active=1 if active else 0, phase=phase))

    control = asked({"/control/state": emptied(of(2, 1), of(2, 1), of(1, 0), of(0, 0)),
                     "/control/drain": {"pipelines": [{"pointer": "me/words:v1", "drained": True, "active": 2, "queued": 1}]}})
    result = millrace("drain", "me/words:v1", control=control)
    assert (result.returncode, result.stderr) == (OK, "")
    assert result.stdout == ("me/words:v1: 3 runs, 1 waiting\nme/words:v1: 2 runs, 0 waiting\n"
                             "me/words:v1: 0 runs, 0 waiting\n")
    assert control.requests[0] == ("POST", "/control/drain", {"pipeline": "me/words:v1"})
    assert len(control.requests) == 5 and len(control.connections) == 1


def test_drain_of_a_server_waits_for_all_of_its_runs(asked):
    busy, empty = state(pipeline(), state="drained"), state(pipeline(active=0), state="drained")
    control = asked({"/control/state": emptied(busy, empty), "/control/drain": {"pipelines": []}})
    result = millrace("drain", control=control)
    assert (result.returncode, result.stdout) == (OK, "all: 1 run, 0 waiting\nall: 0 runs, 0 waiting\n")
    assert control.requests[0] == ("POST", "/control/drain", {})


@pytest.mark.parametrize("pointer", [["me/words:v1"], []])
def test_drain_ends_with_an_error_when_its_time_is_over_or_it_is_resumed(asked, pointer):
    control = asked({"/control/state": state(pipeline(drained=True), state="drained"), "/control/drain": {"pipelines": []}})
    result = millrace("drain", *pointer, "--timeout", "100ms", control=control)
    assert result.returncode == FAILED and result.stderr == "millrace: drain: 1 run is left, and 0 wait\n"
    control.routes["/control/state"] = state(pipeline())
    result = millrace("drain", *pointer, control=control)
    assert result.returncode == FAILED and "somebody has it take runs again" in result.stderr


def test_drain_on_a_terminal_is_one_line(asked):
    control = asked({"/control/state": emptied(state(pipeline(active=12, drained=True)), state(pipeline(active=0, drained=True))),
                     "/control/drain": {"pipelines": []}})
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        subprocess.run([MILLRACE, "drain", "me/words:v1", "--control", control.path], stdout=theirs, timeout=TIMEOUT_S,
                       check=True)
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the end of a terminal that nobody has
            while piece := terminal.read(4096):
                shown += piece
    assert shown == b"\rme/words:v1: 12 runs, 0 waiting\x1b[K\rme/words:v1: 0 runs, 0 waiting\x1b[K\r\n"


def test_drain_and_resume_print_what_the_server_says_of_pipelines(asked):
    answer = {"pipelines": [{"pointer": "me/words:v1", "drained": True, "active": 1, "queued": 4}]}
    control = asked({"/control/drain": answer, "/control/resume": answer})
    result = millrace("drain", "--no-wait", control=control)
    assert (result.returncode, result.stdout) == (OK, "me/words:v1 takes no more runs: it has 1 run, and 4 wait\n")
    result = millrace("resume", "me/words:v1", control=control)
    assert (result.returncode, result.stdout) == (FAILED, "me/words:v1 takes no runs: all of the server is drained\n")
    assert millrace("resume", "me/words:v1", "--json", control=control).returncode == FAILED
    answer["pipelines"][0]["drained"] = False
    result = millrace("resume", "me/words:v1", control=control)
    assert (result.returncode, result.stdout) == (OK, "me/words:v1 takes runs\n")
    assert json.loads(millrace("resume", "--json", control=control).stdout) == answer
    assert [body for _, _, body in control.requests] == [{}, *3 * [{"pipeline": "me/words:v1"}], {}]
    control.routes["/control/resume"] = (404, {"detail": "there is no pipeline me/x:v1"})
    says(millrace("resume", "me/x:v1", control=control), FAILED, "resume: there is no pipeline me/x:v1")


# ---- scale and restart -----------------------------------------------------------------------------


def test_scale_gives_one_number_or_two(asked):
    control = asked({"/control/scale": {"pointer": "me/words:v1", "workers_min": 1, "workers_max": 8, "workers_wanted": 2}})
    result = millrace("scale", "me/words:v1", "1-8", control=control)
    assert (result.returncode, result.stdout) == (OK, "me/words:v1: 1 to 8 workers, now 2\n")
    control.routes["/control/scale"] = {"pointer": "me/words:v1", "workers_min": 0, "workers_max": 0, "workers_wanted": 0}
    assert millrace("scale", "me/words:v1", "0", control=control).stdout == "me/words:v1: 0 workers\n"
    assert [body for _, _, body in control.requests] == [
        {"pipeline": "me/words:v1", "workers": {"min": 1, "max": 8}}, {"pipeline": "me/words:v1", "workers": 0}]


@pytest.mark.parametrize("word", ["", "x", "1-", "-1", "8-1", "1-8-9", "257", "1-257", "99999999999999999999", "1 "])
def test_scale_takes_nothing_else(word):
    says(millrace("scale", "me/words:v1", word, control="/nowhere"), USAGE, "is neither a number nor two like 1-8, 0 to 256")


@pytest.mark.parametrize("command", [["scale", "words", "1"], ["drain", "words"], ["resume", "a\"b:v1"], ["restart", "a"]])
def test_what_is_no_pointer_is_not_sent(command):
    says(millrace(*command, control="/nowhere"), USAGE, "is not a pointer like me/words:v1")


def test_restart_waits_until_all_are_replaced(asked):
    control = asked({"/control/restart": {"result": "done", "replaced": 2, "left": 0, "reason": None, "ms": 900}})
    result = millrace("restart", "me/words:v1", control=control)
    assert (result.returncode, result.stdout) == (OK, "2 workers replaced, after 900 ms\n")
    control.routes["/control/restart"] = {"result": "failed", "replaced": 1, "left": 1, "reason": "it dies\n", "ms": 9}
    result = millrace("restart", control=control)
    assert (result.returncode, result.stdout) == (FAILED, "1 worker replaced, after 9 ms\n")
    assert result.stderr == "millrace: restart: 1 worker not replaced: it dies \n"
    control.routes["/control/restart"] = {"result": "started"}
    assert millrace("restart", "--no-wait", control=control).stdout == "begun\n"
    assert [body for _, _, body in control.requests] == [
        {"pipeline": "me/words:v1", "wait": True}, {"wait": True}, {"wait": False}]


# ---- stop ------------------------------------------------------------------------------------------

# A server of its own process, which closes its socket at once and ends a little later.
STOPPING = """
import os, sys, threading, time
sys.path.insert(0, sys.argv[1])
from control_server import Control, state
def stop(body):
    threading.Timer(0.7, os._exit, [0]).start()
    return {"pid": os.getpid(), "state": "draining", "runs": 2}
control = Control(sys.argv[2], {"/control/stop": stop, "/control/drain": stop, "/control/state": state(runs=1, state="drained")})
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def stopping(tmp_path):
    with subprocess.Popen(["/usr/bin/python3", "-c", STOPPING, os.path.dirname(os.path.abspath(__file__)), str(tmp_path)],
                          stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.control_path = str(tmp_path / "control.sock")
        yield process
        process.kill()


def test_stop_waits_until_the_process_has_ended(stopping):
    result = millrace("stop", control=stopping.control_path)
    assert stopping.poll() == 0, "the process runs on"
    assert (result.returncode, result.stderr) == (OK, "")
    assert result.stdout == "stopping: 2 runs\nstopping: 1 run\nstopped\n"


def test_drain_says_when_the_server_has_gone(stopping):
    result = millrace("drain", control=stopping.control_path)
    assert (result.returncode, result.stdout) == (CONNECT, "all: 1 run, 0 waiting\n")
    assert f"no server answers at {stopping.control_path}" in result.stderr


def test_stop_can_leave_at_once(stopping):
    result = millrace("stop", "--no-wait", "--json", control=stopping.control_path)
    assert stopping.poll() is None
    assert (result.returncode, json.loads(result.stdout)["runs"]) == (OK, 2)


def test_stop_is_asked_for_once(asked):
    control = asked({"/control/stop": {"pid": 1, "state": "draining", "runs": 0}})
    assert millrace("stop", "--now", "--no-wait", control=control).stdout == "stopping\n"
    assert control.requests == [("POST", "/control/stop", {"now": True})]


# ---- logs ------------------------------------------------------------------------------------------

RUN = "run_" + 32 * "1"
PAST = f"""\
    a line of a block whose event is not there
2026-01-31T12:00:00.123Z info worker_ready pipeline=me/words:v1 worker=0
2026-01-31T12:00:01.123Z info output pipeline=me/other:v1 text="x pipeline=me/words:v1"
millrace: 4711 bytes of the log were left out
2026-01-31T12:00:02.123Z warning run_end pipeline=me/words:v1 run={RUN} state=failed
2026-01-31T12:00:02.123Z info run_traceback pipeline=me/words:v1 run={RUN}
    Traceback
    Oops
2026-01-31T12:00:03.123Z info draining
"""


def lines_of(text, *numbers):
    lines = text.splitlines(keepends=True)
    return "".join(lines[number] for number in numbers)


@pytest.mark.parametrize("options, numbers", [
    ([], range(9)),
    (["--pipeline", "me/words:v1"], [1, 3, 4, 5, 6, 7]),
    (["--pipeline", "me/other:v1"], [2, 3]),
    (["--run", RUN], [3, 4, 5, 6, 7]),
    (["--pipeline", "me/other:v1", "--run", RUN], [3]),
    (["--lines", "2"], [5, 6, 7, 8]),
    (["-n", "100"], range(9)),
    (["-n", "1", "--run", RUN], [5, 6, 7]),
])
def test_logs_are_those_that_were_asked_for(asked, options, numbers):
    control = asked({"/control/logs": PAST.encode(), "/control/logs?follow=1": lambda body: iter([PAST.encode()])})
    for more in ([], ["--follow"]):
        result = millrace("logs", *options, *more, control=control)
        assert (result.returncode, result.stderr) == (OK, "")
        assert result.stdout == lines_of(PAST, *numbers)


def test_logs_go_on_with_what_comes_however_it_is_cut(asked):
    coming = threading.Event()

    def pieces(body):
        yield PAST.encode()
        coming.wait(TIMEOUT_S)
        text = PAST.encode()
        yield from (text[at:at + 7] for at in range(0, len(text), 7))
        yield b"the last line has no end"

    control = asked({"/control/logs?follow=1": pieces})
    with subprocess.Popen([MILLRACE, "logs", "-f", "-n", "1", "--control", control.path], stdout=subprocess.PIPE,
                          text=True) as process:
        assert process.stdout.readline() == lines_of(PAST, 8), "what there was is shown before anything comes"
        coming.set()
        assert process.stdout.read() == PAST + "the last line has no end\n"
    assert process.returncode == OK


def test_logs_are_objects_of_json_if_asked(asked):
    control = asked({"/control/logs": PAST.encode()})
    objects = [json.loads(line) for line in millrace("logs", "--json", control=control).stdout.splitlines()]
    assert [one.get("event") for one in objects] == [None, "worker_ready", "output", None, "run_end", "run_traceback", "draining"]
    assert objects[0] == {"text": "a line of a block whose event is not there"}
    assert objects[1] == {"time": "2026-01-31T12:00:00.123Z", "level": "info", "event": "worker_ready",
                          "pipeline": "me/words:v1", "worker": 0}
    assert objects[2]["text"] == "x pipeline=me/words:v1"
    assert objects[5]["traceback"] == "Traceback\nOops"
    last = millrace("logs", "--json", "--run", RUN, "-n", "1", control=control).stdout
    assert [json.loads(last)] == objects[5:6]


def test_an_event_does_not_wait_for_the_next_one(asked):
    over = threading.Event()

    def pieces(body):
        yield b""
        yield PAST.encode()
        over.wait(TIMEOUT_S)

    control = asked({"/control/logs?follow=1": pieces})
    with subprocess.Popen([MILLRACE, "logs", "-f", "--json", "--control", control.path], stdout=subprocess.PIPE,
                          text=True) as process:
        assert [json.loads(process.stdout.readline()).get("event") for _ in range(7)][-1] == "draining"
        over.set()
        assert process.stdout.read() == ""


def test_logs_steer_no_terminal(asked):
    control = asked({"/control/logs": b"2026 \x1b[2J\n"})
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        subprocess.run([MILLRACE, "logs", "--control", control.path], stdout=theirs, timeout=TIMEOUT_S, check=True)
        os.close(theirs)
        assert terminal.read(4096) == b"2026 ?[2J\r\n"
    assert millrace("logs", control=control).stdout == "2026 \x1b[2J\n"


@pytest.mark.parametrize("more", [b"", PAST.encode()])
def test_logs_that_nobody_reads_end_without_a_word(asked, more):
    gone = threading.Event()

    def pieces(body):
        yield PAST.encode()
        gone.wait(TIMEOUT_S)
        yield more
        threading.Event().wait(TIMEOUT_S)

    control = asked({"/control/logs?follow=1": pieces})
    with subprocess.Popen([MILLRACE, "logs", "-f", "--control", control.path], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.stdout.close()
        gone.set()
        assert process.wait(TIMEOUT_S) == -signal.SIGPIPE
        assert process.stderr.read() == ""


def test_logs_say_when_they_were_cut_or_cannot_be_written(asked):
    def pieces(body):
        yield PAST.encode()
        raise ConnectionResetError

    control = asked({"/control/logs?follow=1": pieces, "/control/logs": PAST.encode()})
    result = millrace("logs", "-f", "-n", "1", control=control)
    assert (result.returncode, result.stdout) == (FAILED, lines_of(PAST, 8))
    assert result.stderr.startswith("millrace: logs: ") and "the answer was cut" in result.stderr
    with open("/dev/full", "wb") as full:
        result = subprocess.run([MILLRACE, "logs", "--control", control.path], stdout=full, stderr=subprocess.PIPE,
                                timeout=TIMEOUT_S, check=False)
    assert (result.returncode, result.stderr) == (FAILED, b"millrace: logs: cannot write to stdout: No space left on device\n")


# ---- check --against -------------------------------------------------------------------------------


def test_check_against_a_server_says_what_a_file_would_change(asked, tmp_path):
    file = tmp_path / 'a "file".yaml'
    file.write_text("anything: the server reads it\n")
    answer = {"result": "valid", "errors": [], "added": ["me/a:v1"], "replaced": [], "removed": [], "changed": [],
              "kept": ["me/b:v1"], "restart_keys": []}
    control = asked({"/control/check": answer})
    os.symlink(file, tmp_path / "link")
    result = millrace("check", "-c", str(tmp_path / "link"), "--against", control=control)
    assert (result.returncode, result.stdout, result.stderr) == (OK, "added     me/a:v1\nkept      me/b:v1\n", "")
    assert control.requests == [("POST", "/control/check", {"config": str(file)})]
    assert json.loads(millrace("check", "-c", str(file), "--against", "--json", control=control).stdout) == answer

    control.routes["/control/check"] = {"result": "invalid", "errors": ["a.yaml:3:5: unknown key"], "added": []}
    says_so = millrace("check", "-c", str(file), "--against", control=control)
    assert (says_so.returncode, says_so.stdout, says_so.stderr) == (USAGE, "", "a.yaml:3:5: unknown key\n")


@pytest.mark.parametrize("arguments, line", [
    (["-c", "/nowhere.yaml", "--against"], "check: /nowhere.yaml: No such file or directory"),
    (["-c", "/dev/null", "--against", "--load"], "--load is not for a file that is compared"),
    (["words.so", "--against"], "--load, --against and --control are for --config FILE"),
])
def test_check_against_a_server_needs_a_file(arguments, line):
    says(millrace("check", *arguments), USAGE, line)


def test_check_against_nobody_says_so(tmp_path):
    (tmp_path / "a.yaml").write_text("")
    says(millrace("check", "-c", str(tmp_path / "a.yaml"), "--against", control=str(tmp_path / "x")), CONNECT,
         "check: no server answers at")
