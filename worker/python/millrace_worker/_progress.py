# SPDX-License-Identifier: MIT
"""_progress - how far the start is: what user code says, and what progress bars print meanwhile.

Bars are those of tqdm, which libraries that load models print without being asked. They are read here, where
sys.stderr passes anyway (_log.py), and not from the pipe in the dispatcher: there they come as whole lines of
the log, once a bar is complete, and it would be one more reading of bytes that nobody can trust. What C code
and child processes print is not seen.
"""

from __future__ import annotations

import re

try:
    from millrace_worker import _ring
except ImportError:  # imported outside a worker, by a pipeline under test
    _ring = None  # type: ignore[assignment]

# "Loading shards:  62%|██████▏   | 5/8 [00:41<00:24,  8.2s/it]", also without the bar in it; and "Reading: 41it
# [00:41, 1.0it/s]", where nobody knows how many there will be.
BAR = re.compile(r"(?:(?P<what>[^|]*?):)? *(?P<percent>\d{1,3})%(?:\|[^|]*\|)? *(?P<count>[^ /]+/[^ \[]+) \[\d")
COUNT = re.compile(r"(?:(?P<what>.*?): +)?(?P<count>\d[\d.]*\w*) \[\d+:\d\d")

# What moves the cursor, between bars that are drawn one below the other.
CURSOR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")

# As much of what is printed is looked at.
BAR_CHARACTERS_MAX = 400

is_starting = _ring is not None


def say(fraction: float | None, text: str | None = None) -> None:
    if is_starting:
        words = (text or "").replace("\0", " ").encode("utf-8", "replace")
        _ring.progress(-1.0 if fraction is None else fraction, words)


def look(printed: str) -> None:
    """Takes what is printed at once for progress if it is a bar, which begins the line anew each time."""
    if "[" not in printed:
        return
    line = CURSOR.sub("", printed[-BAR_CHARACTERS_MAX:]).rstrip("\n").rpartition("\r")[2]
    found = BAR.match(line) or COUNT.match(line)
    if found is None:
        return
    percent = found.groupdict().get("percent")
    what = (found["what"] or "").strip()
    say(None if percent is None else int(percent) / 100, f"{what}: {found['count']}" if what else found["count"])


def end() -> None:
    global is_starting  # pylint: disable=global-statement
    is_starting = False
