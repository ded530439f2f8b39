# SPDX-License-Identifier: MIT
"""calls - system calls for a line, of millrace and of its peers, all their processes together.

Counted by strace in a round of its own, with few lines: a call takes it tens of microseconds, so that
nothing of that round is a rate. Only of what is not paced, where a slower server makes the same calls.
"""

import tempfile

import client
import counts

LINE_COUNT_MIN = 20_000  # in the first few thousand, two processes may take turns line by line
LINE_COUNT_MAX = {"each": 20_000}  # where each line is a call, or more
LINE_COUNT_MAX_ELSE = 400_000
ANSWER_COUNT_MAX = 10_000


def shortened(load, kind):
    """As many streams or connections, and as many lines as can be waited for: gathered ones need many to gather. Where
    the machine was busy when the load was sized it may have few."""
    if load.lines == 1:
        return load._replace(requests=max(load.streams, min(load.request_count, ANSWER_COUNT_MAX)))
    line_count_max = LINE_COUNT_MAX.get(kind, LINE_COUNT_MAX_ELSE)
    line_count = min(max(load.lines * load.streams, LINE_COUNT_MIN), line_count_max)
    return load._replace(lines=max(2, line_count // load.streams))


def per_line(side, kind, load):
    """Calls for a line of an answer, or nothing where they cannot be counted."""
    load = shortened(load, kind)
    try:
        with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
            trace = counts.Trace(side.server.tree(), folder)
            try:
                client.measure(side, load)
            finally:
                called = trace.end()
            return sum(called.values()) / (load.lines * load.request_count)
    except (OSError, client.Failed):
        return None
