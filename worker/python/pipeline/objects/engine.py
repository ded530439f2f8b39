# SPDX-License-Identifier: MIT
"""engine - pipelines whose runs are stepped together: one step() for all runs, a batch on a device say.

Where a graph runs without a server, its engine is driven here: by whoever reads a stream, until there is a value.
"""

from __future__ import annotations

import enum
import inspect
import threading
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pipeline.exceptions import GraphError
from pipeline.objects import building
from pipeline.objects.stream import Stream
from pipeline.objects.variables import Variable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from typing import Final, Optional

    # What step() may be: a generator function, each yield of which ends a step.
    Steps = Generator[Optional["Later"], None, Optional["Later"]]

Item = TypeVar("Item")


class Run(Protocol):
    """A run that an engine has, from admit() until finish(), fail() or evict(). Its functions are for the engine's,
    called from there; RuntimeError anywhere else, and once the run is over."""

    state: Any  # the engine's own; None at first

    @property
    def id(self) -> str:
        """As clients see it."""

    @property
    def inputs(self) -> tuple[Any, ...]:
        """What the engine was called with in the builder."""

    def emit(self, value: object) -> bool:
        """The next value of the run. False: it was not taken, as the run is full. One that cannot be sent as JSON
        fails the run, which is evicted."""

    @property
    def is_full(self) -> bool:
        """Whether emit() would take nothing: the client has not read what was sent. Skip the run; step() is called
        when it is open again."""

    @property
    def is_cancelled(self) -> bool:
        """Whether the run is to be evicted: long steps ask, and stop. To ask is a sign of life of all runs."""

    def finish(self) -> None:
        """Ends the run; all that was emitted reaches its client."""

    def fail(self, why: BaseException | str, error_type: str | None = None) -> None:
        """Ends the run alone with an exception, as if it had been raised, or with a text. `error_type` is one of the
        nine words; by default that of the exception, "pipeline_error" for a text."""


class Later(str, enum.Enum):
    """What admit() and step() return where it is not now."""

    LATER = "later"


# Of admit(): there is no room now. Of step(): there is nothing to do now.
LATER: Final = Later.LATER


class Engine(Generic[Item]):
    """A class of its own derives from this, has the three functions, and is called in a builder:

        with Pipeline() as builder:
            prompt = Variable(str)
            builder.output(Tokens()(prompt))

    What it is called with are the inputs of its runs: variables, constants, and results of startup pipes.
    `Engine[str]` says what its values are."""

    def admit(self, run: Run) -> Later | None:
        """A run came: it is in from now on; or LATER, there is no room for it now. An exception fails it. Runs are
        asked for in the order in which they came; after LATER the same one is, once another is over or the engine
        was woken."""
        raise NotImplementedError

    def step(self) -> Later | Iterator[Optional[Later]] | None:
        """Called while there are runs: None when there is more to do; LATER, not before a run is admitted or
        evicted, a window opens or the engine is woken. An exception fails all runs that are in, which are evicted.
        It may be a generator function: each `yield` ends a step, likewise with None or LATER."""
        raise NotImplementedError

    def evict(self, run: Run) -> None:
        """The run was cancelled, or its time is over, or it failed without the engine: it is gone."""
        raise NotImplementedError

    def capacity(self) -> int | None:
        """How many runs there is room for at once, whatever they are: rows of a batch, say. Others wait where any
        worker of the pipeline may take them, and not for this one. Asked once, when the startup pipes are through.
        None, or less than 1: as many as --concurrency says."""
        return None

    def step_budget(self, otherwise: int) -> int:
        """How much work a step may take up, in units of the engine's own, such as tokens: what its operator says by
        --step-budget, or `otherwise`. What is above it of a long prompt waits for the next steps, so that other runs
        go on meanwhile. To be asked anew in each step."""
        worker = sys.modules.get("millrace_worker")
        units: int = worker.step_budget(otherwise) if worker is not None else otherwise
        return units

    def wake(self) -> None:
        """Has step() called, and admit(), where they had answered with LATER. From any thread."""
        local_runs_of(self).event.set()
        worker = sys.modules.get("millrace_worker")
        if worker is not None:
            worker.wake()

    def __call__(self, *inputs: Any) -> Stream[Item]:
        """The stream of a run's values, while a graph is built; GraphError anywhere else."""
        builder = building.current()
        if builder is None:
            raise GraphError(f"engine {type(self).__name__} is called inside of `with Pipeline() as builder:`")
        stream: Stream[Item] = builder.add_engine(self, inputs)  # to a type checker
        return stream


