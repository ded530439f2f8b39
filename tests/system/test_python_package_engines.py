# SPDX-License-Identifier: MIT
"""The authoring package: engines in graphs, what is refused, and runs without a server."""

import pickle
import threading

import pytest

from graphs import refusal
from pipeline import LATER, Engine, InputError, Pipeline, Stream, Variable, pipe

pytestmark = pytest.mark.bounded(20)  # who waits to be woken here would do so for ever


class Counting(Engine[int]):
    """Counts down from a run's number; one row at a time where it is told so."""

    def __init__(self, rows=8):
        self.rows = rows
        self.runs = []
        self.evicted = 0

    def admit(self, run):
        if run.inputs[0] < 0:
            raise ValueError("below 0")
        if len(self.runs) == self.rows:
            return LATER
        run.state = run.inputs[0]
        self.runs.append(run)
        return None

    def step(self):
        for run in list(self.runs):
            run.state -= 1
            if run.state == 13:
                raise MemoryError("thirteen")
            run.emit(run.state)
            if run.state <= 0:
                run.finish()
                self.runs.remove(run)

    def evict(self, run):
        self.evicted += 1
        self.runs.remove(run)


def graph_of(engine, kind=int):
    with Pipeline() as builder:
        builder.output(engine(Variable(kind)))
    return builder.get_pipeline()


def test_an_engine_runs_without_a_server_and_its_runs_share_steps():
    graph = graph_of(Counting())
    first, = graph.run(5)
    second, = graph.run(3)
    assert isinstance(first, Stream) and next(first) == 4
    assert (list(second), list(first)) == ([2, 1, 0], [3, 2, 1, 0])


def test_a_run_waits_for_a_row_and_the_one_that_has_it_goes_on_meanwhile():
    graph = graph_of(Counting(rows=1))
    first, = graph.run(3)
    second, = graph.run(2)
    assert (next(first), list(second), list(first)) == (2, [1, 0], [1, 0])


def test_a_stream_that_is_left_is_evicted_and_a_step_that_fails_is_each_runs():
    engine = Counting()
    graph = graph_of(engine)
    left, = graph.run(5)
    next(left)
    left.end()
    assert (engine.evicted, engine.runs) == (1, [])
    failing, other = graph.run(15)[0], graph.run(10)[0]
    assert (next(other), next(failing)) == (9, 14)
    with pytest.raises(MemoryError):
        list(failing)
    with pytest.raises(MemoryError):
        list(other)
    assert engine.evicted == 3
    with pytest.raises(ValueError):
        next(graph.run(-1)[0])
    assert refusal(graph.run, "text").startswith("input 1 must be an integer")


def test_an_engine_that_has_nothing_to_do_is_woken():
    class Waiting(Counting):
        ready = False

        def step(self):
            if not self.ready:
                return LATER
            return super().step()

    engine = Waiting()
    stream, = graph_of(engine).run(2)

    def finish():
        engine.ready = True
        engine.wake()

    timer = threading.Timer(0.05, finish)
    timer.start()
    assert list(stream) == [1, 0]
    timer.join()


def test_arguments_are_inputs_constants_and_results_of_startup_pipes():
    class Keeping(Counting):
        def admit(self, run):
            run.emit(run.inputs)
            run.finish()

    @pipe(on_startup=True)
    def load() -> str:
        return "weights"

    with Pipeline() as builder:
        builder.output(Keeping()(Variable(int), load(), 0.5))
    graph = builder.get_pipeline()
    graph.startup()
    assert list(graph.run(3)[0]) == [(3, "weights", 0.5)]
    assert graph.engine_arguments(4) == (4, "weights", 0.5)
    assert "input 1" in refusal(graph.engine_arguments, "text", error=InputError)


def test_a_graph_that_has_run_can_be_pickled():
    graph = graph_of(Counting())
    assert list(graph.run(2)[0]) == [1, 0]
    assert list(pickle.loads(pickle.dumps(graph)).run(2)[0]) == [1, 0]


# ---- mistakes --------------------------------------------------------------------------------------

def built(function):
    """What is wrong with a graph that the function builds, with an input."""
    def build():
        with Pipeline() as builder:
            function(builder, Variable(int))
        builder.get_pipeline()

    return refusal(build, error=TypeError)


@pipe
def double(number: int) -> int:
    return 2 * number


def test_an_engine_has_its_graph_for_itself():
    assert "pipe double" in built(lambda builder, number: builder.output(Counting()(double(number))))
    assert "has to be the one output" in built(lambda builder, number: Counting()(number))
    assert "has to be the one output" in built(lambda builder, number: builder.output(Counting()(number), number))
    assert "is the second one" in built(lambda builder, number: (Counting()(number), Counting()(number)))
    assert "of another pipeline" in built(
        lambda builder, number: Counting()(Variable(int, allow_out_of_context_creation=True).of_result(int)))
    assert "inside of `with Pipeline()" in refusal(Counting(), 5, error=TypeError)


def test_an_engine_has_three_functions_and_none_is_asynchronous():
    class Half(Engine):
        def admit(self, run):
            pass

        def step(self):
            pass

    class Later(Counting):
        async def step(self):
            pass

    assert built(lambda builder, number: Half()(number)) == "engine Half has no evict()"
    assert "step() of engine Later is asynchronous" in built(lambda builder, number: Later()(number))
