# SPDX-License-Identifier: MIT
"""millrace_worker.Batcher: one call of what the tasks of an event loop ask for at a time."""

import asyncio
import traceback

import pytest

from millrace_worker import Batcher

# Whoever hangs here would do so for ever.
pytestmark = pytest.mark.bounded(20)


class Calls:
    """A function for a Batcher that squares, and keeps what it was asked."""

    def __init__(self, **batcher):
        self.items = []
        self.batcher = Batcher(self.square, **batcher)

    def square(self, items):
        self.items.append(items)
        return [ValueError(f"{item} is odd") if item % 2 else item * item for item in items]

    async def ask(self, *items):
        return await asyncio.gather(*map(self.batcher.step, items), return_exceptions=True)


def test_what_tasks_ask_for_in_one_pass_is_one_call_and_each_has_its_result():
    calls = Calls()

    async def task(first):
        return [await calls.batcher.step(first + 100 * step) for step in range(5)]

    async def main():
        return await asyncio.gather(*(task(2 * number) for number in range(50)))

    results = asyncio.run(main())
    assert results == [[(2 * number + 100 * step) ** 2 for step in range(5)] for number in range(50)]
    assert calls.items == [[2 * number + 100 * step for number in range(50)] for step in range(5)]


def test_a_result_that_is_an_exception_is_raised_for_its_item_alone():
    calls = Calls()
    assert list(map(repr, asyncio.run(calls.ask(2, 3, 4)))) == ["4", "ValueError('3 is odd')", "16"]
    assert calls.items == [[2, 3, 4]]


def test_what_the_function_raises_is_raised_for_each_item_with_a_traceback_that_does_not_grow():
    def fail(items):
        raise RuntimeError(f"no memory for {len(items)}")

    batcher = Batcher(fail)

    async def one():
        try:
            await batcher.step(0)
        except RuntimeError as error:
            return str(error), len(traceback.extract_tb(error.__traceback__))

    async def main():
        return await asyncio.gather(*(one() for _ in range(20)))

    assert len(set(asyncio.run(main()))) == 1


@pytest.mark.parametrize("results, message", [([1], "1 results for 2 items"), ([1, 2, 3], "3 results for 2 items"),
                                              (5, "not iterable"), (None, "not iterable")])
def test_results_that_are_not_one_for_each_item_fail_all_of_them(results, message):
    batcher = Batcher(lambda items: results)

    async def main():
        return await asyncio.gather(batcher.step(1), batcher.step(2), return_exceptions=True)

    first, second = asyncio.run(main())
    assert isinstance(first, TypeError) and message in str(first) and message in str(second)


def test_a_task_that_is_cancelled_while_it_waits_is_left_out_and_fails_no_other():
    calls = Calls()

    async def main():
        tasks = [asyncio.ensure_future(calls.batcher.step(item)) for item in (2, 4, 6)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, second, third = asyncio.run(main())
    assert (first, third) == (4, 36) and isinstance(second, asyncio.CancelledError)
    assert calls.items == [[2, 6]]


def test_a_task_that_is_cancelled_while_its_call_is_under_way_fails_no_other():
    gate = None

    async def wait(items):
        await gate.wait()
        return items

    batcher = Batcher(wait)

    async def main():
        nonlocal gate
        gate = asyncio.Event()
        tasks = [asyncio.ensure_future(batcher.step(item)) for item in range(3)]
        await asyncio.sleep(0.01)
        tasks[0].cancel()
        await asyncio.sleep(0)
        gate.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, *others = asyncio.run(main())
    assert isinstance(first, asyncio.CancelledError) and others == [1, 2]


def test_what_is_asked_for_while_an_asynchronous_call_is_under_way_is_the_next_one():
    calls = []

    async def wait(items):
        calls.append(items)
        await asyncio.sleep(0.01)
        return items

    batcher = Batcher(wait)

    async def main():
        first = asyncio.ensure_future(batcher.step(0))
        while not calls:
            await asyncio.sleep(0)
        others = [asyncio.ensure_future(batcher.step(item)) for item in (1, 2, 3)]
        return await asyncio.gather(first, *others)

    assert asyncio.run(main()) == [0, 1, 2, 3]
    assert calls == [[0], [1, 2, 3]]


def test_a_call_has_so_many_items_at_most_and_others_have_a_turn_between_two():
    calls = Calls(size=4)
    turns = []

    async def main():
        asked = asyncio.ensure_future(calls.ask(*range(0, 20, 2)))
        while not asked.done():
            turns.append(len(calls.items))
            await asyncio.sleep(0)
        return await asked

    assert asyncio.run(main()) == [item * item for item in range(0, 20, 2)]
    assert calls.items == [[0, 2, 4, 6], [8, 10, 12, 14], [16, 18]]
    assert {0, 1, 2} < set(turns)


def test_more_than_may_wait_are_refused_and_those_that_left_do_not_count():
    calls = Calls(waiting_max=2)

    async def main():
        leaving = asyncio.ensure_future(calls.batcher.step(2))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.sleep(0)
        return await calls.ask(4, 6, 8)

    first, second, third = asyncio.run(main())
    assert (first, second) == (16, 36) and isinstance(third, asyncio.QueueFull)
    with pytest.raises(ValueError):
        Batcher(calls.square, size=0)


def test_a_batcher_that_nobody_asks_does_nothing():
    calls = Calls()

    async def main():
        await calls.batcher.step(2)
        return len(asyncio.all_tasks()), calls.batcher.is_due

    assert asyncio.run(main()) == (1, False)
    assert asyncio.run(main()) == (1, False), "it serves the next event loop, too"
