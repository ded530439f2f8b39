# SPDX-License-Identifier: MIT
"""What a chunk costs, counted and not timed, in a flood of a million: tests/bench/counts.py counts.

Heap allocations belong to runs, never to chunks; system calls and doorbell writes are shared by many
chunks. The figures themselves are printed by `make bench`.
"""

import os
import sys

import pytest

import server as servers

sys.path.append(os.path.join(servers.TOP, "tests/bench"))
import counts  # noqa: E402
from client import Load  # noqa: E402

FEW = 1000

pytestmark = pytest.mark.skipif(servers.IS_SANITIZED, reason="sanitizers allocate and call for themselves")


@pytest.mark.bounded(120)
@pytest.mark.parametrize("streams, chunks", [(1, 1_000_000), (32, 31_250)])
def test_a_chunk_allocates_nothing_and_shares_its_system_calls(streams, chunks):
    few = counts.count(Load(streams, FEW))
    many = counts.count(Load(streams, chunks))
    total = streams * chunks
    print(many)
    for process in ("worker", "dispatcher"):
        name = f"heap allocations, {process}"
        # What runs allocate is in both, and buffers of a run may grow once: not one for a thousand chunks.
        assert many[name] - few[name] <= 64 + 8 * streams, (name, few[name], many[name])
        assert few[name] <= 100 * streams
    assert many["system calls, dispatcher"] < 0.1 * total
    assert many["doorbell writes, worker to dispatcher"] < 0.05 * total
    assert many["doorbell writes, dispatcher to worker"] < 0.05 * total
