# SPDX-License-Identifier: MIT
"""nearest.py - a batched pipe: which of many stored vectors are nearest to that of a request.

    apt-get install python3-numpy
    millrace serve nearest.py:nearest --batch-max 32
    curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
         -d '{"inputs":[{"type":"array","value":[1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}]}'

One matrix product serves all runs that arrived together. A request whose vector has another length fails alone.
"""

from __future__ import annotations

import numpy

from pipeline import Pipeline, Variable, entity, pipe

DIMENSION_COUNT = 16
STORED_COUNT = 65536
SEED = 1


class BadVector(Exception):
    error_type = "input_error"


def is_vector(values: list) -> bool:
    return len(values) == DIMENSION_COUNT and all(isinstance(value, (int, float)) for value in values)


@entity
class Index:
    """The vectors, which a real pipeline would read from a file."""

    @pipe(on_startup=True, preload=True)
    def load(self) -> None:
        self.stored = numpy.random.default_rng(SEED).uniform(-1, 1, (STORED_COUNT, DIMENSION_COUNT)).astype("f4")

    @pipe(batched=True)
    def find(self, vectors: list[list[float]]) -> list[dict | BadVector]:
        sound = [vector for vector in vectors if is_vector(vector)]
        scores = numpy.array(sound, "f4").reshape(len(sound), DIMENSION_COUNT) @ self.stored.T
        found = iter(zip(scores.argmax(axis=1).tolist(), scores.max(axis=1).tolist()))
        return [dict(zip(("index", "score"), next(found))) if is_vector(vector)
                else BadVector(f"it takes {DIMENSION_COUNT} numbers") for vector in vectors]


with Pipeline() as builder:
    index = Index()
    index.load()
    wanted = Variable(list, title="vector")
    builder.output(index.find(wanted))

nearest = builder.get_pipeline()
