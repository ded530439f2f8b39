# SPDX-License-Identifier: MIT
"""A real GPU, by the driver alone: which one a worker sees, what it computes, and what failures cost."""

import concurrent.futures
import os
import re
import signal
import time

import pytest

import nvidia
import wire
from asking import TIMEOUT_S, last, outputs, stream
from conftest import PRELOADS
from server import example, process_exists, wait_until

GPU, CUDA = "local/gpu:v1", "local/cuda:v1"
TURNS = int(os.environ.get("TURNS", "20"))
# What two readings of used memory may differ by, where nothing of ours is left.
SLACK_MIB = 64
X = [1, 2.5, -3, 0, 1 << 40]

pytestmark = pytest.mark.bounded(180)


@pytest.fixture
def serve(start, gpu):
    """serve(OPTION...) is a server whose workers do what gpu.c can; each of them has the first device."""
    def served(*options, devices="cuda:0", source=None):
        source = source or f"{GPU}={gpu.pipeline}"
        server = start(source, options=["--devices", devices, "--log-level", "debug", *options], environment=gpu.variables)
        wait_until(lambda: all(worker["state"] == "ready" for worker in server.workers(source.split("=")[0])), TIMEOUT_S)
        return server

    return served


def act(server, what):
    """What the pipeline says when it has done that, or the error."""
    return last(server, GPU, what)


def wait_next(server, pointer, worker, mark):
    """The process that takes the place of this worker. A driver takes its time with what a killed one leaves."""
    pattern = rf" worker_ready pipeline={re.escape(pointer)} worker={worker['index']} pid=(?!{worker['pid']} )(\d+)"
    return int(server.wait_log(pattern, mark, timeout_s=TIMEOUT_S)[1])


def digits(uuid):
    return re.sub("[^0-9a-f]", "", uuid.removeprefix("GPU-").removeprefix("MIG-"))


def multiples(x, a, times):
    return [[a * time * item for item in x] for time in range(1, times + 1)]


def values(lines):
    return [wire.output_of(line) for line in lines]


# ---- what there is -----------------------------------------------------------------------------------


def test_what_is_listed_is_what_nvml_says(gpu):
    whole = {device["uuid"]: device for device in gpu.devices if device["parent"] is None}
    expected = [index for index in range(gpu.nvml.count()) if not gpu.nvml.is_sliced(gpu.nvml.device(index))]
    assert len(whole) == len(expected)
    for index in expected:
        facts = gpu.nvml.facts(index)
        listed = whole[facts["uuid"]]
        assert listed["name"] == "".join(letter if letter.isprintable() else "?" for letter in facts["name"])
        assert (listed["pci"], listed["memory_bytes"]) == (facts["pci"], facts["memory_bytes"])
        assert f"/dev/nvidia{facts['minor']}" in listed["nodes"]
    for listed in gpu.devices:
        memory = gpu.nvml.memory(listed["uuid"])
        assert listed["memory_bytes"] == memory.total
        assert abs(listed["memory_free_bytes"] - memory.free) >> 20 <= SLACK_MIB


def test_what_is_listed_is_what_nvidia_smi_says(gpu):
    told = nvidia.told_by_smi()
    if told is None:
        pytest.skip("there is no nvidia-smi")
    for listed in gpu.devices:
        if listed["parent"] is None:
            facts = told[listed["uuid"]]
            assert (listed["name"], listed["pci"]) == (facts["name"], facts["pci"])
            assert abs((listed["memory_bytes"] >> 20) - facts["memory_mib"]) <= 1
            assert f"/dev/nvidia{facts['minor']}" in listed["nodes"]


