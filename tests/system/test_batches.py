# SPDX-License-Identifier: MIT
"""Batched pipes, in C and in Python: runs that meet at one are a call, and each has what is its own."""

import os
import signal
import threading

import pytest

import wire
from confined import needs_python
from operator_socket import pipeline_state
from server import example, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
MODULE = os.path.join(HERE, "pipelines", "batched.py")
BATCHED, STREAMS = "me/batched:v1", "me/streams:v1"
KINDS = ["c", pytest.param("python", marks=needs_python), pytest.param("asynchronous", marks=needs_python)]


def sources_of(kind, pipelines):
    """What serves both pipelines, and its options."""
    if kind == "c":
        return [f"{BATCHED}={pipelines('batched')}:batched", f"{STREAMS}={pipelines('batched')}:streams"], []
    names = {BATCHED: "later" if kind == "asynchronous" else "batched", STREAMS: "streams"}
    return [f"{pointer}={MODULE}:{name}" for pointer, name in names.items()], ["--python", "/usr/bin/python3"]


@pytest.fixture(scope="module", params=KINDS)
def server(request, start_shared, pipelines):
    sources, options = sources_of(request.param, pipelines)
    return start_shared(*sources, options=[*options, "--batch-max", "8", "--batch-wait", "1ms", "--cancel-grace", "20s"])


@pytest.fixture(params=KINDS)
def serve(request, start, pipelines):
    """serve("--preload", "import") starts a server of its own."""
    sources, options = sources_of(request.param, pipelines)
    return lambda *more, **environment: start(*sources, options=[*options, "--batch-max", "8", *more], **environment)


def wait_active(server, count, pointer=BATCHED):
    wait_until(lambda: sum(worker["active"] for worker in server.workers(pointer)) == count,
               what=f"{count} runs at the worker")


class Held:
    """A call that is made until this is left: runs that come meanwhile meet behind it."""

    def __init__(self, server, pointer=BATCHED):
        self.server, self.pointer = server, pointer
        wait_active(server, 0, pointer)
        mark = server.log_mark()
        self.stream = server.stream(pointer, "hold", 0)
        server.wait_log('text="it is held"', mark)

    def meet(self, *words):
        """Runs with these words, numbered from 0, which wait."""
        streams = []
        active = 1
        for number, word in enumerate(words):
            streams.append(self.server.stream(self.pointer, word, number))
            if word != "bad":  # which may be over at once
                active += 1
                wait_until(lambda: self.active() >= active)  # so that they come in this order
        return streams

    def active(self):
        return sum(worker["active"] for worker in self.server.workers(self.pointer))

    def end(self):
        self.stream.close()


def results_of(streams):
    """The last line of each."""
    results = []
    for stream in streams:
        with stream:
            results.append(stream.all()[-1])
    return results


def value_of(line):
    assert line["error"] is None, line["error"]
    return wire.output_of(line)


def test_runs_that_wait_together_are_one_call(server):
    held = Held(server)
    streams = held.meet(*["none"] * 7)
    held.end()
    values = [value_of(line) for line in results_of(streams)]
    assert [value[0] for value in values] == list(range(7))
    assert {value[1] for value in values} == {7} and len({value[2] for value in values}) == 1


def test_a_bad_run_fails_alone_before_the_call_or_in_it(server):
    held = Held(server)
    streams = held.meet("none", "bad", "none", "fail", "none")
    held.end()
    lines = results_of(streams)
    assert lines[1]["error"]["message"] in ("pipe check: bad before", "ValueError('bad before')")
    assert lines[3]["error"]["message"] in ("pipe tell: one failed", "MemoryError('one failed')")
    for number in (0, 2, 4):
        assert value_of(lines[number])[:2] == [number, 4]


def test_a_call_that_fails_fails_all_of_its_runs_and_no_other(server):
    held = Held(server)
    streams = held.meet("none", "all", "none")
    held.end()
    for line in results_of(streams):
        assert line["error"]["type"] == "cuda_error" and "all 3 failed" in line["error"]["message"]
    assert value_of(results_of([server.stream(BATCHED, "none", 5)])[0])[:2] == [5, 1]


