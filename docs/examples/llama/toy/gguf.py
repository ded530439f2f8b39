# SPDX-License-Identifier: MIT
"""gguf - writes files that llama.cpp loads: GGUF, version 3.

Facts are (name, kind, value), tensors (name, shape, kind, make): the dimension of neighbours in memory is the first
one of a shape, and make() gives the bytes, so that one tensor at a time is in memory.
"""

import struct

# Kinds of values, of arrays' items, and of tensors.
U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
TENSOR_F32, TENSOR_Q8_0 = 0, 8
# Kinds of the words of a vocabulary.
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6

VERSION, ALIGNMENT = 3, 32
FORMATS = {U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}
# Numbers of a block, and its bytes: of q8_0 a half and 32 bytes.
BLOCKS = {TENSOR_F32: (1, 4), TENSOR_Q8_0: (32, 34)}


def write(path, facts, tensors):
    facts = [*facts, ("general.alignment", U32, ALIGNMENT)]
    head = [b"GGUF", struct.pack("<IQQ", VERSION, len(tensors), len(facts))]
    head += [_text(name) + struct.pack("<I", kind) + _value(kind, fact) for name, kind, fact in facts]
    offset = 0
    for name, shape, kind, _ in tensors:
        head.append(_text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset))
        offset += _padded(bytes_of(shape, kind))
    whole = b"".join(head)
    with open(path, "wb") as file:
        file.write(whole.ljust(_padded(len(whole)), b"\0"))
        for name, shape, kind, make in tensors:
            data = make()
            assert len(data) == bytes_of(shape, kind), name
            file.write(data.ljust(_padded(len(data)), b"\0"))


def llama_tensors(word_count, layers, width, hidden, is_tied=False):
    """Names and shapes of a model of the kind "llama" that has as many heads of keys as of queries."""
    shapes = {"token_embd.weight": (width, word_count), "output_norm.weight": (width,)}
    if not is_tied:
        shapes["output.weight"] = (width, word_count)
    for layer in range(layers):
        one = {"attn_norm": (width,), "ffn_norm": (width,), "ffn_gate": (width, hidden), "ffn_up": (width, hidden),
               "ffn_down": (hidden, width), **{f"attn_{part}": (width, width) for part in ("q", "k", "v", "output")}}
        shapes.update({f"blk.{layer}.{name}.weight": shape for name, shape in one.items()})
    return shapes


def llama_facts(name, layers, width, hidden, heads, context):
    return [("general.architecture", STRING, "llama"), ("general.name", STRING, name),
            ("llama.context_length", U32, context), ("llama.embedding_length", U32, width),
            ("llama.block_count", U32, layers), ("llama.feed_forward_length", U32, hidden),
            ("llama.attention.head_count", U32, heads), ("llama.attention.head_count_kv", U32, heads),
            ("llama.attention.layer_norm_rms_epsilon", F32, 1e-5), ("llama.rope.dimension_count", U32, width // heads)]


def words_facts(words, scores, kinds):
    """A vocabulary as SentencePiece's: <unk>, <s> and </s> are its first words."""
    return [("tokenizer.ggml.model", STRING, "llama"), ("tokenizer.ggml.tokens", ARRAY, (STRING, words)),
            ("tokenizer.ggml.scores", ARRAY, (F32, scores)), ("tokenizer.ggml.token_type", ARRAY, (I32, kinds)),
            ("tokenizer.ggml.bos_token_id", U32, 1), ("tokenizer.ggml.eos_token_id", U32, 2),
            ("tokenizer.ggml.add_bos_token", BOOL, True), ("tokenizer.ggml.add_space_prefix", BOOL, False)]


def bytes_of(shape, kind):
    numbers, size = BLOCKS[kind]
    count = shape[0] * (shape[1] if len(shape) > 1 else 1)
    assert shape[0] % numbers == 0
    return count // numbers * size


def _padded(size):
    return (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def _text(words):
    data = words.encode()
    return struct.pack("<Q", len(data)) + data


def _value(kind, fact):
    if kind == STRING:
        return _text(fact)
    if kind == ARRAY:
        item_kind, items = fact
        return struct.pack("<IQ", item_kind, len(items)) + b"".join(_value(item_kind, item) for item in items)
    return struct.pack(FORMATS[kind], fact)
