# SPDX-License-Identifier: MIT
"""What workers may do, tried from inside workers: whatever is denied is denied, and the rest works."""

import ctypes
import os
import pwd
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import pytest

import wire
from server import BUILD, IS_SANITIZED, MILLRACE, process_exists, wait_until

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
        # Folders in it may be read by every worker.
        more = {"environment": {"PYTHONPATH": ""}, **more}
        self.server = start(*words, options=["--python", sys.executable, *options], **more)

    def ask(self, name, *values):
        """What the pipeline answers."""
        return wire.output_of(wire.check_line(self.server.run(f"me/{name}:v1", *values).body))

    def code(self, text):
        return self.ask("code", text)

    def call(self, name, *numbers):
        """A system call made by the worker of C; numbers that are not said are -1."""
        return self.ask("call", call_number(name), *map(int, (numbers + (-1,) * 4)[:4]))

    def limit(self, name, kind):
        """SOFT HARD of a worker of C, or of Python."""
        if kind == "C":
            text = self.ask("limit", name)
        else:
            text = self.code(f"import resource; answer = '%d %d' % resource.getrlimit({name})")
        return tuple(int(number) for number in text.split())


def call_number(name):
    resolve = ctypes.CDLL("libseccomp.so.2").seccomp_syscall_resolve_name
    return resolve(name.encode())


def landlock_version():
    return ctypes.CDLL(None).syscall(call_number("landlock_create_ruleset"), None, 0, 1)


@pytest.fixture
def confined(start, pipelines):
    return lambda *options, **more: Confined(start, pipelines, *options, **more)


@pytest.fixture(scope="module")
def usual(start_shared, pipelines):
    return Confined(start_shared, pipelines)


# Sanitizers map shadows of all memory; and look for leaks from a process that they start at the end.
unless_sanitized = pytest.mark.skipif(IS_SANITIZED, reason="sanitizers take memory that pipelines do not")
NO_LEAK_CHECK = {"worker_options": "detect_leaks=0"}

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
    server = confined("--worker-nofile", "80", "--worker-core", "0", "--worker-data", "1000000g",
                      "--worker-nproc", "12345")
    assert server.limit(resource.RLIMIT_NOFILE, kind) == (80, 80)
    assert server.limit(resource.RLIMIT_CORE, kind) == (0, 0)
    assert server.limit(resource.RLIMIT_DATA, kind) == (1000000 << 30, 1000000 << 30)
    assert server.limit(resource.RLIMIT_NPROC, kind) == (12345, 12345)


def test_a_limit_can_be_of_one_pipeline(confined):
    server = confined("--worker-nofile", "me/file:v1=90", "--worker-nofile", "80", "--worker-nofile",
                      "me/limit:v1=100")
    assert server.limit(resource.RLIMIT_NOFILE, "C") == (100, 100)
    if has_python:
        assert server.limit(resource.RLIMIT_NOFILE, "Python") == (80, 80)


@needs_python
@unless_sanitized
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
                    environment={"PYTHONPATH": os.path.join(public, "python")},
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


@needs_root
@needs_python
def test_a_user_has_no_more_threads_than_were_said(start, public):
    server = start(f"me/code:v1={public}/confined.py:graph",
                   options=["--worker-user", "4321:4321", "--worker-nproc", "8", "--python", sys.executable],
                   environment={"PYTHONPATH": os.path.join(public, "python")})
    result = server.run("me/code:v1", "import threading; stop = threading.Event(); count = 1\n"
                        "try:\n"
                        "    for count in range(1, 20): threading.Thread(target=stop.wait).start()\n"
                        "except RuntimeError: answer = count\n"
                        "finally: stop.set()\n")
    assert wire.output_of(wire.check_line(result.body)) == "8"


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


# ---- system calls ----------------------------------------------------------------------------------

