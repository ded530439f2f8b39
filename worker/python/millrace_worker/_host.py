# SPDX-License-Identifier: MIT
"""_host - executes the runs of a graph: the callbacks of worker/python/_ring_host.c.

A plain run is stepped by the extension, which calls next() on the iterators found here. A run whose
graph returns an awaitable, or an output that is an asynchronous iterator, is driven by a task of one
event loop; where plain runs were asked to have threads, each is driven by its own (_threads.py). From the
first driven run on, the event loop is what the process sleeps in.
"""

import asyncio
import inspect
import sys

from millrace_worker import _current, _failure, _log, _ring, _streams, _threads

# Lines that a run sends before other tasks have a turn, when nothing in it waits.
LINES_PER_TURN = 32

# How long a thread that computes keeps the interpreter's lock while others wait to send a line.
SWITCH_INTERVAL_S = 0.0005


class Driven:
    """A run that a task drives."""

    def __init__(self, loop):
        self.loop = loop
        self.task = None
        self.window = None  # a future while a line waits for the window

    def cancel(self):
        # Behind the task's first step: one that is cancelled before it would never end its run.
        self.loop.call_soon(self.task.cancel)

    def resume(self):
        if self.window is not None and not self.window.done():
            self.window.set_result(None)

    def finish(self):
        # Its own last step, or the end of memory: then nobody else ends the task.
        if self.task is not asyncio.current_task(self.loop):
            self.cancel()


class Host:
    def __init__(self, graph, output_count, has_threads):
        self.graph = graph
        self.output_count = output_count
        self.has_threads = has_threads
        self.loop = None
        self.driven = {}
        self.timer = None
        self.is_over = False

    # ---- life --------------------------------------------------------------------------------------

    def start_up(self):
        """Runs the startup hooks of the graph, once."""
        hook = getattr(self.graph, "_startup", None) or getattr(self.graph, "startup", None)
        result = hook() if callable(hook) else None
        if inspect.isawaitable(result):
            self.event_loop().run_until_complete(result)

    def serve(self):
        if self.has_threads:
            self.event_loop()
            sys.setswitchinterval(SWITCH_INTERVAL_S)
        if not _ring.serve(self):
            self.serve_turns()

    def event_loop(self):
        if self.loop is None:
            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)
        return self.loop

    def serve_turns(self):
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

    def turn(self):
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        wait_s = _ring.turn()
        if wait_s is None:
            self.is_over = True
            self.loop.stop()
        elif wait_s >= 0:
            self.timer = self.loop.call_later(wait_s, self.turn)

    # ---- callbacks of plain runs -------------------------------------------------------------------

    def start(self, key, run_id, inputs):
        if self.has_threads:
            self.driven[key] = _threads.Threaded(self, key, inputs)
            self.driven[key].begin(run_id)
            return None
        outputs = self.graph.run(*inputs)
        if inspect.isawaitable(outputs):
            return self.drive(key, outputs)
        opened = self.open(outputs)
        if any(_streams.is_asynchronous(iterator) for iterator, _ in opened):
            return self.drive(key, opened)
        return opened

    def open(self, outputs):
        """(iterator, owner) for each output that is a stream, (None, value) for any other."""
        if not isinstance(outputs, (list, tuple)):
            raise TypeError(f"run() of the pipeline returned {type(outputs).__name__}, not a list of outputs")
        opened = [_streams.open_output(output) for output in outputs]
        if len(opened) != self.output_count:
            _streams.close_all(opened)
            raise TypeError(f"the pipeline has {self.output_count} outputs, this run returned {len(opened)}")
        return opened

    def close(self, iterator, owner):
        _streams.close(iterator, owner)

    def finish(self, key):
        run = self.driven.pop(key, None)
        if run is not None:
            run.finish()
        _log.flush(key)

    def describe(self, exception):
        return _failure.describe(exception)

    # ---- driven runs -------------------------------------------------------------------------------

    def drive(self, key, outputs):
        run = self.driven[key] = Driven(self.event_loop())
        token = _current.run_key.set(key)
        try:
            run.task = self.loop.create_task(self.drive_to_end(key, run, outputs))
        finally:
            _current.run_key.reset(token)

    def take_over(self, key, outputs):
        """Drives what a run's thread found to be asynchronous."""
        is_cancelled = self.driven[key].is_over
        self.drive(key, outputs)
        if is_cancelled:
            self.cancel(key)

    async def drive_to_end(self, key, run, outputs):
        opened = []
        failure = None
        try:
            if inspect.isawaitable(outputs):
                outputs = self.open(await outputs)
            opened = outputs
            await self.send_lines(key, run, opened)
        except BaseException as exception:  # of user code; CancelledError is the extension's matter
            failure = _failure.describe(exception)
        await _streams.close_all_asynchronously(opened)
        _ring.end(key, failure)

    async def send_lines(self, key, run, opened):
        """As worker/line.c: an item of each live stream, until a line has none."""
        streams = [_streams.Source(iterator) if iterator is not None else None for iterator, _ in opened]
        values = [value for _, value in opened]
        live = [index for index, stream in enumerate(streams) if stream is not None]
        if not live:
            await self.send_line(key, run, values)
            return
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
                await self.after(sent, run)
            line_count += 1
            if line_count % LINES_PER_TURN == 0:
                await asyncio.sleep(0)

    async def after(self, sent, run):
        """What follows a line that was not sent at once: it waits for the window, or is no line."""
        if sent is not False:
            raise _failure.Unsendable(sent)
        run.window = self.loop.create_future()
        await run.window

    async def send_line(self, key, run, values):
        sent = _ring.line(key, tuple(values))
        if sent is not True:
            await self.after(sent, run)

    def cancel(self, key):
        self.driven[key].cancel()

    def resume(self, key):
        self.driven[key].resume()
