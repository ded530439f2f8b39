# SPDX-License-Identifier: MIT
"""_given - files among the outputs of a run: what is open, has a path, or is bytes that are no text.

All of a file is given, from its first byte, wherever it was read or written to. (The original package reads an open
file from its end, so that nothing is in what it gives.)
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from typing import Any

NAMELESS = "output.bin"
# As a file that is named by code which may not wait: a pipe that nobody writes to is opened at once, and refused.
FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def given(value: Any) -> tuple[int, str] | str | None:
    """A descriptor, which is the caller's, and the name of a value that is a file; why it cannot be given; None for
    what is none."""
    try:
        if isinstance(value, (bytes, bytearray)):
            return written(value), NAMELESS
        if any(kind.__name__ == "File" for kind in type(value).__mro__) and hasattr(value, "path"):
            return by_path(value)
        inner = getattr(value, "file", None)  # of those that tempfile makes
        if isinstance(inner, io.IOBase) and not isinstance(value, io.IOBase):
            return opened(inner)
        return opened(value) if isinstance(value, io.IOBase) else None
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def by_path(file: Any) -> tuple[int, str] | str:
    if file.path is None:
        where = "only a url, and the server does not fetch it" if getattr(file, "url", None) else "no path"
        return f"it has {where}: File(path=...) of a file that is here can"
    path = os.fspath(file.path)
    name = shown(path)
    return os.open(path, FLAGS), name


def opened(file: io.IOBase) -> tuple[int, str]:
    name = name_of(file)  # before there is a descriptor
    if isinstance(file, io.BytesIO):
        return written(file.getbuffer()), name
    if isinstance(file, io.StringIO):
        return written(file.getvalue().encode()), name
    if file.writable():
        file.flush()
    if lies_on_disk(file):
        return (os.dup(file.fileno()) if file.readable() else
                os.open(f"/proc/self/fd/{file.fileno()}", FLAGS)), name
    return copied(file), name


def lies_on_disk(file: io.IOBase) -> bool:
    """Whether what its descriptor has is what it has: of one that unpacks what it reads it is not."""
    inner: Any = getattr(file, "buffer", file) if isinstance(file, io.TextIOWrapper) else file
    if type(inner) in (io.BufferedReader, io.BufferedWriter, io.BufferedRandom):
        inner = inner.raw
    return type(inner) is io.FileIO


def copied(file: io.IOBase) -> int:
    """All of one that has no descriptor of its own."""
    source: Any = getattr(file, "buffer", file) if isinstance(file, io.TextIOWrapper) else file
    if source.seekable():
        source.seek(0)
    with open(memory(), "r+b", buffering=0) as target:
        shutil.copyfileobj(source, target)
        return os.dup(target.fileno())


def written(data: bytes | bytearray | memoryview) -> int:
    with open(memory(), "r+b", buffering=0) as target:
        view = memoryview(data)
        while view:
            view = view[target.write(view):]
        return os.dup(target.fileno())


def memory() -> int:
    """The descriptor of a new file without a name."""
    try:
        return os.memfd_create("output")
    except OSError:
        with tempfile.TemporaryFile(buffering=0) as file:
            return os.dup(file.fileno())


def name_of(file: Any) -> str:
    name = getattr(file, "name", None)
    return shown(name) if isinstance(name, (str, bytes, os.PathLike)) and name else NAMELESS


def shown(path: str | bytes | os.PathLike[Any]) -> str:
    """The last part of a path as text that can be sent: paths may be of any bytes."""
    return os.path.basename(os.fsdecode(path)).encode("utf-8", "replace").decode().replace("\0", "_")
