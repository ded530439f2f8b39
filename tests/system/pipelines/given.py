# SPDX-License-Identifier: MIT
"""given - pipelines in Python that give out files of every kind."""

import asyncio
import gzip
import io
import os
import tempfile

from pipeline import File, Pipeline, Variable, pipe
from pipeline.objects.graph import Stream

DATA = bytes(range(256)) * 300


def path_of(name, data=DATA):
    path = os.path.join(tempfile.mkdtemp(), name)
    with open(path, "wb") as file:
        file.write(data)
    return path


def read_half(file):
    file.read(10)
    return file


def named(file, name):
    file.name = name
    return file


def with_text(file):
    file.write("h\u00e9llo")
    return file


def folder():
    return File(path=tempfile.mkdtemp())


KINDS = {
    "file": lambda: File(path=path_of("a.bin")),
    "open": lambda: read_half(open(path_of("b.bin"), "rb")),
    "written": lambda: with_text(open(path_of("c.txt", b""), "w", encoding="utf-8")),
    "raw": lambda: open(path_of("d.bin"), "rb", buffering=0),
    "bytesio": lambda: read_half(io.BytesIO(DATA)),
    "named": lambda: named(io.BytesIO(DATA), "/x/e.bin"),
    "other bytes": lambda: File(path=path_of(os.fsdecode(b"\xff.bin"))),
    "nul": lambda: named(io.BytesIO(DATA), "n\0n.bin"),
    "surrogate": lambda: named(io.BytesIO(DATA), "\udcff.bin"),
    "stringio": lambda: io.StringIO("h\u00e9llo"),
    "gzip": lambda: read_half(gzip.open(path_of("f.gz", gzip.compress(DATA)))),
    "temporary": lambda: with_text(tempfile.NamedTemporaryFile("w+", encoding="utf-8")),
    "bytes": lambda: DATA,
    "bytearray": lambda: bytearray(DATA),
    "text": lambda: b"h\xc3\xa9llo",
    "list": lambda: [File(path=path_of("g.bin")), io.BytesIO(b"two"), {"three": io.BytesIO(b"three")}, 4],
    "empty": lambda: io.BytesIO(),
    "url": lambda: File(url="http://host/a.png"),
    "nothing": lambda: File(),
    "missing": lambda: File(path="/nowhere/a.png"),
    "folder": folder,
    "closed": lambda: named(io.BytesIO(b""), "x").close() or closed(),
    "path": lambda: File(path="/nowhere/a.png").path,
    "device": lambda: File(path="/dev/zero"),
}


def closed():
    file = io.BytesIO(b"")
    file.close()
    return file


@pipe
def give(kind: str) -> File:
    return KINDS[kind]()


@pipe
def stream(kind: str, count: int) -> Stream[File]:
    """Written over for each."""
    path = path_of("same.bin", b"")

    def files():
        for number in range(count):
            with open(path, "wb") as file:
                file.write(b"%d" % number * 1000)
            yield File(path=path) if kind == "file" else io.BytesIO(b"%d" % number * 1000)
    return Stream(files())


@pipe
def stream_later(kind: str, count: int) -> Stream[File]:
    async def files():
        for number in range(count):
            await asyncio.sleep(0)
            yield KINDS[kind]() if kind in KINDS else io.BytesIO(b"%d" % number * 1000)
    return Stream(files())


@pipe
async def give_later(kind: str) -> File:
    await asyncio.sleep(0)
    return KINDS[kind]()


@pipe
def same(file: File) -> File:
    return file


@pipe
def pictures(count: int) -> Stream[File]:
    """PNG images, each a little further."""
    from PIL import Image

    def images():
        for number in range(count):
            buffer = io.BytesIO()
            Image.linear_gradient("L").rotate(number * 7).resize((64, 64)).save(buffer, "PNG")
            yield named(buffer, f"step {number}.png")
    return Stream(images())


@pipe
def picture() -> File:
    from PIL import Image
    return Image.new("RGB", (4, 4))


def graph(kinds, *functions):
    with Pipeline() as builder:
        variables = [Variable(kind) for kind in kinds]
        builder.output(*[function(*variables) for function in functions])
    return builder.get_pipeline()


gives = graph([str], give)
streams = graph([str, int], stream)
streams_later = graph([str, int], stream_later)
gives_later = graph([str], give_later)
returns = graph([File], same)
paints = graph([int], pictures)
shows = graph([], picture)

with Pipeline() as builder:
    kind, count = Variable(str), Variable(int)
    builder.output(give(kind), stream_later(kind, count))
both_later = builder.get_pipeline()
