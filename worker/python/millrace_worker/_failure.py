# SPDX-License-Identifier: MIT
"""_failure - what clients are told of an exception: one of the API's nine types, repr(), traceback."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import TYPE_CHECKING

from millrace_worker import _device_errors

if TYPE_CHECKING:
    from typing import Optional

    # One of the numbers below, repr(), traceback: what the extension sends.
    Description = tuple[int, bytes, Optional[bytes]]

# enum error_type of include/millrace/protocol.h
INPUT, CUDA_OOM, CUDA, OOM, PIPELINE, STARTUP, LOADING, TIMEOUT, UNKNOWN = range(9)

WORDS = ("input_error", "cuda_oom", "cuda_error", "oom", "pipeline_error", "startup_error",
         "pipeline_loading", "timeout", "unknown")

# Exceptions of the original authoring package that are about what the client sent, by name.
INPUT_NAMES = ("RunInputException", "InputSchemaValidationError", "InputValidationError")

OWN_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Unsendable(Exception):
    """A value that JSON cannot hold; the text says which."""

    def __repr__(self) -> str:
        return str(self)


def describe(exception: BaseException) -> Description:
    """(type, message, traceback or None), the texts as bytes. Raises nothing but MemoryError."""
    kind, message, lines = kind_of(exception), message_of(exception), traceback_of(exception)
    return kind, encode(message), None if lines is None else encode(lines)


def encode(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def kind_of(exception: BaseException) -> int:
    """One of the nine types."""
    word = getattr(exception, "error_type", None)  # an exception may say what clients are told of it
    if isinstance(word, str) and word in WORDS:
        return WORDS.index(word)
    word = _device_errors.word_of(exception, text_of(exception))
    if word is not None:
        return WORDS.index(word)
    if isinstance(exception, MemoryError):
        return OOM
    if any(kind.__name__ in INPUT_NAMES for kind in type(exception).__mro__):
        return INPUT
    return PIPELINE


def text_of(exception: BaseException) -> str:
    try:
        return str(exception)
    except Exception:  # user code
        return ""


def message_of(exception: BaseException) -> str:
    try:
        message = getattr(exception, "message", None)
        if type(exception).__name__ == "RunInputException" and isinstance(message, str):
            return message  # clients of the original package are told this, and not repr()
        return repr(exception)
    except Exception as second:  # user code
        return f"{type(exception).__name__} (its repr() raised {type(second).__name__})"


def traceback_of(exception: BaseException) -> str | None:
    """As Python prints it, with the frames of user code alone. None where that says no more than the
    message does: no such frame is in it, and no other exception."""
    try:
        summary = traceback.TracebackException(type(exception), exception, exception.__traceback__)
        if not leave_own_frames_out(summary) and is_told_by_message(exception, summary):
            return None
        return "".join(summary.format())
    except Exception:  # user code: a __str__ that raises
        frames = [frame for frame in traceback.extract_tb(exception.__traceback__) if not is_own(frame.filename)]
        return "".join(traceback.format_list(frames)) or None


def leave_own_frames_out(summary: traceback.TracebackException) -> bool:
    """Of all exceptions that are shown. Whether a frame is left."""
    is_any_left = False
    waiting = [summary]
    while waiting:
        one = waiting.pop()
        waiting += shown_with(one)
        one.stack[:] = [frame for frame in one.stack if not is_own(frame.filename)]
        if one.stack:
            is_any_left = True
        elif hasattr(one, "exc_traceback"):  # Python 3.9, where this decides on the title above the frames
            setattr(one, "exc_traceback", None)
        else:
            setattr(one, "stack", None)
    return is_any_left


def shown_with(summary: traceback.TracebackException) -> list[traceback.TracebackException]:
    """Its cause, or what it came in the middle of; and of a group, what is in it."""
    before = summary.__cause__
    if before is None and not summary.__suppress_context__:
        before = summary.__context__
    parts: list[traceback.TracebackException] = getattr(summary, "exceptions", None) or []
    return parts if before is None else [before, *parts]


def is_told_by_message(exception: BaseException, summary: traceback.TracebackException) -> bool:
    return not (isinstance(exception, SyntaxError) or getattr(exception, "__notes__", None) or shown_with(summary))


def is_own(file: str) -> bool:
    """Whether the frames of a file are left out: ours, those of the package that graphs are made with when
    it is ours, and of imports."""
    if file.startswith("<frozen importlib") or file == importlib.__file__:
        return True
    try:
        return os.path.abspath(file).startswith(own_folders())
    except OSError:  # there is no current folder any more
        return False


def own_folders() -> tuple[str, ...]:
    """The original package has no such module, nor has anybody's who called theirs likewise."""
    building = getattr(sys.modules.get("pipeline.objects.building"), "__file__", None)
    if building is None:
        return (OWN_FOLDER, )
    return OWN_FOLDER, os.path.dirname(os.path.dirname(os.path.abspath(building))) + os.sep
