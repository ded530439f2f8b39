# SPDX-License-Identifier: MIT
"""The steps of engines in the metrics: counted by the worker, whatever becomes of it, or comes from it."""

import os
import signal

import exposition
import wire
from server import example, wait_until

ENGINE = "local/engine:v1"
MISCOUNTS = "local/miscounts:v1"
NUMBERS = "local/numbers:v1"
DURATION, VALUES = "millrace_step_duration_seconds", "millrace_step_values"


def run_engine(server, count, ms=0):
    """A run alone: each of its values is one of a step of its own."""
    with wire.Stream(server.connect(), wire.run_body(ENGINE, ["none", count, -1, ms])) as stream:
        lines = stream.all()
    assert len(lines) == count
    return lines


def replace_worker(server, pointer):
    [worker] = server.workers(pointer)
    mark = server.log_mark()
    os.kill(worker["pid"], signal.SIGKILL)
    server.wait_worker(pointer, worker["index"], worker["pid"], mark)


def samples_of(server, family, pointer):
    """By the end of the name, or the bound of a bucket."""
    samples = server.metrics()[family].samples
    return {end if end != "_bucket" else dict(labels)["le"]: value for (end, labels), value in samples.items()
            if dict(labels)["pipeline"] == pointer}


def wait_counted(server, count):
    """So many steps with a value are counted: what a client has read its worker may be about to count."""
    def is_counted():
        values = samples_of(server, VALUES, ENGINE) if VALUES in server.metrics() else {"0.0": 0, "1.0": 0}
        return values["1.0"] - values["0.0"] == count
    wait_until(is_counted)
    assert samples_of(server, VALUES, ENGINE)["_sum"] == count


def test_each_step_is_counted_by_its_time_and_by_its_values(start, pipelines):
    server = start(pipelines("engine"), options=["--concurrency", "4"])
    run_engine(server, 20, ms=7)
    wait_counted(server, 20)
    times, values = (samples_of(server, family, ENGINE) for family in (DURATION, VALUES))
    # A step without anything to do may come before the first value, or behind the last.
    assert 20 <= times["_count"] <= 24
    assert values["_count"] == times["_count"] and values["_sum"] == 20
    assert values["0.0"] == values["_count"] - 20 and values["1.0"] == values["_count"]
    assert times["_sum"] >= 20 * 0.007
    assert times["0.0064"] == times["_count"] - 20, "a step took no less than 7 ms"


def test_a_pipeline_without_steps_has_no_such_figures(start, pipelines):
    server = start(pipelines("engine"), example("numbers.so"))
    server.lines(NUMBERS, 3, "x", 0)
    assert DURATION not in server.metrics()
    run_engine(server, 1)
    wait_until(lambda: DURATION in server.metrics())
    assert {dict(labels)["pipeline"] for _, labels in server.metrics()[DURATION].samples} == {ENGINE}


def test_the_steps_of_a_worker_that_ended_stay_counted(start, pipelines):
    server = start(pipelines("engine"))
    for round_number in range(1, 4):
        run_engine(server, 50)
        wait_counted(server, 50 * round_number)
        replace_worker(server, ENGINE)
        wait_counted(server, 50 * round_number)
        assert samples_of(server, DURATION, ENGINE)["_count"] >= 50 * round_number


def test_they_stay_counted_when_another_configuration_is_served(start, pipelines, tmp_path):
    config = tmp_path / "millrace.yaml"
    text = f"pipelines: {{{ENGINE}: {{source: {pipelines('engine')}, concurrency: %d}}}}\n"
    config.write_text(text % 4)
    server = start(options=["--config", str(config)])
    run_engine(server, 50)
    wait_counted(server, 50)
    [worker] = server.workers(ENGINE)
    config.write_text(text % 8)
    mark = server.log_mark()
    server.signal(signal.SIGHUP)
    server.wait_log(" reload_end ", mark)
    wait_until(lambda: [w["pid"] for w in server.workers(ENGINE)] != [worker["pid"]])
    run_engine(server, 50)
    wait_counted(server, 100)


def test_a_worker_that_writes_other_counts_spoils_those_of_its_pipeline_alone(start, pipelines):
    server = start(pipelines("engine"), pipelines("miscounts"))
    run_engine(server, 10)
    wait_counted(server, 10)
    before = samples_of(server, VALUES, ENGINE)
    last = {family: {} for family in (DURATION, VALUES)}
    for byte in (1, 255, 0, 128, 3, 255):
        assert wire.result_of(server.run(MISCOUNTS, byte))["outputs"][0]["value"] == [byte]
        for family, values in last.items():
            now = samples_of(server, family, MISCOUNTS)
            assert all(now[name] >= value for name, value in values.items()), (family, byte)
            assert all(value < 2 ** 64 for value in now.values())
            last[family] = now
        if byte == 0:
            replace_worker(server, MISCOUNTS)
    assert samples_of(server, VALUES, ENGINE) == before
    exposition.check_tally(server.metrics())
