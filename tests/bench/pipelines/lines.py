# SPDX-License-Identifier: MIT
"""lines - what lines.c does, in Python: N chunks {"i":0,"t_ns":...,"chunk":"xx..."} with BYTES of text."""

import asyncio
import time

from pipeline import Pipeline, pipe
from pipeline.objects.graph import Stream, Variable


def lines(count, text_bytes):
    text = "x" * text_bytes
    for number in range(count):
        yield {"i": number, "t_ns": time.monotonic_ns(), "chunk": text}


@pipe
def plain_lines(count: int, text_bytes: int, _pace_ms: int) -> Stream:
    return Stream(lines(count, text_bytes))


@pipe
async def asynchronous_lines(count: int, text_bytes: int, _pace_ms: int) -> Stream:
    async def items():
        for item in lines(count, text_bytes):
            yield item
    return Stream(items())


@pipe
async def paced_lines(count: int, text_bytes: int, pace_ms: int) -> Stream:
    async def items():
        start_s = time.monotonic()
        for item in lines(count, text_bytes):
            wait_s = start_s + (item["i"] + 1) * pace_ms / 1000 - time.monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            yield item | {"t_ns": time.monotonic_ns()}
    return Stream(items())


def graph(function):
    with Pipeline() as builder:
        builder.output(function(Variable(int), Variable(int), Variable(int)))
    return builder.get_pipeline()


plain = graph(plain_lines)
asynchronous = graph(asynchronous_lines)
paced = graph(paced_lines)
