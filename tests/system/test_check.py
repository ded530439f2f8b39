# SPDX-License-Identifier: MIT
"""`millrace check` hears a worker as the server does: what no honest one says is no news of a pipeline."""

import pytest

from test_cli import OK, PIPELINE, millrace, says


@pytest.mark.parametrize("lie, reason", [
    ("kind", "it sent an unknown message"),
    ("ready", "it said READY out of turn"),
    ("file", "it told of a file of no run"),
    ("progress", "it told of its start in a way that cannot be read"),
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


# ---- what is inside of inputs ----------------------------------------------------------------------

def test_check_shows_limits_of_inputs_and_fields_of_schemas(pipelines):
    result = millrace("check", f"{pipelines('schema')}:told")
    assert result.returncode == OK, result.stderr
    assert result.stdout.splitlines()[1:] == [
        "  input 1   dictionary          settings",
        "    field seed            integer               ge 0",
        "    field place           dictionary optional ",
        "      field x               fp                  ",
        "  input 2   integer    optional steps  choices [1, 50]  ge 1  le 50  how many",
        "  output 1  dictionary"]


def test_a_schema_is_shown_by_the_server_as_it_is(start, pipelines):
    server = start(f"me/told:v1={pipelines('schema')}:told")
    settings, steps = server.pipeline("me/told:v1")["input_variables"]
    assert settings["schema"]["required"] == ["seed"]
    assert settings["schema"]["properties"]["place"]["properties"]["x"] == {"type": "number", "title": "\x1b[2J"}
    assert "schema" not in steps and (steps["ge"], steps["le"]) == (1, 50)
    # It is for people, as limits of inputs are: the type is enforced, and nothing else.
    assert server.run("me/told:v1", {"seed": "no number"}, 5000).json()["outputs"][0]["value"] == {"seed": "no number"}


@pytest.mark.parametrize("name, reason", [
    ("not_json", "the worker misbehaved: input 1: schema is not JSON"),
    ("not_an_object", "the worker misbehaved: input 1: schema is not an object"),
    ("told_twice", "does not load: "),
    ("of_a_result", "does not load: "),
])
def test_a_schema_that_is_none_is_refused(pipelines, name, reason):
    result = millrace("check", f"{pipelines('schema')}:{name}")
    assert result.returncode == PIPELINE
    assert reason in result.stderr
    assert name != "told_twice" or "input 1 has a schema twice" in result.stderr
    assert name != "of_a_result" or "a schema of something that is no input of this graph" in result.stderr
