# SPDX-License-Identifier: MIT
"""The examples that compute on devices: what they compute, which device they take, and what becomes of failures."""

import concurrent.futures
import os
import re
import signal
import subprocess

import numpy
import pytest

import stand_ins
import wire
from confined import needs_python
from server import SLOWNESS, TOP, example, wait_until

OPENCL, CUDA, ROD = "local/opencl:v1", "local/cuda:v1", "local/rod:v1"
TORCH_DEVICE = os.path.join(TOP, "docs/examples/python/torch_device.py:rod")
TORCH_ENGINE = os.path.join(TOP, "docs/examples/python/torch_engine.py:rods")
RODS = "local/rods:v1"
PYTHON = "/usr/bin/python3"
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
        # One that the test before has left may still be ending.
        wait_until(lambda: sum(bool(worker["active"]) for worker in opencl.workers(OPENCL)) == 1)
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


@pytest.fixture
def many(start, tmp_path):
    """many(DEVICES, OPTION...) is a server of the example whose library shows all of so many devices to each worker."""
    def serve(devices, *options, **variables):
        return start(example("opencl.so"), options=options, environment=stand_ins.opencl(tmp_path, devices, **variables))

    return serve


def test_of_several_opencl_devices_a_worker_takes_that_of_its_number(many):
    server = many(3, "--devices", "opencl:x3")
    for number in range(3):
        server.wait_log(rf' worker={number} .*"OpenCL device {number} of 3: Fake {number}"')
    streams = [server.stream(OPENCL, 2, 100000, 1) for _ in range(3)]
    assert sorted(wire.output_of(stream.next()) for stream in streams) == [[0, 0], [1, 1], [2, 2]]
    for stream in streams:
        stream.close()


def test_the_only_opencl_device_is_taken_whatever_the_number_and_without_a_number_the_first(many):
    alone = many(1, "--devices", "opencl:x2")
    alone.wait_log(' worker=1 .*"OpenCL device 0 of 1: Fake 0"')
    unbound = many(3, "--workers", "1")
    unbound.wait_log('"OpenCL device 0 of 3: Fake 0"')


@pytest.mark.parametrize("number, error", [(-4, "cuda_oom"), (-5, "cuda_error"), (-6, "oom"), (-36, "cuda_error")])
def test_an_error_of_an_opencl_device_is_told_with_its_number(many, number, error):
    told, = many(1, "--devices", "opencl:x1", OCL_FAKE_RUN=str(number)).lines(OPENCL, 2, 2, 1)
    assert (told["error"]["type"], told["error"]["message"]) == (error, f"pipe draw: row 0: OpenCL error {number}")


def test_a_worker_for_whose_number_there_is_no_opencl_device_says_so_and_the_others_serve(many):
    server = many(2, "--devices", "opencl:x3")
    server.wait_log(' pipeline_failed .* worker=2 .*"startup hook 1: no OpenCL device 2: 2 are seen"')
    assert values(server.lines(OPENCL, 1, 1, 1)) in ([[0]], [[1]])


def test_a_kernel_that_does_not_compile_is_a_startup_error_with_the_reason_in_the_log(many):
    server = many(1, "--devices", "opencl:x1", OCL_FAKE_BUILD="-11")
    error = server.run(OPENCL, 1, 1, 1).json()["error"]
    assert (error["type"], error["message"]) == (
        "startup_error", "startup hook 1: the device cannot be used: OpenCL error -11")
    server.wait_log('"the kernel does not compile: it is not to compile"')


# ---- CUDA ------------------------------------------------------------------------------------------


@pytest.fixture
def cuda(start, tmp_path):
    """cuda(OPTION...) is a server of the example with two GPUs that are not there."""
    def serve(*options, **more):
        variables = {**stand_ins.cuda(tmp_path, gpus=2), **more}
        return start(example("cuda.so"), options=[*(options or ["--devices", "cuda"])], environment=variables)

    return serve


def uuid_of(gpu):
    return f"GPU-{gpu:08x}-0000-0000-0000-000000000000"


def multiples(x, a, times):
    return [[a * time * item for item in x] for time in range(1, times + 1)]


X = [1, 2.5, -3, 0, 1 << 40]


