# SPDX-License-Identifier: MIT
"""What a worker gains by writing into its segment what no honest one writes: others notice nothing."""

import contextlib

import wire
from server import SLOWNESS, example, wait_until

FORGER = "test/forger:v1"
NUMBERS = "local/numbers:v1"
MIB = 1 << 20


def start_forger(start, pipelines, *options):
    return start(f"{FORGER}={pipelines('forger')}", example("numbers.so"), options=options)


def test_values_that_never_end_hold_one_share_of_the_memory_and_take_nothing_from_others(start, pipelines):
    """With --output-memory 64m each pipeline may hold one value of the largest size."""
    server = start_forger(start, pipelines, "--workers", "4", "--output-memory", "64m")
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(server.stream(FORGER, "fragments", count)) for count in (200, 255, 255, 255)]
        for stream in held:
            stream.next()
        # Those for whom there is nothing left are told, and for others there is as much as ever.
        wait_until(lambda: len(server.log_since(0, " run_end .* error=oom ")) >= 3)
        assert 40 * MIB < server.metric("millrace_output_memory_bytes") < 65 * MIB
        for _ in range(3):
            result = wire.check_line(server.run(NUMBERS, 1, "x" * 3_000_000, 0).body)
            assert wire.output_of(result)[0]["chunk"] == "x" * 3_000_000
        for worker in server.workers(FORGER):
            assert worker["restarts"] == 0, worker
        server.signal(9)
        server.wait_exit()


def test_a_worker_that_begins_a_second_value_loses_its_life(start, pipelines):
    server = start_forger(start, pipelines, "--concurrency", "2")
    with server.stream(FORGER, "mixed", 0) as one, server.stream(FORGER, "mixed", 0) as two:
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
        assert last["error"]["type"] == "timeout"
        assert "made no progress for 0.5 s" in last["error"]["message"]
    server.wait_log(r' worker_kill .*reason="its stamp of a run\'s progress is out of the future"')


def test_many_runs_with_values_of_30_mib_at_once_each_pass_or_fail_by_themselves(start, pipelines):
    """An honest worker sends one value after the other, so they need memory for one."""
    server = start(example("numbers.so"), options=["--concurrency", "64", "--body-limit", "64m", "--queue", "0"])
    text = "x" * (30 * MIB)
    count = 6
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(server.stream(NUMBERS, 1, text, 0)) for _ in range(count)]
        for stream in streams:
            [line] = stream.all()
            assert len(wire.output_of(line)["chunk"]) == len(text)
    wait_until(lambda: server.metric("millrace_output_memory_bytes") <= 16384, 10 * SLOWNESS)
