# SPDX-License-Identifier: MIT
"""The worker for Python: a thousand asynchronous runs on one worker, and the batches they make."""

import asyncio
import os

import pytest

import wire
from engine_streams import read_all, wait_for_rest
from pipeline.cloud.pipelines import stream_pipeline_async
from server import SLOWNESS, process_cpu_s, wait_until
from test_python_worker import HERE, failure, pointer, pytestmark

assert pytestmark  # of all tests that need the extension: it holds here, too

MANY_RUNS = os.path.join(HERE, "pipelines", "many_runs.py")
RUN_COUNT = 1000


def served(*names):
    return [f"{pointer(name)}={MANY_RUNS}:{name}" for name in names]


@pytest.fixture(scope="module")
def server(start_shared):
    return start_shared(*served("gathered", "paced", "self_cancelled", "timed", "batched", "plain", "stepped"),
                        options=["--concurrency", str(RUN_COUNT), "--cancel-grace", "5s"])


async def values_of(server, name, *inputs):
    results = stream_pipeline_async(pointer(name), *inputs, url=server.url)
    return [result.outputs_formatted()[0] async for result in results]


def gather(server, name, *inputs, count):
    async def main():
        return await asyncio.gather(*(values_of(server, name, *inputs) for _ in range(count)))

    return asyncio.run(main())


@pytest.mark.bounded(120)
def test_a_thousand_runs_are_in_one_worker_at_once_and_each_is_whole_and_in_order(server):
    # None of them begins before the last one has come.
    assert gather(server, "gathered", RUN_COUNT, 10, count=RUN_COUNT) == [list(range(10))] * RUN_COUNT
    assert len(server.workers(pointer("gathered"))) == 1


@pytest.mark.bounded(120)
def test_a_thousand_streams_go_through_one_engine_in_order(server):
    assert gather(server, "stepped", 10, count=RUN_COUNT) == [list(range(10))] * RUN_COUNT


def test_a_run_that_is_cancelled_hears_of_it_where_it_waits_and_the_others_go_on(server):
    leaving = [server.stream(pointer("paced"), 100, 50.0) for _ in range(20)]
    staying = [server.stream(pointer("paced"), 30, 20.0) for _ in range(20)]
    ids = [stream.next()["id"] for stream in leaving]
    for stream in leaving:
        stream.close()
    for run_id in ids:
        server.wait_log(f'run={run_id} stream=log text="cancelled where it waited"')
        server.wait_log(f'run={run_id} stream=log text="closed after')
    for own in read_all(staying):
        assert own == list(range(30))


def test_a_time_limit_within_a_run_is_its_own_and_one_of_the_server_cancels_it(server, start):
    assert gather(server, "timed", 0.05, count=20) == [["begun", "late"]] * 20
    limited = start(*served("timed"), options=["--concurrency", "8", "--run-timeout", "300ms"])
    sent, error = failure(limited.lines(pointer("timed"), 100.0))
    assert (sent, error["type"]) == (["begun"], "timeout")


def test_a_client_that_reads_nothing_costs_its_window_and_no_processor_time(server):
    mark = server.log_mark()
    with server.connect(receive_buffer_bytes=4096) as connection:
        stalled = wire.Stream(connection, wire.run_body(pointer("paced"), [10_000_000, 0.0]))
        run_id = stalled.next()["id"]
        worker, = server.workers(pointer("paced"))
        wait_for_rest(worker["pid"])
        for own in read_all([server.stream(pointer("paced"), 30, 1.0) for _ in range(20)]):
            assert own == list(range(30))
    made = int(server.wait_log(rf'run={run_id} stream=log text="closed after (\d+)"', mark)[1])
    # Window and socket buffers, whose lines are of some 300 bytes.
    assert made < 100_000


