# SPDX-License-Identifier: MIT
"""batch_faults - a batched pipe that gives what is no proper list, and runs that user code cancels."""

from __future__ import annotations

import asyncio
import contextvars
import os
import time
from typing import Any

from millrace_worker import cancelled
from pipeline import Pipeline, Variable, pipe

mark: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="nobody")


class Unreadable(list):

    def __iter__(self) -> Any:
        raise ValueError("it cannot be read")


class Empty(list):

    def __iter__(self) -> Any:
        return iter(())


class Nameless:

    @property
    def __class__(self) -> Any:
        raise ValueError("it has no class")


@pipe
async def begin(word: str) -> str:
    """Who set the mark before, or the word, which is the mark from now on."""
    if word == "cancel":
        asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)
    if word == "obey":
        print("it asks")
    while word == "obey" and not cancelled():
        time.sleep(0.001)
    marked = mark.get()
    mark.set(word)
    return marked if word == "mark" else word


def answer(words: list[str]) -> Any:
    kinds = {"unreadable": Unreadable, "empty": Empty, "nameless": lambda _: Nameless()}
    return kinds.get(words[0], list)(words)


@pipe(batched=True)
def answer_now(words: list[str]) -> list[str]:
    """A word that is a path is one until there is a file."""
    if "/" in words[0]:
        print("it is held")
    while "/" in words[0] and not os.path.exists(words[0]):
        time.sleep(0.001)
    return answer(words)


@pipe(batched=True)
async def answer_later(words: list[str]) -> list[str]:
    return answer(words)


def graph_of(answering: Any) -> Any:
    with Pipeline() as builder:
        builder.output(answering(begin(Variable(str))))
    return builder.get_pipeline()


now = graph_of(answer_now)
later = graph_of(answer_later)
