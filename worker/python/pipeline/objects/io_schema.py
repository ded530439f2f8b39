# SPDX-License-Identifier: MIT
"""io_schema - variables and fields as the original package tells them, and fields made of what it tells."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any

from pipeline.cloud.schemas.pipelines import IOVariable
from pipeline.cloud.schemas.runs import RunIOType
from pipeline.objects.details import NOT_SAID
from pipeline.objects.schema import InputField, plain
from pipeline.objects.types import class_of, is_schema, word_of

if TYPE_CHECKING:
    from pipeline.objects.details import Details
    from pipeline.objects.schema import InputSchema
    from pipeline.objects.types import Hint

LIMITS = ("gt", "ge", "lt", "le", "multiple_of", "allow_inf_nan", "max_digits", "decimal_places", "min_length",
          "max_length")


def io_variable(details: Details, hint: Hint, title: str | None) -> IOVariable:
    """Of an input or a field that is annotated so."""
    kind: Any = class_of(hint)
    return IOVariable(
        run_io_type=RunIOType(word_of(hint) or "pkl"), title=title, description=details.description,
        examples=details.examples, choices=details.choices, optional=bool(details.optional),
        default=None if details.default is NOT_SAID else plain(details.default),
        dict_schema=kind.to_schema() if is_schema(kind) else None,
        **{name: getattr(details, name) for name in LIMITS})


def schema_class(base: type[InputSchema], schemas: list[dict[str, Any]]) -> type[InputSchema]:
    """A class with these fields. ValueError for a type that no field can be of."""
    annotations: dict[str, Hint] = {}
    fields: dict[str, Any] = {}
    for said in map(IOVariable.parse_obj, schemas):
        name = str(said.title)
        kind = RunIOType.to_object(said.run_io_type)
        annotations[name] = typing.Optional[kind] if said.optional else kind
        limits = {key: getattr(said, key) for key in (*LIMITS, "title", "description", "examples", "choices")}
        fields[name] = InputField(NOT_SAID if said.default is None else said.default, **limits)
    return type(base.__name__, (base, ), {"__annotations__": annotations, **fields})
