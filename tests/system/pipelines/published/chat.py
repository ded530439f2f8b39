# SPDX-License-Identifier: MIT
"""chat - a model that answers lists of messages; the debug mode is switched on while the file is imported."""

from typing import List

import torch
from vllm import LLM, SamplingParams

from pipeline import Pipeline, Variable, entity, pipe
from pipeline.configuration import current_configuration
from pipeline.objects.graph import InputField, InputSchema

current_configuration.set_debug_mode(True)


class Settings(InputSchema):
    temperature: float | None = InputField(default=0.6)
    top_k: float | None = InputField(default=50)
    max_new_tokens: int | None = InputField(default=100, ge=1, le=1000)
    default_system_prompt: str | None = InputField(default="Be short.", title="System prompt")


@entity
class Model:
    @pipe(on_startup=True, run_once=True)
    def load_model(self) -> None:
        self.model = LLM("words", dtype="bfloat16" if torch.cuda.is_available() else "float32")

    @pipe
    def infer(self, dialogs: list, settings: Settings) -> List[str]:
        assert SamplingParams(temperature=settings.temperature, top_k=settings.top_k)
        return [" ".join(message["content"] for message in dialog)[:settings.max_new_tokens] for dialog in dialogs]


with Pipeline() as builder:
    prompt = Variable(list, default=[[{"role": "user", "content": "Hello"}]])
    settings = Variable(Settings)
    model = Model()
    model.load_model()
    builder.output(model.infer(prompt, settings))

chat = builder.get_pipeline()
