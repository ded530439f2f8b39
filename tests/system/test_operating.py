# SPDX-License-Identifier: MIT
"""The commands that ask the control socket, at a server that answers on it."""

import contextlib
import json
import os
import re
import subprocess
import threading

from editions import EDITION, OTHER, Streams, edition_of, pids
from operator_socket import Connection, path_of, state
from server import MILLRACE, SLOWNESS, TOP, process_cpu_s, wait_until

OK, FAILED, USAGE, CONNECT = 0, 1, 2, 8
TIMEOUT_S = 30 * SLOWNESS


def tell(server, *arguments):
    return subprocess.run([MILLRACE, *arguments, "--control", path_of(server)], capture_output=True, text=True,
                          timeout=TIMEOUT_S, check=False)


def told(server, *arguments):
    result = tell(server, *arguments)
    assert (result.returncode, result.stderr) == (OK, ""), result
    return result.stdout


def test_ps_and_top_show_what_runs(begin, file):
    file.say(EDITION, workers=2)
    server = begin()
    with server.stream(EDITION, 1000, 300) as running:
        running.next()
        table = told(server, "ps")
        assert re.search(rf"^{EDITION} +ready +1 +0 +2/2$", table, flags=re.MULTILINE), table
        for pid in pids(server, EDITION) | pids(server, OTHER):
            assert re.search(rf"^  [01] +ready +[01] +0 +{pid} +\d+s +[\d.]+M$", table, flags=re.MULTILINE), table
        assert json.loads(told(server, "ps", "--json"))["server"]["pid"] == server.process.pid
        frame = told(server, "top", "--once")
        assert re.search(rf"^{EDITION} +ready +0 +[\d.]+ +1 +0 ", frame, flags=re.MULTILINE), frame
        assert f"pid {min(pids(server, OTHER)):7}" in frame


def test_reload_brings_what_the_file_says_or_says_why_not(begin, file):
    server = begin()
    file.publish(2)
    file.say(OTHER, source="other.so:edition", queue=7)
    file.say("test/third:v1", source="other.so:edition")
    file.write()
    changes = f"replaced  {EDITION}\n", f"changed   {OTHER}\n", "added     test/third:v1\n"
    shown = told(server, "check", "--config", str(file.path), "--against")
    assert sorted(shown.splitlines(keepends=True)) == sorted(changes)
    assert edition_of(server) == [1]
    lines = told(server, "reload").splitlines(keepends=True)
    assert sorted(lines[:-1]) == sorted(changes)
    assert re.fullmatch(r"configuration 2 is served, after \d+ ms\n", lines[-1])
    assert edition_of(server) == [2]

    file.say(OTHER, source="other.so:edition", wrokers=2)
    file.write()
    for command in (["reload"], ["check", "-c", str(file.path), "--against"]):
        result = tell(server, *command)
        assert result.returncode == (FAILED if command == ["reload"] else USAGE)
        assert re.match(rf"{file.path}:\d+:\d+: pipelines\.{OTHER}: unknown key \"wrokers\" \(nearest: workers\)\n",
                        result.stderr), result.stderr
    assert edition_of(server) == [2]


def test_drain_waits_for_a_run_and_resume_ends_it(begin):
    server = begin()
    with server.stream(EDITION, 4, 300 * SLOWNESS) as running:
        running.next()
        drained = threading.Thread(target=lambda: lines.extend(told(server, "drain", EDITION).splitlines()))
        lines = []
        drained.start()
        wait_until(lambda: state(server)["pipelines"][0]["drained"])
        assert "it is drained" in str(server.run(EDITION, 1, 0).body)
        assert drained.is_alive()
        running.all()
        drained.join(TIMEOUT_S)
    assert lines == [f"{EDITION}: 1 run, 0 waiting", f"{EDITION}: 0 runs, 0 waiting"]
    assert re.search(rf"^{EDITION} +ready +0 +0 +1/1 drained$", told(server, "ps"), flags=re.MULTILINE)
    assert told(server, "resume", EDITION) == f"{EDITION} takes runs\n"
    assert told(server, "drain", "--no-wait")
    assert "all of the server is drained" in tell(server, "resume", EDITION).stdout
    assert told(server, "resume")
    assert edition_of(server) == [1]


