# SPDX-License-Identifier: MIT
"""Health of devices: what a failing process, a driver's report and a probe do to a device and to its workers."""

import concurrent.futures
import os
import time

import pytest

import operator_socket
import wire
from confined import needs_python
from conftest import HERE, compile_c
from server import SLOWNESS, wait_until

SOURCE = os.path.join(HERE, "pipelines/on_device.py")
ONE, STREAMS = "on/one:v1", "on/streams:v1"
POINTERS = {"graph": ONE, "streams": STREAMS}
LIBRARIES = {"nvml": "libnvidia-ml.so.1", "cuda": "libcuda.so.1"}
TIMEOUT_S = 30 * SLOWNESS
LONG_S = 60 * SLOWNESS

pytestmark = needs_python


def uuid_of(gpu):
    return f"GPU-{gpu:08x}-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    folder = tmp_path_factory.mktemp("libraries")
    for name, file in LIBRARIES.items():
        compile_c(os.path.join(HERE, "fakes", f"{name}.c"), str(folder / file), "-shared", "-fPIC")
    return str(folder)


def asked_at_once(server, count=2):
    """What as many workers say as are asked at once."""
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: ask(server, "slow"), range(count)))


def indexes(server):
    return {answer.get("index") for answer in asked_at_once(server)}


class Machine:
    """GPUs that are not there, and what happens to them."""

    def __init__(self, folder, libraries, start):
        self.folder, self.libraries, self.start = folder, libraries, start

    def put(self, name, text):
        whole = self.folder / f"{name}.new"
        whole.write_text(text)
        whole.rename(self.folder / name)

    def remove(self, name):
        (self.folder / name).unlink()

    def report(self, gpu, xid):
        with open(self.folder / "events", "a", encoding="ascii") as file:
            file.write(f"{gpu} {xid}\n")

    def tried(self, name="tried"):
        path = self.folder / name
        return path.read_text().split() if path.exists() else []

    def serve(self, *options, gpus=2, devices="cuda", sources=("graph",), path=None, **more):
        variables = {"NVIDIA_FAKE_GPUS": str(gpus), "NVIDIA_FAKE_STATE": str(self.folder), "LD_LIBRARY_PATH": self.libraries,
                     "PATH": path or os.environ["PATH"]}
        return self.start(*(f"{POINTERS[source]}={SOURCE}:{source}" for source in sources),
                          options=["--python", "/usr/bin/python3", "--devices", devices, "--log-level", "debug", *options],
                          environment=variables, **more)


@pytest.fixture
def machine(tmp_path, libraries, start):
    return Machine(tmp_path, libraries, start)


def ask(server, what="hello"):
    """What the pipeline says of its device, or the error."""
    line = wire.result_of(server.run(ONE, what))
    return line["outputs"][0]["value"] if line["outputs"] else line["error"]


def test_a_poisoned_context_costs_one_run_and_the_device_is_tried_before_the_next(machine):
    server = machine.serve(gpus=1)
    pids = set()
    for turn in range(int(os.environ.get("TURNS", "25"))):
        before = ask(server)
        assert before["mask"] == before["uuid"] == uuid_of(0)
        assert ask(server, "cuda_error")["type"] == "cuda_error"
        after = ask(server)
        assert after["pid"] not in pids | {before["pid"]}
        assert machine.tried() == [uuid_of(0)] * (turn + 1)
        pids.add(before["pid"])


@pytest.mark.parametrize("what", ["cuda_error", "cuda_oom", "oom"])
@pytest.mark.parametrize("policy", ["keep", "recycle", "probe", "quarantine"])
def test_the_policy_for_a_failure_is_done(machine, what, policy):
    server = machine.serve(f"--on-{what.replace('_', '-')}", policy, gpus=1)
    before = ask(server)
    assert ask(server, what)["type"] == what
    tries = int(policy in ("probe", "quarantine"))
    wait_until(lambda: len(machine.tried()) == tries, TIMEOUT_S)
    after = wait_answer(server)
    assert (before["pid"] == after["pid"]) == (policy == "keep") and len(machine.tried()) == tries
    assert len(server.log_since(0, " device_lost ")) == (policy == "quarantine")


def wait_answer(server):
    """Of a pipeline whose device may be lost for a moment."""
    answers = []

    def is_answered():
        answers.append(ask(server))
        return "pid" in answers[-1]

    wait_until(is_answered, TIMEOUT_S)
    return answers[-1]


