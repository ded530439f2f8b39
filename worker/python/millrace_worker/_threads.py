# SPDX-License-Identifier: MIT
"""_threads - runs that have a thread each: plain pipelines under millrace serve --python-threads.

The thread calls all code of its run: run(), the iterators, their end. What it makes is packed and sent on
the thread of the event loop, a line at a time; the next item is asked for when the line is sent. So a run
that blocks delays no other, and the rings have one writer.
"""

from __future__ import annotations

import contextvars
import inspect
import threading
from typing import TYPE_CHECKING, Any

from millrace_worker import _current, _failure, _ring, _streams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from millrace_worker._failure import Description
    from millrace_worker._host import Host
    from millrace_worker._streams import Output


class Threaded:
    """A run, its thread and its side of the event loop."""

    def __init__(self, host: Host, key: int, inputs: list[Any]) -> None:
        self.host = host
        self.key = key
        self.inputs = inputs
        self.is_over = False   # nothing more is sent
        self.has_line = False  # the thread waits for an answer; the event loop's alone
        self.refusal: str | None = None  # why the line cannot be sent
        self.gate = threading.Semaphore(0)

    def begin(self, run_id: str) -> None:
        context = contextvars.copy_context()
        context.run(_current.run_key.set, self.key)
        threading.Thread(target=context.run, args=(self.work, ), name=run_id, daemon=True).start()

    # ---- on the thread of the event loop -----------------------------------------------------------

    def pack(self, values: list[Any], live: Sequence[int]) -> None:
        self.has_line = True
        try:
            if not self.is_over:
                _streams.pack_plain(self.key, values, live)
        except _failure.Unsendable as unsendable:
            self.refusal = unsendable.args[0]
        self.answer()

    def offer(self, values: tuple[Any, ...]) -> None:
        self.has_line = True
        sent = True if self.is_over else _ring.line(self.key, values)
        if sent is False:
            return  # resume() follows, or cancel()
        if sent is not True:
            self.refusal = sent
        self.answer()

    def answer(self) -> None:
        if self.has_line:
            self.has_line = False
            self.gate.release()

    def cancel(self) -> None:
        self.is_over = True
        self.answer()

    def resume(self) -> None:
        self.answer()

    def finish(self) -> None:
        self.is_over = True
        self.answer()

    # ---- on the thread of the run ------------------------------------------------------------------

    def work(self) -> None:
        plain = 0
        try:
            outputs = self.call()
            if not self.is_plain(outputs):
                self.post(self.host.take_over, self.key, outputs)
                return
            plain = _streams.plain_among(outputs)
            failure = self.work_off(outputs)
        except BaseException as exception:  # of user code, SystemExit too
            failure = _failure.describe(exception)
        _ring.check()
        del self.inputs
        self.post(_ring.end, self.key, failure, plain)

    def call(self) -> Any:
        """What run() gives: a list of outputs as open() makes it, or an awaitable."""
        outputs = self.host.graph.run(*self.inputs)
        _ring.check()
        return outputs if inspect.isawaitable(outputs) else self.host.open(outputs)

    def is_plain(self, outputs: Any) -> bool:
        return isinstance(outputs, list) and not any(_streams.is_asynchronous(iterator)
                                                     for iterator, _ in outputs)

    def work_off(self, opened: list[Output]) -> Description | None:
        """All lines, and the end of every stream. The failure, or None."""
        failure = None
        try:
            self.send_lines(opened)
        except BaseException as exception:  # of user code
            failure = _failure.describe(exception)
        _ring.check()
        _streams.close_all(opened)
        return failure

    def send_lines(self, opened: list[Output]) -> None:
        """As worker/engine/lockstep.c: an item of each live stream, until a line has none."""
        values = [value for _, value in opened]
        live = [index for index, (iterator, _) in enumerate(opened) if iterator is not None]
        if not live:
            self.send(values, opened)
        elif len(live) < len(values):
            self.ask(self.pack, values, tuple(live))
        while live and not self.is_over:
            for index in tuple(live):
                values[index] = next(opened[index][0], _ring.EXHAUSTED)
                if values[index] is _ring.EXHAUSTED:
                    live.remove(index)
            _ring.check()
            if live:
                self.send(values, opened)

    def send(self, values: Sequence[Any], opened: Sequence[Output]) -> None:
        """Returns when the line was sent, or the run is over."""
        try:
            self.ask(self.offer, tuple(values))
        except _failure.Unsendable as unsendable:
            raise _failure.Unsendable(unsendable.args[0] + _streams.place_among(opened)) from None

    def ask(self, function: Callable[..., object], *arguments: Any) -> None:
        """Has it called there, and waits for the answer."""
        self.post(function, *arguments)
        self.gate.acquire()
        if self.refusal is not None:
            raise _failure.Unsendable(self.refusal)

    def post(self, function: Callable[..., object], *arguments: Any) -> None:
        """Has it called on the thread of the event loop."""
        self.host.loop.call_soon_threadsafe(function, *arguments)