def test_each_worker_sees_its_own_device_alone(serve, gpu):
    server = serve(devices="cuda")
    seen, workers = {}, {worker["pid"] for worker in server.workers(GPU)}

    def ask_at_once():
        opened = [stream(server, GPU, "facts") for _ in workers]
        for one in opened:
            facts, = values(one.all())
            seen[facts["pid"]] = facts
            one.close()
        return set(seen) == workers

    wait_until(ask_at_once, TIMEOUT_S, "an answer of each worker")
    assert {facts["uuid"] for facts in seen.values()} == {digits(device["uuid"]) for device in gpu.devices}
    for pid, facts in seen.items():
        with open(f"/proc/{pid}/environ", encoding="utf-8") as file:
            variables = dict(item.split("=", 1) for item in file.read().split("\0") if item)
        assert variables["CUDA_VISIBLE_DEVICES"] == variables["MILLRACE_DEVICE_UUID"]
        assert (facts["count"], facts["uuid"]) == (1, digits(variables["MILLRACE_DEVICE_UUID"]))


def test_a_worker_without_a_device_sees_none(start, gpu):
    server = start(f"{GPU}={gpu.pipeline}", options=["--devices", "none"], environment=gpu.variables)
    error = server.run(GPU, "facts").json()["error"]
    assert error["type"] == "startup_error" and "CUDA_ERROR_NO_DEVICE (100)" in error["message"]


# ---- what it computes --------------------------------------------------------------------------------


def test_the_sums_of_the_example_are_exact(serve):
    server = serve(source=f"{CUDA}={example('cuda.so')}")
    for x in (X, [0.25], list(range(-300, 300))):
        assert outputs(server, CUDA, x, 0.5, 7) == multiples(x, 0.5, 7)


def test_four_workers_on_one_device_compute_at_once_and_one_that_is_killed_costs_its_own_stream(serve, gpu):
    server = serve("--workers-per-device", "4", source=f"{CUDA}={example('cuda.so')}")
    assert len(server.workers(CUDA)) == 4
    with stream(server, CUDA, X, 1.0, 1000000) as lost:
        lost.next()
        victim, = [worker for worker in server.workers(CUDA) if worker["active"]]
        others = [stream(server, CUDA, X, float(number), 2000) for number in range(3)]
        firsts = [other.next() for other in others]
        mark = server.log_mark()
        os.kill(victim["pid"], signal.SIGKILL)
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            rests = list(pool.map(wire.Stream.all, others))
        error = lost.all()[-1]["error"]
    assert error["type"] == "pipeline_error" and "SIGKILL" in error["message"]
    for number, (other, first, rest) in enumerate(zip(others, firsts, rests)):
        assert values([first, *rest]) == multiples(X, float(number), 2000)
        other.close()
    wait_next(server, CUDA, victim, mark)
    assert {device["uuid"] for device in server.pipeline(CUDA)["devices"]} == {gpu.uuid}
    assert outputs(server, CUDA, X, 2.0, 2) == multiples(X, 2.0, 2)


# ---- what fails --------------------------------------------------------------------------------------


def test_a_poisoned_context_costs_one_run_and_the_device_is_probed_before_the_next(serve, figure):
    server = serve()
    pids, began_s = set(), time.monotonic()
    for turn in range(TURNS):
        before = act(server, "facts")
        mark = server.log_mark()
        error = act(server, "crash")
        assert error["type"] == "cuda_error" and error["message"].endswith("CUDA_ERROR_ILLEGAL_ADDRESS (700)"), error
        after = act(server, "facts")
        assert after["uuid"] == before["uuid"] and after["pid"] not in pids | {before["pid"]}
        server.wait_log(" device_suspect kind=cuda index=0 ", mark)
        server.wait_log(" device_ok kind=cuda index=0", mark)
        pids.add(before["pid"])
        assert not process_exists(before["pid"]), turn
    assert not server.log_since(0, " device_lost ")
    figure(f"{TURNS} times, {(time.monotonic() - began_s) / TURNS:.2f} s each from run to next run")


