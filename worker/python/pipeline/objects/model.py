# SPDX-License-Identifier: MIT
"""model - an entity of a graph as others may look at it."""

from __future__ import annotations

import hashlib
from typing import Any

from pipeline.objects.building import new_id
from pipeline.objects.function import source_of


class Model:
    """An instance of a class that @entity marks: `model` is that. Its source is looked up when it is asked for."""

    remote_id: str | None = None

    def __init__(self, model: Any, *, name: str = "", local_id: str | None = None) -> None:
        self.name = name
        self.model = model
        self.local_id = local_id or new_id()

    @property
    def source(self) -> str:
        """The text of its class."""
        return source_of(type(self.model))

    @property
    def hash(self) -> str:
        """The SHA-256 of its source, in hexadecimal."""
        return hashlib.sha256(self.source.encode("utf-8")).hexdigest()
