# SPDX-License-Identifier: MIT
"""encoders - the sentence encoder of docs/examples/embed.c once more, in numpy, and a toy model for it.

Nothing here is taken from the C code: pieces are cut as the package's JavaScript does it, numbers are doubles.
"""

import json
import math
import os
import unicodedata

import numpy

SEED = 17
NARROW, WIDE, INNER = 32, 64, 96
HEADS, TOKENS_MAX, RESERVED = 4, 128, 6
SHARD_BYTES = 65536
ROOT = "module_apply_default/Encoder_en/KonaTransformer/"
HEAD_COUNT = ROOT + "Encode/TransformerStack/Layer_1/TransformerLayer/MultiheadAttention/split_heads/split_last_dimension/Reshape/shape/2"
LONGEST = ROOT + "ClipToMaxLength/Less/y"
EMBEDDINGS = "module/Embeddings_en"
WAVES = ROOT + "Encode/TransformerStack/Layer_0/AddTimingSignal/TimingSignal/ExpandDims_1"
DENSE = [ROOT + f"Encode/Layer_0/TransformerLayer/dense/{part}/ConcatPartitions/concat" for part in ("kernel", "bias")]
LAST = [f"module/Encoder_en/hidden_layers/tanh_layer_0/{part}" for part in ("weights", "bias")]
PIECES = ("\ufffd <s> </s> extra_token_id_1 extra_token_id_2 extra_token_id_3 a b c d e h i l n o r s t u w A H W "
          "\u2581 \u2581a \u2581the \u2581Hello \u2581World he ll wor ld th est te \u2581how old are you st ff fi \" \\ , . ! ? "
          "\u00e9 \u03bc \u2044 \u2581\u201c :30 30 :00 : 3 \u4e2d \u201d5 \u201d \u201d5").split(" ")


def layer_names(layer):
    """Pairs, in the order they are used: norm, query-key-value, join, inner norm, inner in, inner out."""
    name = f"Layer_{layer}/TransformerLayer/"

    def norm(where):
        return [f"{ROOT}Encode/{name}{where}layer_prepostprocess/layer_norm/layer_norm_{part}/ConcatPartitions/concat"
                for part in ("scale", "bias")]

    def transform(which):
        where = f"{name}MultiheadAttention/{which}_transform_single/"
        return [f"module/Encoder_en/KonaTransformer/Encode/{where}kernel/part_0",
                f"{ROOT}Encode/{where}bias/ConcatPartitions/concat"]

    def inner(which):
        return [f"{ROOT}Encode/TransformerStack/{name}FFN/{which}/Tensordot/Reshape_1",
                f"{ROOT}Encode/{name}FFN/{which}/bias/ConcatPartitions/concat"]

    return [norm(""), transform("qkv"), transform("output"), norm("FFN/"), inner("conv1"), inner("conv2")]


# ---- the toy -----------------------------------------------------------------------------------------


