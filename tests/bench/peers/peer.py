# SPDX-License-Identifier: MIT
"""peer - what every peer tells of itself, and a peer that runs.

A peer is a folder in stacks/ with its source or configuration and an __init__.py that has a class Peer. It
answers the same request with the same lines at three paths:

  /each     its own line, and each is sent when it is made
  /lines    its own line, gathered by its author or its buffers as long as the next need not be waited for
  /results  gathered likewise, the very bytes of millrace's lines, put together from constants

An answer of one line is a plain one, where that is cheaper.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from typing import NamedTuple

import processes
import work
from client import Load

READY_TIMEOUT_S = 60
LOOK_INTERVAL_S = 0.05


class Setup(NamedTuple):
    folder: str  # empty, its own
    port: int
    scenario: work.Scenario


class PeerBase:
    key = ""  # a word for the command line
    title = ""
    is_isolated = False  # the author's code runs in another process than the one that speaks HTTP
    about = ""  # how it is set up
    needs = ()  # programs
    paths = {"each": "/each", "own": "/lines", "same": "/results"}

    def missing(self):
        """Why it cannot run here at all; nothing when it can."""
        lost = [program for program in self.needs if not shutil.which(program)]
        return f"not installed: {', '.join(lost)}" if lost else None

    def version(self):
        raise NotImplementedError

    def commands(self, setup):
        """The servers to start, each in the foreground; files they need go into setup.folder."""
        raise NotImplementedError


class Running:
    """A peer that answers. LINE_BEFORE and LINE_AFTER tell it what stands around the value in /results."""

    def __init__(self, peer, scenario, around):
        self.peer = peer
        self.folder = tempfile.mkdtemp(prefix="millrace-peers-")
        self.port = free_port()
        self.servers = []
        self.log_path = os.path.join(self.folder, "log")
        self.log = open(self.log_path, "ab")  # servers open it anew, and must not write over each other
        try:
            for command in peer.commands(Setup(self.folder, self.port, scenario)):
                self.servers.append(self.start(command, around))
            self.wait_until_ready()
        except BaseException:
            self.end()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def start(self, command, around):
        """In the foreground; it ends with us, however we end."""
        return subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *command], stdin=subprocess.DEVNULL, stdout=self.log,
                                stderr=self.log, cwd=self.folder, env=dict(os.environ, **around))

    def end(self):
        for server in self.servers:
            processes.stop(server)
        self.log.close()
        shutil.rmtree(self.folder)

    def tree(self):
        return processes.tree([server.pid for server in self.servers])

    def cpu_s(self):
        return {"server": processes.cpu_s(self.tree())}

    def pss_bytes(self):
        return {"server": processes.pss_bytes(self.tree())}

    def wait_until_ready(self):
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not self.answers():
            ended = [server.args for server in self.servers if server.poll() is not None]
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"{self.peer.title} did not start: {self.last_words()}")
            time.sleep(LOOK_INTERVAL_S)

    def answers(self):
        try:
            one_line(self.port, self.peer.paths["own"])
            return True
        except (urllib.error.URLError, ConnectionError):
            return False

    def last_words(self):
        self.log.flush()
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return " | ".join(file.read().splitlines()[-3:]) or "it said nothing"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def one_line(port, path):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", Load(1, 1, work.TEXT_BYTES).body().encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=READY_TIMEOUT_S) as answer:
        return answer.read()
