# SPDX-License-Identifier: MIT
"""editions - a configuration file that changes, of pipelines whose code is told apart, and streams meanwhile."""

import os
import threading

import wire
from conftest import compile_c
from server import TOP, wait_until

EDITION = "test/edition:v1"
OTHER = "test/other:v1"
SOURCE = os.path.join(TOP, "tests/system/pipelines/edition.c")
# In front of a server: what its file says of listen holds.
WITHOUT_LISTEN = ["/usr/bin/python3", "-c", "import os, sys; words = sys.argv[1:]; at = words.index('--listen'); "
                  "del words[at:at + 2]; os.execv(words[0], words)"]


class File:
    """A configuration file, what it says, and the editions of edition.c beside it."""

    def __init__(self, folder):
        self.folder = folder
        self.path = folder / "millrace.yaml"
        self.top = {}
        self.pipelines = {}
        self._built = {}

    def build(self, edition, *options):
        key = (edition, options)
        if key not in self._built:
            target = self.folder / f"built-{len(self._built)}"
            self._built[key] = compile_c(SOURCE, target, "-shared", "-fPIC", f"-DEDITION={edition}", *options)
        return self._built[key]

    def publish(self, edition, *options, name="edition.so"):
        """Puts it in the place of the one of that name, as a new file."""
        next_one = self.folder / "next"
        next_one.write_bytes(open(self.build(edition, *options), "rb").read())
        os.rename(next_one, self.folder / name)
        return name

    def say(self, pointer, source="edition.so:edition", **options):
        self.pipelines[pointer] = {"source": source,
                                   **{key.replace("_", "-"): value for key, value in options.items()}}

    def say_both(self):
        """What most tests begin with."""
        self.publish(1)
        self.say(EDITION)
        self.publish(1, name="other.so")
        self.say(OTHER, source="other.so:edition")
        return self

    def write(self):
        lines = [f"{key}: {value}" for key, value in self.top.items()] + ["pipelines:"]
        for pointer, options in self.pipelines.items():
            lines += [f"  {pointer}:", *(f"    {key}: {value}" for key, value in options.items())]
        self.path.write_text("\n".join(lines) + "\n")


def pids(server, pointer):
    return {worker["pid"] for worker in server.workers(pointer)}


def edition_of(server, pointer=EDITION):
    return [wire.output_of(line) for line in server.lines(pointer, 1, 0)]


class Streams:
    """Streams without a pause, a few at once: how many there were, of which editions, and what went wrong."""

    def __init__(self, server, *pointers, count=5, pause_ms=1):
        self.editions, self.failures, self._end, self._server = [], [], threading.Event(), server
        self._threads = [threading.Thread(target=self._run, args=(pointer, count, pause_ms)) for pointer in pointers]

    def _lines(self, pointer, *values):
        return self._server.lines(pointer, *values)

    def _run(self, pointer, count, pause_ms):
        while not self._end.is_set():
            try:
                lines = self._lines(pointer, count, pause_ms)
                values = [wire.output_of(line) for line in lines]
                assert len(values) == count and len(set(values)) == 1, values
                self.editions.append((pointer, values[0]))
            except Exception as error:  # pylint: disable=broad-except
                self.failures.append(error)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        wait_until(lambda: len(self.editions) >= len(self._threads))
        return self

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join()
