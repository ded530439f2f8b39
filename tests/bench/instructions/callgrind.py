# SPDX-License-Identifier: MIT
"""callgrind - instructions of dispatcher and worker for a chunk and for a request, by function.

Instructions repeat where seconds do not: twice the same program is within a few in a thousand of itself,
on any machine with the same compiler and C library. Each is the difference between two runs of different
length, so that what happens once, starting and stopping, is in neither.
"""

import os
import re
import subprocess
import tempfile
from typing import NamedTuple

from machine import BUILD, TOP

PROGRAMS = os.path.join(BUILD, "tests/bench/instructions")
TIMEOUT_S = 120
TOTAL = "the program"
VALGRIND = ["valgrind", "-q", "--tool=callgrind", "--log-file=/dev/null"]


class Subject(NamedTuple):
    name: str
    of: str  # what one is
    program: str
    mode: str
    counts: tuple  # of the two runs


SUBJECTS = (
    Subject("dispatcher, a chunk of a flood", "chunk", "dispatcher", "flood", (5120, 25600)),
    Subject("dispatcher, a chunk that comes alone", "chunk", "dispatcher", "paced", (1000, 5000)),
    Subject("dispatcher, a request answered by one line", "request", "dispatcher", "requests", (500, 2500)),
    Subject("worker, a chunk of a flood", "chunk", "worker", "flood", (5000, 25000)),
    Subject("worker, a request answered by one line", "request", "worker", "requests", (200, 1000)),
)


class Counted(NamedTuple):
    subject: Subject
    total: float  # for one
    functions: dict  # {name: instructions of its own}, the most first


def count(subject):
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        few, many = (profile(subject, number, folder) for number in subject.counts)
    between = subject.counts[1] - subject.counts[0]
    each = {name: (many[name] - few.get(name, 0)) / between for name in many}
    total = each.pop(TOTAL)
    return Counted(subject, total, dict(sorted(each.items(), key=lambda item: -item[1])))


def profile(subject, number, folder):
    """Instructions of each function in one run."""
    file = os.path.join(folder, f"profile.{number}")
    command = [os.path.join(PROGRAMS, subject.program), subject.mode, str(number)]
    environment = dict(os.environ)
    if subject.program == "dispatcher":
        # What plays the kernel and the worker is not counted.
        command = [*VALGRIND, "--toggle-collect=server_pass", f"--callgrind-out-file={file}", *command]
    else:
        # What plays the dispatcher runs as it is; the worker it starts is counted.
        environment["BUILD"] = folder
        script(os.path.join(folder, "millrace-worker"),
               [*VALGRIND, f"--callgrind-out-file={file}", os.path.join(BUILD, "millrace-worker")])
    subprocess.run(command, env=environment, cwd=TOP, check=True, timeout=TIMEOUT_S, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    return parsed(file)


def script(path, command):
    with open(path, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\nexec " + " ".join(command) + ' "$@"\n')
    os.chmod(path, 0o755)


def parsed(file):
    """The lines of callgrind_annotate, `INSTRUCTIONS ( SHARE%)  FILE:FUNCTION [OBJECT]`, by function: what
    the compiler moved into one counts as its own. Where an object has no names, it is the name."""
    text = subprocess.run(["callgrind_annotate", "--threshold=100", "--auto=no", file], stdout=subprocess.PIPE,
                          text=True, check=True, timeout=TIMEOUT_S).stdout
    functions = {TOTAL: int(re.search(r"^\s*([\d,]+) \(100.0%\)  PROGRAM TOTALS", text, re.MULTILINE).group(1).replace(",", ""))}
    for line in text.splitlines():
        match = re.match(r"\s*([\d,]+) \( ?[\d.]+%\)\s+\S+:([\w.@']+)(?: \[.*/([^/]+)\])?$", line)
        if match:
            name = re.sub(r"\.(isra|part|constprop|cold)\b.*|@@.*|'\d+", "", match.group(2))
            name = match.group(3) if name.startswith("0x") and match.group(3) else name
            functions[name] = functions.get(name, 0) + int(match.group(1).replace(",", ""))
    return functions
