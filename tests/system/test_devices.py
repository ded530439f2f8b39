# SPDX-License-Identifier: MIT
"""`millrace devices`: what drivers, the kernel and hwloc tell, and what becomes of a driver that does not answer."""

import contextlib
import json
import os
import re
import socket
import subprocess
import time

import pytest

import control_server
from server import MILLRACE, SLOWNESS

TIMEOUT_S = 30 * SLOWNESS
GIB = 1 << 30
NVIDIA_NODES = ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"]


@pytest.fixture
def root(tmp_path):
    """root({PATH: TEXT}) is a folder that stands for the system, with these files alone."""
    def made(files):
        folder = tmp_path / "root"
        for path, text in {"sys/devices/none": "", **files}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        return str(folder)

    return made


def clean(**variables):
    """The environment with these, in which no device of this machine is seen but its processors."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HWLOC_", "NVIDIA_", "VK_"))}
    return {**kept, "LD_LIBRARY_PATH": "", "VK_ICD_FILENAMES": "/nowhere", "RUNTIME_DIRECTORY": "/nowhere", **variables}


def devices(*options, **variables):
    """Runs the command with these variables."""
    result = subprocess.run([MILLRACE, "devices", *options], capture_output=True, text=True, timeout=TIMEOUT_S,
                            check=False, env=clean(**variables))
    assert (result.returncode, result.stderr) == (0, ""), result
    return result.stdout


def found(*options, **variables):
    """What it says to programs: the devices by their kind, and state and reason of each kind."""
    told = json.loads(devices("--json", *options, **variables))
    by_kind = {kind["kind"]: [] for kind in told["kinds"]}
    for device in told["devices"]:
        assert device["index"] == len(by_kind[device["kind"]])
        by_kind[device["kind"]].append(device)
    return by_kind, {kind["kind"]: (kind["state"], kind["reason"]) for kind in told["kinds"]}


def machine(gpus):
    """A topology of hwloc in a file: two NUMA nodes with two cores of two units each, and these GPUs: {bus: UUID}."""
    numbers = iter(range(1, 1000))

    def an_object(kind, cpus, nodes, inside="", **more):
        sets = {name: f"0x{value:08x}" for name, value in
                (("cpuset", cpus), ("complete_cpuset", cpus), ("nodeset", nodes), ("complete_nodeset", nodes))}
        words = "".join(f' {name}="{value}"' for name, value in {**(sets if cpus else {}), **more}.items())
        return f'<object type="{kind}" gp_index="{next(numbers)}"{words}>{inside}</object>\n'

    def a_gpu(bus, uuid):
        info = f'<info name="NVIDIAUUID" value="{uuid}"/>'
        system = an_object("OSDev", 0, 0, info, name=f"nvml{bus}", osdev_type=5)
        return an_object("PCIDev", 0, 0, system, pci_busid=f"0000:{bus:02x}:00.0",
                         pci_type="0302 [10de:20b0] [10de:1463] a1", pci_link_speed="0.000000")

    def a_package(number):
        cpus, node = 0xf << 4 * number, 1 << number
        cores = "".join(an_object("Core", 3 << first, node, "".join(
            an_object("PU", 1 << unit, node, os_index=unit) for unit in (first, first + 1)), os_index=first // 2)
            for first in (4 * number, 4 * number + 2))
        memory = an_object("NUMANode", cpus, node, os_index=number, local_memory=(number + 1) * GIB)
        here = list(gpus.items())[number::2]
        bridges = "".join(an_object("Bridge", 0, 0, a_gpu(bus, uuid), bridge_type="0-1", depth=0,
                                    bridge_pci=f"0000:[{bus:02x}-{bus:02x}]") for bus, uuid in here)
        return an_object("Package", cpus, node, memory + cores + bridges, os_index=number)

    packages = a_package(0) + a_package(1)
    whole = an_object("Machine", 0xff, 3, packages, os_index=0, allowed_cpuset="0x000000ff", allowed_nodeset="0x00000003")
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE topology SYSTEM "hwloc2.dtd">\n'
    return f'{head}<topology version="2.0">\n{whole}</topology>\n'


def gpu_uuid(number):
    return f"GPU-{number:08x}-0000-0000-0000-000000000000"


# ---- NVIDIA's ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 4, 8])
def test_each_gpu_of_nvidia_has_its_uuid_memory_place_and_files(fakes, count):
    by_kind, kinds = found(LD_LIBRARY_PATH=fakes("nvml"), NVIDIA_FAKE_GPUS=str(count))
    assert kinds["cuda"] == ("found", None)
    assert [device["uuid"] for device in by_kind["cuda"]] == [gpu_uuid(number) for number in range(count)]
    last = by_kind["cuda"][-1]
    assert (last["name"], last["parent"]) == ("Fake ?GPU", None)
    assert (last["memory_bytes"], last["memory_free_bytes"]) == ((9 + count) * GIB, (8 + count) * GIB)
    assert last["pci"] == f"0000:{0xf + count:02x}:00.0"
    assert last["nodes"] == [*NVIDIA_NODES, f"/dev/nvidia{count - 1}"]


def test_more_devices_than_can_be_told_are_said_to_be_left_out(fakes):
    by_kind, kinds = found(LD_LIBRARY_PATH=fakes("nvml"), NVIDIA_FAKE_GPUS="256", NVIDIA_FAKE_MIG="0:3")
    assert len(by_kind["cuda"]) == 256
    assert kinds["cuda"] == ("found", "2 more were left out")


def test_a_driver_without_gpus_is_absent(fakes):
    by_kind, kinds = found(LD_LIBRARY_PATH=fakes("nvml"), NVIDIA_FAKE_GPUS="0")
    assert (by_kind["cuda"], kinds["cuda"]) == ([], ("absent", "NVIDIA's driver knows no GPU"))


def test_slices_are_devices_with_their_own_memory_in_the_place_of_their_gpu(fakes, root):
    minors = "config 1\nmonitor 2\ngpu1/gi7/access 66\ngpu1/gi7/ci0/access 67\ngpu1/gi8/access 75\n"
    by_kind, kinds = found(LD_LIBRARY_PATH=fakes("nvml"), NVIDIA_FAKE_GPUS="3", NVIDIA_FAKE_MIG="1:2",
                           MILLRACE_SYSTEM_ROOT=root({"proc/driver/nvidia-caps/mig-minors": minors}))
    assert kinds["cuda"] == ("found", None)
    slices = ["MIG-00000001-0000-0000-0000-000000000000", "MIG-00000001-0000-0000-0000-000000000001"]
    assert [device["uuid"] for device in by_kind["cuda"]] == [gpu_uuid(0), *slices, gpu_uuid(2)]
    first, second = by_kind["cuda"][1:3]
    assert (first["parent"], first["pci"]) == (gpu_uuid(1), "0000:11:00.0")
    assert (first["memory_bytes"], first["memory_free_bytes"]) == (5 * GIB, 4 * GIB)
    caps = "/dev/nvidia-caps/nvidia-cap"
    assert first["nodes"] == [*NVIDIA_NODES, "/dev/nvidia1", caps + "66", caps + "67"]
    assert second["nodes"] == [*NVIDIA_NODES, "/dev/nvidia1", caps + "75"]


def test_a_gpu_that_is_to_be_sliced_and_is_not_yet_is_no_device(fakes):
    by_kind, kinds = found(LD_LIBRARY_PATH=fakes("nvml"), NVIDIA_FAKE_GPUS="1", NVIDIA_FAKE_MIG="0:0")
    assert (by_kind["cuda"], kinds["cuda"]) == ([], ("found", "GPU 0 is to be sliced (MIG), and has no slice"))


def test_a_gpu_that_is_lost_is_named_and_hides_no_other(fakes):
    variables = {"LD_LIBRARY_PATH": fakes("nvml"), "NVIDIA_FAKE_GPUS": "3", "NVIDIA_FAKE_LOST": "1"}
    by_kind, kinds = found(**variables)
    assert [device["uuid"] for device in by_kind["cuda"]] == [gpu_uuid(0), gpu_uuid(2)]
    assert kinds["cuda"] == ("found", "GPU 1 cannot be used: GPU is lost")
    assert devices(**variables).endswith("\ncuda: GPU 1 cannot be used: GPU is lost\n")


@pytest.mark.parametrize("way, state, reason", [
    ("unloaded", "absent", "NVIDIA's driver: Driver Not Loaded"),
    ("refused", "failed", "NVIDIA's driver: Insufficient Permissions"),
    ("exit", "failed", "the process that asks the driver ended with exit code 3"),
    ("crash", "failed", "the process that asks the driver ended by signal 4 (Illegal instruction)"),
])
def test_why_a_driver_cannot_be_asked_is_said_and_the_other_kinds_are_listed(fakes, way, state, reason):
    by_kind, kinds = found(LD_LIBRARY_PATH=fakes("nvml"), NVIDIA_FAKE_GPUS="2", NVIDIA_FAKE_INIT=way)
    assert (by_kind["cuda"], kinds["cuda"]) == ([], (state, reason))
    assert kinds["cpu"] == ("found", None) and by_kind["cpu"]


def test_a_driver_that_hangs_is_waited_for_a_while_and_the_other_kinds_are_listed(fakes):
    begun = time.monotonic()
    table = devices("--timeout", "300ms", LD_LIBRARY_PATH=fakes("nvml"), NVIDIA_FAKE_INIT="hang")
    assert 0.3 <= time.monotonic() - begun < 5 * SLOWNESS
    assert table.startswith("KIND ") and "NUMA node 0" in table
    assert table.endswith("\ncuda: the driver did not answer in 0.3 s\n")


def test_the_names_of_the_first_versions_of_the_library_do(fakes):
    variables = {"LD_LIBRARY_PATH": fakes("nvml", "-DOLD"), "NVIDIA_FAKE_GPUS": "2"}
    by_kind, kinds = found(**variables)
    assert kinds["cuda"] == ("found", None)
    assert [(device["uuid"], device["pci"]) for device in by_kind["cuda"]] == [
        (gpu_uuid(0), "0000:10:00.0"), (gpu_uuid(1), "0000:11:00.0")]
    assert by_kind["cuda"][0]["nodes"] == NVIDIA_NODES
    assert found(**variables, NVIDIA_FAKE_INIT="refused")[1]["cuda"] == ("failed", "NVIDIA's driver: error 4")


def test_a_library_that_is_none_is_a_failure_and_not_an_absence(tmp_path):
    (tmp_path / "libnvidia-ml.so.1").write_bytes(b"")
    state, reason = found(LD_LIBRARY_PATH=str(tmp_path))[1]["cuda"]
    assert (state, reason) == ("failed", f"{tmp_path}/libnvidia-ml.so.1: file too short")


# ---- AMD's ------------------------------------------------------------------------------------------


NODES = "sys/class/kfd/kfd/topology/nodes"


def kfd(pci="0000:03:00.0"):
    """The kernel's files for a processor and two GPUs, of which the first is at that place."""
    gpu = "cpu_cores_count 0\nsimd_count 416\nmem_banks_count 1\ngfx_target_version 90010\ndomain 0\n"
    bank = "heap_type {}\nsize_in_bytes {}\nflags 0\n"
    return {
        f"{NODES}/0/properties": "cpu_cores_count 16\nsimd_count 0\n", f"{NODES}/0/gpu_id": "0\n",
        f"{NODES}/1/properties": gpu + "location_id 768\ndrm_render_minor 128\nunique_id 11400714819323198485\n",
        f"{NODES}/1/gpu_id": "4711\n", f"{NODES}/1/name": "aldebaran\n",
        f"{NODES}/1/mem_banks/0/properties": bank.format(1, 64 * GIB),
        f"{NODES}/1/mem_banks/1/properties": bank.format(4, 7),
        f"{NODES}/2/properties": gpu + "location_id 33536\ndrm_render_minor 129\nunique_id 0\n",
        f"{NODES}/2/gpu_id": "4712\n", f"{NODES}/2/name": "\n",
        f"{NODES}/2/mem_banks/0/properties": bank.format(2, 32 * GIB),
        f"sys/bus/pci/devices/{pci}/mem_info_vram_total": f"{64 * GIB}\n",
        f"sys/bus/pci/devices/{pci}/mem_info_vram_used": f"{GIB}\n",
        f"sys/bus/pci/devices/{pci}/local_cpulist": "0-15,32-47\n",
        f"sys/bus/pci/devices/{pci}/numa_node": "1\n",
    }


