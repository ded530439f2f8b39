# SPDX-License-Identifier: MIT
"""variables - the values that flow through a graph: inputs, and results of pipes."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from pipeline.exceptions import GraphError, InputError
from pipeline.objects import building
from pipeline.objects.details import NOT_SAID, Details
from pipeline.objects.json_schema import schema_of
from pipeline.objects.schema import plain
from pipeline.objects.types import (
    Mismatch,
    SchemaError,
    class_of,
    fit,
    is_schema,
    name_of,
    phrase_of,
    split_optional,
    word_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Unpack

    from pipeline.cloud.schemas.pipelines import IOVariable
    from pipeline.objects.details import VariableDetails
    from pipeline.objects.types import Hint

EXPECTED = {"string": "a string", "integer": "an integer", "fp": "a float", "boolean": "a boolean",
            "none": "null", "array": "an array", "dictionary": "a dictionary", "file": "a file"}
REPR_CHARACTERS_MAX = 80

Value = TypeVar("Value")


class Variable(Details, Generic[Value]):
    """An input, made inside `with Pipeline() as builder:`; GraphError anywhere else. Only its type is
    enforced; for limits that hold see InputSchema."""

    @overload
    def __init__(self, type_class: type[Value], **details: Unpack[VariableDetails]) -> None:
        ...

    # What is no class, such as Optional[int].
    @overload
    def __init__(self: Variable[Any], type_class: object, **details: Unpack[VariableDetails]) -> None:
        ...

    def __init__(self, type_class: Hint, **said: Unpack[VariableDetails]) -> None:
        details: dict[str, Any] = {**said}
        if details.get("default", NOT_SAID) is None:
            details["default"] = NOT_SAID
        is_free = details.pop("allow_out_of_context_creation", False)
        self.is_input = details.pop("is_input", True)
        self.is_output = details.pop("is_output", False)
        self.name = details.pop("name", None)
        self.remote_id = details.pop("remote_id", None)
        self.local_id = details.pop("local_id", None) or building.new_id()
        super().__init__(**details)
        self.type_class: Hint = type_class
        self.optional = bool(self.optional) or split_optional(type_class)[1]
        builder = building.current()
        if builder is not None:
            builder.add_variable(self)
        elif not is_free:
            raise GraphError("Variable() belongs inside of `with Pipeline() as builder:`")
        # What a default is to people and to a server; runs get the real one.
        self.real_default = self.default
        self.default = None if self.default is NOT_SAID else plain(self.default)

    @classmethod
    def of_result(cls, hint: Hint) -> Variable[Any]:
        """The result of a pipe."""
        variable = cls.__new__(cls)
        Details.__init__(variable, default=None)
        variable.type_class = hint
        variable.is_input = variable.is_output = False
        variable.name = variable.remote_id = None
        variable.local_id = building.new_id()
        return variable

    @property
    def type_word(self) -> str | None:
        """string, integer, fp, boolean, none, array, dictionary or stream; None when it can be several."""
        return word_of(self.type_class)

    def json_schema(self) -> dict[str, Any] | None:
        """A JSON Schema of what an InputSchema enforces; None: it is of another type."""
        return schema_of(self.type_class) if is_schema(class_of(self.type_class)) else None

    @property
    def dict_schema(self) -> list[dict[str, Any]] | None:
        """The fields of an InputSchema as the original package tells them; None: it is of another type."""
        kind: Any = class_of(self.type_class)
        return kind.to_schema() if is_schema(kind) else None

    def to_io_schema(self) -> IOVariable:
        """The variable as the original package tells it."""
        from pipeline.objects.io_schema import io_variable  # most graphs are never asked

        return io_variable(self, self.type_class, self.title)

    def validate_variable(self, value: Any) -> None:
        """TypeError for a value outside of the limits, which nothing else looks at."""
        self.check(value)

    @property
    def is_required(self) -> bool:
        """Whether a run that leaves it out is wrong."""
        return self.real_default is NOT_SAID and not self.optional

    def take(self, value: Any, number: int) -> Any:
        """The value that pipes see, or InputError, which names the input by its number, from 1."""
        if value is None and self.real_default is not NOT_SAID:
            return copy.deepcopy(self.real_default)
        if value is None and self.optional:
            return None
        name = f"input {number}" + (f' ("{self.title}")' if self.title else "")
        try:
            return fit(value, self.type_class, is_deep=False)
        except SchemaError as error:
            raise InputError(f"{name}: {error}") from None
        except Mismatch as mismatch:
            raise InputError(f"{name} {self.complaint(value, mismatch)}") from None

    def complaint(self, value: object, mismatch: Mismatch) -> str:
        """What is wrong with the value, after the input's name."""
        got = f"got {phrase_of(value)}"
        if mismatch.code.startswith("value_error"):
            return f"has a wrong value, {shown(value)}: {mismatch}"
        return f"must be {EXPECTED.get(self.type_word or '') or name_of(self.type_class)}, {got}"

    def __iter__(self) -> Iterator[Any]:
        raise GraphError("this result is one variable; a pipe with several results says so in its "
                         "annotation: -> Tuple[str, int]")

    def __repr__(self) -> str:
        title = f", title={self.title!r}" if self.title else ""
        return f"Variable({name_of(self.type_class)}{title})"


def shown(value: object) -> str:
    """repr() of the value, its beginning where that is long."""
    text = repr(value)
    return text if len(text) <= REPR_CHARACTERS_MAX else text[:REPR_CHARACTERS_MAX] + "..."
