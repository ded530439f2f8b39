# SPDX-License-Identifier: MIT
"""async_words.py - the words of a text, one every 100 ms, many runs at once in one worker.

    millrace serve async_words.py:words --concurrency 100
    curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
         -d '{"inputs":[{"type":"string","value":"hello there"}]}'

Asynchronous pipes and generators share one event loop. While one run waits, others go on; what computes
for long instead of waiting keeps them all from it.
"""

import asyncio

from pipeline import Pipeline, Variable, pipe
from pipeline.objects.graph import Stream

PACE_S = 0.1


@pipe
async def stream_words(text: str, pace_s: float) -> Stream:
    await asyncio.sleep(0)  # anything that can be awaited: a database, another service

    async def each():
        for word in text.split():
            await asyncio.sleep(PACE_S if pace_s is None else pace_s)
            yield word + " "

    return Stream(each())


with Pipeline() as builder:
    text = Variable(str, title="text")
    pace_s = Variable(float, title="pace_s", description="seconds before each word", optional=True)
    builder.output(stream_words(text, pace_s))

words = builder.get_pipeline()
