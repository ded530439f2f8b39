# SPDX-License-Identifier: MIT
"""A worker may die at any instruction, hang or write garbage: only its own runs notice."""

import datetime
import os
import re
import signal
import time

import pytest

import wire
from server import IS_SANITIZED, SLOWNESS, example, process_exists, process_is_stuck, wait_until

NUMBERS = "local/numbers:v1"
MISBEHAVE = "local/misbehave:v1"
SERVED = (example("numbers.so"), example("misbehave.so"))
GRACE_MS = 300
PAUSE_MS = 50


@pytest.fixture(scope="module")
def server(start_shared):
    return start_shared(*SERVED, options=["--workers", "2", "--concurrency", "4", "--log-level", "debug",
                                          "--cancel-grace", f"{GRACE_MS}ms"])


@pytest.fixture
def healthy(server):
    """The shared server with every worker ready and its history of failures forgotten."""
    for pointer in (NUMBERS, MISBEHAVE):
        wait_until(lambda p=pointer: all(worker["state"] == "ready" and worker["active"] == 0
                                         for worker in server.workers(p)), what=f"{pointer} ready")
    calm(server)
    return server


def calm(server):
    """A completed run on each worker of the pipeline that crashes, so that the next is restarted soon."""
    streams = [server.stream(MISBEHAVE, "nan", 2, 0) for _ in range(2)]
    for stream in streams:
        with stream:
            assert len(stream.all()) == 3


def busy_worker(server, pointer):
    """The worker that has a run, when there is only one."""
    busy = [worker for worker in server.workers(pointer) if worker["active"] > 0]
    assert len(busy) == 1, busy
    return busy[0]


def split_failure(lines):
    """The chunks, and the one line that says why there are no more."""
    *chunks, last = lines
    assert all(line["error"] is None for line in chunks)
    assert last["state"] == "failed"
    assert last["outputs"] is None
    return chunks, last["error"]


def stamps_ms(server, mark, event):
    """When the log says that it happened, each time."""
    return [datetime.datetime.fromisoformat(line.split()[0][:-1]).replace(tzinfo=datetime.timezone.utc).timestamp() * 1000
            for line in server.log_since(mark, f" {event} ")]


def assert_counts_up(lines, count=None):
    numbers = [wire.output_of(line)["i"] for line in lines]
    assert numbers == list(range(len(numbers) if count is None else count))


# ---- killed from outside ---------------------------------------------------------------------------


def test_kill_9_in_mid_stream_costs_that_workers_run_alone_and_the_worker_is_back_within_a_second(healthy):
    server = healthy
    mark = server.log_mark()
    with server.stream(NUMBERS, 100000, "doomed", 2) as doomed:
        heard = [doomed.next() for _ in range(20)]
        victim = busy_worker(server, NUMBERS)
        with server.stream(NUMBERS, 300, "other", 2) as other:
            assert wire.output_of(other.next())["i"] == 0
            began = time.monotonic()
            os.kill(victim["pid"], signal.SIGKILL)
            chunks, error = split_failure(heard + list(doomed))
            assert_counts_up(chunks)
            assert error["type"] == "pipeline_error"
            assert "signal 9 (SIGKILL)" in error["message"]
            assert doomed.trailers == {"Millrace-Run-State": "failed", "Millrace-Run-Lines": str(len(chunks))}

            successor = server.wait_worker(NUMBERS, victim["index"], victim["pid"], mark)
            assert time.monotonic() - began < 1 * SLOWNESS
            assert process_exists(successor)
            lines = [*other]
            assert [wire.output_of(line)["i"] for line in lines] == list(range(1, 300))
            assert other.trailers["Millrace-Run-State"] == "completed"
    # The connection of the failed run was whole too: another run can follow on it. And both serve.
    streams = [server.stream(NUMBERS, 1000, "after", 20) for _ in range(2)]
    for stream in streams:
        stream.next()
    assert [worker["active"] for worker in server.workers(NUMBERS)] == [1, 1]
    for stream in streams:
        with stream:
            assert [wire.output_of(stream.next())["i"] for _ in range(4)] == [1, 2, 3, 4]


