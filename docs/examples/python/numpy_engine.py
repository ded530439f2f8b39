# SPDX-License-Identifier: MIT
"""numpy_engine.py - many runs in one batch: the Collatz sequences of numbers, all of them by a step.

    apt-get install python3-numpy
    millrace serve numpy_engine.py:collatz --concurrency 64
    curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
         -d '{"inputs":[{"type":"integer","value":6}]}'

What docs/examples/engine.c does in C. A run has a row of an array while it is in; where all rows are taken,
the next run waits for one. A step computes all rows at once. A run whose client does not read leaves its row
out of the batch, and the others go on.
"""

from typing import List, Optional

import numpy

from pipeline import LATER, Engine, InputError, Pipeline, Run, Variable

ROW_COUNT = 32
NUMBER_MAX = 1_000_000  # whose sequences fit into 64 bits


class Collatz(Engine[int]):
    def __init__(self):
        self.runs: List[Optional[Run]] = [None] * ROW_COUNT  # of each row
        self.numbers = numpy.zeros(ROW_COUNT, numpy.int64)

    def admit(self, run):
        number, = run.inputs
        if not 1 <= number <= NUMBER_MAX:
            raise InputError(f"the number is from 1 to {NUMBER_MAX}")
        if None not in self.runs:
            return LATER
        row = self.runs.index(None)
        self.runs[row] = run
        self.numbers[row] = number
        run.state = row
        return None

    def step(self):
        batch = {row: run for row, run in enumerate(self.runs) if run is not None and not run.is_full}
        if not batch:
            return LATER  # all wait for their clients
        rows = list(batch)
        numbers = self.numbers[rows]
        self.numbers[rows] = numpy.where(numbers % 2 == 0, numbers // 2, 3 * numbers + 1)
        for (row, run), number in zip(batch.items(), self.numbers[rows].tolist()):
            run.emit(number)
            if number == 1:
                run.finish()
                self.runs[row] = None
        return None

    def evict(self, run):
        self.runs[run.state] = None


with Pipeline() as builder:
    number = Variable(int, title="number", ge=1, le=NUMBER_MAX)
    builder.output(Collatz()(number))

collatz = builder.get_pipeline()
