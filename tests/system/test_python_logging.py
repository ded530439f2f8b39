# SPDX-License-Identifier: MIT
"""Lines of Python's logging keep their level, however their author has configured it."""

import os
import re

import pytest

from server import BUILD

PIPELINES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pipelines")
SAYS = os.path.join(PIPELINES, "configured.py")
AUTHORED = os.path.join(PIPELINES, "authored.py")

pytestmark = pytest.mark.skipif(
    not os.path.exists(os.path.join(BUILD, "python/millrace_worker/_ring.abi3.so")),
    reason="the extension was not built: python3-dev is missing")

# All that is said, by the number of its level.
ALL = [("debug", 10), ("info", 20), ("info", 25), ("warning", 30), ("error", 40), ("error", 50)]


@pytest.fixture(scope="module")
def server(start_shared):
    return start_shared(f"me/says:v1={SAYS}:says", options=["--log-level", "debug"])


@pytest.fixture
def said(server):
    """said(how): what a run says in that way, as (level, text)."""
    def say(how):
        mark = server.log_mark()
        run = server.lines("me/says:v1", how)[0]["id"]
        server.wait_run_end(run, mark)
        lines = server.log_since(mark, rf" output pipeline=\S+ worker=0 run={run} ")
        return [re.search(r'Z (\w+) output .* text="(.*)"$', line).groups() for line in lines]
    return say


def test_a_basic_configuration_keeps_levels_and_format(said):
    names = {25: "Level 25", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}
    assert said("basic") == [(level, f"{names[number]}:mine:level {number}") for level, number in ALL[1:]]


def test_a_configuration_by_dictionary_keeps_levels_on_stdout_too(said):
    lines = said("dictionary")
    assert [level for level, _ in lines] == [level for level, _ in ALL]
    assert re.fullmatch(r"[\d-]+ [\d:,]+ \[CRITICAL\] level 50", lines[-1][1])


@pytest.mark.parametrize("how", ["queue", "memory"])
def test_records_that_are_handled_later_have_their_own_level(said, how):
    assert said(how) == [(level, f"level {number}") for level, number in ALL]


def test_what_another_thread_prints_meanwhile_has_its_own_level(said):
    assert sorted(said("thread")) == [("error", "of a handler!"), ("info", "of a thread")]


def test_a_handler_that_raises_leaves_no_level_behind(said):
    assert said("raise") == [("warning", "a handler that fails"), ("error", "outer!"), ("warning", "after it")]


def test_half_a_line_does_not_take_the_level_of_a_record(said):
    assert said("half") == [("warning", "half"), ("error", "whole")]


def test_all_lines_of_a_record_have_its_level(said):
    lines = said("lines")
    assert {level for level, _ in lines} == {"error"}
    assert (lines[0][1], lines[-1][1]) == ("of several", "KeyError: 'lines'")


def test_texts_that_carry_their_record_have_its_level(said):
    assert said("loguru") == [("error", "careful"), ("debug", "chatty"), ("warning", "odd")]


def test_a_text_is_no_record_whatever_word_it_begins_with(said):
    assert said("print") == [("info", "ERROR: only a text")]
    assert {level for level, _ in said("warn")} == {"warning"}


def test_a_pipe_that_returns_what_it_does_not_say_is_told_of_in_the_log_of_its_first_run(start):
    server = start(f"me/mistyped:v1={AUTHORED}:mistyped")
    first, *_ = [server.lines("me/mistyped:v1", "abc")[0] for _ in range(3)]
    assert first["outputs"][0]["value"] == 3
    server.wait_log(rf" warning output \S+ worker=0 run={first['id']} stream=\w+ text=\"pipeline: pipe length "
                    r".*/authored\.py:\d+\) returned int, where its annotation says str")
    server.stop()
    assert len(server.log_since(0, "returned int")) == 1
