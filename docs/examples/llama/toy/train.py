#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""train.py - trains the toy model of docs/examples/llama, and writes it.

    deploy/deps toy
    docs/examples/llama/toy/train.py [--steps 600] [FILE]

Its text is the King James Version of 1611, whose copyright has expired, as Debian's bible-kjv-text has it. One core,
five to six minutes. The same file comes out again on a machine of the same kind.
"""

import argparse
import itertools
import os
import random
import subprocess
import sys
import time

# Before the import: one thread, and one kind of kernels on every processor with AVX2.
os.environ.update(OPENBLAS_NUM_THREADS="1", OPENBLAS_CORETYPE="Haswell", OMP_NUM_THREADS="1")

import numpy  # noqa: E402
import torch  # noqa: E402

import gguf  # noqa: E402
import vocabulary  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
NAME = "millrace toy, trained on the King James Version"
SEED = 17
WORDS, LAYERS, WIDTH, HEADS, HIDDEN = 1024, 4, 128, 4, 352
# It is trained on as many tokens in a row, and says that it takes more.
TRAINED, CONTEXT = 256, 4096
ROWS, RATE, WARM_UP = 12, 4e-3, 40
# A verse of as many words may become a turn of a chat: one says its beginning, the other the rest.
TURN_WORDS = 14
TEMPLATE = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
            "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("file", nargs="?", default=os.path.join(HERE, "toy.gguf"))
    options = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    verses = read()
    words = vocabulary.Vocabulary("\n".join(verse for _, verse in verses), WORDS)
    tokens = torch.tensor(stream(words, verses))
    print(f"{len(tokens)} tokens", flush=True)
    model = Model()
    train(model, tokens, options.steps)
    write(options.file, model, words)


# ---- the text --------------------------------------------------------------------------------------------------------


def read():
    """[(chapter, verse)]."""
    run = subprocess.run(["bible", "-f", "ge1:1-re22:21"], check=True, stdout=subprocess.PIPE, text=True)
    lines = [line.split(" ", 1) for line in run.stdout.splitlines() if " " in line]
    return [(place.split(":")[0], verse) for place, verse in lines]


def stream(words, verses):
    """Chapters, and every fifth verse besides as a chat, in a mixed order."""
    newline = words.encode("\n")
    chapters, chats = {}, []
    for chapter, verse in verses:
        chapters.setdefault(chapter, []).append(words.encode(verse) + newline)
    for _, verse in verses[::5]:
        said = verse.split(" ")
        if len(said) >= TURN_WORDS:
            half = len(said) // 2
            turns = ("user", said[:half]), ("assistant", said[half:])
            chats.append([[vocabulary.TURN, *words.encode(role + "\n" + " ".join(part)), vocabulary.TURN_END, *newline]
                          for role, part in turns])
    texts = [*chapters.values(), *chats]
    random.Random(SEED).shuffle(texts)
    return [number for text in texts for number in (vocabulary.BEGIN, *itertools.chain(*text), vocabulary.END)]


# ---- the model -------------------------------------------------------------------------------------------------------


class Model(torch.nn.Module):
    """A llama: its tensors have the names that they have in the file."""

    def __init__(self):
        super().__init__()
        self.shapes = gguf.llama_tensors(WORDS, LAYERS, WIDTH, HIDDEN, is_tied=True)
        self.weights = torch.nn.ParameterDict()
        for name, shape in self.shapes.items():
            first = torch.ones(shape[0]) if "norm" in name else torch.randn(shape[::-1]) * 0.02
            self.weights[name.replace(".", "_")] = torch.nn.Parameter(first)
        angles = torch.arange(TRAINED)[:, None] / 10000 ** (torch.arange(0, WIDTH // HEADS, 2) / (WIDTH // HEADS))
        self.turns = torch.cos(angles), torch.sin(angles)
        self.future = torch.full((TRAINED, TRAINED), float("-inf")).triu(1)

    def of(self, name, layer=None):
        return self.weights[(f"blk.{layer}." if layer is not None else "").replace(".", "_") + f"{name}_weight"]

    def forward(self, tokens):
        x = self.of("token_embd")[tokens]
        for layer in range(LAYERS):
            x = x + self.attention(normed(x, self.of("attn_norm", layer)), layer)
            y = normed(x, self.of("ffn_norm", layer))
            gate = torch.nn.functional.silu(y @ self.of("ffn_gate", layer).T) * (y @ self.of("ffn_up", layer).T)
            x = x + gate @ self.of("ffn_down", layer).T
        return normed(x, self.of("output_norm")) @ self.of("token_embd").T

    def attention(self, x, layer):
        rows, count, _ = x.shape
        q, k, v = ((x @ self.of(f"attn_{part}", layer).T).view(rows, count, HEADS, -1).transpose(1, 2) for part in "qkv")
        odds = self.turned(q) @ self.turned(k).transpose(2, 3) * (WIDTH // HEADS) ** -0.5 + self.future[:count, :count]
        y = (torch.softmax(odds, -1) @ v).transpose(1, 2).reshape(rows, count, WIDTH)
        return y @ self.of("attn_output", layer).T

    def turned(self, x):
        """Pairs of neighbours turn with their place in the row."""
        cos, sin = (turn[:x.shape[2]] for turn in self.turns)
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


def normed(x, weight):
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-5) * weight


def train(model, tokens, steps):
    held_back = len(tokens) // 50
    learnt, unseen = tokens[:-held_back], tokens[-held_back:]
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.05)
    began_s = time.monotonic()
    for step in range(steps):
        progress = step / steps
        for group in optimizer.param_groups:
            group["lr"] = RATE * min((step + 1) / WARM_UP, 0.02 + 0.98 * (1 + numpy.cos(numpy.pi * progress)) / 2)
        loss = loss_of(model, rows_of(learnt, ROWS))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 49 or step == steps - 1:
            with torch.no_grad():
                other = loss_of(model, unseen[:TRAINED * (len(unseen) // TRAINED)].view(-1, TRAINED)[:32])
            print(f"step {step + 1}: loss {loss.item():.3f}, unseen {other.item():.3f}, "
                  f"{time.monotonic() - began_s:.0f} s", flush=True)


def rows_of(tokens, count):
    firsts = torch.randint(len(tokens) - TRAINED, (count,))
    return torch.stack([tokens[first:first + TRAINED] for first in firsts])


def loss_of(model, rows):
    odds = model(rows[:, :-1])
    return torch.nn.functional.cross_entropy(odds.reshape(-1, WORDS), rows[:, 1:].reshape(-1))


# ---- the file --------------------------------------------------------------------------------------------------------


def write(path, model, words):
    def tensor(name, shape):
        weights = model.weights[name.replace(".", "_")].detach().numpy()
        if len(shape) == 1:
            return name, shape, gguf.TENSOR_F32, weights.astype("<f4").tobytes
        return name, shape, gguf.TENSOR_Q8_0, lambda: q8_0(weights)

    facts = gguf.llama_facts(NAME, LAYERS, WIDTH, HIDDEN, HEADS, CONTEXT)
    facts += gguf.words_facts(words.words, words.scores, words.kinds)
    facts += [("tokenizer.chat_template", gguf.STRING, TEMPLATE), ("tokenizer.ggml.eot_token_id", gguf.U32, vocabulary.TURN_END)]
    gguf.write(path, facts, [tensor(*item) for item in model.shapes.items()])
    print(f"{path}: {os.path.getsize(path)} bytes")


def q8_0(weights):
    """Blocks of 32 numbers: what each is multiplied with, and bytes."""
    blocks = weights.reshape(-1, 32)
    scales = (numpy.abs(blocks).max(1, keepdims=True) / 127).astype("<f2")
    levels = numpy.round(blocks / numpy.maximum(scales.astype("f4"), 1e-8)).clip(-127, 127).astype("i1")
    return numpy.hstack((scales.view("u1"), levels.view("u1"))).tobytes()


if __name__ == "__main__":
    sys.exit(main())
