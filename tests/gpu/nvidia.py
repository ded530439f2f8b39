# SPDX-License-Identifier: MIT
"""nvidia - what NVIDIA's libraries say of the GPUs of this machine, asked without millrace."""

import ctypes
import shutil
import subprocess
import xml.etree.ElementTree

TEXT_BYTES, MIG_IS_ON = 96, 1


class Memory(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


class Pci(ctypes.Structure):
    _fields_ = [("legacy", ctypes.c_char * 16), ("domain", ctypes.c_uint), ("bus", ctypes.c_uint), ("device", ctypes.c_uint),
                ("numbers", ctypes.c_uint * 2), ("text", ctypes.c_char * 32)]


class Refused(Exception):
    """The driver said no to this call."""


class Nvml:
    """The management library, found at `path`."""

    def __init__(self, path="libnvidia-ml.so.1"):
        self.library = ctypes.CDLL(path)
        self.tell("nvmlInit_v2")

    def tell(self, name, *arguments):
        status = getattr(self.library, name)(*arguments)
        if status != 0:
            raise Refused(f"{name}: error {status}")

    def number(self, name, *arguments):
        result = ctypes.c_uint()
        self.tell(name, *arguments, ctypes.byref(result))
        return result.value

    def text(self, name, device):
        result = ctypes.create_string_buffer(TEXT_BYTES)
        self.tell(name, device, result, TEXT_BYTES)
        return result.value.decode(errors="replace")

    def driver(self):
        version = ctypes.create_string_buffer(TEXT_BYTES)
        self.tell("nvmlSystemGetDriverVersion", version, TEXT_BYTES)
        return version.value.decode()

    def count(self):
        return self.number("nvmlDeviceGetCount_v2")

    def device(self, index):
        handle = ctypes.c_void_p()
        self.tell("nvmlDeviceGetHandleByIndex_v2", index, ctypes.byref(handle))
        return handle

    def memory(self, uuid):
        """Of a GPU, or of a slice of one."""
        handle, memory = ctypes.c_void_p(), Memory()
        self.tell("nvmlDeviceGetHandleByUUID", uuid.encode(), ctypes.byref(handle))
        self.tell("nvmlDeviceGetMemoryInfo", handle, ctypes.byref(memory))
        return memory

    def is_sliced(self, device):
        current, pending = ctypes.c_uint(), ctypes.c_uint()
        status = self.library.nvmlDeviceGetMigMode(device, ctypes.byref(current), ctypes.byref(pending))
        return status == 0 and current.value == MIG_IS_ON

    def facts(self, index):
        """Of one GPU, under the names that `millrace devices --json` has for them."""
        device, pci = self.device(index), Pci()
        self.tell("nvmlDeviceGetPciInfo_v3", device, ctypes.byref(pci))
        uuid = self.text("nvmlDeviceGetUUID", device)
        return {"uuid": uuid, "name": self.text("nvmlDeviceGetName", device),
                "memory_bytes": self.memory(uuid).total, "pci": f"{pci.domain:04x}:{pci.bus:02x}:{pci.device:02x}.0",
                "minor": self.number("nvmlDeviceGetMinorNumber", device)}


def absent():
    """Why there is no GPU of NVIDIA that can be used, or None."""
    try:
        count = Nvml().count()
        error = ctypes.CDLL("libcuda.so.1").cuInit(0)
    except (OSError, Refused) as reason:
        return str(reason)
    if count == 0:
        return "the driver knows none"
    return f"cuInit: error {error}" if error else None


def told_by_smi():
    """What `nvidia-smi -q -x` says of each GPU, by its UUID, or None where there is no such program."""
    if not shutil.which("nvidia-smi"):
        return None
    told = subprocess.run(["nvidia-smi", "-q", "-x"], capture_output=True, text=True, check=True, timeout=60).stdout
    facts = {}
    for gpu in xml.etree.ElementTree.fromstring(told).iter("gpu"):
        total = gpu.findtext("fb_memory_usage/total").split()
        facts[gpu.findtext("uuid")] = {"name": gpu.findtext("product_name"), "pci": short(gpu.get("id")),
                                       "minor": int(gpu.findtext("minor_number")), "memory_mib": int(total[0])}
    return facts


def short(pci):
    """00000000:65:00.0, as the program writes it, with four digits of domain."""
    domain, rest = pci.lower().split(":", 1)
    return f"{int(domain, 16):04x}:{rest}"
