# SPDX-License-Identifier: MIT
"""graph - a pipeline that can run: inputs, steps in order, outputs. Also the names pipelines import.

    inputs ──► startup steps, once ──► the other steps ──► outputs

A run is a generator that yields what has to be awaited. Without asynchronous pipes it never yields, and
run() is an ordinary call; with one, run() returns a coroutine.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
import threading
from typing import TYPE_CHECKING, Any

from pipeline.exceptions import InputError
from pipeline.objects import batch
from pipeline.objects.building import new_id
from pipeline.objects.file import Directory, File
from pipeline.objects.function import Function
from pipeline.objects.model import Model
from pipeline.objects.schema import InputField, InputSchema
from pipeline.objects.stream import Stream, is_iterator
from pipeline.objects.types import class_of, is_contrary, name_of
from pipeline.objects.variables import Variable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence

    from pipeline.objects.engine import Engine, EngineCall
    from pipeline.objects.pipes import PipeKind

    Values = dict[Variable[Any], Any]
    # Yields what has to be awaited, is sent what came of it, returns the outputs.
    Performance = Generator[Awaitable[Any], Any, list[Any]]

logger = logging.getLogger("pipeline")

__all__ = ["Directory", "File", "Function", "Graph", "GraphNode", "InputField", "InputSchema", "Model", "Stream",
           "Variable"]


class Graph:
    """What builder.get_pipeline() returns."""

    remote_id: str | None = None

    def __init__(self, inputs: Iterable[Variable[Any]], steps: Sequence[Step],
                 outputs: Iterable[Variable[Any]], name: str = "", engine_call: EngineCall | None = None) -> None:
        self.name = name
        self.local_id = new_id()
        self.nodes = list(steps)
        self.input_variables = list(inputs)
        self.output_variables = list(outputs)
        self._preload_steps = [step for step in steps if step.kind.preload]
        self._startup_steps = self._preload_steps + [step for step in steps
                                                     if step.kind.on_startup and not step.kind.preload]
        self._steps = self._startup_steps + [step for step in steps if not step.kind.on_startup]
        self.engine_call = engine_call
        self.is_async = any(is_asynchronous(step.kind.function) for step in steps)

    def _preload(self) -> None:
        """Runs those of the startup pipes that ask for it, once in a process. Raises what they raise."""
        perform(self._perform(self._preload_steps, {}, []), False)

    def _batched(self) -> list[Step]:
        """The steps whose pipes are called for several runs at once."""
        return [step for step in self._steps if step.kind.batched]

    def startup(self) -> Any:
        """Runs the startup pipes, once in a process. An awaitable if one of them is asynchronous. Raises
        what they raise."""
        is_async = any(is_asynchronous(step.kind.function) for step in self._startup_steps)
        return perform(self._perform(self._startup_steps, {}, []), is_async)

    def run(self, *inputs: Any) -> Any:
        """The list of outputs; an awaitable of it if any pipe is asynchronous. Wrong inputs are an
        InputError, at once. Raises what the pipes raise."""
        values = dict(zip(self.input_variables, self._take(inputs)))
        return perform(self._perform(self._steps, values, self.output_variables), self.is_async)

    @property
    def engine(self) -> Engine[Any] | None:
        """That steps all runs of a process, for what serves it; None: there are pipes instead."""
        return None if self.engine_call is None else self.engine_call.engine

    def engine_arguments(self, *inputs: Any) -> tuple[Any, ...]:
        """Of a run with these inputs: what its engine was called with. Wrong inputs are an InputError. The startup
        pipes have run."""
        assert self.engine_call is not None
        values = dict(zip(self.input_variables, self._take(inputs)))
        if any(not variable.is_input for variable in self.engine_call.variables()):
            perform(self._perform(self._startup_steps, values, []), False)
        return self.engine_call.values(values)

    # ---- as the original package tells of it -------------------------------------------------------

    @property
    def outputs(self) -> list[Variable[Any]]:
        """What a run returns."""
        return self.output_variables

    @property
    def variables(self) -> list[Variable[Any]]:
        """The inputs, then the results of pipes."""
        return self.input_variables + [result for node in self.nodes for result in node.results]

    @property
    def functions(self) -> list[Function]:
        """One for each step."""
        return [node.function for node in self.nodes]

    @property
    def models(self) -> list[Model]:
        """The entities that pipes of it are methods of."""
        entities = {id(argument): argument for node in self.nodes for argument in node.arguments
                    if getattr(type(argument), "is_pipeline_entity", False)}
        return [Model(entity) for entity in entities.values()]

    def _startup(self) -> Any:
        return self.startup()

    def save(self, save_path: str) -> None:
        """Pickles it, by cloudpickle where that is installed, so that load() gives it back."""
        with open(save_path, "wb") as file:
            file.write(pickler().dumps(self))

    @classmethod
    def load(cls, load_path: str) -> Any:
        """What save() wrote. Never of a file that you have not written: it can run any code."""
        with open(load_path, "rb") as file:
            return pickler().loads(file.read())

    # ---- how ---------------------------------------------------------------------------------------

    def _take(self, inputs: tuple[Any, ...]) -> list[Any]:
        most = len(self.input_variables)
        least = max((index for index, variable in enumerate(self.input_variables, 1) if variable.is_required),
                    default=0)
        inputs = inputs + (None,) * (most - len(inputs) if len(inputs) >= least else 0)
        if len(inputs) != most:
            count = f"{most} input{'s' if most != 1 else ''}" if least == most else f"{least} to {most} inputs"
            raise InputError(f"the pipeline takes {count}, got {len(inputs)}")
        return [variable.take(value, number)
                for number, (variable, value) in enumerate(zip(self.input_variables, inputs), 1)]

    def _perform(self, steps: list[Step], values: Values,
                 outputs: list[Variable[Any]]) -> Performance:
        try:
            for step in steps:
                result = step.call(values)
                if inspect.isawaitable(result):
                    result = yield result
                step.keep(result, values)
        except BaseException:
            end_streams(values)
            raise
        if self.engine_call is not None and outputs:
            values[self.engine_call.result] = self.engine_call.stream(values)
        return [values[variable] for variable in outputs]


class Step:
    """One call of a pipe."""

    def __init__(self, kind: PipeKind, arguments: tuple[Any, ...], named_arguments: dict[str, Any],
                 results: list[Variable[Any]], is_tuple: bool) -> None:
        self.kind = kind
        self.arguments = arguments
        self.named_arguments = named_arguments
        self.results = results
        self.is_tuple = is_tuple
        self.local_id = new_id()
        self.once = self.find_once() if kind.run_once or kind.on_startup else None
        # What a worker has the runs of a batched pipe gathered by: gives an awaitable of the result of one.
        self.gather: Callable[[Values], Awaitable[Any]] | None = None

    def variables(self) -> list[Variable[Any]]:
        """Those that the call is given."""
        given = [*self.arguments, *self.named_arguments.values()]
        return [argument for argument in given if isinstance(argument, Variable)]

    @property
    def function(self) -> Function:
        """Its pipe, as the original package tells of it."""
        return Function(self.kind.function)

    @property
    def inputs(self) -> list[Variable[Any]]:
        """Likewise, what it is given."""
        return self.variables()

    @property
    def outputs(self) -> list[Variable[Any]]:
        """Likewise, what it gives."""
        return self.results

    def find_once(self) -> Once:
        """Calls of one pipe with the same constants, such as one entity, share their result, in all
        graphs of the process."""
        given = [*self.arguments, *sorted(self.named_arguments.items())]
        constants = [argument for argument in given if not isinstance(argument, Variable)]
        key = tuple(map(id, constants))
        # The constants are kept, lest an id be given again.
        return self.kind.once.setdefault(key, (Once(), constants))[0]

    def call(self, values: Values) -> Any:
        """The result, or an awaitable of it."""
        return self.once.get(lambda: self.call_now(values)) if self.once else self.call_now(values)

    def call_together(self, many: Sequence[Values]) -> Any:
        """Of a batched pipe: what it gives for several runs, or an awaitable of it."""
        return batch.call(self, many)

    def results_of(self, results: Any, count: int) -> Sequence[Any]:
        """That as one for each run. TypeError when it is something else."""
        return batch.results_of(self, results, count)

    def call_now(self, values: Values) -> Any:
        if self.kind.batched:
            return batch.call_for_one(self, values)
        arguments = [values[one] if isinstance(one, Variable) else one for one in self.arguments]
        named = {name: values[one] if isinstance(one, Variable) else one
                 for name, one in self.named_arguments.items()}
        return self.kind.function(*arguments, **named)

    def keep(self, result: Any, values: Values) -> None:
        """Stores what the call gave for the variables that it is. TypeError when it is something else."""
        for variable, one in zip(self.results, self.several(result) if self.is_tuple else [result]):
            values[variable] = self.as_stream(one) if class_of(variable.type_class) is Stream else one
            if self.kind.doubt_count > 0:
                self.compare(one, variable)

    def compare(self, result: Any, variable: Variable[Any]) -> None:
        """Says in the log, once for a pipe, that it returned what its annotation does not say. The result is
        sent as it is. Of the first results alone."""
        self.kind.doubt_count -= 1
        try:
            if is_contrary(result, variable.type_class):
                self.kind.doubt_count = 0
                logger.warning("pipe %s (%s) returned %s, where its annotation says %s: it is sent as it is, "
                               "and this is said once", self.kind.name, self.kind.place,
                               "None" if result is None else type(result).__name__, name_of(variable.type_class))
        except Exception:  # an odd type of the user's, of which nothing is known then
            self.kind.doubt_count = 0

    def several(self, result: Any) -> Sequence[Any]:
        count = len(self.results)
        if not isinstance(result, (tuple, list)):
            raise TypeError(f"pipe {self.kind.name} returned {type(result).__name__}, where its annotation "
                            f"says {count} results")
        if len(result) != count:
            raise TypeError(f"pipe {self.kind.name} returned {len(result)} results, where its annotation "
                            f"says {count}")
        return result

    def as_stream(self, result: Any) -> Any:
        """An iterator is as good as a Stream of it."""
        if hasattr(result, "iterable"):
            return result
        if is_iterator(result):
            return Stream(result)
        raise TypeError(f"pipe {self.kind.name} returned {type(result).__name__}, where its annotation says "
                        "Stream: write `return Stream(...)`")


GraphNode = Step


class Once:
    """The result of a call that happens once. One that fails is made again the next time."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.is_done = False
        self.result: Any = None
        self.task: asyncio.Future[Any] | None = None

    def __reduce__(self) -> tuple[type[Once], tuple[()]]:
        return Once, ()  # a copy in another process has not happened yet

    def get(self, call: Callable[[], Any]) -> Any:
        """The result, or an awaitable of it."""
        if self.is_done:
            return self.result
        with self.lock:
            if self.is_done:
                return self.result
            if self.task is not None:
                return asyncio.shield(self.task)
            result = call()
            if inspect.isawaitable(result):
                return self.wait(result)
            self.result = result
            self.is_done = True
            return result

    async def wait(self, awaitable: Awaitable[Any]) -> Any:
        # A run that is cancelled here leaves the call to those who wait for it, too.
        self.task = asyncio.ensure_future(awaitable)
        self.task.add_done_callback(self.on_done)
        return await asyncio.shield(self.task)

    def on_done(self, task: asyncio.Future[Any]) -> None:
        self.task = None
        if not task.cancelled() and task.exception() is None:
            self.result = task.result()
            self.is_done = True


def pickler() -> Any:
    """cloudpickle takes along what a script has defined, which pickle does not."""
    try:
        return importlib.import_module("cloudpickle")
    except ImportError:
        return importlib.import_module("pickle")


def is_asynchronous(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function)


def perform(steps: Performance, is_async: bool) -> Any:
    """The generator's result; or a coroutine of it, where it has something to wait for."""
    if is_async:
        return drive(steps)
    try:
        first = next(steps)
    except StopIteration as end:
        return end.value
    return drive(steps, first)


async def drive(steps: Performance, awaitable: Awaitable[Any] | None = None) -> Any:
    try:
        if awaitable is None:
            awaitable = next(steps)
        while True:
            try:
                result = await awaitable
            except BaseException as error:  # the generator decides, and cleans up
                awaitable = steps.throw(error)
            else:
                awaitable = steps.send(result)
    except StopIteration as end:
        return end.value


def end_streams(values: Values) -> None:
    """What a failed run has begun and nobody will read."""
    for value in values.values():
        if isinstance(value, Stream) and hasattr(value.iterable, "__next__"):
            try:
                value.end()
            except Exception:  # of user code; the failure that led here is the one to tell
                pass
