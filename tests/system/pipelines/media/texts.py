# SPDX-License-Identifier: MIT
"""texts - a text, or a file that has one, becomes its most frequent words."""

import collections
import typing as t
import urllib.parse

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


@entity
class Reader:
    @pipe(on_startup=True, run_once=True)
    def load(self) -> None:
        self.words = {1: "one", 2: "two"}

    @pipe
    def predict(self, output_number: int) -> str:
        return self.words.get(output_number, "many")

    @pipe
    def look_up(self, video_link: str) -> dict:
        parts = urllib.parse.urlsplit(video_link)
        return {"host": parts.hostname, "text": parts.path.strip("/").replace("-", " "), "chunks": []}


with Pipeline() as builder:
    inputs = Variable(Inputs, description="A text or a file")
    kwargs = Variable(Settings)
    model = Summarizer()
    builder.output(model.predict(model.resolve(inputs), kwargs))

summary = builder.get_pipeline()

with Pipeline() as builder:
    output_number = Variable(int, title="output_number", default=1, lt=10)
    reader = Reader()
    reader.load()
    builder.output(reader.predict(output_number))

numeral = builder.get_pipeline()

with Pipeline() as builder:
    video_link = Variable(str, title="Link", default="https://example.org/a-talk")
    builder.output(Reader().look_up(video_link))

link = builder.get_pipeline()
