# SPDX-License-Identifier: MIT
"""What workers may do, tried from inside workers: whatever is denied is denied, and the rest works."""

import os
import pwd
import resource
import shutil
import signal
import subprocess
import tempfile

import pytest

import wire
from server import BUILD, process_exists, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
CODE = os.path.join(HERE, "pipelines", "confined.py")
NAMES = ("call", "file", "limit", "deathsig", "crash")
UNLIMITED = -1

HARD_NOFILE = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

has_python = os.path.exists(os.path.join(BUILD, "python/millrace_worker/_ring.abi3.so"))
needs_python = pytest.mark.skipif(not has_python, reason="the extension was not built: python3-dev is missing")


class Confined:
    """A server of both kinds of workers with these options."""

    def __init__(self, start, pipelines, *options, code=CODE, **more):
        source = pipelines("confined")
        words = [f"me/{name}:v1={source}:{name}" for name in NAMES]
        if has_python:
            words.append(f"me/code:v1={code}:graph")
        self.server = start(*words, options=options, **more)

    def ask(self, name, *values):
        """What the pipeline answers."""
        return wire.output_of(wire.check_line(self.server.run(f"me/{name}:v1", *values).body))

    def code(self, text):
        return self.ask("code", text)

    def limit(self, name, kind):
        """SOFT HARD of a worker of C, or of Python."""
        if kind == "C":
            text = self.ask("limit", name)
        else:
            text = self.code(f"import resource; answer = '%d %d' % resource.getrlimit({name})")
        return tuple(int(number) for number in text.split())


@pytest.fixture
def confined(start, pipelines):
    return lambda *options, **more: Confined(start, pipelines, *options, **more)


@pytest.fixture(scope="module")
def usual(start_shared, pipelines):
    return Confined(start_shared, pipelines)


KINDS = ["C", pytest.param("Python", marks=needs_python)]


# ---- limits ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", KINDS)
def test_workers_have_not_the_descriptors_of_the_server(usual, kind):
    assert usual.limit(resource.RLIMIT_NOFILE, kind) == (min(1024, HARD_NOFILE), min(1 << 19, HARD_NOFILE))


@pytest.mark.parametrize("kind", KINDS)
def test_workers_keep_the_limits_that_nothing_was_said_of(usual, kind):
    for name in (resource.RLIMIT_CORE, resource.RLIMIT_DATA, resource.RLIMIT_NPROC, resource.RLIMIT_AS,
                 resource.RLIMIT_MEMLOCK, resource.RLIMIT_STACK):
        assert usual.limit(name, kind) == resource.getrlimit(name)


@pytest.mark.parametrize("kind", KINDS)
def test_workers_have_the_limits_that_were_said(confined, kind):
    server = confined("--worker-nofile", "80", "--worker-core", "0", "--worker-data", "300m",
                      "--worker-nproc", "12345")
    assert server.limit(resource.RLIMIT_NOFILE, kind) == (80, 80)
    assert server.limit(resource.RLIMIT_CORE, kind) == (0, 0)
    assert server.limit(resource.RLIMIT_DATA, kind) == (300 << 20, 300 << 20)
    assert server.limit(resource.RLIMIT_NPROC, kind) == (12345, 12345)


def test_a_limit_can_be_of_one_pipeline(confined):
    server = confined("--worker-nofile", "me/file:v1=90", "--worker-nofile", "80", "--worker-nofile",
                      "me/limit:v1=100")
    assert server.limit(resource.RLIMIT_NOFILE, "C") == (100, 100)
    if has_python:
        assert server.limit(resource.RLIMIT_NOFILE, "Python") == (80, 80)


@needs_python
def test_memory_beyond_the_data_limit_is_an_error_and_reserved_addresses_are_none(confined):
    """What has no memory behind it is not counted: device libraries reserve far more than there is."""
    server = confined("--worker-data", "me/code:v1=400m")
    assert server.code("answer = len(bytearray(1 << 20))") == str(1 << 20)
    assert server.code("answer = len(bytearray(400 << 20))") == "MemoryError"
    reserve = "import mmap; memory = mmap.mmap(-1, 1 << 40, mmap.MAP_PRIVATE | 0x4000, prot=0)"
    assert server.code(reserve) == "ok"
    shared = "import mmap; memory = mmap.mmap(-1, 1 << 30, mmap.MAP_SHARED)"
    assert server.code(shared) == "ok"


@pytest.mark.skipif(open("/proc/sys/kernel/core_pattern", encoding="ascii").read().strip() != "core",
                    reason="core files of this machine go elsewhere than to the folder of the process")
