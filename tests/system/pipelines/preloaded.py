# SPDX-License-Identifier: MIT
"""preloaded - says where each part of its start was done, and does what DOES says while it is imported."""

import ctypes
import mmap
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

from pipeline import Pipeline, Variable, pipe
from pipeline.objects.graph import Stream

import millrace_worker

KEPT = []


def start_thread():
    threading.Thread(target=threading.Event().wait, daemon=True).start()


def start_thread_that_ends():
    threading.Timer(0.05, str).start()


def start_process():
    KEPT.append(subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL))


def open_socket():
    KEPT.append(socket.socketpair())


def open_device():
    KEPT.append(os.open("/dev/tty0" if os.access("/dev/tty0", os.R_OK) else "/dev/ptmx", os.O_RDWR | os.O_NOCTTY))


def write_file():
    KEPT.append(open(os.environ["TMPDIR"] + "/written", "w", encoding="utf-8"))


def map_memory():
    KEPT.append(mmap.mmap(-1, 4096))


def ask_driver():
    KEPT.append(ctypes.CDLL(os.environ["DRIVER"]))


def append_to_file():
    KEPT.append(open(os.environ["TMPDIR"] + "/appended", "a", encoding="utf-8"))


def read_file():
    KEPT.append(open(__file__, "rb", buffering=0))  # pylint: disable=consider-using-with
    KEPT[0].seek(7)


def draw_bar():
    from tqdm.auto import tqdm

    KEPT.extend(tqdm(range(3)))


def write_half_a_line():
    ctypes.CDLL(None).printf(b"half a line")
    append_to_file()
    KEPT[0].write("once\n")


def hang_after_copy():
    os.register_at_fork(after_in_parent=lambda: time.sleep(3600))


def fail_in_template():
    # What is known of the worker is not known there.
    os.environ["MILLRACE_DEVICE_INDEX"]


def ask_for_index():
    os.environ["MILLRACE_WORKER_INDEX"]


def fail():
    raise ValueError("no such weights")


def hang_in_template():
    if threading.current_thread() is threading.main_thread() and "--preload" in sys.orig_argv:
        time.sleep(3600)


def import_numpy():
    import numpy

    KEPT.append(numpy)


def lie():
    """Tells the dispatcher of a copy that is none, each time it is asked for one: FORKED of protocol.h."""
    pid = {"parent": os.getppid(), "self": os.getpid(), "nobody": 2 ** 22 + 1}[os.environ["LIE"]]

    def tell():
        forked = struct.pack("=IIii", int(os.environ["PLACE"]), 1, pid, 0)
        os.write(6, struct.pack("=IHHIIII", 0x4d4c5231, 1, 10, len(forked), 0, 0, 0) + forked)

    os.register_at_fork(before=tell)


def nothing():
    print("imported", flush=True)


{function.__name__: function for function in (
    start_thread, start_thread_that_ends, draw_bar, read_file, write_half_a_line, ask_for_index, hang_after_copy, start_process,
    open_socket, open_device, write_file, map_memory, ask_driver, append_to_file,
    fail_in_template, fail, hang_in_template, import_numpy, lie, nothing)}[os.environ.get("DOES", "nothing")]()

IMPORTED_BY = os.getpid()
preloaded_by = started_by = 0


@pipe(on_startup=True)
def start() -> None:
    global started_by
    started_by = os.getpid()
    millrace_worker.startup_progress(0.5, "started")


@pipe(on_startup=True, preload=True)
def preload() -> None:
    global preloaded_by
    assert started_by == 0  # goes first
    preloaded_by = os.getpid()


def product():
    numpy = KEPT[0]
    square = numpy.arange(256 * 256, dtype=float).reshape(256, 256)
    return float((square @ square).sum())


def draw_numpy():
    return KEPT[0].random.rand()


def open_path(path):
    with open(path, "rb"):
        return "opened"


def crash():
    ctypes.string_at(8)


def read_on():
    """Where the file of read_file() stands, and 100 bytes of it are read."""
    at = KEPT[0].tell()
    KEPT[0].read(100)
    return [os.getpid(), at]


def thread_numbers():
    """That of the thread as Python has it, and as the kernel; and whether the kernel knows its robust mutexes."""
    head, size = ctypes.c_void_p(), ctypes.c_size_t()
    ctypes.CDLL(None).syscall(274, 0, ctypes.byref(head), ctypes.byref(size))
    return [threading.main_thread().native_id == os.getpid(), threading.get_native_id() == os.getpid(), bool(head.value)]


def temporary():
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"written")
        file.flush()
        with open(file.name, "rb") as again:
            return [file.name, again.read().decode()]


def clone_sibling():
    libc = ctypes.CDLL(None, use_errno=True)
    return [libc.syscall(56, 0x8000 | 17, 0, 0, 0, 0), ctypes.get_errno()]


def trace(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    return [libc.ptrace(16, int(pid), None, None), ctypes.get_errno()]


def facts():
    return {"pid": os.getpid(), "parent": os.getppid(), "group": os.getpgid(0), "imported": IMPORTED_BY,
            "preloaded": preloaded_by, "started": started_by, "index": os.environ.get("MILLRACE_WORKER_INDEX"),
            "random": random.random(), "uid": os.getuid(),
            "cores": sorted(os.sched_getaffinity(0)), "device": os.environ.get("MILLRACE_DEVICE_INDEX"),
            "mask": os.environ.get("CUDA_VISIBLE_DEVICES"), "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd")),
            "tmp": os.environ.get("TMPDIR")}


@pipe
def do(what: str, argument: str) -> object:
    function = {one.__name__: one for one in (
        facts, product, draw_numpy, open_path, crash, clone_sibling, trace, read_on, temporary, thread_numbers, draw_bar)}[what]
    return function(*[argument] if argument else [])


@pipe
def count(number: int) -> Stream:
    def each():
        for one in range(number):
            yield one
            time.sleep(0.02)

    return Stream(each())


with Pipeline() as builder:
    word, text = Variable(str), Variable(str)
    start()
    preload()
    builder.output(do(word, text))
graph = builder.get_pipeline()

with Pipeline() as builder:
    length = Variable(int)
    builder.output(count(length))
streams = builder.get_pipeline()