def test_gpus_of_amd_are_what_the_kernel_says_of_them(root):
    by_kind, kinds = found(MILLRACE_SYSTEM_ROOT=root(kfd()))
    first, second = by_kind["hip"]
    assert kinds["hip"] == ("found", None)
    assert (first["uuid"], first["name"], first["pci"]) == ("GPU-9e3779b97f4a7c15", "aldebaran", "0000:03:00.0")
    assert (first["memory_bytes"], first["memory_free_bytes"]) == (64 * GIB, 63 * GIB)
    assert first["nodes"] == ["/dev/kfd", "/dev/dri/renderD128"]
    assert (first["cores"], first["core_count"], first["numa_node"]) == ("0-15,32-47", 32, 1)
    assert (second["uuid"], second["name"], second["pci"]) == (None, "gfx90a", "0000:83:00.0")
    assert (second["memory_bytes"], second["memory_free_bytes"]) == (32 * GIB, None)
    assert (second["cores"], second["numa_node"]) == (None, None)


def test_without_amds_driver_or_gpus_its_kind_is_absent(root):
    folder = root({})
    assert found(MILLRACE_SYSTEM_ROOT=folder)[1]["hip"] == (
        "absent", "the kernel has no amdkfd: there is no /sys/class/kfd/kfd/topology")
    root({f"{NODES}/0/properties": "cpu_cores_count 16\nsimd_count 0\n", f"{NODES}/0/gpu_id": "0\n"})
    assert found(MILLRACE_SYSTEM_ROOT=folder)[1]["hip"] == ("absent", "the kernel's amdkfd knows no GPU")


