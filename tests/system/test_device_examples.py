# SPDX-License-Identifier: MIT
"""The examples that compute on devices: what they compute, which device they take, and what becomes of failures."""

import concurrent.futures
import os
import re
import signal

import numpy
import pytest

import stand_ins
import wire
from server import SLOWNESS, example, wait_until

OPENCL = "local/opencl:v1"
TIMEOUT_S = 60 * SLOWNESS

# Four workers compile a kernel each, the first time.
pytestmark = pytest.mark.bounded(120)


def device_of(pid):
    """What the environment of a worker says of its device."""
    with open(f"/proc/{pid}/environ", encoding="utf-8") as file:
        variables = dict(item.split("=", 1) for item in file.read().split("\0") if item)
    return variables["MILLRACE_DEVICE_KIND"], int(variables["MILLRACE_DEVICE_INDEX"])


def values(lines):
    return [wire.output_of(line) for line in lines]


# ---- OpenCL ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opencl(start_shared, tmp_path_factory):
    return start_shared(example("opencl.so"), options=["--devices", "opencl:x4"],
                        environment=stand_ins.pocl(tmp_path_factory.mktemp("cache")))


def mandelbrot(columns, rows, iterations):
    """The same picture, of floats that numpy computes on the CPU."""
    one = numpy.float32
    x = numpy.arange(columns, dtype=one) * (one(3) / one(columns)) - one(2)
    y = one(1.2) - numpy.arange(rows, dtype=one) * (one(2.4) / one(rows))
    x, y = (axis.ravel() for axis in numpy.meshgrid(x, y))
    counts = numpy.zeros(columns * rows, dtype=int)
    inside = numpy.arange(columns * rows)  # points that did not leave yet
    re = im = numpy.zeros(columns * rows, dtype=one)
    for _ in range(iterations):
        stays = re * re + im * im <= one(4)
        inside, x, y, re, im = (each[stays] for each in (inside, x, y, re, im))
        counts[inside] += 1
        re, im = re * re - im * im + x, one(2) * re * im + y
    return counts.reshape(rows, columns).tolist()


def test_each_worker_sees_one_opencl_device_and_has_its_own_number(opencl):
    workers = opencl.workers(OPENCL)
    assert {device_of(worker["pid"]) for worker in workers} == {("opencl", index) for index in range(4)}
    seen = [re.search(r' worker=(\d) .*"OpenCL device 0 of 1: ', line) for line in opencl.log_since(0, '"OpenCL device')]
    assert sorted(match[1] for match in seen) == ["0", "1", "2", "3"]


@pytest.mark.parametrize("columns, rows, iterations", [(1, 1, 1), (63, 40, 200), (64, 3, 1000), (65, 7, 50), (4096, 2, 30)])
def test_what_an_opencl_device_computes_is_what_the_cpu_does(opencl, columns, rows, iterations):
    assert values(opencl.lines(OPENCL, columns, rows, iterations)) == mandelbrot(columns, rows, iterations)


@pytest.mark.parametrize("inputs, reason", [
    ((0, 1, 1), "columns: from 1 to 4096"), ((4097, 1, 1), "columns: from 1 to 4096"),
    ((1, -1, 1), "rows: from 1 to 100000"), ((1, 1, 100001), "iterations: from 1 to 100000")])
def test_a_picture_that_is_too_large_is_an_input_error(opencl, inputs, reason):
    error = wire.result_of(opencl.run(OPENCL, *inputs))["error"]
    assert (error["type"], error["message"]) == ("input_error", f"pipe draw: {reason}")


def test_a_picture_whose_client_leaves_is_not_finished(opencl):
    with opencl.stream(OPENCL, 64, 100000, 100000) as stream:
        run_id = stream.next()["id"]
    assert "state=cancelled" in opencl.wait_run_end(run_id)


def test_a_killed_opencl_worker_costs_its_own_stream_and_the_next_one_has_its_device(opencl):
    size, endless = (64, 200, 20000), (64, 100000, 100000)
    with opencl.stream(OPENCL, *endless) as lost:
        lost.next()
        victim, = [worker for worker in opencl.workers(OPENCL) if worker["active"]]
        device = device_of(victim["pid"])
        others = [opencl.stream(OPENCL, *size) for _ in range(3)]
        firsts = [stream.next() for stream in others]
        mark = opencl.log_mark()
        os.kill(victim["pid"], signal.SIGKILL)
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            rests = list(pool.map(wire.Stream.all, others))
        error = lost.all()[-1]["error"]
    assert error["type"] == "pipeline_error" and "SIGKILL" in error["message"]
    picture = mandelbrot(*size)
    for stream, first, rest in zip(others, firsts, rests):
        assert values([first, *rest]) == picture
        stream.close()
    pid = opencl.wait_worker(OPENCL, victim["index"], victim["pid"], since=mark)
    assert device_of(pid) == device
    wait_until(lambda: {device_of(worker["pid"]) for worker in opencl.workers(OPENCL) if worker["state"] == "ready"} ==
               {("opencl", index) for index in range(4)}, TIMEOUT_S)
    assert values(opencl.lines(OPENCL, 64, 3, 100)) == mandelbrot(64, 3, 100)
