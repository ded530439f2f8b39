# SPDX-License-Identifier: MIT
"""One worker takes all there is of what the kernel counts for each user: the server and other pipelines go on."""

import signal

import pytest

import arena as arenas
import attacks
import wire
from arena import EVIL, NUMBERS
from server import STOP_TIMEOUT_S, process_fields, wait_until

# As many as a service manager gives, and few enough to be taken.
LIMITS = ("--nofile=20000:20000",)
LARGE = "x" * 300_000  # does not fit into a ring, and goes by a descriptor of its own


@pytest.mark.bounded(120)
@pytest.mark.parametrize("setting", ["default", "hardened", "users"])
@pytest.mark.parametrize("entry", attacks.LIMITS, ids=lambda entry: entry.name)
def test_whoever_takes_all_takes_it_from_nobody(arena, entry, setting):
    it = arena(setting, limits=LIMITS)
    it.wait_ready()
    mark = it.server.log_mark()
    try:
        it.attack(f"{entry.name} {entry.most}")
        it.check_victims()
        [line] = it.server.lines(NUMBERS, 1, LARGE, 0)
        assert wire.output_of(line)["chunk"] == LARGE
        it.renew(NUMBERS)
        it.check_victims()
        assert it.server.get("/readyz").status == 200
        assert it.server.log_since(mark, "worker_start_failed|quarantine") == []
    finally:
        it.renew(EVIL)


@pytest.mark.parametrize("setting", ["default", "hardened", "users", "root"])
def test_processes_that_a_worker_leaves_end_with_it_or_with_the_server(arena, setting):
    it = arena(setting)
    it.wait_ready()
    it.attack("children 20")
    it.attack("fork-storm 300")
    it.check_victims()
    it.renew(EVIL)
    it.check_victims()


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM], ids=lambda ending: ending.name)
@pytest.mark.parametrize("setting", ["default", "users", "root"])
def test_a_process_without_its_first_thread_ends_with_the_server(stage, setting, ending):
    """It is a zombie in name only."""
    if arenas.SETTINGS[setting][0] == 0 and not arenas.is_root:
        pytest.skip("only root may change users")
    server = stage.start(setting)
    try:
        pid = int(arenas.Arena(server).attack("headless").removeprefix("ok "))
        wait_until(lambda: process_fields(pid)[0] == "Z", what="the end of its first thread")
        server.signal(ending)
        server.process.wait(STOP_TIMEOUT_S)
        wait_until(lambda: not has_threads(pid), what="the end of its other thread")
    finally:
        server.end()


def has_threads(pid):
    """Beside a first one that has ended."""
    try:
        return int(process_fields(pid)[17]) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False
