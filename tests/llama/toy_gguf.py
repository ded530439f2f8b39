#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""toy_gguf - writes a model that llama.cpp loads: the shape of a llama, random weights, bytes as its words.

    tests/llama/toy_gguf.py FILE

The weights are the same each time. What it says means nothing; that it says the same on every device is what it is
for. 1.6 MB, written in a second; not committed.
"""

import array
import random
import struct
import sys

SEED = 16
LAYERS, WIDTH, HEADS, HIDDEN, CONTEXT = 2, 128, 2, 256, 4096
SPECIAL = ("<unk>", "<s>", "</s>")
WORDS = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]

# Kinds of values, of arrays' items, and of words ("GGUF", version 3).
U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
UNKNOWN, CONTROL, BYTE = 2, 3, 6
VERSION, ALIGNMENT, TENSOR_F32 = 3, 32, 0
FORMATS = {U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write(sys.argv[1])


def write(path):
    shapes = tensors()
    head = [b"GGUF", struct.pack("<IQQ", VERSION, len(shapes), len(FACTS))]
    head += [text(name) + struct.pack("<I", kind) + value(kind, fact) for name, kind, fact in FACTS]
    offset = 0
    for name, shape in shapes.items():
        head.append(text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, TENSOR_F32, offset))
        offset += padded(4 * count_of(shape))
    whole = b"".join(head)
    chance = random.Random(SEED)
    with open(path, "wb") as file:
        file.write(whole.ljust(padded(len(whole)), b"\0"))
        for name, shape in shapes.items():
            data = weights(chance, name, shape).tobytes()
            file.write(data.ljust(padded(len(data)), b"\0"))


def tensors():
    """Names and shapes, the dimension of neighbours in memory first."""
    shapes = {"token_embd.weight": (WIDTH, len(WORDS)), "output_norm.weight": (WIDTH,), "output.weight": (WIDTH, len(WORDS))}
    for layer in range(LAYERS):
        one = {"attn_norm": (WIDTH,), "ffn_norm": (WIDTH,), "ffn_gate": (WIDTH, HIDDEN), "ffn_up": (WIDTH, HIDDEN),
               "ffn_down": (HIDDEN, WIDTH), **{f"attn_{part}": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")}}
        shapes.update({f"blk.{layer}.{name}.weight": shape for name, shape in one.items()})
    return shapes


def weights(chance, name, shape):
    """Such that numbers keep their size from layer to layer."""
    if "norm" in name:
        return array.array("f", [1.0] * shape[0])
    deviation = 1.0 if name == "token_embd.weight" else 2.0 / shape[0] ** 0.5
    return array.array("f", (chance.gauss(0, deviation) for _ in range(count_of(shape))))


def count_of(shape):
    return shape[0] * (shape[1] if len(shape) > 1 else 1)


def padded(size):
    return (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def text(words):
    data = words.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind, fact):
    if kind == STRING:
        return text(fact)
    if kind == ARRAY:
        item_kind, items = fact
        return struct.pack("<IQ", item_kind, len(items)) + b"".join(value(item_kind, item) for item in items)
    return struct.pack(FORMATS[kind], fact)


FACTS = [
    ("general.architecture", STRING, "llama"),
    ("general.name", STRING, "random weights"),
    ("general.alignment", U32, ALIGNMENT),
    ("llama.context_length", U32, CONTEXT),
    ("llama.embedding_length", U32, WIDTH),
    ("llama.block_count", U32, LAYERS),
    ("llama.feed_forward_length", U32, HIDDEN),
    ("llama.attention.head_count", U32, HEADS),
    ("llama.attention.head_count_kv", U32, HEADS),
    ("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
    ("llama.rope.dimension_count", U32, WIDTH // HEADS),
    ("tokenizer.ggml.model", STRING, "llama"),
    ("tokenizer.ggml.tokens", ARRAY, (STRING, WORDS)),
    ("tokenizer.ggml.scores", ARRAY, (F32, [0.0] * len(WORDS))),
    ("tokenizer.ggml.token_type", ARRAY, (I32, [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256)),
    ("tokenizer.ggml.bos_token_id", U32, 1),
    ("tokenizer.ggml.eos_token_id", U32, 2),
    ("tokenizer.ggml.add_bos_token", BOOL, True),
    ("tokenizer.ggml.add_space_prefix", BOOL, False),
]


if __name__ == "__main__":
    main()
