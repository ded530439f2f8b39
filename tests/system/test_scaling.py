# SPDX-License-Identifier: MIT
"""As many workers as runs need: none until somebody asks, more while runs wait, fewer when nobody needs them.

Whatever the number does, no run is lost, cut or mixed up with another, and other pipelines keep their processes.
"""

import os
import re
import signal
import threading
import time

import pytest

import wire
from conftest import compile_c
from server import SLOWNESS, TOP, example, process_exists, wait_until

NUMBERS, WORDS = "me/numbers:v1", "me/words:v1"
EDITION = os.path.join(TOP, "tests/system/pipelines/edition.c")
CLIENTS = 16
ROUNDS, RUNS_OF_ROUND = 20, 500


def begin(start, workers, *options, idle="200ms", **more):
    """One pipeline with so many workers, and one beside it that always has one."""
    return start(f"{NUMBERS}={example('numbers.so')}", f"{WORDS}={example('words.so')}",
                 options=["--workers", f"{NUMBERS}={workers}", "--worker-idle-timeout", idle, *options], **more)


def gauge(server, name):
    return server.metric(f'{name}{{pipeline="{NUMBERS}"}}')


def events(server, direction):
    return server.metric(f'millrace_scale_events_total{{pipeline="{NUMBERS}",direction="{direction}"}}')


def pids(server, pointer=NUMBERS):
    return [worker["pid"] for worker in server.workers(pointer)]


def ready_pids(server):
    return [worker["pid"] for worker in server.workers(NUMBERS) if worker["state"] == "ready"]


def state(server):
    return server.pipeline(NUMBERS)["state"]


def ask(server, name, count=2, pace_ms=2):
    """A run whose lines can be no other's; what it was answered, checked."""
    lines = server.lines(NUMBERS, count, name, pace_ms)
    values = [wire.output_of(line) for line in lines]
    assert [(value["i"], value["chunk"]) for value in values] == [(i, name) for i in range(count)], lines
    return values


def wait_asleep(server, pid=None):
    wait_until(lambda: state(server) == "idle" and pids(server) == [])
    if pid:
        wait_until(lambda: not process_exists(pid))


class Burst:
    """So many runs by CLIENTS clients at once; each is checked, and whatever goes wrong is kept."""

    def __init__(self, server, names, count=2, pace_ms=2):
        self._server, self._count, self._pace_ms = server, count, pace_ms
        self._names, self._lock = list(names), threading.Lock()
        self.done, self.failures = [], []
        self._threads = [threading.Thread(target=self._work) for _ in range(CLIENTS)]

    def _next(self):
        with self._lock:
            return self._names.pop() if self._names else None

    def _work(self):
        while (name := self._next()) is not None:
            try:
                ask(self._server, name, self._count, self._pace_ms)
                self.done.append(name)
            except Exception as error:  # pylint: disable=broad-except
                self.failures.append((name, error))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        for thread in self._threads:
            thread.join()


# ---- none until somebody asks ----------------------------------------------------------------------


def test_nothing_runs_until_somebody_asks_and_the_first_who_does_is_answered(start):
    server = begin(start, "0-2")
    assert "(2 pipelines, 2 workers)" in server.ready_line  # one shows that the pipeline loads
    [first] = server.wait_log(rf" worker_ready pipeline={NUMBERS} worker=0 pid=(\d+)").groups()
    wait_asleep(server, int(first))
    for _ in range(3):
        assert server.get("/readyz").status == 200
        assert server.get("/status").json()["status"] == "ok"
        assert server.get("/v4/container/state").json()["state"] == "loaded"
        assert server.pipeline(NUMBERS)["input_variables"]
        mark = server.log_mark()
        assert len(ask(server, "the first one")) == 2
        server.wait_log(rf" scale_up pipeline={NUMBERS} from=0 to=1 ", mark)
        [pid] = server.wait_log(rf" worker_ready pipeline={NUMBERS} worker=0 pid=(\d+)", mark).groups()
        server.wait_log(rf" scale_down pipeline={NUMBERS} from=1 to=0 idle_ms=\d+ ", mark)
        wait_asleep(server, int(pid))
    assert gauge(server, "millrace_workers_wanted") == gauge(server, "millrace_workers_min") == 0
    assert gauge(server, "millrace_workers_max") == 2
    assert events(server, "up") == 3 and events(server, "down") == 4


