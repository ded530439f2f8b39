# SPDX-License-Identifier: MIT
"""file - a file that a pipe is given when the graph is built: weights, a vocabulary."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os


class File:
    """A file by its path, by its URL, or both; TypeError when it has neither. Nothing is read or fetched
    here; open(file) works where there is a path, and is a TypeError where there is none."""

    def __init__(self, path: str | os.PathLike[str] | None = None, url: str | None = None) -> None:
        if path is None and url is None:
            raise TypeError("File() needs a path or a url")
        self.path = None if path is None else pathlib.Path(path)
        self.url = url

    @property
    def name(self) -> str:
        """The last part of the path, or of the URL."""
        return self.path.name if self.path is not None else str(self.url).rstrip("/").rsplit("/", 1)[-1]

    def __fspath__(self) -> str:
        if self.path is None:
            raise TypeError(f"this File has no path, only a url: {self.url}")
        return str(self.path)

    def __repr__(self) -> str:
        said = [f"{name}={value!r}" for name, value in (("path", self.path and str(self.path)),
                                                        ("url", self.url)) if value is not None]
        return f"File({', '.join(said)})"
