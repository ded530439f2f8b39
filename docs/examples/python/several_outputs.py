# SPDX-License-Identifier: MIT
"""several_outputs.py - pipes that feed each other, several outputs, an entity with state, startup.

    millrace serve several_outputs.py:several
    curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
         -d '{"inputs":[{"type":"string","value":"  Hello there  "}]}'

Each line has one value of each output: streams advance together, a plain value is repeated, and a stream
that is exhausted gives null while the others go on. `lockstep` is the smallest case of it:

    millrace serve several_outputs.py:lockstep      [1,static,hello] [2,static,world] [3,static,null] ...
"""

from typing import Tuple

from pipeline import Pipeline, Variable, entity, pipe
from pipeline.objects.graph import Stream


@pipe
def trim(text: str) -> Tuple[str, int]:
    trimmed = text.strip()
    return trimmed, len(text) - len(trimmed)


@pipe
def words(text: str) -> Stream:
    return Stream(iter(text.split()))


@pipe
def letters(text: str, limit: int) -> Stream:
    # The limit is optional: None when it was not sent.
    return Stream(iter(text[:limit]))


@entity
class Counter:
    """One for each worker: what lives longer than a run."""

    @pipe(run_once=True, on_startup=True)
    def start(self) -> None:
        self.run_count = 0

    @pipe
    def count(self, cut_off: int) -> dict:
        self.run_count += 1
        return {"run": self.run_count, "cut_off": cut_off}


with Pipeline() as builder:
    text = Variable(str, title="text", description="what is taken apart", examples=["  Hello there  "])
    limit = Variable(int, title="limit", description="letters at most", optional=True, ge=0)
    counter = Counter()
    counter.start()
    trimmed, cut_off = trim(text)
    builder.output(words(trimmed), letters(trimmed, limit), counter.count(cut_off))

several = builder.get_pipeline()


@pipe
def numbers() -> Stream:
    return Stream(iter([1, 2, 3, 4]))


@pipe
def constant() -> str:
    return "static"


@pipe
def greeting() -> Stream:
    return Stream(iter(["hello", "world"]))


with Pipeline() as builder:
    builder.output(numbers(), constant(), greeting())

lockstep = builder.get_pipeline()