def test_many_who_come_at_once_start_one_worker_and_all_are_answered(start):
    server = begin(start, "0-1")
    wait_asleep(server)
    mark = server.log_mark()
    with Burst(server, [f"run {i}" for i in range(40)]) as burst:
        pass
    assert burst.failures == [] and len(burst.done) == 40
    assert len(server.log_since(mark, f" worker_ready pipeline={NUMBERS} ")) == 1


def test_an_idle_server_does_not_wake_up(start):
    server = begin(start, "0-8")
    wait_asleep(server)
    before = server.metric("millrace_passes_total")
    time.sleep(2)  # in which there is nothing to wait for
    assert server.metric("millrace_passes_total") - before < 20


def test_who_may_not_wait_is_told_when_to_come_again_and_finds_a_worker_then(start):
    server = begin(start, "0-1", "--queue", f"{NUMBERS}=0", idle="1s")
    wait_asleep(server)
    refused = server.run(NUMBERS, 1, "x", 0)
    assert refused.status == 503 and int(refused.header("Retry-After")) >= 1
    line = wire.result_of(refused)
    assert (line["state"], line["error"]["type"]) == ("no_resources_available", "pipeline_loading")
    wait_until(lambda: state(server) == "ready")
    ask(server, "a second later")


@pytest.fixture
def patient(start, pipelines, tmp_path):
    """A pipeline of one worker at most that is ready only when it may be, and it sleeps."""
    (tmp_path / "go").touch()
    server = start(f"me/patient:v1={pipelines('startup')}:patient", options=[
        "--workers", "0-1", "--worker-idle-timeout", "100ms", "--queue-timeout", "60s"],
        environment={"TMPDIR": str(tmp_path)})
    wait_until(lambda: server.pipeline("me/patient:v1")["state"] == "idle")
    (tmp_path / "go").unlink()
    server.go = tmp_path / "go"
    return server


def test_a_run_whose_time_is_over_before_the_start_is_told_that_and_others_wait_on(patient):
    with patient.stream("me/patient:v1") as waiting:
        wait_until(lambda: patient.pipeline("me/patient:v1")["state"] == "waking")
        response = patient.run("me/patient:v1", headers={"X-Request-Timeout": "1"})
        assert response.status == 503 and int(response.header("Retry-After")) >= 1
        assert wire.result_of(response)["error"]["type"] == "pipeline_loading"
        assert patient.get("/readyz").status == 200
        patient.go.touch()
        assert [wire.output_of(line) for line in waiting.all()] == ["started"]


def test_a_client_that_leaves_while_it_wakes_leaves_nothing_behind(patient):
    with patient.stream("me/patient:v1"):
        wait_until(lambda: patient.pipeline("me/patient:v1")["queued"] == 1)
    wait_until(lambda: patient.pipeline("me/patient:v1")["queued"] == 0)
    time.sleep(0.3)  # longer than the idle time: who starts is not killed for that
    assert patient.pipeline("me/patient:v1")["state"] == "waking"
    patient.go.touch()
    wait_until(lambda: patient.pipeline("me/patient:v1")["state"] == "idle")


def test_a_server_stops_while_a_worker_starts_and_tells_who_waits(patient):
    with patient.stream("me/patient:v1") as waiting:
        wait_until(lambda: patient.pipeline("me/patient:v1")["queued"] == 1)
        patient.signal(signal.SIGTERM)
        assert waiting.begin().status == 503
    assert patient.wait_exit() == 0