# Arguments of -1 make each of them fail harmlessly where it is not denied.
MACHINE_CALLS = ["init_module", "finit_module", "delete_module", "kexec_load", "reboot", "bpf", "perf_event_open",
                 "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "syslog", "mount", "umount2",
                 "pivot_root", "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr",
                 "setns", "open_by_handle_at", "fanotify_init", "add_key", "request_key", "keyctl", "swapon", "swapoff",
                 "acct", "quotactl", "settimeofday", "clock_settime", "sethostname", "setdomainname"]
OTHER_CALLS = ["ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "process_madvise", "kcmp"]
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


# Each leaves "ok", or raises.
ORDINARY = {
    "threads": "import threading; t = threading.Thread(target=print); t.start(); t.join()",
    "programs": "import subprocess; subprocess.run(['/bin/sh', '-c', 'exit 0'], check=True)",
    "processes": "import os; pid = os.fork() or os._exit(0); os.waitpid(pid, 0)",
    "pools": "import multiprocessing as m; p = m.get_context('spawn').Pool(1); assert p.map(abs, [-1]) == [1]; p.close()",
    "sockets": "import socket; socket.create_server(('127.0.0.1', 0)).close()",
    "local_sockets": "import socket; socket.socket(socket.AF_UNIX).close()",
    "socket_pairs": "import socket; [end.close() for end in socket.socketpair()]",
    "event_loops": "import asyncio; asyncio.new_event_loop().close()",
    "numpy": "import numpy; assert (numpy.ones((50, 50)) @ numpy.ones((50, 50))).sum() == 50 ** 3",
    "locked_memory": "import ctypes; libc = ctypes.CDLL(None); b = ctypes.create_string_buffer(64); "
                     "assert libc.mlock(b, 64) == 0",
    "memory_files": "import os; os.close(os.memfd_create('x'))",
    "shared_memory": "import os; os.close(os.open('/dev/shm/millrace-test', os.O_CREAT)); "
                     "os.unlink('/dev/shm/millrace-test')",
    "tracked_memory": "from multiprocessing import shared_memory as m; s = m.SharedMemory(create=True, size=9); "
                     "s.close(); s.unlink()",
    "reserved_addresses": "import mmap; mmap.mmap(-1, 1 << 40, mmap.MAP_PRIVATE | 0x4000, prot=0)",
    "affinity": "import os; os.sched_setaffinity(0, os.sched_getaffinity(0))",
    "priorities": "import os; os.nice(1)",
    "own_state": "open('/proc/self/maps').read()",
    "signals": "import signal; signal.raise_signal(signal.SIGCHLD)",
    "timers": "import signal; signal.setitimer(signal.ITIMER_REAL, 0)",
    "files": "import tempfile; tempfile.TemporaryFile().close()",
    "name_look_ups": "import socket; socket.getaddrinfo('127.0.0.1', 80)",
}


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


# ---- files and connections -------------------------------------------------------------------------

def needs_landlock(version):
    return pytest.mark.skipif(landlock_version() < version, reason=f"this kernel has no Landlock {version}")


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
    ("f = '/dev/shm/millrace-test'; open(f, 'w'); os.unlink(f)", "ok"),
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


@needs_landlock(3)
def test_files_can_be_allowed_to_one_pipeline(confined, tree):
    server = confined("--allow-write", f"me/file:v1={tree / 'mine'}", "--allow-write", "me/code:v1=none")
    assert server.ask("file", str(tree / "mine" / "c"), os.O_CREAT | os.O_WRONLY) == "ok"
    assert server.ask("file", str(tree / "other" / "c"), os.O_CREAT | os.O_WRONLY) == "EACCES"
    if has_python:
        assert server.code(f"open({str(tree / 'mine' / 'c')!r}, 'w')") == "EACCES"


@needs_landlock(3)
@pytest.mark.skipif(open("/proc/sys/kernel/core_pattern", encoding="ascii").read().strip() != "core",
                    reason="core files of this machine go elsewhere than to the folder of the process")
@pytest.mark.parametrize("allowed, is_written", [("none", False), (".", True)])
def test_a_core_file_is_written_where_the_worker_may_write(confined, allowed, is_written):
    if os.geteuid() != 0 and resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("core files are forbidden here")
    server = confined("--worker-core", "unlimited", "--allow-write", allowed).server
    wire.check_line(server.run("me/crash:v1", 0).body)
    assert any(name.startswith("core") for name in os.listdir(server.folder)) == is_written


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
                                 "127.0.0.1:0", *options], capture_output=True, text=True, check=False, timeout=20)
        assert result.returncode == 2
        return result.stderr

    for option in ("--allow-read", "--allow-write"):
        assert serve(option, "/nowhere") == f"millrace: serve: {option} /nowhere: No such file or directory\n"
        assert serve(option, "me/no:v1=/") == f"millrace: serve: {option} me/no:v1=/: no pipeline me/no:v1 is served\n"
    assert serve("--allow-connect", "65536") \
        == "millrace: serve: --allow-connect 65536 is out of range, 1 to 65535\n"


