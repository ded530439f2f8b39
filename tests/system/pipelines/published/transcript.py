# SPDX-License-Identifier: MIT
"""transcript - of a file, with settings; two results, of which one may be missing."""

from typing import Tuple

import torch
from transformers import AutoProcessor

from pipeline import Pipeline, Variable, entity, pipe
from pipeline.objects import File
from pipeline.objects.graph import InputField, InputSchema


class Settings(InputSchema):
    batch_size: int | None = InputField(default=2, ge=1, le=64)
    return_positions: bool | None = InputField(default=False)


@entity
class Listener:
    def __init__(self) -> None:
        self.device = "cuda:0" if torch.cuda.is_available() is True else "cpu"

    @pipe(on_startup=True, run_once=True)
    def load(self) -> None:
        self.processor = AutoProcessor.from_pretrained("words")
        self.alphabet = "abcdefgh"

    @pipe
    def predict(self, audio: File, settings: Settings) -> Tuple[str, list | None]:
        levels = list(audio.path.read_bytes())
        text = "".join(self.alphabet[level % len(self.alphabet)] for level in levels)
        parts = range(0, len(levels), settings.batch_size)
        return text, [[start, text[start:start + settings.batch_size]] for start in parts] if settings.return_positions else None


with Pipeline() as builder:
    audio = Variable(File)
    settings = Variable(Settings)
    listener = Listener()
    listener.load()
    text, positions = listener.predict(audio, settings)
    builder.output(text, positions)

transcript = builder.get_pipeline()
