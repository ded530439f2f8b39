# SPDX-License-Identifier: MIT
"""_failure - what clients are told of an exception: one of the API's nine types, repr(), traceback."""

from __future__ import annotations

import importlib
import os
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Optional

    # One of the numbers below, repr(), traceback: what the extension sends.
    Description = tuple[int, bytes, Optional[bytes]]

# enum error_type of include/millrace/protocol.h
INPUT, CUDA_OOM, CUDA, OOM, PIPELINE, STARTUP, LOADING, TIMEOUT, UNKNOWN = range(9)

WORDS = ("input_error", "cuda_oom", "cuda_error", "oom", "pipeline_error", "startup_error",
         "pipeline_loading", "timeout", "unknown")

# Exceptions of the original authoring package that are about what the client sent, by name.
INPUT_NAMES = ("InputSchemaValidationError", "InputValidationError")

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
    names = [kind.__name__ for kind in type(exception).__mro__]
    text = text_of(exception)
    if "OutOfMemoryError" in names or "CUDA out of memory" in text:
        return CUDA_OOM
    if isinstance(exception, MemoryError):
        return OOM
    if isinstance(exception, RuntimeError) and "CUDA error" in text:
        return CUDA
    if any(name in INPUT_NAMES for name in names):
        return INPUT
    return PIPELINE


def text_of(exception: BaseException) -> str:
    try:
        return str(exception)
    except Exception:  # user code
        return ""


def message_of(exception: BaseException) -> str:
    try:
        return repr(exception)
    except Exception as second:  # user code
        return f"{type(exception).__name__} (its repr() raised {type(second).__name__})"


def without_own_frames(frames: TracebackType | None) -> TracebackType | None:
    """The traceback from where user code begins; None when it has no frame of it."""
    while frames is not None and is_own(frames):
        frames = frames.tb_next
    return frames


def is_own(frames: TracebackType) -> bool:
    """Ours, or of the import of the user's module."""
    file = frames.tb_frame.f_code.co_filename
    return (os.path.abspath(file).startswith(OWN_FOLDER) or file.startswith("<frozen importlib")
            or file == importlib.__file__)


def traceback_of(exception: BaseException) -> str | None:
    frames = without_own_frames(exception.__traceback__)
    if frames is None and exception.__cause__ is None and exception.__context__ is None:
        if not isinstance(exception, SyntaxError):
            return None
    try:
        return "".join(traceback.format_exception(type(exception), exception, frames))
    except Exception:  # user code: a __str__ that raises
        return "".join(traceback.format_tb(frames)) if frames else None
