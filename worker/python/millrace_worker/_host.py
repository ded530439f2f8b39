# SPDX-License-Identifier: MIT
"""_host - executes the runs of a graph: the callbacks of worker/python/_ring_host.c.

A plain run is stepped by the extension, which calls next() on the iterators found here. A run whose
graph returns an awaitable, or an output that is an asynchronous iterator, is driven by a task of one
event loop; where plain runs were asked to have threads, each is driven by its own (_threads.py). From the
first driven run on, the event loop is what the process sleeps in.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any

from millrace_worker import (_batched_pipe, _current, _engine, _engine_host, _failure, _files, _given, _log, _ring,
                             _streams, _threads)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from millrace_worker._failure import Description
    from millrace_worker._streams import Output

# Lines that a run sends before other tasks have a turn, when nothing in it waits.
LINES_PER_TURN = 32

# How long a thread that computes keeps the interpreter's lock while others wait to send a line.
SWITCH_INTERVAL_S = 0.0005


class Driven:
    """A run that a task drives."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.task: asyncio.Task[None] = None  # type: ignore[assignment]  # until there is one
        self.window: asyncio.Future[None] | None = None  # while a line waits for the window
        # Of a task that ended while its line waited, as user code has cancelled it: what ends the run.
        self.end: Callable[[], object] | None = None

    def cancel(self) -> None:
        # Behind the task's first step: one that is cancelled before it would never end its run.
        if self.end is not None:
            self.loop.call_soon(self.end)
        else:
            self.loop.call_soon(self.task.cancel)

    def resume(self) -> None:
        if self.end is not None:
            self.loop.call_soon(self.end)
        elif self.window is not None and not self.window.done():
            self.window.set_result(None)

    def finish(self) -> None:
        # Its own last step, or the end of memory: then nobody else ends the task.
        if self.task is not asyncio.current_task(self.loop):
            self.cancel()


