# SPDX-License-Identifier: MIT
"""_current - which run's code is being called: known to the extension for plain pipelines, to the
context for asynchronous ones and for the threads they hand work to."""

from __future__ import annotations

import contextvars

try:
    from millrace_worker import _ring
except ImportError:  # imported outside a worker, by a pipeline under test
    _ring = None  # type: ignore[assignment]

# The key of a run that is driven by the event loop.
run_key: contextvars.ContextVar[int | None] = contextvars.ContextVar("millrace_run", default=None)

# The keys of the runs that a batched pipe is called for.
call_keys: contextvars.ContextVar[tuple[int, ...]] = contextvars.ContextVar("millrace_call", default=())


def cancelled() -> bool:
    """Of a call for several runs: whether all of them are."""
    if not _ring:
        return False
    keys = call_keys.get()
    return all([_ring.cancelled(key) for key in keys]) if keys else _ring.cancelled(run_key.get())


def run_id() -> str:
    return _ring.run_id(run_key.get()) if _ring else ""
