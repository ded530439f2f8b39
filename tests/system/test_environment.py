# SPDX-License-Identifier: MIT
"""Variables of workers: --env and --env-file, for all pipelines or for one, and nothing else of the server's."""

import os
import pwd
import shutil
import subprocess
import sys

import pytest

import wire
from confined import Confined, needs_python, needs_root
from server import AS_SERVER, MILLRACE, SLOWNESS, children_of, example

ONE, TWO = "me/one:v1", "me/two:v1"
SURROUNDINGS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pipelines", "surroundings.py")
CANARY = "0f5a-canary-1d7e"
SECRET = "b83c-secret-77aa"


def two(start, folder, *options, environment=None):
    source = shutil.copy(SURROUNDINGS, folder)
    return start(f"{ONE}={source}:graph", f"{TWO}={source}:graph", environment=environment,
                 options=["--python", sys.executable, *options])


def value(server, pointer, name):
    return wire.output_of(wire.check_line(server.run(pointer, name).body))["value"]


def of_process(pid, name):
    with open(f"/proc/{pid}/{name}", "rb") as file:
        return file.read()


def variables(pid):
    """NAME: VALUE, in bytes, as the process was started with them."""
    return dict(item.split(b"=", 1) for item in of_process(pid, "environ").split(b"\0") if item)


def processes(server):
    """All of the server's own: name in ps, without its number → those that have it."""
    found = {}
    for pid in children_of(server.process.pid):
        found.setdefault(of_process(pid, "comm").decode().strip().rstrip("0123456789"), []).append(pid)
    return found


@needs_python
def test_a_pipeline_has_its_own_variables_and_those_of_all(start, tmp_path):
    common, own = tmp_path / "common.env", tmp_path / "own.env"
    common.write_text("# of all\nFROM_FILE=common\nOVERRIDDEN=by a word\n")
    own.write_bytes(b"\n  FROM_FILE= \"as it stands\" $HOME \r\nFROM_OWN=1\n")
    server = two(start, tmp_path, "--env", "OVERRIDDEN=yes", "--env", f"{ONE}=PLACE=here=there", "--env", "PLACE=there",
                 "--env-file", str(common), "--env-file", f"{TWO}={own}", "--env", "PASSED", "--env", "EMPTY=",
                 environment={"PASSED": "on", "NOT_PASSED": "x"})
    wanted = {"OVERRIDDEN": ("yes", "yes"), "PLACE": ("here=there", "there"), "PASSED": ("on", "on"), "EMPTY": ("", ""),
              "FROM_FILE": ("common", ' "as it stands" $HOME '), "FROM_OWN": (None, "1"), "NOT_PASSED": (None, None)}
    for name, values in wanted.items():
        assert (value(server, ONE, name), value(server, TWO, name)) == values, name


@needs_python
def test_values_arrive_whatever_is_in_them(start, tmp_path):
    items = {b"LINES": b"a\nb\n", b"LONG": b"x" * 20480, b"UTF8": "\u00e4\U0001f600".encode(), b"BYTES": b"\xff\xfe\x80",
             b"SPACES": b"  a  ", b"EQUALS": b"==="}
    options = [word for name, text in items.items() for word in (b"--env", name + b"=" + text)]
    server = two(start, tmp_path, *options)
    for worker in (*server.workers(ONE), *server.workers(TWO)):
        assert items.items() <= variables(worker["pid"]).items()


@needs_python
def test_nothing_else_of_the_server_reaches_any_other_process(start, tmp_path):
    """Nor do values of one pipeline reach another one, a command line, or the log."""
    secrets = tmp_path / "secrets.env"
    secrets.write_text(f"FROM_FILE=file-{SECRET}\n")
    server = two(start, tmp_path, "--env", f"{ONE}=TOKEN", "--env-file", f"{ONE}={secrets}", "--log-level", "debug",
                 environment={"CANARY": CANARY, "TOKEN": SECRET, "PIPELINE_API_TOKEN": CANARY})
    assert CANARY.encode() in of_process(server.process.pid, "environ")  # or nothing here is proved
    assert server.run(ONE, "x" * 100_000).status == 200  # read by the reader
    names = processes(server)
    own, other = server.workers(ONE)[0]["pid"], server.workers(TWO)[0]["pid"]
    assert set(names) == {"mr-spawner", "mr-reader", "mr-worker-"} and sorted(names["mr-worker-"]) == sorted([own, other])
    for pid in sum(names.values(), []):
        assert CANARY.encode() not in of_process(pid, "environ"), names
        assert (SECRET.encode() in of_process(pid, "environ")) == (pid == own), names
        for secret in (CANARY, SECRET):
            assert secret.encode() not in of_process(pid, "cmdline"), names
    assert variables(own)[b"TOKEN"] == SECRET.encode()
    os.kill(own, 9)  # which is logged, with all that may be said of it
    server.wait_worker(ONE, 0, own)
    assert value(server, ONE, "TOKEN") == SECRET
    assert not [line for line in server.log if CANARY in line or SECRET in line]


