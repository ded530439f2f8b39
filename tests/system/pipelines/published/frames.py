# SPDX-License-Identifier: MIT
"""frames - pictures as text, as they are refined."""

import base64
import copy
from io import BytesIO
from queue import Queue
from threading import Thread

from DeepCache import DeepCacheSDHelper
from diffusers import (  # several of them
    AutoencoderKL,
    DiffusionPipeline,
)
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file

from pipeline import Pipeline, Variable, entity, pipe
from pipeline.objects.graph import InputField, InputSchema, Stream


class Settings(InputSchema):
    count: int = InputField(title="count", default=1, le=4, ge=1, optional=True)
    steps: int = InputField(default=4, optional=True, le=100, ge=1)


@entity
class Painter:
    @pipe(run_once=True, on_startup=True)
    def load(self) -> None:
        self.model = DiffusionPipeline.from_pretrained("a", vae=AutoencoderKL.from_pretrained("b"))
        self.model.load(load_file(hf_hub_download("c", "d")), DeepCacheSDHelper(pipe=self.model))

    @pipe
    def predict(self, prompt: str, settings: Settings) -> Stream[list[str]]:
        queue = Queue()
        settings = copy.copy(settings)

        def paint():
            for step in range(settings.steps):
                buffer = BytesIO()
                buffer.write(prompt.encode() * (step + 1))
                queue.put([base64.b64encode(buffer.getvalue()).decode()] * settings.count)
            queue.put(None)

        Thread(target=paint).start()
        return Stream(iter(queue.get, None))


with Pipeline() as builder:
    prompt = Variable(str, title="prompt")
    settings = Variable(Settings, title="kwargs", description="Everything else")
    painter = Painter()
    painter.load()
    builder.output(painter.predict(prompt, settings))

frames = builder.get_pipeline()
