# SPDX-License-Identifier: MIT
"""pipes - functions that can be steps of a graph, and classes whose instances keep state between runs.

While a graph is being built, calling a pipe adds a step to it and returns variables. At any other time
it is the function that it was.
"""

from __future__ import annotations

import functools
import inspect
import typing
from typing import TYPE_CHECKING, Any, overload

from pipeline.exceptions import GraphError
from pipeline.objects import batch, building
from pipeline.objects.details import NOT_SAID
from pipeline.objects.graph import is_asynchronous

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.objects.graph import Once
    from pipeline.objects.types import Hint

    # The decorators give back what they were given: a pipe has the function's own signature.
    Function = typing.TypeVar("Function", bound=Callable[..., Any])
    Kind = typing.TypeVar("Kind", bound=type)


# Of a pipe's results so many are compared with its annotation.
DOUBT_COUNT = 100


class PipeKind:
    """What is known of a function that was made a pipe."""

    def __init__(self, function: Callable[..., Any], run_once: bool, on_startup: bool,
                 preload: bool, batched: bool) -> None:
        self.function = function
        self.batched = batched
        self.run_once = run_once
        self.on_startup = on_startup
        self.preload = preload
        # The results of calls that happen once in a process: see graph.Once.
        self.once: dict[tuple[int, ...], tuple[Once, list[Any]]] = {}
        # Results that are still to be compared with the annotation; none once that was said.
        self.doubt_count = DOUBT_COUNT

    @property
    def name(self) -> str:
        """As errors name it."""
        return getattr(self.function, "__qualname__", None) or repr(self.function)

    @property
    def place(self) -> str:
        """File and line."""
        code = getattr(inspect.unwrap(self.function), "__code__", None)
        return f"{code.co_filename}:{code.co_firstlineno}" if code else "an unknown place"

    def result_hint(self) -> Hint:
        """The return annotation, as a type; NOT_SAID when there is none. GraphError when it has no meaning."""
        hint = getattr(self.function, "__annotations__", {}).get("return", NOT_SAID)
        return self.evaluated(hint) if isinstance(hint, str) else hint

    def evaluated(self, text: str) -> Hint:
        """A text that stands for a type, as after `from __future__ import annotations`."""
        scope = getattr(inspect.unwrap(self.function), "__globals__", {})
        try:
            return typing.get_type_hints(_Annotated(text), scope)["return"]
        except (NameError, TypeError, SyntaxError, AttributeError) as error:
            raise GraphError(f"the return annotation {text!r} of pipe {self.name} ({self.place}) has no "
                             f"meaning here: {error}") from error

    def result_hints(self) -> tuple[list[Hint], bool]:
        """(hints, is_tuple): one for each variable that a call gives."""
        hint = self.result_hint()
        if self.batched:
            hint = batch.item_hint(hint, self.name, self.place)
        arguments = typing.get_args(hint)
        if typing.get_origin(hint) is tuple and Ellipsis not in arguments and arguments != ((),):
            return list(arguments), True
        return [hint], False


class _Annotated:
    """Something with one annotation, for typing.get_type_hints()."""

    def __init__(self, text: str) -> None:
        self.__annotations__ = {"return": text}


@overload
def pipe(function: Function, *, run_once: bool = ..., on_startup: bool = ..., preload: bool = ...) -> Function:
    ...


@overload
def pipe(function: None = ..., *, run_once: bool = ..., on_startup: bool = ...,
         preload: bool = ...) -> Callable[[Function], Function]:
    ...


# In a graph it takes and gives what its lists have for items, elsewhere the lists.
@overload
def pipe(function: None = ..., *, batched: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    ...


def pipe(function: Any = None, *, run_once: bool = False, on_startup: bool = False, preload: bool = False,
         batched: bool = False) -> Any:
    """Makes a function a pipe. `run_once`: its first result serves every run of the process.
    `on_startup`: it runs before the first run, once. `preload`, of those: it touches no device and starts
    no thread, so that a server with --preload may run it once for all workers. `batched`: it is called for
    several runs at once, with lists for what differs, and returns a list (batch.py). GraphError for what is no
    function, or is not run at startup and to be preloaded."""
    if function is None:
        return functools.partial(pipe, run_once=run_once, on_startup=on_startup, preload=preload, batched=batched)
    if not callable(function):
        raise GraphError(f"@pipe is for functions; {function!r} is none")
    kind = PipeKind(function, run_once, on_startup, preload, batched)
    if batched and (run_once or on_startup):
        raise GraphError(f"pipe {kind.name} ({kind.place}) is batched, which is for runs: it cannot be one that runs "
                         "once, or at startup")
    if batched:
        batch.check_function(function, kind.name, kind.place)
    if preload and (not on_startup or is_asynchronous(function)):
        raise GraphError(f"pipe {kind.name} ({kind.place}) is to be preloaded, so it needs on_startup=True, and "
                         "cannot be asynchronous")

    @functools.wraps(function)
    def call(*arguments: Any, **named_arguments: Any) -> Any:
        builder = building.current()
        if builder is None:
            return function(*arguments, **named_arguments)
        return builder.add_step(kind, arguments, named_arguments)

    return call


@overload
def entity(kind: Kind) -> Kind:
    ...


@overload
def entity(kind: None = ...) -> Callable[[Kind], Kind]:
    ...


def entity(kind: Any = None) -> Any:
    """Marks a class with pipes for methods: its instances, made while a graph is built, live as long as
    the process, and what pipes store in them stays for later runs. GraphError for what is no class."""
    if kind is None:
        return entity
    if not isinstance(kind, type):
        raise GraphError(f"@entity is for classes; {kind!r} is none")
    setattr(kind, "is_pipeline_entity", True)
    return kind
