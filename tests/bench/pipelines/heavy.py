# SPDX-License-Identifier: MIT
"""heavy - takes IMPORT_S seconds to import, as long to start, and holds MIB of what stands for weights."""

import os
import time

import numpy

from pipeline import Pipeline, Variable, pipe

time.sleep(float(os.environ["IMPORT_S"]))
weights = []


@pipe(on_startup=True)
def start() -> None:
    time.sleep(float(os.environ["IMPORT_S"]))
    weights.append(numpy.ones(int(os.environ["MIB"]) << 17))


@pipe
def do(number: int) -> int:
    assert weights[0][number] == 1
    return os.getpid()


with Pipeline() as builder:
    which = Variable(int)
    start()
    builder.output(do(which))
graph = builder.get_pipeline()