@pytest.mark.bounded(300)
def test_runs_whose_clients_read_nothing_and_leave_at_once_all_end(start):
    """What a line of another run costs beside them is printed: LINES=4000 STALLED=900 pytest ... -s -k leave"""
    stalled = int(os.environ.get("STALLED", "60"))
    server = start(*served("paced"), options=["--concurrency", str(stalled + 1), "--window", "16k", "--cancel-grace",
                                              "5s", "--stall-timeout", "1h"])
    worker, = server.workers(pointer("paced"))
    for _ in range(2):
        alone = cost_of_a_paced_run(server, worker["pid"])
        streams = [wire.Stream(server.connect(receive_buffer_bytes=4096),
                               wire.run_body(pointer("paced"), [10_000_000, 0.0])) for _ in range(stalled)]
        wait_for_rest(worker["pid"])
        print(f"{alone:.0f} us of its worker a line, beside the others {cost_of_a_paced_run(server, worker['pid']):.0f}")
        for stream in streams:
            stream.close()
        wait_until(lambda: server.workers(pointer("paced"))[0]["active"] == 0, what="free slots",
                   timeout_s=30 * SLOWNESS)
    assert server.workers(pointer("paced"))[0]["pid"] == worker["pid"]


def cost_of_a_paced_run(server, pid):
    count = int(os.environ.get("LINES", "5"))
    spent_s = -process_cpu_s(pid)
    assert len(server.lines(pointer("paced"), count, 0.5)) == count
    return (spent_s + process_cpu_s(pid)) / count * 1e6


def test_a_run_that_cancels_itself_while_its_line_waits_ends_with_that(server):
    mark = server.log_mark()
    with server.connect(receive_buffer_bytes=4096) as connection:
        stream = wire.Stream(connection, wire.run_body(pointer("self_cancelled"), [10_000_000]))
        stream.next()
        server.wait_log("cancels it", mark)
        error = stream.all()[-1]["error"]
    assert (error["type"], error["message"]) == ("pipeline_error", "CancelledError()")


@pytest.mark.bounded(300)
def test_what_a_line_costs_its_worker_when_many_runs_make_them_is_printed(server):
    """To be read: LINES=200 RUNS=1000 pytest test_python_many_runs.py -s -k costs"""
    count, runs = int(os.environ.get("LINES", "5")), int(os.environ.get("RUNS", "40"))
    for name, inputs in (("plain", [count]), ("paced", [count, 0.0]), ("paced", [count, 10.0]),
                         ("batched", [20, count]), ("stepped", [count])):
        worker, = server.workers(pointer(name))
        spent_s = -process_cpu_s(worker["pid"])
        values = gather(server, name, *inputs, count=runs)
        spent_s += process_cpu_s(worker["pid"])
        assert [len(own) for own in values] == [count] * runs
        print(f"{name}{inputs}: {spent_s / runs / count * 1e6:.1f} us of its worker a line")


# ---- batches ---------------------------------------------------------------------------------------

def test_asynchronous_runs_share_the_calls_of_a_batcher(server):
    count = 50
    values = gather(server, "batched", 100, count, count=64)
    for own in values:
        assert [number for number, _, _ in own] == list(range(100, 100 + count))
        calls = [call for _, call, _ in own]
        assert calls == sorted(set(calls))
    assert len({call for own in values for _, call, _ in own}) < 4 * count
    assert max(size for own in values for _, _, size in own) > 32


def test_an_item_that_fails_or_is_cancelled_fails_no_other_of_its_call(server):
    streams = [server.stream(pointer("batched"), 20, 300) for _ in range(16)]
    leaving, *others = streams
    leaving.next()
    leaving.close()
    sent, error = failure(server.lines(pointer("batched"), 10, 10))
    assert [number for number, _, _ in sent] == [10, 11, 12]
    assert (error["type"], error["message"]) == ("pipeline_error", "KeyError(13)")
    for own in read_all(others):
        assert [number for number, _, _ in own] == list(range(20, 320))


def test_a_call_that_fails_is_said_of_each_run_in_it_and_of_none_in_the_log(server):
    mark = server.log_mark()
    others = [server.stream(pointer("batched"), 20, 1_000_000) for _ in range(3)]
    for stream in others:
        stream.next()
    error = wire.result_of(server.run(pointer("batched"), -1, 1))["error"]
    assert (error["type"], error["message"]) == ("oom", "MemoryError('the call failed')")
    said = server.wait_log(r'.*text="about to fail"', mark)[0]
    assert " run=" not in said
    for stream in others:
        with stream:
            # One that was about to send, and not in that call, goes on.
            for line in stream:
                if line["error"] or wire.output_of(line)[0] > 50_000:
                    break
            assert line["error"] is None or line["error"]["message"] == "MemoryError('the call failed')"
