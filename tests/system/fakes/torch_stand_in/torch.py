# SPDX-License-Identifier: MIT
"""torch - of the library of this name what the examples torch_*.py use, computed by Python itself.

Where the driver's library can be had and shows a GPU there is `cuda`. With TORCH_FULL in the environment the memory of
that is used up after the start, when a vector is moved there.
"""

import ctypes
import os
import types


class OutOfMemoryError(RuntimeError):
    pass


# Its place in the library of 2022; now it is torch.OutOfMemoryError.
OutOfMemoryError.__module__ = "torch.cuda"


def is_available():
    try:
        return ctypes.CDLL("libcuda.so.1").cuInit(0) == 0
    except OSError:
        return False


cuda = types.SimpleNamespace(is_available=is_available, OutOfMemoryError=OutOfMemoryError)


def device(name):
    return name


class Tensor:
    def __init__(self, items, place="cpu"):
        self.items, self.place = items, place

    def to(self, place):
        is_vector = not isinstance(self.items[0], list)
        if place == "cuda" and is_vector and "TORCH_FULL" in os.environ:
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 7.79 GiB total capacity)")
        return Tensor(self.items, place)

    def __matmul__(self, other):
        if self.place != other.place:
            raise RuntimeError("Expected all tensors to be on the same device, but found at least two devices")
        if isinstance(other.items[0], list):
            columns = list(zip(*other.items))
            return Tensor([[sum(map(float.__mul__, row, column)) for column in columns] for row in self.items], self.place)
        return Tensor([sum(map(float.__mul__, row, other.items)) for row in self.items], self.place)

    def __getitem__(self, rows):
        return Tensor([self.items[row] for row in rows], self.place)

    def __setitem__(self, rows, other):
        if isinstance(rows, int):
            self.items[rows] = other.items
        else:
            for row, items in zip(rows, other.items):
                self.items[row] = items

    def tolist(self):
        return self.items


def tensor(items):
    return Tensor(items)
