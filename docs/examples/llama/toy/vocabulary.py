# SPDX-License-Identifier: MIT
"""vocabulary - pieces of words, found by byte-pair encoding, and texts in them, as llama.cpp's tokenizer splits them."""

import collections
import re

import gguf

SPECIAL = ("<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>")
BEGIN, END, TURN, TURN_END = 1, 2, 3, 4
FIRST_BYTE = len(SPECIAL)
# A word with the space before it, or something that is no letter. No piece is longer.
PARTS = re.compile("\u2581?[A-Za-z]+|[^A-Za-z]")


class Vocabulary:
    def __init__(self, text, count):
        parts = collections.Counter(PARTS.findall(marked(text)))
        characters = sorted({character for part in parts for character in part} - {"\n"})
        self.merged = _merges(parts, count - FIRST_BYTE - 256 - len(characters))
        self.words = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *self.merged, *characters]
        self.kinds = [gguf.UNKNOWN] + [gguf.CONTROL] * (FIRST_BYTE - 1) + [gguf.BYTE] * 256
        self.kinds += [gguf.NORMAL] * (len(self.words) - len(self.kinds))
        self.scores = [0.0] * (FIRST_BYTE + 256) + [-float(rank) for rank in range(len(self.words) - FIRST_BYTE - 256)]
        self.numbers = {word: number for number, word in enumerate(self.words)}
        self.ranks = {word: rank for rank, word in enumerate(self.merged)}
        self.known = {}

    def encode(self, text):
        numbers = []
        for part in PARTS.findall(marked(text)):
            if part not in self.known:
                self.known[part] = self._encode_part(part)
            numbers += self.known[part]
        return numbers

    def _encode_part(self, part):
        pieces = list(part)
        while True:
            pairs = [(self.ranks.get(a + b, len(self.ranks)), at) for at, (a, b) in enumerate(zip(pieces, pieces[1:]))]
            rank, at = min(pairs, default=(len(self.ranks), 0))
            if rank == len(self.ranks):
                break
            pieces[at:at + 2] = [pieces[at] + pieces[at + 1]]
        numbers = []
        for piece in pieces:
            one = [FIRST_BYTE + byte for byte in piece.encode()]
            numbers += [self.numbers[piece]] if piece in self.numbers else one
        return numbers


def marked(text):
    return text.replace(" ", "\u2581")


def _merges(parts, count):
    """The pairs that are next to each other most often, the most frequent one first."""
    pieces = {part: list(part) for part in parts}
    pairs, holders = collections.Counter(), collections.defaultdict(set)

    def tally(part, sign):
        for pair in zip(pieces[part], pieces[part][1:]):
            pairs[pair] += sign * parts[part]
            holders[pair].add(part)

    for part in parts:
        tally(part, 1)
    merged = []
    while len(merged) < count:
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        for part in sorted(holders.pop(best)):
            tally(part, -1)
            pieces[part] = _joined(pieces[part], best)
            tally(part, 1)
        del pairs[best]
        word = best[0] + best[1]
        if word not in merged:
            merged.append(word)
    return merged


def _joined(pieces, pair):
    joined = []
    for piece in pieces:
        if joined and (joined[-1], piece) == pair:
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined
