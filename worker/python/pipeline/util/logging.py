# SPDX-License-Identifier: MIT
"""logging - what the client tells the person at the terminal: `Pipeline 12:00:00 - [INFO]: ...`. VERBOSE=0: nothing."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

VERBOSE = os.environ.get("VERBOSE", "1") != "0"
IS_COLOURED = sys.stdout is not None and sys.stdout.isatty()


def coloured(text: str, code: int) -> str:
    """Where somebody sees it."""
    return f"\033[{code}m{text}\033[0m" if IS_COLOURED else text


PIPELINE_STR = coloured("Pipeline", 94)
PIPELINE_FILE_STR = coloured("File", 94)
LEVELS = {"WARNING": 93, "INFO": 95, "ERROR": 91, "REMOTE_LOG": 96, "SUCCESS": 92}


def _print(val: Any, level: str = "INFO") -> None:
    if VERBOSE:
        print(f"{PIPELINE_STR} {time.strftime('%H:%M:%S')} - [{coloured(level, LEVELS[level])}]: {val}")


def _print_remote_log(val: tuple[Any, str]) -> None:
    """Of (nanoseconds since 1970, text)."""
    clock = time.strftime("%H:%M:%S", time.localtime(float(val[0]) / 1e9))
    print(f"{PIPELINE_STR} - {coloured('logs', 33)} {clock}: {val[1]}")
