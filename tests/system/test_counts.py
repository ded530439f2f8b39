# SPDX-License-Identifier: MIT
"""What a chunk costs, counted and not timed.

In a flood of a million, counted by tests/bench/counts.py: heap allocations belong to runs, never to chunks;
system calls and doorbell writes are shared by many chunks. Under callgrind, by tests/bench/instructions: no
more instructions than docs/internals/performance.md says. The figures themselves are printed by `make bench-counts`.
"""

import os
import re
import shutil
import sys

import pytest

import server as servers

sys.path += [os.path.join(servers.TOP, "tests/bench"), os.path.join(servers.TOP, "tests/bench/instructions")]
import callgrind  # noqa: E402
import counts  # noqa: E402
from client import Load  # noqa: E402

FEW = 1000
PAGE = os.path.join(servers.TOP, "docs/internals/performance.md")
GROWTH_MAX = 1.1  # runs of the same build differ by 2 % at most

pytestmark = pytest.mark.skipif(servers.IS_SANITIZED, reason="sanitizers allocate and call for themselves")


@pytest.mark.bounded(120)
@pytest.mark.parametrize("streams, chunks", [(1, 1_000_000), (32, 31_250)])
def test_a_chunk_allocates_nothing_and_shares_its_system_calls(streams, chunks):
    few = counts.count(Load(streams, FEW))
    total = streams * chunks
    # Beside other work the worker may be held up after each chunk: of three floods one is undisturbed.
    for _ in range(3):
        many = counts.count(Load(streams, chunks))
        print(many)
        if many["system calls, dispatcher"] < 0.1 * total:
            break
    for process in ("worker", "dispatcher"):
        name = f"heap allocations, {process}"
        # What runs allocate is in both, and buffers of a run may grow once: not one for a thousand chunks.
        assert many[name] - few[name] <= 64 + 8 * streams, (name, few[name], many[name])
        assert few[name] <= 100 * streams
    assert many["system calls, dispatcher"] < 0.1 * total
    assert many["doorbell writes, worker to dispatcher"] < 0.05 * total
    assert many["doorbell writes, dispatcher to worker"] < 0.05 * total


def page_text():
    with open(PAGE, encoding="utf-8") as file:
        return file.read()


def is_built_as_the_page_was():
    """By the same compiler, which every object names."""
    with open(servers.MILLRACE, "rb") as file:
        return re.search(r"gcc (\(.*?\) [\d.]+)", page_text())[1].encode() in file.read()


@pytest.mark.skipif(not shutil.which("callgrind_annotate"), reason="needs valgrind")
@pytest.mark.parametrize("subject", callgrind.SUBJECTS, ids=lambda subject: subject.name)
def test_it_takes_no_more_instructions_than_the_page_says(subject):
    if not is_built_as_the_page_was():
        pytest.skip("another compiler than that of docs/internals/performance.md")
    said = re.search(rf"^\| {re.escape(subject.name)} +\| +([\d,]+) \|", page_text(), re.MULTILINE)[1]
    counted = callgrind.count(subject)
    top = ", ".join(f"{name} {count:.0f}" for name, count in list(counted.functions.items())[:10])
    assert counted.total <= GROWTH_MAX * int(said.replace(",", "")), \
        f"more than `make bench-counts WRITE=1` put into docs/internals/performance.md: {top}"
