# SPDX-License-Identifier: MIT
"""many_runs - asynchronous runs, a thousand of them in one worker, and what they share."""

import asyncio
import time

from millrace_worker import Batcher
from pipeline import LATER, Engine, Pipeline, Stream, Variable, pipe


def graph_of(function, *kinds):
    with Pipeline() as builder:
        builder.output(pipe(function)(*(Variable(kind) for kind in kinds)))
    return builder.get_pipeline()


class Meeting:
    """Runs go on when `count` of them have come."""

    def __init__(self):
        self.here = 0
        self.full = None

    async def each(self, count, items):
        if self.full is None:
            self.full = asyncio.Event()
        self.here += 1
        if self.here == count:
            self.full.set()
        await self.full.wait()
        for item in range(items):
            yield item
            await asyncio.sleep(0)


meeting = Meeting()


def met(count: int, items: int) -> Stream:
    return Stream(meeting.each(count, items))


gathered = graph_of(met, int, int)


def paced_numbers(count: int, pause_ms: float) -> Stream:
    """Numbers, each after a pause; what ends it early is printed."""
    async def each():
        number = 0
        try:
            for number in range(count):
                if pause_ms:
                    await asyncio.sleep(pause_ms / 1000)
                yield number
        except asyncio.CancelledError:
            print("cancelled where it waited")
            raise
        finally:
            print("closed after", number)
    return Stream(each())


paced = graph_of(paced_numbers, int, float)


def cancelling(count: int) -> Stream:
    """A run whose own code cancels its task, wherever that waits."""
    async def each():
        asyncio.get_running_loop().call_later(0.2, cancel, asyncio.current_task())
        for number in range(count):
            yield number

    def cancel(task):
        print("cancels it")
        task.cancel()

    return Stream(each())


self_cancelled = graph_of(cancelling, int)


def limited(seconds: float) -> Stream:
    """A time limit of its own around one wait."""
    async def each():
        yield "begun"
        try:
            await asyncio.wait_for(asyncio.sleep(1000), seconds)
        except asyncio.TimeoutError:
            yield "late"
    return Stream(each())


timed = graph_of(limited, float)


class Model:
    """A step takes as long whatever the batch is. Number 13 is wrong, and -1 fails all."""

    def __init__(self):
        self.call_count = 0
        self.batcher = Batcher(self.compute)

    def compute(self, numbers):
        self.call_count += 1
        time.sleep(0.002)
        if -1 in numbers:
            print("about to fail")
            raise MemoryError("the call failed")
        return [KeyError(number) if number == 13 else [number, self.call_count, len(numbers)] for number in numbers]

    async def each(self, first, count):
        for number in range(first, first + count):
            yield await self.batcher.step(number)


model = Model()


def computed(first: int, count: int) -> Stream:
    return Stream(model.each(first, count))


batched = graph_of(computed, int, int)


def plain_numbers(count: int) -> Stream:
    def each():
        for number in range(count):
            yield number
    return Stream(each())


plain = graph_of(plain_numbers, int)


class Counter(Engine[int]):
    """A step takes as long whatever the batch is, and gives each run its next number."""

    def __init__(self):
        self.runs = []

    def admit(self, run):
        run.state = 0
        self.runs.append(run)

    def step(self):
        batch = [run for run in self.runs if not run.is_full]
        if not batch:
            return LATER
        time.sleep(0.002)
        for run in batch:
            run.emit(run.state)
            run.state += 1
            if run.state == run.inputs[0]:
                run.finish()
        self.runs = [run for run in self.runs if run.state < run.inputs[0]]
        return None

    def evict(self, run):
        self.runs.remove(run)


with Pipeline() as builder:
    builder.output(Counter()(Variable(int)))

stepped = builder.get_pipeline()