@pytest.mark.parametrize("policy", ["keep", "recycle"])
def test_memory_that_is_used_up_is_told_and_the_policy_is_done(serve, policy):
    server = serve("--on-cuda-oom", policy)
    before = act(server, "facts")
    error = act(server, "fill")
    assert error["type"] == "cuda_oom" and error["message"].endswith("CUDA_ERROR_OUT_OF_MEMORY (2)"), error
    after = act(server, "facts")
    assert (after["pid"] == before["pid"]) == (policy == "keep") and after["uuid"] == before["uuid"]
    assert not server.log_since(0, " device_(suspect|lost) ")


def test_a_worker_killed_in_a_kernel_costs_its_own_stream_and_gives_its_memory_back(serve, gpu, figure):
    free_mib = gpu.used_mib()
    server = serve()
    idle_mib, before = gpu.used_mib(), act(server, "facts")
    with stream(server, GPU, "spin") as spinning:
        assert wire.output_of(spinning.next()) == "running"
        worker, = server.workers(GPU)
        held_mib, mark, killed_s = gpu.used_mib(), server.log_mark(), time.monotonic()
        os.kill(worker["pid"], signal.SIGKILL)
        error = spinning.all()[-1]["error"]
        said_s = time.monotonic() - killed_s
    assert error["type"] == "pipeline_error" and "SIGKILL" in error["message"]
    pid = wait_next(server, GPU, worker, mark)
    ready_s = time.monotonic() - killed_s
    after = act(server, "facts")
    assert (after["uuid"], after["pid"]) == (before["uuid"], pid)
    wait_until(lambda: gpu.used_mib() <= idle_mib + SLACK_MIB, TIMEOUT_S, "the memory of before")
    figure(f"used before the server {free_mib} MiB, idle {idle_mib}, in the kernel {held_mib}, after it {gpu.used_mib()}; "
           f"error line after {1000 * said_s:.0f} ms, the next worker after {ready_s:.2f} s")
    server.stop()
    wait_until(lambda: gpu.used_mib() <= free_mib + SLACK_MIB, TIMEOUT_S, "the memory of before the server")


# ---- templates ---------------------------------------------------------------------------------------


def processes_below(pid):
    """That process and all that have come from it, as far as they live."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as file:
                parents[int(name)] = int(file.read().rsplit(")", 1)[1].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found = [pid]
    for parent in found:
        found += [child for child, its_parent in parents.items() if its_parent == parent]
    return found


def maps(pid):
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def descriptors(pid):
    folder = f"/proc/{pid}/fd"
    return [os.readlink(os.path.join(folder, name)) for name in os.listdir(folder)]


def templates_of(server, source):
    """Processes that have loaded the pipeline and are no workers."""
    workers = {worker["pid"] for worker in server.workers(CUDA)}
    return [pid for pid in processes_below(server.process.pid) if pid not in workers and source in maps(pid)]


@pytest.mark.skipif(not PRELOADS, reason="this millrace has no --preload")
def test_a_worker_that_is_forked_uses_the_device_and_its_template_does_not(serve):
    source = example("cuda.so")
    server = serve("--preload", "import", source=f"{CUDA}={source}")
    for _ in range(3):
        assert outputs(server, CUDA, X, 0.5, 3) == multiples(X, 0.5, 3)
        template, = templates_of(server, source)
        assert "libcuda.so" not in maps(template)
        assert not [path for path in descriptors(template) if path.startswith("/dev/nvidia")]
        worker, = server.workers(CUDA)
        mark = server.log_mark()
        os.kill(worker["pid"], signal.SIGKILL)
        wait_next(server, CUDA, worker, mark)


@pytest.mark.skipif(not PRELOADS, reason="this millrace has no --preload")
def test_a_template_that_has_used_the_device_is_refused_and_workers_begin_by_themselves(serve):
    source = example("cuda.so")
    server = serve("--preload", "startup", source=f"{CUDA}={source}")
    server.wait_log(" template_refused ")
    assert outputs(server, CUDA, X, 0.5, 3) == multiples(X, 0.5, 3)
    wait_until(lambda: not templates_of(server, source), TIMEOUT_S, "the end of the template")
