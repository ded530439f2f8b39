# SPDX-License-Identifier: MIT
"""undeclared.py - outputs of which nobody says whether they are streams: of a text it is the text, of none three numbers,
of the word file one."""

import asyncio
import io
import typing

from pipeline import Pipeline, Variable, pipe
from pipeline.objects.graph import Stream


def made(text):
    if text == "file":
        return io.BytesIO(b"\xff")
    return text or Stream(iter([1, 2, 3]))


@pipe
def plain(first: str, second: str) -> typing.Tuple[typing.Any, typing.Any]:
    return made(first), made(second)


@pipe
async def asynchronous(first: str, second: str) -> typing.Tuple[typing.Any, object]:
    await asyncio.sleep(0)
    return made(first), made(second)


def graph(function):
    with Pipeline() as builder:
        builder.output(*function(Variable(str), Variable(str)))
    return builder.get_pipeline()


plainly, asynchronously = graph(plain), graph(asynchronous)