def test_kill_9_in_a_flood_again_and_again(healthy):
    """Full rings, full windows, a send in flight: nothing of the dead worker is touched any more."""
    server = healthy
    for count in (1, 10, 100, 1000, 3000):
        mark = server.log_mark()
        with server.stream(NUMBERS, 10_000_000, "x" * 100, 0) as stream:
            heard = [stream.next() for _ in range(count)]
            victim = busy_worker(server, NUMBERS)
            os.kill(victim["pid"], signal.SIGKILL)
            chunks, error = split_failure(heard + list(stream))
        assert_counts_up(chunks)
        assert "signal 9" in error["message"]
        assert stream.trailers["Millrace-Run-Lines"] == str(len(chunks))
        server.wait_worker(NUMBERS, victim["index"], victim["pid"], mark)
        for stream in [server.stream(NUMBERS, 3, "x", 5) for _ in range(2)]:
            with stream:
                assert_counts_up(stream.all(), 3)


def test_a_connection_whose_run_lost_its_worker_takes_the_next_run(healthy):
    with healthy.connect() as connection:
        lines = wire.Stream(connection, wire.run_body(MISBEHAVE, ["crash", 2, 0])).all()
        assert lines[-1]["state"] == "failed"
        lines = wire.Stream(connection, wire.run_body(MISBEHAVE, ["nan", 2, 0])).all()
        assert [wire.output_of(line) for line in lines] == [0, 1, None]


def test_all_runs_of_a_killed_worker_end_with_the_reason_and_none_hangs(healthy):
    server = healthy
    # Eight runs, four on each worker.
    streams = [server.stream(NUMBERS, 400, f"{number}", 2) for number in range(8)]
    heard = [[stream.next()] for stream in streams]
    assert [worker["active"] for worker in server.workers(NUMBERS)] == [4, 4]
    os.kill(server.workers(NUMBERS)[0]["pid"], signal.SIGKILL)
    failed = 0
    for stream, lines in zip(streams, heard):
        with stream:
            lines += list(stream)
        if lines[-1]["error"]:
            chunks, error = split_failure(lines)
            assert "signal 9" in error["message"]
            assert_counts_up(chunks)
            failed += 1
        else:
            assert_counts_up(lines, 400)
    assert failed == 4


def test_an_idle_worker_that_is_killed_is_replaced(healthy):
    mark = healthy.log_mark()
    victim = healthy.workers(NUMBERS)[1]
    os.kill(victim["pid"], signal.SIGTERM)
    healthy.wait_worker(NUMBERS, 1, victim["pid"], mark)
    healthy.wait_log(rf" worker_exit pipeline={NUMBERS} worker=1 runs=0 .*signal 15", mark)
    assert len(healthy.lines(NUMBERS, 10, "x", 0)) == 10


def test_a_stopped_worker_delays_nobody_else(healthy):
    server = healthy
    with server.stream(NUMBERS, 50, "stopped", 2) as stopped:
        stopped.next()
        victim = busy_worker(server, NUMBERS)
        os.kill(victim["pid"], signal.SIGSTOP)
        try:
            for _ in range(5):
                assert_counts_up(server.lines(NUMBERS, 20, "other", 1), 20)
        finally:
            os.kill(victim["pid"], signal.SIGCONT)
        assert [wire.output_of(line)["i"] for line in stopped] == list(range(1, 50))


def test_kill_9_during_a_plain_run_is_its_failed_result(healthy):
    with healthy.connect() as connection:
        connection.request("POST", "/v4/runs", wire.run_body(NUMBERS, [100000, "x", 5]))
        wait_until(lambda: any(worker["active"] for worker in healthy.workers(NUMBERS)))
        os.kill(busy_worker(healthy, NUMBERS)["pid"], signal.SIGKILL)
        response = connection.response()
    assert response.status == 200
    result = wire.check_line(response.body)
    assert result["state"] == "failed"
    assert result["error"]["type"] == "pipeline_error"
    assert "signal 9" in result["error"]["message"]


# ---- pipelines that end their process ---------------------------------------------------------------


@pytest.mark.parametrize("k", [-1, 0, 1, 3, 2000])
@pytest.mark.parametrize("how,reason", [("crash", "signal 11 (SIGSEGV)"), ("abort", "signal 6 (SIGABRT)"),
                                        ("exit", "exited with code 3")])
def test_chunks_before_a_crash_arrive_and_the_error_line_names_it(healthy, how, reason, k):
    with healthy.stream(MISBEHAVE, how, k, 0) as stream:
        chunks, error = split_failure(stream.all())
    assert [wire.output_of(line) for line in chunks] == list(range(max(k, 0)))
    assert error["type"] == "pipeline_error"
    assert reason in error["message"]
    if k > 0:
        assert stream.trailers == {"Millrace-Run-State": "failed", "Millrace-Run-Lines": str(k)}


