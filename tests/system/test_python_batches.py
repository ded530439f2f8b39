# SPDX-License-Identifier: MIT
"""Batched pipes of the authoring package: what a graph takes for one, what it gives, and what clients are told."""

import asyncio
import importlib
import os
import sys
import types
import typing

import pytest

from confined import needs_python
from millrace_worker import _current
from pipeline import GraphError, Pipeline, Variable, entity, pipe

HERE = os.path.dirname(os.path.abspath(__file__))
MODULE = os.path.join(HERE, "pipelines", "batched.py")


def graph_of(function, *constants):
    with Pipeline() as builder:
        builder.output(function(*constants, Variable(int)))
    return builder.get_pipeline()


# ---- without any server ------------------------------------------------------------------------------

def test_a_run_elsewhere_is_a_batch_of_its_own():
    @pipe(batched=True)
    def twice(numbers: typing.List[int]) -> typing.List[int]:
        assert len(numbers) == 1
        return [2 * number for number in numbers]

    assert graph_of(twice).run(21) == [42]
    assert twice([1]) == [2]  # outside of a graph it is the function that it was


def test_an_asynchronous_one_is_awaited():
    @pipe(batched=True)
    async def twice(numbers: typing.List[int]) -> typing.List[int]:
        await asyncio.sleep(0)
        return [2 * number for number in numbers]

    assert asyncio.run(graph_of(twice).run(21)) == [42]


def test_what_is_constant_is_no_list():
    @entity
    class Scale:
        def __init__(self, factor):
            self.factor = factor

        @pipe(batched=True)
        def times(self, more: int, numbers: typing.List[int]) -> typing.List[int]:
            return [self.factor * number + more for number in numbers]

    with Pipeline() as builder:
        builder.output(Scale(3).times(4, Variable(int)))
    assert builder.get_pipeline().run(5) == [19]


def test_an_exception_among_the_results_is_raised():
    @pipe(batched=True)
    def refuse(numbers: typing.List[int]) -> typing.List[typing.Union[int, Exception]]:
        return [KeyError(number) for number in numbers]

    graph = graph_of(refuse)
    assert graph.output_variables[0].type_word == "integer"
    with pytest.raises(KeyError):
        graph.run(1)


def test_several_results_of_each_run_are_tuples_in_the_list():
    @pipe(batched=True)
    def both(numbers: typing.List[int]) -> typing.List[typing.Tuple[int, str]]:
        return [(number, str(number)) for number in numbers]

    with Pipeline() as builder:
        number, text = both(Variable(int))
        builder.output(text, number)
    assert builder.get_pipeline().run(7) == ["7", 7]


@pytest.mark.parametrize("result, message", [
    (5, "pipe one is batched and returned int, not a list"), ("x", "returned str, not a list"),
    ([], "returned 0 results for 1 run"), ([1, 2], "returned 2 results for 1 run")])
def test_anything_but_a_result_for_each_run_is_a_mistake(result, message):
    def one(numbers: typing.List[int]) -> typing.List[int]:
        return result

    one.__qualname__ = "one"
    with pytest.raises(TypeError, match=message):
        graph_of(pipe(batched=True)(one)).run(1)


def test_what_cannot_be_batched_is_refused():
    def items(numbers: typing.List[int]) -> typing.List[int]:
        yield from numbers

    def plain(numbers: typing.List[int]) -> int:
        return len(numbers)

    with pytest.raises(GraphError, match="yields nothing"):
        pipe(batched=True)(items)
    with pytest.raises(GraphError, match="its return annotation is a list"):
        graph_of(pipe(batched=True)(plain))
    for options in ({"run_once": True}, {"on_startup": True}, {"on_startup": True, "preload": True}):
        with pytest.raises(GraphError, match="it cannot be one that runs once, or at startup"):
            pipe(batched=True, **options)(plain)


def test_a_call_whose_runs_leave_before_it_begins_is_over(monkeypatch):
    ended = []
    monkeypatch.setitem(sys.modules, "millrace_worker._ring", types.SimpleNamespace(
        batch=lambda *_: None, batch_come=lambda _: 0, batch_due=lambda _, waiting, *__: waiting or None,
        batch_begin=lambda *_: None, batch_end=ended.append, cancelled=lambda _: False))
    batched_pipe = importlib.import_module("millrace_worker._batched_pipe")

    @pipe(batched=True)
    async def same(numbers: typing.List[int]) -> typing.List[int]:
        return numbers

    async def scene():
        [step] = graph_of(same)._batched()
        host = types.SimpleNamespace(loop=asyncio.get_running_loop(), has_more=False, turn=lambda: None)
        gathering = batched_pipe.BatchedPipe(host, step, batched_pipe.Limits(4, 2))
        values = {step.variables()[0]: 5}
        _current.run_key.set(1)
        leaving = asyncio.ensure_future(gathering.gather(values))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        leaving.cancel()  # behind the look that makes the call, and before the call's first step
        assert await asyncio.wait_for(gathering.gather(values), 10) == 5
        assert leaving.cancelled() and len(ended) == 2 and not gathering.called

    asyncio.run(scene())
    sys.modules.pop("millrace_worker._batched_pipe")


# ---- served ------------------------------------------------------------------------------------------

@needs_python
def test_clients_are_told_of_a_pipe_that_gives_no_list_of_results(start):
    server = start(f"me/mistaken:v1={MODULE}:mistaken", options=["--python", "/usr/bin/python3", "--batch-max", "4"])
    messages = {"few": "pipe wrong is batched and returned 0 results for 1 run", "text": "returned str, not a list",
                "none": "returned NoneType, not a list", "other": "KeyError('other')"}
    for word, message in messages.items():
        error = server.lines("me/mistaken:v1", word)[-1]["error"]
        assert error["type"] == "pipeline_error" and message in error["message"]
    [line] = server.lines("me/mistaken:v1", "run")
    assert line["outputs"][0]["value"] == line["id"], "of a call for one run it is known which"
