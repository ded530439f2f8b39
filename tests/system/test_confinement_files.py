# SPDX-License-Identifier: MIT
"""Files and connections tried from inside workers: what is not allowed is denied, and the rest works."""

import os
import resource
import shutil
import socket
import subprocess
import sys

import pytest

import wire
from confined import (CODE, NO_LEAK_CHECK, ORDINARY, Confined, has_python, landlock_version, needs_core_files,
                      needs_landlock, needs_python)
from server import AS_SERVER, MILLRACE


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The folders `mine`, which is allowed below, and `other`, each with a file and a folder."""
    top = tmp_path_factory.mktemp("tree")
    for name in ("mine", "other"):
        (top / name / "folder").mkdir(parents=True)
        (top / name / "file").write_text("here")
        shutil.copy("/bin/true", top / name / "program")
    return top


@pytest.fixture(scope="module")
def reader(start_shared, pipelines, tree):
    return Confined(start_shared, pipelines, "--allow-read", str(tree / "mine"))


@needs_landlock(2)
def test_a_worker_reads_below_the_allowed_folders_only(reader, tree):
    for path, is_allowed in ((tree / "mine" / "file", True), (tree / "other" / "file", False),
                             ("/etc/hostname", True), ("/proc/self/status", True), ("/dev/urandom", True),
                             ("/sys/devices/system/cpu/online", True), (__file__, False)):
        assert reader.ask("file", str(path), os.O_RDONLY) == ("ok" if is_allowed else "EACCES"), path
    assert reader.ask("file", str(tree / "other" / "new"), os.O_CREAT | os.O_WRONLY) == "ok"  # nothing was said of that


@needs_python
@needs_landlock(2)
def test_a_worker_that_may_not_read_all_loads_what_it_needs(reader, tree):
    for name in ("threads", "programs", "processes", "pools", "event_loops", "tracked_memory", "name_look_ups", "numpy"):
        if name != "numpy" or reader.code("import numpy") != "ModuleNotFoundError":
            assert reader.code(ORDINARY[name]) == "ok"
    run = "import subprocess; subprocess.run([{!r}], check=True)"
    assert reader.code(run.format(str(tree / "mine" / "program"))) == "ok"
    assert reader.code(run.format(str(tree / "other" / "program"))) == "EACCES"
    assert reader.code(f"import os; os.listdir({str(tree / 'other')!r})") == "EACCES"
    # Nor through a link, a folder that is open, or another root.
    assert reader.code(f"import os; os.symlink({str(tree / 'other' / 'file')!r}, {str(tree / 'mine' / 'link')!r}); "
                       f"open({str(tree / 'mine' / 'link')!r})") == "EACCES"
    assert reader.code(f"import os; fd = os.open({str(tree / 'other')!r}, os.O_PATH); os.open('file', 0, dir_fd=fd)") \
        == "EACCES"
    if os.geteuid() == 0:
        assert reader.code(f"import os; pid = os.fork()\n"
                           f"if pid == 0:\n"
                           f"    os.chroot({str(tree / 'other')!r})\n"
                           f"    try: open('/file')\n"
                           f"    except PermissionError: os._exit(7)\n"
                           f"    os._exit(0)\n"
                           f"answer = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])") == "7"


@needs_python
@needs_landlock(2)
def test_a_virtualenv_somewhere_else_can_be_read(start, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True, timeout=60)
    folder, = (tmp_path / "venv" / "lib").iterdir()
    (folder / "site-packages" / "installed_there.py").write_text("answer = 42\n")
    server = start(f"me/code:v1={CODE}:graph",
                   options=["--python", str(tmp_path / "venv/bin/python"), "--allow-read", "none"])
    result = wire.check_line(server.run("me/code:v1", "import installed_there as i; answer = i.answer").body)
    assert wire.output_of(result) == "42"


@pytest.fixture(scope="module")
def writer(start_shared, pipelines, tree):
    return Confined(start_shared, pipelines, "--allow-write", str(tree / "mine"))


# Each with {mine} and {other}, and what comes of it.
WRITES = [
    ("open('{mine}/new', 'w')", "ok"), ("open('{other}/new', 'w')", "EACCES"), ("open('{other}/file', 'a')", "EACCES"),
    ("os.truncate('{other}/file', 0)", "EACCES"), ("os.open('{other}/file', os.O_TRUNC)", "EACCES"),
    ("os.truncate('{mine}/file', 1)", "ok"),
    ("os.mkdir('{mine}/made'); os.rmdir('{mine}/made')", "ok"), ("os.mkdir('{other}/made')", "EACCES"),
    ("os.rmdir('{other}/folder')", "EACCES"), ("os.unlink('{other}/file')", "EACCES"),
    ("os.rename('{mine}/file', '{mine}/folder/file'); os.rename('{mine}/folder/file', '{mine}/file')", "ok"),
    ("os.rename('{other}/file', '{mine}/stolen')", "EACCES"), ("os.rename('{mine}/file', '{other}/put')", "EACCES"),
    ("os.link('{other}/file', '{mine}/linked'); open('{mine}/linked', 'w')", "EXDEV"),
    ("os.symlink('{other}/file', '{mine}/to'); open('{mine}/to', 'w')", "EACCES"),
    ("os.symlink('x', '{other}/to')", "EACCES"), ("os.mkfifo('{mine}/fifo')", "ok"), ("os.mkfifo('{other}/fifo')", "EACCES"),
    ("os.mknod('{mine}/device', stat.S_IFCHR, os.makedev(1, 3))", "EACCES"),
    ("socket.socket(socket.AF_UNIX).bind('{mine}/socket')", "ok"),
    ("socket.socket(socket.AF_UNIX).bind('{other}/socket')", "EACCES"),
    ("open('{other}/file').read()", "ok"), ("open('/dev/null', 'w')", "ok"),
    ("f = '/dev/shm/millrace-test-%d' % os.getpid(); open(f, 'w'); os.unlink(f)", "ok"),
    ("open('/proc/sys/kernel/core_pattern', 'w')", "EACCES"), ("tempfile.TemporaryFile(dir='/tmp')", "EACCES"),
    ("tempfile.TemporaryFile(dir='{mine}')", "ok"),
]


@needs_python
@needs_landlock(3)
@pytest.mark.parametrize("code, answer", WRITES)
def test_a_worker_writes_below_the_allowed_folders_only(writer, tree, code, answer):
    code = code.format(mine=tree / "mine", other=tree / "other")
    assert writer.code("import os, socket, stat, tempfile; " + code) == answer
    assert (tree / "other" / "file").read_text() == "here"


@needs_python
@needs_landlock(3)
def test_what_may_be_written_may_be_read(confined, tree):
    server = confined("--allow-read", "none", "--allow-write", str(tree / "mine"))
    assert server.code(f"open({str(tree / 'mine' / 'program')!r}, 'rb').read(1)") == "ok"
    assert server.code(f"open({str(tree / 'other' / 'program')!r}, 'rb')") == "EACCES"


@needs_python
@needs_landlock(3)
def test_temporary_files_are_where_tmpdir_says_and_the_options_allow(confined, tree):
    """tempfile reads what it has written; where it may not, it goes on to other folders, the working one last."""
    code = "import os, tempfile; tempfile.TemporaryFile().close(); answer = tempfile.gettempdir()"
    for options, folder, answer in ((["--allow-read", str(tree / "mine")], "mine", str(tree / "mine")),
                                    (["--allow-read", "none", "--allow-write", str(tree / "mine")], "mine", str(tree / "mine")),
                                    (["--allow-read", "none"], "other", "ENOENT"),
                                    (["--allow-write", "none"], "other", "ENOENT")):
        server = confined(*options, environment={"PYTHONPATH": "", "TMPDIR": str(tree / folder)})
        assert server.code(code) == answer
    server = confined("--allow-read", "none", environment={"PYTHONPATH": ".", "TMPDIR": str(tree / "other")})
    assert server.code(code.replace("answer = ", "answer = os.getcwd() == ")) == "True"


@needs_landlock(3)
def test_files_can_be_allowed_to_one_pipeline(confined, tree):
    server = confined("--allow-write", f"me/file:v1={tree / 'mine'}", "--allow-write", "me/code:v1=none")
    assert server.ask("file", str(tree / "mine" / "c"), os.O_CREAT | os.O_WRONLY) == "ok"
    assert server.ask("file", str(tree / "other" / "c"), os.O_CREAT | os.O_WRONLY) == "EACCES"
    if has_python:
        assert server.code(f"open({str(tree / 'mine' / 'c')!r}, 'w')") == "EACCES"


@needs_landlock(3)
@needs_core_files
@pytest.mark.parametrize("allowed, is_written", [("none", False), (".", True)])
def test_a_core_file_is_written_where_the_worker_may_write(confined, allowed, is_written):
    if os.geteuid() != 0 and resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("core files are forbidden here")
    server = confined("--worker-core", "unlimited", "--allow-write", allowed).server
    wire.check_line(server.run("me/crash:v1", 0).body)
    assert any(name.startswith("core") for name in os.listdir(server.folder)) == is_written


OF_OTHERS = ["oom_score_adj", "coredump_filter", "autogroup", "timerslack_ns", "clear_refs"]


@needs_landlock(2)
def test_a_worker_writes_no_file_of_another_process_in_proc(confined, tmp_path):
    """All of them have the same user, so nothing else keeps them apart."""
    usual, off = confined(), confined("--seccomp", "off")
    name_of_ours = f"/dev/shm/millrace-test-{os.getpid()}"
    for server, result in ((usual, "EACCES"), (off, "ok")):
        own, = [worker["pid"] for worker in server.server.workers("me/file:v1")]
        sibling, = [worker["pid"] for worker in server.server.workers("me/limit:v1")]
        for pid in (server.server.process.pid, sibling):
            for name in filter(lambda one: os.path.exists(f"/proc/{pid}/{one}"), OF_OTHERS):
                assert server.ask("file", f"/proc/{pid}/{name}", os.O_WRONLY) == result, name
        assert server.ask("file", f"/proc/{own}/oom_score_adj", os.O_WRONLY) == "ok"
        assert server.ask("file", f"/proc/{sibling}/stat", os.O_RDONLY) == "ok"
        for path in ("/dev/null", str(tmp_path / "new"), name_of_ours):
            assert server.ask("file", path, os.O_WRONLY | os.O_CREAT) == "ok", path
    os.unlink(name_of_ours)


@needs_python
@needs_landlock(4)
def test_a_worker_connects_to_the_allowed_ports_only(confined):
    with socket.create_server(("127.0.0.1", 0)) as mine, socket.create_server(("127.0.0.1", 0)) as other:
        server = confined("--allow-connect", str(mine.getsockname()[1]), "--allow-connect", "me/file:v1=1")
        connect = "import socket; socket.create_connection(('127.0.0.1', {}))"
        assert server.code(connect.format(mine.getsockname()[1])) == "ok"
        assert server.code(connect.format(other.getsockname()[1])) == "EACCES"
        assert server.code(connect.format(1)) == "EACCES"
        assert server.code("import socket; socket.socket().bind(('127.0.0.1', 0))") == "EACCES"
        assert server.code(ORDINARY["local_sockets"]) == "ok"
        assert server.code("import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('127.0.0.1', 9))") == "ok"


@needs_python
@needs_landlock(4)
def test_with_allowed_ports_processes_work_together_but_for_what_listens_on_a_local_socket(confined):
    server = confined("--allow-connect", "1")
    for name in ("processes", "programs", "pools", "tracked_memory"):
        assert server.code(ORDINARY[name]) == "ok", name
    assert server.code("import multiprocessing as m; m.Manager()") == "EOFError"
    assert server.code("import multiprocessing as m; m.get_context('forkserver').Process(target=print).start()") == "EPERM"
    assert server.code("from multiprocessing import reduction; reduction.DupFd(0)") == "EPERM"


def test_the_log_says_what_workers_are_denied(confined, tree):
    server = confined("--seccomp", "me/call:v1=strict", "--network", "me/file:v1=none", "--allow-read",
                      f"me/file:v1={tree}", **NO_LEAK_CHECK).server
    usual = "write=all connect=all user=- memory_mib=0"
    server.wait_log(f" info confined pipeline=me/call:v1 seccomp=strict network=all read=all {usual}$")
    server.wait_log(f" info confined pipeline=me/file:v1 seccomp=default network=none read=restricted {usual}$")
    assert bool(server.log_since(0, " warning isolation_missing ")) == (landlock_version() < 2)


def test_what_cannot_be_allowed_is_said_at_the_start(pipelines):
    def serve(*options):
        result = subprocess.run([MILLRACE, "serve", f"me/limit:v1={pipelines('confined')}:limit", "--listen",
                                 "127.0.0.1:0", *AS_SERVER, *options], capture_output=True, text=True, check=False, timeout=20)
        assert result.returncode == 2
        return result.stderr

    for option in ("--allow-read", "--allow-write"):
        assert serve(option, "/nowhere") == f"millrace: serve: {option} /nowhere: No such file or directory\n"
        assert serve(option, "me/no:v1=/") == f"millrace: serve: {option}: no pipeline me/no:v1 is served\n"
    assert serve("--allow-connect", "65536") \
        == "millrace: serve: --allow-connect 65536 is out of range, 1 to 65535\n"
