# SPDX-License-Identifier: MIT
"""Workers of a server that is root have users of their own: what that keeps apart, and whom it must not lock out."""

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

import wire
from confined import NAMES, Confined, has_python, needs_python, needs_root
from server import MILLRACE, process_exists, process_fields, wait_until

pytestmark = needs_root

OWN = ("--worker-user", "own")
LIMIT_CPU = 0


def user_of(pid):
    """The four numbers of its user, and of its group; and its other groups."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        status = file.read()
    return [re.search(rf"^{name}:\s*(.*?)\s*$", status, re.MULTILINE)[1].split() for name in ("Uid", "Gid", "Groups")]


@pytest.fixture
def own(start, public):
    """own(OPTION...) is a server of such workers."""
    def made(*options):
        return Confined(start, lambda name: os.path.join(public, f"{name}.so"), *OWN, *options,
                        environment={"PYTHONPATH": os.path.join(public, "python")},
                        code=os.path.join(public, "confined.py"))
    return made


def pids_of(server, names):
    return [worker["pid"] for name in names for worker in server.workers(f"me/{name}:v1")]


def test_each_worker_is_a_user_that_nobody_else_is(own):
    server = own("--workers", "2").server
    match = server.wait_log(r" worker_users first=(\d+) last=(\d+)$")
    range_of_users = range(int(match[1]), int(match[2]) + 1)
    pids = pids_of(server, NAMES)
    users = [user_of(pid) for pid in pids]
    for uids, gids, groups in users:
        assert len(set(uids + gids + groups)) == 1
        assert int(uids[0]) in range_of_users
    assert len({uids[0] for uids, _, _ in users}) == len(pids) == 2 * len(NAMES)


def test_the_kernel_alone_keeps_them_from_each_other_and_from_the_server(own):
    """No filter of system calls here, and what Landlock has no say in."""
    confined = own("--seccomp", "off")
    sibling, = [worker["pid"] for worker in confined.server.workers("me/limit:v1")]
    spawner = int(process_fields(sibling)[3])  # its session
    for pid in (confined.server.process.pid, spawner, sibling):
        assert confined.call("prlimit64", pid, LIMIT_CPU, 0, 0) == "EPERM"
        assert confined.call("setpriority", 0, pid, 19) == "EPERM"
        assert confined.call("sched_setaffinity", pid, 0, 0) == "EPERM"
        assert confined.call("ioprio_set", 1, pid, 0) == "EPERM"
        assert confined.ask("file", f"/proc/{pid}/oom_score_adj", os.O_WRONLY) == "EACCES"
    own_pid, = [worker["pid"] for worker in confined.server.workers("me/call:v1")]
    assert confined.call("setpriority", 0, own_pid, 19) == "ok"
    assert confined.call("setpriority", 2, 0, 19) == "ok"  # all of its user: itself
    assert os.getpriority(os.PRIO_PROCESS, confined.server.process.pid) == os.getpriority(os.PRIO_PROCESS, 0)


def leave_behind(confined):
    """A process that has left group and session of the worker; nobody reads what it writes."""
    return int(confined.code("import subprocess; answer = subprocess.Popen(['/bin/sleep', '1000'], "
                             "start_new_session=True).pid"))


@needs_python
def test_what_a_worker_left_behind_is_gone_before_its_successor_starts(own):
    confined = own()
    left = leave_behind(confined)
    pid, = [worker["pid"] for worker in confined.server.workers("me/code:v1")]
    bystanders = pids_of(confined.server, NAMES)
    assert process_exists(left)
    mark = confined.server.log_mark()
    os.kill(pid, signal.SIGKILL)
    confined.server.wait_worker("me/code:v1", 0, pid, mark)
    assert not process_exists(left)
    assert pids_of(confined.server, NAMES) == bystanders


@needs_python
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_workers_left_behind_ends_with_the_server(own, number):
    confined = own()
    left = leave_behind(confined)
    confined.server.signal(number)
    confined.server.wait_exit()
    wait_until(lambda: not process_exists(left), what="the end of what was left")


def serve(*words, command=(), folder=None):
    return subprocess.run([*command, MILLRACE, "serve", *words, "--listen", "127.0.0.1:0"], capture_output=True,
                          text=True, check=False, timeout=20, cwd=folder)


@pytest.mark.parametrize("source", ["{}/confined.so", "confined.so"])
@pytest.mark.parametrize("options", [(), OWN])
def test_what_such_a_user_cannot_read_is_said_at_the_start_with_its_whole_path(tmp_path, public, options, source):
    shutil.copy(os.path.join(public, "confined.so"), tmp_path)
    tmp_path.chmod(0o700)
    result = serve(f"me/limit:v1={source.format(tmp_path)}:limit", *options, folder=tmp_path)
    assert result.returncode == 2
    assert re.fullmatch(r"millrace: serve: workers have users of their own, and user \d+ cannot read "
                        rf"{tmp_path}/confined.so: open it .*\n", result.stderr)


@needs_python
def test_an_interpreter_that_such_a_user_cannot_read_is_said_with_the_option_for_another(tmp_path, public):
    tmp_path.chmod(0o700)
    shutil.copy(sys.executable, tmp_path / "python3")
    result = serve(f"me/code:v1={public}/confined.py:graph", "--python", str(tmp_path / "python3"))
    assert result.returncode == 2
    assert f"cannot read {tmp_path}/python3: " in result.stderr
    assert "say another --python" in result.stderr


def test_workers_are_root_when_that_is_said(start, public):
    server = start(f"me/limit:v1={public}/confined.so:limit", f"me/call:v1={public}/confined.so:call",
                   options=["--worker-user", "root", "--worker-user", "me/call:v1=own"])
    root, = pids_of(server, ["limit"])
    other, = pids_of(server, ["call"])
    assert user_of(root)[0] == ["0"] * 4
    assert "0" not in user_of(other)[0]


def test_a_server_that_is_not_root_can_give_no_users(public):
    for word, why in (("own", "only root can do that, with CAP_SETUID, CAP_SETGID and CAP_KILL"),
                      ("root", "the server is not")):
        result = serve(f"me/limit:v1={public}/confined.so:limit", "--worker-user", word,
                       command=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
        assert result.returncode == 2
        assert result.stderr == f"millrace: serve: --worker-user {word}: {why}\n"


def test_where_root_has_no_users_to_give_workers_stay_root_and_that_is_said(start, public):
    if subprocess.run(["unshare", "--map-root-user", "true"], check=False).returncode != 0:
        pytest.skip("this machine has no namespaces of users")
    server = start(f"me/limit:v1={public}/confined.so:limit", options=["--worker-user", "me/limit:v1=own"],
                   command=["unshare", "--map-root-user"], wait=False)
    assert server.wait_exit() == 2
    assert any("--worker-user own: no 2 numbers of users are free" in line for line in server.log)
    server = start(f"me/limit:v1={public}/confined.so:limit", command=["unshare", "--map-root-user"],
                   environment={}, default_user=True)
    server.wait_log(r' warning worker_users_missing reason="no 2 numbers of users are free: .*" result="workers are root, ')
    assert wire.output_of(wire.check_line(server.run("me/limit:v1", 0).body))


def test_check_loads_as_such_a_user_where_it_can(public, tmp_path):
    def check(path):
        return subprocess.run([MILLRACE, "check", f"{path}:limit"], capture_output=True, text=True, check=False,
                              timeout=20)

    assert check(f"{public}/confined.so").stderr == ""
    tmp_path.chmod(0o700)
    shutil.copy(os.path.join(public, "confined.so"), tmp_path)
    result = check(tmp_path / "confined.so")
    assert result.returncode == 0
    assert result.stderr.startswith("millrace: check: loaded as root, which 'millrace serve' would not do: workers have users of "
                                    "their own, and user ")


@needs_python
def test_an_interpreter_runs_as_such_a_user(own):
    confined = own()
    assert has_python
    assert confined.code("import os; answer = os.getuid() == os.getgid() > 1000") == "True"
    assert confined.code("import os; answer = os.environ['HOME']") == "/"
    assert confined.code("open('/etc/shadow')") == "EACCES"
    assert confined.code("import tempfile; tempfile.TemporaryFile().close()") == "ok"
