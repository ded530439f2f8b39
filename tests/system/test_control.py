# SPDX-License-Identifier: MIT
"""The control socket: what a running server says, to whom, and what that never costs."""

import json
import os
import pwd
import re
import socket
import stat
import subprocess
import time

import pytest

import wire
from confined import needs_python
from editions import EDITION, edition_of, pids
from operator_socket import Connection, ask, logs, path_of, pipeline_state, refused, state, tell
from server import AS_SERVER, MILLRACE, SLOWNESS, Server, example, process_cpu_s, wait_until

NUMBERS = "me/numbers:v1"


# ---- what it says ----------------------------------------------------------------------------------


def test_the_state_is_what_is_served_and_what_was_counted(begin, file):
    file.say(EDITION, workers=2, concurrency=3)
    server = begin()
    assert edition_of(server) == [1]
    with server.stream(EDITION, 3, 300 * SLOWNESS) as running:
        running.next()
        now = state(server)
        server_now = now["server"]
        assert server_now["pid"] == server.process.pid and server_now["state"] == "serving"
        assert server_now["listen"] == [server.address] and server_now["config"] == str(file.path)
        assert (server_now["runs"], server_now["queued"], server_now["connections"]) == (1, 0, 1)
        assert abs(server_now["started_at"] + server_now["uptime_s"] - time.time()) < 5
        assert now["reload"] == {"state": "idle", "generation": 1, "succeeded": 0, "failed": 0, "last_at": None,
                                 "last_result": None}
        edition, other = now["pipelines"]
        assert (edition["pointer"], edition["state"], edition["phase"]) == (EDITION, "ready", "served")
        assert (edition["active"], edition["queued"], edition["accepted"], edition["completed"]) == (1, 0, 2, 1)
        assert edition["lines"] == 2 and other["lines"] == 0
        assert edition["first_chunk"]["count"] == 2 and len(edition["first_chunk"]["le_s"]) == 16
        assert (edition["workers_min"], edition["workers_max"], edition["workers_wanted"]) == (2, 2, 2)
        assert {worker["pid"] for worker in edition["workers"]} == pids(server, EDITION)
        for worker in edition["workers"]:
            assert worker["state"] == "ready" and worker["slots"] == 3 and worker["restarts"] == 0
            assert 0 < worker["age_s"] < 60 and worker["memory_bytes"] > 100000 and worker["cpu_s"] >= 0
            assert worker["ring_used_bytes"] <= worker["ring_bytes"] == 1 << 20
        running.all()
    assert pipeline_state(server, EDITION)["lines"] == 4


def test_the_slowest_clients_are_named(start):
    with start(f"{NUMBERS}={example('numbers.so')}", options=["--concurrency", "4", "--window", "1k"]) as server:
        assert state(server)["clients"] == []
        with server.connect(receive_buffer_bytes=4096) as slow:
            slow.request("POST", "/v4/runs/stream", wire.run_body(NUMBERS, [100000, "x" * 900, 0]))
            wait_until(lambda: [client for client in state(server)["clients"] if client["quiet_s"] > 0.2])
            [client] = state(server)["clients"]
            assert (client["client"], client["token"], client["pipeline"]) == ("127.0.0.1", None, NUMBERS)
            assert client["run"].startswith("run_") and client["waiting_bytes"] > 0


def test_a_server_without_a_file_says_so(start):
    with start(f"{NUMBERS}={example('numbers.so')}") as server:
        assert state(server)["server"]["config"] is None
        assert refused(server, "reload") == (409, "The server was started without --config.")
        assert refused(server, "check", config="/nowhere")[0] == 409
        assert server.is_alive()


# ---- where it is, and who may ----------------------------------------------------------------------


def test_the_socket_is_the_user_s_alone_and_goes_with_the_server(begin):
    server = begin()
    file = os.stat(path_of(server))
    assert stat.S_ISSOCK(file.st_mode) and stat.S_IMODE(file.st_mode) == 0o600
    server.stop()
    assert not os.path.exists(path_of(server))


def test_what_a_killed_server_left_is_replaced(begin, file):
    server = begin()
    server.process.kill()
    server.wait_exit()
    assert os.path.exists(path_of(server))
    with Server(server.folder, [], "--config", str(file.path)).wait_ready() as second:
        assert state(second)["server"]["pid"] == second.process.pid


