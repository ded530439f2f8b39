# SPDX-License-Identifier: MIT
"""counts - what dispatcher and worker do for each chunk, counted and not timed: the same on any machine.

Counting needs no help of the server: heap allocations are counted by preload/alloc_count.c inside
dispatcher and worker, system calls by strace, or by the kernel's own books where that is not allowed.
"""

import os
import shutil
import signal
import struct
import subprocess
import tempfile
import time

import client
from machine import BUILD, TOP
from servers import Millrace

TIMEOUT_S = 120

# What is counted, and what it should be at most for a chunk.
LIMITS = {
    "heap allocations, worker": "0",
    "heap allocations, dispatcher": "0",
    "system calls, dispatcher": "< 0.1",
    "doorbell writes, worker to dispatcher": "< 0.05",
    "doorbell writes, dispatcher to worker": "< 0.05",
}


class Trace:
    """strace counting the system calls of processes and their threads, together. Raises OSError where it may not."""

    def __init__(self, pids, folder):
        self.path = os.path.join(folder, f"calls.{pids[0]}")
        self.process = subprocess.Popen(
            ["strace", "-f", "-c", "-U", "name,calls", "-o", self.path, "-p", ",".join(map(str, pids))],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in pids:
            said = self.process.stderr.readline()
            if "attached" not in said:
                self.process.send_signal(signal.SIGINT)  # of the others it may have some
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


def count(load):
    """What dispatcher and worker do under a load, by the names of LIMITS and "calls, ..."."""
    folder = tempfile.mkdtemp(prefix="millrace-bench-")
    try:
        preload = preload_build(folder)
        with Millrace("--concurrency", str(load.streams), "--worker", worker_wrapper(folder, preload),
                      environment={"LD_PRELOAD": preload, "ALLOC_COUNT_DIR": folder}) as server:
            return counted(server, folder, load)
    finally:
        shutil.rmtree(folder)


def counted(server, folder, load):
    """The first round allocates what stays (buffers grow once), and the counters are read around the second; a
    third one is traced, since its allocations would not be the usual ones."""
    client.ask(server.port, load)
    worker, dispatcher = server.workers[0], server.dispatcher
    bells = server.metric("doorbells_total")
    before = allocations(folder, worker), allocations(folder, dispatcher)
    client.ask(server.port, load)
    after = allocations(folder, worker), allocations(folder, dispatcher)
    bells = server.metric("doorbells_total") - bells

    try:
        traces = [Trace([worker], folder), Trace([dispatcher], folder)]
    except OSError:
        traces = [Books(worker), Books(dispatcher, server)]
    client.ask(server.port, load)
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
