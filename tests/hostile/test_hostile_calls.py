# SPDX-License-Identifier: MIT
"""Every call and every file with which a worker could act on others, tried from inside one: what attacks.py says."""

import os

import pytest

import attacks
from arena import EVIL, NOBODY, OTHER, PYTHON, has_python, is_root
from confined import needs_landlock

SETTINGS = ("default", "hardened", "users", "root")
KERNEL_FILES = ("/sys/kernel/mm/transparent_hugepage/enabled", "/sys/kernel/rcu_expedited", "/sys/fs/cgroup/cgroup.procs")


def call_rows():
    for setting in SETTINGS:
        for call in attacks.CALLS:
            for target in attacks.TARGETS + attacks.UPPER:
                name, _, upper = target.partition("+")
                expected = {"sibling": call.sibling, "self": call.itself}.get(name, call.server)
                # What the kernel cuts off may be refused as well as looked through.
                if expected != attacks.NONE and not (upper and attacks.cell(expected, setting) != attacks.REFUSED):
                    marks = [needs_landlock(6)] if call.means == attacks.SIGNALS and name in ("sibling", "self") else []
                    yield pytest.param(call.name, target, setting, attacks.cell(expected, setting), marks=marks,
                                       id=f"{call.name}-{target}-{setting}")


def file_rows():
    for setting in SETTINGS:
        for attack, files in (("proc", attacks.FILES), ("proc-thread", attacks.THREAD_FILES)):
            for entry in files:
                for target in attacks.TARGETS:
                    expected = attacks.cell(entry.itself if target == "self" else entry.server, setting)
                    yield pytest.param(f"{attack} {entry.name} {entry.mode}", target, setting, expected,
                                       id=f"{attack}-{entry.name}-{entry.mode}-{target}-{setting}")


def look_out(arena, setting, words, target, expected):
    """The attack, and that everyone else is as before."""
    it = arena(setting)
    it.wait_ready()
    before = it.pids()
    answer = it.attack(f"{words} {it.pid(target)}")
    assert attacks.fits(answer, expected), f"{words} on the {target}: {answer}, expected: {expected}"
    assert it.server.is_alive()
    it.check_victims()
    assert it.pids() == before


@pytest.mark.parametrize("name, target, setting, expected", call_rows())
def test_a_call_is_told_what_the_table_says(arena, name, target, setting, expected):
    look_out(arena, setting, name, target, expected)


@needs_landlock(2)
@pytest.mark.parametrize("words, target, setting, expected", file_rows())
def test_a_file_in_proc_is_opened_where_the_table_says_so(arena, words, target, setting, expected):
    look_out(arena, setting, words, target, expected)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("entry", attacks.MACHINE, ids=lambda entry: entry.name)
def test_a_call_without_a_target_is_told_what_the_table_says(arena, entry, setting):
    it = arena(setting)
    it.wait_ready()
    before = it.pids()
    answer = it.attack(entry.name, timeout_s=2)
    expected = attacks.cell((entry.default, entry.hardened, entry.users), setting)
    assert attacks.fits(answer, expected), f"{entry.name}: {answer}, expected: {expected}"
    it.check_victims()
    assert it.pids() == before


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("entry", attacks.OBJECTS, ids=lambda entry: entry.make)
def test_what_one_worker_made_another_one_takes_only_where_the_table_says_so(arena, entry, setting):
    it = arena(setting)
    made = it.attack(f"{entry.make} {it.server.process.pid}", OTHER)
    expected = attacks.cell((entry.default, entry.hardened, entry.users), setting)
    if made.startswith("ok"):
        number = made[len("ok "):] or it.server.process.pid
        answers = [it.attack(f"{name} {number}", EVIL) for name in entry.attacks]
        for name in reversed(entry.attacks):  # whatever the attacker has left
            it.attack(f"{name} {number}", OTHER)
    else:
        assert made in attacks.REFUSALS | attacks.ABSENCES, made
        answers = [made]
    assert all(attacks.fits(answer, expected) for answer in answers), (entry.attacks, answers, expected)


@needs_landlock(6)
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("signal", [9, 19])
@pytest.mark.parametrize("way", ["kill", "kill-group", "kill-joined", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo",
                                 "pidfd_send_signal", "pidfd_send_signal-folder", "fcntl-setown", "fcntl-setown_ex",
                                 "ioctl-fiosetown", "ioctl-siocspgrp"])
