# SPDX-License-Identifier: MIT
"""texts - a text, or a file that has one, becomes its most frequent words."""

import collections
import typing as t

from pipeline import Pipeline, Variable, entity, pipe
from pipeline.objects.graph import File, InputField, InputSchema


class Inputs(InputSchema):
    text_in: str | None = InputField(title="Text", optional=True)
    file_in: File | None = InputField(title="File", optional=True)


class Settings(InputSchema):
    max_length: int | None = InputField(default=3, optional=True)


@entity
class Summarizer:
    @pipe
    def _read_text(self, file_in: File) -> str:
        with open(file_in.path, "r") as file:
            return file.read()

    @pipe
    def resolve(self, inputs: Inputs) -> str:
        if not inputs.file_in and not inputs.text_in:
            raise Exception("either a text or a file")
        return inputs.text_in if inputs.file_in is None else self._read_text(inputs.file_in)

    @pipe
    def predict(self, text: str, kwargs: Settings) -> t.Any:
        counted = collections.Counter(text.split()).most_common(kwargs.max_length)
        return [{"summary_text": " ".join(word for word, _ in counted)}]


with Pipeline() as builder:
    inputs = Variable(Inputs, description="A text or a file")
    kwargs = Variable(Settings)
    model = Summarizer()
    builder.output(model.predict(model.resolve(inputs), kwargs))

summary = builder.get_pipeline()
