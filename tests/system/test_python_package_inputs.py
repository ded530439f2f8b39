# SPDX-License-Identifier: MIT
"""The authoring package `pipeline`, without any server: inputs, their types, schemas."""

import typing

import pytest

from graphs import echo, graph_of, refusal
from pipeline import InputError, Pipeline, Variable
from pipeline.objects.graph import InputField, InputSchema


# ---- inputs ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind, good, bad, message", [
    (str, ["", "a"], [1, None, b"a"], "must be a string"),
    (int, [1, True, 2**70], [1.0, "1", None], "must be an integer"),
    (float, [1.5, 1, True], ["1", None], "must be a float"),
    (bool, [True], [1, 0.0, "true", None], "must be a boolean"),
    (list, [[], [1, "a"]], [{}, "a", None], "must be an array"),
    (dict, [{}, {"a": 1}], [[], "a", None], "must be a dictionary"),
    (typing.Optional[int], [1, None], [1.0], "must be an integer"),
    (typing.List[int], [[1], ["not looked at"]], ["a"], "must be an array"),
    (typing.Union[int, str], [1, "a"], [1.5, None], "must be Union[int, str]"),
    (typing.Any, [1, "a", None, []], [], ""),
])
def test_inputs_are_checked_against_the_types_of_their_variables(kind, good, bad, message):
    graph = echo(kind, title="it")
    for value in good:
        assert graph.run(value) == [value] and type(graph.run(value)[0]) is type(value)
    for value in bad:
        assert f'input 1 ("it") {message}' in refusal(graph.run, value)


def test_messages_about_inputs_say_what_came_instead():
    assert refusal(echo(int).run, "a") == "input 1 must be an integer, got a string"
    assert refusal(echo(str, title="name").run, None) == 'input 1 ("name") must be a string, got null'
    assert refusal(echo(str).run) == "the pipeline takes 1 input, got 0"
    assert refusal(echo(str, optional=True).run, "a", "b") == "the pipeline takes 0 to 1 inputs, got 2"
    assert InputError("x").error_type == "input_error"


def test_defaults_and_optional_inputs_may_be_left_out_or_null():
    with Pipeline() as builder:
        needed = Variable(str)
        items = Variable(list, default=[1])
        maybe = Variable(float, optional=True)
        builder.output(needed, items, maybe)
    graph = builder.get_pipeline()
    outputs = graph.run("a")
    assert outputs == ["a", [1], None]
    outputs[1].append(2)
    assert graph.run("a", None, None) == ["a", [1], None], "a run changed the default"
    assert graph.run("a", [], 1.5) == ["a", [], 1.5]
    assert [variable.optional for variable in graph.input_variables] == [False, False, True]


def test_only_trailing_inputs_may_be_left_out():
    with Pipeline() as builder:
        maybe = Variable(int, default=0)
        needed = Variable(str)
        rest = Variable(list, optional=True)
        builder.output(maybe, needed, rest)
    graph = builder.get_pipeline()
    assert refusal(graph.run, 1) == "the pipeline takes 2 to 3 inputs, got 1"
    assert graph.run(None, "a") == [0, "a", None]


def test_metadata_of_plain_variables_is_kept_and_never_enforced():
    details = dict(title="t", description="d", examples=[1], default=500, choices=[1, 2], gt=1, ge=2, lt=3,
                   le=4, multiple_of=5, min_length=6, max_length=7, allow_inf_nan=False, max_digits=1,
                   decimal_places=0)
    graph = echo(int, **details)
    assert graph.run(-999) == [-999]
    variable = graph.input_variables[0]
    assert {name: getattr(variable, name) for name in details} == details
    bare = echo(int).input_variables[0]
    assert all(getattr(bare, name) is None for name in details)
    assert bare.optional is False


# ---- schemas -----------------------------------------------------------------------------------------

class Options(InputSchema):
    count: int = InputField(gt=0, le=10, title="count", description="how many")
    rate: float = InputField(default=0.5, ge=0, lt=1, multiple_of=0.1)
    name: typing.Optional[str] = InputField(default="x", min_length=1, max_length=3)
    mode: str = InputField(default="slow", choices=["slow", "fast"])
    tags: typing.List[str] = InputField(default=[], max_length=2)
    bare: int = 7
    maybe: int = InputField(optional=True)


class Nested(InputSchema):
    inner: Options
    many: typing.Dict[str, Options] = {}


def test_a_dictionary_becomes_an_instance_before_the_pipe_sees_it():
    def see(options: Options) -> dict:
        assert isinstance(options, Options)
        options.tags.append("seen")
        return options.to_dict()

    graph = graph_of(Options, see)
    assert graph.input_variables[0].type_word == "dictionary"
    expected = {"count": 1, "rate": 0.5, "name": "x", "mode": "slow", "tags": ["seen"], "bare": 7, "maybe": None}
    assert graph.run({"count": 1}) == [expected]
    assert graph.run(Options(count=1)) == [expected], "a default was shared between instances"
    assert graph.run({"count": 1, "rate": 0, "name": None, "maybe": 3}) == \
        [{**expected, "rate": 0.0, "name": None, "maybe": 3}]


