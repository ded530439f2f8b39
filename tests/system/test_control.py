# SPDX-License-Identifier: MIT
"""The control socket: what a running server says, and what it is told, by whom, and what that never costs."""

import json
import os
import pwd
import re
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest

import wire
from confined import needs_python
from editions import EDITION, OTHER, WITHOUT_LISTEN, File, Streams, edition_of, pids
from operator_socket import Connection, ask, logs, path_of, pipeline_state, refused, state, tell
from server import AS_SERVER, MILLRACE, SLOWNESS, Server, example, process_cpu_s, wait_until

NUMBERS = "me/numbers:v1"
THIRD = "test/third:v1"


@pytest.fixture
def file(tmp_path):
    return File(tmp_path).say_both()


@pytest.fixture
def begin(start, file):
    def begun(*options, **more):
        file.write()
        return start(options=["--config", str(file.path), *options], **more)

    return begun


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


# ---- reload ----------------------------------------------------------------------------------------


def reload_lists(answer):
    return {key: answer[key] for key in ("added", "replaced", "removed", "changed", "kept") if answer[key]}


def test_a_reload_is_answered_with_what_became_of_each_when_all_is_done(begin, file):
    server = begin()
    file.publish(2)
    file.say(THIRD, source="edition.so:edition")
    del file.pipelines[OTHER]
    file.write()
    answer = tell(server, "reload")
    assert answer["result"] == "done" and answer["generation"] == 2 and answer["ms"] < 60000
    assert reload_lists(answer) == {"added": [THIRD], "replaced": [EDITION], "removed": [OTHER]}
    assert edition_of(server) == edition_of(server, THIRD) == [2]  # that is: it was not answered before
    file.say(EDITION, queue=7)
    file.top["body-limit"] = "64k"
    file.write()
    answer = tell(server, "reload")
    assert reload_lists(answer) == {"changed": [EDITION], "kept": [THIRD]}
    assert answer["restart_keys"] == ["body-limit"]
    assert state(server)["reload"]["generation"] == 3


def test_a_wrong_file_is_answered_with_all_that_is_wrong_and_changes_nothing(begin, file):
    server = begin()
    before = pids(server, EDITION)
    file.path.write_text(f"pipelines:\n  {EDITION}:\n    source: edition.so:edition\n    workrs: 2\n  x: y.so\n")
    answer = tell(server, "reload")
    assert answer["result"] == "failed" and answer["generation"] == 1 and not reload_lists(answer)
    assert answer["errors"] == [
        f'{file.path}:4:5: pipelines.{EDITION}: unknown key "workrs" (nearest: workers)',
        f"{file.path}:5:3: pipelines: 'x' is not a pointer like me/words:v1"]
    assert pids(server, EDITION) == before and state(server)["reload"]["last_result"] == "failed"


def test_one_that_does_not_start_is_named_with_its_reason_and_the_rest_is_done(begin, file):
    server = begin()
    file.publish(3, "-DBROKEN")
    file.say(THIRD, source="other.so:edition")
    file.write()
    answer = tell(server, "reload")
    assert answer["result"] == "failed" and answer["generation"] == 2
    assert reload_lists(answer) == {"added": [THIRD], "kept": [OTHER]}
    [failed] = answer["failed"]
    assert failed["pointer"] == EDITION and "edition 3 has no press" in failed["reason"]
    assert edition_of(server) == [1]


def test_a_port_in_use_and_a_token_file_that_is_gone_are_answered(begin, file):
    file.top["listen"] = "['127.0.0.1:0']"
    server = begin(command=WITHOUT_LISTEN)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        file.top["listen"] = f"['127.0.0.1:0', '127.0.0.1:{taken.getsockname()[1]}']"
        file.write()
        answer = tell(server, "reload")
        assert answer["result"] == "failed" and "Address already in use" in answer["errors"][0]
    file.top = {"token-file": "gone"}
    file.write()
    [error] = tell(server, "reload")["errors"]
    assert "token-file" in error and "No such file" in error
    assert edition_of(server) == [1]


def test_who_asks_while_one_goes_on_is_answered_by_the_next_one(begin, file):
    server = begin()
    file.publish(2, "-DHANGING")
    file.say(EDITION, start_timeout="1s")
    file.write()
    answers = []
    first = threading.Thread(target=lambda: answers.append(("first", tell(server, "reload"))))
    first.start()
    wait_until(lambda: state(server)["reload"]["state"] == "starting")
    file.publish(3)
    later = [threading.Thread(target=lambda: answers.append(("later", tell(server, "reload")))) for _ in range(3)]
    for thread in later:
        thread.start()
    for thread in [first, *later]:
        thread.join()
    assert answers[0][0] == "first" and answers[0][1]["result"] == "failed"
    assert [answer["result"] for _, answer in answers[1:]] == ["done"] * 3
    assert {answer["generation"] for _, answer in answers[1:]} == {3}  # one reload for all of them
    assert edition_of(server) == [3]


