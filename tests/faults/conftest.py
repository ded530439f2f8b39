# SPDX-License-Identifier: MIT
"""Fixtures of the fault tests: those of the system tests, pipelines that fail on demand, and figures."""

import json
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
SYSTEM = os.path.join(os.path.dirname(HERE), "system")
sys.path[:0] = [SYSTEM, HERE]

import borrowed  # noqa: E402

system = borrowed.conftest()
pytest_configure = system.pytest_configure
pytest_runtest_setup = system.pytest_runtest_setup
pytest_runtest_call = system.pytest_runtest_call
pytest_runtest_teardown = system.pytest_runtest_teardown
start = system.start
start_shared = system.start_shared


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """built("faults") is the shared object made of tests/faults/pipelines/faults.c."""
    folder = tmp_path_factory.mktemp("pipelines")

    def build(name):
        target = folder / f"{name}.so"
        if not target.exists():
            system.compile_c(os.path.join(HERE, "pipelines", f"{name}.c"), target, "-shared", "-fPIC")
        return str(target)

    return build


@pytest.fixture
def figure(request, capsys):
    """figure("kill to error line 3.1 ms") is printed, and kept for docs/internals/faults.md where FIGURES says so."""
    def note(text):
        with capsys.disabled():
            print(f"\n    {request.node.name}: {text}", end="", flush=True)
        if "FIGURES" in os.environ:
            test = request.node.nodeid.rsplit("/", 1)[-1]
            with open(os.environ["FIGURES"], "a", encoding="utf-8") as file:
                file.write(json.dumps([test, text]) + "\n")

    return note
