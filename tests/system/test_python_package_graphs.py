# SPDX-License-Identifier: MIT
"""The authoring package `pipeline`, without any server: graphs, their state, what it needs."""

import os
import shutil
import subprocess
import sys
import textwrap
import threading
import typing

import pytest

import pipeline
from graphs import echo, graph_of, refusal
from pipeline import File, Pipeline, Variable, entity, pipe
from pipeline.exceptions import GraphError
from pipeline.objects import graph as names
from pipeline.objects.graph import Stream
from server import MILLRACE, SLOWNESS, TOP


def negative_of(value) -> int:
    return -value


# ---- graphs ------------------------------------------------------------------------------------------

def test_the_names_of_the_contract_are_where_it_says():
    for name in ("Stream", "Variable", "InputField", "InputSchema", "File"):
        assert hasattr(names, name)
    assert names.Variable is Variable and names.File is File
    for name in ("Pipeline", "pipe", "entity", "Variable", "File", "Stream", "Graph", "InputError", "GraphError"):
        assert name in pipeline.__all__ and hasattr(pipeline, name)
    assert pipeline.GraphError is GraphError


def test_a_pipe_that_says_nothing_of_its_result_is_a_step_while_nobody_uses_it():
    calls = []

    @pipe
    def note(value: int):
        calls.append(value)

    @pipe
    def double(value: int, **_named: dict) -> int:
        return value * 2

    with Pipeline() as builder:
        number = Variable(int)
        note(number)
        builder.output(double(number))
    assert (builder.get_pipeline().run(4), calls) == ([8], [4])


def test_a_graph_without_an_output_is_built_and_runs_and_is_not_served(tmp_path):
    with Pipeline() as builder:
        pipe(lambda: None)()
    graph = builder.get_pipeline()
    assert (graph.run(), len(graph.functions), len(graph.nodes)) == ([], 1, 1)
    source = tmp_path / "mute.py"
    source.write_text("from pipeline import Pipeline\nwith Pipeline() as b:\n    pass\nmute = b.get_pipeline()\n")
    result = subprocess.run([MILLRACE, "check", str(source)], capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 4 and "the pipeline has no output" in result.stderr


def test_a_graph_tells_what_it_is_made_of_as_the_original_does():
    @entity
    class Model:
        @pipe
        def predict(self, text: str) -> typing.Tuple[str, int]:
            return text, len(text)

    with Pipeline() as builder:
        text = Variable(str)
        name, size = Model().predict(text)
        builder.output(size)
        assert builder._current_pipeline.outputs == [size]
    graph = builder.get_pipeline()
    assert (graph.variables, graph.outputs) == ([text, name, size], [size])
    assert [(one.is_input, one.is_output) for one in graph.variables] == [(True, False), (False, False), (False, True)]
    node, = graph.nodes
    assert (node.inputs, node.outputs) == ([text], [name, size])
    assert [(one.name, one.typing_inputs) for one in graph.functions] == [("predict", {"text": str})]
    assert "def predict" in graph.functions[0].source and len(graph.functions[0].hash) == 64
    assert [type(one.model) for one in graph.models] == [Model] and "class Model" in graph.models[0].source
    assert len({one.local_id for one in (graph, node, text, name, size, graph.models[0])}) == 6


def test_variables_that_are_no_inputs_and_those_outside_of_a_builder():
    loose = Variable(int, allow_out_of_context_creation=True, name="n", local_id="abc", remote_id="r")
    assert (loose.name, loose.local_id, loose.remote_id) == ("n", "abc", "r")
    with Pipeline() as builder:
        Variable(int, is_input=False)
        builder.output(Variable(str))
    assert builder.get_pipeline().run("a") == ["a"]


def test_a_graph_that_was_saved_runs_when_it_is_loaded(tmp_path):
    graph = graph_of(int, negative_of)
    graph.save(tmp_path / "graph")
    assert pipeline.Graph.load(tmp_path / "graph").run(2) == [-2]


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
        nothing = bare(number)
        for use in (fine, builder.output):
            assert "<locals>.bare" in refusal(use, nothing, error=GraphError)
            assert "needs a return annotation" in refusal(use, nothing, error=GraphError)
        assert "is given a tuple of variables" in refusal(fine, (number, number), error=GraphError)
        assert "missing a required argument: 'value'" in refusal(fine, error=GraphError)
        assert "of another pipeline" in refusal(fine, foreign, error=GraphError)
        assert "runs once, so it cannot return a stream" in refusal(once, error=GraphError)
        assert "runs at startup" in refusal(load, number, error=GraphError)
        assert "takes variables" in refusal(builder.output, 5, error=GraphError)
        assert "Tuple" in refusal(list, fine(number), error=GraphError)
    assert "with Pipeline()" in refusal(Variable, int, error=GraphError)
    assert "default of input 1" in refusal(lambda: echo(int, default="x"), error=GraphError)


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


# ---- state -------------------------------------------------------------------------------------------

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


# ---- what it needs -----------------------------------------------------------------------------------

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
    assert (tmp_path / "site/pipeline/py.typed").exists()
    code = "import pipeline.cloud.runs as runs; print(runs.__file__)"
    result = subprocess.run(["/usr/bin/python3", "-c", code], check=True, capture_output=True, text=True,
                            env={**os.environ, "PYTHONPATH": str(tmp_path / "site")}, timeout=30, cwd=tmp_path)
    assert result.stdout.strip() == str(tmp_path / "site/pipeline/cloud/runs.py")
