# SPDX-License-Identifier: MIT
"""millrace_worker - what `millrace serve` starts in your interpreter to run a Python pipeline.

Pipelines need nothing from here. Those that work for long without yielding may ask:

    millrace_worker.cancelled()   is the run that calls me to stop?
    millrace_worker.run_id()      "run_...", or "" outside any run
    millrace_worker.device()      the device that this worker has, or None

Those that take long to load may say how far they are:

    millrace_worker.startup_progress(0.6, "loading shard 5 of 8")

And what steps many runs at once has these:

    millrace_worker.Run, LATER    of an engine: its runs, and the answer "not now"
    millrace_worker.wake()        has an engine stepped again, from any thread
    millrace_worker.step_budget(256)    how much work a step of it may take up
    millrace_worker.Batcher       makes one call of what asynchronous runs ask for at a time
"""

from __future__ import annotations

from millrace_worker import _current, _device, _progress
from millrace_worker._batcher import Batcher
from millrace_worker._device import Device
from millrace_worker._engine import LATER, Later, Run, step_budget, wake

__all__ = ["LATER", "Batcher", "Device", "Later", "Run", "cancelled", "device", "run_id", "startup_progress",
           "step_budget", "wake"]


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


def startup_progress(fraction: float | None, text: str | None = None) -> None:
    """Says how far the start is, while the module is imported and in startup hooks: from 0 to 1, or None where
    that is not known, and in a few words. Also a sign of life: --start-timeout counts from the last one. Once
    the pipeline serves it does nothing."""
    _progress.say(fraction, text)
