# SPDX-License-Identifier: MIT
"""line - the line that peers in Python send: their own, or the very bytes of millrace's."""

import os

import ujson

AROUND = [os.environ[name].encode() for name in ("LINE_BEFORE", "LINE_AFTER")]


def own_line(text):
    dumps = ujson.dumps
    return lambda i, now_ns: (dumps({"i": i, "t_ns": now_ns, "chunk": text}) + "\n").encode()


def result_line(text):
    form = b'%b{"i":%%d,"t_ns":%%d,"chunk":%b}%b\n' % (AROUND[0], ujson.dumps(text).encode().replace(b"%", b"%%"), AROUND[1])
    return lambda i, now_ns: form % (i, now_ns)
