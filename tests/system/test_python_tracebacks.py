# SPDX-License-Identifier: MIT
"""Tracebacks of Python pipelines: the frames of the author's code, and no others."""

import builtins
import importlib
import os
import re
import sys

import pytest

from pipeline.objects.graph import Stream
from server import BUILD, SLOWNESS, TOP

HERE = os.path.dirname(os.path.abspath(__file__))
AUTHORED = os.path.join(HERE, "pipelines", "authored.py")
SHOWN = ["--tracebacks", "client"]
OWN = re.compile(r"millrace_worker|/pipeline/objects/|frozen|importlib/__init__")

needs_worker = pytest.mark.skipif(
    not os.path.exists(os.path.join(BUILD, "python/millrace_worker/_ring.abi3.so")),
    reason="the extension was not built: python3-dev is missing")


def served(*names):
    return [f"me/{name}:v1={AUTHORED}:{name}" for name in names]


@pytest.fixture(scope="module")
def server(start_shared):
    return start_shared(*served("settings", "lists", "fails", "fails_asynchronously"), options=SHOWN)


def error_of(server, name, value):
    return server.lines(f"me/{name}:v1", value)[-1]["error"]


def functions(traceback):
    """Those that have a frame in it, outermost first."""
    return re.findall(r'^  File ".*", line \d+, in (.+)$', traceback, re.MULTILINE)


# ---- as clients see them -----------------------------------------------------------------------------

@needs_worker
@pytest.mark.parametrize("name, value, frames, last", [
    ("fails", "item", ["chars"], "ValueError: of an item"),
    ("fails", "cause", ["chars", "chars"], "RuntimeError: second"),
    ("fails", "import", ["chars"], "ModuleNotFoundError: No module named 'no_such_module'"),
    ("lists", "ab", ["of_list"], None),
    ("fails_asynchronously", "abc", ["failing_asynchronously"], "ValueError: abc")])
def test_a_traceback_has_the_frames_of_user_code_alone(server, name, value, frames, last):
    error = error_of(server, name, value)
    assert functions(error["traceback"]) == frames
    assert not OWN.search(error["traceback"])
    assert error["traceback"].startswith("Traceback (most recent call last):\n")
    assert last is None or error["traceback"].endswith(f"\n{last}\n")


@needs_worker
def test_a_mistake_of_a_schema_is_told_once(server):
    error = server.run("me/settings:v1", {"size": -1}).json()["error"]
    assert error["type"] == "input_error"
    assert "2 validation errors for Settings" in error["message"]
    assert error["traceback"] is None


@needs_worker
def test_what_is_raised_by_an_iterator_that_is_closed_is_in_the_log_without_our_frames(server):
    mark = server.log_mark()
    with server.stream("me/fails:v1", "closed") as stream:
        line = stream.next()
        while line["outputs"][0]["value"] != "more":
            line = stream.next()
    run = line["id"]
    server.wait_log(rf"run={run} .*RuntimeError: while it is closed", mark)
    told = "\n".join(server.log_since(mark, rf"run={run} stream"))
    assert "in chars" in told
    assert not OWN.search(told)


@needs_worker
def test_a_startup_that_fails_is_told_with_the_frame_of_the_pipe_alone(start):
    server = start(*served("lists", "never_started"), options=SHOWN)
    server.wait_log(r"pipeline_failed .*RuntimeError\('no weights'\)")
    error = server.run("me/never_started:v1", "x").json()["error"]
    assert (error["type"], functions(error["traceback"])) == ("startup_error", ["load"])
    server.wait_log("pipeline_traceback .*RuntimeError: no weights")
    assert not any(OWN.search(line) for line in server.log_since(0, "pipeline_traceback"))