def test_a_start_that_fails_answers_who_waits_and_again_and_again_is_a_quarantine(start, tmp_path):
    def publish(name, *options):
        os.rename(compile_c(EDITION, tmp_path / "next", "-shared", "-fPIC", *options), tmp_path / name)

    publish("edition.so")
    server = start(f"me/edition:v1={tmp_path / 'edition.so'}:edition", options=[
        "--workers", "0-1", "--worker-idle-timeout", f"{2 * SLOWNESS}s", "--quarantine-after", "3",
        "--quarantine-retry", "200ms"])
    wait_until(lambda: server.pipeline("me/edition:v1")["state"] == "idle")
    publish("edition.so", "-DBROKEN")
    response = server.run("me/edition:v1", 1, 0)
    assert response.status == 500
    assert wire.result_of(response)["error"]["message"] == "startup hook 1: edition 1 has no press"
    wait_until(lambda: server.pipeline("me/edition:v1")["state"] == "quarantined")
    assert server.get("/readyz").status == 503
    publish("edition.so")
    wait_until(lambda: server.pipeline("me/edition:v1")["state"] == "idle")
    assert len(server.lines("me/edition:v1", 3, 0)) == 3


# ---- more, and fewer -------------------------------------------------------------------------------


@pytest.mark.parametrize("least", [0, 1])
def test_a_burst_scales_to_the_most_and_back(start, least):
    server = begin(start, f"{least}-4", idle="400ms")
    other = pids(server, WORDS)
    mark = server.log_mark()
    with Burst(server, [f"run {i}" for i in range(400)], count=1, pace_ms=20 * SLOWNESS) as burst:
        wait_until(lambda: len(ready_pids(server)) == 4)
    assert burst.failures == [] and len(burst.done) == 400
    ups = [re.search(r"from=(\d) to=(\d) queued=(\d+) waited_ms=(\d+) start_ms=(\d+) reason=", line)
           for line in server.log_since(mark, " scale_up ")]
    steps = [(int(up[1]), int(up[2])) for up in ups]
    assert steps[-1][1] == 4 and all(after <= 2 * before for before, after in steps if before), steps
    for up in ups:
        if up[1] != "0":
            assert int(up[4]) >= 25 and int(up[3]) > 0, up[0]
    wait_until(lambda: gauge(server, "millrace_workers_wanted") == least and len(pids(server)) == least)
    assert pids(server, WORDS) == other


def test_a_run_on_a_worker_that_is_not_needed_any_more_is_not_cut(start):
    server = begin(start, "1-2")
    with server.stream(NUMBERS, 100, "short", 20) as short:
        short.next()
        with server.stream(NUMBERS, 150, "long", 20) as long:
            long.next()
            assert len(pids(server)) == 2
            mark = server.log_mark()
            assert len(short.all()) == 99
            server.wait_log(rf" scale_down pipeline={NUMBERS} from=2 to=1 ", mark)
            server.wait_log(rf" worker_retire pipeline={NUMBERS} worker=1 ", mark)
            ask(server, "meanwhile")
            assert [wire.output_of(line)["i"] for line in long.all()] == list(range(1, 150))
    wait_until(lambda: len(pids(server)) == 1)


def test_a_fixed_number_stays_what_it_is(start):
    server = begin(start, "2")
    before = pids(server)
    with Burst(server, [f"run {i}" for i in range(200)], pace_ms=10):
        pass
    time.sleep(0.5)  # longer than the idle time
    assert pids(server) == before and events(server, "up") == events(server, "down") == 0


@pytest.mark.bounded(180)
def test_ten_thousand_runs_while_the_number_goes_up_and_down_are_all_answered(start):
    server = begin(start, "0-4", idle="100ms")
    other = pids(server, WORDS)
    done, all_names = [], [f"run {i}" for i in range(ROUNDS * RUNS_OF_ROUND)]
    for i in range(ROUNDS):
        with Burst(server, all_names[i * RUNS_OF_ROUND:(i + 1) * RUNS_OF_ROUND]) as burst:
            pass
        assert burst.failures == []
        done += burst.done
        if i % 2 == 0:
            wait_until(lambda: gauge(server, "millrace_workers_wanted") == 0)
        else:
            wait_until(lambda: gauge(server, "millrace_workers_wanted") < 4)
    assert sorted(done) == sorted(all_names)
    assert server.metric(f'millrace_runs_accepted_total{{pipeline="{NUMBERS}"}}') == len(all_names)
    assert server.metric(f'millrace_runs_ended_total{{pipeline="{NUMBERS}",end="completed"}}') == len(all_names)
    assert events(server, "up") >= ROUNDS and events(server, "down") >= ROUNDS / 2
    assert pids(server, WORDS) == other
    wait_asleep(server)


