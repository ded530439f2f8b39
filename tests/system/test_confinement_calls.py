# SPDX-License-Identifier: MIT
"""System calls tried from inside workers: whatever is denied is denied, and what pipelines do works."""

import os
import re
import socket

import pytest

import wire
from confined import CODE, NO_LEAK_CHECK, ORDINARY, Confined, has_python, landlock_version, needs_python

HERE = os.path.dirname(os.path.abspath(__file__))

# Arguments of -1 make each of them fail harmlessly where it is not denied.
MACHINE_CALLS = ["init_module", "finit_module", "delete_module", "kexec_load", "reboot", "bpf", "perf_event_open",
                 "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "syslog", "mount", "umount2",
                 "pivot_root", "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr",
                 "setns", "open_by_handle_at", "fanotify_init", "add_key", "request_key", "keyctl",
                 "shmget", "shmat", "shmctl", "semget", "semop", "semtimedop", "semctl", "msgsnd", "msgrcv",
                 "msgctl", "mq_open", "mq_unlink", "swapon", "swapoff",
                 "acct", "quotactl", "settimeofday", "clock_settime", "sethostname", "setdomainname"]
OTHER_CALLS = ["ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "process_madvise", "kcmp",
               "process_mrelease", "migrate_pages", "get_robust_list"]
CLONE_FS, CLONE_FILES, CLONE_THREAD = 0x200, 0x400, 0x10000
NAMESPACES = {"mount": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000,
              "pid": 0x20000000, "net": 0x40000000}


@pytest.fixture(scope="module")
def unfiltered(start_shared, pipelines):
    return Confined(start_shared, pipelines, "--seccomp", "off")


@pytest.fixture(scope="module")
def strict(start_shared, pipelines):
    return Confined(start_shared, pipelines, "--seccomp", "strict", **NO_LEAK_CHECK)


@pytest.mark.parametrize("name", MACHINE_CALLS)
def test_no_worker_can_change_the_machine(usual, unfiltered, strict, name):
    assert usual.call(name) == strict.call(name) == "EPERM"
    if os.geteuid() == 0:  # for others the kernel has the same answer
        assert unfiltered.call(name) not in ("EPERM", "ok"), "this test would prove nothing"


def test_no_worker_makes_a_queue_of_messages(usual):
    """Arguments of -1 make one where it is not denied."""
    assert usual.call("msgget") == "EPERM"


@pytest.mark.parametrize("name", OTHER_CALLS)
def test_processes_of_the_worker_itself_may_look_at_each_other_unless_it_is_strict(usual, strict, name):
    """Those of others it cannot look at because of its Landlock domain (test_faults_isolation)."""
    assert strict.call(name) == "EPERM"
    if landlock_version() >= 2:
        assert usual.call(name) not in ("EPERM", "ok")


@pytest.mark.parametrize("name", NAMESPACES)
def test_no_worker_makes_namespaces(usual, unfiltered, name):
    flag = NAMESPACES[name]
    assert usual.call("unshare", flag) == "EPERM"
    assert usual.call("unshare", flag | 1 << 40) == "EPERM"
    assert usual.call("clone", flag | CLONE_THREAD, 0, 0, 0) == "EPERM"
    assert unfiltered.call("clone", flag | CLONE_THREAD, 0, 0, 0) == "EINVAL"  # a thread needs more flags


def test_calls_that_cannot_be_looked_into_are_hidden(usual, unfiltered):
    assert usual.call("clone3") == "ENOSYS"
    assert unfiltered.call("clone3") != "ENOSYS"
    assert usual.call("unshare", CLONE_FS | CLONE_FILES) == "ok"


@needs_python
@pytest.mark.parametrize("name", ORDINARY)
def test_what_pipelines_do_they_can_do(usual, name):
    if name == "numpy" and usual.code("import numpy") == "ModuleNotFoundError":
        pytest.skip("there is no numpy here")
    assert usual.code(ORDINARY[name]) == "ok"


