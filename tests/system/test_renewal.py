# SPDX-License-Identifier: MIT
"""SIGUSR2: new code is served by workers that follow the old ones, one by one, and no run is lost."""

import contextlib
import os
import re
import resource
import signal
import threading
import time

import pytest

import exposition
import wire
from confined import needs_python
from conftest import compile_c
from server import SLOWNESS, TOP, process_exists, wait_until

EDITION = "test/edition:v1"
OTHER = "test/other:v1"
SOURCE = os.path.join(TOP, "tests/system/pipelines/edition.c")

PYTHON = '''
from pipeline import Pipeline, Variable, pipe
from pipeline.objects.graph import Stream
{first}

@pipe
def publish(count: int, pause_ms: int) -> Stream[int]:
    return Stream(iter([{edition}] * count))

with Pipeline() as builder:
    count, pause_ms = Variable(int), Variable(int)
    builder.output(publish(count, pause_ms))

edition = builder.get_pipeline()
'''


@pytest.fixture
def publish(tmp_path):
    """publish(2) puts the second edition in the place of the one that is served, and is its path."""
    def published(edition, *options, name="edition.so"):
        compile_c(SOURCE, tmp_path / "next", "-shared", "-fPIC", f"-DEDITION={edition}", *options)
        os.rename(tmp_path / "next", tmp_path / name)
        return tmp_path / name

    return published


class Load:
    """Streams without a pause, a few at once; what they answered, and what went wrong."""

    def __init__(self, server, *values, pointer=EDITION, at_once=3):
        self.editions, self.failures, self._end = [], [], threading.Event()
        self._ask = lambda: server.lines(pointer, *values)
        self._threads = [threading.Thread(target=self._run) for _ in range(at_once)]

    def _run(self):
        while not self._end.is_set():
            try:
                self.editions += [[wire.output_of(line) for line in self._ask()]]
            except Exception as error:  # pylint: disable=broad-except
                self.failures.append(error)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        wait_until(lambda: len(self.editions) > 3)
        return self

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join()


def edition_now(server, pointer=EDITION):
    return [wire.output_of(line) for line in server.lines(pointer, 1, 0)]


def wait_renewed(server, since=0):
    match = server.wait_log(r" info renewal_end replaced=(\d+) ms=\d+$", since, 30 * SLOWNESS)
    return int(match[1])


def pids(server, pointer=EDITION):
    return {worker["pid"] for worker in server.workers(pointer)}


@pytest.mark.parametrize("options", [[], ["--recycle-overlap", "--recycle-runs", "1000000"]])
def test_new_code_is_served_without_a_lost_run(start, publish, options):
    server = start(f"{EDITION}={publish(1)}:edition",
                   options=["--workers", "2", "--concurrency", "2", "--queue", "100", *options])
    old = pids(server)
    with Load(server, 3, 5) as load:
        publish(2)
        server.signal(signal.SIGUSR2)
        assert wait_renewed(server) == 2
        count = len(load.editions)
        wait_until(lambda: len(load.editions) > count + 12)
        late = load.editions[count + 9:]
    assert load.failures == []
    assert late and all(edition == [2, 2, 2] for edition in late)
    # A run is of one edition, and began on a process that finished it.
    assert all(len(edition) == 3 and len(set(edition)) == 1 for edition in load.editions)
    assert not pids(server) & old and len(pids(server)) == 2
    assert not any(process_exists(pid) for pid in old)
    assert server.metric(f'millrace_worker_restarts_total{{pipeline="{EDITION}",cause="renewed"}}') == 2
    assert server.metric("millrace_worker_kills_total") == 0
    assert max_processes(server) == 3


def max_processes(server):
    """How many workers there were at once, by the log."""
    now = most = 0
    for line in server.log:
        now += " worker_ready " in line
        most = max(most, now)
        now -= " worker_exit " in line
    return most


@needs_python
def test_an_edited_python_file_is_served_without_a_lost_run(start, tmp_path):
    source = tmp_path / "edition.py"
    source.write_text(PYTHON.format(edition=1, first=""))
    server = start(f"{EDITION}={source}:edition", options=["--concurrency", "2", "--queue", "100"])
    with Load(server, 2, 0) as load:
        source.write_text(PYTHON.format(edition=22, first=""))
        server.signal(signal.SIGUSR2)
        assert wait_renewed(server) == 1
    assert load.failures == []
    assert edition_now(server) == [22]
    # What does not load is not served, and the worker that does goes on.
    mark = server.log_mark()
    with Load(server, 2, 0) as load:
        source.write_text(PYTHON.format(edition=3, first="import nothing_of_that_name"))
        server.signal(signal.SIGUSR2)
        server.wait_log(rf" error renewal_failed pipeline={EDITION} replaced=0 left=1 reason=", mark)
    assert load.failures == [] and edition_now(server) == [22]


