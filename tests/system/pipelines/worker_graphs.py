# SPDX-License-Identifier: MIT
"""worker_graphs - Python pipelines for tests of the worker, by what the worker needs of a graph alone."""

import asyncio
import contextvars
import ctypes
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import typing

import millrace_worker

LOADED_IN = os.getpid()


class Variable:
    def __init__(self, word, **details):
        self.type_word = word
        self.__dict__.update(details)


class Stream:
    def __init__(self, iterator):
        self.iterable = iterator


class Graph:
    def __init__(self, run, inputs, outputs=("stream",), startup=None):
        self.run = run
        self.input_variables = [word if isinstance(word, Variable) else Variable(word) for word in inputs]
        self.output_variables = [Variable(word) for word in outputs]
        if startup:
            self.startup = startup


def streaming(*inputs):
    """Makes a graph of a generator function."""
    return lambda function: Graph(lambda *values: [Stream(function(*values))], inputs)


# ---- plain runs ------------------------------------------------------------------------------------

@streaming("integer", "integer")
def numbers(count, pause_ms):
    try:
        for number in range(count):
            if pause_ms:
                time.sleep(pause_ms / 1000)
            yield {"i": number}
    finally:
        print("closed after", number if count else "nothing")


@streaming("array")
def values(items):
    yield from items


@streaming("string")
def odd(name):
    """Values that no request can send."""
    recursive = []
    recursive.append(recursive)
    yield {"tuple": (1, 2), "bytes": b"abc", "bytearray": bytearray(b"abc"), "index": Index(), "scalar": Scalar(),
           "max": 2 ** 64 - 1, "min": -2 ** 63, "nan": float("nan"), "list": [1, 2.5, True, None, "x"],
           "set": {1}, "deep": {"a": [{2}]}, "big": 2 ** 64, "small": -2 ** 63 - 1, "surrogate": "x\ud800",
           "key": {1: 2}, "recursive": recursive, "array": Array(), "not utf-8": b"\xff",
           "class": Graph}[name]


def inner():
    yield {1, 2}


def outer():
    yield from inner()


nested = Graph(lambda: [Stream(outer())], [])
sets = Graph(lambda: [Stream(iter([{1}]))], [])


class Index:
    def __index__(self):
        return 7


class Scalar:
    """As numpy's are."""
    dtype = "float32"
    shape = ()

    def item(self):
        return 0.5


class Array(Scalar):
    shape = (3,)


@streaming("string")
def misbehave(how):
    yield 1
    if how == "raise":
        raise ValueError("boom")
    if how == "cause":
        try:
            raise KeyError("first")
        except KeyError as error:
            raise RuntimeError("second") from error
    if how == "bad repr":
        raise BadRepr
    if how == "exit":
        sys.exit(3)
    if how == "_exit":
        os._exit(3)
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "stop":
        raise StopIteration
    if how == "memory":
        raise MemoryError("all of it")
    if how == "cuda memory":
        raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    if how == "cuda":
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    if how == "word":
        raise Worded("it took too long")
    if how == "segv":
        ctypes.string_at(8)
    if how in ("spin", "hold"):
        print("does not come back")
    if how == "spin":
        while True:
            pass
    if how == "hold":
        ctypes.PyDLL(None).sleep(3600)  # C code that does not give the interpreter's lock back
    if how == "ignore":
        while True:
            try:
                yield 2
            except GeneratorExit:
                print("ignored")
    if how == "long":
        raise ValueError("x" * 100000)


class BadRepr(Exception):
    def __repr__(self):
        raise ValueError("no repr")

    __str__ = __repr__


class OutOfMemoryError(RuntimeError):
    """As torch's is named."""


class Worded(Exception):
    error_type = "timeout"


def refuse(_):
    raise ValueError("never started")


failing = Graph(refuse, ["string"])
lists_nothing = Graph(lambda: [], [])
not_a_list = Graph(lambda: 7, [])
lockstep = Graph(lambda: [Stream(iter([1, 2, 3, 4])), "static", Stream(iter(["hello", "world"]))], [],
                 ["stream", "string", "stream"])
plain = Graph(lambda text, number: [text.upper(), number + 1], ["string", "integer"], ["string", "integer"])


class Ended:
    """An iterator that is told to end, as text streamers are."""

    def __iter__(self):
        return self

    def __next__(self):
        time.sleep(0.01)
        return "x"

    def end(self):
        print("end was called")


ended = Graph(lambda: [Stream(Ended())], [])


