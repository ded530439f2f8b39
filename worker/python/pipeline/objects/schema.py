# SPDX-License-Identifier: MIT
"""schema - an input that is a dictionary with known fields, whose types and limits are enforced."""

from __future__ import annotations

import copy
import typing
from typing import TYPE_CHECKING, Any

from pipeline.exceptions import GraphError
from pipeline.objects.details import NOT_SAID, Details
from pipeline.objects.types import Mismatch, SchemaError, class_of, fit, split_optional, word_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import dataclass_transform

    from pipeline.objects.types import Hint, Mistake
else:
    def dataclass_transform(**_):
        return lambda kind: kind


class InputField(Details):
    """One field: class Options(InputSchema): n: int = InputField(default=1, ge=0, le=10)"""

    def __init__(self, default: Any = NOT_SAID, title: str | None = None, description: str | None = None,
                 examples: Any = None, gt: float | None = None, ge: float | None = None, lt: float | None = None,
                 le: float | None = None, multiple_of: float | None = None, allow_inf_nan: bool | None = None,
                 max_digits: int | None = None, decimal_places: int | None = None, min_length: int | None = None,
                 max_length: int | None = None, choices: Iterable[Any] | None = None,
                 optional: bool | None = False) -> None:
        super().__init__(
            default=default, title=title, description=description, examples=examples, optional=bool(optional), gt=gt,
            ge=ge, lt=lt, le=le, multiple_of=multiple_of, allow_inf_nan=allow_inf_nan, max_digits=max_digits,
            decimal_places=decimal_places, min_length=min_length, max_length=max_length, choices=choices)
        self.name = ""
        self.hint: Hint = None

    def bind(self, name: str, hint: Hint) -> InputField:
        """A copy that knows what it is a field of; one InputField may be shared by several."""
        bound = copy.copy(self)
        bound.name = name
        bound.hint = hint
        plain, is_optional = split_optional(hint)
        if self.optional and not is_optional:
            bound.hint = typing.Optional[plain]
        bound.optional = self.optional or is_optional
        return bound

    @property
    def is_required(self) -> bool:
        """Whether a dictionary without it is wrong."""
        return self.default is NOT_SAID and not self.optional

    @property
    def type_word(self) -> str | None:
        """As Variable.type_word."""
        return word_of(self.hint)

    def default_value(self) -> Any:
        """A copy of the default, so that nothing an instance does to it reaches the next one."""
        return None if self.default is NOT_SAID else copy.deepcopy(self.default)

    def validate(self, value: Any) -> None:
        """TypeError for a value outside of the limits."""
        self.check(value)

    def take(self, value: Any) -> Any:
        """The value as the field has it, or Mismatch."""
        value = fit(value, self.hint, is_deep=True)
        if value is None:
            return None
        if class_of(self.hint) is float:
            value = as_float(value)
        self.check(value)
        return value


def as_float(value: float) -> float:
    """Mismatch for an integer beyond what a float holds."""
    try:
        return float(value)
    except OverflowError:
        raise Mismatch("value is not a valid float", "type_error.float") from None


@dataclass_transform(kw_only_default=True, field_specifiers=(InputField, ))
class InputSchema:
    """Derive from it and annotate fields. An instance has them as attributes. Values that do not fit are a
    SchemaError, a ValueError that tells of all; what is no field's name is ignored."""

    if TYPE_CHECKING:
        _fields: typing.ClassVar[dict[str, InputField]]

    def __init__(self, /, **values: Any) -> None:
        fields = type(self)._schema_fields()
        errors: list[Mistake] = []
        for name, field in fields.items():
            if name in values:
                self._take(field, values[name], errors)
            elif field.is_required:
                errors.append(((name,), "field required", "value_error.missing"))
            else:
                setattr(self, name, field.default_value())
        if errors:
            raise SchemaError(type(self).__name__, errors)

    def _take(self, field: InputField, value: Any, errors: list[Mistake]) -> None:
        try:
            setattr(self, field.name, field.take(value))
        except Mismatch as mismatch:
            errors.append(((field.name, *mismatch.location), str(mismatch), mismatch.code))
        except SchemaError as inner:
            errors += [((field.name, *location), message, code)
                       for location, message, code in inner.errors]

    @classmethod
    def _schema_fields(cls) -> dict[str, InputField]:
        """The fields by their names, in order, those of base classes first."""
        if "_fields" not in cls.__dict__:
            cls._fields = find_fields(cls)
        return cls._fields

    @classmethod
    def _from_dictionary(cls, values: dict[Any, Any]) -> InputSchema:
        """An instance, or SchemaError."""
        odd = [key for key in values if not isinstance(key, str)]
        if odd:
            raise SchemaError(cls.__name__, [((key,), "keys must be strings", "type_error.str")
                                             for key in odd])
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """The fields by their names, as JSON has them."""
        return {name: plain(getattr(self, name)) for name in type(self)._schema_fields()}

    @classmethod
    def to_schema(cls) -> list[dict[str, Any]]:
        """The fields as the original package tells them, by their names in order: a dict of an IOVariable each."""
        from pipeline.objects.io_schema import io_variable  # most schemas are never asked

        fields = sorted(cls._schema_fields().items())
        return [io_variable(field, field.hint, name).dict() for name, field in fields]

    @classmethod
    def from_schema(cls, schemas: list[dict[str, Any]]) -> InputSchema:
        """An instance with the fields that to_schema() told, for parse_dict() to give values. ValueError for a type
        that no field can be of."""
        from pipeline.objects.io_schema import schema_class

        kind = schema_class(cls, schemas)
        return kind.__new__(kind)

    def parse_dict(self, input_dict: dict[str, Any]) -> None:
        """Takes the values of the fields that are in it. SchemaError, and nothing is taken."""
        taken = type(self)(**{**self.__dict__, **input_dict})
        self.__dict__.update(taken.__dict__)

    def __eq__(self, other: object) -> bool:
        return (isinstance(other, InputSchema) and type(self) is type(other)
                and self.to_dict() == other.to_dict())

    __hash__ = None  # type: ignore[assignment]  # as dataclasses do: it can change

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in type(self)._schema_fields())
        return f"{type(self).__name__}({values})"


def plain(value: Any) -> Any:
    """What JSON has in place of the value."""
    if isinstance(value, InputSchema):
        return value.to_dict()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if getattr(value, "shape", None) == () and callable(getattr(value, "item", None)):
        return value.item()  # a scalar of an array library
    return value


def advice_of(value: Any) -> str:
    """What to write instead of a value that JSON does not have; "" when nothing is known of it."""
    if hasattr(value, "tolist"):
        return ": its tolist() makes what it has"
    if hasattr(value, "getbands"):
        return ": it is an image, of which base64.b64encode() makes text when save() has made bytes of it"
    return ": its isoformat() makes what it has" if hasattr(value, "isoformat") else ""


def find_fields(schema: type[InputSchema]) -> dict[str, InputField]:
    """What the annotations of the class and its bases say. GraphError when one has no meaning."""
    try:
        hints = typing.get_type_hints(schema)
    except (NameError, TypeError, SyntaxError) as error:
        raise GraphError(f"an annotation of {schema.__name__} has no meaning here: {error}") from error
    fields = {}
    for name, hint in hints.items():
        if name.startswith("_") or typing.get_origin(hint) is typing.ClassVar or hint is typing.ClassVar:
            continue
        said = next((base.__dict__[name] for base in schema.__mro__ if name in base.__dict__), NOT_SAID)
        field = said if isinstance(said, InputField) else InputField(default=said)
        fields[name] = field.bind(name, hint)
    return fields
