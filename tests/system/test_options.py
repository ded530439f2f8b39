# SPDX-License-Identifier: MIT
"""Options for one pipeline: [POINTER=]VALUE. Two pipelines on one server that differ in all that is said."""

import os
import shutil
import subprocess
import sys

import pytest

import wire
from confined import needs_python
from server import AS_SERVER, MILLRACE, SLOWNESS, example, wait_until

SMALL, LARGE = "me/small:v1", "me/large:v1"
SURROUNDINGS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pipelines", "surroundings.py")
FOR_EVER = (1_000_000, "x", 10)


def both(start, *options):
    return start(f"{SMALL}={example('numbers.so')}", f"{LARGE}={example('numbers.so')}", options=options)


def sample(server, name, **labels):
    value, = [value for (_, names), value in server.metrics()[name].samples.items() if dict(names) == labels]
    return value


def begun(server, pointer, values=FOR_EVER):
    stream = server.stream(pointer, *values)
    stream.next()
    return stream


def test_workers_slots_and_queues_are_each_pipelines_own(start):
    server = both(start, "--workers", f"{LARGE}=3", "--concurrency", "1", "--concurrency", f"{LARGE}=2",
                  "--queue", f"{SMALL}=0", "--ring", f"{SMALL}=64k")
    assert "(2 pipelines, 4 workers)" in server.ready_line
    assert [len(server.workers(pointer)) for pointer in (SMALL, LARGE)] == [1, 3]
    for pointer, workers, ring in ((SMALL, 1, 64 << 10), (LARGE, 3, 1 << 20)):
        assert sample(server, "millrace_workers", pipeline=pointer, state="ready") == workers
        assert sample(server, "millrace_ring_size_bytes", pipeline=pointer) == ring
    streams = [begun(server, SMALL), *(begun(server, LARGE) for _ in range(6))]
    try:
        assert [worker["active"] for worker in server.workers(LARGE)] == [2, 2, 2]
        assert sample(server, "millrace_runs_active", pipeline=SMALL) == 1
        assert sample(server, "millrace_runs_active", pipeline=LARGE) == 6
        assert server.run(SMALL, 1, "x", 0).status == 429  # no queue
        with server.stream(LARGE, *FOR_EVER):  # which has one
            wait_until(lambda: sample(server, "millrace_queue_depth", pipeline=LARGE) == 1, what="a run that waits")
    finally:
        for stream in streams:
            stream.close()


@pytest.mark.parametrize("options, ended", [
    (["--run-timeout", f"{SMALL}=300ms"], "run_timeout"),
    (["--run-timeout", "300ms", "--run-timeout", f"{LARGE}=0"], "run_timeout"),
    (["--first-chunk-timeout", f"{SMALL}=300ms"], "first_chunk_timeout"),
    (["--queue-timeout", f"{SMALL}=300ms"], "queue_timeout"),
])
def test_times_of_runs_are_each_pipelines_own(start, options, ended):
    """The same happens to both, and one of them has no such limit."""
    server = both(start, *options)
    pace = 1000 * SLOWNESS if ended == "first_chunk_timeout" else 10
    blocked = [begun(server, pointer) for pointer in (SMALL, LARGE)] if ended == "queue_timeout" else []
    with server.stream(LARGE, 100_000, "x", pace) as other:
        assert server.run(SMALL, 100_000, "x", pace).json()["error"]["type"] == "timeout"
        for stream in blocked:
            stream.close()
        assert other.next()["state"] == "running"
    for pointer, count in ((SMALL, 1), (LARGE, 0)):
        assert sample(server, "millrace_run_timeouts", pipeline=pointer, limit=ended) == count


def test_workers_are_replaced_by_the_word_for_their_pipeline(start):
    server = both(start, "--recycle-runs", f"{SMALL}=1", f"--recycle-overlap={SMALL}")
    pids = {pointer: server.workers(pointer)[0]["pid"] for pointer in (SMALL, LARGE)}
    for pointer in (LARGE, SMALL):
        server.lines(pointer, 1, "x", 0)
    server.wait_worker(SMALL, 0, pids[SMALL])
    assert server.workers(LARGE)[0]["pid"] == pids[LARGE]
    assert [line for line in server.log if "worker_replace" in line and SMALL in line]