def test_a_client_that_leaves_while_it_waits_costs_nothing(begin, file):
    server = begin()
    file.publish(2, "-DHANGING")
    file.say(EDITION, start_timeout="1s")
    file.write()
    connection = Connection(path_of(server))
    connection.request("POST", "/control/reload", "{}")
    wait_until(lambda: state(server)["reload"]["state"] == "starting")
    connection.close()
    wait_until(lambda: state(server)["reload"]["state"] == "idle", 20 * SLOWNESS)
    assert tell(server, "reload", wait=False) == {"result": "started"}
    assert edition_of(server) == [1]


def test_a_stop_answers_who_waits(begin, file):
    server = begin()
    file.publish(2, "-DHANGING")
    file.write()
    answers = []
    waits = threading.Thread(target=lambda: answers.append(tell(server, "reload")))
    waits.start()
    wait_until(lambda: state(server)["reload"]["state"] == "starting")
    server.signal(signal.SIGTERM)
    waits.join()
    assert server.wait_exit() == 0
    assert answers[0]["result"] == "failed"


# ---- check -----------------------------------------------------------------------------------------


def test_another_file_is_compared_and_nothing_changes(begin, file, tmp_path):
    server = begin()
    before = pids(server, EDITION) | pids(server, OTHER)
    mark = server.log_mark()
    other = tmp_path / "candidate.yaml"
    other.write_text(f"body-limit: 64k\npipelines:\n  {EDITION}: {{source: edition.so:edition, concurrency: 2}}\n"
                     f"  {OTHER}: {{source: other.so:edition, queue: 3}}\n  {THIRD}: edition.so:edition\n")
    answer = tell(server, "check", config=str(other))
    assert answer["result"] == "valid" and answer["restart_keys"] == ["body-limit"]
    assert reload_lists(answer) == {"added": [THIRD], "replaced": [EDITION], "changed": [OTHER]}
    other.write_text(f"pipelines:\n  {EDITION}: nothing.so\n")
    answer = tell(server, "check", config=str(other))
    assert answer["result"] == "invalid" and "nothing.so" in answer["errors"][0]
    assert tell(server, "check", config=str(tmp_path / "no.yaml"))["errors"] == [
        f"{tmp_path}/no.yaml: No such file or directory"]
    assert pids(server, EDITION) | pids(server, OTHER) == before
    assert state(server)["reload"]["generation"] == 1 and not server.log_since(mark, "reload")


@pytest.mark.parametrize("said", ["millrace.yaml", "./millrace.yaml", None])
def test_the_same_file_by_another_name_is_no_difference(start, file, said):
    file.top["defaults"] = "{allow-read: [.]}"
    file.write()
    server = start(options=["--config", said or str(file.path)], command=["env", "-C", str(file.folder)])
    assert reload_lists(tell(server, "check", config=str(file.path))) == {"kept": [EDITION, OTHER]}
    beside = file.folder / "beside.yaml"
    beside.write_text(file.path.read_text())
    if said != "./millrace.yaml":
        assert reload_lists(tell(server, "check", config=str(beside))) == {"kept": [EDITION, OTHER]}


def test_several_compare_at_once_and_reload_meanwhile(begin, file):
    server = begin()
    file.publish(2)
    answers = []

    def compare():
        for _ in range(10):
            answers.append(tell(server, "check", config=str(file.path))["result"])

    threads = [threading.Thread(target=compare) for _ in range(3)]
    for thread in threads:
        thread.start()
    for edition in range(3, 8):
        file.publish(edition)
        assert tell(server, "reload")["replaced"] == [EDITION]
    for thread in threads:
        thread.join()
    assert answers == ["valid"] * 30 and edition_of(server) == [7]


# ---- drain, scale, restart, stop -------------------------------------------------------------------


