# SPDX-License-Identifier: MIT
"""_log - stdout, stderr and logging of user code become log lines of the run that wrote them.

sys.stdout and sys.stderr are replaced by writers that gather lines, for each run its own, and send each
complete one as a LOG record. What bypasses them - C code, child processes, os.write() - goes to the
inherited pipes, whose lines the dispatcher tags with the worker, and with the run where a worker has one at a time.

Whoever configures logging has its handlers write to these streams. While a handler is at work on a record,
what its thread writes has the record's level, so that lines keep it in whatever format they are.
"""

from __future__ import annotations

import functools
import io
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from millrace_worker import _current, _progress, _ring

if TYPE_CHECKING:
    from typing import Optional

    # Of a run; None for no run.
    Key = Optional[int]

DEBUG, INFO, WARNING, ERROR = range(4)

# Text without an end that one run may have waiting.
LINE_CHARACTERS_MAX = 64 * 1024

main_thread = threading.get_ident()


def tag() -> Key:
    """The run whose code is calling: its key; None for none."""
    key = _current.run_key.get()
    return key if key is not None else _ring.current()


class Emitted(threading.local):
    """What the handler is at work on that calls us, in this thread."""

    level: int | None = None


emitted = Emitted()


def level_of(number: int) -> int:
    """Ours for one of the logging package."""
    if number >= logging.ERROR:
        return ERROR
    if number >= logging.WARNING:
        return WARNING
    return INFO if number >= logging.INFO else DEBUG


def level_of_message(text: str) -> int | None:
    """loguru writes texts that carry their record, in handlers of its own."""
    record = getattr(text, "record", None)
    number = getattr(record.get("level"), "no", None) if isinstance(record, dict) else None
    return level_of(number) if isinstance(number, int) else None


def send(level: int, text: str, key: Key, fd: int) -> None:
    """One line. Where the ring is not ours to wait for, a full one makes it go to the pipe."""
    line = text.encode("utf-8", "backslashreplace")
    if not _ring.log(level, line, key, threading.get_ident() == main_thread):
        try:
            os.write(fd, line + b"\n")
        except OSError:
            pass  # a log line that cannot be written has nowhere else to go


class Writer(io.TextIOBase):
    """A text stream whose lines become log lines."""

    encoding = "utf-8"
    errors = "backslashreplace"
    newlines = None
    line_buffering = True
    mode = "w"

    def __init__(self, fd: int, level: int, name: str) -> None:
        super().__init__()
        self.fd = fd
        self.level = level
        self.name = name
        self.buffer = io.FileIO(fd, "w", closefd=False)
        self.partial: dict[Key, tuple[int, str]] = {}

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if _progress.is_starting:
            _progress.look(text)
        key = tag()
        level = self.level_now(text)
        lines = (self.taken(key, level) + text if self.partial else text).split("\n")
        rest = lines.pop()
        for line in lines:
            send(level, line, key, self.fd)
        while len(rest) > LINE_CHARACTERS_MAX:
            send(level, rest[:LINE_CHARACTERS_MAX], key, self.fd)
            rest = rest[LINE_CHARACTERS_MAX:]
        if rest:
            self.partial[key] = level, rest
        return len(text)

    def level_now(self, text: str) -> int:
        level = emitted.level
        if level is None and type(text) is not str:
            level = level_of_message(text)
        return self.level if level is None else level

    def taken(self, key: Key, level: int) -> str:
        """What waits of the line at hand. At another level it is a line of its own, which is sent."""
        former, rest = self.partial.pop(key, (level, ""))
        if former == level:
            return rest
        send(former, rest, key, self.fd)
        return ""

    def end(self, key: Key) -> None:
        """Sends what has no end yet."""
        level, rest = self.partial.pop(key, (self.level, ""))
        if rest:
            send(level, rest, key, self.fd)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self.fd

    def reconfigure(self, **_: Any) -> None:
        """Nothing of a text file's configuration applies here."""

    def close(self) -> None:
        """Stays open, as the process's output does."""


class Handler(logging.Handler):
    """Takes what no handler of the user's takes: with its level, and with its run."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level = level_of(record.levelno)
            text = self.format(record)
            for line in text.split("\n"):
                send(level, line, tag(), 2)
        except Exception:  # as logging.Handler asks for: an error of the log is no error of the run
            self.handleError(record)


def follow_records() -> None:
    """From now on it is known at which level a handler is at work. Of any class: what matters is that it
    writes where we see it. Records that nobody handles cost nothing."""
    handle = logging.Handler.handle

    @functools.wraps(handle)
    def handle_at_level(self: logging.Handler, record: logging.LogRecord) -> Any:
        outer = emitted.level
        emitted.level = level_of(record.levelno)
        try:
            return handle(self, record)
        finally:
            emitted.level = outer

    setattr(logging.Handler, "handle", handle_at_level)


writers: list[Writer] = []


def capture() -> None:
    """From now on all that is printed is a log line of its run."""
    writers[:] = Writer(1, INFO, "<stdout>"), Writer(2, WARNING, "<stderr>")
    sys.stdout, sys.stderr = writers  # type: ignore[assignment]  # they do what is asked of a TextIO
    handler = Handler(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logging.lastResort = handler  # type: ignore[assignment]  # any Handler will do
    follow_records()


def flush(key: Key) -> None:
    """Sends what a run printed without an end of the line."""
    for writer in writers:
        writer.end(key)


def flush_all() -> None:
    """Likewise of all runs."""
    for writer in writers:
        for key in list(writer.partial):
            writer.end(key)
