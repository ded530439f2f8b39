# SPDX-License-Identifier: MIT
"""stream - an output that is sent item by item, as the items are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from _typeshed import SupportsAnext, SupportsNext

REPR_CHARACTERS_MAX = 60

Item = TypeVar("Item", covariant=True)


class Stream(Generic[Item]):
    """Takes an iterator: of a generator function, say, or an asynchronous one. Each item becomes a line.
    TypeError when it is given anything else. `Stream[str]` says in an annotation what the items are.

    A Stream is an iterator itself, so that a pipe may read the Stream of another, and tests may read it.
    """

    def __init__(self, iterable: SupportsNext[Item] | SupportsAnext[Item]) -> None:
        if isinstance(iterable, Stream):
            iterable = iterable.iterable
        if not is_iterator(iterable):
            raise TypeError(f"Stream() takes an iterator, {instead_of(iterable)}")
        self.iterable: Any = iterable

    def __iter__(self) -> Stream[Item]:
        return self

    def __next__(self) -> Item:
        """The next item. TypeError when the iterator is asynchronous."""
        if not hasattr(self.iterable, "__next__"):
            raise TypeError("this Stream is asynchronous: it is read with `async for`")
        item: Item = next(self.iterable)
        return item

    def __aiter__(self) -> Stream[Item]:
        return self

    async def __anext__(self) -> Item:
        """The next item, of either kind of iterator."""
        if hasattr(self.iterable, "__anext__"):
            item: Item = await self.iterable.__anext__()
            return item
        try:
            item = next(self.iterable)
        except StopIteration:
            raise StopAsyncIteration from None
        return item

    def end(self) -> Any:
        """Ends the stream before its last item: the iterator's end(), else its close(). Of an
        asynchronous generator this returns the awaitable of its aclose()."""
        for name in ("end", "close", "aclose"):
            method = getattr(self.iterable, name, None)
            if callable(method):
                return method()
        return None

    def __repr__(self) -> str:
        return f"Stream({self.iterable!r})"


def is_iterator(value: object) -> bool:
    """Whether it gives items one by one, at once or asynchronously."""
    # A class has the methods, but an instance was meant.
    return (hasattr(value, "__next__") or hasattr(value, "__anext__")) and not isinstance(value, type)


def instead_of(value: object) -> str:
    """What is wrong with the value, and what to write instead."""
    shown = repr(value)
    if len(shown) > REPR_CHARACTERS_MAX:
        shown = "..."
    kind = type(value).__name__
    if hasattr(value, "__aiter__"):
        return f"and this {kind} is asynchronous but none: write Stream(aiter({shown}))"
    if isinstance(value, type) or not hasattr(value, "__iter__"):
        name = getattr(value, "__name__", None)
        if name is not None and callable(value):
            return f"and {name} is not one but makes one, perhaps: write Stream({name}(...))"
        return f"not {'None' if value is None else 'a value of type ' + kind}: {shown}"
    return f"and a {kind} is not one: write Stream(iter({shown}))"
