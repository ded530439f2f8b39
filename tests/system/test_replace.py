# SPDX-License-Identifier: MIT
"""Files are replaced under a running server: those of pipelines, and its own worker program."""

import os
import re
import shutil
import signal

import wire
from confined import needs_python
from conftest import HERE, compile_c
from server import BUILD, TOP, example

EDITION = "local/edition:v1"


def edition(folder, number):
    """A file of the pipeline that is in this edition."""
    return compile_c(os.path.join(HERE, "pipelines/edition.c"), folder / f"edition{number}.so", "-shared", "-fPIC",
                     f"-DEDITION={number}")


def test_a_file_that_is_moved_into_place_is_for_the_next_worker_alone(start, tmp_path):
    live = edition(tmp_path, 1)
    server = start(f"{EDITION}={live}:edition", options=["--concurrency", "2"])
    with server.stream(EDITION, 500, 1) as stream:
        assert wire.output_of(stream.next()) == 1
        os.replace(edition(tmp_path, 2), live)
        assert [wire.output_of(line) for line in server.lines(EDITION, 3, 1)] == [1] * 3
        assert [wire.output_of(line) for line in stream.all()] == [1] * 499
    [worker] = server.workers(EDITION)
    os.kill(worker["pid"], signal.SIGKILL)
    server.wait_worker(EDITION, 0, other_than=worker["pid"])
    assert [wire.output_of(line) for line in server.lines(EDITION, 3, 1)] == [2] * 3


def of_another_build(path):
    """The program, as if it came from other sources."""
    with open(os.path.join(TOP, "build/version.h"), encoding="ascii") as file:
        build = int(re.search(r"BUILD_ID UINT64_C\((0x[0-9a-f]+)\)", file.read())[1], 16)
    own, other = build.to_bytes(8, "little"), (build ^ 1).to_bytes(8, "little")
    program = path.read_bytes()
    assert own in program
    path.write_bytes(program.replace(own, other))


def assert_another_build_is_said(server, pointer, *inputs):
    server.wait_log(rf" warning output pipeline={pointer} .*this worker is of another build than the server; "
                    "a server has to be restarted when its programs were replaced")
    assert len(server.lines(pointer, *inputs)) == 2


def test_a_worker_of_another_build_says_so_in_the_log_and_serves(start, tmp_path):
    worker = shutil.copy(os.path.join(BUILD, "millrace-worker"), tmp_path)
    of_another_build(tmp_path / "millrace-worker")
    assert_another_build_is_said(start(example("numbers.so"), options=["--worker", worker]), "local/numbers:v1", 2, "x", 0)


@needs_python
def test_so_does_one_for_python(start, tmp_path):
    shutil.copytree(os.path.join(BUILD, "python"), tmp_path / "python")
    of_another_build(tmp_path / "python/millrace_worker/_ring.abi3.so")
    server = start(f"local/numbers:v1={os.path.join(HERE, 'pipelines/worker_graphs.py')}:numbers",
                   environment={"PYTHONPATH": str(tmp_path / "python")})
    assert_another_build_is_said(server, "local/numbers:v1", 2, 0)
