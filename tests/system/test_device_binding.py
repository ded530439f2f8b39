# SPDX-License-Identifier: MIT
"""--devices: which device each worker has, what it sees of it, and what happens while nobody can tell which there are."""

import concurrent.futures
import json
import os
import signal
import subprocess

import pytest

import operator_socket
import wire
from confined import needs_python, needs_root
from conftest import HERE, compile_c, public_folder
from server import MILLRACE, SLOWNESS, example, wait_until
from test_cli import USAGE, millrace

LOOK, WORDS = "me/look:v1", "me/words:v1"
CORES = sorted(os.sched_getaffinity(0))
pytestmark = needs_python

CODE = '''
import os
import time
import millrace_worker
from pipeline import Pipeline, Variable, pipe

@pipe
def look(gate: str) -> dict:
    """What it sees, as soon as there is such a file."""
    while not os.path.exists(gate):
        time.sleep(0.01)
    device = millrace_worker.device()
    return {"pid": os.getpid(), "cores": sorted(os.sched_getaffinity(0)), "variables": dict(os.environ),
            "device": device and [device.kind, device.index, device.uuid]}

with Pipeline() as builder:
    gate = Variable(str)
    builder.output(look(gate))
graph = builder.get_pipeline()
'''


@pytest.fixture(scope="module")
def folder():
    """What workers may read: the pipeline, and a library without a GPU."""
    with public_folder() as name:
        with open(os.path.join(name, "look.py"), "w", encoding="utf-8") as file:
            file.write(CODE)
        os.mkdir(os.path.join(name, "nvml"))
        compile_c(os.path.join(HERE, "fakes", "nvml.c"), os.path.join(name, "nvml", "libnvidia-ml.so.1"), "-shared",
                  "-fPIC")
        yield name


@pytest.fixture
def look(start, folder, monkeypatch):
    """look(OPTION..., VARIABLE=...) is a server whose pipeline says what it sees; on it there is no driver."""
    for name in [name for name in os.environ if name.endswith("_VISIBLE_DEVICES")]:
        monkeypatch.delenv(name)

    def started(*options, wait=True, more=(), **variables):
        return start(f"{LOOK}={folder}/look.py", *more, options=options, wait=wait,
                     environment={"LD_LIBRARY_PATH": "", **variables})

    return started


def nvidia(folder, gpus=4, **more):
    """Variables by which the server finds so many GPUs of NVIDIA."""
    return {"LD_LIBRARY_PATH": os.path.join(folder, "nvml"), "NVIDIA_FAKE_GPUS": str(gpus),
            **{f"NVIDIA_FAKE_{name}": value for name, value in more.items()}}


def gpu(number):
    return f"GPU-{number:08x}-0000-0000-0000-000000000000"


def seen(server, count):
    """What each of so many workers sees, each of which has a run at once, in the order of their numbers."""
    gate = os.path.join(server.folder, "gate")
    numbers = {worker["pid"]: worker["index"] for worker in ready(server, count).workers(LOOK)}
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        runs = [pool.submit(server.run, LOOK, gate) for _ in range(count)]
        try:
            wait_until(lambda: all(worker["active"] == 1 for worker in server.workers(LOOK)), what="a run on each worker")
        finally:
            with open(gate, "w", encoding="ascii"):
                pass
        results = [wire.output_of(wire.check_line(run.result().body)) for run in runs]
    os.remove(gate)
    return sorted(results, key=lambda result: numbers[result["pid"]])


def ready(server, count):
    wait_until(lambda: [worker["state"] for worker in server.workers(LOOK)].count("ready") == count,
               what=f"{count} workers")
    return server


def masks(result):
    names = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK", "POCL_DEVICES",
             "GGML_VK_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER")
    return {name: result["variables"][name] for name in names if name in result["variables"]}


def index_of(result):
    return result["device"][1]


def own(result):
    return {name.removeprefix("MILLRACE_DEVICE_"): value for name, value in result["variables"].items()
            if name.startswith("MILLRACE_DEVICE_")}


# ---- without a driver ------------------------------------------------------------------------------


def test_a_pipeline_that_says_nothing_of_devices_sees_what_it_always_saw(look):
    result, = seen(look(CUDA_VISIBLE_DEVICES="1"), 1)
    assert (result["device"], own(result), masks(result)) == (None, {}, {"CUDA_VISIBLE_DEVICES": "1"})
    assert result["cores"] == CORES