def test_what_cannot_be_said_is_refused_before_anything_starts():
    for options, line in (
            (["--workers", "me/smal:v1=2"], "--workers: no pipeline me/smal:v1 is served (nearest: me/small:v1)"),
            (["--workers", "you/other:v1=2"], "--workers: no pipeline you/other:v1 is served"),
            (["--queue", f"{SMALL}=1", "--queue", f"{SMALL}=1"], f"--queue is said twice for {SMALL}"),
            (["--run-timeout", f"{SMALL}=soon"], f"{SMALL}: --run-timeout soon is not a time like 500ms, 10s or 2m"),
            (["--devices", "gpu"], "--devices gpu: it is none, auto, a kind (cuda, hip, level-zero, vulkan, opencl, cpu), "),
            (["--devices", f"{SMALL}=vulkan:x0"], f"{SMALL}: --devices vulkan:x0: behind the x is a number from 1 to 256"),
            (["--devices", "0", "--devices", "auto"], "--devices auto: only indexes and UUIDs can be several"),
            (["--devices", "vulkan:x2", "--workers", "3"],
             f"{SMALL}: 3 workers do not fit on its 2 devices: --workers-per-device is 1"),
            (["--devices", "cuda:0,1", "--workers-per-device", "200"],
             f"{SMALL}: 2 devices with 200 workers each are more than 256 workers"),
            (["--workers-per-device", f"{SMALL}=2"],
             f"{SMALL}: --workers-per-device is of pipelines that have --devices, and it has none"),
            ([f"--device-unbound={SMALL}"], f"{SMALL}: --device-unbound is of pipelines that have --devices, and it has none"),
            (["--devices", "auto", "--env", "CUDA_VISIBLE_DEVICES=0"],
             f"{SMALL}: --env CUDA_VISIBLE_DEVICES chooses devices, and --devices does, too"),
            (["--devices", "auto", "--device-env", "A={idx}"],
             "--device-env A: in braces it has something else than {kind}, {index}, {uuid}, {pci}, {cores} or {numa}; "),
            (["--devices", "auto", *(word for i in range(17) for word in ("--device-env", f"A{i}={{index}}"))],
             f"{SMALL}: --device-env: 16 variables at most"),
            ([f"--python-threads={SMALL}"], f"--python-threads is for Python pipelines, and {SMALL} is none"),
            (["--python", f"{SMALL}=python3"], f"--python is for Python pipelines, and {SMALL} is none")):
        result = subprocess.run([MILLRACE, "serve", f"{SMALL}={example('numbers.so')}", *options],
                                capture_output=True, text=True, timeout=30 * SLOWNESS)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith(f"millrace: serve: {line}") and result.stderr.count("\n") == 1


# ---- interpreters ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def environments(tmp_path_factory):
    """Two virtualenvs, each with a module that says which one it is."""
    paths = []
    for name in ("one", "two"):
        folder = tmp_path_factory.mktemp("venv") / name
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60 * SLOWNESS)
        packages, = folder.glob("lib/python*/site-packages")
        (packages / "marker.py").write_text(f"TEXT = {name!r}\n")
        paths.append(str(folder))
    return paths


def look(server, pointer, name="HOME"):
    result = wire.check_line(server.run(pointer, name).body)
    return wire.output_of(result)


@needs_python
@pytest.mark.parametrize("options", [[], ["--allow-read", "none"]])
def test_two_virtualenvs_serve_side_by_side(start, tmp_path, environments, options):
    """Also where workers read nothing but what they need: that follows their interpreter."""
    one, two = environments
    source = shutil.copy(SURROUNDINGS, tmp_path)
    server = start(*(f"me/{name}:v1={source}:graph" for name in ("one", "two", "none")),
                   options=["--python", f"me/one:v1={one}/bin/python", "--python", f"me/two:v1={two}/bin/python",
                            "--python", sys.executable, *options])
    seen = {name: look(server, f"me/{name}:v1") for name in ("one", "two", "none")}
    assert {name: found["marker"] for name, found in seen.items()} == {"one": "one", "two": "two", "none": None}
    assert (seen["one"]["prefix"], seen["two"]["prefix"], seen["none"]["prefix"]) == (one, two, sys.prefix)


@needs_python
def test_an_interpreter_that_is_not_there_is_said():
    result = subprocess.run([MILLRACE, "serve", f"me/a:v1={SURROUNDINGS}", f"me/b:v1={SURROUNDINGS}", *AS_SERVER,
                             "--python", "me/b:v1=/nowhere/python"], capture_output=True, text=True, timeout=30 * SLOWNESS)
    assert result.returncode == 6
    assert "cannot execute the Python interpreter /nowhere/python" in result.stderr