def test_a_second_server_goes_without_unless_it_was_told(begin, file):
    server = begin()
    with Server(server.folder, [], "--config", str(file.path)).wait_ready() as second:
        second.wait_log(r' no_control reason=".*control.sock: another server listens there')
        assert state(server)["server"]["pid"] == server.process.pid
    assert state(server)["server"]["pid"] == server.process.pid  # and did not take it with it
    told = subprocess.run([MILLRACE, "serve", "--config", str(file.path), "--listen", "127.0.0.1:0", *AS_SERVER,
                           "--control", path_of(server)], capture_output=True, text=True, timeout=30 * SLOWNESS)
    assert told.returncode == 3
    assert told.stderr.endswith("control.sock: another server listens there, or it is no socket\n")


def test_what_is_no_socket_is_left_alone(start, tmp_path):
    (tmp_path / "precious").write_text("not ours")
    server = start(f"{NUMBERS}={example('numbers.so')}", options=["--control", str(tmp_path / "precious")], wait=False)
    assert server.wait_exit() == 3
    assert (tmp_path / "precious").read_text() == "not ours"


@pytest.mark.parametrize("path, why", [
    ("/nowhere/at/all.sock", "No such file or directory"), ("x" * 108, "not the path of a socket"),
    ("", "a value that is not empty"), ("/", "not the path of a socket")])
def test_a_path_that_cannot_be_is_refused_at_the_start(path, why):
    told = subprocess.run([MILLRACE, "serve", f"{NUMBERS}={example('numbers.so')}", "--listen", "127.0.0.1:0",
                           *AS_SERVER, "--control", path], capture_output=True, text=True, timeout=30 * SLOWNESS)
    assert told.returncode in (2, 3) and why in told.stderr


def test_a_server_may_have_none(start):
    with start(f"{NUMBERS}={example('numbers.so')}", options=["--control", "none"]) as server:
        assert not os.path.exists(path_of(server))
        assert server.run(NUMBERS, 1, "x", 0).status == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_is_turned_away_even_where_the_mode_lets_him(tmp_path):
    os.chmod(tmp_path, 0o755)
    folder = f"/tmp/millrace-control-{os.getpid()}"
    os.mkdir(folder, 0o755)
    try:
        with Server(folder, [f"{NUMBERS}={example('numbers.so')}"]).wait_ready() as server:
            script = ("import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
                      "print(s.recv(4000).splitlines()[0].decode())")

            def as_nobody():
                nobody = pwd.getpwnam("nobody")
                return subprocess.run(["/usr/bin/python3", "-c", script, path_of(server)], capture_output=True, text=True,
                                      timeout=30, user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])

            assert "PermissionError" in as_nobody().stderr
            os.chmod(path_of(server), 0o666)
            assert as_nobody().stdout == "HTTP/1.1 403 Forbidden\n"
    finally:
        os.rmdir(folder) if not os.listdir(folder) else subprocess.run(["rm", "-r", folder], check=True)


@needs_python
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be in groups that there are not")
def test_workers_are_told_from_operators_however_many_groups_they_have(start, tmp_path):
    (tmp_path / "attacker.py").write_text(ATTACKER)
    command = ["setpriv", "--groups", ",".join(str(4000000000 + group) for group in range(2000))]
    with start(f"me/attacker:v1={tmp_path}/attacker.py", command=command) as server:
        found = server.run("me/attacker:v1", path_of(server), "orphan").json()
        assert "403 Forbidden" in found["outputs"][0]["value"], found
        assert state(server)["server"]["state"] == "serving"


@needs_python
@pytest.mark.parametrize("command", [(), ("setpriv", "--no-new-privs")], ids=["plain", "no-new-privs"])
@pytest.mark.parametrize("seccomp", ["default", "off"])
def test_workers_are_turned_away_and_so_is_what_they_start_and_leave(start, tmp_path, seccomp, command):
    (tmp_path / "attacker.py").write_text(ATTACKER)
    with start(f"me/attacker:v1={tmp_path}/attacker.py", options=["--seccomp", seccomp], command=command) as server:
        for way in ("itself", "child", "orphan"):
            found = server.run("me/attacker:v1", path_of(server), way).json()
            assert "403 Forbidden" in found["outputs"][0]["value"], (way, found)
        assert state(server)["server"]["state"] == "serving"


