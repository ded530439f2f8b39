# SPDX-License-Identifier: MIT
"""The authoring package `pipeline`, without any server: streams, and what is asynchronous."""

import asyncio
import typing

import pytest

from graphs import graph_of, refusal
from pipeline import Pipeline, Variable, pipe
from pipeline.objects.graph import Stream


# ---- streams -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("value, advice", [
    ([1, 2, 3], "write Stream(iter([1, 2, 3]))"), ("ab", "write Stream(iter('ab'))"),
    (range(3), "write Stream(iter(range(0, 3)))"), ({"a": 1}, "write Stream(iter({'a': 1}))"),
    (list(range(1000)), "write Stream(iter(...))"), (None, "not None"), (5, "not a value of type int: 5")])
def test_a_stream_of_what_is_no_iterator_is_refused_with_advice(value, advice):
    assert advice in refusal(Stream, value, error=TypeError)


def test_a_stream_of_a_generator_that_was_not_called_says_so():
    def words():
        yield "a"

    assert "write Stream(words(...))" in refusal(Stream, words, error=TypeError)


def test_an_annotation_may_say_what_the_items_of_a_stream_are():
    @pipe
    def words(text: str) -> Stream[str]:
        yield from text.split()

    @pipe
    def count(text: str) -> "typing.Tuple[int, Stream[int]]":
        return len(text), Stream(iter([len(text)]))

    with Pipeline() as builder:
        text = Variable(str)
        builder.output(words(text), count(text))
    graph = builder.get_pipeline()
    assert [variable.type_word for variable in graph.output_variables] == ["stream", "integer", "stream"]
    letters, length, lengths = graph.run("a bc")
    assert isinstance(letters, Stream) and list(letters) == ["a", "bc"]
    assert length == 4 and list(lengths) == [4]


def test_a_pipe_that_is_annotated_with_an_iterator_is_a_stream():
    def words(text: str) -> typing.Iterator[str]:
        yield from text.split()

    graph = graph_of(str, words)
    assert [variable.type_word for variable in graph.output_variables] == ["stream"]
    assert list(graph.run("a bc")[0]) == ["a", "bc"]


def test_a_stream_ends_by_end_or_by_close():
    ended = []

    class Tokens:
        def __iter__(self):
            return self

        def __next__(self):
            return 1

        def end(self):
            ended.append("end")

    def generate():
        try:
            yield 1
            yield 2
        finally:
            ended.append("finally")

    Stream(Tokens()).end()
    stream = Stream(Stream(generate()))
    assert next(stream) == 1
    stream.end()
    assert list(stream) == [] and ended == ["end", "finally"]
    Stream(iter([])).end()


def test_streams_that_a_failed_run_began_are_ended():
    ended = []

    class Tokens:
        def __next__(self):
            return 1

        def end(self):
            ended.append(1)

    def begin(value) -> Stream:
        return Stream(Tokens())

    def fail(value) -> int:
        raise KeyError(value)

    with Pipeline() as builder:
        value = Variable(int)
        builder.output(pipe(begin)(value), pipe(fail)(value))
    with pytest.raises(KeyError):
        builder.get_pipeline().run(5)
    assert ended == [1]


def test_a_pipe_may_read_the_stream_of_another_and_be_a_generator():
    @pipe
    def words(text: str) -> Stream:
        yield from text.split()

    @pipe
    def louder(stream: Stream) -> Stream:
        return (word.upper() for word in stream)

    with Pipeline() as builder:
        builder.output(louder(words(Variable(str))))
    assert list(builder.get_pipeline().run("a b")[0]) == ["A", "B"]


# ---- asynchronous ------------------------------------------------------------------------------------

async def read(stream):
    return [item async for item in stream]


def test_a_graph_with_an_asynchronous_pipe_runs_to_an_awaitable():
    @pipe
    async def shout(text: str) -> str:
        await asyncio.sleep(0)
        return text.upper()

    @pipe
    async def letters(text: str) -> Stream:
        async def each():
            for letter in text:
                await asyncio.sleep(0)
                yield letter
        return Stream(each())

    @pipe
    async def direct(text: str) -> Stream:
        yield text

    with Pipeline() as builder:
        text = shout(Variable(str))
        builder.output(text, letters(text), direct(text))
    graph = builder.get_pipeline()

    async def main():
        text, stream, one = await graph.run("ab")
        return text, await read(stream), await read(one), await read(Stream(iter("xy")))

    assert asyncio.run(main()) == ("AB", ["A", "B"], ["AB"], ["x", "y"])
    assert "must be a string" in refusal(graph.run, 5), "wrong inputs are told at once"


def test_an_asynchronous_stream_is_not_read_synchronously_and_ends_by_aclose():
    ended = []

    async def generate():
        try:
            yield 1
            yield 2
        finally:
            ended.append(1)

    async def main():
        stream = Stream(generate())
        with pytest.raises(TypeError, match="async for"):
            next(stream)
        assert await stream.__anext__() == 1
        await stream.end()
        return await read(stream)

    assert asyncio.run(main()) == [] and ended == [1]


def test_a_plain_function_that_returns_an_awaitable_makes_a_run_asynchronous():
    async def later(value):
        return value + 1

    def wrapped(value) -> int:
        return later(value)

    assert asyncio.run(graph_of(int, wrapped).run(1)) == [2]


def test_asynchronous_startup_is_once_among_runs_at_the_same_time():
    calls = []

    @pipe(run_once=True, on_startup=True)
    async def load() -> int:
        calls.append(1)
        await asyncio.sleep(0.01)
        if len(calls) == 1:
            raise ValueError("not yet")
        return len(calls)

    with Pipeline() as builder:
        builder.output(load())
    graph = builder.get_pipeline()

    async def main():
        with pytest.raises(ValueError):
            await graph.startup()
        first = asyncio.ensure_future(graph.run())
        others = [asyncio.ensure_future(graph.run()) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        first.cancel()  # the call that it began is also the others'
        others.pop(0).cancel()  # and so is the one that this waits for
        return await asyncio.gather(*others)

    assert asyncio.run(main()) == [[2]] * 2 and len(calls) == 2


def test_streams_that_a_failed_asynchronous_run_began_are_ended():
    ended = []

    class Tokens:
        def __next__(self):
            return 1

        def end(self):
            ended.append(1)

    @pipe
    def begin() -> Stream:
        return Stream(Tokens())

    @pipe
    async def fail() -> int:
        await asyncio.sleep(0)
        raise KeyError("no")

    with Pipeline() as builder:
        builder.output(begin(), fail())
    with pytest.raises(KeyError):
        asyncio.run(builder.get_pipeline().run())
    assert ended == [1]