# ---- Vulkan -----------------------------------------------------------------------------------------


def test_devices_of_vulkan_have_no_uuid_where_they_share_one(fakes):
    by_kind, kinds = found(LD_LIBRARY_PATH=fakes("vulkan"))
    gpu, first, second = by_kind["vulkan"]
    assert kinds["vulkan"] == ("found", None)
    assert (gpu["name"], gpu["uuid"]) == ("Fake Vulkan 0", "abababab-abab-abab-abab-abababababab")
    assert (gpu["memory_bytes"], gpu["memory_free_bytes"], gpu["pci"]) == (8 * GIB, None, "0000:10:00.0")
    assert gpu["nodes"] == ["/dev/dri"]
    for one in (first, second):
        assert (one["uuid"], one["pci"], one["nodes"]) == (None, None, [])


@pytest.mark.parametrize("error, state, reason", [
    ("-9", "absent", "Vulkan's loader finds no driver"),
    ("-1", "failed", "Vulkan cannot begin: error -1"),
])
def test_why_vulkan_cannot_begin_is_said(fakes, error, state, reason):
    assert found(LD_LIBRARY_PATH=fakes("vulkan"), VK_FAKE=error)[1]["vulkan"] == (state, reason)


# ---- processors, and what is near -------------------------------------------------------------------


