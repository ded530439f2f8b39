# SPDX-License-Identifier: MIT
"""The authoring package `pipeline`, without any server: graphs, types, schemas, streams."""

import asyncio
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import typing

import pytest

from server import SLOWNESS, TOP

sys.path.insert(0, os.path.join(TOP, "worker/python"))

from pipeline import File, InputError, Pipeline, Variable, entity, pipe  # noqa: E402
from pipeline.exceptions import GraphError  # noqa: E402
from pipeline.objects import graph as names  # noqa: E402
from pipeline.objects.graph import InputField, InputSchema, Stream  # noqa: E402


def graph_of(kind, function, **details):
    """A graph of one input and one pipe."""
    with Pipeline() as builder:
        builder.output(pipe(function)(Variable(kind, **details)))
    return builder.get_pipeline()


def echo(kind, **details):
    def same(value) -> kind:
        return value

    return graph_of(kind, same, **details)


def refusal(call, *arguments, error=InputError):
    with pytest.raises(error) as caught:
        call(*arguments)
    return repr(caught.value) if error is InputError else str(caught.value)


# ---- graphs --------------------------------------------------------------------------------------

def test_the_names_of_the_contract_are_where_it_says():
    for name in ("Stream", "Variable", "InputField", "InputSchema", "File"):
        assert hasattr(names, name)
    assert names.Variable is Variable and names.File is File


def test_a_pipe_outside_of_a_builder_is_the_function_that_it_was():
    @pipe
    def double(value: int) -> int:
        """Twice."""
        return value * 2

    assert double(4) == 8
    assert double.__name__ == "double" and double.__doc__ == "Twice."


def test_the_file_of_the_contract_runs_by_itself():
    @pipe
    def streamer(input_data: str) -> Stream:
        def iter_output(data):
            for word in data.split():
                yield word + " "
        return Stream(iter_output(input_data))

    with Pipeline() as builder:
        in_1 = Variable(str)
        result = streamer(in_1)
        builder.output(result)
    my_pipeline = builder.get_pipeline()

    outputs = my_pipeline.run("hello there world")
    assert isinstance(outputs, list) and isinstance(outputs[0], Stream)
    assert list(outputs[0]) == ["hello ", "there ", "world "]
    assert [variable.type_word for variable in my_pipeline.input_variables] == ["string"]
    assert [variable.type_word for variable in my_pipeline.output_variables] == ["stream"]


def test_a_graph_of_several_pipes_runs_in_order_and_returns_all_outputs():
    @pipe
    def split(text: str, at: str) -> typing.Tuple[str, str]:
        return tuple(text.split(at, 1))

    @pipe
    def join(first: str, second: str, times: int = 1) -> str:
        return (second + first) * times

    with Pipeline() as builder:
        text = Variable(str)
        first, second = split(text, at="-")
        builder.output(first, join(second, first, times=2), text)
        builder.output(second)
    assert builder.get_pipeline().run("a-b") == ["a", "abab", "a-b", "b"]


@pytest.mark.parametrize("hint, word", [
    (str, "string"), (int, "integer"), (float, "fp"), (bool, "boolean"), (None, "none"), (list, "array"),
    (dict, "dictionary"), (Stream, "stream"), (typing.List[int], "array"), (typing.Dict[str, int], "dictionary"),
    (typing.Optional[int], "integer"), (tuple, "array"), (typing.Literal["a", "b"], "string"),
    (typing.Iterator[str], "stream"), (typing.AsyncIterator[str], "stream"), (typing.Tuple[int, ...], "array"),
    (bytes, "string"), (typing.Any, None), (typing.Union[int, str], None)])
def test_annotations_become_words_of_the_api(hint, word):
    def make() -> hint:
        return None

    with Pipeline() as builder:
        builder.output(pipe(make)())
    assert builder.get_pipeline().output_variables[0].type_word == word