def test_a_run_that_is_cancelled_before_the_call_is_not_in_it(server):
    held = Held(server)
    first, leaving, last = held.meet("none", "none", "none")
    mark = server.log_mark()
    leaving.close()
    server.wait_log(r" run_end .*state=cancelled", mark)
    held.end()
    assert [value_of(line)[:2] for line in results_of([first, last])] == [[0, 2], [2, 2]]


def test_a_run_that_is_cancelled_within_the_call_harms_no_neighbour(server):
    held = Held(server)
    first, leaving, last = held.meet("slow", "log", "none")
    mark = server.log_mark()
    held.end()
    server.wait_log("called for 3", mark)
    leaving.close()
    assert [value_of(line)[:2] for line in results_of([first, last])] == [[0, 3], [2, 3]]
    wait_active(server, 0)


def test_runs_that_leave_at_once_leave_a_pipe_that_works(server):
    for _ in range(20):
        leaving = [server.stream(BATCHED, "hold", 0) for _ in range(3)]
        for stream in leaving:
            stream.close()
    wait_active(server, 0)
    assert value_of(results_of([server.stream(BATCHED, "none", 7)])[0])[0] == 7


def test_each_goes_on_as_a_stream_of_its_own(server):
    held = Held(server, STREAMS)
    streams = held.meet(*["none"] * 6)
    held.end()
    for number, stream in enumerate(streams):
        with stream:
            assert [value_of(line) for line in stream.all()] == [[left, 6] for left in reversed(range(number))]


def test_lines_of_a_call_for_one_run_are_that_run_s_and_of_several_the_worker_s(server):
    mark = server.log_mark()
    line = results_of([server.stream(BATCHED, "log", 1)])[0]
    assert server.wait_log(r'text="called for 1"', mark)
    assert server.log_since(mark, f'run={line["id"]} .*called for 1')
    held = Held(server)
    streams = held.meet("log", "none")
    held.end()
    results_of(streams)
    server.wait_log(r'text="called for 2"', mark)
    assert not server.log_since(mark, "run=run_.*called for 2")


def test_calls_and_their_runs_are_counted(server):
    def counted(end):
        samples = server.metrics()["millrace_batch_runs"].samples
        return sum(value for (name, labels), value in samples.items()
                   if name == end and dict(labels)["pipeline"] == BATCHED)

    results_of([server.stream(BATCHED, "none", 1)])
    calls, runs = counted("_count"), counted("_sum")
    held = Held(server)
    streams = held.meet(*["none"] * 4)
    held.end()
    results_of(streams)
    wait_until(lambda: counted("_sum") == runs + 5)
    assert counted("_count") == calls + 2


def switches_of(pid):
    with open(f"/proc/{pid}/status") as status:
        return sum(int(line.split()[1]) for line in status if "ctxt_switches" in line)


def switches_in(pid, seconds):
    before = switches_of(pid)
    threading.Event().wait(seconds)
    return switches_of(pid) - before


def test_an_idle_worker_does_not_wake_up(server):
    results_of([server.stream(BATCHED, "none", 1)])
    [worker] = server.workers(BATCHED)
    wait_until(lambda: switches_in(worker["pid"], 0.2) == 0, what="the worker's rest")
    assert switches_in(worker["pid"], 1) == 0