def test_a_device_that_does_not_pass_is_lost_and_comes_back_by_itself(machine):
    server = machine.serve(gpus=1)
    machine.put("broken", uuid_of(0))
    assert ask(server, "cuda_error")["type"] == "cuda_error"
    server.wait_log(r" device_lost kind=cuda index=0 .*cuCtxSynchronize: CUDA_ERROR_ILLEGAL_ADDRESS \(700\)")
    error = ask(server)
    assert error["type"] == "pipeline_loading" and error["message"] == (
        "no device for the worker: cuda device 0 is lost: cuCtxSynchronize: CUDA_ERROR_ILLEGAL_ADDRESS (700)")
    starts = len(server.log_since(0, " worker_start "))
    wait_until(lambda: len(machine.tried()) >= 3, TIMEOUT_S)
    assert len(server.log_since(0, " worker_start ")) == starts, "a restart storm"
    machine.remove("broken")
    server.wait_log(" device_ok ", timeout_s=TIMEOUT_S)
    assert wait_answer(server)["uuid"] == uuid_of(0)


def test_while_one_device_is_lost_the_other_one_serves(machine):
    server = machine.serve(gpus=2, sources=["graph", "streams"])
    assert indexes(server) == {0, 1}
    machine.put("broken", uuid_of(1))
    with server.stream(STREAMS, 200) as first, server.stream(STREAMS, 200) as second:
        machine.report(1, 79)
        server.wait_log(r" device_lost kind=cuda index=1 .*Xid 79")
        ends = [list(stream)[-1] for stream in (first, second)]
    errors = [end["error"]["type"] for end in ends if end["error"]]
    assert errors == ["cuda_error"] and any(not end["error"] for end in ends)
    assert "its device is lost: Xid 79 (it has fallen off the bus)" in str(ends)
    for _ in range(5):
        assert ask(server)["index"] == 0
    machine.remove("broken")
    server.wait_log(r" device_ok kind=cuda index=1", timeout_s=TIMEOUT_S)
    wait_until(lambda: indexes(server) == {0, 1}, TIMEOUT_S)


def test_an_xid_blames_the_process_or_the_device(machine):
    server = machine.serve(gpus=1)
    for xid in (13, 31, 43, 45, 68, 109, 48, 79, 94, 95, 999):
        is_process, mark = xid in (13, 31, 43, 45, 68, 109), server.log_mark()
        before = ask(server)
        machine.report(0, xid)
        state, word = ("suspect", "reported Xid") if is_process else ("lost", "is lost: Xid")
        server.wait_log(rf" device_{state} kind=cuda index=0 .*Xid {xid} ", since=mark)
        server.wait_log(f" worker_(retire|kill) .*its device {word} {xid} ", since=mark)
        server.wait_log(" device_ok ", since=mark)
        assert wait_until_other(server, before["pid"])["uuid"] == uuid_of(0)


def wait_until_other(server, pid):
    answers = [{"pid": pid}]

    def is_other():
        answers.append(ask(server))
        return answers[-1].get("pid", pid) != pid

    wait_until(is_other, TIMEOUT_S)
    return answers[-1]


def test_the_next_worker_waits_for_the_memory_of_the_one_before(machine):
    machine.put("free", "9000")
    server = machine.serve(gpus=1)
    ask(server)
    machine.put("free", "100")
    mark = server.log_mark()
    assert ask(server, "die")["type"] == "pipeline_error"
    server.wait_log(" devices_found kind=cuda", since=mark)
    time.sleep(0.5)
    assert not server.log_since(mark, f" worker_start pipeline={ONE} ")
    machine.put("free", "8900")
    server.wait_log(" device_memory_free kind=cuda index=0 ", since=mark)
    assert ask(server)["uuid"] == uuid_of(0)


def test_a_device_that_vanishes_is_lost_until_it_is_found_again(machine):
    server = machine.serve(gpus=2)
    assert indexes(server) == {0, 1}
    machine.put("lost", "1")
    machine.report(1, 79)
    server.wait_log(r" device_lost kind=cuda index=1 ")
    server.wait_log(r" devices_found kind=cuda count=1 .*GPU 1 cannot be used: GPU is lost", timeout_s=TIMEOUT_S)
    assert ask(server)["index"] == 0
    machine.remove("lost")
    wait_until(lambda: indexes(server) == {0, 1}, LONG_S)


