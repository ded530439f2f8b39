# SPDX-License-Identifier: MIT
"""large_gguf - writes a model of random weights whose cost is real: 155 million, 621 MB, into a build folder.

What it says means nothing. Not committed; its words are bytes.
"""

import numpy

import gguf
import toy_gguf

LAYERS, WIDTH, HEADS, HIDDEN, CONTEXT = 12, 1024, 16, 2816, 4096
SEED = 17


def write(path):
    chance = numpy.random.default_rng(SEED)

    def make(name, shape):
        if "norm" in name:
            return numpy.ones(shape[0], "<f4").tobytes()
        deviation = 1.0 if name == "token_embd.weight" else 1.0 / shape[0] ** 0.5
        return (chance.standard_normal(shape[0] * shape[1], "f4") * deviation).astype("<f4").tobytes()

    shapes = gguf.llama_tensors(len(toy_gguf.WORDS), LAYERS, WIDTH, HIDDEN)
    facts = gguf.llama_facts("random weights, large", LAYERS, WIDTH, HIDDEN, HEADS, CONTEXT)
    facts += gguf.words_facts(toy_gguf.WORDS, [0.0] * len(toy_gguf.WORDS), toy_gguf.KINDS)
    gguf.write(path, facts, [(name, shape, gguf.TENSOR_F32, lambda name=name, shape=shape: make(name, shape)) for name, shape in shapes.items()])
