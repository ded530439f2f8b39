# SPDX-License-Identifier: MIT
"""engines - engines in Python: that of engine.c, and what only Python can get wrong."""

import os
import threading
import time

import millrace_worker
from pipeline import LATER, Engine, InputError, Pipeline, Variable, pipe


class Nested:
    """A value whose own code sends another one in the middle."""

    def __init__(self, run):
        self.run = run

    def __index__(self):
        self.run.emit(0)
        return 0


class Batched(Engine):
    """As engine.c: a value is [number of the value, number of the step, runs in the step]. At value AT, WORD is
    done."""

    def __init__(self):
        self.runs = []
        self.step_count = 0
        self.loaded_in = None

    @pipe(on_startup=True)
    def load(self) -> int:
        self.loaded_in = os.getpid()
        return 1

    def admit(self, run):
        word, count, at, pause_ms, unit = run.inputs
        if word == "refuse":
            raise InputError("refused")
        if word == "refuse alone":
            run.fail("refused in words", "input_error")
            return None
        if word == "admit set":
            return {run}
        if word == "one" and self.runs:
            return LATER
        run.state = {"word": word, "count": count, "at": at, "pause_s": pause_ms / 1000, "sent": 0}
        print("admitted after", self.step_count, "steps in", "the process that loaded" if self.loaded_in == os.getpid()
              else "another", "one by", unit)
        self.runs.append(run)
        return None

    def step(self):
        batch = [run for run in self.runs if not run.is_full]
        if not batch:
            return LATER
        self.step_count += 1
        time.sleep(max(run.state["pause_s"] for run in batch))
        for run in batch:
            state = run.state
            if state["sent"] != state["at"] or not self.act(run, state["word"]):
                run.emit([state["sent"], self.step_count, len(batch)])
                state["sent"] += 1
                if state["sent"] == state["count"]:
                    run.finish()
                    self.runs.remove(run)
        return None

    def act(self, run, word):
        """True when the run is over, or has nothing to send."""
        if word in ("fail", "fail exception", "finish", "stale"):
            self.runs.remove(run)
            if word == "fail":
                run.fail(f"failed at {run.state['at']}", "cuda_error")
            elif word == "fail exception":
                try:
                    raise KeyError("its own")
                except KeyError as error:
                    run.fail(error)
            else:
                run.finish()
            if word == "stale":
                run.emit(0)
            return True
        if word == "fail all":
            raise MemoryError("the step failed")
        if word == "half":
            return run.emit([1, {2}]) is False
        if word == "nested":
            run.emit(Nested(run))
            return True
        if word == "hang":
            time.sleep(1000)
        if word == "exit":
            os._exit(3)
        return False

    def evict(self, run):
        print("evicted after", self.step_count, "steps")
        self.runs.remove(run)
        if run.state["word"] == "emit in evict":
            run.emit(0)
        if run.state["word"] == "cancelled":
            print("is cancelled:", run.is_cancelled)


with Pipeline() as builder:
    batched_engine = Batched()
    unit = batched_engine.load()
    builder.output(batched_engine(Variable(str, title="WORD"), Variable(int, title="COUNT"), Variable(int, title="AT"),
                                  Variable(int, title="MS"), unit))

batched = builder.get_pipeline()


class Stepped(Engine):
    """step() is a generator function: a step of a run at a time, and the steps know where they are."""

    def __init__(self):
        self.runs = []

    def admit(self, run):
        run.state = iter(range(run.inputs[0]))
        self.runs.append(run)

    def step(self):
        round_count = 0
        try:
            while True:
                round_count += 1
                for run in list(self.runs):
                    if run not in self.runs or run.is_full:
                        continue
                    number = next(run.state, None)
                    if number is None:
                        self.runs.remove(run)
                        run.finish()
                    elif number == 13:
                        raise ValueError(f"thirteen in round {round_count}")
                    else:
                        run.emit([number, round_count])
                    yield
                yield LATER if all(run.is_full for run in self.runs) else None
        finally:
            print("the steps ended")

    def evict(self, run):
        self.runs.remove(run)


with Pipeline() as builder:
    builder.output(Stepped()(Variable(int)))

stepped = builder.get_pipeline()


class Threaded(Engine):
    """A thread does the work, and wakes the engine."""

    def __init__(self):
        self.lock = threading.Lock()
        self.runs = {}
        self.done = []
        self.step_count = 0
        self.said = set()

    @pipe(on_startup=True)
    def start(self) -> None:
        self.wake()  # for nobody
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        while True:
            time.sleep(0.001)
            with self.lock:
                self.done += [(run, run.state) for run in self.runs.values()]
                for run in self.runs.values():
                    run.state += 1
                runs = list(self.runs.values())
            if runs:
                self.misuse(runs[0])
                self.wake()

    def misuse(self, run):
        try:
            run.emit("from elsewhere")
        except RuntimeError as error:
            if str(error) not in self.said:
                self.said.add(str(error))
                print(error)

    def admit(self, run):
        run.state = 0
        with self.lock:
            self.runs[run.id] = run

    def step(self):
        self.step_count += 1
        with self.lock:
            done, self.done = self.done, []
        for run, number in done:
            if run.id in self.runs:
                run.emit(number)
                if number == run.inputs[0]:
                    self.forget(run)
                    run.finish()
        return LATER

    def forget(self, run):
        with self.lock:
            del self.runs[run.id]

    def evict(self, run):
        self.forget(run)


with Pipeline() as builder:
    threaded_engine = Threaded()
    threaded_engine.start()
    builder.output(threaded_engine(Variable(int)))

threaded = builder.get_pipeline()


class Rowed(Engine):
    """As many rows as ROWS says. The first value of a run is the step budget, or -1; it stays until it is told."""

    def __init__(self):
        self.runs = []

    def capacity(self):
        text = os.environ.get("ROWS", "None")
        return None if text == "None" else "many" if text == "many" else int(text)

    def admit(self, run):
        assert len(self.runs) < (self.capacity() or 1000), "one more than there is room for"
        self.runs.append(run)

    def step(self):
        for run in list(self.runs):
            if run.state is None:
                run.state = "has begun"
                run.emit(self.step_budget(-1))
                if run.inputs[0] == 0:
                    self.runs.remove(run)
                    run.finish()
        return LATER

    def evict(self, run):
        self.runs.remove(run)


with Pipeline() as builder:
    builder.output(Rowed()(Variable(int)))

rowed = builder.get_pipeline()


# ---- by what the worker needs alone ----------------------------------------------------------------


class Word:
    def __init__(self, word):
        self.type_word = word


class Plain:
    """Neither a graph nor an Engine of the package: what it is told by is `engine`."""

    input_variables = [Word("integer")]
    output_variables = [Word("stream")]

    def __init__(self, step=None):
        self.runs = []
        self.engine = self
        if step is not None:
            self.step = step

    def startup(self):
        print("started up")

    def admit(self, run):
        self.runs.append(run)

    def step(self):
        for run in self.runs:
            run.emit(run.inputs[0])
            run.finish()
        self.runs.clear()
        return millrace_worker.LATER

    def evict(self, run):
        self.runs.remove(run)


plain = Plain()
returning = Plain(lambda: 5)


async def later():
    pass


asynchronous = Plain(later)
awaiting = Plain(lambda: later())
two_outputs = Plain()
two_outputs.output_variables = [Word("stream"), Word("integer")]