@needs_python
@pytest.mark.parametrize("name", ORDINARY)
def test_a_strict_worker_can_do_that_but_start_processes_and_open_sockets(strict, name):
    if name == "numpy" and strict.code("import numpy") == "ModuleNotFoundError":
        pytest.skip("there is no numpy here")
    is_denied = name in ("programs", "processes", "pools", "tracked_memory", "sockets", "local_sockets")
    assert strict.code(ORDINARY[name]) == ("EPERM" if is_denied else "ok")


def test_a_strict_worker_of_c_starts_and_opens_nothing_either(strict):
    for name in ("execve", "execveat", "fork", "vfork", "clone"):
        assert strict.call(name, *(0, 0, 0, 0)) == "EPERM"
    assert strict.call("socket", socket.AF_UNIX, socket.SOCK_STREAM, 0) == "EPERM"
    assert strict.call("socketpair", socket.AF_UNIX, socket.SOCK_STREAM, 0, 0) == "EFAULT"


def test_a_crash_of_a_strict_worker_is_reported_like_any_other(strict):
    result = wire.check_line(strict.server.run("me/crash:v1", 0).body)
    assert re.search(r"SIGSEGV\) at address 0x0 in .*\+0x\w+", result["error"]["message"])


@needs_python
@pytest.mark.parametrize("options", [["--python-threads"], []])
def test_runs_of_all_kinds_work_in_strict_workers(start, options):
    graphs = os.path.join(HERE, "pipelines", "worker_graphs.py")
    server = start(f"me/numbers:v1={graphs}:numbers", f"me/ticks:v1={graphs}:ticks",
                   options=["--seccomp", "strict", "--concurrency", "3", *options], **NO_LEAK_CHECK)
    assert [wire.output_of(line)["i"] for line in server.lines("me/numbers:v1", 3, 1)] == [0, 1, 2]
    assert len(server.lines("me/ticks:v1", 3, 1)) == 3


FAMILIES = {"AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16, "AF_PACKET": 17, "AF_VSOCK": 40}


@pytest.mark.parametrize("options", [[], ["--seccomp", "off"], ["--seccomp", "strict"]])
def test_without_network_there_are_only_local_sockets(confined, options):
    server = confined("--network", "none", *options, **NO_LEAK_CHECK)
    for family in FAMILIES.values():
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
            assert server.call("socket", family, kind, 0) == "EPERM"
    assert server.call("socket", socket.AF_UNIX + (1 << 32), socket.SOCK_STREAM, 0) == "EPERM"
    assert server.call("io_uring_setup") == "EPERM"
    is_strict = "strict" in options
    assert server.call("socket", socket.AF_UNIX, socket.SOCK_STREAM, 0) == ("EPERM" if is_strict else "ok")
    if has_python and not is_strict:
        assert server.code(ORDINARY["name_look_ups"]) == "ok"
        assert server.code("import socket; socket.create_connection(('127.0.0.1', 9))") == "EPERM"


@needs_python
def test_what_an_interpreter_loads_by_itself_is_confined_too(start, tmp_path):
    """A virtualenv brings files that run before anything of ours, and may start threads."""
    (tmp_path / "sitecustomize.py").write_text(
        "import queue, resource, threading\n"
        "limit = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "status = open('/proc/self/status').read()\n"
        "asked, answers = queue.Queue(), queue.Queue()\n"
        "def look():\n"
        "    import os, socket\n"
        "    asked.get()\n"
        "    try:\n"
        "        socket.socket()\n"
        "        answers.put('ok')\n"
        "    except OSError as error:\n"
        "        answers.put(error)\n"
        "threading.Thread(target=look, daemon=True).start()\n")
    server = start(f"me/code:v1={CODE}:graph", options=["--seccomp", "strict", "--worker-nofile", "99"],
                   environment={"PYTHONPATH": str(tmp_path)}, **NO_LEAK_CHECK)

    def code(text):
        return wire.output_of(wire.check_line(server.run("me/code:v1", text).body))

    assert code("import sitecustomize; answer = sitecustomize.limit") == "(99, 99)"
    status = code("import sitecustomize; answer = sitecustomize.status")
    assert "NoNewPrivs:\t1\n" in status
    assert "Seccomp:\t2\n" in status
    assert code("import sitecustomize as s; s.asked.put(1); raise s.answers.get()") == "EPERM"