def test_annotations_that_are_text_are_understood():
    scope = {}
    source = textwrap.dedent("""
        from __future__ import annotations
        from typing import Tuple
        from pipeline import Stream, pipe

        @pipe
        def both(value: int) -> Tuple[int, Stream]:
            return value, Stream(iter("ab"))

        @pipe
        def lost(value: int) -> Nowhere:
            return value
        """)
    exec(compile(source, "text.py", "exec"), scope)
    with Pipeline() as builder:
        number = Variable(int)
        builder.output(*scope["both"](number))
        message = refusal(scope["lost"], number, error=GraphError)
    assert "'Nowhere' of pipe lost (text.py:10) has no meaning here" in message
    assert [one.type_word for one in builder.get_pipeline().output_variables] == ["integer", "stream"]


def test_mistakes_of_building_say_what_to_write():
    @pipe
    def bare(value):
        return value

    @pipe
    def fine(value: int) -> int:
        return value

    @pipe(on_startup=True)
    def load(value: int) -> int:
        return value

    @pipe(run_once=True)
    def once() -> Stream:
        return Stream(iter([1]))

    with Pipeline() as other:
        foreign = Variable(int)
        other.output(foreign)
    with Pipeline() as builder:
        number = Variable(int)
        assert "<locals>.bare" in refusal(bare, number, error=GraphError)
        assert "needs a return annotation" in refusal(bare, number, error=GraphError)
        assert "missing a required argument: 'value'" in refusal(fine, error=GraphError)
        assert "of another pipeline" in refusal(fine, foreign, error=GraphError)
        assert "runs once, so it cannot return a stream" in refusal(once, error=GraphError)
        assert "runs at startup" in refusal(load, number, error=GraphError)
        assert "takes variables" in refusal(builder.output, 5, error=GraphError)
        assert "Tuple" in refusal(list, fine(number), error=GraphError)
    assert "has no output" in refusal(builder.get_pipeline, error=GraphError)
    assert "with Pipeline()" in refusal(Variable, int, error=GraphError)
    assert "default of input 0" in refusal(lambda: echo(int, default="x"), error=GraphError)


def test_a_failed_build_does_not_leave_a_builder_behind():
    with pytest.raises(ZeroDivisionError):
        with Pipeline():
            raise ZeroDivisionError
    with pytest.raises(GraphError):
        Variable(int)


def test_a_pipe_that_returns_other_than_it_says_is_an_error():
    def two(value) -> typing.Tuple[int, Stream]:
        return value

    def stream(value) -> Stream:
        return value

    with Pipeline() as builder:
        value = Variable(typing.Any)
        builder.output(pipe(two)(value))
    pair = builder.get_pipeline()
    number, stream_of_it = pair.run([1, iter([2])])
    assert number == 1 and isinstance(stream_of_it, Stream) and list(stream_of_it) == [2]
    assert "returned 3 results, where its annotation says 2" in refusal(pair.run, [1, 2, 3], error=TypeError)
    assert "returned int" in refusal(pair.run, 5, error=TypeError)
    assert "write `return Stream(...)`" in refusal(graph_of(list, stream).run, [1], error=TypeError)


# ---- state ---------------------------------------------------------------------------------------

def test_entities_keep_state_and_load_once_before_the_first_run():
    calls = []

    @entity
    class Model:
        def __init__(self):
            self.runs = 0

        @pipe(run_once=True, on_startup=True)
        def load(self, weights: File) -> None:
            calls.append(weights.name)

        @pipe
        def predict(self, text: str) -> str:
            self.runs += 1
            return f"{text} {self.runs}"

    with Pipeline() as builder:
        text = Variable(str)
        model = Model()
        builder.output(model.predict(text))
        model.load(File(path="weights.bin"))  # after it in the file, before it in time
    graph = builder.get_pipeline()
    assert calls == []
    graph.startup()
    graph.startup()
    assert calls == ["weights.bin"]
    assert [graph.run("a"), graph.run("b")] == [["a 1"], ["b 2"]]
    assert calls == ["weights.bin"]


