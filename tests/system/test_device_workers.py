# SPDX-License-Identifier: MIT
"""Which worker is bound to which device: the same in everything that shows it, and after a worker is replaced."""

import json
import os
import re
import signal
import subprocess

import pytest

from exposition import total
from operator_socket import path_of, pipeline_state, state
from server import MILLRACE, SLOWNESS, example, wait_until

WORDS = "me/words:v1"
GIB = 1 << 30


def serving(start, *options, **more):
    return start(f"{WORDS}={example('words.so')}", options=options, **more)


@pytest.fixture(scope="module")
def server(start_shared):
    """Four workers with a device each, of which nobody looks whether they are there."""
    return serving(start_shared, "--devices", "vulkan:x4", "--workers", "4")


def held(server, pointer=WORDS):
    """The devices of a pipeline's workers by their number, as the control socket has them; each as (kind, index)."""
    devices = {worker["number"]: worker["device"] for worker in pipeline_state(server, pointer)["workers"]}
    return {number: device and (device["kind"], device["index"]) for number, device in devices.items()}


def holders(server):
    """Who holds each device: {(kind, index): [(pipeline, worker, pid)]}."""
    return {(device["kind"], device["index"]): [tuple(one.values()) for one in device["workers"]]
            for device in state(server)["devices"]}


def told(server, *arguments):
    """What a command says that asks this server."""
    result = subprocess.run([MILLRACE, *arguments, "--control", path_of(server)], capture_output=True, text=True,
                            timeout=30 * SLOWNESS, check=False)
    assert (result.returncode, result.stderr) == (0, ""), result
    return result.stdout


# ---- what is shown ---------------------------------------------------------------------------------


def test_four_workers_have_four_devices_and_the_state_says_who_has_which(server):
    devices = held(server)
    assert set(devices.values()) == {("vulkan", index) for index in range(4)}
    pids = {worker["index"]: worker["pid"] for worker in server.workers(WORDS)}
    assert holders(server) == {device: [(WORDS, number, pids[number])] for number, device in devices.items()}
    assert state(server)["device_sources"] == []
    for device in state(server)["devices"]:
        assert (device["state"], device["reason"], device["uuid"], device["memory_bytes"]) == ("ok", None, None, None)


def test_a_pipeline_lists_the_devices_of_its_workers(server):
    devices = server.pipeline(WORDS)["devices"]
    assert sorted(device["index"] for device in devices) == [0, 1, 2, 3]
    assert {(device["kind"], device["uuid"]) for device in devices} == {("vulkan", None)}
    [listed] = server.get("/v4/pipelines").json()["data"]
    assert listed["devices"] == devices


def test_the_metrics_have_each_device_and_each_worker_s(server):
    families = server.metrics()
    infos = [dict(labels) for _, labels in families["millrace_device_info"].samples]
    assert sorted(info["index"] for info in infos) == ["0", "1", "2", "3"]
    assert all((info["kind"], info["uuid"], info["name"], info["pci"]) == ("vulkan", "", "", "") for info in infos)
    for number, (kind, index) in held(server).items():
        assert total(families, "millrace_worker_device_info", pipeline=WORDS, worker=str(number), kind=kind,
                     index=str(index)) == 1
        assert total(families, "millrace_device_workers", kind=kind, index=str(index)) == 1
    assert set(families) & {"millrace_device_memory_bytes", "millrace_device_scan_failures"} == set()


def test_a_gpu_has_its_memory_in_state_and_metrics(start, fakes):
    server = serving(start, "--devices", "cuda", environment={"LD_LIBRARY_PATH": fakes("nvml"), "NVIDIA_FAKE_GPUS": "2"})
    wait_until(lambda: None not in held(server).values() and len(held(server)) == 2)
    families = server.metrics()
    for index, device in enumerate(state(server)["devices"]):
        assert (device["index"], device["memory_bytes"], device["memory_free_bytes"]) == (
            index, (10 + index) * GIB, (9 + index) * GIB)
        of = {"kind": "cuda", "index": str(index)}
        assert total(families, "millrace_device_memory_bytes", **of) == device["memory_bytes"]
        assert total(families, "millrace_device_memory_free_bytes", **of) == device["memory_free_bytes"]
        assert total(families, "millrace_device_info", uuid=device["uuid"], pci=device["pci"], **of) == 1
    assert total(families, "millrace_device_scan_failures", kind="cuda") == 0
    assert [device["uuid"] for device in server.pipeline(WORDS)["devices"]] == [
        worker["device"]["uuid"] for worker in pipeline_state(server, WORDS)["workers"]]