def test_each_cuda_worker_has_a_gpu_of_its_own_and_computes_exactly(cuda):
    server = cuda()
    assert {device_of(worker["pid"]) for worker in server.workers(CUDA)} == {("cuda", 0), ("cuda", 1)}
    wait_until(lambda: len(server.log_since(0, '"CUDA device 0 of this worker: Fake GPU 0"')) == 2)
    for x in (X, [0.25], list(range(-300, 300))):
        assert values(server.lines(CUDA, x, 0.5, 7)) == multiples(x, 0.5, 7)
    with server.stream(CUDA, X, 2.0, 500) as first, server.stream(CUDA, X, -4.0, 500) as second:
        assert values(second.all()) == multiples(X, -4.0, 500)
        assert values(first.all()) == multiples(X, 2.0, 500)


@pytest.mark.parametrize("inputs, reason", [
    (([], 1.0, 1), "x: from 1 to 1048576 numbers"), (([1, 2, "x"], 1.0, 1), "x: item 2 is no number"),
    (([1], 1.0, 0), "times: from 1 to 1000000"), (([1], 1.0, 1000001), "times: from 1 to 1000000")])
def test_what_is_no_vector_is_an_input_error(cuda, inputs, reason):
    error = wire.result_of(cuda().run(CUDA, *inputs))["error"]
    assert (error["type"], error["message"]) == ("input_error", f"pipe add_up: {reason}")


def test_memory_of_a_gpu_is_given_back_by_runs_that_end_and_that_are_left(cuda):
    server = cuda("--devices", "cuda:0")
    x = [1] * 60000  # two of these are nearly all there is
    for _ in range(3):
        with server.stream(CUDA, x, 1.0, 1000000) as stream:
            run_id = stream.next()["id"]
        assert "state=cancelled" in server.wait_run_end(run_id)
        assert values(server.lines(CUDA, x, 1.0, 2)) == multiples(x, 1.0, 2)


def test_memory_of_a_gpu_that_is_used_up_is_cuda_oom_by_the_name_of_the_driver(cuda, tmp_path):
    server = cuda("--devices", "cuda:1")
    (tmp_path / "full").write_text(uuid_of(1))
    error = wire.result_of(server.run(CUDA, X, 1.0, 1))["error"]
    assert (error["type"], error["message"]) == ("cuda_oom", "pipe add_up: CUDA_ERROR_OUT_OF_MEMORY (2)")
    (tmp_path / "full").unlink()
    assert values(server.lines(CUDA, X, 1.0, 2)) == multiples(X, 1.0, 2)


def test_a_kernel_that_crashes_in_mid_stream_is_cuda_error_and_the_next_worker_has_the_gpu(cuda, tmp_path):
    server = cuda("--devices", "cuda:1")
    before, = server.workers(CUDA)
    with server.stream(CUDA, X, 1.0, 1000000) as stream:
        stream.next()
        (tmp_path / "broken").write_text(uuid_of(1))
        error = stream.all()[-1]["error"]
    assert (error["type"], error["message"]) == ("cuda_error", "pipe add_up: CUDA_ERROR_ILLEGAL_ADDRESS (700)")
    (tmp_path / "broken").unlink()
    assert device_of(server.wait_worker(CUDA, 0, before["pid"])) == ("cuda", 1)
    assert values(server.lines(CUDA, X, 1.0, 2)) == multiples(X, 1.0, 2)


def startup_error_of(server):
    error = server.run(CUDA, X, 1.0, 1).json()["error"]
    assert error["type"] == "startup_error"
    return error["message"]


def test_without_a_driver_or_without_a_gpu_the_start_says_so(cuda, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "libcuda.so.1").touch()
    assert startup_error_of(cuda("--workers", "1", LD_LIBRARY_PATH=str(empty))) == (
        "startup hook 1: no CUDA: libcuda.so.1: file too short")
    assert startup_error_of(cuda("--devices", "none")) == "startup hook 1: no GPU: CUDA_ERROR_NO_DEVICE (100)"


# ---- torch -----------------------------------------------------------------------------------------


