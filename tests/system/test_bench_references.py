# SPDX-License-Identifier: MIT
"""What millrace is compared with does the same work: the same lines, byte by byte, but for names and times."""

import json
import os
import re
import subprocess

import pytest

import wire
from server import MADE, MILLRACE, SLOWNESS, TOP

REFERENCE = os.path.join(MADE, "tests/bench/reference/reference")
LINES = os.path.join(TOP, "build/bench/lines.so")
MODES = ("gathered", "single", "pipe", "pipe-batched")


def request(lines, text_bytes, pace_ms):
    return json.dumps({"inputs": [{"type": "integer", "value": value} for value in (lines, text_bytes, pace_ms)]})


def normal(line):
    """Without what may differ: ids and times, which are as long as each other."""
    line = re.sub(r'"id":"run_[0-9a-f]{32}"', '"id":"run_"', line)
    line = re.sub(r'"pipeline_id":"pipeline_[0-9a-f]{32}"', '"pipeline_id":"pipeline_"', line)
    line = re.sub(r'"(created_at|updated_at)":\d{10}\.\d{6},', r'"\1":0,', line)
    return re.sub(r'"t_ns":\d{6,18}', '"t_ns":0', line)


@pytest.fixture(scope="module", params=MODES)
def reference(request):
    """Its address."""
    with subprocess.Popen([REFERENCE, request.param], stdout=subprocess.PIPE, text=True) as process:
        yield f"127.0.0.1:{int(process.stdout.readline())}"
        process.terminate()
        assert process.wait(timeout=10) == -15


@pytest.fixture(scope="module")
def millrace(start_shared):
    return start_shared(LINES, options=["--concurrency", "16"])


@pytest.mark.parametrize("shape", [(5, 4, 0), (3, 4, 2), (1, 64, 0), (0, 0, 0), (2000, 64, 0), (3, 300_000, 0)],
                         ids=["few", "paced", "one", "none", "many", "long"])
def test_the_lines_are_those_of_millrace(reference, millrace, shape):
    theirs, ours = (curl(address, request(*shape)) for address in (reference, millrace.address))
    assert len(ours) == shape[0]
    assert [normal(line) for line in theirs] == [normal(line) for line in ours]
    for line in theirs:
        wire.check_line(line)


def curl(address, body):
    done = subprocess.run(["curl", "-sSN", f"http://{address}/v4/runs/stream", "-d", body], check=True, capture_output=True,
                          text=True, timeout=20 * SLOWNESS)
    return done.stdout.splitlines()


def bench(address, shape, *words):
    done = subprocess.run([MILLRACE, "bench", "--url", f"http://{address}", "--body", request(*shape), "--json", "--check",
                           "--lines", str(shape[0]), *words], check=False, capture_output=True, text=True,
                          timeout=50 * SLOWNESS)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("shape, streams, requests", [
    ((30_000, 64, 0), 1, 1),
    ((2000, 64, 0), 32, 64),
    ((20, 64, 5), 200, 200),
    ((1, 64, 0), 16, 500),
    ((5, 1 << 20, 0), 2, 4),
], ids=["flood", "floods", "paced", "unary", "big"])
def test_every_answer_is_complete_and_in_order(reference, shape, streams, requests):
    figures = bench(reference, shape, "--connections", str(streams), "--requests", str(requests))
    assert (figures["complete"], figures["lines"]) == (requests, requests * shape[0])


def test_a_pace_is_kept(reference):
    figures = bench(reference, (50, 64, 10), "--connections", "10", "--requests", "10")
    assert 500e6 <= figures["total_ns"]["p50"] < 20e9 * SLOWNESS
    assert figures["latency_ns"]["p50"] < 1e9 * SLOWNESS


def test_clients_that_leave_do_not_end_it(reference):
    figures = bench(reference, (100_000, 64, 0), "--connections", "8", "--requests", "8", "--leavers", "4",
                    "--leave-after", "3")
    assert (figures["complete"], figures["left"]) == (4, 4)
    assert bench(reference, (10, 64, 0), "--requests", "3")["complete"] == 3
