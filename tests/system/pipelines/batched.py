# SPDX-License-Identifier: MIT
"""batched - batched pipes for system tests: batched.c in Python, and what is Python's own."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from millrace_worker import cancelled, run_id
from pipeline import Pipeline, Stream, Variable, entity, pipe


class DeviceError(Exception):
    error_type = "cuda_error"


@pipe
def check(word: str) -> str:
    if word == "bad":
        raise ValueError("bad before")
    return word


def obey(words: list[str]) -> None:
    if "all" in words:
        raise DeviceError(f"all {len(words)} failed")
    if "slow" in words:
        time.sleep(0.3)
    if "log" in words:
        print("called for", len(words))
    if "hold" in words:
        print("it is held")
    while "hold" in words and not cancelled():
        time.sleep(0.001)


@entity
class Teller:
    """Calls are counted where entities keep what stays."""

    call_count = 0

    @pipe(batched=True)
    def tell(self, words: list[str], numbers: list[int]) -> list[list[int] | Exception]:
        self.call_count += 1
        obey(words)
        return [MemoryError("one failed") if word == "fail" else [number, len(words), self.call_count]
                for word, number in zip(words, numbers)]

    @pipe(batched=True)
    async def tell_later(self, words: list[str], numbers: list[int]) -> list[list[int] | Exception]:
        self.call_count += 1
        if "hold" in words:
            print("it is held")
        while "hold" in words:
            await asyncio.sleep(60)
        await asyncio.sleep(0.3 if "slow" in words else 0)
        obey(words)
        return [MemoryError("one failed") if word == "fail" else [number, len(words), self.call_count]
                for word, number in zip(words, numbers)]


@pipe(batched=True)
def wrong(words: list[str]) -> list[str]:
    answers: dict[str, Any] = {"few": words[1:], "text": "text", "none": None, "run": [run_id() for _ in words]}
    return answers[words[0]]


@pipe
def count_down(told: list) -> Stream:
    number, count, _ = told
    return Stream([left, count] for left in reversed(range(number)))


def graph_of(*, tells_later: bool = False, streams: bool = False, checks: bool = True) -> Any:
    with Pipeline() as builder:
        word, number = Variable(str), Variable(int)
        teller = Teller()
        checked = check(word) if checks else word
        told = (teller.tell_later if tells_later else teller.tell)(checked, number)
        builder.output(count_down(told) if streams else told)
    return builder.get_pipeline()


batched = graph_of()
streams = graph_of(streams=True, checks=False)
later = graph_of(tells_later=True)

with Pipeline() as wrong_builder:
    wrong_builder.output(wrong(Variable(str)))
mistaken = wrong_builder.get_pipeline()