def test_numa_nodes_with_cores_are_devices(tmp_path):
    (tmp_path / "machine.xml").write_text(machine({}))
    by_kind, kinds = found(HWLOC_XMLFILE=str(tmp_path / "machine.xml"))
    assert kinds["cpu"] == ("found", None)
    shown = [(node["name"], node["cores"], node["core_count"], node["numa_node"], node["memory_nodes"],
              node["memory_bytes"]) for node in by_kind["cpu"]]
    assert shown == [("NUMA node 0", "0-3", 4, 0, "0", GIB), ("NUMA node 1", "4-7", 4, 1, "1", 2 * GIB)]


def test_cores_are_devices_if_that_is_asked_for(tmp_path):
    (tmp_path / "machine.xml").write_text(machine({}))
    by_kind, _ = found("--cores", HWLOC_XMLFILE=str(tmp_path / "machine.xml"))
    shown = [(core["name"], core["cores"], core["numa_node"]) for core in by_kind["cpu"]]
    assert shown == [("core 0", "0-1", 0), ("core 1", "2-3", 0), ("core 2", "4-5", 1), ("core 3", "6-7", 1)]


def test_a_gpu_is_near_the_cores_of_its_numa_node_by_its_place_or_by_its_uuid(fakes, tmp_path):
    # The last one is elsewhere on the bus, as in a virtual machine.
    (tmp_path / "machine.xml").write_text(machine({0x10: "", 0x11: "", 0x12: "", 0x40: gpu_uuid(3)}))
    by_kind, _ = found(LD_LIBRARY_PATH=fakes("nvml"), NVIDIA_FAKE_GPUS="5", NVIDIA_FAKE_MIG="3:1",
                       HWLOC_XMLFILE=str(tmp_path / "machine.xml"))
    shown = [(gpu["cores"], gpu["core_count"], gpu["numa_node"], gpu["memory_nodes"]) for gpu in by_kind["cuda"]]
    assert shown == [("0-3", 4, 0, "0"), ("4-7", 4, 1, "1"), ("0-3", 4, 0, "0"), ("4-7", 4, 1, "1"),
                     (None, None, None, None)]


