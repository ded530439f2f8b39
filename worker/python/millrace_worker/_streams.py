# SPDX-License-Identifier: MIT
"""_streams - outputs of a run: which are streams, how the next item comes, how they are ended.

A stream is told by what it can do, so that either authoring package will do: it has an `iterable` that
is an iterator, or is one itself (`__next__` or `__anext__`).
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Any

from millrace_worker import _failure, _ring

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    # (iterator, owner) of an output that is a stream, (None, value) of any other.
    Output = tuple[Any, Any]

# Generators that yield from each other are looked into so far.
GENERATORS_MAX = 100


def is_iterator(value: object) -> bool:
    """By its class, as next() does: what hands on all attributes of a file, as those of tempfile, is none."""
    return hasattr(type(value), "__next__") or hasattr(type(value), "__anext__")


def open_output(output: Any) -> Output:
    """(iterator, owner) of a stream, (None, value) of any other output. An open file is one value, as in the
    original package; Stream(file) gives its lines."""
    inner = getattr(output, "iterable", None)
    if inner is not None and is_iterator(inner):
        return inner, output
    if is_iterator(output) and not isinstance(output, io.IOBase):
        return output, output
    return None, output


def plain_among(opened: Sequence[Output]) -> int:
    """A bit for each output that is no stream."""
    return sum(1 << index for index, (iterator, _) in enumerate(opened) if iterator is None)


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


def pack_plain(key: int, values: list[Any], live: Sequence[int]) -> None:
    """Puts in place of each plain output, which every line of a driven run repeats, what it is packed as: a file is
    given out once."""
    for index, value in enumerate(values):
        if index not in live:
            values[index] = _ring.pack(key, value, index + 1)
            if isinstance(values[index], str):
                raise _failure.Unsendable(values[index])


def place_of(iterator: Any) -> str:
    """" (yielded at words.py:12)": where a generator stands, or the innermost one that it yields from; ""
    of any other iterator. For the message of a value that cannot be sent."""
    found = None
    try:
        for _ in range(GENERATORS_MAX):
            frame = getattr(iterator, "gi_frame", None) or getattr(iterator, "ag_frame", None)
            if frame is None:
                break
            found = frame
            iterator = getattr(iterator, "gi_yieldfrom", None)
        return f" (yielded at {os.path.basename(found.f_code.co_filename)}:{found.f_lineno})" if found else ""
    except Exception:  # of user code: an iterator that only looks like a generator
        return ""


def place_among(opened: Sequence[Output]) -> str:
    """The same of a line, of which it is not known whose value cannot be sent: "" when there are several
    streams."""
    iterators = [iterator for iterator, _ in opened if iterator is not None]
    return place_of(iterators[0]) if len(iterators) == 1 else ""


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