def test_a_drained_pipeline_takes_no_runs_and_finishes_those_it_has(begin):
    server = begin()
    with server.stream(EDITION, 3, 300 * SLOWNESS) as running, server.stream(EDITION, 1, 0) as waits:
        running.next()
        assert tell(server, "drain", pipeline=EDITION) == {
            "pipelines": [{"pointer": EDITION, "drained": True, "active": 1, "queued": 1}]}
        refusal = server.run(EDITION, 1, 0)
        assert refusal.status == 503 and int(refusal.values("retry-after")[0]) > 0
        assert "it is drained" in str(refusal.body)
        assert edition_of(server, OTHER) == [1] and server.get("/readyz").status == 200
        assert len(running.all()) == 2 and len(waits.all()) == 1
    assert pipeline_state(server, EDITION)["drained"] is True
    assert server.metric(f'millrace_refusals_total{{pipeline="{EDITION}",cause="drained"}}') == 1
    assert tell(server, "resume", pipeline=EDITION)["pipelines"][0]["drained"] is False
    assert edition_of(server) == [1]


def test_a_drained_pipeline_stays_so_when_it_is_replaced(begin, file):
    server = begin()
    tell(server, "drain", pipeline=EDITION)
    file.publish(2)
    assert tell(server, "reload")["replaced"] == [EDITION]
    assert server.run(EDITION, 1, 0).status == 503
    tell(server, "resume", pipeline=EDITION)
    assert edition_of(server) == [2]


def test_a_drained_server_says_so_to_balancers_and_comes_back(begin):
    server = begin()
    assert {item["pointer"] for item in tell(server, "drain")["pipelines"]} == {EDITION, OTHER}
    assert state(server)["server"]["state"] == "drained"
    assert server.get("/readyz").status == 503 and b"drained" in server.get("/readyz").body
    assert server.run(EDITION, 1, 0).status == server.run(OTHER, 1, 0).status == 503
    tell(server, "resume")
    assert server.get("/readyz").status == 200 and edition_of(server) == [1]


def test_workers_are_as_many_as_the_operator_wants_until_the_next_reload(begin):
    server = begin()
    [first] = pids(server, EDITION)
    with Streams(server, EDITION, EDITION, EDITION) as streams:
        answer = tell(server, "scale", pipeline=EDITION, workers=3)
        assert (answer["workers_min"], answer["workers_max"], answer["workers_wanted"]) == (3, 3, 3)
        wait_until(lambda: sum(worker["state"] == "ready" for worker in server.workers(EDITION)) == 3)
        tell(server, "scale", pipeline=EDITION, workers=1)
        wait_until(lambda: pids(server, EDITION) == {first})
        tell(server, "scale", pipeline=EDITION, workers=2)
        tell(server, "reload")
        wait_until(lambda: pids(server, EDITION) == {first})
    assert not streams.failures


def test_a_restart_replaces_the_workers_of_one_pipeline_and_cuts_nothing(begin, file):
    file.say(EDITION, workers=2)
    server = begin()
    before, other = pids(server, EDITION), pids(server, OTHER)
    with Streams(server, EDITION, EDITION, OTHER) as streams:
        answer = tell(server, "restart", pipeline=EDITION)
        assert (answer["result"], answer["replaced"], answer["left"], answer["reason"]) == ("done", 2, 0, None)
        assert not before & pids(server, EDITION) and pids(server, OTHER) == other
        answer = tell(server, "restart")
        assert (answer["result"], answer["replaced"]) == ("done", 3)
        assert not other & pids(server, OTHER)
    assert not streams.failures
    assert tell(server, "restart", wait=False)["result"] == "started"


def test_a_restart_that_fails_says_why_and_the_worker_stays(begin, file):
    server = begin()
    before = pids(server, EDITION)
    file.publish(2, "-DBROKEN")
    answer = tell(server, "restart", pipeline=EDITION)
    assert (answer["result"], answer["replaced"], answer["left"]) == ("failed", 0, 1)
    assert "edition 2 has no press" in answer["reason"]
    assert pids(server, EDITION) == before and edition_of(server) == [1]


def test_a_stop_is_that_of_a_signal_and_can_be_watched(begin):
    server = begin("--stop-timeout", "60s")
    with server.stream(EDITION, 3, 400 * SLOWNESS) as running:
        running.next()
        answer = tell(server, "stop")
        assert (answer["pid"], answer["state"], answer["runs"]) == (server.process.pid, "draining", 1)
        assert state(server)["server"]["state"] == "draining"
        assert refused(server, "reload") == (409, "The server stops.")
        assert refused(server, "restart") == (409, "The server stops.")
        assert tell(server, "stop")["state"] == "draining"  # asking twice is no haste
        assert len(running.all()) == 2
    assert server.wait_exit() == 0 and not os.path.exists(path_of(server))


def test_a_stop_now_does_not_wait(begin):
    server = begin("--stop-timeout", "60s")
    with server.stream(EDITION, 1000, 100) as running:
        running.next()
        tell(server, "stop", now=True)
        assert server.wait_exit() == 9
        assert not os.path.exists(path_of(server))


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