class EngineCall:
    """An engine, what it was called with, and its result."""

    def __init__(self, engine: Engine[Any], inputs: tuple[Any, ...]) -> None:
        self.engine = engine
        self.inputs = inputs
        self.result = Variable.of_result(Stream)
        for name in ("admit", "step", "evict"):
            self.check(name)

    def check(self, name: str) -> None:
        """GraphError for a function that is not there, or is asynchronous."""
        function = getattr(self.engine, name)
        if getattr(type(self.engine), name) is getattr(Engine, name):
            raise GraphError(f"engine {self.name} has no {name}()")
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise GraphError(f"{name}() of engine {self.name} is asynchronous, and would not be awaited: runs of "
                             "asynchronous pipes share an event loop, and millrace_worker.Batcher makes steps of what "
                             "they ask for")

    @property
    def name(self) -> str:
        """As errors name it."""
        return type(self.engine).__name__

    def variables(self) -> list[Variable[Any]]:
        """Those that it was called with."""
        return [one for one in self.inputs if isinstance(one, Variable)]

    def values(self, values: dict[Variable[Any], Any]) -> tuple[Any, ...]:
        """What a run has."""
        return tuple(values[one] if isinstance(one, Variable) else one for one in self.inputs)

    def stream(self, values: dict[Variable[Any], Any]) -> Stream[Any]:
        """The values of a run of this process."""
        return Stream(local_runs_of(self.engine).values_of(self.engine, self.values(values)))


# ---- without a server ------------------------------------------------------------------------------


class LocalRun:
    """A run of this process, whose reader steps the engine."""

    def __init__(self, inputs: tuple[Any, ...]) -> None:
        self.id = f"local_{building.new_id()}"
        self.inputs = inputs
        self.state: Any = None
        self.values: deque[Any] = deque()
        self.is_over = False
        self.failure: BaseException | None = None
        self.is_full = self.is_cancelled = False  # the reader waits for values

    def emit(self, value: object) -> bool:
        self.check("emit")
        self.values.append(value)
        return True

    def finish(self) -> None:
        self.check("finish")
        self.is_over = True

    def fail(self, why: BaseException | str, error_type: str | None = None) -> None:
        self.check("fail")
        self.is_over = True
        self.failure = why if isinstance(why, BaseException) else RunFailure(why, error_type)

    def check(self, function: str) -> None:
        """RuntimeError when it is over."""
        if self.is_over or self.is_cancelled:
            raise RuntimeError(f"{function}: the run is not in: it is over")


class RunFailure(Exception):
    """What an engine failed a run with, where that was a text."""

    def __init__(self, message: str, error_type: str | None = None) -> None:
        super().__init__(message)
        self.error_type = error_type or "pipeline_error"


class LocalRuns:
    """Those of one engine. One thread reads their streams."""

    def __init__(self) -> None:
        self.admitted: list[LocalRun] = []
        self.steps: Steps | None = None
        self.event = threading.Event()  # the engine was woken, or a run is over

    def __reduce__(self) -> tuple[type[LocalRuns], tuple[()]]:
        return LocalRuns, ()  # a copy in another process has none

    def values_of(self, engine: Engine[Any], inputs: tuple[Any, ...]) -> Iterator[Any]:
        """Of a run, which comes when the first is asked for."""
        run = LocalRun(inputs)
        try:
            self.until(engine, lambda: engine.admit(run) != LATER)
            if not run.is_over:
                self.admitted.append(run)
            while run.values or not run.is_over:
                self.until(engine, lambda: bool(run.values) or run.is_over)
                while run.values:
                    yield run.values.popleft()
            if run.failure is not None:
                raise run.failure
        finally:
            self.leave(engine, run)

    def until(self, engine: Engine[Any], is_done: Callable[[], bool]) -> None:
        """Steps until then; where there is nothing to do, waits to be woken."""
        while not is_done():
            is_idle = not self.admitted or self.step(engine) == LATER
            if is_idle and not is_done():
                self.event.wait()
            if is_idle:
                self.event.clear()

    def step(self, engine: Engine[Any]) -> Later | None:
        """One of all runs, whose failure is that of each."""
        try:
            result: Any = engine.step() if self.steps is None else self.steps
            if inspect.isgenerator(result):
                self.steps = result
                result = self.step_on(result)
            return LATER if result == LATER else None
        except BaseException as failure:
            self.steps = None
            for run in list(self.admitted):
                run.failure = failure
                self.leave(engine, run)
            raise
        finally:
            self.admitted = [run for run in self.admitted if not run.is_over]

    def step_on(self, steps: Steps) -> Later | None:
        """Until the next yield, or the end."""
        try:
            return next(steps)
        except StopIteration as end:
            self.steps = None
            result: Later | None = end.value
            return result

    def leave(self, engine: Engine[Any], run: LocalRun) -> None:
        """Where the engine has not ended the run, it is evicted."""
        if run in self.admitted and not run.is_over:
            self.admitted.remove(run)
            run.is_cancelled = True
            engine.evict(run)
        run.is_over = True
        self.event.set()


_making = threading.Lock()


def local_runs_of(engine: Engine[Any]) -> LocalRuns:
    """The one of this engine."""
    with _making:
        runs: LocalRuns = engine.__dict__.setdefault("_local_runs", LocalRuns())
    return runs
