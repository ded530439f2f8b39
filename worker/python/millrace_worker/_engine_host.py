# SPDX-License-Identifier: MIT
"""_engine_host - serves a pipeline that is an engine: the callbacks of worker/python/_ring_step.c."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

from millrace_worker import _failure, _files, _given, _log, _ring
from millrace_worker._engine import FUNCTIONS, LATER, Run, engine_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from millrace_worker._failure import Description

CAPACITY_MAX = 2**31 - 1


def check(graph: Any, outputs: Sequence[str]) -> None:
    """TypeError for an engine that cannot be one. `outputs` are words."""
    engine = engine_of(graph)
    if engine is None:
        return
    if list(outputs) != ["stream"]:
        raise TypeError(f"a pipeline with an engine has one output, a stream; this one has: {', '.join(outputs)}")
    for name in FUNCTIONS:
        function = inspect.unwrap(getattr(engine, name))
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{name}() of the engine is asynchronous, and would not be awaited: runs of asynchronous "
                            "pipes share an event loop, and a Batcher makes steps of what they ask for")


def capacity_of(engine: Any) -> int:
    """How many runs it takes at once; 0: as many as come. TypeError for what is no number."""
    function = getattr(engine, "capacity", None)
    count = function() if callable(function) else None
    if count is None:
        return 0
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"capacity() of the engine returned {type(count).__name__}, where a number or None was meant")
    return min(max(count, 0), CAPACITY_MAX)


class Host:
    """The engine of a graph, and its runs that wait, each by its key: the extension's number for it."""

    def __init__(self, graph: Any) -> None:
        self.engine = engine_of(graph)
        self.arguments = getattr(graph, "engine_arguments", None)
        self.directories = _files.directories_of(graph)
        self.waiting: dict[int, Run] = {}
        self.steps: Generator[Any, None, Any] | None = None  # where step() is a generator function

    def serve(self, capacity: int) -> None:
        """Says READY, and executes runs until the dispatcher ends it."""
        _ring.serve_engine(self, capacity)
        if self.steps is not None:
            try:
                self.steps.close()
            except BaseException as exception:  # of user code
                report("step()", exception)

    # ---- callbacks ---------------------------------------------------------------------------------

    def file(self, path: str) -> Any:
        return _files.file_of(path)

    def given(self, value: Any) -> tuple[int, str] | str | None:
        return _given.given(value)

    def describe(self, exception: BaseException) -> Description:
        return _failure.describe(exception)

    def begin(self, key: int, run_id: str, inputs: tuple[Any, ...]) -> None:
        if self.directories:
            inputs = tuple(_files.as_directories(list(inputs), self.directories))
        if self.arguments is not None:
            inputs = self.arguments(*inputs)
        self.waiting[key] = Run(key, run_id, inputs)

    def admit(self, key: int) -> Run | None:
        run = self.waiting[key]
        if is_later(self.engine.admit(run), "admit()"):
            return None
        self.waiting.pop(key, None)  # one that was over at once is not there any more
        return run

    def step(self) -> bool:
        """Whether there is nothing to do now."""
        if self.steps is None:
            result = self.engine.step()
            if not inspect.isgenerator(result):
                return is_later(result, "step()")
            self.steps = result
        try:
            result = next(self.steps)
        except StopIteration as end:
            self.steps, result = None, end.value
        except BaseException:
            self.steps = None
            raise
        return is_later(result, "step()")

    def evict(self, run: Run) -> None:
        try:
            self.engine.evict(run)
        except BaseException as exception:  # of user code; the run is over in any case
            report("evict()", exception)

    def finish(self, key: int) -> None:
        self.waiting.pop(key, None)
        _log.flush(key)


def is_later(result: Any, function: str) -> bool:
    """TypeError for what is neither None nor LATER."""
    if result is None:
        return False
    if isinstance(result, str) and result == LATER:
        return True
    if inspect.iscoroutine(result):
        result.close()
    raise TypeError(f"{function} of the engine returned {type(result).__name__}, where None or LATER was meant")


def report(function: str, exception: BaseException) -> None:
    lines = _failure.traceback_of(exception) or _failure.message_of(exception)
    print(f"{function} of the engine raised:", lines.rstrip("\n"), sep="\n", file=sys.stderr)
