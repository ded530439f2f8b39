# SPDX-License-Identifier: MIT
"""_batcher - makes one call of what many tasks of an event loop ask for at a time.

    pass n      the tasks that are ready run, and each asks: `await batcher.step(item)`
    pass n + 1  one call for all of them; each task is ready again with its own result

Nothing polls and nothing waits for a time: the call follows what the tasks of one pass asked for. While an
asynchronous call is under way, what is asked for gathers for the next one.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from typing import Union

    # What a call gives: for each item its result, or an exception.
    Results = Iterable[Union[Result, Exception]]

# Items of one call, and items that may wait, where nothing else is said: the most runs that a worker has at once.
SIZE_MAX = 4096


class Failed:
    """An exception that is to be raised where its item was asked for."""

    def __init__(self, exception: BaseException) -> None:
        self.exception = exception
        # The same one is raised in several tasks, and each would add where it was.
        self.traceback = exception.__traceback__


class Batcher(Generic[Item, Result]):
    """Calls `function`, which may be asynchronous, with a list of `size` items at most, in the order in which they
    were asked for. It returns a result for each item, in that order; one that is an exception is raised for its
    item alone. What the function itself raises is raised for each item of the call.

    It is for the tasks of one event loop, and may be made before there is one."""

    def __init__(self, function: Callable[[list[Item]], Results[Result] | Awaitable[Results[Result]]],
                 size: int = SIZE_MAX, waiting_max: int = SIZE_MAX) -> None:
        if size < 1 or waiting_max < 1:
            raise ValueError("a Batcher has room for one item at least")
        self.function = function
        self.size = size
        self.waiting_max = waiting_max
        self.waiting: deque[tuple[Item, asyncio.Future[Any]]] = deque()
        self.is_due = False  # a call is under way, or will follow
        self.task: asyncio.Task[None] | None = None
        # Calls are of no task that asked: what they print is not that run's.
        self.context = contextvars.copy_context()

    async def step(self, item: Item) -> Result:
        """The result of the item. Where the task is cancelled meanwhile, the item is left out if it still waits.
        asyncio.QueueFull when too many wait."""
        if len(self.waiting) >= self.waiting_max:
            self.waiting = deque(one for one in self.waiting if not one[1].done())
        if len(self.waiting) >= self.waiting_max:
            raise asyncio.QueueFull(f"{len(self.waiting)} items wait for the Batcher already")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self.waiting.append((item, future))
        if not self.is_due:
            self.is_due = True
            loop.call_soon(self.call, loop, context=self.context)
        outcome = await future
        if isinstance(outcome, Failed):
            raise outcome.exception.with_traceback(outcome.traceback)
        result: Result = outcome
        return result

    # ---- calls -------------------------------------------------------------------------------------

    def call(self, loop: asyncio.AbstractEventLoop) -> None:
        """One call, and what follows it. Others have a turn between two."""
        items, futures = self.take()
        if not items:
            self.is_due = False
            return
        try:
            results: Any = self.function(items)
            if inspect.isawaitable(results):
                self.task = loop.create_task(self.wait(loop, results, futures))
                return
            self.answer(futures, results)
        except BaseException as exception:  # of user code
            self.fail(futures, exception)
        self.go_on(loop)

    async def wait(self, loop: asyncio.AbstractEventLoop, awaitable: Awaitable[Iterable[Any]],
                   futures: list[asyncio.Future[Any]]) -> None:
        try:
            self.answer(futures, await awaitable)
        except BaseException as exception:  # of user code
            self.fail(futures, exception)
        self.go_on(loop)

    def take(self) -> tuple[list[Item], list[asyncio.Future[Any]]]:
        """The next items, without those whose task was cancelled."""
        items: list[Item] = []
        futures: list[asyncio.Future[Any]] = []
        while self.waiting and len(items) < self.size:
            item, future = self.waiting.popleft()
            if not future.done():
                items.append(item)
                futures.append(future)
        return items, futures

    def answer(self, futures: list[asyncio.Future[Any]], results: Iterable[Any]) -> None:
        outcomes = list(results)
        if len(outcomes) != len(futures):
            raise TypeError(f"the function of a Batcher gave {len(outcomes)} results for {len(futures)} items")
        for future, outcome in zip(futures, outcomes):
            if not future.done():
                future.set_result(Failed(outcome) if isinstance(outcome, BaseException) else outcome)

    def fail(self, futures: list[asyncio.Future[Any]], exception: BaseException) -> None:
        outcome = Failed(exception)
        for future in futures:
            if not future.done():
                future.set_result(outcome)

    def go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        self.is_due = bool(self.waiting)
        if self.is_due:
            loop.call_soon(self.call, loop, context=self.context)