def test_signals_in_earnest_reach_nobody(arena, way, signal, setting):
    it = arena(setting)
    it.wait_ready()
    before = it.pids()
    for target in ("dispatcher", "spawner", "sibling"):
        with it.begin(f"{way} {it.pid(target)} {signal}") as stream:
            assert "reached" not in str(stream.next())
    it.check_victims()
    assert it.pids() == before
    assert it.server.log_since(0, "spawner_lost") == []


@needs_landlock(6)
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_signal_to_everyone_reaches_only_what_the_worker_started(arena, setting):
    it = arena(setting)
    it.wait_ready()
    before = it.pids()
    it.attack("kill-all 9")
    it.check_victims()
    assert it.pids() == before
    assert it.server.log_since(0, "spawner_lost") == []


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("resource", [0, 1, 7, 9], ids=["cpu", "fsize", "nofile", "as"])
@pytest.mark.parametrize("target", ["dispatcher", "spawner", "sibling"])
def test_limits_set_in_earnest_stop_nobody(arena, target, resource, setting):
    """Processor time of none ends a process within a second of work, files of none at its next line of a log."""
    it = arena(setting)
    it.wait_ready()
    pid = {"dispatcher": it.server.process.pid, "sibling": it.pid("sibling")}.get(target)
    before = limits_of(pid) if pid else None
    answer = it.attack(f"prlimit64-zero {it.pid(target)} {resource}")
    assert answer in attacks.REFUSALS, answer
    assert before is None or limits_of(pid) == before


def limits_of(pid):
    with open(f"/proc/{pid}/limits", encoding="ascii") as file:
        return file.read()


@pytest.mark.parametrize("setting", SETTINGS)
def test_no_worker_can_leave_the_dispatcher_children_that_nobody_waits_for(arena, setting):
    it = arena(setting)
    it.wait_ready()
    before = set(children_of(it.server.process.pid))
    it.attack("clone-parent 20")
    it.check_victims()
    left = set(children_of(it.server.process.pid)) - before
    assert not left, f"{len(left)} children more"


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


@needs_landlock(2)
@pytest.mark.skipif(not is_root, reason="others may not write them anyway")
def test_no_worker_writes_a_file_of_the_kernel(arena):
    """Control groups are some, which belong to the server's user where the group was given to it."""
    it = arena("root", "--worker-user", "root")
    files = [path for path in KERNEL_FILES if os.access(path, os.W_OK)]
    assert files, "this test would prove nothing"
    for path in files:
        assert it.attack(f"open {path} r") == "ok"
        assert it.attack(f"open {path} w") in attacks.REFUSALS, path


@needs_landlock(3)
@pytest.mark.parametrize("setting", SETTINGS)
def test_no_worker_that_may_write_nothing_shuts_a_file_to_others(arena, stage, setting):
    """Of its own user: the source of another pipeline, which could then not be started again."""
    it = arena(setting)
    path = stage.path(f"shut-{setting}")
    with open(path, "w", encoding="ascii"):
        os.chmod(path, 0o644)
    if is_root:
        os.chown(path, NOBODY, NOBODY)
    assert attacks.fits(it.attack(f"chmod {path}"), attacks.ALLOWED if setting == "default" else attacks.REFUSED)


@pytest.mark.parametrize("setting", SETTINGS)
def test_files_that_others_must_open_cannot_be_kept_from_them(arena, stage, setting):
    it = arena(setting)
    path = stage.path("numbers.so")
    it.attack(f"lease {path}")
    it.attack(f"flock {path}", OTHER)
    it.attack(f"inotify {path}")
    it.attack(f"dnotify {stage.folder}")
    it.renew("victim/numbers:v1")
    it.check_victims()


@pytest.mark.skipif(not has_python, reason="the extension was not built: python3-dev is missing")
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("target", attacks.TARGETS)
@pytest.mark.parametrize("name, others, itself", attacks.PYTHON, ids=[row[0] for row in attacks.PYTHON])
def test_a_line_of_python_is_told_what_the_table_says(arena, name, others, itself, target, setting):
    it = arena(setting)
    answer = it.attack(f"{name} {it.pid(target)}", PYTHON)
    expected = attacks.cell(itself if target == "self" else others, setting)
    assert attacks.fits(answer, expected), f"{name} on the {target}: {answer}, expected: {expected}"


def test_every_row_is_an_attack_that_there_is(arena):
    """A name that evil does not know would be told nothing, which is harmless."""
    known = set(arena("default").attack("list").split())
    named = {entry.name for entries in (attacks.CALLS, attacks.MACHINE, attacks.SOCKETS, attacks.LIMITS) for entry in entries}
    named |= {name for entry in attacks.OBJECTS for name in (entry.make, *entry.attacks)}
    assert named <= known, named - known