@streaming("integer")
def prompt(pause_ms):
    """Prints how long after the item at hand it was closed."""
    made_s = 0
    try:
        while True:
            time.sleep(pause_ms / 1000)
            made_s = time.monotonic()
            yield 1
    finally:
        print(f"closed {(time.monotonic() - made_s) * 1000:.0f} ms after the item at hand")


class PromptlyEnded(Ended):
    made_s = 0

    def __init__(self, pause_ms):
        self.pause_ms = pause_ms

    def __next__(self):
        time.sleep(self.pause_ms / 1000)
        self.made_s = time.monotonic()
        return 1

    def end(self):
        print(f"closed {(time.monotonic() - self.made_s) * 1000:.0f} ms after the item at hand")


promptly_ended = Graph(lambda pause_ms: [Stream(PromptlyEnded(pause_ms))], ["integer"])


def hang_at_startup():
    time.sleep(3600)


never_ready = Graph(lambda: [1], [], startup=hang_at_startup)


barrier = threading.Barrier(2)


@streaming("integer")
def meeting(patience_ms):
    """Ends well only when two runs are in it at once."""
    try:
        barrier.wait(patience_ms / 1000)
    except threading.BrokenBarrierError:
        barrier.reset()
        raise
    yield "met"


@streaming()
def hanging():
    yield 1
    time.sleep(3600)


mark = contextvars.ContextVar("mark", default=None)


def run_where():
    def items():
        try:
            yield [threading.get_ident() == thread, threading.current_thread() is threading.main_thread(), mark.get()]
            while True:
                time.sleep(0.01)
                yield "more"
        finally:
            print("closed in its thread" if threading.get_ident() == thread else "closed elsewhere")
    thread = threading.get_ident()
    mark.set("of the run")
    return [Stream(items())]


where = Graph(run_where, [])


# ---- what is printed -------------------------------------------------------------------------------

@streaming("string")
def speak(how):
    yield 1
    if how == "print":
        print("to stdout")
        print("to stderr", file=sys.stderr)
        print("without an end", end="")
    if how == "logging":
        logging.getLogger("mine").warning("of logging")
        logging.getLogger("mine").error("two\nlines")
    if how == "raw":
        os.write(1, b"by write\n")
        subprocess.run(["echo", "by a child"], check=True)
    if how == "thread":
        thread = threading.Thread(target=print, args=("of a thread",))
        thread.start()
        thread.join()
    if how == "flood":
        for number in range(20000):
            print("flood", number)
    if how == "raw flood":
        for number in range(20000):
            os.write(1, b"flood\n")
    if how == "child flood":
        subprocess.run(["seq", "20000"], check=True)
    if how == "odd":
        print("not \ud800 UTF-8")
    yield 2


@streaming("string")
def fork(how):
    yield 1
    child = os.fork()
    if child == 0 and how == "prints":
        print("of the child", flush=True)
        os._exit(0)
    if child == 0 and how == "descriptors":
        names = {os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if int(name) > 2
                 and os.path.exists(f"/proc/self/fd/{name}")}
        os._exit(any("memfd" in name or "eventfd" in name or "socket" in name for name in names))
    # "returns": the child goes on as if it were the worker
    _, status = os.waitpid(child, 0) if child else (0, 0)
    yield "child ended with", os.waitstatus_to_exitcode(status)


@streaming("string")
def pool(method):
    with multiprocessing.get_context(method).Pool(2) as workers:
        yield workers.map(abs, [-1, -2, 3])


# ---- asynchronous runs -----------------------------------------------------------------------------

async def run_ticks(count, pause_ms):
    await asyncio.sleep(0)

    async def ticks():
        task = asyncio.current_task()
        try:
            for number in range(count):
                await asyncio.sleep(pause_ms / 1000)
                print("tick", number)
                yield number
        finally:
            await asyncio.sleep(0)
            print("closed in its task" if asyncio.current_task() is task else "closed elsewhere")
    return [Stream(ticks())]


ticks = Graph(run_ticks, ["integer", "integer"])


async def run_async_misbehave(how):
    async def items():
        yield 1
        if how == "raise":
            raise ValueError("boom")
        if how == "set":
            yield {1}
        if how == "exit":
            sys.exit(3)
        if how == "task":
            asyncio.ensure_future(exit_in_task())
            await asyncio.sleep(0.01)
        if how == "swallow":
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    yield 2
        if how == "thread":
            await asyncio.to_thread(print, "of a thread")
        yield "last"
    if how == "start":
        raise ValueError("never started")
    return [Stream(items())]


async def exit_in_task():
    sys.exit(3)


async_misbehave = Graph(run_async_misbehave, ["string"])


def run_slow_to_begin():
    print("about to begin")
    time.sleep(0.2)
    return run_ticks(10 ** 6, 5)


