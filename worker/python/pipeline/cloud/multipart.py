# SPDX-License-Identifier: MIT
"""multipart - a form with files as the body of a request, piece by piece: a file is never in memory as a whole."""

from __future__ import annotations

import io
import os
import secrets
from typing import TYPE_CHECKING, Any, BinaryIO, Tuple, Union

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Part = Union[bytes, Tuple[BinaryIO, int]]

PIECE_BYTES = 256 * 1024


class Body:
    """What a request carries: `length` bytes of `content_type`, in pieces. It can be read once. A part is bytes, or a
    file and how many bytes of it, from where it stands."""

    def __init__(self, parts: Sequence[Part], content_type: str) -> None:
        self.content_type = content_type
        self.length = sum(len(part) if isinstance(part, bytes) else part[1] for part in parts)
        self.on_sent: Callable[[int], Any] | None = None
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            for piece in [part] if isinstance(part, bytes) else pieces_of(*part):
                yield piece
                if self.on_sent is not None:
                    self.on_sent(len(piece))


def length_of(file: BinaryIO) -> int:
    """How many bytes are left in it."""
    at = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(at)
    return max(0, end - at)


def pieces_of(file: BinaryIO, length: int) -> Iterator[bytes]:
    """So many bytes. OSError when the file has become shorter meanwhile."""
    while length > 0:
        piece = file.read(min(PIECE_BYTES, length))
        if not piece:
            raise OSError(f"{getattr(file, 'name', 'a file')} became shorter while it was sent")
        length -= len(piece)
        yield piece


def form(files: Mapping[str, Any], data: Mapping[str, Any]) -> Body:
    """Of `files`, each a file or (name, file) or (name, file, type), and of plain fields."""
    boundary = secrets.token_hex(16)
    parts: list[Part] = []
    for key, value in data.items():
        parts.append(head(boundary, key) + str(value).encode("utf-8") + b"\r\n")
    for key, said in files.items():
        said = said if isinstance(said, tuple) else (os.path.basename(str(getattr(said, "name", "upload"))), said)
        file = io.BytesIO(said[1]) if isinstance(said[1], bytes) else said[1]
        kind = said[2] if len(said) > 2 else "application/octet-stream"
        parts += [head(boundary, key, os.path.basename(str(said[0])), kind), (file, length_of(file)), b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode("ascii"))
    return Body(parts, f"multipart/form-data; boundary={boundary}")


def head(boundary: str, key: str, file_name: str | None = None, kind: str | None = None) -> bytes:
    """What precedes a part."""
    lines = [f"--{boundary}", f'Content-Disposition: form-data; name="{quoted(key)}"']
    if file_name is not None:
        lines[-1] += f'; filename="{quoted(file_name)}"'
        lines.append(f"Content-Type: {kind}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


def quoted(text: str) -> str:
    """As browsers do."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
