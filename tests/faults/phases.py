# SPDX-License-Identifier: MIT
"""phases - brings a run of the pipeline `faults` into one of its phases, and holds it there."""

import contextlib
import os
import signal

import wire
from server import wait_until

FAULTS = "test/faults:v1"
NUMBERS = "local/numbers:v1"
PHASES = ("queued", "starting", "first", "streaming", "finishing")
COUNT = 5
FINISHED_COUNT = 400


def worker(server, pointer=FAULTS):
    return server.workers(pointer)[0]


def is_idle(server, pointer=FAULTS):
    return worker(server, pointer)["active"] == 0 and server.pipeline(pointer)["queued"] == 0


class Held:
    """A run in a phase. `stream` is its client's; release() lets it go on."""

    def __init__(self, server, phase, how="wait", headers=None):
        self.server = server
        self.headers = headers
        self.phase = phase
        self.stack = contextlib.ExitStack()
        self.mark = server.log_mark()
        getattr(self, "_enter_" + phase)(how)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path("go"))

    def _path(self, name):
        return os.path.join(self.server.folder, name)

    def _open(self, *values, pointer=FAULTS, small=False, headers=None):
        options = {"receive_buffer_bytes": 4096} if small else {}
        connection = self.stack.enter_context(self.server.connect(**options))
        return wire.Stream(connection, wire.run_body(pointer, values), headers)

    def _enter_queued(self, _):
        self.ahead = self._open("wait", "streaming", COUNT)
        self.ahead.next()
        self.stream = self._open("none", "first", COUNT, headers=self.headers)
        wait_until(lambda: self.server.pipeline(FAULTS)["queued"] == 1)

    def _enter_starting(self, _):
        """The worker is replaced, and its successor takes its time."""
        with open(self._path("startup"), "w", encoding="ascii") as file:
            file.write("patient")
        os.kill(worker(self.server)["pid"], signal.SIGKILL)
        wait_until(lambda: not os.path.exists(self._path("startup")), what="a worker in its start")
        self.stream = self._open("none", "first", COUNT, headers=self.headers)
        wait_until(lambda: self.server.pipeline(FAULTS)["queued"] == 1)

    def _enter_first(self, how):
        self.stream = self._open(how, "first", COUNT, headers=self.headers)
        wait_until(lambda: worker(self.server)["active"] == 1)
        self._wait_watching(how)

    def _enter_streaming(self, how):
        self.stream = self._open(how, "streaming", COUNT, headers=self.headers)
        for _ in range(COUNT - 1):
            self.stream.next()
        self._wait_watching(how)

    def _wait_watching(self, how):
        """The pipeline is where it looks; else the run might be cancelled before it gets there."""
        if how == "watch":
            self.server.wait_log('"watching"', self.mark)

    def _enter_finishing(self, _):
        """The run has ended and its slot is free; most of its output waits for its client."""
        self.stream = self._open(FINISHED_COUNT, "x" * 100, 0, pointer=NUMBERS, small=True,
                                 headers=self.headers)
        self.server.wait_log(r" run_end .* state=completed ", self.mark)

    @property
    def pointer(self):
        return NUMBERS if self.phase == "finishing" else FAULTS

    @property
    def count(self):
        return FINISHED_COUNT if self.phase == "finishing" else COUNT

    def release(self):
        """Ends what a queued or starting run waits for."""
        if self.phase == "queued":
            self.ahead.close()
        elif self.phase == "starting":
            with open(self._path("go"), "w", encoding="ascii"):
                pass

    def is_over(self):
        """No slot, no place in the queue, no output."""
        metric = self.server.metric
        return is_idle(self.server, self.pointer) and metric("millrace_runs") == 0 \
            and metric("millrace_output_memory_bytes") <= 16384 and metric("millrace_connections") == 1
