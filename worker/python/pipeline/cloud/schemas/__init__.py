# SPDX-License-Identifier: MIT
"""schemas - what clients and servers say to each other, as objects: `runs`, `files`, `pipelines`, `pointers` ...

    result = ClusterRunResult.parse_raw(text)      result.state, result.outputs[0].value, result.json(indent=2)

BaseModel has of pydantic's first version what the original package and its users call, and needs nothing that is
not in Python. What is said of fields is their annotations: a value that another type has a plain meaning in is
converted, what a class does not know is ignored.
"""

from __future__ import annotations

import datetime
import enum
import json
import typing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Self = typing.TypeVar("Self", bound="BaseModel")
    Hint = Any

REQUIRED = ...
TRUTHS = {"true": True, "1": True, "on": True, "yes": True, "false": False, "0": False, "off": False, "no": False}


class ValidationError(ValueError):
    """Values that are none for a class. `errors()` is a list of {"loc","msg","type"}."""

    def __init__(self, name: str, errors: list[dict[str, Any]]) -> None:
        self._errors = errors
        count = f"{len(errors)} validation error{'s' if len(errors) > 1 else ''}"
        lines = [f"{' -> '.join(map(str, error['loc']))}\n  {error['msg']} (type={error['type']})" for error in errors]
        super().__init__("\n".join([f"{count} for {name}", *lines]))

    def errors(self) -> list[dict[str, Any]]:
        """Where, what, and its kind."""
        return self._errors


