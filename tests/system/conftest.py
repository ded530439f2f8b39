# SPDX-License-Identifier: MIT
"""What every system test has: a bound on its time, servers that are always ended, pipelines for tests."""

import contextlib
import functools
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile

import pytest

import routes
import server as servers
from confined import CODE, Confined, has_python

# The package `pipeline`, for tests that call it themselves.
sys.path.insert(0, os.path.join(servers.TOP, "worker/python"))
# Which servers its user has configured is no matter of these tests.
os.environ["PIPELINE_DIR"] = os.devnull

# A test that says nothing else ends after this; @pytest.mark.bounded(seconds) says something else.
TEST_TIMEOUT_S = 60
HERE = os.path.dirname(os.path.abspath(__file__))


def pytest_configure(config):
    # A shell that begins a job in the background has these ignored, and so would all servers be.
    for number in (signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    config.addinivalue_line("markers", "bounded(seconds): how long the test may take on a fast build")


class Overdue(Exception):
    """The test did not end in its time."""


def bounded(item):
    """Runs one phase of a test, and ends it with an error when its time is over."""
    marker = item.get_closest_marker("bounded")
    seconds = (marker.args[0] if marker else TEST_TIMEOUT_S) * servers.SLOWNESS

    def on_alarm(*_):
        raise Overdue(f"the test did not end in {seconds} s")

    previous = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def pytest_runtest_protocol(item):
    """Of processes that share a folder of tests (tests/run), each runs those files that it is the first to take."""
    return None if is_ours(item.path) else True


@functools.lru_cache(maxsize=None)
def is_ours(path):
    """Whether this process runs the tests of that file. It asks when it comes to them, so that a process which has
    long ones takes fewer."""
    taken = os.environ.get("TAKEN_TESTS")
    try:
        if taken:
            os.mkdir(os.path.join(taken, path.name))
    except FileExistsError:
        return False
    return True


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_setup(item):
    yield from bounded(item)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    yield from bounded(item)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item):
    yield from bounded(item)


def make_start(tmp_path_factory, started):
    def start(*pipelines, options=(), wait=True, **more):
        server = servers.Server(tmp_path_factory.mktemp("server"), pipelines, *options, **more)
        started.append(server)
        return server.wait_ready() if wait else server

    return start


@pytest.fixture
def start(tmp_path_factory):
    """start(PIPELINE..., options=[...]) is a ready server, which ends with the test. A server that the
    test has not ended itself is stopped, and must stop cleanly."""
    yield from started_servers(tmp_path_factory)


@pytest.fixture(scope="module")
def start_shared(tmp_path_factory):
    """Likewise, for servers that the tests of a module share."""
    yield from started_servers(tmp_path_factory)


def started_servers(tmp_path_factory):
    started = []
    try:
        yield make_start(tmp_path_factory, started)
        for server in started:
            if server.is_alive():
                server.stop()
            else:
                server.check_reports()
    finally:
        for server in started:
            server.end()


@pytest.fixture
def connection(server):
    """A connection to the server that the tests of a module share as their `server`."""
    with server.connect() as connection:
        yield connection


@pytest.fixture
def file(tmp_path):
    """A configuration file of two pipelines, whose code has editions."""
    from editions import File  # pylint: disable=import-outside-toplevel,cyclic-import

    return File(tmp_path).say_both()


@pytest.fixture
def begin(start, file):
    """begin(OPTION...) is a server of that file as it is then; server.said is the file."""
    def begun(*options, **more):
        file.write()
        server = start(options=["--config", str(file.path), *options], **more)
        server.said = file
        return server

    return begun


@pytest.fixture
def small_disk(tmp_path):
    """small_disk(kib) is a disk of that size: the command in front of a server that has it, in a namespace of the
    server's own; its folder there; and seen(pid), the folder to be seen from here. In a chroot there may be none; then
    root mounts it for the test."""
    folder, is_mounted = tmp_path / "small", False

    def made(kib):
        nonlocal is_mounted
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=700", "none", str(folder)]
        private = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
        command, root = [*private, "sh", "-c", f'{shlex.join(mount)} && exec "$0" "$@"'], "/proc/{pid}/root"
        if subprocess.run([*private, "true"], check=False, capture_output=True).returncode != 0:
            if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
                pytest.skip("no disk can be mounted here")
            is_mounted, command, root = True, [], ""
        return command, folder, lambda pid: f"{root.format(pid=pid)}{folder}"

    yield made
    if is_mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def compile_c(source, target, *options):
    subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-g", "-Wall", "-Wextra", "-Werror",
                    "-I" + os.path.join(servers.TOP, "include"), "-o", target, source, *options],
                   check=True, timeout=60)
    return str(target)


def compile_cpp(source, target, *options, standard="c++11"):
    subprocess.run(["c++", "-std=" + standard, "-O2", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion",
                    "-Werror", "-I" + os.path.join(servers.TOP, "include"), "-o", target, source, *options],
                   check=True, timeout=60)
    return str(target)


@contextlib.contextmanager
def public_folder():
    """One that every user may read; those of pytest are root's alone."""
    folder = tempfile.mkdtemp(prefix="millrace-test-", dir="/tmp")
    try:
        os.chmod(folder, 0o755)
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def pipelines():
    """pipelines("shapes") is the shared object made of tests/system/pipelines/shapes.c, or .cpp."""
    with public_folder() as folder:
        def built(name):
            target = os.path.join(folder, f"{name}.so")
            if not os.path.exists(target):
                source = os.path.join(HERE, "pipelines", name)
                if os.path.exists(source + ".cpp"):
                    compile_cpp(source + ".cpp", target, "-shared", "-fPIC")
                else:
                    compile_c(source + ".c", target, "-shared", "-fPIC")
            return target

        yield built


@pytest.fixture(scope="session")
def fakes(tmp_path_factory):
    """fakes("nvml") is the folder in which that library lies, under the name that it has on machines with a GPU."""
    names = {"nvml": "libnvidia-ml.so.1", "vulkan": "libvulkan.so.1"}
    made = {}

    def fake(name, *options):
        if (name, options) not in made:
            folder = tmp_path_factory.mktemp(name)
            compile_c(os.path.join(HERE, "fakes", f"{name}.c"), str(folder / names[name]), "-shared", "-fPIC", *options)
            made[name, options] = str(folder)
        return made[name, options]

    return fake


@pytest.fixture
def confined(start, pipelines):
    """confined(OPTION...) is a server whose workers say what they may do."""
    return lambda *options, **more: Confined(start, pipelines, *options, **more)


@pytest.fixture(scope="module")
def usual(start_shared, pipelines):
    """Likewise, for the tests of a module, with workers as they are when nothing is said."""
    return Confined(start_shared, pipelines)


@pytest.fixture(scope="module")
def public(pipelines):
    """A folder that every user may read, with what workers load: the usual places may be root's alone."""
    with public_folder() as folder:
        if has_python:
            shutil.copytree(os.path.join(servers.BUILD, "python"), os.path.join(folder, "python"))
        shutil.copy(CODE, folder)
        shutil.copy(pipelines("confined"), folder)
        yield folder


@pytest.fixture
def site():
    """A server that answers as it is told to, for clients."""
    with routes.served() as server:
        yield server


@pytest.fixture(scope="session")
def load_client(tmp_path_factory):
    """The program of clients/load.c: many streams at once, at next to no cost."""
    return compile_c(os.path.join(HERE, "clients", "load.c"), tmp_path_factory.mktemp("load") / "load")
