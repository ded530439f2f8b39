# SPDX-License-Identifier: MIT
"""lines - a FastAPI application: N lines, gathered until one has to be waited for, or yielded one by one."""

import asyncio
import os
import sys
import time

import ujson
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse

# Not stacks/ itself: where that is looked at, stacks/fastapi is in the way of FastAPI.
sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../python"))

from line import own_line, result_line  # noqa: E402

BLOCK_BYTES = 16384
MEDIA_TYPE = "application/x-ndjson"


async def one_by_one(count, make, pace_ns):
    start_ns = time.monotonic_ns()
    for i in range(count):
        if pace_ns:
            wait_ns = start_ns + (i + 1) * pace_ns - time.monotonic_ns()
            if wait_ns > 0:
                await asyncio.sleep(wait_ns / 1e9)
        yield make(i, time.monotonic_ns())


async def gathered(count, make, pace_ns):
    monotonic_ns = time.monotonic_ns
    start_ns = monotonic_ns()
    lines, room = [], BLOCK_BYTES
    for i in range(count):
        if pace_ns:
            wait_ns = start_ns + (i + 1) * pace_ns - monotonic_ns()
            if wait_ns > 0:
                if lines:
                    yield b"".join(lines)
                    lines, room = [], BLOCK_BYTES
                await asyncio.sleep(wait_ns / 1e9)
        line = make(i, monotonic_ns())
        lines.append(line)
        room -= len(line)
        if room < 0:
            yield b"".join(lines)
            lines, room = [], BLOCK_BYTES
    if lines:
        yield b"".join(lines)


app = FastAPI()


@app.post("/each")
@app.post("/lines")
@app.post("/results")
async def answer(request: Request):
    asked = ujson.loads(await request.body())
    count, text_bytes, pace_ms = (item["value"] for item in asked["inputs"])
    path = request.scope["path"]
    make = result_line("x" * text_bytes) if path == "/results" else own_line("x" * text_bytes)
    if count == 1 and not pace_ms:
        return Response(make(0, time.monotonic_ns()), media_type=MEDIA_TYPE)
    generator = one_by_one if path == "/each" else gathered
    return StreamingResponse(generator(count, make, pace_ms * 1_000_000), media_type=MEDIA_TYPE)
