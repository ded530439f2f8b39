# SPDX-License-Identifier: MIT
"""processes - what the kernel says of processes: their children, CPU, memory, descriptors; and their end."""

import os
import signal
import time

STOP_TIMEOUT_S = 10


def tree(pids):
    """These processes and all that came from them."""
    found = list(pids)
    for pid in found:  # grows while it is walked
        found += children(pid)
    return found


def children(pid):
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                found += map(int, file.read().split())
    except (FileNotFoundError, ProcessLookupError):
        pass  # it has just ended
    return found


def cpu_s(pids):
    """CPU seconds of the processes' threads, to the nanosecond; without threads that have ended."""
    return sum(cpu_s_of(pid) for pid in pids)


def cpu_s_of(pid):
    total = 0
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
    except (FileNotFoundError, ProcessLookupError):
        pass
    return total / 1e9


def pss_bytes(pids):
    """Memory of the processes; what several share is split among them, so the sum counts it once."""
    return sum(pss_bytes_of(pid) for pid in pids)


def pss_bytes_of(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            return sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
    except (FileNotFoundError, ProcessLookupError):
        return 0


def descriptor_count(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def stop(process):
    """Asks it to end; what is left after a while is killed, children included."""
    everything = tree([process.pid])
    process.terminate()
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while time.monotonic() < deadline and (process.poll() is None or any(map(is_alive, everything))):
        time.sleep(0.01)
    for pid in filter(is_alive, everything):
        os.kill(pid, signal.SIGKILL)
    process.wait(timeout=STOP_TIMEOUT_S)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
