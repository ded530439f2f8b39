# SPDX-License-Identifier: MIT
"""building - which graph is being built: what the `with Pipeline() as builder:` around a line says."""

from __future__ import annotations

import contextvars
import random
import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.objects.builder import Pipeline

ID_CHARACTERS = 10

_builder: contextvars.ContextVar[Pipeline | None] = contextvars.ContextVar("pipeline_builder", default=None)


def current() -> Pipeline | None:
    """The innermost builder, or None outside of any."""
    return _builder.get()


def enter(builder: Pipeline) -> contextvars.Token[Pipeline | None]:
    """Returns what leave() needs."""
    return _builder.set(builder)


def leave(token: contextvars.Token[Pipeline | None]) -> None:
    """The builder around the one that enter() gave the token for is the innermost again."""
    _builder.reset(token)


def new_id(length: int = ID_CHARACTERS) -> str:
    """Random letters, which name a part of a graph for as long as the process lives."""
    return "".join(random.choices(string.ascii_letters, k=length))