def toy_weights():
    """Like those of the package: names, ranks, and a few whole numbers among them."""
    random = numpy.random.RandomState(SEED)

    def some(*shape, scale=0.3, around=0.0):
        return (around + scale * random.standard_normal(shape)).astype("<f4")

    weights = {EMBEDDINGS: some(len(PIECES) + 2, NARROW),
               WAVES: (10000.0 ** -numpy.linspace(0, 1, NARROW // 2)).astype("<f4").reshape(1, -1),
               HEAD_COUNT: numpy.array(HEADS, "<i4"), LONGEST: numpy.array(TOKENS_MAX, "<i4")}
    weights.update(zip(DENSE, (some(NARROW, WIDE), some(WIDE))))
    weights.update(zip(LAST, (some(WIDE, WIDE), some(WIDE))))
    for layer, width in enumerate((NARROW, WIDE)):
        norm, qkv, join, inner_norm, inner_in, inner_out = layer_names(layer)
        weights.update(zip(norm, (some(width, around=1), some(width))))
        weights.update(zip(qkv, (some(1, 1, width, 3 * width), some(3 * width))))
        weights.update(zip(join, (some(1, 1, width, WIDE), some(WIDE))))
        weights.update(zip(inner_norm, (some(WIDE, around=1), some(WIDE))))
        weights.update(zip(inner_in, (some(WIDE, INNER), some(INNER))))
        weights.update(zip(inner_out, (some(INNER, WIDE), some(WIDE))))
    names = list(weights)
    random.shuffle(names)
    return {name: weights[name] for name in names}


def toy_vocabulary():
    """Longer pieces are the likelier ones; some have the scores that YAML made of times, and none."""
    scores = {piece: -10 + 1.7 * len(piece) + 0.01 * number for number, piece in enumerate(PIECES)}
    scores.update({":30": 30, ":00": 0, ":": None})
    return [[piece, 0 if number < RESERVED else scores[piece]] for number, piece in enumerate(PIECES)]


def write(folder, weights, vocabulary, shard_bytes=SHARD_BYTES):
    data = b"".join(array.tobytes() for array in weights.values())
    paths = []
    for start in range(0, len(data), shard_bytes):
        paths.append(f"group1-shard{start // shard_bytes + 1}")
        with open(os.path.join(folder, paths[-1]), "wb") as file:
            file.write(data[start:start + shard_bytes])
    manifest = {"paths": paths, "weights": [
        {"name": name, "shape": list(array.shape), "dtype": {"f": "float32", "i": "int32"}[array.dtype.kind]}
        for name, array in weights.items()]}
    topology = {"node": [{"name": "a \"b\" \\", "attr": {"list": [1, -2.5e3, True, None, {}, []]}}], "library": {}}
    with open(os.path.join(folder, "model.json"), "w", encoding="utf-8") as file:
        json.dump({"modelTopology": topology, "weightsManifest": [manifest]}, file, indent=1)
    with open(os.path.join(folder, "vocab.json"), "w", encoding="utf-8") as file:
        json.dump(vocabulary, file, ensure_ascii=False)


def write_toy(folder):
    write(folder, toy_weights(), toy_vocabulary())


# ---- the encoder -------------------------------------------------------------------------------------


class Encoder:
    """What the files in a folder say."""

    def __init__(self, folder):
        with open(os.path.join(folder, "model.json"), encoding="utf-8") as file:
            group, = json.load(file)["weightsManifest"]
        with open(os.path.join(folder, "vocab.json"), encoding="utf-8") as file:
            self.pieces = [(piece, score or 0) for piece, score in json.load(file)]
        self.numbers = {piece: number for number, (piece, _) in enumerate(self.pieces) if number >= RESERVED}
        self.longest = max(map(len, self.numbers))
        data, offset, self.weights = b"", 0, {}
        for path in group["paths"]:
            with open(os.path.join(folder, path), "rb") as file:
                data += file.read()
        for weight in group["weights"]:
            count = math.prod(weight["shape"])
            kind = {"float32": "<f4", "int32": "<i4"}[weight["dtype"]]
            self.weights[weight["name"]] = numpy.frombuffer(data, kind, count, offset).reshape(weight["shape"]).astype(float)
            offset += 4 * count

    def tokens(self, sentence):
        """As the JavaScript does it: of a sum that is 0 it takes that nothing was found yet."""
        text = "\u2581" + unicodedata.normalize("NFKC", sentence).replace(" ", "\u2581")
        best, last = [0.0] * (len(text) + 1), [0] * (len(text) + 1)
        for end in range(1, len(text) + 1):
            for start in range(max(0, end - self.longest), end):
                number = self.numbers.get(text[start:end])
                if number is None and (end - start > 1 or self.is_begun(text, start)):
                    continue
                score = best[start] + (0 if number is None else self.pieces[number][1])
                if best[end] == 0 or score >= best[end]:
                    best[end], last[end] = score, number or 0
        found, end = [], len(text)
        while end > 0:
            if last[end] != 0 or not found or found[-1] != 0:
                found.append(last[end])
            end -= len(self.pieces[last[end]][0])
        return found[::-1][:TOKENS_MAX]

    def is_begun(self, text, start):
        """Whether any piece begins there."""
        return any(text[start:end] in self.numbers for end in range(start + 1, start + 1 + self.longest))

    def linear(self, x, names):
        weights, bias = (self.weights[name] for name in names)
        return x @ weights.reshape(x.shape[1], -1) + bias

    def normal(self, x, names):
        scale, bias = (self.weights[name] for name in names)
        centred = x - x.mean(axis=1, keepdims=True)
        return centred / numpy.sqrt((centred ** 2).mean(axis=1, keepdims=True) + 1e-6) * scale + bias

    def layer(self, x, layer):
        norm, qkv, join, inner_norm, inner_in, inner_out = layer_names(layer)
        query, key, value = numpy.split(self.linear(self.normal(x, norm), qkv), 3, axis=1)
        heads = []
        for q, k, v in zip(*(numpy.split(each, HEADS, axis=1) for each in (query, key, value))):
            fit = numpy.exp(q @ k.T / math.sqrt(q.shape[1]))
            heads.append(fit / fit.sum(axis=1, keepdims=True) @ v)
        x = (x if layer else self.linear(x, DENSE)) + self.linear(numpy.hstack(heads), join)
        return x + self.linear(numpy.maximum(self.linear(self.normal(x, inner_norm), inner_in), 0), inner_out)

    def vector(self, sentence):
        tokens = self.tokens(sentence)
        angles = numpy.arange(len(tokens)).reshape(-1, 1) * self.weights[WAVES].reshape(1, -1)
        x = 2 * self.weights[EMBEDDINGS][tokens] + numpy.hstack([numpy.sin(angles), numpy.cos(angles)])
        x = self.layer(self.layer(x, 0), 1)
        vector = numpy.tanh(self.linear(x.mean(axis=0, keepdims=True), LAST))[0]
        return vector / math.sqrt(max((vector ** 2).sum(), 1e-12))
