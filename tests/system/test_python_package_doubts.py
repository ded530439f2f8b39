# SPDX-License-Identifier: MIT
"""The authoring package `pipeline` says in the log what is probably not meant."""

import asyncio
import collections.abc
import enum
import typing

import pytest

from graphs import graph_of
from pipeline import InputSchema, Pipeline, Variable, pipe
from pipeline.objects.graph import Stream


class Word(str, enum.Enum):
    A = "a"


class Settings(InputSchema):
    size: int = 1


class Opaque:
    """Of a type that is none of JSON's."""


class Unfriendly(type):
    def __subclasscheck__(cls, other):
        raise RuntimeError("no such question")


class Odd(metaclass=Unfriendly):
    pass


def returning(value, hint, count=1):
    """Runs a pipe with this annotation that returns that value."""
    def returns(_) -> hint:
        return value

    graph = graph_of(int, returns)
    for number in range(count):
        graph.run(number)


@pytest.mark.parametrize("value, hint, told", [
    (5, str, "returned int, where its annotation says str"), ("5", int, "returned str, where its annotation says int"),
    (0.5, int, "returned float, where its annotation says int"),
    (None, str, "returned None, where its annotation says str"), (5, None, "returned int, where its annotation says None"),
    ([1], dict, "returned list"), ({}, typing.List[int], "returned dict, where its annotation says List[int]"),
    (5, typing.Optional[str], "returned int"), ((i for i in ()), str, "returned generator"),
    (Stream(iter([])), str, "returned Stream"), ((1, "x"), typing.Tuple[int, int], "returned str")])
def test_a_result_that_breaks_its_annotation_is_told_once(caplog, value, hint, told):
    returning(value, hint, count=3)
    record, = caplog.records
    assert (record.name, record.levelname) == ("pipeline", "WARNING")
    assert told in record.message
    assert f"pipe returning.<locals>.returns ({__file__}:" in record.message


@pytest.mark.parametrize("value, hint", [
    ("x", str), (1, int), (True, int), (1, float), (True, float), (None, None), (None, typing.Optional[str]),
    ("x", typing.Union[int, str]), (1, typing.Any), (1, object), ([1], tuple), ((1, ), list), ((1, ), typing.List[str]),
    (b"x", str), (Word.A, str), (Word.A, Word), ({}, Settings), (Settings(), dict), ({}, typing.Dict[str, int]),
    ([1], collections.abc.Sequence), ({}, collections.abc.Mapping), ("a", typing.Literal["a", "b"]),
    (Opaque(), str), (1, Opaque), (1, typing.TypeVar("T")), (iter([]), Stream), (iter([]), typing.Iterator[str]),
    ((1, 2), typing.Tuple[int, ...]), (1, Odd), (Odd(), str)])
def test_a_result_that_may_be_meant_is_not_told(caplog, value, hint):
    returning(value, hint)
    assert not caplog.records


def test_only_the_first_results_of_a_pipe_are_compared(caplog):
    @pipe
    def text(value: int) -> str:
        return str(value) if value < 1000 else value

    with Pipeline() as builder:
        builder.output(text(Variable(int)))
    graph = builder.get_pipeline()
    for number in range(100):
        graph.run(number)
    graph.run(1000)
    assert not caplog.records


def test_two_pipes_are_told_of_each_for_itself(caplog):
    returning(1, str)
    returning(1, str)
    assert len(caplog.records) == 2


def test_what_an_asynchronous_pipe_returns_is_compared_too(caplog):
    async def text(value: int) -> str:
        return value

    asyncio.run(graph_of(int, text).run(1))
    assert "returned int, where its annotation says str" in caplog.text


def test_a_function_that_should_be_a_pipe_is_told_of(caplog):
    def same(value):
        return value

    @pipe
    def upper(text: str) -> str:
        return text.upper()

    with Pipeline() as builder:
        first, second = Variable(str), Variable(str)
        builder.output(upper(first), same(second))
    graph = builder.get_pipeline()
    assert caplog.messages == ["output 2 is input 2 itself, which is given to no pipe: is @pipe missing above a function?"]
    assert graph.run("a", "b") == ["A", "b"]


def test_an_input_that_is_an_output_and_used_besides_is_not_told_of(caplog):
    @pipe
    def upper(text: str) -> str:
        return text.upper()

    with Pipeline() as builder:
        text = Variable(str)
        builder.output(text, upper(text))
    builder.get_pipeline()
    assert not caplog.records