def test_memory_that_never_comes_and_a_probe_that_hangs_are_waited_for_ten_seconds(machine, tmp_path, libraries, start):
    (tmp_path / "other").mkdir()
    other = Machine(tmp_path / "other", libraries, start)
    other.put("free", "9000")
    holds, hangs = other.serve(gpus=1), machine.serve(gpus=1)
    ask(holds), ask(hangs)
    other.put("free", "100")
    machine.put("hangs", uuid_of(0))
    began_s = time.monotonic()
    assert ask(holds, "die")["type"] == "pipeline_error"
    assert ask(hangs, "cuda_error")["type"] == "cuda_error"
    for _ in range(20):
        assert holds.get("/livez").status == hangs.get("/livez").status == 200
    assert time.monotonic() - began_s < 5 * SLOWNESS
    wait_until(lambda: machine.tried("hung"), TIMEOUT_S)
    machine.remove("hangs")  # for those that come later
    holds.wait_log(" device_memory_held kind=cuda index=0 .*free_bytes=104857600 ", timeout_s=LONG_S)
    hangs.wait_log(" device_lost .*the driver did not answer in 10 s", timeout_s=LONG_S)
    assert time.monotonic() - began_s >= 9
    assert ask(holds)["uuid"] == uuid_of(0)
    hangs.wait_log(" device_ok ", timeout_s=LONG_S)
    assert wait_answer(hangs)["uuid"] == uuid_of(0)


def test_a_device_without_room_for_the_probe_passes(machine):
    server = machine.serve(gpus=1)
    machine.put("full", uuid_of(0))
    assert ask(server, "cuda_error")["type"] == "cuda_error"
    assert wait_answer(server)["uuid"] == uuid_of(0) and machine.tried() == [uuid_of(0)]


def test_devices_that_are_only_counted_pass_their_probe(machine):
    server = machine.serve(devices="cuda:x2")
    assert indexes(server) == {0, 1}
    assert ask(server, "cuda_error")["type"] == "cuda_error"
    server.wait_log(" device_ok kind=cuda ")
    assert not server.log_since(0, " device_lost ") and machine.tried() in (["0"], ["1"])
    wait_until(lambda: indexes(server) == {0, 1}, TIMEOUT_S)


def test_a_device_that_vanishes_without_a_report_is_lost(machine):
    server = machine.serve(gpus=2)
    assert indexes(server) == {0, 1}
    machine.put("lost", "0")
    assert ask(server, "die")["type"] == "pipeline_error"
    server.wait_log(" device_lost kind=cuda index=0 .*it is not among those that are found", timeout_s=TIMEOUT_S)
    wait_until(lambda: {answer.get("uuid") for answer in asked_at_once(server)} == {uuid_of(1)}, TIMEOUT_S)


def test_what_an_operator_has_scaled_stays_when_devices_are_looked_at_again(machine):
    server = machine.serve(gpus=2)
    assert indexes(server) == {0, 1}
    mark = server.log_mark()
    operator_socket.tell(server, "scale", pipeline=ONE, workers=1)
    server.wait_log(" devices_found kind=cuda", since=mark)
    wait_until(lambda: len(server.workers(ONE)) == 1, TIMEOUT_S)
    assert not server.log_since(mark, " workers_counted ")


def test_runs_that_want_to_wait_for_a_device_are_served_when_it_comes(machine):
    machine.put("refused", "")
    server = machine.serve(gpus=1)
    assert "1 of the pipelines failed" in server.ready_line and "Insufficient Permissions" in server.ready_line
    assert ask(server)["type"] == "pipeline_loading"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waits = pool.submit(lambda: wire.result_of(server.run(ONE, "hello", wait_for_resources=True)))
        wait_until(lambda: server.pipeline(ONE)["queued"] == 1, TIMEOUT_S)
        assert ask(server)["type"] == "pipeline_loading"
        machine.remove("refused")
        assert waits.result(timeout=TIMEOUT_S)["outputs"][0]["value"]["uuid"] == uuid_of(0)


def test_a_worker_that_fails_and_dies_at_once_is_followed_and_leaves_nothing(machine):
    server = machine.serve("--on-cuda-error", "quarantine", "--workers-per-device", "2", "--workers", "2", gpus=2)

    def descriptors():
        return len(os.listdir(f"/proc/{server.process.pid}/fd"))

    asked_at_once(server)
    before = descriptors()
    for _ in range(20):
        ask(server, "fail and die")
        assert wait_answer(server)["uuid"]
    wait_until(lambda: len(server.workers(ONE)) == 2 and descriptors() <= before, TIMEOUT_S)
    assert not server.log_since(0, " spawner_lost ")