def test_without_hwloc_the_kernel_says_what_is_near_and_processors_are_not_known(fakes, root, tmp_path):
    (tmp_path / "libhwloc.so.15").write_bytes(b"")
    files = {"sys/bus/pci/devices/0000:10:00.0/local_cpulist": "4-7\n",
             "sys/bus/pci/devices/0000:10:00.0/numa_node": "-1\n"}
    by_kind, kinds = found(LD_LIBRARY_PATH=f"{tmp_path}:{fakes('nvml')}", NVIDIA_FAKE_GPUS="1",
                           MILLRACE_SYSTEM_ROOT=root(files))
    assert kinds["cpu"] == ("failed", f"{tmp_path}/libhwloc.so.15: file too short")
    assert (by_kind["cuda"][0]["cores"], by_kind["cuda"][0]["numa_node"]) == ("4-7", None)


# ---- the table --------------------------------------------------------------------------------------


def test_the_table_has_a_line_for_each_device_and_for_each_kind_that_failed(fakes, tmp_path):
    (tmp_path / "machine.xml").write_text(machine({0x10: ""}))
    libraries = ":".join([fakes("nvml"), fakes("vulkan")])
    table = devices(LD_LIBRARY_PATH=libraries, NVIDIA_FAKE_GPUS="1", VK_FAKE="-4",
                    HWLOC_XMLFILE=str(tmp_path / "machine.xml"))
    assert table == (
        "KIND  INDEX  NAME             MEMORY  NUMA  CORES  PCI           UUID\n"
        f"cuda      0  Fake ?GPU    9.0G/10.0G     0  0-3    0000:10:00.0  {gpu_uuid(0)}\n"
        "cpu       0  NUMA node 0      -/1.0G     0  0-3    -             -\n"
        "cpu       1  NUMA node 1      -/2.0G     1  4-7    -             -\n"
        "vulkan: Vulkan cannot begin: error -4\n")


def test_where_nothing_is_found_it_is_said_why_of_each_kind(root, tmp_path):
    (tmp_path / "libhwloc.so.15").write_bytes(b"")
    lines = devices(LD_LIBRARY_PATH=str(tmp_path), MILLRACE_SYSTEM_ROOT=root({})).splitlines()
    assert [line.split(":")[0] for line in lines] == ["cuda", "hip", "vulkan", "cpu", "no devices were found"]


# ---- where a server runs ----------------------------------------------------------------------------


def known(kind, index, *workers, **more):
    """A device as a server knows it, with the workers of a pipeline that have it."""
    return {"kind": kind, "index": index, **dict.fromkeys(
        ("uuid", "name", "pci", "parent", "numa_node", "cores", "memory_bytes", "memory_free_bytes", "reason")),
        "state": "ok", "workers": [{"pipeline": "me/words:v1", "worker": number, "pid": 4711 + number}
                                   for number in workers], **more}


@pytest.fixture
def told(tmp_path):
    """told(DEVICE...) is the option that names the control socket of a server which knows these."""
    with contextlib.ExitStack() as servers:
        yield lambda *known: ("--control", servers.enter_context(control_server.answering(tmp_path, {
            "/control/state": {**control_server.state(), "devices": list(known)}})).path)


