# SPDX-License-Identifier: MIT
"""_variables - what a graph says of its inputs and outputs, in the words of HELLO.

Two kinds of graph are understood: one with `input_variables` and `output_variables`, whose items have
a `type_word`; and that of the original package, with `variables`, `outputs` and Python types.
"""

from __future__ import annotations

import json
import sys
import typing
from typing import Any

WORDS = ("string", "integer", "fp", "boolean", "none", "array", "dictionary", "file", "stream")
WORD_OF_TYPE: dict[type, str] = {
    str: "string", int: "integer", float: "fp", bool: "boolean", type(None): "none",
    list: "array", tuple: "array", dict: "dictionary"}
NUMBERS = ("gt", "ge", "lt", "le", "multiple_of")
LENGTHS = ("min_length", "max_length")

# A HELLO has 64 KiB in all: schemas have so much of it together, and those that do not fit are left out.
SCHEMA_BYTES_MAX = 32 * 1024


def describe(graph: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """Two lists: a dict for each input, a type's word for each output. TypeError for a graph without an
    output, or with an input that JSON does not have."""
    inputs, outputs = variables_of(graph)
    if not outputs:
        raise TypeError("the pipeline has no output: builder.output(...) makes one")
    described = [describe_input(number, variable) for number, variable in enumerate(inputs, 1)]
    leave_large_schemas_out(described)
    return described, [output_word(variable) for variable in outputs]


def variables_of(graph: Any) -> tuple[list[Any], list[Any]]:
    inputs = getattr(graph, "input_variables", None)
    if inputs is None:
        inputs = [variable for variable in graph.variables if getattr(variable, "is_input", False)]
    outputs = getattr(graph, "output_variables", None)
    if outputs is None:
        outputs = getattr(graph, "outputs", None)
    return list(inputs), list(outputs or ())


def word_of(variable: Any) -> str | None:
    """The word of a variable's type; None when it has none."""
    word = getattr(variable, "type_word", None)
    if word is not None:
        return word if word in WORDS else None
    kind = without_none(getattr(variable, "type_class", object))
    kind = type(None) if kind is None else typing.get_origin(kind) or kind
    names = names_of(kind)
    if not names:
        return None
    if kind.__name__ == "Stream":
        return "stream"
    if "InputSchema" in names:
        return "dictionary"
    if "File" in names:
        return "file"
    return next((word for known, word in WORD_OF_TYPE.items() if kind is known), None) or \
        next((word for known, word in WORD_OF_TYPE.items() if issubclass(kind, known)), None)


def without_none(hint: Any) -> Any:
    """What may be None besides, without that."""
    others = [one for one in typing.get_args(hint) if one is not type(None)]
    # Of X | None the class has no name in Python 3.9.
    is_union = typing.get_origin(hint) is typing.Union or type(hint).__name__ == "UnionType"
    return others[0] if is_union and len(others) == 1 else hint


def names_of(hint: Any) -> list[str]:
    """Of the class that a type is, and its bases; none when it is no class."""
    kind = without_none(hint)
    kind = typing.get_origin(kind) or kind
    return [base.__name__ for base in kind.__mro__] if isinstance(kind, type) else []


def file_keys(hint: Any) -> list[str]:
    """The fields of an InputSchema that are files."""
    if "InputSchema" not in names_of(hint):
        return []
    kind = without_none(hint)
    try:
        hints = typing.get_type_hints(kind)
    except (NameError, TypeError):
        hints = kind.__annotations__  # as far as they are known
    return [name for name, field in hints.items() if "File" in names_of(field)]


def output_word(variable: Any) -> str:
    # An output that is not said to be anything may turn out to be a stream.
    return word_of(variable) or "stream"


def describe_input(number: int, variable: Any) -> dict[str, Any]:
    """What HELLO says of an input; errors name it by its number, from 1."""
    word = word_of(variable)
    if word is None or word == "stream":
        kind = getattr(variable, "type_word", None) or getattr(variable, "type_class", None)
        raise TypeError(f"input {number} is of type {getattr(kind, '__name__', kind)}, which cannot be sent "
                        "as JSON")
    default = getattr(variable, "default", None)
    result = {"type": word, "optional": bool(getattr(variable, "optional", False)) or default is not None,
              "default": json_text(default), "examples": json_text(getattr(variable, "examples", None)),
              "choices": json_text(list_of(getattr(variable, "choices", None)))}
    for key in ("title", "description"):
        text = getattr(variable, key, None)
        result[key] = plain_text(text) if isinstance(text, str) else None
    for key in NUMBERS:
        result[key] = number_text(getattr(variable, key, None))
    for key in LENGTHS:
        length = getattr(variable, key, None)
        result[key] = length if isinstance(length, int) and length > 0 else None
    keys = file_keys(getattr(variable, "type_class", None)) if word == "dictionary" else []
    result["files"] = json_text(keys or None)
    schema = getattr(variable, "json_schema", None)
    result["schema"] = json_text(schema()) if callable(schema) else None
    return result


def leave_large_schemas_out(described: list[dict[str, Any]]) -> None:
    room = SCHEMA_BYTES_MAX
    for number, result in enumerate(described, 1):
        if result["schema"] is None:
            continue
        if len(result["schema"]) > room:
            print(f"input {number}: its schema is not shown, {len(result['schema'])} bytes are too many",
                  file=sys.stderr)
            result["schema"] = None
        else:
            room -= len(result["schema"])


def list_of(choices: Any) -> list[Any] | None:
    return None if choices is None else list(choices)


def plain_text(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def json_text(value: Any) -> str | None:
    """JSON of a value that JSON can hold; None for any other, which is not shown then."""
    if value is None:
        return None
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=True)
    except (TypeError, ValueError, RecursionError):
        return None


def number_text(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return json_text(value)
