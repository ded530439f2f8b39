# SPDX-License-Identifier: MIT
"""progress - a bar at the terminal, where tqdm is installed; nothing anywhere else."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress_bar(title: str, total: int | None, is_asked_for: bool = False) -> Iterator[Callable[[int], Any] | None]:
    """What is to be told of each so many bytes, of `total` if that is known; None: nobody looks. On stderr, where that is
    a terminal, or wherever it goes if it was asked for."""
    tqdm = bar_maker() if is_asked_for or is_terminal() else None
    if tqdm is None:
        yield None
        return
    with tqdm(desc=title, unit="B", unit_scale=True, unit_divisor=1024, total=total, file=sys.stderr) as bar:
        yield bar.update


def is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def bar_maker() -> Any:
    try:
        import tqdm  # type: ignore[import]  # whoever wants a bar installs it
    except ImportError:
        return None
    return tqdm.tqdm
