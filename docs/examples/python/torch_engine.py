# SPDX-License-Identifier: MIT
"""torch_engine.py - heat that spreads in many rods, a row of one tensor for each run, on the GPU of the worker or on the CPU.

    apt-get install python3-torch
    millrace serve torch_engine.py:rods --concurrency 64 --devices auto
    curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
         -d '{"inputs":[{"type":"array","value":[0,0,0,16,0,0,0,0]},{"type":"integer","value":3}]}'

What torch_device.py does for one run at a time: the inputs are the temperatures of a rod's pieces and a number
of steps, and a line has the temperatures after a step. Here one product moves the rods of all runs on. torch is
loaded at startup. Its OutOfMemoryError in a step is cuda_oom for all runs of the worker, in admit() for one.
"""

from typing import List, Optional

from pipeline import LATER, Engine, InputError, Pipeline, Run, Variable, pipe

ROW_COUNT = 32
PIECES = 8


class Rods(Engine[list]):
    @pipe(on_startup=True)
    def load(self) -> None:
        import torch

        self.torch = torch
        self.place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = torch.tensor(self.weights()).to(self.place)
        self.heat = torch.tensor([[0.0] * PIECES] * ROW_COUNT).to(self.place)
        self.runs: List[Optional[Run]] = [None] * ROW_COUNT  # of each row
        print(f"computes on {self.place}")

    def weights(self):
        """What a piece has after a step: half of its heat, and a quarter of that of each neighbour. An end is
        its own neighbour, so that no heat is lost."""
        rows = [[0.0] * PIECES for _ in range(PIECES)]
        for piece in range(PIECES):
            rows[piece][piece] += 0.5
            rows[max(piece - 1, 0)][piece] += 0.25
            rows[min(piece + 1, PIECES - 1)][piece] += 0.25
        return rows

    def admit(self, run):
        heat, steps = run.inputs
        if len(heat) != PIECES or not all(isinstance(piece, (int, float)) for piece in heat):
            raise InputError(f"heat must be {PIECES} numbers")
        if None not in self.runs:
            return LATER
        row = self.runs.index(None)
        self.heat[row] = self.torch.tensor([float(piece) for piece in heat]).to(self.place)
        if steps == 0:
            run.finish()
            return None
        self.runs[row] = run
        run.state = {"row": row, "left": steps}
        return None

    def step(self):
        batch = {row: run for row, run in enumerate(self.runs) if run is not None and not run.is_full}
        if not batch:
            return LATER  # all wait for their clients
        rows = list(batch)
        heat = self.heat[rows] @ self.model
        self.heat[rows] = heat
        for (row, run), pieces in zip(batch.items(), heat.tolist()):  # waits for the GPU
            run.emit(pieces)
            run.state["left"] -= 1
            if run.state["left"] == 0:
                run.finish()
                self.runs[row] = None
        return None

    def evict(self, run):
        self.runs[run.state["row"]] = None


with Pipeline() as builder:
    heat = Variable(list, title="heat", description=f"{PIECES} numbers")
    steps = Variable(int, title="steps", ge=0)
    engine = Rods()
    engine.load()
    builder.output(engine(heat, steps))

rods = builder.get_pipeline()