slow_to_begin = Graph(run_slow_to_begin, [])


async def run_async_lockstep():
    async def words():
        for word in ("hello", "world"):
            yield word
    return [Stream(iter([1, 2, 3, 4])), "static", Stream(words())]


async_lockstep = Graph(run_async_lockstep, [], ["stream", "string", "stream"])


async def run_fat(count, size):
    async def items():
        for _ in range(count):
            yield "x" * size
    return [Stream(items())]


fat = Graph(run_fat, ["integer", "integer"])


# ---- what a run may ask ----------------------------------------------------------------------------

@streaming()
def asking():
    yield millrace_worker.run_id()
    print("asks")
    while not millrace_worker.cancelled():
        time.sleep(0.01)
    print("saw that it was cancelled")


async def run_asking_asynchronously():
    async def items():
        yield millrace_worker.run_id()
        while not await asyncio.to_thread(millrace_worker.cancelled):
            await asyncio.to_thread(time.sleep, 0.01)
    try:
        return [Stream(items())]
    finally:
        print("asked in", millrace_worker.run_id())


asking_asynchronously = Graph(run_asking_asynchronously, [])

# ---- inputs, startup, variables --------------------------------------------------------------------

echo = Graph(lambda value: [type(value).__name__, repr(value)], ["dictionary"], ["string", "string"])
described = Graph(lambda *_: [1], [Variable("integer", title="count", description="how many", default=3, gt=0, le=10,
                                            choices=[1, 3], examples=[1]),
                                   Variable("string", optional=True, min_length=1, max_length=9)], ["integer"])


class Started:
    value = None


def set_started():
    print("starting")
    Started.value = "started"


async def set_started_later():
    await asyncio.sleep(0)
    Started.value = "started later"


def fail_to_start():
    raise RuntimeError("no weights")


started = Graph(lambda: [Started.value], [], ["string"], set_started)
started_later = Graph(lambda: [Started.value], [], ["string"], set_started_later)
never_started = Graph(lambda: [1], [], ["integer"], fail_to_start)


class Counter:
    count = 0


def count_on():
    def run():
        while True:
            time.sleep(0.01)
            Counter.count += 1
    threading.Thread(target=run, daemon=True).start()


def talk():
    def run():
        for number in range(10 ** 9):
            print("a thread says", number, "x" * 200)
            if number % 50 == 0:
                time.sleep(0.001)
    for _ in range(2):
        threading.Thread(target=run, daemon=True).start()


def run_talking(count):
    def items():
        for number in range(count):
            if number % 100 == 0:
                print("the run says", number)
            yield {"i": number, "text": "y" * 300}
    return [Stream(items())]


async def run_talking_asynchronously(count):
    async def items():
        for item in run_talking(count)[0].iterable:
            yield item
    return [Stream(items())]


talking = Graph(run_talking, ["integer"], startup=talk)
talking_asynchronously = Graph(run_talking_asynchronously, ["integer"], startup=talk)
background = Graph(lambda: [Counter.count], [], ["integer"], count_on)
environment = Graph(lambda: [os.environ["MILLRACE_WORKER_INDEX"], sys.argv], [], ["string", "array"])

# ---- a graph as the original package makes it --------------------------------------------------------

class OriginalVariable:
    def __init__(self, type_class, is_input, **details):
        self.type_class = type_class
        self.is_input = is_input
        self.__dict__.update(details)


class InputSchema:
    """Told by its name, as the original's is."""


class Settings(InputSchema):
    pass


class File:
    """Likewise."""


class RunInputException(Exception):
    """Likewise; repr() is not what clients are told."""

    def __init__(self, message):
        self.message = message


class OriginalKinds:
    """Takes and gives what the original has types for, and what may be None besides."""

    def __init__(self):
        self.variables = [OriginalVariable(kind, True, optional=True) for kind in (File, Settings, bool, float)]
        self.outputs = [OriginalVariable(kind, False) for kind in (
            File, typing.List[File], typing.Optional[list], typing.Optional[File], typing.Any, typing.Union[int, str], None)]

    def run(self, *_inputs):
        raise RunInputException("the inputs are wrong")


class OriginalGraph:
    def __init__(self):
        self.outputs = [OriginalVariable(Stream, False)]
        self.variables = [OriginalVariable(str, True, title="text", optional=False), *self.outputs]

    def run(self, text):
        return [Stream(iter(text.split()))]


original, original_kinds = OriginalGraph(), OriginalKinds()

# ---- who runs it -----------------------------------------------------------------------------------

interpreter = Graph(lambda: [sys.prefix, list(sys.version_info[:2]), sys.path[-1]], [],
                    ["string", "array", "string"])
