# SPDX-License-Identifier: MIT
"""matrix - the fault matrix of docs/internals/faults.md: which test proves a cell, and where its cell is.

A table of it begins with `| phase | promised |`, followed by a column for each fault.
"""

PHASES = ("queued", "starting", "first", "streaming", "finishing")

# Faults of workers, as test_workers_fail.py names them.
WORKERS = {"SIGKILL": "SIGKILL", "SIGSEGV": "SIGSEGV", "abort": "abort", "exit": "exit", "SIGSTOP": "SIGSTOP",
           "infinite loop": "loop", "out of memory": "memory", "garbage": "garbage", "closed descriptors": "descriptors"}
OTHERS = {
    "FIN": "test_clients_fail.py::test_leave[FIN-{}]",
    "RST": "test_clients_fail.py::test_leave[RST-{}]",
    "half-close": "test_clients_fail.py::test_leave[half-close-{}]",
    "stall": "test_clients_fail.py::test_stall[stall-{}]",
    "1 byte/s": "test_clients_fail.py::test_stall[trickle-{}]",
    "DELETE": "test_clients_fail.py::test_delete[{}]",
    "deadline": "test_clients_fail.py::test_deadline[{}]",
    "SIGTERM": "test_server_ends.py::test_sigterm[{}]",
    "SIGKILL of the server": "test_server_ends.py::test_sigkill[{}]",
    "EMFILE": "test_resources.py::test_descriptors[{}]",
    "ENOMEM": "test_resources.py::test_memory[{}]",
    "ENOSPC": "test_resources.py::test_disk[{}]",
    "a day forward": "test_resources.py::test_clock[{}-86400]",
    "a day back": "test_resources.py::test_clock[{}--86400]",
    "to 1972": "test_resources.py::test_clock[{}--1700000000]",
}


def test_of(fault, phase):
    if fault not in WORKERS:
        return OTHERS[fault].format(phase)
    is_waiting = phase in ("queued", "starting")
    name = f"test_worker_while_{phase}[{WORKERS[fault]}]" if is_waiting else f"test_worker[{WORKERS[fault]}-{phase}]"
    return "test_workers_fail.py::" + name


def rows(lines):
    """Of each row of the matrix its number in lines, phase, promise, and figures by fault."""
    faults = []
    for number, line in enumerate(lines):
        cells = [cell.strip() for cell in line[1:-1].split("|")] if line.startswith("|") else []
        if cells[:2] == ["phase", "promised"]:
            faults = cells[2:]
        elif not cells:
            faults = []
        elif faults and not line.startswith("|---"):
            yield number, cells[0], cells[1], dict(zip(faults, cells[2:], strict=True))


def row(phase, promise, figures):
    return "| " + " | ".join([phase, promise, *figures.values()]) + " |"