ATTACKER = '''
import os, socket, time
from pipeline import Pipeline, Variable, pipe

def call(path):
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    try:
        client.sendall(b"POST /control/stop HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 0\\r\\n\\r\\n")
    except BrokenPipeError:
        pass  # nobody reads it
    return client.recv(4000)

@pipe
def attack(path: str, way: str) -> str:
    if way == "itself":
        return call(path).decode()
    reader, writer = os.pipe()
    if os.fork() == 0:
        if way == "orphan" and os.fork() > 0:
            os._exit(0)
        if way == "orphan":
            time.sleep(0.2)
        os.write(writer, call(path))
        os._exit(0)
    return os.read(reader, 4000).decode()

with Pipeline() as builder:
    path, way = Variable(str), Variable(str)
    builder.output(attack(path, way))

attacker = builder.get_pipeline()
'''


def test_operators_are_served_when_clients_have_all_there_is(start):
    with start(f"{NUMBERS}={example('numbers.so')}", options=["--max-connections", "2"]) as server:
        with server.connect() as first, server.connect() as second:
            first.request("GET", "/livez")
            second.request("GET", "/livez")
            assert first.response().status == second.response().status == 200
            assert server.get("/livez").status == 503
            assert state(server)["server"]["connections"] == 2


def is_answered(server):
    try:
        return ask(server, "GET", "/control/state")[0] == 200
    except BrokenPipeError:
        return False


def test_the_ninth_operator_is_turned_away_and_no_client(begin):
    server = begin()
    held = []
    for _ in range(8):
        connection = Connection(path_of(server))
        connection.request("GET", "/control/logs?follow=1")
        held.append((connection, connection.getresponse()))
    with socket.socket(socket.AF_UNIX) as ninth:
        ninth.connect(path_of(server))
        assert ninth.recv(4000).startswith(b"HTTP/1.1 503 ")
    assert edition_of(server) == [1]
    held.pop()[0].close()
    wait_until(lambda: is_answered(server))
    for connection, _ in held:
        connection.close()


def test_operators_are_not_counted_as_one_client(start):
    with start(f"{NUMBERS}={example('numbers.so')}", options=["--max-connections-per-client", "1"]) as server:
        first = Connection(path_of(server))
        first.request("GET", "/control/logs?follow=1")
        assert first.getresponse().status == 200
        assert state(server)["server"]["state"] == "serving"
        first.close()


# ---- what is no request ----------------------------------------------------------------------------


@pytest.mark.parametrize("action, body, why", [
    ("drain", "{", "The body is no JSON: "), ("drain", '{"wait":true,"wait":true}', "The body is no JSON: "),
    ("drain", "[]", "The body must be an object."), ("drain", '{"pipeline":null}', "pipeline must be a text."),
    ("drain", '{"pipe":"x"}', "The body has a member that means nothing here."),
    ("drain", '{"pipeline":1}', "pipeline must be a text."), ("drain", '{"pipeline":"a\\u0000b"}', "pipeline must be a text."),
    ("reload", '{"wait":1}', "wait must be true or false."), ("stop", '{"now":"yes"}', "now must be true or false."),
    ("scale", '{"pipeline":"test/edition:v1"}', "pipeline and workers must be there."),
    ("scale", '{"pipeline":"test/edition:v1","workers":-1}', "workers must be a number"),
    ("scale", '{"pipeline":"test/edition:v1","workers":1.5}', 'workers must be a number, or {"min":1,"max":8}.'),
    ("scale", '{"pipeline":"test/edition:v1","workers":{"min":1}}', "workers must be a number"),
    ("scale", '{"pipeline":"test/edition:v1","workers":100000}', "workers must be from "),
    ("check", "{}", "config must be an absolute path."), ("check", '{"config":"x.yaml"}', "config must be an absolute path."),
    ("check", "", "config must be an absolute path."),
])
def test_what_is_wrong_is_said_and_does_nothing(begin, action, body, why):
    server = begin()
    status, answer = ask(server, "POST", "/control/" + action, body)
    assert status == 400 and answer["detail"].startswith(why), answer
    assert state(server)["server"]["state"] == "serving" and edition_of(server) == [1]


