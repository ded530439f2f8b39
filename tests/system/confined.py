# SPDX-License-Identifier: MIT
"""confined - a server whose workers are confined and say what they may do, and what of it this machine can try."""

import ctypes
import os
import sys

import pytest

import wire
from server import BUILD, IS_SANITIZED

HERE = os.path.dirname(os.path.abspath(__file__))
CODE = os.path.join(HERE, "pipelines", "confined.py")
NAMES = ("call", "file", "limit", "deathsig", "crash")

has_python = os.path.exists(os.path.join(BUILD, "python/millrace_worker/_ring.abi3.so"))
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may change users")
needs_python = pytest.mark.skipif(not has_python, reason="the extension was not built: python3-dev is missing")
needs_core_files = pytest.mark.skipif(
    open("/proc/sys/kernel/core_pattern", encoding="ascii").read().strip() != "core",
    reason="core files of this machine go elsewhere than to the folder of the process")

# Sanitizers map shadows of all memory; and look for leaks from a process that they start at the end.
unless_sanitized = pytest.mark.skipif(IS_SANITIZED, reason="sanitizers take memory that pipelines do not")
NO_LEAK_CHECK = {"worker_options": "detect_leaks=0"}

KINDS = ["C", pytest.param("Python", marks=needs_python)]

# Each leaves "ok", or raises.
ORDINARY = {
    "threads": "import threading; t = threading.Thread(target=print); t.start(); t.join()",
    "programs": "import subprocess; subprocess.run(['/bin/sh', '-c', 'exit 0'], check=True)",
    "processes": "import os; pid = os.fork() or os._exit(0); os.waitpid(pid, 0)",
    "pools": "import multiprocessing as m; p = m.get_context('spawn').Pool(1); assert p.map(abs, [-1]) == [1]; p.close()",
    "sockets": "import socket; socket.create_server(('127.0.0.1', 0)).close()",
    "local_sockets": "import socket; socket.socket(socket.AF_UNIX).close()",
    "socket_pairs": "import socket; [end.close() for end in socket.socketpair()]",
    "event_loops": "import asyncio; asyncio.new_event_loop().close()",
    "numpy": "import numpy; assert (numpy.ones((50, 50)) @ numpy.ones((50, 50))).sum() == 50 ** 3",
    "locked_memory": "import ctypes; libc = ctypes.CDLL(None); b = ctypes.create_string_buffer(64); "
                     "assert libc.mlock(b, 64) == 0",
    "memory_files": "import os; os.close(os.memfd_create('x'))",
    "shared_memory": "import os; f = '/dev/shm/millrace-test-%d' % os.getpid(); "
                     "os.close(os.open(f, os.O_CREAT)); os.unlink(f)",
    "tracked_memory": "from multiprocessing import shared_memory as m; s = m.SharedMemory(create=True, size=9); "
                     "s.close(); s.unlink()",
    "reserved_addresses": "import mmap; mmap.mmap(-1, 1 << 40, mmap.MAP_PRIVATE | 0x4000, prot=0)",
    "affinity": "import os; os.sched_setaffinity(0, os.sched_getaffinity(0))",
    "priorities": "import os; os.nice(1)",
    "own_state": "open('/proc/self/maps').read()",
    "signals": "import signal; signal.raise_signal(signal.SIGCHLD)",
    "timers": "import signal; signal.setitimer(signal.ITIMER_REAL, 0)",
    "files": "import tempfile; tempfile.TemporaryFile().close()",
    "name_look_ups": "import socket; socket.getaddrinfo('127.0.0.1', 80)",
}


class Confined:
    """A server of both kinds of workers with these options."""

    def __init__(self, start, pipelines, *options, code=CODE, **more):
        source = pipelines("confined")
        words = [f"me/{name}:v1={source}:{name}" for name in NAMES]
        if has_python:
            words.append(f"me/code:v1={code}:graph")
        # Folders in it may be read by every worker.
        more = {"environment": {"PYTHONPATH": ""}, **more}
        self.server = start(*words, options=["--python", sys.executable, *options], **more)

    def ask(self, name, *values):
        """What the pipeline answers."""
        return wire.output_of(wire.check_line(self.server.run(f"me/{name}:v1", *values).body))

    def code(self, text):
        return self.ask("code", text)

    def call(self, name, *numbers):
        """A system call made by the worker of C; numbers that are not said are -1."""
        return self.ask("call", call_number(name), *map(int, (numbers + (-1,) * 4)[:4]))

    def limit(self, name, kind):
        """SOFT HARD of a worker of C, or of Python."""
        if kind == "C":
            text = self.ask("limit", name)
        else:
            text = self.code(f"import resource; answer = '%d %d' % resource.getrlimit({name})")
        return tuple(int(number) for number in text.split())


def call_number(name):
    resolve = ctypes.CDLL("libseccomp.so.2").seccomp_syscall_resolve_name
    return resolve(name.encode())


def landlock_version():
    return ctypes.CDLL(None).syscall(call_number("landlock_create_ruleset"), None, 0, 1)


def needs_landlock(version):
    return pytest.mark.skipif(landlock_version() < version, reason=f"this kernel has no Landlock {version}")
