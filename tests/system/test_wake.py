# SPDX-License-Identifier: MIT
"""Pipelines that are woken by threads and descriptors, as the comment of their example says."""

import os
import re
import shlex
import subprocess

import pytest

import wire
from server import TOP

EXAMPLE = os.path.join(TOP, "docs/examples/wake.c")
PRIMES, TICKS = "local/primes:v1", "local/ticks:v1"
PRINTED_ADDRESS = "127.0.0.1:8080"


def commands():
    """Those of the comment, with their ends of line as they are printed."""
    with open(EXAMPLE, encoding="utf-8") as file:
        comment = file.read().split("*/")[1]
    text = re.sub(r"^ \*", "", comment, flags=re.MULTILINE)
    found = re.findall(r"^     (?:cc|millrace|curl) (?:.*\\\n)*.*$", text, re.MULTILINE)
    return [command.strip() for command in found]


def command_of(program):
    return [command for command in commands() if command.startswith(program + " ")]


@pytest.fixture(scope="module")
def server(start_shared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wake")
    folder.chmod(0o755)
    compile_command, = command_of("cc")
    compile_command = compile_command.replace("$(pkg-config --cflags millrace)", f"-I{shlex.quote(TOP)}/include")
    compile_command = compile_command.replace(" wake.c ", f" {shlex.quote(EXAMPLE)} ")
    subprocess.run(["sh", "-c", compile_command], cwd=folder, check=True, timeout=60)
    serve, = command_of("millrace")
    words = serve.split()[2:]
    sources = [str(folder / word) for word in words if word.startswith("wake.so:")]
    return start_shared(*sources, options=words[len(sources):])


def run(server, pipeline, count):
    with wire.Stream(server.connect(), wire.run_body(pipeline, [count])) as stream:
        return [wire.output_of(line) for line in stream.all()]


def test_the_curl_lines_of_the_example_work_as_printed(server):
    results = []
    for command in command_of("curl"):
        command = command.replace(PRINTED_ADDRESS, server.address)
        command = command.replace("curl ", "curl -sS -H 'Authorization: Bearer token' --max-time 30 ", 1)
        done = subprocess.run(["sh", "-c", command], check=True, capture_output=True, timeout=60)
        results.append([wire.output_of(wire.check_line(line)) for line in done.stdout.splitlines()])
    assert results == [[2, 3, 5, 7, 11], [1, 2, 3]]


def test_both_wait_beside_each_other_on_one_worker(server):
    streams = []
    for count in range(1, 9):
        for pipeline in (PRIMES, TICKS):
            stream = wire.Stream(server.connect(), wire.run_body(pipeline, [count]))
            streams.append((stream, count))
    for stream, count in streams:
        with stream:
            assert len(stream.all()) == count


def test_a_client_that_leaves_ends_a_thread_in_its_work_and_the_worker_goes_on(server):
    for _ in range(10):
        with wire.Stream(server.connect(), wire.run_body(PRIMES, [1000000])) as stream:
            assert wire.output_of(stream.next()) == 2
    assert run(server, PRIMES, 3) == [2, 3, 5]
    assert not server.log_since(0, " worker_exit ")
