# SPDX-License-Identifier: MIT
"""refined - a file may be in a dictionary, and one comes out."""

from typing import Optional

import numpy as np
import torchvision.transforms.functional as transforms
from diffusers import AutoencoderKL, StableDiffusionXLAdapterPipeline
from diffusers.utils import load_image

from pipeline import File, Pipeline, entity, pipe
from pipeline.objects.graph import Directory, InputField, InputSchema, Variable


class Settings(InputSchema):
    source: File | None = InputField(title="source", description="Where to begin.", optional=True, default=None)
    style: Optional[str] = InputField(default="plain", choices=["plain", "loud"])


@entity()
class Refiner:
    def apply_style(self, text: str, style: str) -> str:
        return text.upper() if style == "loud" else text

    @pipe
    def refine(self, prompt: str, settings: Settings, **more: dict) -> File:
        begun = settings.source.path.read_text() if settings.source is not None else ""
        assert load_image and np and transforms and AutoencoderKL and StableDiffusionXLAdapterPipeline and Directory
        path = f"/tmp/{prompt}.txt"
        with open(path, "w") as file:
            file.write(self.apply_style(begun + prompt, settings.style))
        return File(path=path)


with Pipeline() as builder:
    prompt = Variable(str, title="Prompt")
    settings = Variable(Settings, title="settings", description="How.")
    builder.output(Refiner().refine(prompt, settings))

refined = builder.get_pipeline()
