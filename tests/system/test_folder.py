# SPDX-License-Identifier: MIT
"""--folder: where workers run, and that what they are told by path is found nevertheless."""

import os
import re
import shutil
import subprocess

import pytest

from confined import needs_python
from conftest import public_folder
from editions import EDITION, File, edition_of
from operator_socket import tell
from server import MILLRACE, SLOWNESS, example, wait_until

WHERE = '''
import os
from pipeline import Pipeline, Variable, pipe

@pipe
def where(path: str) -> str:
    return os.getcwd() + " " + open(path).read()

with Pipeline() as builder:
    path = Variable(str)
    builder.output(where(path))

graph = builder.get_pipeline()
'''


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "code/app").mkdir(parents=True)
    (tmp_path / "code/where.py").write_text(WHERE)
    (tmp_path / "code/app/inside.py").write_text(WHERE)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/note").write_text("from data")
    (tmp_path / "millrace.yaml").write_text(
        "pipelines:\n  me/where:v1: {source: code/where.py, folder: data}\n"
        "  me/module:v1: {source: 'app.inside:graph', folder: ./code}\n")
    return tmp_path


def value_of(server, pointer, *values):
    answer = server.run(pointer, *values).json()
    return answer["outputs"][0]["value"] if answer["outputs"] else answer["error"]["message"]


@needs_python
def test_workers_run_there_and_find_their_sources_and_modules(start, folder):
    with start(options=["--config", str(folder / "millrace.yaml")]) as server:
        assert value_of(server, "me/where:v1", "note") == f"{folder}/data from data"
        assert value_of(server, "me/module:v1", "../data/note") == f"{folder}/code from data"


@needs_python
def test_paths_of_the_command_line_begin_where_the_server_was_started(start, folder):
    os.symlink(folder / "code", folder / "link")
    beside = os.path.relpath(folder, "/tmp")
    with start(f"me/where:v1={beside}/link/where.py", options=["--folder", f"{beside}/data"],
               command=["env", "-C", "/tmp"]) as server:
        assert value_of(server, "me/where:v1", "note") == f"{folder}/data from data"


def test_one_that_is_not_there_or_closed_is_a_start_that_fails_and_says_so(start, tmp_path):
    file = File(tmp_path)
    file.publish(1)
    file.say(EDITION, folder="data")
    file.write()
    server = start(options=["--config", str(file.path)])
    told = server.run(EDITION, 1, 0)
    assert told.status == 500 and "the worker cannot run in its folder: data: No such file or directory" in str(told.body)
    server.wait_log(re.escape(f"folder: {tmp_path}/data: No such"))
    (tmp_path / "data").mkdir()
    tell(server, "restart")
    wait_until(lambda: server.get("/readyz").status == 200)
    assert edition_of(server) == [1]
    file.say(EDITION, folder="gone")
    file.write()
    answer = tell(server, "reload")
    assert [failed["pointer"] for failed in answer["failed"]] == [EDITION]
    file.say(EDITION)
    file.write()
    assert tell(server, "reload")["replaced"] == [EDITION]  # it is another process


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives workers users of their own")
def test_it_is_entered_as_the_worker_s_user(start):
    with public_folder() as folder:
        os.mkdir(folder + "/data", 0o700)
        shutil.copy(example("numbers.so"), folder)
        os.chmod(folder + "/numbers.so", 0o755)
        server = start(f"me/numbers:v1={folder}/numbers.so", options=["--folder", folder + "/data"], default_user=True)
        server.wait_log(re.escape(f"the worker cannot run in its folder: {folder}/data: Permission denied"))


def test_check_loads_there_too(tmp_path):
    file = File(tmp_path)
    file.publish(1)
    file.say(EDITION, folder="data")
    if os.geteuid() == 0:
        file.say(EDITION, folder="data", worker_user="root")
    file.write()

    def check():
        return subprocess.run([MILLRACE, "check", "-c", "millrace.yaml", "--load"], cwd=tmp_path, capture_output=True,
                              text=True, timeout=60 * SLOWNESS)

    assert "cannot run in its folder" in check().stderr
    (tmp_path / "data").mkdir()
    assert check().returncode == 0