def test_a_run_starts_up_by_itself_and_results_of_startup_reach_it():
    @pipe(on_startup=True)
    def load() -> int:
        return 41

    @pipe
    def add(base: int, value: int) -> int:
        return base + value

    with Pipeline() as builder:
        builder.output(add(load(), Variable(int)))
    assert builder.get_pipeline().run(1) == [42]


def test_run_once_is_once_for_each_entity_in_the_whole_process():
    @entity
    class Counter:
        @pipe(run_once=True)
        def number(self, seen: list) -> int:
            seen.append(self)
            return len(seen)

    seen = []
    first, second = Counter(), Counter()

    def build():
        with Pipeline() as builder:
            builder.output(first.number(seen), first.number(seen), second.number(seen))
        return builder.get_pipeline()

    assert build().run() == [1, 1, 2]
    assert build().run() == [1, 1, 2]


def test_run_once_is_once_among_threads_and_again_after_a_failure():
    calls = []
    entered = threading.Barrier(4)

    @pipe(run_once=True)
    def load() -> int:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("not yet")
        return len(calls)

    with Pipeline() as builder:
        builder.output(load())
    graph = builder.get_pipeline()
    assert refusal(graph.run, error=ValueError) == "not yet"
    results = []

    def work():
        entered.wait(10)
        results.append(graph.run())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert results == [[2]] * 4


# ---- inputs --------------------------------------------------------------------------------------

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
        assert f'input 0 ("it") {message}' in refusal(graph.run, value)


def test_messages_about_inputs_say_what_came_instead():
    assert refusal(echo(int).run, "a") == "input 0 must be an integer, got a string"
    assert refusal(echo(str, title="name").run, None) == 'input 0 ("name") must be a string, got null'
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


# ---- schemas -------------------------------------------------------------------------------------

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
    ({"count": 1, "typo": 1}, "typo", "extra fields not permitted"),
])
def test_limits_of_fields_are_enforced(values, field, message):
    said = refusal(echo(Options).run, values)
    assert said.startswith("input 0: 1 validation error for Options\n")
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


# ---- streams -------------------------------------------------------------------------------------

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


# ---- asynchronous --------------------------------------------------------------------------------

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


# ---- what it needs -------------------------------------------------------------------------------

def test_the_package_needs_nothing_but_the_standard_library():
    code = """if True:
        import sys
        import pipeline, pipeline.objects.graph, pipeline.cloud.pipelines, pipeline.cloud.runs
        foreign = [name for name, module in sys.modules.items() if 'site-packages' in str(
            getattr(module, '__file__', '')) or 'dist-packages' in str(getattr(module, '__file__', ''))]
        print(foreign)
        """
    # -S: nothing that is installed can be found at all.
    result = subprocess.run([sys.executable, "-S", "-c", code], check=True, capture_output=True, text=True,
                            env={**os.environ, "PYTHONPATH": os.path.join(TOP, "worker/python")}, timeout=30)
    assert result.stdout.strip() == "[]"


def test_pip_installs_it_without_a_compiler_and_without_an_index(tmp_path):
    # A copy: building a wheel leaves things behind.
    shutil.copytree(os.path.join(TOP, "worker/python"), tmp_path / "source",
                    ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    subprocess.run(["/usr/bin/python3", "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-index",
                    "--no-deps", "--no-compile", "--target", str(tmp_path / "site"), str(tmp_path / "source")],
                   check=True, timeout=60 * SLOWNESS, env={**os.environ, "HOME": str(tmp_path)})
    assert sorted(os.listdir(tmp_path / "site")) == ["millrace_pipeline-0.1.0.dist-info", "pipeline"]
    code = "import pipeline.cloud.runs as runs; print(runs.__file__)"
    result = subprocess.run(["/usr/bin/python3", "-c", code], check=True, capture_output=True, text=True,
                            env={**os.environ, "PYTHONPATH": str(tmp_path / "site")}, timeout=30, cwd=tmp_path)
    assert result.stdout.strip() == str(tmp_path / "site/pipeline/cloud/runs.py")
