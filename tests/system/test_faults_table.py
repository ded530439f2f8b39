# SPDX-License-Identifier: MIT
"""docs/internals/faults.md: every cell of the fault matrix has a test that exists, and every fault test has its cell; what attacks
are told is what their tests expect."""

import os
import re
import subprocess
import sys

import pytest

import server as servers

HOSTILE = os.path.join(servers.TOP, "tests", "hostile")
FOLDER = os.path.join(servers.TOP, "tests", "faults")
FAULTS = ["SIGKILL", "SIGSEGV", "abort", "exit", "SIGSTOP", "infinite loop", "out of memory", "garbage", "closed descriptors",
          "FIN", "RST", "half-close", "stall", "1 byte/s", "DELETE", "deadline", "SIGTERM", "SIGKILL of the server",
          "EMFILE", "ENOMEM", "ENOSPC", "a day forward", "a day back", "to 1972"]

sys.path.append(FOLDER)
import matrix  # noqa: E402


@pytest.fixture(scope="module")
def table():
    with open(os.path.join(servers.TOP, "docs", "internals", "faults.md"), encoding="utf-8") as file:
        return file.read()


def cells_of(text):
    """(fault, phase): promise and figures."""
    cells = {}
    for _, phase, promise, figures in matrix.rows(text.splitlines()):
        for fault, figure in figures.items():
            assert (fault, phase) not in cells, (fault, phase)
            cells[fault, phase] = promise, figure
    return cells


def test_every_fault_has_a_cell_for_every_phase(table):
    cells = cells_of(table)
    assert sorted(cells) == sorted((fault, phase) for fault in FAULTS for phase in matrix.PHASES)
    for cell, (promise, figure) in cells.items():
        assert promise, cell
        assert bool(figure) == (not promise.startswith("does not apply: ")), cell


def test_the_tests_of_the_table_are_those_that_exist(table):
    listing = subprocess.run([sys.executable, "-m", "pytest", FOLDER, "--collect-only", "-q", "--no-header",
                              "-p", "no:cacheprovider"], capture_output=True, text=True, timeout=60, check=True)
    existing = {line.rsplit("/", 1)[-1] for line in listing.stdout.splitlines() if "::" in line}
    named = re.findall(r"`(test_\w+\.py::[^`]+)`", table)
    named += [matrix.test_of(*cell) for cell, (_, figure) in cells_of(table).items() if figure]
    assert len(existing) > 100
    assert len(named) == len(set(named)), "a test is named twice"
    assert set(named) == existing


def test_the_tables_of_attacks_are_what_the_hostile_tests_expect(table, monkeypatch):
    """`tests/hostile/run --write` writes them."""
    monkeypatch.syspath_prepend(HOSTILE)
    import attacks
    assert attacks.filled(table) == table
