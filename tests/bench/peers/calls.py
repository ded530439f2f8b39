# SPDX-License-Identifier: MIT
"""calls - system calls for a line, of millrace and of its peers, all their processes together.

Counted by strace in a round of its own, with few lines: a call takes it tens of microseconds, so that
nothing of that round is a rate. Only of what is not paced, where a slower server makes the same calls.
"""

import os
import signal
import subprocess
import tempfile

import client

LINE_COUNT_MAX = {"each": 20_000}  # where each line is a call, or more
LINE_COUNT_MAX_ELSE = 400_000
ANSWER_COUNT_MAX = 10_000
TIMEOUT_S = 60


class Unavailable(Exception):
    """There is no strace, or it may not look."""


def shortened(load, kind):
    """As many streams or connections, and as many lines as can be waited for: gathered ones need many to gather."""
    if load.lines == 1:
        return load._replace(requests=max(load.streams, min(load.request_count, ANSWER_COUNT_MAX)))
    line_count_max = LINE_COUNT_MAX.get(kind, LINE_COUNT_MAX_ELSE)
    return load._replace(lines=max(2, min(load.lines, line_count_max // load.streams)))


def per_line(side, kind, load):
    """Calls for a line of an answer, or nothing where they cannot be counted."""
    load = shortened(load, kind)
    try:
        with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
            with Trace(side.server.tree(), os.path.join(folder, "calls")) as trace:
                client.measure(side, load)
            return trace.total / (load.lines * load.request_count)
    except (Unavailable, client.Failed):
        return None


class Trace:
    """strace around several processes and their threads."""

    def __init__(self, pids, path):
        self.path = path
        self.total = None
        try:
            self.process = subprocess.Popen(
                ["strace", "-f", "-c", "-U", "calls,name", "-o", path, "-p", ",".join(map(str, pids))],
                stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        except FileNotFoundError as error:
            raise Unavailable from error
        for _ in pids:
            if "attached" not in self.process.stderr.readline():
                self.end()
                raise Unavailable

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.end()
        if kind is None:
            with open(self.path, encoding="ascii") as file:
                self.total = sum(int(calls) for calls, name in rows(file) if name != "total")

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=TIMEOUT_S)


def rows(file):
    for line in file:
        words = line.split()
        if len(words) == 2 and words[0].isdigit():
            yield words