class BaseModel:
    """Derive from it and annotate fields. Those without a default have to be said, unless they may be None or
    anything. ValidationError for values that do not do."""

    if TYPE_CHECKING:
        # name -> (annotation, default or REQUIRED)
        _known_fields: typing.ClassVar[dict[str, tuple[Hint, Any]]]

    forbids_unknown: typing.ClassVar[bool] = False

    def __init__(self, **values: Any) -> None:
        errors: list[dict[str, Any]] = []
        values = self.before(values)
        fields = type(self).fields()
        for name, (hint, default) in fields.items():
            if name in values:
                self.take(name, values[name], hint, errors)
            elif default is REQUIRED:
                errors.append({"loc": (name, ), "msg": "field required", "type": "value_error.missing"})
            else:
                setattr(self, name, default.copy() if isinstance(default, (list, dict)) else default)
        if self.forbids_unknown:
            errors += [{"loc": (name, ), "msg": "extra fields not permitted", "type": "value_error.extra"}
                       for name in values if name not in fields]
        if errors:
            raise ValidationError(type(self).__name__, errors)

    def take(self, name: str, value: Any, hint: Hint, errors: list[dict[str, Any]]) -> None:
        """Sets one field, or adds what is wrong with the value."""
        try:
            setattr(self, name, convert(value, hint))
        except ValidationError as inner:
            errors += [{**error, "loc": (name, *error["loc"])} for error in inner.errors()]
        except (TypeError, ValueError, OverflowError, OSError) as error:
            errors.append({"loc": (name, ), "msg": str(error), "type": "type_error"})

    @classmethod
    def before(cls, values: dict[str, Any]) -> dict[str, Any]:
        """What a class makes of all values before they are looked at."""
        return values

    @classmethod
    def fields(cls) -> dict[str, tuple[Hint, Any]]:
        """The annotation and the default of each field, those of base classes first."""
        if "_known_fields" not in cls.__dict__:
            hints = {name: hint for name, hint in typing.get_type_hints(cls).items()
                     if typing.get_origin(hint) is not typing.ClassVar}
            cls._known_fields = {name: (hint, getattr(cls, name, REQUIRED if is_needed(hint) else None))
                                 for name, hint in hints.items()}
        return cls._known_fields

    # ---- of and to what JSON has -------------------------------------------------------------------

    @classmethod
    def parse_obj(cls: type[Self], obj: Any) -> Self:
        """Of a dict, or of another instance."""
        if isinstance(obj, BaseModel):
            obj = dict(obj)
        if not isinstance(obj, dict):
            raise ValidationError(cls.__name__, [{"loc": ("__root__", ), "type": "type_error",
                                                  "msg": f"{cls.__name__} expected dict not {type(obj).__name__}"}])
        return cls(**{key: value for key, value in obj.items() if isinstance(key, str)})

    @classmethod
    def parse_raw(cls: type[Self], text: str | bytes) -> Self:
        """Of JSON."""
        try:
            said = json.loads(text)
        except ValueError as error:
            raise ValidationError(cls.__name__, [{"loc": ("__root__", ), "msg": str(error),
                                                  "type": "value_error.jsondecode"}]) from None
        return cls.parse_obj(said)

    def dict(self, *, include: Any = None, exclude: Any = None, exclude_none: bool = False,
             **_ignored: Any) -> typing.Dict[str, Any]:  # dict is this, here
        """The fields by their names; schemas in them are dicts too. Enumerations and times stay what they are."""
        return {name: as_dict(value, exclude_none) for name, value in self
                if (include is None or name in include) and (exclude is None or name not in exclude)
                and not (exclude_none and value is None)}

    def json(self, *, include: Any = None, exclude: Any = None, exclude_none: bool = False, indent: int | None = None,
             **_ignored: Any) -> str:
        """The same as JSON, times in seconds since 1970. TypeError for a value that JSON does not have."""
        said = self.dict(include=include, exclude=exclude, exclude_none=exclude_none)
        return json.dumps(said, default=as_json, indent=indent)

    def copy(self: Self, *, update: Mapping[str, Any] | None = None, **_ignored: Any) -> Self:
        """Another with the same values, those in `update` instead; nothing is looked at again."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.__dict__.update(update or {})
        return other

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        for name in type(self).fields():
            yield name, getattr(self, name)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and list(self) == list(typing.cast("BaseModel", other))

    __hash__ = None  # type: ignore[assignment]  # as dataclasses do: it can change

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self)})"


class Word(str, enum.Enum):
    """One of some words, which is text that compares to the word, and is shown as it."""

    def __str__(self) -> str:
        return str(self.value)


class Patchable(BaseModel):
    """What changes another schema: a name that is unknown there would change nothing."""

    forbids_unknown = True


def is_needed(hint: Hint) -> bool:
    return hint is not Any and type(None) not in typing.get_args(hint)


def as_dict(value: Any, exclude_none: bool) -> Any:
    if isinstance(value, BaseModel):
        return value.dict(exclude_none=exclude_none)
    if isinstance(value, (list, tuple)):
        return [as_dict(item, exclude_none) for item in value]
    if isinstance(value, dict):
        return {key: as_dict(item, exclude_none) for key, item in value.items()}
    return value


def as_json(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    if isinstance(value, enum.Enum):
        return value.value
    raise TypeError(f"a value of type {type(value).__name__} cannot be JSON")


# ---- one value -----------------------------------------------------------------------------------

def convert(value: Any, hint: Hint) -> Any:
    """The value as the annotation has it. ValueError, TypeError or ValidationError when it has no such meaning."""
    arguments = typing.get_args(hint)
    if hint is Any:
        return value
    if typing.get_origin(hint) is typing.Union:
        if value is None and type(None) in arguments:
            return None
        return convert(value, next(one for one in arguments if one is not type(None)))
    if value is None:
        raise TypeError("none is not an allowed value")
    kind = typing.get_origin(hint) or hint
    if kind is list:
        return [within(index, item, arguments[0]) for index, item in enumerate(instance(value, (list, tuple)))]
    if kind is dict:
        members = instance(value, (dict, )).items()
        return {convert(key, arguments[0]): within(key, item, arguments[1]) for key, item in members} \
            if arguments else dict(members)
    if issubclass(kind, BaseModel):
        return value if isinstance(value, kind) else kind.parse_obj(value)
    if issubclass(kind, datetime.datetime):
        return time_of(value)
    return value if isinstance(value, kind) and kind is not int else scalar(value, kind)


def within(step: Any, value: Any, hint: Hint) -> Any:
    try:
        return convert(value, hint)
    except ValidationError as inner:
        errors: list[dict[str, Any]] = [{**error, "loc": (step, *error["loc"])} for error in inner.errors()]
    except (TypeError, ValueError, OverflowError, OSError) as error:
        errors = [{"loc": (step, ), "msg": str(error), "type": "type_error"}]
    raise ValidationError("items", errors)


def instance(value: Any, kinds: tuple[type, ...]) -> Any:
    if not isinstance(value, kinds):
        raise TypeError(f"value is not a valid {kinds[0].__name__}")
    return value


def scalar(value: Any, kind: Any) -> Any:
    """Of what another scalar says."""
    if kind is bool and str(value).lower() in TRUTHS:
        return TRUTHS[str(value).lower()]
    if kind is int and isinstance(value, float) and not value.is_integer():
        raise TypeError("value is not a valid integer")
    if kind is float and isinstance(value, int):
        return value  # the original's own fields are numbers of either kind
    if kind in (int, float, str) and isinstance(value, (int, float, str)) or issubclass(kind, enum.Enum):
        return kind(value)
    raise TypeError(f"value is not a valid {kind.__name__}")


def time_of(value: Any) -> datetime.datetime:
    """In UTC, of seconds since 1970 or of ISO 8601."""
    if isinstance(value, str):
        value = datetime.datetime.fromisoformat(value[:-1] + "+00:00" if value.endswith("Z") else value)
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc)
    return datetime.datetime.fromtimestamp(float(value), datetime.timezone.utc)
