# SPDX-License-Identifier: MIT
"""pointers - names of pipelines that can be moved."""

from __future__ import annotations

import re
import typing
from typing import Any

from pipeline.cloud.schemas import BaseModel, ValidationError

POINTER_REGEX = re.compile(
    r"^[a-zA-Z0-9][a-zA-Z0-9-._/]*[a-zA-Z0-9]:[0-9A-Za-z][0-9A-Za-z-_.]{0,127}[0-9A-Za-z]$")


class PointerGet(BaseModel):
    """One that there is."""

    id: str
    pointer: str
    pipeline_id: str
    locked: bool


class PointerCreate(BaseModel):
    """One to make. ValidationError for a name that is none."""

    pointer_or_pipeline_id: str
    pointer: str
    locked: typing.Optional[bool]

    @classmethod
    def before(cls, values: dict[str, Any]) -> dict[str, Any]:
        if isinstance(values.get("pointer"), str) and not POINTER_REGEX.match(values["pointer"]):
            raise ValidationError(cls.__name__, [{"loc": ("pointer", ), "msg": "Invalid pointer name",
                                                  "type": "value_error"}])
        return values


class PointerPatch(BaseModel):
    """What changes one."""

    pointer_or_pipeline_id: typing.Optional[str]
    locked: typing.Optional[bool]
