# SPDX-License-Identifier: MIT
"""servers - what is measured: millrace, and the servers it is compared with. Contexts; leaving one ends it."""

import json
import os
import re
import socket
import subprocess
import time
import urllib.request

import processes
from machine import AS_SERVER, BUILD, TOP

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = "/usr/bin/python3"
LINES = os.path.join(TOP, "build/bench/lines.so")
LINES_PYTHON = os.path.join(HERE, "pipelines/lines.py")
START_TIMEOUT_S = 30


class Server:
    """A process that prints on which port of 127.0.0.1 it listens."""

    path = "/v4/runs/stream"

    def __init__(self, command, environment=None):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                        env=dict(os.environ, **(environment or {})))
        line = self.process.stdout.readline()
        match = re.search(r"(?:127\.0\.0\.1:|^)(\d+)", line)
        if not match:
            self.end()
            raise RuntimeError(f"{command[0]} did not start: {line!r}")
        self.port = int(match.group(1))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        processes.stop(self.process)
        self.process.stdout.close()

    def tree(self):
        return processes.tree([self.process.pid])

    def roles(self):
        """Its processes, by what they do."""
        return {"server": self.tree()}

    def cpu_s(self):
        return {role: processes.cpu_s(pids) for role, pids in self.roles().items()}

    def pss_bytes(self):
        return {role: processes.pss_bytes(pids) for role, pids in self.roles().items()}


class Millrace(Server):
    """`millrace serve` with one pipeline."""

    def __init__(self, *options, pipeline=LINES, environment=None):
        super().__init__([os.path.join(BUILD, "millrace"), "serve", pipeline, "--listen", "127.0.0.1:0", "--log-level",
                          "warning", *AS_SERVER, *options], environment)
        self.dispatcher = self.process.pid
        self.workers = [worker["pid"] for one in self.get_json("/v4/pipelines")["data"] for worker in one["workers"]]

    def roles(self):
        return {"dispatcher": [self.dispatcher], "workers": self.workers}

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=START_TIMEOUT_S) as answer:
            return answer.read().decode()

    def get_json(self, path):
        return json.loads(self.get(path))

    def metric(self, name):
        return int(re.search(rf"^millrace_{name} (\d+)$", self.get("/metrics"), re.MULTILINE).group(1))


class Python(Millrace):
    """A pipeline of pipelines/lines.py in workers of the system's interpreter."""

    def __init__(self, name, *options):
        super().__init__("--python", PYTHON, *options, pipeline=f"bench/lines:v1={LINES_PYTHON}:{name}")


class Reference(Server):
    """One of the servers in reference/: gathered, single, pipe or canned."""

    def __init__(self, *mode):
        super().__init__([os.path.join(BUILD, "tests/bench/reference/reference"), *mode])


class FastAPI(Server):
    """The shape people build themselves: one process, uvicorn, an asynchronous generator."""

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        super().__init__([PYTHON, os.path.join(HERE, "reference/fastapi_lines.py"), str(port)])
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    self.end()
                    raise
                time.sleep(0.05)

    @staticmethod
    def is_here():
        return subprocess.run([PYTHON, "-c", "import fastapi, uvicorn"], stderr=subprocess.DEVNULL,
                              check=False).returncode == 0
