# SPDX-License-Identifier: MIT
"""lines - a FastAPI application: N lines, gathered until one has to be waited for, or yielded one by one."""

import asyncio
import os
import time

import ujson
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse

BLOCK_BYTES = 16384
AROUND = [os.environ[name].encode() for name in ("LINE_BEFORE", "LINE_AFTER")]
MEDIA_TYPE = "application/x-ndjson"


def own_line(text):
    dumps = ujson.dumps
    return lambda i, now_ns: (dumps({"i": i, "t_ns": now_ns, "chunk": text}) + "\n").encode()


def result_line(text):
    form = b'%b{"i":%%d,"t_ns":%%d,"chunk":%b}%b\n' % (AROUND[0], ujson.dumps(text).encode().replace(b"%", b"%%"), AROUND[1])
    return lambda i, now_ns: form % (i, now_ns)


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