def test_a_driver_that_nobody_can_ask_is_a_failed_source_and_is_counted(start, fakes):
    server = serving(start, "--devices", "cuda", wait=False,
                     environment={"LD_LIBRARY_PATH": fakes("nvml"), "NVIDIA_FAKE_INIT": "refused"})
    server.wait_listening()
    server.wait_log(" devices_failed kind=cuda ")
    [source] = state(server)["device_sources"]
    assert source == {"kind": "cuda", "state": "failed", "reason": "NVIDIA's driver: Insufficient Permissions"}
    assert state(server)["devices"] == [] and held(server) == {0: None}
    assert total(server.metrics(), "millrace_device_scan_failures", kind="cuda") >= 1
    assert "millrace_device_info" not in server.metrics()


def test_ps_has_the_device_of_each_worker(server):
    for number, (kind, index) in held(server).items():
        assert re.search(rf"^  {number} {kind}:{index} +ready ", told(server, "ps"), flags=re.MULTILINE)


def test_the_list_of_devices_has_who_holds_them(server):
    listed = {(device["kind"], device["index"]): device for device in json.loads(told(server, "devices", "--json"))["devices"]}
    for (kind, index), [(pointer, number, pid)] in holders(server).items():
        assert listed[kind, index]["state"] == "ok"
        assert listed[kind, index]["workers"] == [{"pipeline": pointer, "worker": number, "pid": pid}]
        assert re.search(rf"^{kind} +{index} .* ok +{WORDS} {number}$", told(server, "devices"), flags=re.MULTILINE)


def test_workers_without_devices_have_none_to_show(start):
    server = serving(start, "--devices", "none")
    assert held(server) == {0: None}
    assert (state(server)["devices"], state(server)["device_sources"]) == ([], [])
    assert server.pipeline(WORDS)["devices"] == []
    assert not [name for name in server.metrics() if "device" in name]


def test_a_device_of_several_workers_is_one_device(start):
    server = serving(start, "--devices", "vulkan:x2", "--workers-per-device", "2", "--workers", "4")
    assert sorted(held(server).values()) == [("vulkan", 0)] * 2 + [("vulkan", 1)] * 2
    assert [device["index"] for device in sorted(server.pipeline(WORDS)["devices"], key=lambda one: one["index"])] == [0, 1]
    assert {device: len(workers) for device, workers in holders(server).items()} == {("vulkan", 0): 2, ("vulkan", 1): 2}


def test_each_core_is_what_was_found_of_it_and_has_its_worker(start):
    server = serving(start, "--devices", "cpu:core")
    assert state(server)["device_sources"] == [{"kind": "cpu-cores", "state": "found", "reason": None}]
    devices = state(server)["devices"]
    assert devices and all(device["kind"] == "cpu" and device["cores"] and device["name"] for device in devices)
    wait_until(lambda: None not in held(server).values())
    pids = {worker["index"]: worker["pid"] for worker in server.workers(WORDS)}
    assert holders(server) == {device: [(WORDS, number, pids[number])] for number, device in held(server).items()}
    assert len(pids) == len(devices)


# ---- what stays ------------------------------------------------------------------------------------


def test_who_follows_a_killed_worker_has_its_device(server):
    before = held(server)
    worker = server.workers(WORDS)[2]
    mark = server.log_mark()
    os.kill(worker["pid"], signal.SIGKILL)
    pid = server.wait_worker(WORDS, worker["index"], worker["pid"], mark)
    assert held(server) == before
    assert holders(server)[before[worker["index"]]] == [(WORDS, worker["index"], pid)]
