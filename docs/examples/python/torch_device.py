# SPDX-License-Identifier: MIT
"""torch_device.py - heat that spreads in a rod, computed by torch on the GPU of its worker, or on the CPU.

    apt-get install python3-torch
    millrace serve torch_device.py:rod --devices auto
    curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
         -d '{"inputs":[{"type":"array","value":[0,0,0,16,0,0,0,0]},{"type":"integer","value":3}]}'

The inputs are the temperatures of the rod's pieces and a number of steps; a line has the temperatures after
a step. Each worker sees its own GPU and no other, which torch calls "cuda", whatever number the GPU has on
the machine; with --devices auto and no GPU the workers have none and compute on the CPU.

What torch raises need not be caught: clients are told cuda_oom of its OutOfMemoryError, and cuda_error of a
GPU that failed. A client that goes away ends the computation at the next step.
"""

import millrace_worker
import torch
from pipeline import InputError, Pipeline, Variable, entity, pipe
from pipeline.objects.graph import Stream

PIECES = 8


@entity
class Rod:
    @pipe(run_once=True, on_startup=True)
    def load(self) -> None:
        millrace_worker.startup_progress(0.1, "looking for a GPU")
        self.place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        own = millrace_worker.device()
        print(f"computes on {self.place}; the worker has {f'{own.kind} {own.index}' if own else 'no device'}")
        millrace_worker.startup_progress(0.5, "moving the model")
        self.model = torch.tensor(self.weights()).to(self.place)

    def weights(self):
        """What a piece has after a step: half of its heat, and a quarter of that of each neighbour. An end is
        its own neighbour, so that no heat is lost."""
        rows = [[0.0] * PIECES for _ in range(PIECES)]
        for piece in range(PIECES):
            rows[piece][piece] += 0.5
            rows[piece][max(piece - 1, 0)] += 0.25
            rows[piece][min(piece + 1, PIECES - 1)] += 0.25
        return rows

    @pipe
    def spread(self, heat: list, steps: int) -> Stream:
        if len(heat) != PIECES or not all(isinstance(piece, (int, float)) for piece in heat):
            raise InputError(f"heat must be {PIECES} numbers")
        return Stream(self.states(heat, steps))

    def states(self, heat, steps):
        state = torch.tensor([float(piece) for piece in heat]).to(self.place)
        for _ in range(steps):
            state = self.model @ state
            yield state.tolist()  # waits for the GPU


with Pipeline() as builder:
    heat = Variable(list, title="heat", description=f"{PIECES} numbers")
    steps = Variable(int, title="steps", ge=0)
    model = Rod()
    model.load()
    builder.output(model.spread(heat, steps))

rod = builder.get_pipeline()
