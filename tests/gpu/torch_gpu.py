# SPDX-License-Identifier: MIT
"""torch_gpu.py - does to the GPU of its worker what a test asks for, by torch."""

import os

import torch
from pipeline import Pipeline, Variable, pipe

SIZE = 256


@pipe
def act(what: str) -> dict:
    if what == "fill":
        return {"bytes": torch.empty(1 << 50, dtype=torch.uint8, device="cuda").nbytes}
    if what == "crash":
        torch.zeros(4, device="cuda")[torch.tensor([1 << 40], device="cuda")]  # pylint: disable=expression-not-assigned
        torch.cuda.synchronize()
    torch.manual_seed(16)
    left, right = (torch.randint(-9, 9, (SIZE, SIZE)).to(torch.float64) for _ in range(2))
    product = (left.cuda() @ right.cuda()).cpu()
    return {"count": torch.cuda.device_count(), "name": torch.cuda.get_device_name(0), "pid": os.getpid(),
            "is_right": bool((product == left @ right).all())}


with Pipeline() as builder:
    what = Variable(str)
    builder.output(act(what))
graph = builder.get_pipeline()
