# SPDX-License-Identifier: MIT
"""pipes - functions that can be steps of a graph, and classes whose instances keep state between runs.

While a graph is being built, calling a pipe adds a step to it and returns variables. At any other time
it is the function that it was.
"""

import functools
import inspect
import typing

from pipeline.exceptions import GraphError
from pipeline.objects import building


class PipeKind:
    """What is known of a function that was made a pipe."""

    def __init__(self, function, run_once, on_startup):
        self.function = function
        self.run_once = run_once
        self.on_startup = on_startup
        # The results of calls that happen once in a process: see graph.Once.
        self.once = {}

    @property
    def name(self):
        return getattr(self.function, "__qualname__", None) or repr(self.function)

    @property
    def place(self):
        code = getattr(inspect.unwrap(self.function), "__code__", None)
        return f"{code.co_filename}:{code.co_firstlineno}" if code else "an unknown place"

    def result_hint(self):
        """The return annotation, as a type."""
        annotations = getattr(self.function, "__annotations__", {})
        if "return" not in annotations:
            raise GraphError(f"pipe {self.name} ({self.place}) needs a return annotation to be a step of a "
                             "pipeline: -> str, say, or -> Stream")
        hint = annotations["return"]
        return self.evaluated(hint) if isinstance(hint, str) else hint

    def evaluated(self, text):
        """A text that stands for a type, as after `from __future__ import annotations`."""
        scope = getattr(inspect.unwrap(self.function), "__globals__", {})
        try:
            return typing.get_type_hints(_Annotated(text), scope)["return"]
        except (NameError, TypeError, SyntaxError, AttributeError) as error:
            raise GraphError(f"the return annotation {text!r} of pipe {self.name} ({self.place}) has no "
                             f"meaning here: {error}") from error

    def result_hints(self):
        """(hints, is_tuple): one for each variable that a call gives."""
        hint = self.result_hint()
        arguments = typing.get_args(hint)
        if typing.get_origin(hint) is tuple and Ellipsis not in arguments and arguments != ((),):
            return list(arguments), True
        return [hint], False


class _Annotated:
    """Something with one annotation, for typing.get_type_hints()."""

    def __init__(self, text):
        self.__annotations__ = {"return": text}


def pipe(function=None, *, run_once=False, on_startup=False):
    """Makes a function a pipe. `run_once`: its first result serves every run of the process.
    `on_startup`: it runs before the first run, once."""
    if function is None:
        return functools.partial(pipe, run_once=run_once, on_startup=on_startup)
    if not callable(function):
        raise GraphError(f"@pipe is for functions; {function!r} is none")
    kind = PipeKind(function, run_once, on_startup)

    @functools.wraps(function)
    def call(*arguments, **named_arguments):
        builder = building.current()
        if builder is None:
            return function(*arguments, **named_arguments)
        return builder.add_step(kind, arguments, named_arguments)

    return call


def entity(kind=None):
    """Marks a class with pipes for methods: its instances, made while a graph is built, live as long as
    the process, and what pipes store in them stays for later runs."""
    if kind is None:
        return entity
    if not isinstance(kind, type):
        raise GraphError(f"@entity is for classes; {kind!r} is none")
    kind.is_pipeline_entity = True
    return kind