@pytest.mark.parametrize("values, field, message", [
    ({}, "count", "field required (type=value_error.missing)"),
    ({"count": 0}, "count", "ensure this value is greater than 0 (type=value_error.number.not_gt; limit_value=0)"),
    ({"count": 11}, "count", "ensure this value is less than or equal to 10"),
    ({"count": 1.0}, "count", "value is not a valid integer (type=type_error.integer)"),
    ({"count": None}, "count", "none is not an allowed value (type=type_error.none.not_allowed)"),
    ({"count": 1, "rate": -0.1}, "rate", "ensure this value is greater than or equal to 0"),
    ({"count": 1, "rate": 1}, "rate", "ensure this value is less than 1 "),
    ({"count": 1, "rate": 0.25}, "rate", "ensure this value is a multiple of 0.1"),
    ({"count": 1, "rate": float("nan")}, "rate", "ensure this value is greater than or equal to 0"),
    ({"count": 1, "rate": "a"}, "rate", "value is not a valid float"),
    ({"count": 1, "name": ""}, "name", "ensure this value has at least 1 characters"),
    ({"count": 1, "name": "abcd"}, "name", "ensure this value has at most 3 characters"),
    ({"count": 1, "mode": "no"}, "mode", "unexpected value; permitted: 'slow', 'fast'"),
    ({"count": 1, "tags": ["a", 5]}, "tags -> 1", "str type expected (type=type_error.str)"),
    ({"count": 1, "tags": ["a", "b", "c"]}, "tags", "ensure this value has at most 2 items"),
    ({"count": 1, "tags": "a"}, "tags", "value is not a valid list"),
    ({"count": 1, "bare": "a"}, "bare", "value is not a valid integer"),
])
def test_limits_of_fields_are_enforced(values, field, message):
    said = refusal(echo(Options).run, values)
    assert said.startswith("input 1: 1 validation error for Options\n")
    assert f"\n{field}\n  {message}" in said


@pytest.mark.parametrize("values", [
    {"count": 10}, {"count": True}, {"rate": 0}, {"rate": 0.3}, {"rate": 0.7}, {"name": "a"}, {"name": "abc"}, {"name": None},
    {"mode": "fast"}, {"tags": ["a", "b"]}])
def test_values_at_their_limits_are_within_them(values):
    taken = echo(Options).run({"count": 1, **values})[0]
    assert [getattr(taken, name) for name in values] == list(values.values())
    assert type(taken.rate) is float, "an integer was left where a float was asked for"


def test_fields_are_checked_to_the_bottom_and_variables_are_not():
    class Deep(InputSchema):
        rows: typing.List[typing.List[int]]
        pair: typing.Tuple[int, str] = (1, "a")
        either: typing.Union[int, typing.List[str]] = 1
        which: typing.Literal["a", 1] = "a"

    deep = Deep(rows=[[1], []], pair=[2, "b"], either=["x"], which=1)
    assert deep.to_dict() == {"rows": [[1], []], "pair": [2, "b"], "either": ["x"], "which": 1}
    said = refusal(echo(Deep).run, {"rows": [[1], [2, "x"]], "pair": [1], "either": [1], "which": "b"})
    assert "\nrows -> 1 -> 1\n  value is not a valid integer" in said
    assert "\npair\n  wrong tuple length 1, expected 2" in said
    assert "\neither\n  value is neither int nor List[str]" in said
    assert "\nwhich\n  unexpected value; permitted: 'a', 1" in said
    assert echo(typing.List[typing.List[int]]).run(["x"]) == [["x"]]


def test_all_errors_of_a_schema_are_told_at_once_with_their_places():
    said = refusal(echo(Nested).run, {"inner": {"count": 0, "rate": 2}, "many": {"k": {"count": "a"}}})
    assert "3 validation errors for Nested" in said
    assert "\ninner -> count\n" in said and "\ninner -> rate\n" in said and "\nmany -> k -> count\n" in said
    fine = echo(Nested).run({"inner": {"count": 1}, "many": {"k": {"count": 2}}})[0]
    assert fine.many["k"].count == 2 and fine.inner.rate == 0.5


def test_a_schema_is_a_default_and_its_instances_compare():
    graph = echo(Options, default=Options(count=3))
    assert graph.input_variables[0].default["count"] == 3
    assert graph.run() == [Options(count=3)] and graph.run() != [Options(count=4)]
    assert repr(Options(count=3)).startswith("Options(count=3, rate=0.5, name='x'")


def test_a_schema_made_in_a_pipe_fails_as_the_pipeline_and_not_as_the_input():
    def make(value: int) -> dict:
        return Options(count=value).to_dict()

    with pytest.raises(ValueError) as caught:
        graph_of(int, make).run(0)
    assert not isinstance(caught.value, InputError)
