# SPDX-License-Identifier: MIT
"""`millrace check` hears a worker as the server does: what no honest one says is no news of a pipeline."""

import pytest

from test_cli import OK, PIPELINE, millrace, says


@pytest.mark.parametrize("lie, reason", [
    ("kind", "it sent an unknown message"),
    ("ready", "it said READY out of turn"),
    ("version", "it speaks another version of the protocol"),
    ("cut", "it sent a message cut short"),
    ("large", "it sent a message above the limit"),
    ("hello", "protocol is not a number"),
    ("failure", "it sent a failure that cannot be read"),
    ("failure_word", "it sent a failure that cannot be read"),
    ("record", "it sent a record of no run"),
    ("ring", "its reply ring is corrupt"),
])
def test_check_says_what_a_worker_did_that_no_honest_one_does(pipelines, lie, reason):
    source = f"{pipelines('liar')}:{lie}"
    says(millrace("check", source), PIPELINE, f"{pipelines('liar')}: the worker misbehaved: {reason}")


@pytest.mark.parametrize("lie, printed", [
    ("log", "line\n"),
    ("level", ""),
    ("level_word", ""),
    ("bell", "a pipe\n"),
])
def test_check_passes_on_lines_of_a_known_level_and_no_others(pipelines, lie, printed):
    result = millrace("check", f"{pipelines('liar')}:{lie}")
    assert (result.returncode, result.stderr) == (OK, printed)
    assert f"pipeline {lie}\n" in result.stdout