# ---- memory ----------------------------------------------------------------------------------------

@pytest.fixture
def limited(start, confined):
    """A server whose group may be divided: as it is started here, or in a scope of its own."""
    if not has_python:
        pytest.skip("the extension was not built: python3-dev is missing")
    options = ["--worker-memory", "me/code:v1=150m"]
    reasons = []
    for command in ([], ["systemd-run", "--scope", "--quiet", "-p", "Delegate=yes"]):
        if command and not os.path.isdir("/run/systemd/system"):
            continue
        server = start(f"me/code:v1={CODE}:graph", options=[*options, "--python", sys.executable], command=command,
                       wait=False)
        try:
            return server.wait_ready()
        except AssertionError:
            reasons += [line for line in server.log if "control group" in line]
            assert server.wait_exit() == 2 and reasons, server.log
    return pytest.skip(reasons[0])


@unless_sanitized
def test_a_worker_that_needs_more_memory_than_its_limit_is_killed_and_replaced(limited):
    def code(text):
        return wire.check_line(limited.run("me/code:v1", text).body)

    group = wire.output_of(code("answer = open('/proc/self/cgroup').read()"))
    assert re.search(r"^0::.*/millrace-\d+-0-0$", group, re.MULTILINE)
    assert wire.output_of(code("answer = len(bytearray(60 << 20))")) == str(60 << 20)
    for greedy in ("bytearray(400 << 20)",
                   "import subprocess, sys; subprocess.run([sys.executable, '-c', 'bytearray(400 << 20)'])"):
        mark = limited.log_mark()
        error = code(greedy)["error"]
        assert error["type"] == "oom"
        assert error["message"].endswith("(SIGKILL): it needed more than its limit of 150 MiB of memory")
        limited.wait_log("worker_ready", mark)
    # One that was killed otherwise was not over the limit; and takes all it started with it.
    daemon = int(wire.output_of(code("import subprocess; answer = subprocess.Popen(['sleep', '100'], "
                                     "start_new_session=True).pid")))
    worker, = [worker["pid"] for worker in limited.workers("me/code:v1")]
    mark = limited.log_mark()
    os.kill(worker, signal.SIGKILL)
    assert "limit" not in limited.wait_log("worker_exit.*", mark)[0]
    wait_until(lambda: not process_exists(daemon), what="the end of what the worker started")


def test_a_server_whose_group_cannot_be_divided_does_not_start(pipelines):
    """One that has other processes, or that cannot limit memory: this test's own is such a one."""
    try:
        result = subprocess.run([MILLRACE, "serve", f"me/limit:v1={pipelines('confined')}:limit", "--listen",
                                 "127.0.0.1:0", "--worker-memory", "1g"], capture_output=True, text=True, check=False,
                                timeout=5)
    except subprocess.TimeoutExpired:
        pytest.skip("the group of the tests can be divided")
    assert result.returncode == 2
    assert re.match(r"millrace: --worker-memory: .*(control group .*Delegate=|not mounted)", result.stderr)
