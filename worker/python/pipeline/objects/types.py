# SPDX-License-Identifier: MIT
"""types - what an annotation means: the API's word for it, and which values do for it.

The rules are those of the API: an integer does for a float, a boolean for an integer and for a float,
nothing else does for anything else. None does only where it is said: Optional[int], int | None.
"""

from __future__ import annotations

import collections.abc
import enum
import io
import sys
import typing
from typing import Any

from pipeline.objects.file import File, is_file_like
from pipeline.objects.stream import Stream

if sys.version_info >= (3, 10):
    from types import UnionType  # X | Y
else:
    UnionType = None

if typing.TYPE_CHECKING:
    # What an annotation says: a class, or something that typing makes of classes.
    Hint = Any
    # The way to a value inside of another: names of fields, keys, indices.
    Location = tuple[object, ...]
    # A mistake: where, what a person is told, its code.
    Mistake = tuple[Location, str, str]

NONE: type = type(None)
ANYTHING = (Any, object)

# The order matters where classes derive from each other: a bool is an int.
WORDS: tuple[tuple[type, str], ...] = (
    (bool, "boolean"), (int, "integer"), (float, "fp"), (str, "string"), (bytes, "string"),
    (list, "array"), (tuple, "array"), (dict, "dictionary"), (NONE, "none"), (File, "file"), (io.IOBase, "file"))
PHRASES: dict[type, str] = {
    bool: "a boolean", int: "an integer", float: "a float", str: "a string", list: "an array",
    tuple: "an array", dict: "a dictionary", NONE: "null", File: "a file"}
# What does for another: an integer where a float is said.
WIDER = {("integer", "fp"), ("boolean", "integer"), ("boolean", "fp")}
STREAMS = (Stream, collections.abc.Iterator, collections.abc.AsyncIterator)


class Mismatch(TypeError):
    """A value does not do. `code` names the kind of mistake; `location` is the way to it, inside the
    value."""

    def __init__(self, message: str, code: str, location: Location = ()) -> None:
        super().__init__(message)
        self.code = code
        self.location = tuple(location)

    def within(self, step: object) -> Mismatch:
        """The same, of a value around this one, which is reached in it by `step`."""
        return Mismatch(str(self), self.code, (step, *self.location))


class SchemaError(TypeError, ValueError):
    """Values that an InputSchema does not take; a TypeError too, as in the original package. `errors` is a list of (location, message, code)."""

    def __init__(self, name: str, errors: list[Mistake]) -> None:
        self.name = name
        self.errors = errors
        count = f"{len(errors)} validation error{'s' if len(errors) > 1 else ''}"
        lines = [f"{' -> '.join(map(str, location))}\n  {message} (type={code})"
                 for location, message, code in errors]
        super().__init__("\n".join([f"{count} for {name}", *lines]))

    def within(self, step: object) -> SchemaError:
        """The same, of a value around this one, which is reached in it by `step`."""
        return SchemaError(self.name, [((step, *location), message, code)
                                       for location, message, code in self.errors])


def is_union(hint: Hint) -> bool:
    origin = typing.get_origin(hint)
    return origin is typing.Union or (UnionType is not None and origin is UnionType)


def split_optional(hint: Hint) -> tuple[Hint, bool]:
    """The hint without None, and whether None was in it."""
    if hint is None:
        return NONE, True
    if not is_union(hint):
        return hint, hint is NONE or hint in ANYTHING
    rest = tuple(one for one in typing.get_args(hint) if one is not NONE)
    return (rest[0] if len(rest) == 1 else typing.Union[rest]), len(rest) < len(typing.get_args(hint))


def class_of(hint: Hint) -> type | None:
    """The class behind the hint; None when there is none, or more than one."""
    hint, _ = split_optional(hint)
    origin = typing.get_origin(hint) or hint
    return origin if isinstance(origin, type) and origin is not object else None


def word_of(hint: Hint) -> str | None:
    """The API's word for the hint; None when it can be several, or is none that JSON has."""
    plain, _ = split_optional(hint)
    if typing.get_origin(plain) is typing.Literal:
        words = {word_of(type(one)) for one in typing.get_args(plain)}
        return words.pop() if len(words) == 1 else None
    kind = class_of(plain)
    if kind is None:
        return None
    if issubclass(kind, STREAMS):
        return "stream"
    if is_schema(kind):
        return "dictionary"
    if kind is collections.abc.Mapping:
        return "dictionary"
    if kind is collections.abc.Sequence:
        return "array"
    return next((word for known, word in WORDS if issubclass(kind, known)), None)


def is_contrary(value: object, hint: Hint) -> bool:
    """Whether the value is one that JSON has, and not of the hint's kind. What cannot be told is not: other
    types, hints with several, what is inside of containers."""
    word = word_of(hint)
    if word is None or word == "stream":
        return False
    if value is None:
        return word != "none" and not split_optional(hint)[1]
    given = word_of(type(value))
    return given is not None and given != word and (given, word) not in WIDER


def name_of(hint: Hint) -> str:
    """The hint as a person would write it."""
    return hint.__name__ if isinstance(hint, type) and typing.get_origin(hint) is None \
        else str(hint).replace("typing.", "")


