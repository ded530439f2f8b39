# SPDX-License-Identifier: MIT
"""millrace_worker - what `millrace serve` starts in your interpreter to run a Python pipeline.

Pipelines need nothing from here. Those that work for long without yielding may ask:

    millrace_worker.cancelled()   is the run that calls me to stop?
    millrace_worker.run_id()      "run_...", or "" outside any run
    millrace_worker.device()      the device that this worker has, or None
"""

from __future__ import annotations

from millrace_worker import _current, _device
from millrace_worker._device import Device

__all__ = ["Device", "cancelled", "device", "run_id"]


def cancelled() -> bool:
    """True when the run whose code calls this was cancelled. Also a sign of life: a run that asks is
    not taken for one that hangs."""
    return _current.cancelled()


def run_id() -> str:
    """The id that clients see of the run whose code calls this; "" outside any run."""
    return _current.run_id()


def device() -> Device | None:
    """The device that this worker was given: the same one for as long as it lives, also for code that is
    imported before the first run. None where it has none of its own, and outside a worker."""
    return _device.own