@needs_python
def test_a_pipeline_may_have_modules_of_its_own(start, tmp_path):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "marker.py").write_text("TEXT = 'mine'\n")
    server = two(start, tmp_path, "--env", f"{ONE}=PYTHONPATH={tmp_path}/modules", "--allow-read", "none")
    markers = [wire.output_of(wire.check_line(server.run(pointer, "x").body))["marker"] for pointer in (ONE, TWO)]
    assert markers == ["mine", None]


def test_many_workers_with_large_variables_start_at_once(start):
    """Their requests for processes do not fit into one socket together."""
    server = start(example("numbers.so"), options=["--workers", "12", "--env", "LARGE=" + "x" * 60_000,
                                                   "--log-level", "debug"])
    assert [line for line in server.log if "worker_start_failed" in line] == []
    for worker in server.workers("local/numbers:v1"):
        assert len(variables(worker["pid"])[b"LARGE"]) == 60_000


@needs_root
@needs_python
@pytest.mark.parametrize("user, home", [("own", "/"), ("nobody", pwd.getpwnam("nobody").pw_dir)])
def test_the_home_that_is_said_goes_before_that_of_the_user(start, public, user, home):
    for said in (None, "/srv/caches"):
        options = ["--env", f"me/code:v1=HOME={said}"] if said else []
        confined = Confined(start, lambda name: os.path.join(public, f"{name}.so"), "--worker-user", user, *options,
                            environment={"PYTHONPATH": os.path.join(public, "python")},
                            code=os.path.join(public, "confined.py"))
        assert confined.code("import os; answer = os.environ['HOME']") == (said or home)


@needs_python
def test_check_gives_them_too(tmp_path):
    source, file = tmp_path / "needy.py", tmp_path / "file.env"
    source.write_text("import os\n"
                      "from pipeline import Pipeline, Variable, pipe\n"
                      "@pipe\n"
                      "def same(text: str) -> str:\n"
                      "    return text\n"
                      "with Pipeline() as builder:\n"
                      "    text = Variable(str, title=os.environ['ONE'] + os.environ['TWO'])\n"
                      "    builder.output(same(text))\n"
                      "graph = builder.get_pipeline()\n")
    file.write_text("ONE=from the file\nTWO= and a word\n")

    def check(*options):
        return subprocess.run([MILLRACE, "check", str(source), "--python", sys.executable, *options],
                              capture_output=True, text=True, timeout=60 * SLOWNESS)

    assert "KeyError" in check("--env", "TWO=").stderr
    assert "from the file, and a word" in check("--env", "TWO=, and a word", "--env-file", str(file)).stdout
    assert check("--env", "NOT_SET_ANYWHERE").returncode == 2


@pytest.mark.parametrize("options, line", [
    (["--env", "NOT_SET_ANYWHERE"], "--env NOT_SET_ANYWHERE: this server has no such variable "
                                    "(NOT_SET_ANYWHERE= is an empty one)"),
    (["--env", f"A.B={SECRET}"], "--env A: it is not NAME=VALUE (a name has letters, digits and _)"),
    (["--env", f"MILLRACE_WORKER_INDEX={SECRET}"],
     "--env MILLRACE_WORKER_INDEX: names that begin with MILLRACE_ are the server's own"),
    (["--env", f"me/two:v1=A={SECRET}"], "--env: no pipeline me/two:v1 is served (nearest: me/one:v1)"),
    (["--env", "A=" + SECRET * 5000], "--env A: the variables of a pipeline have 65536 bytes at most"),
    (["--env-file", "{file}"], "--env-file {file}:2: it is not NAME=VALUE (a name has letters, digits and _)"),
    (["--env-file", "nowhere"], "--env-file nowhere: No such file or directory"),
])
def test_what_cannot_be_is_said_without_a_value(tmp_path, options, line):
    file = tmp_path / "file.env"
    file.write_text(f"A=1\n{SECRET}==\n")
    options = [option.format(file=file) for option in options]
    result = subprocess.run([MILLRACE, "serve", f"{ONE}={example('numbers.so')}", *options, *AS_SERVER],
                            capture_output=True, text=True, timeout=30 * SLOWNESS)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"millrace: serve: {line.format(file=file)}\n"
    assert SECRET not in result.stderr
