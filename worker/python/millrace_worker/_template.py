# SPDX-License-Identifier: MIT
"""_template - the process has loaded the pipeline, and goes on in each of its copies: worker/template/template.h."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import sys
import threading
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
    end_bars()
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
    with contextlib.suppress(AttributeError):  # which Python before 3.13 forgets
        threading.current_thread()._set_native_id()  # type: ignore[attr-defined]  # pylint: disable=protected-access
    seed_anew()
    return index


def end_bars() -> None:
    """What tqdm keeps once it has drawn a bar, a thread and a lock that processes share: it makes both anew."""
    for thread in threading.enumerate():
        if type(thread).__module__ == "tqdm._monitor":
            thread.exit()  # type: ignore[attr-defined]
    tqdm = sys.modules.get("tqdm.std")
    kinds = [kind for kind in (getattr(tqdm, "TqdmDefaultWriteLock", None), getattr(tqdm, "tqdm", None)) if kind]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        for name in ("mp_lock", "_lock"):
            if name in vars(kind):
                delattr(kind, name)


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
