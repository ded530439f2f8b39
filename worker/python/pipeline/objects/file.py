# SPDX-License-Identifier: MIT
"""file - a file that a pipe is given when the graph is built: weights, a vocabulary."""

import pathlib


class File:
    """A file by its path, by its URL, or both. Nothing is read or fetched here; open(file) works where
    there is a path."""

    def __init__(self, path=None, url=None):
        if path is None and url is None:
            raise TypeError("File() needs a path or a url")
        self.path = None if path is None else pathlib.Path(path)
        self.url = url

    @property
    def name(self):
        return self.path.name if self.path is not None else str(self.url).rstrip("/").rsplit("/", 1)[-1]

    def __fspath__(self):
        if self.path is None:
            raise TypeError(f"this File has no path, only a url: {self.url}")
        return str(self.path)

    def __repr__(self):
        said = [f"{name}={value!r}" for name, value in (("path", self.path and str(self.path)),
                                                        ("url", self.url)) if value is not None]
        return f"File({', '.join(said)})"