def ask_much(server):
    """Many clients at once, each for what is its own."""
    count = 40
    wrong = []

    def ask(client):
        for number in range(client * count, (client + 1) * count):
            value = value_of(results_of([server.stream(BATCHED, "none", number)])[0])
            if value[0] != number or not 1 <= value[1] <= 8:
                wrong.append((number, value))

    threads = [threading.Thread(target=ask, args=[client]) for client in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_many_clients_get_what_is_their_own(server):
    ask_much(server)


@needs_python
def test_they_do_where_runs_have_threads(start):
    server = start(f"{BATCHED}={MODULE}:batched", options=["--python", "/usr/bin/python3", "--python-threads",
                                                           "--batch-max", "8"])
    ask_much(server)
    calls = server.metric(f'millrace_batch_runs_count{{pipeline="{BATCHED}"}}')
    assert calls < server.metric(f'millrace_batch_runs_sum{{pipeline="{BATCHED}"}}')


# ---- a worker's life ---------------------------------------------------------------------------------

def test_runs_that_wait_are_called_for_when_the_server_stops(serve):
    server = serve()
    held = Held(server)
    streams = held.meet("none", "none", "none")
    mark = server.log_mark()
    server.signal(signal.SIGTERM)
    server.wait_log(" draining ", mark)
    held.end()
    assert [value_of(line)[:2] for line in results_of(streams)] == [[0, 3], [1, 3], [2, 3]]
    assert server.wait_exit() == 0


def test_workers_that_are_copies_and_those_that_follow_others_have_batches(serve):
    server = serve("--preload", "startup", "--recycle-runs", "3")
    for number in range(10):
        assert value_of(results_of([server.stream(BATCHED, "none", number)])[0])[:2] == [number, 1]
    assert len(server.log_since(0, " worker_retire ")) >= 3


def test_a_reload_with_other_limits_is_of_other_workers(start, pipelines, tmp_path):
    config = tmp_path / "millrace.yaml"
    text = f"pipelines: {{'{BATCHED}': {{source: '{pipelines('batched')}:batched', batch-max: %d, batch-wait: 3ms}}}}\n"
    config.write_text(text % 2)
    server = start(options=["--config", str(config)])
    [before] = server.workers(BATCHED)
    held = Held(server)
    streams = held.meet("none")
    config.write_text(text % 4)
    mark = server.log_mark()
    server.signal(signal.SIGHUP)
    server.wait_log(" reload_end ", mark)
    held.end()
    assert value_of(results_of(streams)[0])[:2] == [0, 1]
    wait_until(lambda: server.workers(BATCHED)[0]["pid"] != before["pid"])
    held = Held(server)
    streams = held.meet("none", "none", "none")  # more than there was room for
    held.end()
    assert {value_of(line)[1] for line in results_of(streams)} == {3}


# ---- what is said of it ------------------------------------------------------------------------------

def test_options_of_batches_for_a_pipeline_without_any_are_doubted(start):
    server = start(example("words.so"), options=["--batch-wait", "5ms"])
    server.wait_log("this pipeline has none")


@pytest.mark.parametrize("options, doubt", [
    ([], "a worker has one run at once"), (["--concurrency", "4", "--batch-max", "8"], "--concurrency is less than"),
    (["--batch-max", "4"], None), (["--concurrency", "4"], None)])
def test_batches_that_can_never_be_full_are_doubted(start, pipelines, options, doubt):
    server = start(f"{BATCHED}={pipelines('batched')}:batched", options=options)
    assert value_of(results_of([server.stream(BATCHED, "none", 1)])[0])[:2] == [1, 1]
    doubts = server.log_since(0, "stream=log .*batch")
    assert doubt in doubts[0] if doubt else not doubts


def test_those_of_all_pipelines_are_for_those_that_have_batched_pipes(start, pipelines):
    server = start(f"{BATCHED}={pipelines('batched')}:batched", f"me/words:v1={example('words.so')}",
                   options=["--batch-max", "4"])
    server.lines("me/words:v1", "a b")
    assert not server.log_since(0, "stream=log .*batch")


def test_a_file_says_both_in_one(start, pipelines, tmp_path):
    file = tmp_path / "millrace.yaml"
    file.write_text(f"pipelines:\n  {BATCHED}:\n    source: {pipelines('batched')}:batched\n"
                    "    batch: {max: 3, wait: 5ms}\n")
    server = start(options=["--config", str(file)])
    assert [worker["slots"] for worker in pipeline_state(server, BATCHED)["workers"]] == [3]
    with open(f"/proc/{server.workers(BATCHED)[0]['pid']}/cmdline", encoding="utf-8") as command:
        assert "5" in command.read().split("\0")