def phrase_of(value: object) -> str:
    """"a string", "an integer": what a value is, for messages."""
    kind = type(value)
    return PHRASES.get(kind) or f"a value of type {kind.__name__}"


def is_schema(kind: object) -> bool:
    """Whether it is an InputSchema's class; told by what it can do, as schema.py needs this file."""
    return isinstance(kind, type) and hasattr(kind, "_from_dictionary")


def fit(value: Any, hint: Hint, is_deep: bool) -> Any:
    """`value` as the hint wants it, or Mismatch. What lies inside containers is looked at when `is_deep`;
    a dictionary for an InputSchema becomes an instance of it."""
    plain, is_optional = split_optional(hint)
    if value is None:
        if is_optional:
            return None
        raise Mismatch("none is not an allowed value", "type_error.none.not_allowed")
    if plain in ANYTHING:
        return value
    if is_union(plain):
        return fit_union(value, typing.get_args(plain), is_deep)
    if typing.get_origin(plain) is typing.Literal:
        return fit_literal(value, typing.get_args(plain))
    kind = class_of(plain)
    if kind is None:  # a type variable, say: nothing is known of it
        return value
    return fit_class(value, kind, typing.get_args(plain) if is_deep else (), is_deep)


def fit_union(value: Any, hints: tuple[Hint, ...], is_deep: bool) -> Any:
    # As it is for one of them is better than converted for an earlier one.
    for hint in sorted(hints, key=lambda hint: type(value) is not class_of(hint)):
        try:
            return fit(value, hint, is_deep)
        except (Mismatch, SchemaError):
            continue
    names = " nor ".join(name_of(hint) for hint in hints)
    raise Mismatch(f"value is neither {names}", "type_error.union")


def fit_literal(value: Any, choices: tuple[Any, ...]) -> Any:
    if not any(value == one and type(value) is type(one) for one in choices):
        raise Mismatch("unexpected value; permitted: " + ", ".join(map(repr, choices)), "value_error.const")
    return value


def fit_class(value: Any, kind: Any, arguments: tuple[Hint, ...], is_deep: bool) -> Any:
    if is_schema(kind):
        if isinstance(value, kind):
            return value
        if not isinstance(value, dict):
            raise Mismatch("value is not a valid dict", "type_error.dict")
        return kind._from_dictionary(value)
    if issubclass(kind, enum.Enum):
        return fit_enum(value, kind)
    if kind is float and isinstance(value, (int, float)):
        return value
    if kind in (list, tuple, collections.abc.Sequence) and isinstance(value, (list, tuple)):
        items = fit_items(value, kind, arguments, is_deep)
        return tuple(items) if kind is tuple else items
    if kind in (dict, collections.abc.Mapping) and isinstance(value, dict):
        return fit_members(value, arguments, is_deep)
    if isinstance(value, kind) or (issubclass(kind, File) and is_file_like(value)):
        return value
    raise Mismatch(*WRONG_KIND.get(kind, (f"instance of {kind.__name__} expected",
                                          "type_error.arbitrary_type")))


WRONG_KIND: dict[type, tuple[str, str]] = {
    str: ("str type expected", "type_error.str"),
    int: ("value is not a valid integer", "type_error.integer"),
    float: ("value is not a valid float", "type_error.float"),
    bool: ("value is not a valid boolean", "type_error.bool"),
    list: ("value is not a valid list", "type_error.list"),
    tuple: ("value is not a valid tuple", "type_error.tuple"),
    dict: ("value is not a valid dict", "type_error.dict"),
}


def fit_enum(value: Any, kind: type[enum.Enum]) -> enum.Enum:
    if isinstance(value, kind):
        return value
    try:
        return kind(value)
    except ValueError:
        permitted = ", ".join(repr(member.value) for member in kind)
        raise Mismatch(f"value is not a valid enumeration member; permitted: {permitted}",
                       "type_error.enum") from None


def fit_items(value: Any, kind: type, arguments: tuple[Hint, ...], is_deep: bool) -> Any:
    if not arguments:
        return value
    if kind is not tuple or (len(arguments) == 2 and arguments[1] is Ellipsis):
        hints = arguments[:1] * len(value)
    elif len(arguments) != len(value):
        raise Mismatch(f"wrong tuple length {len(value)}, expected {len(arguments)}",
                       "value_error.tuple.length")
    else:
        hints = arguments
    return [fit_within(index, item, hint, is_deep) for index, (item, hint) in enumerate(zip(value, hints))]


def fit_members(value: dict[Any, Any], arguments: tuple[Hint, ...], is_deep: bool) -> dict[Any, Any]:
    if len(arguments) != 2:
        return value
    return {fit_within(key, key, arguments[0], is_deep): fit_within(key, item, arguments[1], is_deep)
            for key, item in value.items()}


def fit_within(step: object, value: Any, hint: Hint, is_deep: bool) -> Any:
    try:
        return fit(value, hint, is_deep)
    except (Mismatch, SchemaError) as error:
        raise error.within(step) from None
