# SPDX-License-Identifier: MIT
"""Workers are replaced in an orderly way: after enough runs, when too large, when their device is broken."""

import os
import signal

import wire
from server import example, process_exists, wait_until

NUMBERS = "local/numbers:v1"
MISBEHAVE = "local/misbehave:v1"


def numbers(server, count=3, pace_ms=0):
    lines = server.lines(NUMBERS, count, "x", pace_ms)
    assert [wire.output_of(line)["i"] for line in lines] == list(range(count))


def retired(server):
    return server.log_since(0, " worker_retire ")


def test_a_worker_is_replaced_after_its_runs_and_no_run_notices(start):
    server = start(example("numbers.so"), options=["--recycle-runs", "3"])
    pids = [server.workers(NUMBERS)[0]["pid"]]
    for _ in range(10):
        numbers(server)
    wait_until(lambda: len(server.log_since(0, " worker_ready ")) == 4)
    pids.append(server.workers(NUMBERS)[0]["pid"])
    assert len(retired(server)) == 3
    assert pids[0] != pids[1] and not process_exists(pids[0])
    assert len(server.log_since(0, r" worker_exit .* exited with code 0")) == 3
    assert server.metric(f'millrace_runs_ended_total{{pipeline="{NUMBERS}",end="completed"}}') == 10
    assert server.metric(f'millrace_runs_accepted_total{{pipeline="{NUMBERS}"}}') == 10
    assert server.metric(f'millrace_worker_restarts_total{{pipeline="{NUMBERS}",cause="recycled_runs"}}') == 3
    assert server.metric("millrace_worker_kills_total") == 0


def test_what_a_retired_worker_prints_last_is_logged(start, pipelines):
    server = start(pipelines("farewell"), options=["--recycle-runs", "1"])
    pid = server.workers("local/farewell:v1")[0]["pid"]
    assert server.run("local/farewell:v1", 7).status == 200
    # The server finds all of it and the end of the process at once.
    server.signal(signal.SIGSTOP)
    wait_until(lambda: not process_exists(pid))
    server.signal(signal.SIGCONT)
    wait_until(lambda: len(server.log_since(0, r"stream=stdout .*farewell \d{3} 0+")) == 150)


def test_a_worker_finishes_its_runs_before_it_is_replaced(start):
    server = start(example("numbers.so"), options=["--recycle-runs", "2", "--concurrency", "2"])
    with server.stream(NUMBERS, 60, "long", 10) as long:
        long.next()
        for _ in range(2):
            numbers(server)
        server.wait_log(" worker_retire ")
        # The next run waits for the successor; the long one goes on, on a worker that takes no more.
        with server.stream(NUMBERS, 1, "next", 0) as waiting:
            assert [wire.output_of(line)["i"] for line in long] == list(range(1, 60))
            assert len(waiting.all()) == 1
    assert server.log_since(0, " worker_kill ") == []


def test_a_successor_starts_beside_a_worker_which_serves_until_it_is_ready(start, pipelines):
    patient = "local/patient:v1"
    server = start(f"{pipelines('startup')}:patient", options=["--recycle-runs", "2", "--recycle-overlap"], wait=False)
    go = os.path.join(server.folder, "go")
    with open(go, "w", encoding="ascii"):
        server.wait_ready()
    os.unlink(go)
    [old] = server.workers(patient)
    server.wait_log(" worker_ready ")  # which may come after the ready line
    mark = server.log_mark()
    for _ in range(6):  # four more than it was to run
        assert server.run(patient).json()["outputs"][0]["value"] == "started"
    wait_until(lambda: [(entry["index"], entry["state"]) for entry in server.workers(patient)]
               == [(0, "outgoing"), (0, "loaded")])
    assert server.get("/readyz").status == 200
    with open(go, "w", encoding="ascii"):
        new = server.wait_worker(patient, 0, old["pid"], mark)
    server.wait_log(" worker_exit .* exited with code 0", mark)
    order = [line.split()[2] for line in server.log_since(mark, " worker_(replace|ready|retire|exit) ")]
    assert order == ["worker_replace", "worker_ready", "worker_retire", "worker_exit"]
    assert [(entry["index"], entry["pid"], entry["state"]) for entry in server.workers(patient)] == [(0, new, "ready")]
    assert server.run(patient).status == 200
    assert not process_exists(old["pid"])
    assert server.metric(f'millrace_worker_restarts_total{{pipeline="{patient}",cause="recycled_runs"}}') == 1


def test_no_run_waits_while_workers_are_replaced_one_after_the_other(start):
    server = start(example("numbers.so"), options=["--recycle-runs", "3", "--recycle-overlap", "--workers", "2"])
    count = 0
    while len(server.log_since(0, " worker_retire ")) < 5:
        numbers(server)
        count += 1
    assert server.log_since(0, " worker_kill ") == []
    assert server.metric(f'millrace_runs_ended_total{{pipeline="{NUMBERS}",end="completed"}}') == count
    assert sorted({entry["index"] for entry in server.workers(NUMBERS)}) == [0, 1]


def test_a_worker_that_grew_is_replaced(start):
    server = start(example("numbers.so"), options=["--recycle-memory", "1k"])
    numbers(server)
    assert "memory" in server.wait_log(" worker_retire .*")[0]
    numbers(server)


def test_a_worker_whose_device_failed_is_replaced_and_the_other_serves_on(start):
    server = start(example("misbehave.so"), options=["--workers", "2"])
    with server.stream(MISBEHAVE, "fail", 1, 0) as stream:
        assert stream.all()[-1]["error"]["type"] == "cuda_oom"
    index = int(server.wait_log(r" worker_retire .* worker=(\d) .*device")[1])
    for _ in range(4):
        assert [wire.output_of(line) for line in server.lines(MISBEHAVE, "nan", 1, 0)] == [0, None]
    wait_until(lambda: len(server.log_since(0, f" worker_ready .* worker={index} ")) == 2)