@pytest.mark.parametrize("option, is_written", [(["--worker-core", "unlimited"], True), (["--worker-core", "0"], False)])
def test_a_crash_leaves_a_core_file_when_it_may(confined, option, is_written):
    """The kernel writes it as the worker, whose domain does not keep it from that."""
    if is_written and os.geteuid() != 0 and resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("core files are forbidden here")
    server = confined(*option).server
    result = wire.check_line(server.run("me/crash:v1", 0).body)
    assert result["state"] == "failed"
    assert "SIGSEGV" in result["error"]["message"]
    assert ("core dumped" in result["error"]["message"]) == is_written
    names = [name for name in os.listdir(server.folder) if name.startswith("core")]
    assert len(names) == (1 if is_written else 0)
    for name in names:
        with open(os.path.join(server.folder, name), "rb") as file:
            assert file.read(4) == b"\x7fELF"


# ---- another user ----------------------------------------------------------------------------------

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may change users")


@pytest.fixture(scope="module")
def public(pipelines):
    """A folder that every user may read, with what workers load: the usual places may be root's alone."""
    folder = tempfile.mkdtemp(prefix="millrace-test-", dir="/tmp")
    try:
        os.chmod(folder, 0o755)
        if has_python:
            shutil.copytree(os.path.join(BUILD, "python"), os.path.join(folder, "python"))
        shutil.copy(CODE, folder)
        shutil.copy(pipelines("confined"), folder)
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def as_nobody(start_shared, public):
    return Confined(start_shared, lambda name: os.path.join(public, f"{name}.so"), "--worker-user", "nobody",
                    "--python", "/usr/bin/python3", environment={"PYTHONPATH": os.path.join(public, "python")},
                    code=os.path.join(public, "confined.py"))


@needs_root
@needs_python
def test_a_worker_of_another_user_has_nothing_of_root(as_nobody):
    nobody = pwd.getpwnam("nobody")
    assert as_nobody.code("import os; answer = os.getresuid() + os.getresgid()") \
        == str((nobody.pw_uid,) * 3 + (nobody.pw_gid,) * 3)
    assert as_nobody.code("import os; answer = os.getgroups()") == str([nobody.pw_gid])
    assert as_nobody.code("import os; answer = os.environ['HOME']") == nobody.pw_dir
    status = as_nobody.code("answer = open('/proc/self/status').read()")
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert f"{kind}:\t{0:016x}\n" in status
    assert "NoNewPrivs:\t1\n" in status
    assert as_nobody.code("import os; os.setuid(0)") == "EPERM"
    assert as_nobody.code("open('/etc/shadow')") == "EACCES"


@needs_root
@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_of_another_user_can_open_what_is_its_own(as_nobody, kind):
    for path in ("/proc/self/mem", "/proc/self/environ", "/dev/stdout", "/dev/stderr", "/dev/null"):
        if kind == "C":
            assert as_nobody.ask("file", path, os.O_WRONLY if path.startswith("/dev") else os.O_RDONLY) == "ok"
        else:
            assert as_nobody.code(f"open({path!r}, {'w' if path.startswith('/dev') else 'r'!r})") == "ok"


@needs_root
def test_a_worker_of_another_user_works_and_dies_like_any_other(start, public):
    server = start(f"me/limit:v1={public}/confined.so:limit", options=["--worker-user", "nobody"])
    pid, = [worker["pid"] for worker in server.workers("me/limit:v1")]
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        assert f"Uid:\t{pwd.getpwnam('nobody').pw_uid}\t" in file.read()
    mark = server.log_mark()
    os.kill(pid, signal.SIGKILL)
    server.wait_log("worker_ready", since=mark)
    pid, = [worker["pid"] for worker in server.workers("me/limit:v1")]
    server.signal(signal.SIGKILL)
    server.wait_exit()
    wait_until(lambda: not process_exists(pid), what="the worker's end")


@needs_root
@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_of_another_user_still_dies_with_the_server(as_nobody, kind):
    """By the signal that it asked for, which a process that changes its user loses."""
    if kind == "C":
        assert as_nobody.ask("deathsig", 0) == str(int(signal.SIGKILL))
    else:
        assert as_nobody.code("import ctypes; number = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(number));"
                              " answer = number.value") == str(int(signal.SIGKILL))


def test_a_worker_that_cannot_become_its_user_does_not_run(start, pipelines):
    """In a namespace of users that has root alone."""
    if subprocess.run(["unshare", "--map-root-user", "true"], check=False).returncode != 0:
        pytest.skip("this machine has no namespaces of users")
    server = start(f"me/limit:v1={pipelines('confined')}:limit", options=["--worker-user", "4321:1"],
                   command=["unshare", "--map-root-user"])
    assert "1 of the pipelines failed" in server.ready_line
    error = wire.check_line(server.run("me/limit:v1", 0).body)["error"]
    assert error["type"] == "startup_error"
    assert "the worker cannot be confined: setgroups to user 4321, group 1: Operation not permitted" in error["message"]
    server.wait_log("the worker process exited with code 75")
