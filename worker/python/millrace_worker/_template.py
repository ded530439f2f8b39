# SPDX-License-Identifier: MIT
"""_template - the process has loaded the pipeline, and goes on in each of its copies: worker/template/template.h."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import sys
from typing import TYPE_CHECKING, Any

from millrace_worker import _device, _log, _ring

if TYPE_CHECKING:
    from collections.abc import Sequence


class Unforkable(Exception):
    """The process is not fit to be copied."""

    def __repr__(self) -> str:
        return str(self)


def preload(graph: Any) -> None:
    """Runs the startup pipes that ask for it."""
    hook = getattr(graph, "_preload", None)
    if callable(hook):
        hook()


def serve(parent: int, confine: str | None, own_fds: Sequence[int]) -> int:
    """Returns in each copy, with the index of the worker that it is. Unforkable, when there can be none."""
    _log.flush_all()
    flush_files()
    # What is there now lasts: nobody looks at it any more, and the pages that it is in stay those of all copies.
    gc.collect()
    gc.freeze()
    copy = _ring.template(parent, confine, list(own_fds))
    if isinstance(copy, str):
        gc.unfreeze()
        raise Unforkable(copy)
    index, variables = copy
    for variable in variables:
        name, _, value = variable.partition("=")
        os.environ[name] = value
    _device.own = _device.read()
    seed_anew()
    return index


def flush_files() -> None:
    """What waits to be written to a file that is appended to would be written by each copy."""
    for kept in gc.get_objects():
        if type(kept) in (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom):
            with contextlib.suppress(OSError, ValueError):  # of one that is closed, too
                kept.flush()


def seed_anew() -> None:
    """Those generators that everybody uses without having made them begin elsewhere in each copy. That of
    `random` does so by itself."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "seed"):
        torch.seed()