def test_each_of_so_many_devices_has_a_worker_without_a_look_at_what_there_is(look):
    server = look("--devices", "vulkan:x4")
    results = seen(server, 4)
    assert sorted(index_of(result) for result in results) == [0, 1, 2, 3]
    for result in results:
        assert result["device"] == ["vulkan", index_of(result), None]
        assert own(result) == {"KIND": "vulkan", "INDEX": str(index_of(result))}
        assert masks(result) == {"GGML_VK_VISIBLE_DEVICES": str(index_of(result))}
    assert not server.log_since(0, " devices_")


@pytest.mark.parametrize("what, mask", [("level-zero", {"ZE_AFFINITY_MASK": "0"}), ("opencl", {"POCL_DEVICES": "basic"}),
                                        ("cuda", {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "0"})])
def test_each_kind_that_is_counted_has_its_mask(look, what, mask):
    result, = seen(look("--devices", f"{what}:x1"), 1)
    assert (result["device"], masks(result)) == ([what, 0, None], mask)


@pytest.mark.skipif(len(CORES) < 2, reason="there is one core only")
def test_a_worker_for_each_core_runs_on_that_one(look):
    server = look("--devices", "cpu:core")
    server.wait_log(" devices_found kind=cpu-cores count=")
    count = len(server.workers(LOOK))
    results = seen(server, count)
    cores = [core for result in results for core in result["cores"]]
    assert sorted(cores) == CORES and all(own(result)["KIND"] == "cpu" for result in results)


def test_a_worker_for_a_numa_node_may_be_left_unbound(look):
    server = look("--devices", "cpu", "--workers", "1", "--device-env", "MY_CORES={kind}:{cores}", "--device-unbound")
    result, = seen(server, 1)
    assert result["device"][0] == "cpu" and result["cores"] == CORES
    assert result["variables"]["MY_CORES"].startswith("cpu:0")


def test_none_hides_the_gpus_whatever_the_server_sees(look):
    result, = seen(look("--devices", "none", CUDA_VISIBLE_DEVICES="0", GGML_VK_VISIBLE_DEVICES="3"), 1)
    assert (result["device"], own(result)) == (None, {})
    assert masks(result) == {"CUDA_VISIBLE_DEVICES": "-1", "ROCR_VISIBLE_DEVICES": "-1", "GGML_VK_VISIBLE_DEVICES": ""}


def test_several_workers_share_a_device_and_no_more_than_are_said(look):
    server = look("--devices", "vulkan:x2", "--workers-per-device", "2")
    assert sorted(index_of(result) for result in seen(server, 4)) == [0, 0, 1, 1]


def test_variables_with_fields_go_before_others_and_those_of_the_pipeline_before_all(look):
    result, = seen(look("--devices", "vulkan:x1", "--env", "A=env", "--device-env", "A={kind}{{{index}}}", "--device-env",
                        "B=all", "--device-env", f"{LOOK}=B=[{{uuid}}{{numa}}]"), 1)
    assert (result["variables"]["A"], result["variables"]["B"]) == ("vulkan{0}", "[]")


def test_where_there_is_no_driver_auto_runs_without_a_device_and_says_why(look, tmp_path):
    server = look("--devices", "auto", "--device-env", "A={index}", MILLRACE_SYSTEM_ROOT=str(tmp_path))
    server.wait_log(' devices_found kind=cuda count=0 reason="libnvidia-ml.so.1: ')
    server.wait_log(' devices_found kind=hip count=0 reason="the kernel has no amdkfd')
    result, = seen(server, 1)
    assert (result["device"], own(result), "A" in result["variables"]) == (None, {}, False)
    assert masks(result)["CUDA_VISIBLE_DEVICES"] == "-1"


def test_where_there_is_no_driver_a_kind_of_gpu_is_a_failure_with_its_reason(look):
    server = look("--devices", "cuda", more=[f"{WORDS}={example('words.so')}"], *["--devices", f"{WORDS}=none"])
    reason = "no device for the worker: cuda: libnvidia-ml.so.1: "
    assert reason in server.ready_line
    server.wait_log(f' pipeline_not_served pipeline={LOOK} state=loading text="{reason}')
    answer = server.run(LOOK, "x")
    assert answer.status >= 400 and reason in answer.body.decode()
    assert server.lines(WORDS, "one two")


# ---- with GPUs of NVIDIA ---------------------------------------------------------------------------


def expect_gpus(server, numbers, indexes=None):
    results = seen(server, len(numbers))
    assert sorted(result["device"] for result in results) == [
        ["cuda", index, gpu(number)] for index, number in zip(indexes or numbers, numbers)]
    for result in results:
        uuid = result["device"][2]
        assert own(result) == {"KIND": "cuda", "INDEX": str(index_of(result)), "UUID": uuid}
        assert masks(result) == {"CUDA_VISIBLE_DEVICES": uuid}


