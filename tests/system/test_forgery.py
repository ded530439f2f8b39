# SPDX-License-Identifier: MIT
"""What a worker gains by writing into its segment what no honest one writes: others notice nothing."""

import contextlib
import os
import re
import signal
import time

import pytest

import wire
from server import SLOWNESS, example, wait_until

FORGER = "test/forger:v1"
NUMBERS = "local/numbers:v1"
MIB = 1 << 20


def start_forger(start, pipelines, *options):
    return start(f"{FORGER}={pipelines('forger')}", example("numbers.so"), options=options)


def test_values_that_never_end_hold_one_share_of_the_memory_and_take_nothing_from_others(start, pipelines):
    """With --output-memory 64m each pipeline may hold one value of the largest size."""
    # Those that are told to stop never do; the test is over before they are killed for that.
    server = start_forger(start, pipelines, "--workers", "4", "--output-memory", "64m", "--cancel-grace", "1h")
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(server.stream(FORGER, "fragments", count)) for count in (200, 255, 255, 255)]
        for stream in held:
            stream.next()
        # Those for whom there is nothing left are told, and for others there is as much as ever.
        wait_until(lambda: len(server.log_since(0, " run_end .* error=oom ")) >= 3)
        wait_until(lambda: server.metric("millrace_output_memory_bytes") > 40 * MIB)
        assert server.metric("millrace_output_memory_bytes") < 65 * MIB
        for _ in range(3):
            result = wire.check_line(server.run(NUMBERS, 1, "x" * 3_000_000, 0).body)
            assert wire.output_of(result)[0]["chunk"] == "x" * 3_000_000
        for worker in server.workers(FORGER):
            assert worker["restarts"] == 0, worker
        server.signal(signal.SIGKILL)
        server.wait_exit()


def test_a_worker_that_begins_a_second_value_loses_its_life(start, pipelines):
    server = start_forger(start, pipelines, "--concurrency", "2")
    with server.stream(FORGER, "wait", 0) as one, server.stream(FORGER, "mixed", 0) as two:
        one.next()
        server.wait_log(r' worker_kill .*reason="it sent another record inside a value"')
        for stream in (one, two):
            assert "another record inside a value" in list(stream)[-1]["error"]["message"]
    assert len(server.lines(NUMBERS, 3, "x", 0)) == 3


def test_a_stamp_out_of_the_future_does_not_switch_the_progress_timeout_off(start, pipelines):
    server = start_forger(start, pipelines, "--progress-timeout", "500ms", "--cancel-grace", "200ms")
    with server.stream(FORGER, "stamp", 0) as stream:
        [first, last] = list(stream)
        assert wire.output_of(first) == 0
        # The stamp is looked at when the time may be over; the death that it costs may be told first.
        assert last["error"]["type"] in ("timeout", "pipeline_error")
        assert re.search(r"made no progress for 0\.5 s|out of the future", last["error"]["message"])
    server.wait_log(r' worker_kill .*reason="its stamp of a run\'s progress is out of the future"')


def test_runs_of_one_worker_with_values_of_30_mib_at_once_need_memory_for_one_and_all_end_well(start, pipelines):
    """An honest worker sends one value after the other."""
    server = start(example("numbers.so"), options=["--concurrency", "64", "--body-limit", "64m", "--queue", "0"])
    text = "x" * (30 * MIB)
    count = 6
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(server.stream(NUMBERS, 1, text, 0)) for _ in range(count)]
        for stream in streams:
            [line] = stream.all()
            assert len(wire.output_of(line)["chunk"]) == len(text)
    wait_until(lambda: server.metric("millrace_output_memory_bytes") <= 16384, 10 * SLOWNESS)


FLOODS = ["output", "lines", "doorbell", "packets", "logs", "chunks"]


def begin_flood(server, stack, how, flood_ms):
    stream = stack.enter_context(server.stream(FORGER, how, flood_ms))
    stream.next()
    if how == "chunks":  # of a run that nobody waits for
        stream.close()
    return stream


@pytest.mark.parametrize("hows", [*([how] for how in FLOODS), FLOODS], ids=[*FLOODS, "all"])
def test_a_flood_costs_the_server_a_share_of_a_core_and_others_nothing(start, pipelines, hows):
    """Each was half a core and more. About 1.5 s of a stream of another pipeline beside."""
    server = start_forger(start, pipelines, "--workers", str(len(hows)), "--cancel-grace", "20s")
    pids = [worker["pid"] for worker in server.workers(FORGER)]
    with contextlib.ExitStack() as stack:
        for how in hows:
            begin_flood(server, stack, how, 60_000)
        cpu_s, began = server.cpu_s(), time.monotonic()
        lines = server.lines(NUMBERS, 150, "x", 10)
        share = (server.cpu_s() - cpu_s) / (time.monotonic() - began)
        assert [wire.output_of(line)["i"] for line in lines] == list(range(150))
        print(f"{'+'.join(hows)}: {share:.3f} of a core")
        assert share < 0.2 * len(hows) * SLOWNESS
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


def test_a_flood_of_output_comes_to_its_end(start, pipelines):
    """What is printed faster than it is read waits in the pipe, and so does who prints it."""
    server = start_forger(start, pipelines)
    for how in ("output", "lines", "doorbell", "packets"):
        assert [wire.output_of(line) for line in server.lines(FORGER, how, 500)] == [0, 1]
    assert server.log_since(0, " warning worker_noisy ")