def test_a_worker_that_had_finished_a_run_is_replaced_without_a_pause(start):
    server = start(example("numbers.so"), options=["--log-level", "debug"])
    server.wait_log(" worker_ready ")
    mark = server.log_mark()
    for _ in range(5):
        since = server.log_mark()
        pid = server.workers(NUMBERS)[0]["pid"]
        assert len(server.lines(NUMBERS, 2, "x", 30)) == 2  # it is older than the pause then
        os.kill(pid, signal.SIGKILL)
        server.wait_worker(NUMBERS, 0, pid, since)
    exits, starts = (stamps_ms(server, mark, f"worker_{event}") for event in ("exit", "start"))
    assert len(exits) == len(starts) == 5
    # The machine may be busy, but not each time.
    assert min(began - ended for ended, began in zip(exits, starts)) < 0.8 * PAUSE_MS


def test_a_worker_that_crashes_in_every_second_run_is_started_once_in_a_pause(start):
    server = start(example("misbehave.so"), options=["--log-level", "debug"])
    server.wait_log(" worker_ready ")
    mark, began = server.log_mark(), time.time()
    count = 8
    for _ in range(count):
        assert len(server.lines(MISBEHAVE, "nan", 1, 0)) == 2
        assert server.lines(MISBEHAVE, "crash", 1, 0)[-1]["state"] == "failed"
    assert len(server.lines(MISBEHAVE, "nan", 1, 0)) == 2
    wait_until(lambda: len(stamps_ms(server, mark, "worker_start")) == count)
    # The first one follows at once, the others in turn; the log rounds down.
    assert stamps_ms(server, mark, "worker_start")[-1] - began * 1000 > (count - 1) * PAUSE_MS - 1


def test_a_run_waits_for_the_successor_of_a_crashed_worker(start):
    server = start(example("misbehave.so"))
    with server.stream(MISBEHAVE, "crash", 500, 0) as crashing:
        with server.stream(MISBEHAVE, "nan", 1, 0) as waiting:
            assert split_failure(crashing.all())[1]["type"] == "pipeline_error"
            assert [wire.output_of(line) for line in waiting.all()] == [0, None]


def test_a_worker_that_crashes_again_and_again_is_a_503_until_it_is_back(start):
    server = start(example("misbehave.so"))
    for _ in range(20):
        response = server.run(MISBEHAVE, "abort", 0, 0)
        result = wire.check_line(response.body)
        if response.status != 200:
            break
        assert result["state"] == "failed"
    assert response.status == 503
    assert int(response.header("Retry-After")) >= 1
    assert result["state"] == "no_resources_available"
    assert "signal 6" in result["error"]["message"]
    ready = server.get("/readyz")
    if ready.status != 200:
        assert MISBEHAVE.encode() in ready.body
    wait_until(lambda: server.workers(MISBEHAVE)[0]["state"] == "ready", what="the worker back")
    assert [wire.output_of(line) for line in server.lines(MISBEHAVE, "nan", 1, 0)] == [0, None]


def test_crashes_leave_no_descriptor_behind(start):
    server = start(example("misbehave.so"), options=["--workers", "2"])

    def descriptor_count():
        calm(server)
        wait_until(lambda: [worker["state"] for worker in server.workers(MISBEHAVE)] == ["ready"] * 2)
        return len(os.listdir(f"/proc/{server.process.pid}/fd"))

    count = descriptor_count()
    for _ in range(5):
        mark = server.log_mark()
        assert server.lines(MISBEHAVE, "exit", 3, 0)[-1]["state"] == "failed"
        server.wait_log(" worker_ready ", mark)
        calm(server)
    # The connections of the last questions may still be closing.
    wait_until(lambda: descriptor_count() <= count, what="the count of descriptors as before")


