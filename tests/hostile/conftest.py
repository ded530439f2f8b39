# SPDX-License-Identifier: MIT
"""Fixtures of the hostile tests: those of the system tests, and servers with an attacker in them."""

import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
SYSTEM = os.path.join(os.path.dirname(HERE), "system")
sys.path[:0] = [SYSTEM, HERE]

import borrowed  # noqa: E402

borrowed.lend(globals(), "pytest_runtest_protocol", "start")

import arena as arenas  # noqa: E402
import confined  # noqa: E402


@pytest.fixture(scope="session")
def stage():
    with arenas.Stage() as stage:
        yield stage


class Arenas:
    """A server for each way to start one, made when it is first asked for, and again when it has ended."""

    def __init__(self, stage):
        self.stage = stage
        self.open = {}

    def get(self, setting, *options, limits=()):
        if arenas.SETTINGS[setting][0] == 0 and not arenas.is_root:
            pytest.skip("only root may change users")
        if confined.landlock_version() < arenas.landlock_needed(setting, options):
            pytest.skip(f"this kernel has no Landlock {arenas.landlock_needed(setting, options)}")
        key = (setting, *options, *limits)
        arena = self.open.get(key)
        if arena is not None and not arena.server.is_alive():
            arena.server.end()
            arena = None
        if arena is None:
            arena = self.open[key] = arenas.Arena(self.stage.start(setting, *options, limits=limits))
        return arena

    def close(self):
        """All of them end well."""
        try:
            for arena in self.open.values():
                if arena.server.is_alive():
                    arena.server.stop()
        finally:
            for arena in self.open.values():
                arena.server.end()


@pytest.fixture(scope="module")
def arena(stage):
    """arena("hardened", OPTION...) is a server with this setting, shared by the tests of a module."""
    all_of_them = Arenas(stage)
    yield all_of_them.get
    all_of_them.close()