# ---- with what else changes ------------------------------------------------------------------------


def test_other_bounds_in_the_file_touch_no_process_that_is_within_them(start, tmp_path):
    def write(workers):
        (tmp_path / "f.yaml").write_text(
            f"no-auth: true\npipelines:\n  {WORDS}: {example('words.so')}\n  {NUMBERS}:\n"
            f"    source: {example('numbers.so')}\n    idle-timeout: 300ms\n    workers: {workers}\n")

    def reload(workers):
        write(workers)
        mark = server.log_mark()
        server.signal(signal.SIGHUP)
        server.wait_log(r" reload_end .* changed=1 kept=1 .*failed=0 ", mark)

    write("{min: 2, max: 4}")
    server = start(options=["-c", str(tmp_path / "f.yaml")])
    before, other = pids(server), pids(server, WORDS)
    reload("{min: 1, max: 2}")
    assert pids(server) == before
    wait_until(lambda: pids(server) == before[:1])
    reload("1-8")
    assert pids(server) == before[:1] and gauge(server, "millrace_workers_max") == 8
    reload("{min: 0, max: 1}")
    wait_asleep(server, before[0])
    reload("0-3")
    assert state(server) == "idle"
    reload("2")
    wait_until(lambda: len(ready_pids(server)) == 2)
    assert pids(server, WORDS) == other


def test_new_code_of_a_pipeline_that_sleeps_is_loaded_once_and_sleeps_again(start, tmp_path):
    def publish(*options):
        os.rename(compile_c(EDITION, tmp_path / "next", "-shared", "-fPIC", *options), tmp_path / "edition.so")

    publish("-DEDITION=1")
    (tmp_path / "f.yaml").write_text("defaults: {workers: 0-2, idle-timeout: 200ms}\n"
                                     "pipelines: {me/edition:v1: 'edition.so:edition'}\n")
    server = start(options=["-c", str(tmp_path / "f.yaml")])
    wait_until(lambda: server.pipeline("me/edition:v1")["state"] == "idle")
    for edition, options in ((2, ["-DEDITION=2"]), (2, ["-DBROKEN"]), (3, ["-DEDITION=3"])):
        publish(*options)
        mark = server.log_mark()
        server.signal(signal.SIGHUP)
        server.wait_log(rf" reload_end .* failed={int('-DBROKEN' in options)} ", mark)
        if "-DBROKEN" not in options:
            assert [wire.output_of(line) for line in server.lines("me/edition:v1", 2, 0)] == [edition] * 2
        wait_until(lambda: server.pipeline("me/edition:v1")["state"] == "idle")


def test_all_workers_are_renewed_where_there_are_none(start):
    server = begin(start, "0-2")
    wait_asleep(server)
    [other] = pids(server, WORDS)
    mark = server.log_mark()
    server.signal(signal.SIGUSR2)
    server.wait_log(r" renewal_begin workers=1$", mark)
    server.wait_log(r" renewal_end replaced=1 ", mark)
    assert pids(server, WORDS) != [other] and state(server) == "idle"
    ask(server, "afterwards")


def test_workers_that_are_replaced_after_each_run_still_come_and_go(start):
    server = begin(start, "0-2", "--recycle-runs", f"{NUMBERS}=1")
    with Burst(server, [f"run {i}" for i in range(60)]) as burst:
        pass
    assert burst.failures == [] and len(burst.done) == 60
    wait_asleep(server)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives its workers users of their own")
def test_workers_that_come_and_go_have_users_of_their_own(start):
    server = begin(start, "0-3", default_user=True)
    for _ in range(3):
        wait_asleep(server)
        with Burst(server, [f"run {i}" for i in range(150)], count=1, pace_ms=20 * SLOWNESS) as burst:
            wait_until(lambda: len(ready_pids(server)) == 3)
            users = [os.stat(f"/proc/{pid}").st_uid for pid in ready_pids(server)]
        assert burst.failures == [] and len(set(users)) == len(users) and 0 not in users
