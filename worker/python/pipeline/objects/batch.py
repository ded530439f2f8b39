# SPDX-License-Identifier: MIT
"""batch - pipes that are called for several runs at once: lists in, a list out.

Each argument that is a variable becomes a list with an item of each run; a constant, such as an entity, is given
as it is. What comes back is a list with a result for each, or an exception for one that fails alone.

A worker gathers runs (`Step.gather`); elsewhere a run is a batch of its own.
"""

from __future__ import annotations

import inspect
import typing
from typing import TYPE_CHECKING, Any

from pipeline.exceptions import GraphError
from pipeline.objects.details import NOT_SAID
from pipeline.objects.types import is_union
from pipeline.objects.variables import Variable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.objects.graph import Step, Values
    from pipeline.objects.types import Hint


def check_function(function: Callable[..., Any], name: str, place: str) -> None:
    """GraphError for what gives no list when it is called."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise GraphError(f"pipe {name} ({place}) is batched, so it returns a list with a result for each run, and "
                         "yields nothing")


def item_hint(hint: Hint, name: str, place: str) -> Hint:
    """What `-> list[float]` says of one run: float. Exceptions that may be among the results are none of it.
    GraphError when it is no list."""
    if hint is NOT_SAID:
        return hint
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is not list or len(arguments) != 1:
        raise GraphError(f"pipe {name} ({place}) is batched, so its return annotation is a list: -> list[str], say")
    item = arguments[0]
    if not is_union(item):
        return item
    results = tuple(kind for kind in typing.get_args(item) if not is_exception(kind))
    return typing.Union[results] if results else item


def is_exception(kind: Hint) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseException)


def call(step: Step, many: Sequence[Values]) -> Any:
    """What the function gives for several runs, or an awaitable of it."""

    def given(argument: Any) -> Any:
        return [values[argument] for values in many] if isinstance(argument, Variable) else argument

    return step.kind.function(*map(given, step.arguments),
                              **{name: given(argument) for name, argument in step.named_arguments.items()})


def results_of(step: Step, results: Any, count: int) -> Sequence[Any]:
    """One for each of `count` runs. TypeError when it is something else."""
    name = step.kind.name
    if not isinstance(results, (list, tuple)):
        raise TypeError(f"pipe {name} is batched and returned {type(results).__name__}, not a list")
    results = list(results)
    if len(results) != count:
        raise TypeError(f"pipe {name} is batched and returned {len(results)} result{'s' if len(results) != 1 else ''} "
                        f"for {count} run{'s' if count != 1 else ''}")
    return results


def call_for_one(step: Step, values: Values) -> Any:
    """The result of one run, or an awaitable of it: together with others, where somebody gathers them."""
    if step.gather is not None:
        return step.gather(values)
    results = call(step, [values])
    return wait_for_one(step, results) if inspect.isawaitable(results) else one_of(step, results)


async def wait_for_one(step: Step, results: Any) -> Any:
    return one_of(step, await results)


def one_of(step: Step, results: Any) -> Any:
    result, = results_of(step, results, 1)
    if isinstance(result, BaseException):
        raise result
    return result
