# SPDX-License-Identifier: MIT
"""util - what programs of the original package take from there."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from pipeline.objects.building import new_id

if TYPE_CHECKING:
    from collections.abc import Callable


def package_version() -> str:
    """The version of this package, such as 1.2.3."""
    import pipeline

    return pipeline.__version__


def generate_id(length: int) -> str:
    """So many random letters."""
    return new_id(length)


def python_object_to_name(obj: Any) -> str:
    """What it is called, else what it says of itself."""
    return getattr(obj, "__name__", None) or str(obj)


class CallbackBytesIO(io.BytesIO):
    """Bytes that are read once from beginning to end; `callback` is told how many each time."""

    def __init__(self, callback: Callable[[int], Any], initial_bytes: bytes) -> None:
        super().__init__(initial_bytes)
        self._callback = callback

    def read(self, size: int | None = -1) -> bytes:
        """As io.BytesIO."""
        data = super().read(size)
        self._callback(len(data))
        return data
