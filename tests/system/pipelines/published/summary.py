# SPDX-License-Identifier: MIT
"""summary - text or a file in one dictionary; a pipe that calls another; a result of which nothing is said."""

import typing as t

from transformers import pipeline as hf_pipeline

from pipeline import Pipeline, Variable, entity, pipe
from pipeline.objects.graph import File, InputField, InputSchema


class Inputs(InputSchema):
    text_in: str | None = InputField(title="Text", optional=True)
    file_in: File | None = InputField(title="File", optional=True)


class Settings(InputSchema):
    max_length: int | None = InputField(default=3, optional=True)
    do_sample: bool | None = InputField(default=False)


@entity
class Summarizer:
    def __init__(self):
        self.summarizer = None

    @pipe
    def _read(self, file_in: File) -> str:
        with open(file_in.path, "r") as file:
            return file.read()

    @pipe
    def resolve(self, inputs: Inputs) -> str:
        if not inputs.file_in and not inputs.text_in:
            raise Exception("either a text or a file")
        return inputs.text_in if inputs.file_in is None else self._read(inputs.file_in)

    @pipe(run_once=True, on_startup=True)
    def load(self) -> None:
        self.summarizer = hf_pipeline("summarization", model="first words")

    @pipe
    def predict(self, text: str, settings: Settings) -> t.Any:
        assert self.summarizer(text, **settings.to_dict())
        return [{"summary_text": " ".join(text.split()[:settings.max_length])}]


with Pipeline() as builder:
    inputs = Variable(Inputs, description="A text or a file")
    settings = Variable(Settings)
    model = Summarizer()
    model.load()
    builder.output(model.predict(model.resolve(inputs), settings))

summary = builder.get_pipeline()
