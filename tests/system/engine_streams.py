# SPDX-License-Identifier: MIT
"""engine_streams - streams of the engine that tests have in C and in Python (pipelines/engine.c, engines.py)."""

import dataclasses
import re
import threading

import wire
from server import SLOWNESS, process_cpu_s, wait_until

STREAM_COUNT = 32


@dataclasses.dataclass(frozen=True)
class Engine:
    """One of the two, as it is served."""

    pointer: str
    source: str = ""

    def open(self, server, word="none", count=10, at=-1, ms=2, **connection):
        """A run whose values are [its number, the number of the step, runs in that step]."""
        return wire.Stream(server.connect(**connection), wire.run_body(self.pointer, [word, count, at, ms]))

    def worker(self, server):
        """The only one."""
        worker, = server.workers(self.pointer)
        return worker


def values_of(stream):
    with stream:
        return [wire.output_of(line) for line in stream.all() if line["error"] is None]


def last_error(stream):
    with stream:
        return stream.all()[-1]["error"]


def read_all(streams):
    """The values of each stream, read at the same time."""
    values = [None] * len(streams)

    def read(i):
        values[i] = values_of(streams[i])

    threads = [threading.Thread(target=read, args=[i]) for i in range(len(streams))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return values


def assert_whole(values, count):
    assert [value[0] for value in values] == list(range(count))
    steps = [value[1] for value in values]
    assert steps == list(range(steps[0], steps[0] + count)), "it has had no value in some step"


def switches_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"^voluntary_ctxt_switches:\s(\d+)", file.read(), re.MULTILINE)[1])


def switches_in(pid, seconds):
    """How often it went to sleep anew in that time."""
    before = switches_of(pid)
    threading.Event().wait(seconds)
    return switches_of(pid) - before


def wait_for_rest(pid):
    """Until it does nothing. One that is busy all the time does not go to sleep either."""
    def is_at_rest():
        before_s = process_cpu_s(pid)
        return switches_in(pid, 0.3) == 0 and process_cpu_s(pid) == before_s

    wait_until(is_at_rest, what="the worker's rest", timeout_s=50 * SLOWNESS)
