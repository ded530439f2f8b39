# SPDX-License-Identifier: MIT
"""builder - `with Pipeline() as builder:`, inside of which calls describe a graph instead of running."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Any

from pipeline.exceptions import GraphError
from pipeline.objects import building
from pipeline.objects.details import NOT_SAID
from pipeline.objects.engine import EngineCall
from pipeline.objects.graph import Graph, Step
from pipeline.objects.types import Mismatch, fit
from pipeline.objects.variables import Variable

if TYPE_CHECKING:
    import contextvars

    from pipeline.objects.engine import Engine
    from pipeline.objects.pipes import PipeKind

logger = logging.getLogger("pipeline")


class Pipeline:
    """Gathers inputs, steps and outputs. What cannot work is a GraphError, where it is written."""

    def __init__(self) -> None:
        self.inputs: list[Variable[Any]] = []
        self.steps: list[Step] = []
        self.outputs: list[Variable[Any]] = []
        self.known: set[Variable[Any]] = set()
        self.engine_call: EngineCall | None = None
        self._tokens: list[contextvars.Token[Pipeline | None]] = []

    def __enter__(self) -> Pipeline:
        self._tokens.append(building.enter(self))
        return self

    def __exit__(self, *_: object) -> None:
        building.leave(self._tokens.pop())

    @property
    def _current_pipeline(self) -> Graph:
        """What is there of the graph so far, where the original package has it."""
        return Graph(self.inputs, self.steps, self.outputs, engine_call=self.engine_call)

    # ---- what calls inside of the `with` do --------------------------------------------------------

    def add_variable(self, variable: Variable[Any]) -> None:
        """What Variable() does."""
        if variable.is_input:
            self.inputs.append(variable)
        self.known.add(variable)

    def add_step(self, kind: PipeKind, arguments: tuple[Any, ...],
                 named_arguments: dict[str, Any]) -> Variable[Any] | tuple[Variable[Any], ...]:
        """A call of a pipe. Returns its variable, or a tuple of them."""
        self.check_call(kind, arguments, named_arguments)
        self.check_separate(kind, (*arguments, *named_arguments.values()))
        hints, is_tuple = kind.result_hints()
        results = [Variable.of_result(hint) for hint in hints]
        step = Step(kind, arguments, named_arguments, results, is_tuple)
        for variable in step.variables():
            self.check_argument(step, variable)
        if step.once is not None and any(variable.type_word == "stream" for variable in results):
            raise GraphError(f"pipe {kind.name} ({kind.place}) runs once, so it cannot return a stream, which "
                             "can be read only once")
        self.steps.append(step)
        self.known.update(results)
        return tuple(results) if is_tuple else results[0]

    def add_engine(self, engine: Engine[Any], inputs: tuple[Any, ...]) -> Variable[Any]:
        """A call of an engine. Returns its stream."""
        call = EngineCall(engine, inputs)
        if self.engine_call is not None:
            raise GraphError(f"engine {call.name} is the second one: a pipeline has one engine, and calls it once")
        for variable in call.variables():
            self.check_is_said(variable)
            if variable not in self.known:
                raise GraphError(f"engine {call.name} is given a variable of another pipeline")
        self.engine_call = call
        self.known.add(call.result)
        return call.result

    def check_engine(self, call: EngineCall) -> None:
        """GraphError for what an engine shares its graph with, but for startup pipes."""
        for step in self.steps:
            if not step.kind.on_startup:
                raise GraphError(f"pipe {step.kind.name} ({step.kind.place}) is beside engine {call.name}, which does all "
                                 "that its runs need: call it as a function in admit(), or make it a startup pipe")
        if self.outputs != [call.result]:
            raise GraphError(f"the stream of engine {call.name} has to be the one output of its pipeline")

    def check_call(self, kind: PipeKind, arguments: tuple[Any, ...],
                   named_arguments: dict[str, Any]) -> None:
        """GraphError unless the function can be called so."""
        try:
            inspect.signature(kind.function).bind(*arguments, **named_arguments)
        except TypeError as error:
            raise GraphError(f"pipe {kind.name} ({kind.place}) is called wrongly: {error}") from None

    def check_separate(self, kind: PipeKind, arguments: tuple[Any, ...]) -> None:
        """GraphError for an argument that is all the results of a pipe with several."""
        for argument in arguments:
            if isinstance(argument, tuple) and any(isinstance(one, Variable) for one in argument):
                raise GraphError(f"pipe {kind.name} ({kind.place}) is given a tuple of variables, where one was meant: "
                                 "write `first, second = ...` where they come from, and give it one of them")

    def check_argument(self, step: Step, variable: Variable[Any]) -> None:
        """GraphError unless the variable is there when the step runs."""
        self.check_is_said(variable)
        if variable not in self.known:
            raise GraphError(f"pipe {step.kind.name} is given a variable of another pipeline")
        if step.kind.on_startup and not any(variable in other.results for other in self.steps
                                            if other.kind.on_startup):
            raise GraphError(f"pipe {step.kind.name} ({step.kind.place}) runs at startup: it can be given "
                             "constants and results of other startup pipes, and nothing of a run")
        if step.kind.preload and not any(variable in other.results for other in self.steps
                                         if other.kind.preload):
            raise GraphError(f"pipe {step.kind.name} ({step.kind.place}) is preloaded: it can be given constants and "
                             "results of other pipes that are")

    def check_is_said(self, variable: Variable[Any]) -> None:
        """GraphError for the result of a pipe that does not say what it returns."""
        if variable.type_class is NOT_SAID:
            kind = next(step.kind for step in self.steps if variable in step.results)
            raise GraphError(f"pipe {kind.name} ({kind.place}) needs a return annotation before its result can be "
                             "used: -> str, say, or -> Stream")

    def output(self, *variables: object) -> None:
        """What a run returns, in order. A tuple of variables counts as all of them. To a type checker the
        result of a pipe is what the pipe returns, so that any object will do here."""
        for variable in variables:
            if isinstance(variable, tuple):
                self.output(*variable)
            elif not isinstance(variable, Variable):
                raise GraphError(f"output() takes variables; {variable!r} is none")
            elif variable not in self.known:
                raise GraphError("output() is given a variable of another pipeline")
            else:
                self.check_is_said(variable)
                variable.is_output = True
                self.outputs.append(variable)

    # ---- the end -----------------------------------------------------------------------------------

    def get_pipeline(self) -> Graph:
        """The graph, which can run; it can be served when it has an output."""
        for number, variable in enumerate(self.inputs, 1):
            self.check_default(number, variable)
        if self.engine_call is not None:
            self.check_engine(self.engine_call)
        self.look_for_lost_pipes()
        return Graph(self.inputs, self.steps, self.outputs, engine_call=self.engine_call)

    def look_for_lost_pipes(self) -> None:
        """Says in the log which inputs are outputs and nothing else: so a function that is no pipe leaves
        what it was given."""
        used = {variable for step in self.steps for variable in step.variables()}
        for number, variable in enumerate(self.outputs, 1):
            if variable.is_input and variable not in used:
                logger.warning("output %d is input %d itself, which is given to no pipe: is @pipe missing above a "
                               "function?", number, self.inputs.index(variable) + 1)

    def check_default(self, number: int, variable: Variable[Any]) -> None:
        """GraphError unless the default of input `number`, from 1, is of its type."""
        if variable.default is None:
            return
        try:
            fit(variable.real_default, variable.type_class, is_deep=False)
        except (Mismatch, ValueError) as error:
            raise GraphError(f"the default of input {number}, {variable.default!r}, is not of its type: "
                             f"{error}") from None
