# SPDX-License-Identifier: MIT
"""flood - a server under load, what it spends, and what it does for each chunk; for bench and tests.

Counting needs no help of the server: heap allocations are counted by preload/alloc_count.c inside
dispatcher and worker, system calls by strace, or by the kernel's own books where that is not allowed.
"""

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(TOP, os.environ.get("BUILD", "build/release"))
NUMBERS = os.path.join(TOP, "build/examples/numbers.so")
TIMEOUT_S = 120

# What is counted, and what it should be at most for a chunk.
LIMITS = {
    "heap allocations, worker": "0",
    "heap allocations, dispatcher": "0",
    "system calls, dispatcher": "< 0.1",
    "doorbell writes, worker to dispatcher": "< 0.05",
    "doorbell writes, dispatcher to worker": "< 0.05",
}


def load(port, streams, chunks, text_bytes, pace_ms=0):
    """Runs the client to its end; its figures."""
    words = [f"127.0.0.1:{port}", str(streams), str(chunks), str(text_bytes), str(pace_ms)]
    result = subprocess.run([os.path.join(BUILD, "tests/bench/load"), *words], stdout=subprocess.PIPE, text=True,
                            timeout=TIMEOUT_S, check=True)
    return json.loads(result.stdout)


def cpu_s(pid):
    """CPU seconds of all threads of a process, to the nanosecond."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def child_of(pid):
    """The one child of a server with one worker."""
    children = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
            children += file.read().split()
    return int(children[0])


class Process:
    """A process that says on which port it listens."""

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
        self.process.terminate()
        self.process.wait(timeout=TIMEOUT_S)
        self.process.stdout.close()


class Server(Process):
    """`millrace serve` with the pipeline `numbers` on one worker."""

    def __init__(self, *options, environment=None):
        super().__init__([os.path.join(BUILD, "millrace"), "serve", NUMBERS, "--listen", "127.0.0.1:0", "--log-level",
                          "warning", *options], environment)
        self.worker = child_of(self.process.pid)

    def cpu_s(self):
        return {"dispatcher": cpu_s(self.process.pid), "worker": cpu_s(self.worker)}

    def metric(self, name):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=TIMEOUT_S) as answer:
            return int(re.search(rf"^millrace_{name} (\d+)$", answer.read().decode(), re.MULTILINE).group(1))


class Reference(Process):
    """reference_epoll: one process that makes the same lines."""

    def __init__(self):
        super().__init__([os.path.join(BUILD, "tests/bench/reference_epoll")])

    def cpu_s(self):
        return {"process": cpu_s(self.process.pid)}


class Trace:
    """strace counting the system calls of a process and its threads. Raises OSError where it may not."""

    def __init__(self, pid, folder):
        self.path = os.path.join(folder, f"calls.{pid}")
        self.process = subprocess.Popen(["strace", "-f", "-c", "-U", "name,calls", "-o", self.path, "-p", str(pid)],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        said = self.process.stderr.readline()
        if "attached" not in said:
            self.process.communicate(timeout=TIMEOUT_S)
            raise OSError(f"no tracing here: {said.strip()}")

    def end(self):
        """Calls by name."""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=TIMEOUT_S)
        with open(self.path, encoding="ascii") as file:
            rows = (line.split() for line in file)
            return {row[0]: int(row[1]) for row in rows
                    if len(row) == 2 and row[1].isdigit() and row[0] != "total"}


class Books:
    """Where tracing is not allowed: what kernel and server count of themselves. Fewer kinds of calls."""

    def __init__(self, pid, server=None):
        self.pid = pid
        self.server = server
        self.before = self._read()

    def _read(self):
        with open(f"/proc/{self.pid}/io", encoding="ascii") as file:
            numbers = dict(line.split(": ") for line in file)
        calls = {"read": int(numbers["syscr"]), "write": int(numbers["syscw"])}
        if self.server:
            calls["io_uring_enter"] = self.server.metric("enters_total")
        return calls

    def end(self):
        after = self._read()
        return {name: after[name] - self.before[name] for name in after}


def allocations(folder, pid):
    with open(os.path.join(folder, str(pid)), "rb") as file:
        return struct.unpack("=Q", file.read(8))[0]


def worker_wrapper(folder, preload):
    """A worker program that loads the counter; workers inherit no LD_PRELOAD."""
    path = os.path.join(folder, "worker")
    with open(path, "w", encoding="ascii") as file:
        file.write(f"#!/bin/sh\nexport LD_PRELOAD={preload} ALLOC_COUNT_DIR={folder}\n"
                   f'exec {os.path.join(BUILD, "millrace-worker")} "$@"\n')
    os.chmod(path, 0o755)
    return path


def preload_build(folder):
    path = os.path.join(folder, "alloc_count.so")
    subprocess.run([os.environ.get("CC", "gcc"), "-std=c11", "-D_GNU_SOURCE", "-O2", "-shared", "-fPIC", "-o", path,
                    os.path.join(TOP, "tests/bench/preload/alloc_count.c")], check=True)
    return path


def count(streams, chunks, text_bytes):
    """What dispatcher and worker do in a flood, by the names of LIMITS and "calls, ...".

    Twice the same flood, since one that is traced should not be the one whose allocations count: the
    first allocates what stays (buffers grow once), and the counters are read around the second."""
    folder = tempfile.mkdtemp(prefix="millrace-bench-")
    try:
        preload = preload_build(folder)
        with Server("--concurrency", str(streams), "--worker", worker_wrapper(folder, preload),
                    environment={"LD_PRELOAD": preload, "ALLOC_COUNT_DIR": folder}) as server:
            return count_flood(server, folder, (streams, chunks, text_bytes))
    finally:
        shutil.rmtree(folder)


def count_flood(server, folder, shape):
    load(server.port, *shape)
    worker, dispatcher = server.worker, server.process.pid
    bells = server.metric("doorbells_total")
    before = allocations(folder, worker), allocations(folder, dispatcher)
    load(server.port, *shape)
    after = allocations(folder, worker), allocations(folder, dispatcher)
    bells = server.metric("doorbells_total") - bells

    try:
        traces = [Trace(worker, folder), Trace(dispatcher, folder)]
    except OSError:
        traces = [Books(worker), Books(dispatcher, server)]
    load(server.port, *shape)
    time.sleep(0.1)  # the end of the last run is counted too
    calls = [trace.end() for trace in traces]
    return {
        "heap allocations, worker": after[0] - before[0],
        "heap allocations, dispatcher": after[1] - before[1],
        "system calls, dispatcher": sum(calls[1].values()),
        "doorbell writes, worker to dispatcher": calls[0].get("write", 0),
        "doorbell writes, dispatcher to worker": max(bells, calls[1].get("write", 0)),
        "calls, worker": calls[0],
        "calls, dispatcher": calls[1],
    }
