# SPDX-License-Identifier: MIT
"""_batched_pipe - runs that wait for a batched pipe are given to it together.

A run that reaches such a pipe waits on the event loop. When the calls are made is decided by the extension
(worker/engine/batch_rule.h); until then the loop sleeps once. One call of a pipe is made at a time. Runs that are
cancelled are taken out before it, and dropped behind it.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

from millrace_worker import _current, _ring
from millrace_worker._batcher import Failed

if TYPE_CHECKING:
    from millrace_worker._host import Host


class Limits(NamedTuple):
    """As they were said: the most runs of a call, and how long it waits for others."""

    count_max: int
    wait_ms: int


class Waiting:
    """A run at the pipe."""

    def __init__(self, key: int, values: Any, came: int, result: asyncio.Future[Any]) -> None:
        self.key = key
        self.values = values
        self.came = came
        self.result = result
        self.context = contextvars.copy_context()


class BatchedPipe:
    """One batched step of the graph."""

    def __init__(self, host: Host, step: Any, limits: Limits) -> None:
        self.host = host
        self.step = step
        self.known = _ring.batch(*limits)
        self.context = contextvars.copy_context()  # of no run
        self.waiting: dict[int, Waiting] = {}
        self.passed: set[int] = set()  # runs that go on behind the pipe
        self.called: list[Waiting] = []
        self.task: asyncio.Task[Any] | None = None  # of an asynchronous function
        self.look_handle: asyncio.Handle | None = None
        self.seen_count = 0

    # ---- runs --------------------------------------------------------------------------------------

    async def gather(self, values: Any) -> Any:
        """The result of the run at hand, once it was called for."""
        key = _current.run_key.get()
        assert key is not None
        run = Waiting(key, values, _ring.batch_come(self.known), self.host.loop.create_future())
        self.waiting[key] = run
        self.look_soon()
        try:
            result = await run.result
        finally:
            if self.waiting.pop(key, None) is not None:
                self.look_soon()  # it was cancelled: who is left may be the last that can come
            self.leave_call()
        self.passed.add(key)
        if isinstance(result, Failed):
            raise result.exception.with_traceback(result.traceback)
        return result

    def forget(self, key: int) -> None:
        """The run is over."""
        self.passed.discard(key)

    def leave_call(self) -> None:
        """Of a call that is awaited nobody may be left."""
        if self.task is not None and all(run.result.done() for run in self.called):
            # Behind the task's first step: one that is cancelled before it would never end the call.
            self.host.loop.call_soon(self.task.cancel)

    # ---- when --------------------------------------------------------------------------------------

    def look_soon(self) -> None:
        """Behind what is ready by now: other runs that came, too."""
        if isinstance(self.look_handle, asyncio.TimerHandle):
            self.look_handle.cancel()
            self.look_handle = None
        if self.look_handle is None:
            self.look_handle = self.host.loop.call_soon(self.look, context=self.context)

    def look(self) -> None:
        """Makes the call that is due, or sleeps until it is."""
        self.look_handle = None
        count = len(self.waiting)
        if self.called:
            return  # the end of the call looks again
        if self.host.has_more and count > self.seen_count:
            self.seen_count = count  # more come with the next turn, which is due
            self.look_soon()
            return
        self.seen_count = 0
        came = [run.came for run in self.waiting.values()]
        due = _ring.batch_due(self.known, count, count + len(self.passed), min(came, default=0), max(came, default=0))
        if isinstance(due, int):
            self.call(due)
        elif due is not None:
            self.look_handle = self.host.loop.call_later(due, self.look, context=self.context)

    # ---- the call ----------------------------------------------------------------------------------

    def call(self, count_max: int) -> None:
        """Of the first that wait. A run that is cancelled has a task that does not know it yet."""
        runs = [run for run in self.waiting.values()
                if not run.result.done() and not _ring.cancelled(run.key)][:count_max]
        if not runs:
            return
        for run in runs:
            del self.waiting[run.key]
        self.called = runs
        _ring.batch_begin(self.known, len(runs))
        context = runs[0].context if len(runs) == 1 else self.context.copy()
        try:
            results = context.run(self.call_in_context)
        except BaseException as exception:  # of user code, SystemExit too
            self.fail(exception)
            return
        if self.task is None:
            self.succeed(results)

    def call_in_context(self) -> Any:
        """What the function gives. What follows the call is of no run, so it is not done here."""
        _current.call_keys.set(tuple(run.key for run in self.called))
        results = self.step.call_together([run.values for run in self.called])
        if inspect.isawaitable(results):
            self.task = self.host.loop.create_task(self.wait(results))
            self.task.add_done_callback(self.hear_end, context=self.context)
        return results

    async def wait(self, results: Any) -> Any:
        try:
            return await results
        except BaseException as exception:  # likewise
            return Failed(exception)

    def hear_end(self, task: asyncio.Task[Any]) -> None:
        """Of a task that was cancelled before its first step, too."""
        self.task = None
        results = Failed(asyncio.CancelledError()) if task.cancelled() else task.result()
        if type(results) is Failed:  # isinstance() asks what user code returned
            self.fail(results.exception)
        else:
            self.succeed(results)

    def succeed(self, results: Any) -> None:
        try:
            results = [Failed(one) if isinstance(one, BaseException) else one
                       for one in self.step.results_of(results, len(self.called))]
        except BaseException as exception:  # of a list that is of user code, too
            self.fail(exception)
        else:
            self.end(results)

    def fail(self, exception: BaseException) -> None:
        self.end([Failed(exception)] * len(self.called))

    def end(self, results: list[Any]) -> None:
        """Gives each run what is its own. One that was cancelled meanwhile takes nothing."""
        _ring.batch_end(self.known)
        runs, self.called = self.called, []
        for run, result in zip(runs, results):
            if not run.result.done():
                run.result.set_result(result)
        self.host.turn()  # who came while the function kept the event loop is looked at, too
        self.look_soon()


def batched_pipes_of(host: Host, graph: Any, limits: Limits) -> list[BatchedPipe]:
    """Has the batched steps of a graph, which only our own package makes, gather their runs here."""
    find = getattr(graph, "_batched", None)
    pipes = [BatchedPipe(host, step, limits) for step in find()] if callable(find) else []
    for pipe in pipes:
        pipe.step.gather = pipe.gather
    return pipes