@needs_worker
def test_a_start_that_fails_again_and_again_is_in_the_log_whole_once(start):
    server = start(*served("lists", "never_started"), options=["--workers", "2"])
    server.wait_log(r"pipeline_failed .* same_as_before=8 text=\"RuntimeError\('no weights'\)\"$", timeout_s=40 * SLOWNESS)
    told = [line for line in server.log_since(0) if "never_started" in line]
    assert sum(" pipeline_failed " in line for line in told) == 5  # the first one, and 1, 2, 4, 8
    assert sum("Traceback" in line for line in told) == 1
    assert sum(" worker_exit " in line for line in told) == 1
    assert len(told) < 20


# ---- of any exception --------------------------------------------------------------------------------

@pytest.fixture
def failure(monkeypatch):
    monkeypatch.syspath_prepend(os.path.join(TOP, "worker/python"))
    return importlib.import_module("millrace_worker._failure")


def caught(function, *arguments):
    try:
        function(*arguments)
    except BaseException as exception:
        # Without the frame of this function.
        return exception.with_traceback(exception.__traceback__.tb_next)
    return None


def listed(items):
    return Stream(items)


def test_frames_of_ours_go_wherever_they_are(failure):
    def items():
        yield 1
        raise ValueError("inside")

    def read():
        return list(Stream(Stream(items())))

    assert functions(failure.traceback_of(caught(read))) == ["read", "items"]
    assert functions(failure.traceback_of(caught(listed, [1]))) == ["listed"]


def test_causes_and_contexts_stay_also_those_that_are_all_ours(failure):
    def chained():
        try:
            Stream.__init__(object.__new__(Stream), [1])
        except TypeError as error:
            error.__traceback__ = error.__traceback__.tb_next
            raise KeyError("second") from error

    lines = failure.traceback_of(caught(chained)).splitlines()
    assert lines[0].startswith("TypeError: Stream() takes an iterator")
    assert "The above exception was the direct cause of the following exception:" in lines
    assert lines[-1] == "KeyError: 'second'"
    assert lines.count("Traceback (most recent call last):") == 1


def test_a_context_that_is_not_shown_is_not(failure):
    def replaced():
        try:
            raise KeyError("secret")
        except KeyError:
            raise ValueError("shown") from None

    assert "secret" not in failure.traceback_of(caught(replaced))


def test_an_exception_without_a_frame_of_user_code_has_no_traceback(failure):
    def refused():
        Stream([1])

    assert failure.traceback_of(caught(refused).with_traceback(None)) is None


def test_a_syntax_error_is_shown_with_its_line(failure):
    told = failure.traceback_of(caught(compile, "a =\n", "/mine/broken.py", "exec").with_traceback(None))
    assert 'File "/mine/broken.py", line 1' in told
    assert told.endswith("SyntaxError: invalid syntax\n")


def test_a_recursion_without_an_end_is_told_in_few_lines(failure):
    def again(n):
        return again(n + 1)

    told = failure.traceback_of(caught(again, 0))
    assert "Previous line repeated" in told
    assert len(told.splitlines()) < 20


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there are no groups of exceptions before Python 3.11")
def test_the_exceptions_of_a_group_are_told_each_without_our_frames(failure):
    def grouped():
        raise builtins.ExceptionGroup("several", [caught(listed, [1]), ValueError("one")])

    told = failure.traceback_of(caught(grouped))
    assert not OWN.search(told)
    assert "in grouped" in told and "in listed" in told and "ValueError: one" in told


def test_an_exception_that_cannot_be_shown_has_its_frames_nevertheless(failure):
    class Odd(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    def odd():
        raise Odd

    assert functions(failure.traceback_of(caught(odd))) == ["odd"]


def test_code_in_a_file_that_is_called_like_ours_is_shown(failure, tmp_path):
    file = tmp_path / "pipeline" / "objects" / "mine.py"
    file.parent.mkdir(parents=True)
    file.write_text("def go():\n    raise ValueError('mine')\n")
    scope = {}
    exec(compile(file.read_text(), str(file), "exec"), scope)
    assert functions(failure.traceback_of(caught(scope["go"]))) == ["go"]

