# SPDX-License-Identifier: MIT
"""What the log looks like, for machines too, and where it goes."""

import json
import os
import random
import re

import pytest

from server import example, wait_until

PRESS = "test/press:v1"
NUMBERS = "local/numbers:v1"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
LEVELS = {"debug", "info", "warning", "error"}
STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# What makes trouble in texts: quotes, escapes, line ends, terminals, beginnings of characters.
OFTEN = b"\"\\\n\r\t =<{}\x00\x1b\x7f\x9b\xc2\x9b\xe2\x80\xa8\xf0\xff"


def logfmt(line):
    """The pairs of a line, strictly: key=value, where a value is bare or a JSON string, each once."""
    result, at = {}, 0
    bare = re.compile(r"[^\s\"=\\\x00-\x1f\x7f]+")
    while at < len(line):
        if result:
            assert line[at] == " ", (at, line)
            at += 1
        key = re.compile(r"[a-z_]+(?==)").match(line, at)
        assert key and key[0] not in result, (at, line)
        at = key.end() + 1
        if line[at] == '"':
            result[key[0]], at = json.JSONDecoder().raw_decode(line, at)
        else:
            value = bare.match(line, at)
            assert value, (at, line)
            result[key[0]], at = value[0], value.end()
    return result


def garbage(seed):
    """What a worker may print: fewer lines in all than one may in a second."""
    chance = random.Random(seed)
    for _ in range(40):
        yield bytes(chance.choice(OFTEN) if chance.random() < 0.5 else chance.randrange(256)
                    for _ in range(chance.randrange(1, 120)))


def lines_of(data):
    """What is to be seen of bytes that were printed, as far as they are UTF-8."""
    return [once_replaced(line.decode(errors="replace")) for line in data.split(b"\n") if line]


def once_replaced(text):
    """How many bytes one U+FFFD stands for is anyone's choice."""
    return re.sub("\ufffd+", "\ufffd", text)


@pytest.mark.parametrize("form", ["json", "logfmt"])
def test_every_line_can_be_read_by_a_machine_whatever_a_worker_prints(start, pipelines, tmp_path, form):
    path = tmp_path / "log"
    server = start(f"{PRESS}={pipelines('edition')}:press", example("misbehave.so"), deaf=True,
                   options=["--log-format", form, "--log-level", "debug"],
                   command=["/bin/sh", "-c", f'exec "$0" "$@" 2>{path}'])
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    printed = list(garbage(seed))
    for data in printed:
        assert server.run(PRESS, data.hex()).status == 200
    server.lines("local/misbehave:v1", "abort", 1, 0)
    server.stop()
    events = []
    for line in path.read_bytes().decode().split("\n")[:-1]:
        assert not STEERING.search(line), line
        event = json.loads(line) if form == "json" else logfmt(line)
        assert list(event)[:3] == ["time", "level", "event"], event
        assert re.fullmatch(TIME, event["time"]) and event["level"] in LEVELS, event
        events.append(event)
    shown = [once_replaced(event["text"]) for event in events
             if event["event"] == "output" and event["pipeline"] == PRESS and event["text"]]
    assert shown == [line for data in printed for line in lines_of(data)]
    number = (lambda value: value) if form == "json" else str
    crash, = [event for event in events if event["event"] == "worker_crash"]
    assert crash["signal"] == number(6) and crash["worker"] == number(0) and "\n" in crash["text"]
    stopped, = [event for event in events if event["event"] == "stopped"]
    assert list(stopped.items())[1:] == [("level", "info"), ("event", "stopped"), ("code", number(0))]


def test_a_log_that_is_the_journal_says_the_priority_of_each_line(start, tmp_path):
    """systemd.exec(5): JOURNAL_STREAM names the journal's socket, and the server looks whether stderr still is that."""
    priorities = {"debug": 7, "info": 6, "warning": 4, "error": 3}
    for is_journal in (True, False):
        path = tmp_path / f"log-{is_journal}"
        path.touch()
        file = os.stat(path if is_journal else tmp_path)
        server = start(example("misbehave.so"), options=["--log-level", "debug"], deaf=True,
                       command=["/bin/sh", "-c", f'exec "$0" "$@" 2>>{path}'],
                       environment={"JOURNAL_STREAM": f"{file.st_dev}:{file.st_ino}"})
        server.lines("local/misbehave:v1", "abort", 1, 0)
        server.stop()
        seen = set()
        for line in path.read_text().splitlines():
            match = re.match(r"<(\d)>(\w+) [a-z_]+ " if is_journal else rf"()(){TIME} [a-z]+ [a-z_]+ ", line)
            assert match, line
            assert not is_journal or int(match[1]) == priorities[match[2]], line
            seen.add(match[2])
        assert seen == (LEVELS if is_journal else {""})
