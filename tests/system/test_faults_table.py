# SPDX-License-Identifier: MIT
"""docs/faults.md: every cell of the fault matrix names a test that exists, and every fault test has its cell; what attacks
are told is what their tests expect."""

import os
import re
import subprocess
import sys

import pytest

import server as servers

HOSTILE = os.path.join(servers.TOP, "tests", "hostile")
FOLDER = os.path.join(servers.TOP, "tests", "faults")
PHASES = ["queued", "starting", "first", "streaming", "finishing"]
FAULTS = ["SIGKILL", "SIGSEGV", "abort", "exit", "SIGSTOP", "Infinite loop", "Out of memory", "Garbage in the segment",
          "Closed descriptors", "FIN", "RST", "Half-close", "Stall", "1 byte/s", "DELETE /v4/runs/{id}", "Deadline", "SIGTERM",
          "SIGKILL of the server", "EMFILE", "ENOMEM", "ENOSPC", "Clock jump: a day forward", "Clock jump: a day back",
          "Clock jump: to 1972"]


@pytest.fixture(scope="module")
def table():
    with open(os.path.join(servers.TOP, "docs", "faults.md"), encoding="utf-8") as file:
        return file.read()


def rows_of(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()
            if line.startswith("| ") and not line.startswith("| phase ")]


def test_every_fault_has_a_row_for_every_phase(table):
    sections = dict(re.findall(r"^### (.+)\n((?:(?!##).*\n)+)", table, re.MULTILINE))
    assert sorted(sections) == sorted(FAULTS)
    for fault, text in sections.items():
        rows = rows_of(text)
        assert [row[0] for row in rows] == PHASES, fault
        for phase, promise, test, measured in rows:
            assert promise, (fault, phase)
            if promise.startswith("does not apply: "):
                assert not test, (fault, phase)
            else:
                assert re.fullmatch(r"`test_\w+\.py::\w+\[.+\]`", test), (fault, phase)
                assert measured, (fault, phase)


def test_the_tests_of_the_table_are_those_that_exist(table):
    listing = subprocess.run([sys.executable, "-m", "pytest", FOLDER, "--collect-only", "-q", "--no-header",
                              "-p", "no:cacheprovider"], capture_output=True, text=True, timeout=60, check=True)
    existing = {line.rsplit("/", 1)[-1] for line in listing.stdout.splitlines() if "::" in line}
    named = re.findall(r"`(test_\w+\.py::[^`]+)`", table)
    assert len(existing) > 100
    assert len(named) == len(set(named)), "a test is named twice"
    assert set(named) == existing


def test_the_tables_of_attacks_are_what_the_hostile_tests_expect(table, monkeypatch):
    """`tests/hostile/run --write` writes them."""
    monkeypatch.syspath_prepend(HOSTILE)
    import attacks
    assert attacks.filled(table) == table
