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


def cancelled() -> bool:
    return _ring.cancelled(run_key.get()) if _ring else False


def run_id() -> str:
    return _ring.run_id(run_key.get()) if _ring else ""