@pytest.mark.parametrize("devices", ["auto", "cuda"])
def test_each_gpu_has_a_worker_that_sees_it_alone(look, folder, devices):
    server = look("--devices", devices, **nvidia(folder))
    server.wait_log(f" workers_counted pipeline={LOOK} min=4 max=4")
    expect_gpus(server, [0, 1, 2, 3])


@pytest.mark.parametrize("devices", [["cuda:0,2"], ["0,2"], [gpu(2), "0"], [f"cuda:{gpu(0)}", "2"],
                                     [f"cuda:{gpu(0)},{gpu(2)}"]])
def test_gpus_are_chosen_by_index_and_by_uuid(look, folder, devices):
    words = [word for device in devices for word in ("--devices", device)]
    expect_gpus(look(*words, **nvidia(folder)), [0, 2])


def test_the_mask_of_the_server_leaves_some_to_auto_and_a_word_means_what_it_says(look, folder):
    expect_gpus(look("--devices", "auto", **nvidia(folder), CUDA_VISIBLE_DEVICES=f"3,{gpu(1)[:12]},-1,0"), [1, 3])
    expect_gpus(look("--devices", "cuda:0", **nvidia(folder), CUDA_VISIBLE_DEVICES="3"), [0])


def test_slices_are_masked_by_their_uuid(look, folder):
    server = look("--devices", "auto", **nvidia(folder, gpus=2, MIG="1:2"))
    uuids = [gpu(0), *(f"MIG-00000001-0000-0000-0000-00000000000{number}" for number in range(2))]
    results = seen(server, 3)
    assert sorted(masks(result)["CUDA_VISIBLE_DEVICES"] for result in results) == uuids
    assert sorted(index_of(result) for result in results) == [0, 1, 2]


def test_a_gpu_that_is_lost_has_no_worker_and_is_named(look, folder):
    server = look("--devices", "auto", **nvidia(folder, gpus=3, LOST="1"))
    server.wait_log(' devices_found kind=cuda count=2 reason="GPU 1 cannot be used: GPU is lost"')
    expect_gpus(server, [0, 2], [0, 1])


def test_where_a_gpu_is_missing_the_others_serve_and_it_is_said_which_are_there(look, folder):
    server = look("--devices", "cuda:0,7", **nvidia(folder, gpus=2))
    server.wait_log(f" worker_start_failed pipeline={LOOK} .*1 of 2 that are said are there, of 2 cuda devices")
    ready(server, 1)
    assert server.run(LOOK, "/").status == 200
    assert server.get("/readyz").status == 200


def test_a_worker_that_dies_is_followed_by_one_with_its_device(look, folder):
    server = look("--devices", "cuda:1,3", **nvidia(folder))
    before = seen(server, 2)
    mark = server.log_mark()
    for result in before:
        os.kill(result["pid"], signal.SIGKILL)
    for index, result in enumerate(before):
        server.wait_worker(LOOK, index, result["pid"], mark)
    assert [result["device"] for result in seen(server, 2)] == [result["device"] for result in before]


def test_there_are_no_more_workers_than_the_devices_have_room_for(look, folder):
    server = look("--devices", "auto", "--workers", "5", **nvidia(folder, gpus=2))
    server.wait_log(f" workers_counted pipeline={LOOK} min=2 max=2")
    expect_gpus(server, [0, 1])


def test_more_workers_than_devices_are_refused_by_scale(look, folder):
    server = ready(look("--devices", "auto", **nvidia(folder, gpus=2)), 2)
    done = scale(server, "3")
    assert done.returncode != 0 and "its devices have room for 2 workers" in done.stderr
    assert scale(server, "1").returncode == 0
    expect_gpus(server, [0])


def scale(server, count):
    return subprocess.run([MILLRACE, "scale", LOOK, count, "--control", operator_socket.path_of(server)],
                          capture_output=True, text=True, check=False, timeout=20 * SLOWNESS)


@pytest.mark.parametrize("devices, nodes", [
    ("none", [""]), ("vulkan:x1", []),
    ("cuda:3", ["/dev/nvidiactl:/dev/nvidia-uvm:/dev/nvidia-uvm-tools:/dev/nvidia3"])])
def test_a_worker_is_told_which_files_its_device_has_unless_nobody_knows(start, folder, devices, nodes):
    server = start(f"{WORDS}={example('words.so')}", options=["--devices", devices], environment=nvidia(folder))
    with open(f"/proc/{server.workers(WORDS)[0]['pid']}/cmdline", encoding="ascii") as file:
        words = file.read().split("\0")
    assert [words[at + 1] for at, word in enumerate(words) if word == "--device-nodes"] == nodes


# ---- while nobody can tell -------------------------------------------------------------------------