def test_a_server_says_how_devices_are_and_who_has_them(fakes, told, tmp_path):
    (tmp_path / "machine.xml").write_text(machine({0x10: "", 0x11: ""}))
    server = told(known("cuda", 0, 0, 1, uuid=gpu_uuid(0)),
                  known("cuda", 1, uuid=gpu_uuid(1), state="lost", reason="GPU is lost"),
                  known("level-zero", 2, 3))
    table = devices(*server, LD_LIBRARY_PATH=fakes("nvml"), NVIDIA_FAKE_GPUS="2",
                    HWLOC_XMLFILE=str(tmp_path / "machine.xml")).splitlines()
    assert re.fullmatch(r"KIND +INDEX .* UUID +HEALTH  WORKERS", table[0])
    assert re.fullmatch(rf"cuda +0 .* {gpu_uuid(0)}  ok +me/words:v1 0, me/words:v1 1", table[1])
    assert re.fullmatch(rf"cuda +1 .* {gpu_uuid(1)}  lost +-", table[2])
    assert [re.split(" {2,}", line)[::8] for line in table[3:5]] == [["cpu", "-"], ["cpu", "-"]]
    assert re.fullmatch(r"level-zero +2 +- .* ok +me/words:v1 3", table[5])
    assert table[6] == "cuda:1 is lost: GPU is lost"


def test_programs_are_told_what_a_server_says(fakes, told):
    server = told(known("cuda", 1, 5, uuid=gpu_uuid(1), state="suspect", reason="it failed"))
    by_kind, _ = found(*server, LD_LIBRARY_PATH=fakes("nvml"), NVIDIA_FAKE_GPUS="2")
    first, second = by_kind["cuda"]
    assert (first["state"], first["reason"], first["workers"]) == (None, None, [])
    assert (second["state"], second["reason"]) == ("suspect", "it failed")
    assert second["workers"] == [{"pipeline": "me/words:v1", "worker": 5, "pid": 4716}]
    assert second["name"] == "Fake ?GPU" and second["nodes"]


def test_a_device_that_is_counted_is_the_one_with_its_number(fakes, told):
    server = told(*(known("vulkan", index, index) for index in range(4)))
    by_kind, _ = found(*server, LD_LIBRARY_PATH=fakes("vulkan"))
    shown = [(device["name"], [worker["worker"] for worker in device["workers"]]) for device in by_kind["vulkan"]]
    assert shown == [("Fake Vulkan 0", [0]), ("Fake Vulkan 1", [1]), ("Fake Vulkan 2", [2]), (None, [3])]


def test_a_core_is_no_numa_node_that_has_its_number(told, tmp_path):
    (tmp_path / "machine.xml").write_text(machine({}))
    server = told(known("cpu", 0, 7, name="core 0", cores="0-1"))
    nodes = json.loads(devices("--json", *server, HWLOC_XMLFILE=str(tmp_path / "machine.xml")))["devices"]
    assert [(one["name"], one["core_count"], len(one["workers"])) for one in nodes if one["kind"] == "cpu"] == [
        ("NUMA node 0", 4, 0), ("NUMA node 1", 4, 0), ("core 0", 2, 1)]


def test_without_a_server_nobody_is_asked_and_only_who_named_one_is_told(tmp_path):
    usual = devices(RUNTIME_DIRECTORY=str(tmp_path))
    assert "HEALTH" not in usual.splitlines()[0]
    result = subprocess.run([MILLRACE, "devices", "--control", str(tmp_path / "none.sock")], capture_output=True, text=True,
                            timeout=TIMEOUT_S, check=False, env=clean())
    assert (result.returncode, result.stdout.splitlines()[0]) == (0, usual.splitlines()[0])
    assert result.stderr.startswith(f"millrace: devices: no server answers at {tmp_path}/none.sock: ")
    assert result.stderr.count("\n") == 1


def test_what_is_none_of_a_server_s_is_as_if_none_was_there(tmp_path):
    with control_server.answering(tmp_path, {"/control/state": b"<html>"}):
        assert "HEALTH" not in devices(RUNTIME_DIRECTORY=str(tmp_path))


def test_a_server_that_does_not_answer_is_not_waited_for_long(tmp_path):
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "control.sock"))
        silent.listen()
        begun = time.monotonic()
        assert "HEALTH" not in devices(RUNTIME_DIRECTORY=str(tmp_path))
        assert time.monotonic() - begun < 8 * SLOWNESS, "it has two seconds"


def test_output_that_cannot_be_written_is_an_error():
    with open("/dev/full", "wb") as full:
        result = subprocess.run([MILLRACE, "devices", "--json"], stdout=full, stderr=subprocess.PIPE, check=False,
                                timeout=TIMEOUT_S)
    assert result.returncode == 1
    assert result.stderr == b"millrace: cannot write to stdout: No space left on device\n"
