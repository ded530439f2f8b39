# SPDX-License-Identifier: MIT
"""scientific.py - a pipeline whose values are those of numpy, of PIL and of others that are none of JSON's."""

import datetime
import decimal
import io
import pathlib
import typing

import numpy
from PIL import Image

from pipeline import File, Pipeline, Variable, pipe
from pipeline.objects.graph import Stream

MAKERS = {
    "bool_": lambda: numpy.bool_(True),
    "int8": lambda: numpy.int8(-5),
    "uint64": lambda: numpy.uint64(2**64 - 1),
    "float16": lambda: numpy.float16(0.5),
    "float64": lambda: numpy.float64(0.1),
    "nan": lambda: numpy.float32("nan"),
    "str_": lambda: numpy.str_("ä"),
    "point": lambda: numpy.array(7),
    "mean": lambda: numpy.arange(4).mean(),
    "inside": lambda: {"scores": [numpy.float32(0.25), (numpy.int64(3), )]},
    "tolist": lambda: numpy.arange(4).reshape(2, 2).tolist(),
    "array": lambda: numpy.zeros((2, 2)),
    "array_inside": lambda: [1, {"a": numpy.zeros(3)}],
    "complex": lambda: numpy.complex64(1j),
    "image": lambda: Image.new("RGB", (2, 2)),
    "file": lambda: File(path="a.png"),
    "path": lambda: pathlib.Path("a.png"),
    "opened": lambda: io.BytesIO(b"a"),
    "time": lambda: datetime.datetime(2026, 1, 2),
    "decimal": lambda: decimal.Decimal("1.5"),
    "key": lambda: {numpy.int64(1): 1},
}


@pipe
def make(name: str) -> typing.Any:
    return MAKERS[name]()


@pipe
def frames(count: int) -> Stream:
    return Stream(numpy.float32(number) / 2 for number in range(count))


with Pipeline() as one:
    one.output(make(Variable(str)))
with Pipeline() as several:
    several.output(frames(Variable(int)))
values, numbers = one.get_pipeline(), several.get_pipeline()
