# SPDX-License-Identifier: MIT
"""The worker for Python: what does not load says why, and which interpreter it runs in."""

import glob
import os
import re
import shutil
import subprocess

import pytest

from test_python_worker import BROKEN, GRAPHS, check, outputs, pointer, pytestmark, served

assert pytestmark  # of all tests that need the extension: it holds here, too


@pytest.mark.parametrize("argument, why", [
    ("worker_broken.py:x", "RuntimeError('broken on purpose')"),
    ("worker_graphs.py:nothing", "no pipeline nothing: it has"),
    ("worker_graphs.py:GRACE", "no pipeline GRACE"),
    ("worker_graphs.py:LOADED_IN", "LOADED_IN is an int, not a pipeline"),
    ("worker_graphs.py", "it has several pipelines, say which: "),
    ("no_such_module:x", "No module named 'no_such_module'"),
    ("wire:x", "No module named 'wire'")])
def test_what_does_not_load_says_why(argument, why):
    result = check(argument)
    assert result.returncode != 0
    assert why in result.stderr


def test_a_module_is_found_from_the_folder_of_the_server():
    assert check("worker_graphs:numbers").returncode == 0


def test_a_module_that_does_not_load_fails_its_runs_with_its_traceback(start):
    server = start(*served("plain"), f"me/broken:v1={BROKEN}:x", options=["--tracebacks", "client"])
    server.wait_log(r"pipeline_failed .*broken on purpose")
    server.wait_log(r'pipeline_traceback pipeline=me/broken:v1 worker=0 text="  File \\".*worker_broken.py')
    response = server.run("me/broken:v1")
    assert response.status == 500
    error = response.json()["error"]
    assert error["type"] == "startup_error"
    assert response.json()["state"] == "failed"
    assert error["message"] == "RuntimeError('broken on purpose')"
    assert error["traceback"].startswith("Traceback (most recent call last):\n")
    assert f'File "{BROKEN}", line 4, in <module>' in error["traceback"]


def test_a_server_with_nothing_that_loads_says_where_it_broke_and_ends(start):
    server = start(f"me/broken:v1={BROKEN}:x", wait=False)
    assert server.wait_exit() == 4
    assert any("worker_broken.py\", line 4, in <module>" in line for line in server.log)
    assert any("worker_exit" in line and "exited with code 72" in line for line in server.log)


def test_a_startup_hook_that_fails_is_said(start):
    server = start(*served("plain", "never_started"), options=["--tracebacks", "client"])
    server.wait_log(r"pipeline_failed .*RuntimeError\('no weights'\)")
    server.wait_log(r"worker_exit .*exited with code 73")
    response = server.run(pointer("never_started"))
    assert response.status == 500
    assert response.json()["error"]["type"] == "startup_error"
    assert "in fail_to_start" in response.json()["error"]["traceback"]


# ---- interpreters ----------------------------------------------------------------------------------

def interpreters():
    """All that are at hand, oldest first, by version."""
    found = {}
    places = os.environ.get("PATH", "").split(":") + glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin"))
    for place in places:
        for path in glob.glob(os.path.join(place, "python3.[0-9]*")):
            match = re.fullmatch(r"python3\.(\d+)", os.path.basename(path))
            if match and int(match[1]) >= 9 and os.path.dirname(path).find("shims") == -1:
                found.setdefault(int(match[1]), path)
    return [found[minor] for minor in sorted(found)]


@pytest.mark.parametrize("path", interpreters())
def test_one_build_serves_every_interpreter(start, path):
    server = start(*served("interpreter", "numbers", "ticks"), options=["--python", path])
    minor = int(path.rsplit(".", 1)[1])
    (line, ) = server.lines(pointer("interpreter"))
    assert line["outputs"][1]["value"] == [3, minor]
    assert len(server.lines(pointer("numbers"), 1000, 0)) == 1000
    assert len(server.lines(pointer("ticks"), 3, 1)) == 3


@pytest.fixture(scope="module", params=interpreters())
def virtualenv(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("virtualenv") / "env"
    made = subprocess.run([request.param, "-m", "venv", "--without-pip", folder], capture_output=True, text=True,
                          check=False, timeout=60)
    if made.returncode != 0:
        pytest.skip(f"venv does not work here: {made.stderr}")
    site = glob.glob(str(folder / "lib/python3.*/site-packages"))[0]
    os.mkdir(os.path.join(site, "pipeline"))
    with open(os.path.join(site, "pipeline/__init__.py"), "w", encoding="ascii") as file:
        file.write("WHOSE = 'of the virtualenv'\n")
    return folder


def test_a_virtualenv_is_served_with_its_own_packages(start, virtualenv, tmp_path):
    source = tmp_path / "uses.py"
    shutil.copy(GRAPHS, tmp_path / "worker_graphs.py")
    source.write_text("import pipeline\nfrom worker_graphs import Graph, interpreter\n"
                      "whose = Graph(lambda: [pipeline.WHOSE], [], ['string'])\n", encoding="ascii")
    server = start(f"me/whose:v1={source}:whose", f"me/interpreter:v1={source}:interpreter",
                   options=["--python", str(virtualenv / "bin/python")])
    assert outputs(server.lines("me/whose:v1")) == [["of the virtualenv"]]
    assert outputs(server.lines("me/interpreter:v1"))[0][0] == str(virtualenv)


def test_the_python_of_an_activated_virtualenv_is_found(start, virtualenv):
    server = start(*served("interpreter"), environment={"PATH": f"{virtualenv}/bin:{os.environ['PATH']}"})
    assert outputs(server.lines(pointer("interpreter")))[0][0] == str(virtualenv)


@pytest.mark.parametrize("path, why", [
    ("/nonexistent/python3", "cannot execute the Python interpreter /nonexistent/python3: No such file or directory"),
    ("no-such-python", "cannot execute the Python interpreter no-such-python: No such file or directory"),
    ("/tmp", "cannot execute the Python interpreter /tmp: Permission denied")])
def test_an_interpreter_that_is_not_there_is_said(path, why):
    result = check(f"{GRAPHS}:numbers", "--python", path)
    assert result.returncode == 6
    assert why in result.stderr
