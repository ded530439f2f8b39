# SPDX-License-Identifier: MIT
"""_streams - outputs of a run: which are streams, how the next item comes, how they are ended.

A stream is told by what it can do, so that either authoring package will do: it has an `iterable` that
is an iterator, or is one itself (`__next__` or `__anext__`).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from millrace_worker import _failure, _ring

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    # (iterator, owner) of an output that is a stream, (None, value) of any other.
    Output = tuple[Any, Any]


def is_iterator(value: object) -> bool:
    return hasattr(value, "__next__") or hasattr(value, "__anext__")


def open_output(output: Any) -> Output:
    """(iterator, owner) of a stream, (None, value) of any other output."""
    inner = getattr(output, "iterable", None)
    if inner is not None and is_iterator(inner):
        return inner, output
    if is_iterator(output):
        return output, output
    return None, output


def is_asynchronous(iterator: Any) -> bool:
    return iterator is not None and hasattr(iterator, "__anext__") and not hasattr(iterator, "__next__")


class Source:
    """What is asked for the items of a stream in an asynchronous run: step() gives the next one, or an
    awaitable of it, or EXHAUSTED for a plain iterator at its end."""

    def __init__(self, iterator: Any) -> None:
        self.is_asynchronous = is_asynchronous(iterator)
        self.step: Callable[[], Any] = (iterator.__anext__ if self.is_asynchronous
                                        else lambda: next(iterator, _ring.EXHAUSTED))


def enders(iterator: Any, owner: Any) -> list[Callable[[], Any]]:
    """What ends a stream: the iterator's end(), and its close() or aclose(); of one that has none of
    them, the same of the object around it."""
    return methods(iterator) or methods(owner)


def methods(value: Any) -> list[Callable[[], Any]]:
    found = [getattr(value, name, None) for name in ("end", "close", "aclose")]
    end, *closes = [method if callable(method) else None for method in found]
    return [method for method in (end, closes[0] or closes[1]) if method]


def report(iterator: Any, exception: BaseException) -> None:
    lines = _failure.traceback_of(exception) or _failure.message_of(exception)
    print(f"while {iterator!r} was closed:", lines.rstrip("\n"), sep="\n", file=sys.stderr)


def close(iterator: Any, owner: Any) -> None:
    """Ends a plain stream; what goes wrong is for the log, since the run is over."""
    for end in enders(iterator, owner):
        try:
            end()
        except BaseException as exception:  # of user code
            report(iterator, exception)


def close_all(opened: Sequence[Output]) -> None:
    for iterator, owner in opened:
        if iterator is not None and not is_asynchronous(iterator):
            close(iterator, owner)


async def close_all_asynchronously(opened: Sequence[Output]) -> None:
    for iterator, owner in opened:
        for end in enders(iterator, owner) if iterator is not None else ():
            try:
                result = end()
                if hasattr(result, "__await__"):
                    await result
            except BaseException as exception:  # of user code
                report(iterator, exception)
