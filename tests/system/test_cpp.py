# SPDX-License-Identifier: MIT
"""Pipelines in C++: what becomes of exceptions."""

import os
import re

import pytest

import wire
from conftest import HERE, compile_cpp, public_folder
from server import example

CATCHES = os.path.join(HERE, "pipelines", "catches.cpp")
THROWS = "local/throws:v1"
OWN_FRAME = r"in throws\.so\+0x[0-9a-f]+"


# ---- nobody catches them ---------------------------------------------------------------------------

def test_an_exception_that_nobody_catches_is_told_with_the_place_in_the_pipeline(start, pipelines):
    server = start(pipelines("throws"), options=["--quarantine-after", "0"])
    for number, why in ((1, 'std::runtime_error: thirteen\x1b[2J "and" more'), (2, "int"),
                        (3, "std::runtime_error: " + "x" * 200)):
        mark = server.log_mark()
        error = server.lines(THROWS, number)[-1]["error"]
        assert error["type"] == "pipeline_error"
        head, said = error["message"].split(": uncaught ")
        assert re.fullmatch(rf"the worker process was killed by signal 6 \(SIGABRT\)(, core dumped)? {OWN_FRAME}.*", head)
        assert said.startswith(why) and len(said) < 300
        server.wait_log(r" worker_crash .* signal=6 .*text=\"uncaught " + re.escape(why.split(":")[0]), mark)
    assert server.run(THROWS, 4).json()["outputs"][0]["value"] == 1


def test_what_was_printed_before_an_abort_is_no_exception(start, pipelines):
    server = start(pipelines("throws"), options=["--quarantine-after", "0"])
    message = server.lines(THROWS, 5)[-1]["error"]["message"]
    assert "SIGABRT" in message and "uncaught" not in message


def test_a_fault_inside_a_library_names_who_called_it(start, pipelines):
    server = start(pipelines("throws"))
    message = server.lines(THROWS, 6)[-1]["error"]["message"]
    assert re.search(r"signal 11 \(SIGSEGV\).* at address 0x\w+ in \S*libc\S* ?\S* from throws\.so\+0x[0-9a-f]+", message)


# ---- pipeline.hpp catches them ---------------------------------------------------------------------

@pytest.fixture(scope="module", params=["c++11", "c++17"])
def catching(request, start_shared):
    with public_folder() as folder:
        source = compile_cpp(CATCHES, os.path.join(folder, "catches.so"), "-shared", "-fPIC", standard=request.param)
        yield start_shared(*[f"me/{name}:v1={source}:{name}" for name in ("next", "pipe", "lambda")])


TOLD = [
    ("runtime_error", "pipeline_error", "std::runtime_error: thirteen é 100%s"),
    ("vulkan", "oom", "std::runtime_error: vk::Device::allocateMemory: ErrorOutOfHostMemory"),
    ("out_of_range", "pipeline_error", "std::out_of_range: vector::"),
    ("failure", "input_error", "no such voice: 100%s"),
    ("bad_alloc", "oom", "std::bad_alloc"),
    ("int", "pipeline_error", "an exception of type int"),
    ("odd", "pipeline_error", "an exception of type (anonymous namespace)::odd"),
    ("long", "pipeline_error", "std::runtime_error: xxx"),
]


@pytest.mark.parametrize("how, kind, message", TOLD)
@pytest.mark.parametrize("where", ["next", "pipe"])
def test_an_exception_becomes_the_failure_of_its_run_and_the_worker_goes_on(catching, where, how, kind, message):
    pointer = f"me/{where}:v1"
    pid, mark = catching.workers(pointer)[0]["pid"], catching.log_mark()
    with catching.stream(pointer, how) as stream:
        assert stream.begin().status == (400 if (where, kind) == ("pipe", "input_error") else 200)
        *lines, last = stream
    assert last["error"]["type"] == kind
    assert last["error"]["message"].startswith(f"pipe millrace::pipe<in_{where}>: {message}")
    assert [wire.output_of(line) for line in lines] == ([1, 2] if where == "next" else [])
    if where == "next":
        catching.wait_log(r" output .*text=\"closed after 2\"", mark)
    assert catching.run(pointer, "fine").json()["state"] == "completed"
    assert catching.workers(pointer)[0]["pid"] == pid


def test_values_and_streams_without_exceptions_are_what_they_are(catching):
    assert catching.run("me/pipe:v1", "a\0b").json()["outputs"][0]["value"] == "a\0b\0!"
    assert [wire.output_of(line) for line in catching.lines("me/lambda:v1")] == [1, 2]
    assert [wire.output_of(line) for line in catching.lines("me/next:v1", "fine")] == [1, 2, 3]


def test_a_startup_hook_may_throw_too(start, pipelines):
    server = start(f"me/hook:v1={pipelines('catches')}:hook", example("words.so"))
    server.wait_log(r' pipeline_failed .*type=startup_error .*text="startup hook 1: std::logic_error: no weights"')


def test_a_wrong_pattern_of_the_example_is_the_mistake_of_the_client(start):
    server = start(example("matches.so"))
    error = server.run("local/matches:v1", "text", "[").json()["error"]
    assert error["type"] == "input_error" and error["message"].startswith("pipe millrace::pipe<find>: the pattern is none: ")
    assert [wire.output_of(line) for line in server.lines("local/matches:v1", "aab", "^a|b*")] == ["a", "", "b", ""]
