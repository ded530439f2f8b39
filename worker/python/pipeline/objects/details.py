# SPDX-License-Identifier: MIT
"""details - what is said of an input besides its type: how people see it, and its limits.

Of a plain Variable all of it is for people to read; of a field of an InputSchema the limits hold.
"""

from __future__ import annotations

import decimal
import fractions
import math
from typing import TYPE_CHECKING, Any

from pipeline.objects.types import Mismatch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import TypedDict

    class FieldDetails(TypedDict, total=False):
        """What may be said of an InputField by name, besides its default."""

        title: str | None
        description: str | None
        examples: Any
        optional: bool
        gt: float | None
        ge: float | None
        lt: float | None
        le: float | None
        multiple_of: float | None
        allow_inf_nan: bool | None
        max_digits: int | None
        decimal_places: int | None
        min_length: int | None
        max_length: int | None
        choices: Iterable[Any] | None

    # What else the original package takes of a Variable by name.
    class GraphDetails(TypedDict, total=False):
        """What a Variable is in its graph."""

        is_input: bool
        is_output: bool
        name: str | None
        local_id: str | None
        remote_id: str | None
        allow_out_of_context_creation: bool

    class VariableDetails(FieldDetails, GraphDetails, total=False):
        """Likewise of a Variable."""

        default: Any

    # Variables and fields are written where a value of their type belongs: as an argument of a pipe, as
    # what a field is assigned. Something that has Any among its bases fits there, to a type checker.
    StandIn = Any
else:
    StandIn = object

NOT_SAID = ...


class Details(StandIn):  # type: ignore[misc]  # see StandIn
    """Nothing here is required; None means "not said", and so does `default=...`."""

    def __init__(self, *, default: Any = NOT_SAID, title: str | None = None, description: str | None = None,
                 examples: Any = None, optional: bool = False, gt: float | None = None,
                 ge: float | None = None, lt: float | None = None, le: float | None = None,
                 multiple_of: float | None = None, allow_inf_nan: bool | None = None,
                 max_digits: int | None = None, decimal_places: int | None = None,
                 min_length: int | None = None, max_length: int | None = None,
                 choices: Iterable[Any] | None = None) -> None:
        self.default = default
        self.title = title
        self.description = description
        self.examples = examples
        self.optional = optional
        self.gt = gt
        self.ge = ge
        self.lt = lt
        self.le = le
        self.multiple_of = multiple_of
        self.allow_inf_nan = allow_inf_nan
        self.max_digits = max_digits
        self.decimal_places = decimal_places
        self.min_length = min_length
        self.max_length = max_length
        self.choices = None if choices is None else listed(choices)

    def check(self, value: Any) -> None:
        """Raises Mismatch where the value is outside of the limits: of the first, in the original's order."""
        if self.choices is not None and value not in self.choices:
            raise Mismatch("unexpected value; permitted: " + ", ".join(map(repr, self.choices)),
                           "value_error.const")
        if isinstance(value, (int, float)):
            self.check_number(value)
        if isinstance(value, (str, list, tuple, dict)):
            self.check_length(value)

    def check_number(self, value: float) -> None:
        # Written so that NaN, which compares to nothing, is within no limit.
        if self.gt is not None and not value > self.gt:
            raise limit("greater than", "number.not_gt", self.gt)
        if self.ge is not None and not value >= self.ge:
            raise limit("greater than or equal to", "number.not_ge", self.ge)
        if self.lt is not None and not value < self.lt:
            raise limit("less than", "number.not_lt", self.lt)
        if self.le is not None and not value <= self.le:
            raise limit("less than or equal to", "number.not_le", self.le)
        if self.multiple_of is not None and not is_multiple(value, self.multiple_of):
            raise Mismatch(f"ensure this value is a multiple of {self.multiple_of}",
                           f"value_error.number.not_multiple; multiple_of={self.multiple_of}")
        if self.allow_inf_nan is False and not math.isfinite(value):
            raise Mismatch("ensure this value is a finite number", "value_error.number.not_finite_number")
        if math.isfinite(value):
            self.check_digits(value)

    def check_digits(self, value: float) -> None:
        if self.max_digits is None and self.decimal_places is None:
            return
        _, digits, exponent = decimal.Decimal(repr(value + 0)).normalize().as_tuple()
        assert isinstance(exponent, int)  # the value is finite
        places = max(0, -exponent)
        if self.max_digits is not None and max(len(digits) + max(0, exponent), places) > self.max_digits:
            raise Mismatch(f"ensure that there are no more than {self.max_digits} digits in total",
                           f"value_error.decimal.max_digits; max_digits={self.max_digits}")
        if self.decimal_places is not None and places > self.decimal_places:
            raise Mismatch(f"ensure that there are no more than {self.decimal_places} decimal places",
                           f"value_error.decimal.max_places; decimal_places={self.decimal_places}")

    def check_length(self, value: str | list[Any] | tuple[Any, ...] | dict[Any, Any]) -> None:
        unit, family = ("characters", "any_str") if isinstance(value, str) else ("items", "list")
        if self.min_length is not None and len(value) < self.min_length:
            raise Mismatch(f"ensure this value has at least {self.min_length} {unit}",
                           f"value_error.{family}.min_length; limit_value={self.min_length}")
        if self.max_length is not None and len(value) > self.max_length:
            raise Mismatch(f"ensure this value has at most {self.max_length} {unit}",
                           f"value_error.{family}.max_length; limit_value={self.max_length}")


def listed(choices: Iterable[Any]) -> list[Any]:
    """In their order; a set has none, and every worker has to say the same."""
    return sorted(choices, key=repr) if isinstance(choices, (set, frozenset)) else list(choices)


def limit(relation: str, code: str, bound: float) -> Mismatch:
    """What to raise where a number is not on the right side of the bound."""
    return Mismatch(f"ensure this value is {relation} {bound}", f"value_error.{code}; limit_value={bound}")


def is_multiple(value: float, unit: float) -> bool:
    """In decimal, as people write numbers: 0.3 is a multiple of 0.1."""
    if not math.isfinite(value) or unit == 0:
        return False
    return fractions.Fraction(repr(value + 0)) % fractions.Fraction(repr(unit + 0)) == 0