# ---- pipelines that do not end ----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["hang", "spin"])
def test_a_hung_run_that_is_deleted_is_answered_at_once_and_its_worker_replaced(healthy, how):
    mark = healthy.log_mark()
    with healthy.stream(MISBEHAVE, how, 2, 0) as stream:
        first = stream.next()
        victim = busy_worker(healthy, MISBEHAVE)
        wait_until(lambda: process_is_stuck(victim["pid"]))
        began = time.monotonic()
        answer = healthy.ask("DELETE", f"/v4/runs/{first['id']}")
        assert answer.status == 200
        assert answer.json()["state"] == "failed"
        chunks, error = split_failure([first, *stream])
        assert time.monotonic() - began < GRACE_MS / 1000 * SLOWNESS
        assert [wire.output_of(line) for line in chunks] == [0, 1]
        assert error["type"] == "unknown"
        assert "cancelled" in error["message"]
        assert stream.trailers["Millrace-Run-State"] == "failed"
    healthy.wait_log(rf" worker_kill pipeline={MISBEHAVE} worker={victim['index']} .*grace time", mark)
    healthy.wait_log(rf" error worker_hung pipeline={MISBEHAVE} .* pid={victim['pid']} run={first['id']}$", mark)
    healthy.wait_log(r"^ +misbehave\.so\+0x", mark)
    healthy.wait_worker(MISBEHAVE, victim["index"], victim["pid"], mark)
    assert time.monotonic() - began >= GRACE_MS / 1000
    assert not process_exists(victim["pid"])


def test_a_hung_run_whose_client_left_costs_its_worker_and_the_runs_beside_it(healthy):
    """The other runs of the hung worker fail with the reason; other workers' runs go on."""
    mark = healthy.log_mark()
    with healthy.stream(MISBEHAVE, "hang", 1, 0) as hung:
        hung.next()
        victim = busy_worker(healthy, MISBEHAVE)
        wait_until(lambda: process_is_stuck(victim["pid"]))
        with healthy.stream(MISBEHAVE, "nan", 1, 0) as elsewhere:
            assert len(elsewhere.all()) == 2
        with healthy.stream(NUMBERS, 200, "other", 2) as other:
            other.next()
            hung.close()
            healthy.wait_log(rf" worker_kill pipeline={MISBEHAVE} worker={victim['index']} ", mark)
            healthy.wait_worker(MISBEHAVE, victim["index"], victim["pid"], mark)
            assert [wire.output_of(line)["i"] for line in other] == list(range(1, 200))


def test_runs_beside_a_hung_one_fail_with_the_reason_when_its_worker_is_killed(start):
    server = start(example("misbehave.so"), options=["--concurrency", "3", "--cancel-grace", "100ms"])
    with server.stream(MISBEHAVE, "spin", 1, 1) as hung:
        first = hung.next()
        # It computes, and will not stop: the others never get a turn.
        pid = server.workers(MISBEHAVE)[0]["pid"]
        wait_until(lambda: process_is_stuck(pid))
        beside = [server.stream(MISBEHAVE, "nan", 1, 0) for _ in range(2)]
        wait_until(lambda: server.workers(MISBEHAVE)[0]["active"] == 3)
        server.ask("DELETE", f"/v4/runs/{first['id']}")
        for stream in beside:
            with stream:
                chunks, error = split_failure(stream.all())
            assert chunks == []
            assert error["type"] == "pipeline_error"
            assert "a cancelled run did not end within the grace time" in error["message"]


def test_a_run_that_allocates_without_end_is_an_oom_error_under_a_limit(start):
    if IS_SANITIZED:
        # Address space cannot be limited there; the sanitizer's own limit makes malloc() fail, and says so.
        command, options = (), "allocator_may_return_null=1:soft_rss_limit_mb=300:detect_leaks=0:log_path=/dev/null"
    else:
        command, options = ("prlimit", f"--as={400 << 20}"), ""
    server = start(example("misbehave.so"), command=command, worker_options=options,
                   options=["--max-connections", "32", "--queue", "8", "--output-memory", "16m"])
    with server.stream(MISBEHAVE, "allocate", 2, 1) as stream:
        chunks, error = split_failure(stream.all())
    assert [wire.output_of(line) for line in chunks] == [0, 1]
    assert error["type"] == "oom"


# ---- pipelines that write garbage -------------------------------------------------------------------


def scribble(server, seed):
    """One run that scribbles; how it ended. Odd seeds garble what the ring holds, not its control words,
    so the ring is well filled then."""
    with server.stream(MISBEHAVE, "scribble", 9000 + 700 * (seed % 100) if seed % 2 else 5, seed) as stream:
        first = stream.next()
        stream.connection.socket.settimeout(0.5 * SLOWNESS)
        try:
            last = first
            for last in stream:
                pass
            return "failed" if last["error"] else "completed"
        except TimeoutError:
            # What would wake anybody was overwritten too: then it is cancelled like any hung run.
            assert server.ask("DELETE", f"/v4/runs/{first['id']}").status == 200
            return "hung"


