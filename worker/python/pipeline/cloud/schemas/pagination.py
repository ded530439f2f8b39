# SPDX-License-Identifier: MIT
"""pagination - parts of long lists."""

from __future__ import annotations

import enum
import math
import typing
from typing import Any

from pipeline.cloud.schemas import BaseModel, ValidationError

PAGINATION_LIMIT = 10_000
DEFAULT_LIMIT = 1000

Data = typing.TypeVar("Data")


class Pagination(BaseModel):
    """Which part: `limit` items at most, from the one at `skip`, from 0. ValidationError for one that there cannot
    be."""

    skip: int
    limit: int

    @classmethod
    def before(cls, values: dict[str, Any]) -> dict[str, Any]:
        bounds = {"skip": (0, math.inf), "limit": (1, PAGINATION_LIMIT), "total": (0, math.inf)}
        errors = [{"loc": (name, ), "msg": f"ensure this value is from {least} to {most}", "type": "value_error.number"}
                  for name, (least, most) in bounds.items()
                  if isinstance(values.get(name), int) and not least <= values[name] <= most]
        if errors:
            raise ValidationError(cls.__name__, errors)
        return values


class Paginated(Pagination, typing.Generic[Data]):
    """That part, and how many there are in all."""

    total: int
    data: typing.List[Any]

    @classmethod
    def of(cls, data: typing.Sequence[Data], pagination: Pagination, total: int) -> Paginated[Data]:
        """A part of `total`."""
        return cls(skip=pagination.skip, limit=pagination.limit, total=total, data=list(data))


def get_default_pagination() -> Pagination:
    """The first part."""
    return Pagination(skip=0, limit=DEFAULT_LIMIT)


class PagePosition(typing.TypedDict):
    """A page, from 1, of how many."""

    current: int
    total: int


def to_page_position(skip: int, items_per_page: int, total_items: int) -> PagePosition:
    """The page that begins at `skip`."""
    return {"current": skip // items_per_page + 1, "total": max(1, math.ceil(total_items / items_per_page))}


class Order(str, enum.Enum):
    """Of a list."""

    descending = "descending"
    ascending = "ascending"
