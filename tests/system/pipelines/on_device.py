# SPDX-License-Identifier: MIT
"""on_device.py - says which device it has, and fails as libraries do when that fails."""

import os
import threading
import time

from pipeline import Pipeline, Variable, pipe
from pipeline.objects.graph import Stream

import millrace_worker

FAILURES = {
    "cuda_error": "CUDA error: an illegal memory access was encountered",
    "cuda_oom": "CUDA out of memory. Tried to allocate 20.00 MiB",
}


@pipe
def do(what: str) -> dict:
    if what == "fail and die":
        threading.Timer(os.getpid() % 4 / 1000, os._exit, [1]).start()
        what = "cuda_error"
    if what in FAILURES:
        raise RuntimeError(FAILURES[what])
    if what == "oom":
        raise MemoryError
    if what == "slow":
        time.sleep(0.3)
    if what == "hang":
        time.sleep(3600)
    if what == "die":
        os.abort()
    device = millrace_worker.device()
    return {"pid": os.getpid(), "mask": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "index": device.index if device else None, "uuid": device.uuid if device else None}


@pipe
def ticks(count: int) -> Stream:
    def each():
        for number in range(count):
            yield number
            time.sleep(0.02)

    return Stream(each())


with Pipeline() as builder:
    word = Variable(str)
    builder.output(do(word))
graph = builder.get_pipeline()

with Pipeline() as builder:
    number = Variable(int)
    builder.output(ticks(number))
streams = builder.get_pipeline()