def test_workers_become_more_and_others_without_a_run_being_cut(begin):
    server = begin()
    streams = Streams(server, EDITION, OTHER)
    with streams:
        before = pids(server, EDITION)
        assert told(server, "scale", EDITION, "2") == f"{EDITION}: 2 workers\n"
        wait_until(lambda: len(pids(server, EDITION) - {None}) == 2)
        assert before < pids(server, EDITION)
        assert re.fullmatch(r"2 workers replaced, after \d+ ms\n", told(server, "restart", EDITION))
        assert not before & pids(server, EDITION)
    assert streams.failures == []
    result = tell(server, "scale", "test/nobody:v1", "2")
    assert result.returncode == FAILED and "test/nobody:v1" in result.stderr


def test_logs_follow_one_pipeline(begin):
    server = begin()
    there = told(server, "logs")
    assert " listening address=" in there and f" worker_ready pipeline={OTHER} " in there
    last = told(server, "logs", "--pipeline", EDITION, "-n", "1")
    assert last.count("\n") == 1 and f"pipeline={EDITION}" in last
    with subprocess.Popen([MILLRACE, "logs", "-f", "--pipeline", EDITION, "-n", "1", "--control", path_of(server)],
                          stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == last
        server.lines(OTHER, 1, 0)
        server.lines(EDITION, 1, 0)
        assert re.search(rf" run_end run=\S+ pipeline={EDITION} .*state=completed", process.stdout.readline())
        server.stop()
        process.stdout.read()
        process.wait(TIMEOUT_S)


def test_stop_is_over_when_the_process_has_ended(begin):
    server = begin()
    with server.stream(EDITION, 3, 300 * SLOWNESS) as running:
        running.next()
        stopped = threading.Thread(target=lambda: lines.extend(told(server, "stop").splitlines()))
        lines = []
        stopped.start()
        running.all()
        stopped.join(TIMEOUT_S)
    assert server.process.wait(TIMEOUT_S) == 0
    assert lines[0] == "stopping: 1 run" and lines[-1] == "stopped"
    assert tell(server, "ps").returncode == CONNECT


def manual():
    with open(os.path.join(TOP, "docs/control.md"), encoding="utf-8") as file:
        return file.read()


def members(value):
    """The keys of an object and what is in it; of a list those of its first item."""
    if isinstance(value, list):
        return [members(item) for item in value[:1]]
    return {key: members(item) for key, item in value.items()} if isinstance(value, dict) else None


def test_the_manual_shows_what_is_shown(begin, file):
    file.top["aliases"] = f"{{me/alias:prod: {EDITION}}}"
    server = begin()
    text = manual()
    for shown, headings in ((told(server, "ps"), ("PIPELINE", "ALIAS")), (told(server, "top", "--once"), ("PIPELINE",))):
        for heading in headings:
            line, = (line for line in shown.splitlines() if line.startswith(heading))
            assert re.search(r" +".join(map(re.escape, line.split())), text), line
    with server.stream(EDITION, 2, 100) as running:
        running.next()
        now = state(server)
        running.all()
    described = json.loads(re.search(r"^`GET /control/state`:\n\n```\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)[1])
    for key in ("clients", "devices", "device_sources"):
        now[key] = now[key] or described[key]
    assert members(now) == members(described)


def test_the_manual_has_every_command_that_asks_the_socket():
    names = re.findall(r"^  (\w+) ", subprocess.run([MILLRACE, "--help"], capture_output=True, text=True, timeout=TIMEOUT_S,
                                                    check=True).stdout, flags=re.MULTILINE)
    ask = [name for name in names if name not in ("serve", "help") and "--control PATH" in subprocess.run(
        [MILLRACE, name, "--help"], capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout]
    assert len(ask) == 11
    table = manual().split("\n## ")[0]
    assert sorted(set(re.findall(r"`millrace (\w+)", table)) - {"serve"}) == sorted(ask)


def test_who_is_one_too_many_is_told_so(begin):
    server = begin()
    with contextlib.ExitStack() as others:
        for _ in range(8):
            other = others.enter_context(contextlib.closing(Connection(path_of(server))))
            other.connect()
        for _ in range(20):  # whether its answer is read, or the request cannot be sent, is a race
            result = tell(server, "ps")
            assert (result.stdout, result.stderr.count("\n")) == ("", 1), result.stderr
            assert result.returncode in (CONNECT, FAILED)
            assert re.search("the server refuses: |Too many", result.stderr), result.stderr
    wait_until(lambda: tell(server, "ps").returncode == OK)


def test_a_top_that_is_open_costs_the_server_next_to_nothing(begin):
    server = begin("--max-connections", "64")
    before_s = process_cpu_s(server.process.pid)
    for _ in range(3):
        told(server, "top", "--once")
    assert process_cpu_s(server.process.pid) - before_s <= 0.03 * SLOWNESS, "1 % of three seconds, a tick of 10 ms each"