def library(folder, way):
    """A library whose beginning is that, until repair() puts a sound one in its place."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "libnvidia-ml.so.1")
    compile_c(os.path.join(HERE, "fakes", "nvml.c"), path + ".sound", "-shared", "-fPIC")
    with open(path + ".c", "w", encoding="ascii") as file:
        file.write(way)
    compile_c(path + ".c", path, "-shared", "-fPIC")
    return lambda: os.replace(path + ".sound", path)


CRASHES = "__attribute__((constructor)) static void begin(void) { __builtin_trap(); }\n"
HANGS = "#include <unistd.h>\n__attribute__((constructor)) static void begin(void) { for (;;) pause(); }\n"


@pytest.mark.parametrize("way, said", [
    # By which signal is known a moment later, and so it may not be said.
    pytest.param(CRASHES, "the process that asks the driver ended.*", id="crash"),
    pytest.param(HANGS, "did not answer in 10 s", id="hang")])
def test_while_a_driver_fails_others_are_served_and_its_workers_start_when_it_answers(look, tmp_path, way, said):
    repair = library(tmp_path / "nvml", way)
    server = look("--devices", f"{LOOK}=auto", more=[f"{WORDS}={example('words.so')}"], wait=False,
                  LD_LIBRARY_PATH=str(tmp_path / "nvml"), NVIDIA_FAKE_GPUS="2", MILLRACE_SYSTEM_ROOT=str(tmp_path))
    server.wait_listening()
    server.wait_log(f" worker_ready pipeline={WORDS} ")
    assert server.lines(WORDS, "one two")
    assert server.get("/metrics").status == 200
    server.wait_log(rf' devices_failed kind=cuda again_ms=1000 reason=".*{said}"', timeout_s=12 * SLOWNESS)
    assert not server.log_since(0, f" worker_ready pipeline={LOOK} ")
    assert server.lines(WORDS, "one two")
    repair()
    server.wait_log(" devices_found kind=cuda count=2", timeout_s=20 * SLOWNESS)
    expect_gpus(server, [0, 1])


# ---- another configuration -------------------------------------------------------------------------


def test_a_reload_that_changes_devices_replaces_the_workers(start, folder, tmp_path):
    path = tmp_path / "millrace.yaml"

    def say(devices):
        path.write_text(json.dumps({"pipelines": {LOOK: {"source": f"{folder}/look.py", **devices}}}))

    say({"devices": "vulkan:x1"})
    server = start(options=["--config", str(path)], environment=nvidia(folder))
    first, = seen(server, 1)
    assert first["device"] == ["vulkan", 0, None]
    for devices, found in (({"devices": {"kind": "vulkan", "count": 1}}, 0), ({"devices": ["cuda:1", gpu(2)]}, 1),
                           ({"devices": ["cuda:1", gpu(2)], "device-unbound": True}, 1)):
        mark = server.log_mark()
        say(devices)
        server.signal(signal.SIGHUP)
        server.wait_log(f" reload_end .*replaced={found} ", mark)
    expect_gpus(server, [1, 2])


@needs_root
def test_of_more_devices_than_users_as_many_have_workers_as_there_are_users(start, folder):
    """Users are chosen before anybody has counted devices."""
    server = start(f"{WORDS}={example('words.so')}", options=["--devices", "cuda", "--worker-user", "own"],
                   environment=nvidia(folder, gpus=24), wait=False).wait_listening()
    server.wait_log(f' warning scale_failed pipeline={WORDS} from=1 to=24 reason="there are fewer users for workers: ')
    count = int(server.wait_log(rf" workers_counted pipeline={WORDS} min=(\d+) max=\1$")[1])
    assert 16 <= count < 24
    wait_until(lambda: [worker["state"] for worker in server.workers(WORDS)] == ["ready"] * count, timeout_s=20 * SLOWNESS)


def test_nvidias_mps_is_refused_unless_it_is_allowed(tmp_path):
    (tmp_path / "control").touch()
    told = [f"{WORDS}={example('words.so')}", "--env", f"CUDA_MPS_PIPE_DIRECTORY={tmp_path}", "--worker", "/nowhere"]
    for devices in ("cuda", "auto", "0", "cuda:x2"):
        result = millrace("serve", *told, "--devices", devices)
        assert result.returncode == USAGE and f"NVIDIA's MPS is on ({tmp_path}/control)" in result.stderr, result.stderr
        assert "MPS" not in millrace("serve", *told, "--devices", devices, "--allow-mps").stderr
    for devices in ("none", "vulkan:x2", "cpu"):
        assert "MPS" not in millrace("serve", *told, "--devices", devices).stderr
