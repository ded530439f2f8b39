# SPDX-License-Identifier: MIT
"""lines - a WSGI application: N lines, gathered until one has to be waited for, or each for itself."""

import os
import time

import ujson

BLOCK_BYTES = 16384
AROUND = [os.environ[name].encode() for name in ("LINE_BEFORE", "LINE_AFTER")]


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


def own_line(text):
    dumps = ujson.dumps
    return lambda i, now_ns: (dumps({"i": i, "t_ns": now_ns, "chunk": text}) + "\n").encode()


def result_line(text):
    form = b'%b{"i":%%d,"t_ns":%%d,"chunk":%b}%b\n' % (AROUND[0], ujson.dumps(text).encode().replace(b"%", b"%%"), AROUND[1])
    return lambda i, now_ns: form % (i, now_ns)


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
