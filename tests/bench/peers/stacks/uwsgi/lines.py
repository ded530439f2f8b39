# SPDX-License-Identifier: MIT
"""lines - a WSGI application: N lines, gathered until one has to be waited for, or each for itself."""

import os
import sys
import time

import ujson

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../python"))

from line import own_line, result_line  # noqa: E402

BLOCK_BYTES = 16384


def application(environ, start_response):
    request = ujson.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    count, text_bytes, pace_ms = (item["value"] for item in request["inputs"])
    headers = [("Content-Type", "application/x-ndjson")]
    path = environ["PATH_INFO"]
    if pace_ms or path == "/each":
        headers.append(("X-Accel-Buffering", "no"))
    start_response("200 OK", headers)
    make = result_line("x" * text_bytes) if path == "/results" else own_line("x" * text_bytes)
    return lines(count, make, pace_ms * 1_000_000, 0 if path == "/each" else BLOCK_BYTES)


def lines(count, make, pace_ns, block_bytes):
    monotonic_ns = time.monotonic_ns
    start_ns = monotonic_ns()
    gathered, room = [], block_bytes
    for i in range(count):
        if pace_ns:
            wait_ns = start_ns + (i + 1) * pace_ns - monotonic_ns()
            if wait_ns > 0:
                if gathered:
                    yield b"".join(gathered)
                    gathered, room = [], block_bytes
                time.sleep(wait_ns / 1e9)
        line = make(i, monotonic_ns())
        gathered.append(line)
        room -= len(line)
        if room < 0:
            yield b"".join(gathered)
            gathered, room = [], block_bytes
    if gathered:
        yield b"".join(gathered)