def test_what_is_not_there_is_not_found(begin):
    server = begin()
    assert ask(server, "GET", "/v4/pipelines")[0] == 404
    assert ask(server, "GET", "/control/reload")[0] == 405
    assert ask(server, "POST", "/control/drain", {"pipeline": "me/nothing:v1"}) == (
        404, {"detail": "There is no pipeline me/nothing:v1."})
    assert refused(server, "restart", pipeline='"\u2028')[0] == 404
    assert server.get("/control/state").status == 404  # and clients have none of it


def test_garbage_and_large_bodies_cost_nothing(begin):
    server = begin()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path_of(server))
        client.sendall(os.urandom(100000) + b"\r\n\r\n")
        client.settimeout(10)
        assert client.recv(100).startswith(b"HTTP/1.1 4")
    status, answer = ask(server, "POST", "/control/drain", json.dumps({"pipeline": "x" * 2000000}))
    assert status in (404, 413, 503), answer
    assert edition_of(server) == [1]


# ---- the log ---------------------------------------------------------------------------------------


def test_the_log_is_what_stderr_has(begin):
    server = begin()
    server.run(EDITION, 1, 0)
    server.wait_log(" run_end ")
    assert logs(server).splitlines() == server.log


@pytest.mark.parametrize("style", ["json", "logfmt"])
def test_lines_are_in_the_log_s_own_format(begin, style):
    server = begin("--log-format", style)
    lines = logs(server).splitlines()
    assert all(json.loads(line) if style == "json" else "event=" in line or "level=" in line for line in lines)


def test_who_follows_gets_each_line_once_as_it_comes(begin):
    server = begin()
    connection = Connection(path_of(server))
    connection.request("GET", "/control/logs?follow=1")
    response = connection.getresponse()
    past = response.read(int(response.headers["Millrace-Log-Bytes"]))
    assert past.decode().splitlines() == server.log
    for edition in range(5):
        assert server.run(EDITION, 1, 0).status == 200
        line = response.readline().decode()
        assert " run_end " in line and line.endswith("\n"), edition
    connection.close()


def test_who_does_not_read_misses_lines_and_is_told(begin):
    server = begin("--log-level", "debug")
    with socket.socket(socket.AF_UNIX) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(path_of(server))
        client.sendall(b"GET /control/logs?follow=1 HTTP/1.0\r\n\r\n")
        with server.connect() as clients:
            for _ in range(5000):
                clients.request("POST", "/v4/runs", wire.run_body(EDITION, [1, 0]))
                assert clients.response().status == 200
        text = b""
        client.settimeout(2 * SLOWNESS)
        try:
            while more := client.recv(65536):
                text += more
        except TimeoutError:
            pass
    lines = text.decode().split("\r\n\r\n", 1)[1].splitlines()
    left_out = [line for line in lines if line.startswith("millrace: ")]
    assert left_out and re.fullmatch(r"millrace: \d+ bytes of the log were left out", left_out[0])
    for line in lines:
        assert line.startswith("millrace: ") or re.match(r"\d{4}-\d\d-\d\dT\S+Z (debug|info) ", line), line


def test_an_idle_server_with_followers_does_not_wake(begin):
    server = begin()
    connections = []
    for _ in range(4):
        connections.append(Connection(path_of(server)))
        connections[-1].request("GET", "/control/logs?follow=1")
        connections[-1].getresponse()
    time.sleep(0.2)
    before = process_cpu_s(server.process.pid)
    time.sleep(1)
    assert process_cpu_s(server.process.pid) - before <= 0.02 * SLOWNESS
    for connection in connections:
        connection.close()


def test_nothing_is_left_behind_by_many_requests(begin, file):
    server = begin()

    def descriptors():
        return len(os.listdir(f"/proc/{server.process.pid}/fd"))

    state(server)
    before = descriptors()
    for number in range(100):
        state(server)
        tell(server, "check", config=str(file.path))
        tell(server, "scale", pipeline=EDITION, workers=1 + number % 2)
    tell(server, "scale", pipeline=EDITION, workers=1)
    wait_until(lambda: len(server.workers(EDITION)) == 1 and descriptors() == before)
