#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""toy_gguf - writes models of random weights that llama.cpp loads: the shape of a llama, bytes as its words.

    tests/llama/toy_gguf.py FILE

The weights are the same each time. What it says means nothing; that it says the same on every device is what it is
for. 1.6 MB, written in a second; not committed.
"""

import array
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/examples/llama/toy"))

import gguf  # noqa: E402

SEED = 16
LAYERS, WIDTH, HEADS, HIDDEN, CONTEXT = 2, 128, 2, 256, 4096
SPECIAL = ("<unk>", "<s>", "</s>")
WORDS = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
KINDS = [gguf.UNKNOWN, gguf.CONTROL, gguf.CONTROL] + [gguf.BYTE] * 256


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write(sys.argv[1])


def write(path):
    chance = random.Random(SEED)
    shapes = gguf.llama_tensors(len(WORDS), LAYERS, WIDTH, HIDDEN)
    facts = gguf.llama_facts("random weights", LAYERS, WIDTH, HIDDEN, HEADS, CONTEXT)
    facts += gguf.words_facts(WORDS, [0.0] * len(WORDS), KINDS)
    gguf.write(path, facts, [(name, shape, gguf.TENSOR_F32, lambda name=name, shape=shape: weights(chance, name, shape))
                             for name, shape in shapes.items()])


def weights(chance, name, shape):
    """Such that numbers keep their size from layer to layer."""
    if "norm" in name:
        return array.array("f", [1.0] * shape[0]).tobytes()
    deviation = 1.0 if name == "token_embd.weight" else 2.0 / shape[0] ** 0.5
    return array.array("f", (chance.gauss(0, deviation) for _ in range(shape[0] * shape[1]))).tobytes()


if __name__ == "__main__":
    main()
