# SPDX-License-Identifier: MIT
"""An InputSchema as a JSON Schema: what its fields enforce, for whoever makes a request."""

import enum
import json
import subprocess
import typing

import pytest

from graphs import graph_of
from pipeline import File, Pipeline, Variable
from pipeline.objects.details import Details
from pipeline.objects.graph import InputField, InputSchema
from server import MILLRACE
from test_python_worker import pytestmark

assert pytestmark  # of all tests that need the extension: it holds here, too


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


class Inner(InputSchema):
    text: str


class Outer(InputSchema):
    again: typing.Optional["Outer"] = None


def number_of(value) -> int:
    return value.n


def schema_of(hint, **details):
    with Pipeline():
        return Variable(hint, **details).json_schema()


def field_of(hint, field=InputField()):
    return schema_of(type("Some", (InputSchema, ), {"__annotations__": {"a": hint}, "a": field}))["properties"]["a"]


@pytest.mark.parametrize("hint, schema", [
    (int, {"type": "integer"}), (float, {"type": "number"}), (bool, {"type": "boolean"}), (str, {"type": "string"}),
    (typing.Any, {}), (type(None), {"type": "null"}), (typing.Optional[int], {"type": ["integer", "null"]}),
    (typing.List[int], {"type": "array", "items": {"type": "integer"}}), (list, {"type": "array"}),
    (typing.Tuple[int, str], {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2,
                              "maxItems": 2}),
    (typing.Tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
    (typing.Dict[str, typing.List[bool]],
     {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "boolean"}}}),
    (typing.Union[int, str], {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
    (typing.Union[int, str, None], {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]}),
    (typing.Literal["a", 1], {"enum": ["a", 1]}), (typing.Optional[typing.Literal["a"]], {"enum": ["a", None]}),
    (Size, {"enum": ["s", "l"]}), (bytes, {}),
    (Inner, {"type": "object", "title": "Inner", "properties": {"text": {"type": "string"}}, "required": ["text"]}),
    (typing.Optional[File], {"type": ["object", "null"]}),
], ids=str)
def test_annotations_become_types(hint, schema):
    assert field_of(hint) == schema


@pytest.mark.parametrize("hint, field, schema", [
    (int, InputField(default=3, gt=0, le=10, multiple_of=3),
     {"type": "integer", "default": 3, "exclusiveMinimum": 0, "maximum": 10, "multipleOf": 3}),
    (float, InputField(ge=0.5, lt=2), {"type": "number", "minimum": 0.5, "exclusiveMaximum": 2}),
    (str, InputField(title="T", description="D", min_length=1, max_length=9, examples="x"),
     {"type": "string", "title": "T", "description": "D", "examples": ["x"], "minLength": 1, "maxLength": 9}),
    (list, InputField(max_length=2), {"type": "array", "maxItems": 2}),
    (dict, InputField(min_length=1), {"type": "object", "minProperties": 1}),
    (str, InputField(choices=["a", "b"]), {"type": "string", "enum": ["a", "b"]}),
    (typing.Optional[int], InputField(default=None, choices=[1], ge=1),
     {"type": ["integer", "null"], "default": None, "minimum": 1, "enum": [1, None]}),
    (int, InputField(optional=True), {"type": ["integer", "null"]}),
    (float, InputField(default=float("nan"), le=float("inf")), {"type": "number"}),
    (Inner, InputField(default=Inner(text="x")), {"type": "object", "default": {"text": "x"}}),
], ids=str)
def test_what_is_said_of_a_field_becomes_what_json_schema_says(hint, field, schema):
    said = field_of(hint, field)
    assert {key: said[key] for key in schema} == schema
    assert hint is Inner or said == schema


def test_fields_without_a_default_are_required_and_others_are_allowed():
    class Some(InputSchema):
        a: int
        b: int = 1
        c: typing.Optional[int]

    schema = schema_of(Some)
    assert schema["required"] == ["a"] and "additionalProperties" not in schema


def test_only_an_input_schema_has_one():
    assert schema_of(int) is None and schema_of(typing.List[Inner]) is None
    assert schema_of(typing.Optional[Inner])["type"] == ["object", "null"]


def test_a_schema_that_has_itself_for_a_field_ends():
    schema, depth = schema_of(Outer), 0
    while "properties" in schema:
        schema, depth = schema["properties"]["again"], depth + 1
    assert depth == 8


def test_choices_of_a_set_have_an_order():
    assert Details(choices={"b", "a", "c"}).choices == ["a", "b", "c"]


FORM = '''
from pipeline import File, Pipeline, Variable
from pipeline.objects.graph import InputField, InputSchema

class Form(InputSchema):
    n: int = InputField(gt=0, choices=range({count}))

with Pipeline() as builder:
    builder.output(Variable(Form, title="first"))
    builder.output(Variable(Form, title="second"))

form = builder.get_pipeline()
'''


@pytest.mark.parametrize("count, shown", [(4, 2), (4500, 1), (9000, 0)])
def test_schemas_too_long_for_a_worker_to_tell_are_left_out_and_the_pipeline_loads(tmp_path, count, shown):
    source = tmp_path / "form.py"
    source.write_text(FORM.format(count=count), encoding="ascii")
    result = subprocess.run([MILLRACE, "check", str(source), "--json"], capture_output=True, text=True, check=False,
                            timeout=60)
    assert result.returncode == 0, result.stderr
    inputs = json.loads(result.stdout)["input_variables"]
    assert ["schema" in one for one in inputs] == [shown > 0, shown > 1]
    assert result.stderr.count("its schema is not shown, ") == 2 - shown
    assert shown == 0 or inputs[0]["schema"]["properties"]["n"]["exclusiveMinimum"] == 0


def test_the_limits_it_says_are_those_that_hold():
    class Limited(InputSchema):
        n: int = InputField(ge=1, le=3)

    limits = schema_of(Limited)["properties"]["n"]
    graph = graph_of(Limited, number_of)
    for value in (limits["minimum"], limits["maximum"]):
        graph.run({"n": value})
    for value in (limits["minimum"] - 1, limits["maximum"] + 1):
        with pytest.raises(ValueError):
            graph.run({"n": value})
