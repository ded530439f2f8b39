# SPDX-License-Identifier: MIT
"""function - a function of a graph as others may look at it: its name, its source, its annotations."""

from __future__ import annotations

import hashlib
import inspect
from typing import TYPE_CHECKING, Any

from pipeline.objects.building import new_id

if TYPE_CHECKING:
    from collections.abc import Callable


class Function:
    """A function that is a step. Its source is looked up when it is asked for."""

    remote_id: str | None
    class_instance: Any

    def __init__(self, function: Callable[..., Any], *, remote_id: str | None = None,
                 class_instance: Any = None) -> None:
        self.function = function
        self.name: str = getattr(function, "__name__", None) or repr(function)
        self.remote_id = remote_id
        self.class_instance = class_instance
        self.local_id = new_id()
        annotations = getattr(function, "__annotations__", {})
        self.typing_outputs = {"return": annotations.get("return")}
        self.typing_inputs = {name: hint for name, hint in annotations.items() if name != "return"}

    @property
    def source(self) -> str:
        """Its text; of a function whose text is not to be had, any that no other has."""
        return source_of(self.function)

    @property
    def hash(self) -> str:
        """The SHA-256 of its source, in hexadecimal."""
        return hashlib.sha256(self.source.encode("utf-8")).hexdigest()


def source_of(thing: Any) -> str:
    """The text of a function or a class."""
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):
        return new_id()