@pytest.fixture
def rod(start):
    """rod(VARIABLES, OPTION...) is a server of the example."""
    def serve(variables, *options):
        return start(TORCH_DEVICE, options=["--python", PYTHON, *options], environment=variables)

    return serve


@pytest.fixture
def gpus(tmp_path):
    """Variables of a machine that has two GPUs, and torch."""
    return {**stand_ins.cuda(tmp_path, gpus=2), **stand_ins.torch(tmp_path)}


HEAT = [0, 0, 0, 16, 0, 0, 0, 0]
SPREAD = [[0, 0, 4, 8, 4, 0, 0, 0], [0, 1, 4, 6, 4, 1, 0, 0], [0.25, 1.5, 3.75, 5, 3.75, 1.5, 0.25, 0]]


@needs_python
def test_torch_computes_on_the_gpu_of_its_worker(rod, gpus):
    server = rod(gpus, "--devices", "auto")
    assert {device_of(worker["pid"]) for worker in server.workers(ROD)} == {("cuda", 0), ("cuda", 1)}
    for index in range(2):
        server.wait_log(f'"computes on cuda; the worker has cuda {index}"')
    assert values(server.lines(ROD, HEAT, 3)) == SPREAD


@needs_python
def test_torch_computes_on_the_cpu_where_there_is_no_gpu(rod, gpus):
    server = rod(gpus, "--devices", "none")
    server.wait_log('"computes on cpu; the worker has no device"')
    assert values(server.lines(ROD, HEAT, 3)) == SPREAD
    error = wire.result_of(server.run(ROD, HEAT[1:], 3))["error"]
    assert error["type"] == "input_error" and "heat must be 8 numbers" in error["message"]


@needs_python
def test_torch_that_has_no_memory_on_its_gpu_is_cuda_oom(rod, gpus):
    server = rod(gpus, "--devices", "auto", "--env", "TORCH_FULL=1")
    error = wire.result_of(server.run(ROD, HEAT, 3))["error"]
    assert error["type"] == "cuda_oom" and "CUDA out of memory. Tried to allocate" in error["message"]


@needs_python
@pytest.mark.parametrize("devices, place", [("auto", "cuda"), ("none", "cpu")])
def test_an_engine_on_torch_computes_the_rods_of_all_runs_at_once(start, gpus, devices, place):
    server = start(TORCH_ENGINE, options=["--python", PYTHON, "--concurrency", "64", "--devices", devices],
                   environment=gpus)
    server.wait_log(f'"computes on {place}"')
    streams = [server.stream(RODS, HEAT, steps) for steps in range(1, 41)]
    for steps, stream in enumerate(streams, 1):
        with stream:
            rows = values(stream.all())
        assert len(rows) == steps and rows[:3] == SPREAD[:steps]
    error = wire.result_of(server.run(RODS, HEAT[1:], 3))["error"]
    assert error["type"] == "input_error" and "heat must be 8 numbers" in error["message"]
    assert wire.result_of(server.run(RODS, HEAT, 0))["error"] is None


@needs_python
def test_an_engine_on_torch_that_has_no_memory_on_its_gpu_is_cuda_oom(start, gpus):
    server = start(TORCH_ENGINE, options=["--python", PYTHON, "--concurrency", "8", "--devices", "auto", "--env",
                                          "TORCH_FULL=1"], environment=gpus)
    error = wire.result_of(server.run(RODS, HEAT, 3))["error"]
    assert error["type"] == "cuda_oom"


@needs_python
def test_the_real_torch_computes_the_same(rod):
    if subprocess.run([PYTHON, "-c", "import torch"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        pytest.skip("there is no torch: python3-torch is large, and not installed for tests")
    server = rod({}, "--devices", "none")
    server.wait_log('"computes on cpu; the worker has no device"')
    assert values(server.lines(ROD, HEAT, 3)) == SPREAD


@needs_python
def test_an_engine_on_the_real_torch_computes_the_same(start):
    if subprocess.run([PYTHON, "-c", "import torch"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        pytest.skip("there is no torch: python3-torch is large, and not installed for tests")
    server = start(TORCH_ENGINE, options=["--python", PYTHON, "--concurrency", "8", "--devices", "none"])
    assert values(server.lines(RODS, HEAT, 3)) == SPREAD