@pytest.mark.parametrize("options, reason", [
    (["-DBROKEN"], "edition 2 has no press"),
    (["-DHANGING"], "it was not ready in time"),
])
def test_code_that_does_not_start_leaves_the_old_one_serving(start, publish, options, reason):
    server = start(f"{EDITION}={publish(1)}:edition", options=["--workers", "3", "--queue", "100",
                                                               "--start-timeout", f"{1 * SLOWNESS}s"])
    old = pids(server)
    with Load(server, 2, 5) as load:
        publish(2, *options)
        server.signal(signal.SIGUSR2)
        line = server.wait_log(rf" error renewal_failed pipeline={EDITION} replaced=0 left=3 reason=.*")[0]
        assert reason in line
        wait_until(lambda: server.metric('millrace_workers{pipeline="%s",state="ready"}' % EDITION) == 3)
    assert load.failures == [] and {edition for run in load.editions for edition in run} == {1}
    assert pids(server) == old
    # Nothing tries again by itself; the next signal does, and what was mended is served.
    starts = len(server.log_since(0, " worker_(ready|exit|kill) "))
    time.sleep(0.5)
    assert len(server.log_since(0, " worker_(ready|exit|kill) ")) == starts
    publish(3)
    server.signal(signal.SIGUSR2)
    assert wait_renewed(server) == 3
    assert edition_now(server) == [3]


def test_without_descriptors_for_one_more_the_old_ones_stay(start, publish):
    server = start(f"{EDITION}={publish(1)}:edition", options=["--workers", "2"])
    pid, old = server.process.pid, pids(server)
    publish(2)
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")), before[1]))
    server.signal(signal.SIGUSR2)
    reason = server.wait_log(rf" error renewal_failed pipeline={EDITION} replaced=0 left=2 reason=(.*)$")[1]
    assert "Too many open files" in reason
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    assert edition_now(server) == [1] and pids(server) == old
    server.signal(signal.SIGUSR2)
    assert wait_renewed(server) == 2
    assert edition_now(server) == [2]


def test_a_run_on_a_worker_that_is_replaced_goes_on_there(start, publish):
    server = start(f"{EDITION}={publish(1)}:edition")
    with server.stream(EDITION, 100, 10) as long:
        long.next()
        publish(2)
        server.signal(signal.SIGUSR2)
        server.wait_log(" worker_retire ")
        assert edition_now(server) == [2]
        assert sorted((worker["index"], worker["state"]) for worker in server.workers(EDITION)) == [
            (0, "ready"), (0, "retiring")]
        # Both have one number, and a series is there once.
        exposition.parse(server.get("/metrics").body)
        assert server.metric(f'millrace_ring_used_bytes{{pipeline="{EDITION}",worker="0"}}') >= 0
        assert {wire.output_of(line) for line in long} == {1}
    assert wait_renewed(server) == 1


def test_a_second_signal_replaces_also_what_the_first_one_started(start, publish):
    server = start(f"{EDITION}={publish(1)}:edition", options=["--workers", "2"])
    with server.stream(EDITION, 1_000_000, 10) as long:
        long.next()
        publish(2)
        server.signal(signal.SIGUSR2)
        server.wait_log(" worker_retire ")
        publish(3)
        server.signal(signal.SIGUSR2)
        wait_until(lambda: len(server.log_since(0, " renewal_begin ")) == 2)
    wait_renewed(server)
    assert len(server.log_since(0, " renewal_end ")) == 1
    for _ in range(10):
        assert edition_now(server) == [3]


def test_pipelines_are_renewed_one_after_the_other(start, publish):
    server = start(f"{EDITION}={publish(1)}:edition", f"{OTHER}={publish(1, name='other.so')}:edition",
                   options=["--workers", "2"])
    publish(2)
    publish(2, name="other.so")
    server.signal(signal.SIGUSR2)
    assert wait_renewed(server) == 4
    assert edition_now(server) == edition_now(server, OTHER) == [2]
    assert max_processes(server) == 5
    order = [re.search(r"pipeline=(\S+)", line)[1] for line in server.log_since(0, " worker_replace ")]
    assert order == [EDITION, EDITION, OTHER, OTHER]


def test_a_worker_that_dies_meanwhile_is_followed_by_new_code(start, publish):
    server = start(f"{EDITION}={publish(1)}:edition", options=["--workers", "2"])
    with server.stream(EDITION, 1_000_000, 10) as long:
        long.next()
        old = pids(server)
        publish(2)
        server.signal(signal.SIGUSR2)
        server.wait_log(" worker_retire ")
        for pid in old:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    wait_renewed(server)
    assert not pids(server) & old
    for _ in range(5):
        assert edition_now(server) == [2]


def test_a_server_that_stops_meanwhile_stops_as_usual(start, publish):
    server = start(f"{EDITION}={publish(1)}:edition", options=["--workers", "2"])
    publish(2, "-DHANGING")
    with server.stream(EDITION, 200, 10) as stream:
        stream.next()
        server.signal(signal.SIGUSR2)
        server.wait_log(" worker_replace ")
        server.signal(signal.SIGTERM)
        server.wait_log(" draining ")
        server.signal(signal.SIGUSR2)
        server.wait_log(' name=SIGUSR2 reason="ignored: the server stops"')
        assert len(list(stream)) == 199
        assert server.wait_exit() == 0
    server.wait_log(" stopped code=0")
    assert len(server.log_since(0, " renewal_")) == 1
