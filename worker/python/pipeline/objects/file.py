# SPDX-License-Identifier: MIT
"""file - a file: one that a pipe is given when the graph is built, such as weights; the type of inputs and outputs that
are files; what a client sends and gets."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import re
import shutil
import typing
import urllib.parse
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from pipeline.objects.building import new_id
from pipeline.util.logging import PIPELINE_FILE_STR
from pipeline.util.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Iterator

    Path = typing.Union[str, os.PathLike[str]]

FETCH_BYTES = 256 * 1024
FETCH_TIMEOUT_S = 300.0


class File:
    """A file by its path, its URL or its id on a server. Nothing is read or fetched here, and none of them has to be
    said yet. open(file) works where there is a path, and is a TypeError where there is none. `url` is what
    urllib.parse.urlparse() makes of one."""

    path: pathlib.Path | None
    url: urllib.parse.ParseResult | None
    remote_id: str | None

    def __init__(self, path: Path | None = None, url: str | None = None, *, remote_id: str | None = None,
                 title: str | None = None, allow_out_of_context_creation: bool = True,
                 local_id: str | None = None) -> None:
        self.path = None if path is None else pathlib.Path(path)
        self.url = None if url is None else urllib.parse.urlparse(url)
        self.remote_id = remote_id
        self.title = title
        # The original package asks for it where a File is made in a pipe; here that is always allowed.
        self.allow_out_of_context_creation = allow_out_of_context_creation
        self.local_id = local_id or new_id()
        self._name = ""

    @classmethod
    def _at(cls, url: str, name: str) -> File:
        """One at a URL that does not say what it is called."""
        file = cls(url=url)
        file._name = re.split(r"[/\\\0]", name)[-1].lstrip(".")
        return file

    @property
    def name(self) -> str:
        """What the server calls it, or the last part of the path, or of the URL; "" when there is neither."""
        if self._name:
            return self._name
        if self.path is not None:
            return self.path.name
        return self.url.path.rstrip("/").rsplit("/", 1)[-1] if self.url is not None else ""

    def save(self, path: Path) -> None:
        """Writes what is in it to `path`, where nothing is left of what did not come whole. OSError when it cannot be read
        or fetched, ValueError for a folder and where there is neither a path nor a URL."""
        if self.path is not None and self.path.is_dir():
            raise ValueError(f"{self.path} is a folder, and a file is to be saved")
        if self.url is not None:
            fetch(self.url.geturl(), pathlib.Path(path))
        elif self.path is not None:
            shutil.copyfile(self.path, path)
        else:
            raise ValueError("this File has neither a path nor a url")

    def __fspath__(self) -> str:
        if self.path is None:
            raise TypeError(f"this File has no path: {self!r}")
        return str(self.path)

    def __repr__(self) -> str:
        said = [f"{name}={value!r}" for name, value in (
            ("path", self.path and str(self.path)), ("url", self.url and self.url.geturl()),
            ("remote_id", self.remote_id)) if value is not None]
        return f"{type(self).__name__}({', '.join(said)})"


class Directory(File):
    """A folder, or a .zip of one. ValueError for a path that is neither and has no `remote_id`."""

    def __init__(self, path: Path | None = None, url: str | None = None, *, remote_id: str | None = None,
                 title: str | None = None, allow_out_of_context_creation: bool = True,
                 local_id: str | None = None) -> None:
        super().__init__(path, url, remote_id=remote_id, title=title, local_id=local_id,
                         allow_out_of_context_creation=allow_out_of_context_creation)
        if self.path is not None and remote_id is None and self.path.suffix != ".zip" and not self.path.is_dir():
            raise ValueError(f"{self.path} is not a directory, nor a .zip of one")

    @classmethod
    def from_object(cls, *_arguments: Any, **_named: Any) -> NoReturn:
        """NotImplementedError, as in the original package."""
        raise NotImplementedError("a Directory is made of a path")


def is_file_like(obj: Any) -> bool:
    """Whether a client may give it where a file is taken: a File, or what is open for reading."""
    return isinstance(obj, (File, io.IOBase)) or (callable(getattr(obj, "read", None)) and hasattr(obj, "seekable"))


def fetch(url: str, path: pathlib.Path) -> None:
    """What the URL has, into a file that is new or written over, whole or not at all. OSError when it is not to be
    had."""
    import urllib.request  # takes as long as all of this package, and few fetch

    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url!r} is not fetched: only http and https are")
    request = urllib.request.Request(url)
    token = token_for(url)
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=FETCH_TIMEOUT_S) as source, replaced(path) as target:
        length = source.headers.get("Content-Length", "")
        receive(source, target, int(length) if length.isdigit() else None, path.name)


def token_for(url: str) -> str | None:
    """That of the configured server for a URL of that server which has no permission of its own in it; else None."""
    from pipeline.cloud.exchange import Endpoint

    parts = urllib.parse.urlsplit(url)
    try:
        own = Endpoint()
        is_own = (parts.scheme == "https", parts.hostname, parts.port or (443 if own.is_tls else 80)) == (
            own.is_tls, own.host, own.port)
    except ValueError:
        return None
    return own.token if is_own and "signature" not in urllib.parse.parse_qs(parts.query) else None


@contextlib.contextmanager
def replaced(path: pathlib.Path) -> Iterator[BinaryIO]:
    """A file to write, which is at `path` when all went well. A device or a pipe there is written to."""
    path = pathlib.Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        with path.open("wb") as there:
            yield there
        return
    part = path.with_name(f".{os.urandom(8).hex()}.part")
    try:
        with part.open("xb") as target:
            yield target
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def receive(source: BinaryIO, target: BinaryIO, length: int | None, name: str) -> None:
    """All of an answer, of which an end that comes too early is none to urllib."""
    count = 0
    with progress_bar(f"{PIPELINE_FILE_STR} Saving {name}", length) as tell:
        while piece := source.read(FETCH_BYTES):
            target.write(piece)
            count += len(piece)
            if tell is not None:
                tell(len(piece))
    if length is not None and count != length:
        raise ConnectionError(f"{name}: {count} bytes came, of {length}")
