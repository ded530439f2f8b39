# SPDX-License-Identifier: MIT
"""Fixtures of the fault tests: those of the system tests, pipelines that fail on demand, and figures."""

import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
SYSTEM = os.path.join(os.path.dirname(HERE), "system")
sys.path[:0] = [SYSTEM, HERE]

import borrowed  # noqa: E402

system = borrowed.lend(globals(), "start", "start_shared")
figure = borrowed.figure


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
