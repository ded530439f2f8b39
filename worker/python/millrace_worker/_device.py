# SPDX-License-Identifier: MIT
"""_device - the device that the worker was given, as its variables said it at the start."""

from __future__ import annotations

import os
from dataclasses import dataclass

INDEX_DIGITS_MAX = 10


@dataclass(frozen=True)
class Device:
    """What a worker was given that is its own: a GPU, a slice of one, or cores."""

    kind: str  # cuda, hip, level-zero, vulkan, opencl, cpu
    index: int  # as `millrace devices` shows it; libraries count those that they see
    uuid: str | None  # None where it has none


def read() -> Device | None:
    """Without a kind, or without a number, there is no device."""
    kind, index = os.environ.get("MILLRACE_DEVICE_KIND"), os.environ.get("MILLRACE_DEVICE_INDEX", "")
    if not kind or not (index.isascii() and index.isdigit()) or len(index) > INDEX_DIGITS_MAX:
        return None
    return Device(kind, int(index), os.environ.get("MILLRACE_DEVICE_UUID") or None)


# Read when the package is imported, which is before there is code that may change the variables; and again in a
# copy of a template, which has none.
own = read()
