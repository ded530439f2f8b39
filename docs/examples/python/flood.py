# SPDX-License-Identifier: MIT
"""flood.py - N chunks {"i":0,"t_ns":...,"chunk":S}, as fast as possible or one every MS ms.

    millrace serve flood.py:numbers
    curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
         -d '{"inputs":[{"type":"integer","value":5},{"type":"string","value":"x"},
                        {"type":"integer","value":10}]}'

The same as numbers.c, for load and correctness tests: `i` counts from 0, `t_ns` is the monotonic clock when
the chunk was made. With MS above 0, chunk k is due at start + (k + 1) * MS, so a late one delays no other.
(The file is not called numbers.py: that would hide Python's own module of this name.)
"""

import time

from pipeline import InputError, Pipeline, Variable, pipe
from pipeline.objects.graph import Stream


@pipe
def count(n: int, s: str, ms: int) -> Stream:
    if n < 0 or ms < 0:
        raise InputError("N and MS must not be negative")
    return Stream(paced(n, s, ms * 1_000_000) if ms else flood(n, s))


def flood(n, text):
    clock = time.monotonic_ns
    for i in range(n):
        yield {"i": i, "t_ns": clock(), "chunk": text}


def paced(n, text, pace_ns):
    due_ns = time.monotonic_ns()
    for i in range(n):
        due_ns += pace_ns
        time.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)
        yield {"i": i, "t_ns": time.monotonic_ns(), "chunk": text}


with Pipeline() as builder:
    n = Variable(int, title="N", ge=0)
    s = Variable(str, title="S")
    ms = Variable(int, title="MS", ge=0)
    builder.output(count(n, s, ms))

numbers = builder.get_pipeline()
