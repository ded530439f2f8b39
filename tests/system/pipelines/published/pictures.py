# SPDX-License-Identifier: MIT
"""pictures - made of prompts, in two steps, as a list of files."""

import typing as t
from pathlib import Path

import torch
from diffusers import AutoPipelineForText2Image
from PIL.Image import Image

from pipeline import File, Pipeline, Variable, entity, pipe
from pipeline.objects.graph import InputField, InputSchema


class Settings(InputSchema):
    count: int | None = InputField(title="count", description="How many pictures.", default=1, ge=1, le=4, optional=True, multiple_of=1)
    height: int | None = InputField(title="height", default=64, optional=True, multiple_of=64, ge=64, le=1024)
    steps: int = InputField(default=25, optional=True)
    strength: float | None = InputField(default=0.8, optional=True, ge=0.0, le=1.0)
    folder: str | None = InputField(default="/tmp")


@entity
class Painter:
    @pipe(run_once=True, on_startup=True)
    def load(self) -> None:
        self.model = AutoPipelineForText2Image.from_pretrained("colours", torch_dtype=torch.float16)
        self.model.to(torch.device("cuda"))

    @pipe
    def paint(self, prompts: t.List[str], settings: Settings) -> t.List[Image]:
        return [f"P2 1 {settings.height} 255\n".encode() + bytes([len(prompt)]) * settings.height
                for prompt in prompts for _ in range(settings.count)]

    @pipe
    def store(self, images: t.List[Image], settings: Settings) -> t.List[File]:
        files = []
        for number, image in enumerate(images):
            path = Path(settings.folder) / f"{number}.pgm"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image)
            files.append(File(path=path, allow_out_of_context_creation=True))
        return files


with Pipeline() as builder:
    prompts = Variable(list, title="Prompts", description="What to paint", default=["a house"])
    settings = Variable(Settings)
    painter = Painter()
    painter.load()
    images = painter.paint(prompts, settings)
    files: t.List[File] = painter.store(images, settings)
    builder.output(files)

pictures = builder.get_pipeline()
