# SPDX-License-Identifier: MIT
"""engine_storm - an engine that does what seeds say: each run's inputs foretell its values and its end.

The engine watches the worker meanwhile; what should not be is printed as VIOLATION.
"""

import random
import threading
import time

from pipeline import LATER, Engine, InputError, Pipeline, Variable, pipe

CAPACITY = 12
ENDS = ("finish", "fail", "unsendable", "refuse", "raise in admit", "all", "for ever")


class Plan:
    """What becomes of a run: `count` values from 0, and how it ends."""

    def __init__(self, seed):
        chance = random.Random(seed)
        self.end = chance.choices(ENDS, (50, 10, 8, 4, 4, 1, 12))[0]
        self.count = 0 if self.end in ("refuse", "raise in admit") else chance.randrange(300)
        self.is_fast = chance.random() < 0.5
        self.width = chance.choice((1, 1, 1, 4000))


class Storm(Engine):
    def __init__(self):
        self.runs = {}
        self.chance = random.Random(1)
        self.is_idle = False      # step() said so
        self.is_refused = False   # admit() did
        self.was_full = set()
        self.reasons = 0          # for so many steps: a run came or went, or the engine was woken
        self.lock = threading.Lock()

    @pipe(on_startup=True)
    def start(self) -> None:
        threading.Thread(target=self.wake_now_and_then, daemon=True).start()

    def wake_now_and_then(self):
        while True:
            time.sleep(0.002)
            with self.lock:
                # The step that is about to begin may be the first to see it, and not the one that it causes.
                self.reasons = 2
                self.wake()

    def expect(self, is_so, what):
        if not is_so:
            print("VIOLATION:", what)

    def admit(self, run):
        seed, = run.inputs
        plan = Plan(seed)
        self.expect(run.id not in self.runs, "a run comes twice")
        if len(self.runs) >= CAPACITY or self.chance.random() < 0.2:
            return LATER
        if plan.end == "refuse":
            run.fail(f"refused {seed}", "input_error")
            return None
        if plan.end == "raise in admit":
            raise InputError(f"raised {seed}")
        run.state = [plan, 0]
        self.runs[run.id] = run
        self.reasons = max(1, self.reasons)
        return None

    def step(self):
        self.expect(self.runs, "a step without runs")
        with self.lock:
            self.expect(not self.is_idle or self.reasons or any(not run.is_full for run in self.was_full),
                        "a step, and nothing has happened")
            self.reasons = max(0, self.reasons - 1)
        self.was_full = set()
        for run in list(self.runs.values()):
            self.step_one(run)
        self.was_full = {run for run in self.runs.values() if run.is_full}
        self.is_idle = self.chance.random() < 0.3 or len(self.was_full) == len(self.runs)
        return LATER if self.is_idle and self.runs else None

    def step_one(self, run):
        plan = run.state[0]
        if run.is_full:
            self.expect(not run.emit("never sent"), "a full run takes a value")
            return
        for _ in range(20 if plan.is_fast else self.chance.randrange(3)):
            if run.state[1] == plan.count and plan.end != "for ever":
                self.end(run, plan)
                return
            if not run.emit([run.state[1], "x" * plan.width]):
                self.expect(run.is_full, "a run that is open takes no value")
                return
            run.state[1] += 1

    def end(self, run, plan):
        if plan.end == "all":
            raise MemoryError("all of them")
        if plan.end == "unsendable":
            self.expect(not run.emit({1}), "a set was sent")
            self.expect(run.is_full, "a run that has failed is open")
            return
        del self.runs[run.id]
        self.was_full.discard(run)
        if plan.end == "finish":
            run.finish()
        else:
            run.fail(f"failed {run.inputs[0]}")
        try:
            run.emit(0)
            self.expect(False, "a run that is over can be used")
        except RuntimeError:
            pass

    def evict(self, run):
        self.expect(self.runs.pop(run.id, None) is run, "a run is evicted that is not in")
        self.expect(run.is_cancelled, "a run that is evicted is not cancelled")
        self.was_full.discard(run)
        self.reasons = max(1, self.reasons)


with Pipeline() as builder:
    engine = Storm()
    engine.start()
    builder.output(engine(Variable(int)))

storm = builder.get_pipeline()
