# SPDX-License-Identifier: MIT
"""json_schema - an InputSchema as a JSON Schema (2020-12), for people and programs that make requests.

It says what the fields enforce, as far as JSON Schema has words for it; a value that JSON does not have
is left out.
"""

from __future__ import annotations

import collections.abc
import enum
import json
import typing
from typing import TYPE_CHECKING, Any

from pipeline.objects.details import NOT_SAID
from pipeline.objects.file import File
from pipeline.objects.schema import plain
from pipeline.objects.types import ANYTHING, NONE, class_of, is_schema, is_union, split_optional

if TYPE_CHECKING:
    from pipeline.objects.details import Details
    from pipeline.objects.schema import InputField
    from pipeline.objects.types import Hint

    Schema = dict[str, Any]

# Schemas in schemas; one that has itself for a field ends there.
DEPTH_MAX = 8
WORDS: tuple[tuple[type, str], ...] = (
    (bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (list, "array"), (tuple, "array"),
    (dict, "object"), (File, "object"))
ABSTRACT: dict[type, str] = {collections.abc.Mapping: "object", collections.abc.Sequence: "array"}
NUMBERS = (("gt", "exclusiveMinimum"), ("ge", "minimum"), ("lt", "exclusiveMaximum"), ("le", "maximum"),
           ("multiple_of", "multipleOf"))
LENGTHS = {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems"),
           "object": ("minProperties", "maxProperties")}


def schema_of(hint: Hint, depth: int = 0) -> Schema:
    """What values of this annotation look like."""
    bare, is_optional = split_optional(hint)
    if bare in ANYTHING:
        return {}
    result = schema_of_some(bare, depth)
    return or_null(result) if is_optional and bare is not NONE else result


def schema_of_some(hint: Hint, depth: int) -> Schema:
    """Likewise, of one without None."""
    arguments = typing.get_args(hint)
    if is_union(hint):
        return {"anyOf": [schema_of(one, depth) for one in arguments]}
    if typing.get_origin(hint) is typing.Literal:
        return {"enum": values_of(arguments)}
    kind = class_of(hint)
    if kind is None:
        return {}
    if kind is NONE:
        return {"type": "null"}
    if is_schema(kind):
        return schema_of_fields(kind, depth)
    if issubclass(kind, enum.Enum):
        return {"enum": values_of([member.value for member in kind])}
    word = ABSTRACT.get(kind) or next((word for known, word in WORDS if issubclass(kind, known)), None)
    if word is None:
        return {}
    result: Schema = {"type": word}
    if depth < DEPTH_MAX:
        add_inside(result, kind, arguments, depth + 1)
    return result


def add_inside(result: Schema, kind: type, arguments: tuple[Hint, ...], depth: int) -> None:
    """What is said of the items of an array, of the values of a dictionary."""
    if issubclass(kind, tuple) and arguments and arguments[-1] is not Ellipsis:
        result.update(prefixItems=[schema_of(one, depth) for one in arguments], minItems=len(arguments),
                      maxItems=len(arguments))
    elif result["type"] == "array" and arguments:
        result["items"] = schema_of(arguments[0], depth)
    elif result["type"] == "object" and len(arguments) == 2:
        result["additionalProperties"] = schema_of(arguments[1], depth)


def schema_of_fields(kind: Any, depth: int) -> Schema:
    """Of an InputSchema. Whoever derives from it later has fields of his own, so nothing is kept."""
    result: Schema = {"type": "object", "title": kind.__name__}
    if depth >= DEPTH_MAX:
        return result
    fields: dict[str, InputField] = kind._schema_fields()
    result["properties"] = {name: schema_of_field(field, depth + 1) for name, field in fields.items()}
    result["required"] = [name for name, field in fields.items() if field.is_required]
    return result


def schema_of_field(field: InputField, depth: int) -> Schema:
    result = schema_of(field.hint, depth)
    add_words(result, field)
    add_limits(result, field)
    return result


def add_words(result: Schema, details: Details) -> None:
    for key in ("title", "description"):
        text = getattr(details, key)
        if isinstance(text, str):
            result[key] = text
    if details.default is not NOT_SAID:
        result.update(value_under("default", plain(details.default)))
    if details.examples is not None:
        examples = plain(details.examples)
        result.update(value_under("examples", examples if isinstance(examples, list) else [examples]))


def add_limits(result: Schema, details: Details) -> None:
    word = word_of(result)
    if word in ("integer", "number", None):
        for name, key in NUMBERS:
            result.update(value_under(key, getattr(details, name)))
    for name, key in zip(("min_length", "max_length"), LENGTHS.get(word or "", ())):
        result.update(value_under(key, getattr(details, name)))
    if details.choices is not None:
        # Whatever else is said of null, an enum without it forbids it.
        may_be_null = "null" in result["type"] if isinstance(result.get("type"), list) else False
        result["enum"] = values_of(details.choices) + ([None] if may_be_null else [])


def word_of(schema: Schema) -> str | None:
    """The type that it is of, besides null; None: of several."""
    words = schema.get("type")
    return words[0] if isinstance(words, list) else words


def or_null(schema: Schema) -> Schema:
    """Also null does."""
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    if "type" in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [*schema["anyOf"], {"type": "null"}]} if "anyOf" in schema else schema


def values_of(values: typing.Iterable[Any]) -> list[Any]:
    """Those that JSON has."""
    return [plain(value) for value in values if value is None or value_under("", plain(value))]


def value_under(key: str, value: Any) -> Schema:
    """The member, or none: there is no value, or JSON does not have it."""
    if value is None and key != "default":
        return {}
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return {}
    return {key: value}