@pytest.mark.bounded(60)
@pytest.mark.parametrize("ring,seeds", [("1m", range(0, 12)), ("8k", range(100, 112))])
def test_a_worker_that_scribbles_over_its_segment_disturbs_no_other(start, ring, seeds, capsys):
    """Whatever the dispatcher makes of it: the answer of the scribbler is well formed, its worker is
    replaced, and streams of other workers lose nothing."""
    server = start(*SERVED, options=["--workers", "2", "--concurrency", "4", "--ring", ring,
                                     "--cancel-grace", f"{GRACE_MS}ms", "--quarantine-retry", "100ms"])
    others = [server.stream(NUMBERS, 100000, f"other {number}", 3) for number in range(4)]
    heard = [[stream.next()] for stream in others]
    ends = []
    for seed in seeds:
        ends.append(scribble(server, seed))
        for lines, other in zip(heard, others):
            lines.append(other.next())
        wait_until(lambda: all(worker["state"] == "ready" and worker["active"] == 0
                               for worker in server.workers(MISBEHAVE)),
                   what=f"both workers ready after seed {seed}")
        calm(server)
    with capsys.disabled():
        print(f"\n    ring {ring}: " + ", ".join(f"{ends.count(end)} {end}" for end in sorted(set(ends))),
              flush=True)
    assert "failed" in ends
    for lines, other in zip(heard, others):
        assert_counts_up(lines)
        other.close()
    assert server.get("/readyz").status == 200


# ---- isolation --------------------------------------------------------------------------------------


def test_a_worker_inherits_its_own_descriptors_and_nothing_else(start):
    server = start(*SERVED, options=["--workers", "2"],
                   environment={"MILLRACE_SECRET": "hush", "AWS_SECRET_ACCESS_KEY": "hush"})
    for pointer in (NUMBERS, MISBEHAVE):
        for worker in server.workers(pointer):
            folder = f"/proc/{worker['pid']}"
            links = {int(name): os.readlink(f"{folder}/fd/{name}") for name in os.listdir(f"{folder}/fd")}
            # Behind those it was given: what it opened itself to wait on all of them.
            assert sorted(links)[:7] == [0, 1, 2, 3, 4, 5, 6], links
            assert {links[fd] for fd in links if fd > 6} <= {"anon_inode:[eventpoll]"}, links
            assert links[0] == "/dev/null"
            assert links[1].startswith("pipe:") and links[2].startswith("pipe:")
            assert "memfd:" in links[3]
            assert links[4].startswith("pipe:") and "eventfd" in links[5]
            assert links[6].startswith("socket:")
            with open(f"{folder}/environ", "rb") as file:
                assert b"hush" not in file.read()
            with open(f"{folder}/status", encoding="ascii") as file:
                status = dict(line.split(":\t", 1) for line in file.read().splitlines())
            assert status["NoNewPrivs"] == "1"
            assert int(status["PPid"]) == server.process.pid


def test_no_name_appears_in_dev_shm(start):
    of_other_tests = re.compile(r"millrace-test-|evil-|psm_|sem\.")  # which run beside this one

    def names():
        return {name for name in os.listdir("/dev/shm") if not of_other_tests.match(name)}

    before = names()
    server = start(*SERVED)
    assert_counts_up(server.lines(NUMBERS, 10, "x", 0), 10)
    assert names() <= before


@pytest.mark.parametrize("name, event, is_shown", [("broken", "pipeline_failed", False), ("crashing", "worker_exit", True)])
def test_a_start_that_fails_again_and_again_is_whole_in_the_log_once(start, pipelines, name, event, is_shown):
    server = start(f"test/fails:v1={pipelines('startup')}:{name}", example("numbers.so"),
                   options=["--quarantine-retry", "100ms"])
    server.wait_log(rf" {event} pipeline=test/fails:v1 .*same_as_before=8 ", timeout_s=40 * SLOWNESS)
    told = [line.split()[2] for line in server.log_since(0, "pipeline=test/fails:v1 ")]
    assert told.count(event) == 5  # the first one, and 1, 2, 4, 8
    assert told.count("worker_exit") == (5 if is_shown else 1)
    assert told.count("worker_crash") == is_shown