class Host:
    """A graph and its runs, each by its key: the extension's number for it."""

    def __init__(self, graph: Any, output_count: int, has_threads: bool, limits: _batched_pipe.Limits) -> None:
        self.graph = graph
        self.output_count = output_count
        self.engine = _engine.engine_of(graph)
        self.engine_capacity = 0
        self.directories = _files.directories_of(graph)
        self.has_threads = has_threads
        # event_loop() makes it, before anything else uses it.
        self.loop: asyncio.AbstractEventLoop = None  # type: ignore[assignment]
        self.driven: dict[int, Driven | _threads.Threaded] = {}
        self.timer: asyncio.TimerHandle | None = None
        self.is_over = False
        self.has_more = False  # a turn is due at once: there may be more runs to be taken
        self.limits = limits
        self.batched_pipes: list[_batched_pipe.BatchedPipe] = []

    # ---- life --------------------------------------------------------------------------------------

    def start_up(self) -> None:
        """Runs the startup hooks of the graph, once."""
        hook = getattr(self.graph, "_startup", None) or getattr(self.graph, "startup", None)
        result = hook() if callable(hook) else None
        if inspect.isawaitable(result):
            self.event_loop().run_until_complete(result)
        if self.engine is not None:
            self.engine_capacity = _engine_host.capacity_of(self.engine)

    def serve(self) -> None:
        """Says READY, and executes runs until the dispatcher ends it."""
        if self.engine is not None:
            # On this thread alone, whatever plain runs have.
            _engine_host.Host(self.graph).serve(self.engine_capacity)
            return
        if self.has_threads:
            self.event_loop()
            sys.setswitchinterval(SWITCH_INTERVAL_S)
        self.batched_pipes = _batched_pipe.batched_pipes_of(self, self.graph, self.limits)
        if not _ring.serve(self):
            self.serve_turns()

    def event_loop(self) -> asyncio.AbstractEventLoop:
        if self.loop is None:
            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)
        return self.loop

    def serve_turns(self) -> None:
        loop = self.event_loop()
        loop.add_reader(_ring.fileno(), self.turn)
        loop.call_soon(self.turn)
        while not self.is_over:
            try:
                loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as exception:  # of a task that user code made
                print(f"a task raised {exception!r}", file=sys.stderr)
        loop.remove_reader(_ring.fileno())
        loop.run_until_complete(loop.shutdown_asyncgens())

    def turn(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        wait_s = _ring.turn()
        self.has_more = wait_s == 0
        if wait_s is None:
            self.is_over = True
            self.loop.stop()
        elif wait_s >= 0:
            self.timer = self.loop.call_later(wait_s, self.turn)

    # ---- callbacks of plain runs -------------------------------------------------------------------

    def file(self, path: str) -> Any:
        """What pipes get of a file among the inputs."""
        return _files.file_of(path)

    def given(self, value: Any) -> tuple[int, str] | str | None:
        """What an output gives that is a file, or has one in it."""
        return _given.given(value)

    def start(self, key: int, run_id: str, inputs: list[Any]) -> list[Output] | None:
        """The outputs, which the extension steps; None of a run that is driven here."""
        if self.directories:
            inputs = _files.as_directories(list(inputs), self.directories)
        if self.has_threads:
            run = self.driven[key] = _threads.Threaded(self, key, inputs)
            run.begin(run_id)
            return None
        outputs = self.graph.run(*inputs)
        if inspect.isawaitable(outputs):
            self.drive(key, outputs)
            return None
        opened = self.open(outputs)
        if any(_streams.is_asynchronous(iterator) for iterator, _ in opened):
            self.drive(key, opened)
            return None
        return opened

    def open(self, outputs: Any) -> list[Output]:
        """(iterator, owner) for each output that is a stream, (None, value) for any other."""
        if not isinstance(outputs, (list, tuple)):
            raise TypeError(f"run() of the pipeline returned {type(outputs).__name__}, not a list of outputs")
        opened = [_streams.open_output(output) for output in outputs]
        if len(opened) != self.output_count:
            _streams.close_all(opened)
            raise TypeError(f"the pipeline has {self.output_count} outputs, this run returned {len(opened)}")
        return opened

    def close(self, iterator: Any, owner: Any) -> None:
        _streams.close(iterator, owner)

    def finish(self, key: int) -> None:
        run = self.driven.pop(key, None)
        if run is not None:
            run.finish()
        for pipe in self.batched_pipes:
            pipe.forget(key)
        _log.flush(key)

    def describe(self, exception: BaseException) -> Description:
        return _failure.describe(exception)

    def place(self, iterator: Any) -> str:
        return _streams.place_of(iterator)

    # ---- driven runs -------------------------------------------------------------------------------

    def drive(self, key: int, outputs: Any) -> None:
        run = self.driven[key] = Driven(self.event_loop())
        token = _current.run_key.set(key)
        try:
            run.task = self.loop.create_task(self.drive_to_end(key, run, outputs))
        finally:
            _current.run_key.reset(token)

    def take_over(self, key: int, outputs: Any) -> None:
        """Drives what a run's thread found to be asynchronous."""
        run = self.driven[key]
        is_cancelled = isinstance(run, _threads.Threaded) and run.is_over
        self.drive(key, outputs)
        if is_cancelled:
            self.cancel(key)

    async def drive_to_end(self, key: int, run: Driven, outputs: Any) -> None:
        opened: list[Output] = []
        failure = None
        try:
            if inspect.isawaitable(outputs):
                outputs = self.open(await outputs)
            opened = outputs
            await self.send_lines(key, run, opened)
        except BaseException as exception:  # of user code; CancelledError is the extension's matter
            failure = _failure.describe(exception)
        await _streams.close_all_asynchronously(opened)
        end = functools.partial(_ring.end, key, failure, _streams.plain_among(opened))
        if not end():
            run.end = end

    async def send_lines(self, key: int, run: Driven, opened: list[Output]) -> None:
        """As worker/engine/lockstep.c: an item of each live stream, until a line has none."""
        streams: list[Any] = [_streams.Source(iterator) if iterator is not None else None
                              for iterator, _ in opened]
        values = [value for _, value in opened]
        live = [index for index, stream in enumerate(streams) if stream is not None]
        if not live:
            await self.send_line(key, run, values)
            return
        _streams.pack_plain(key, values, live)
        line_count = 0
        while True:
            for index in tuple(live):
                source = streams[index]
                if source.is_asynchronous:
                    try:
                        values[index] = await source.step()
                    except StopAsyncIteration:
                        values[index] = _ring.EXHAUSTED
                else:
                    values[index] = source.step()
                if values[index] is _ring.EXHAUSTED:
                    live.remove(index)
            if not live:
                return
            sent = _ring.line(key, tuple(values))
            if sent is not True:
                await self.after(sent, run, opened)
            line_count += 1
            if line_count % LINES_PER_TURN == 0:
                await asyncio.sleep(0)

    async def after(self, sent: bool | str, run: Driven, opened: Sequence[Output]) -> None:
        """What follows a line that was not sent at once: it waits for the window, or is no line."""
        if isinstance(sent, str):
            raise _failure.Unsendable(sent + _streams.place_among(opened))
        run.window = self.loop.create_future()
        await run.window

    async def send_line(self, key: int, run: Driven, values: Sequence[Any]) -> None:
        sent = _ring.line(key, tuple(values))
        if sent is not True:
            await self.after(sent, run, ())

    def cancel(self, key: int) -> None:
        self.driven[key].cancel()

    def resume(self, key: int) -> None:
        self.driven[key].resume()
