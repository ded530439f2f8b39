# SPDX-License-Identifier: MIT
"""authored - pipelines of the package `pipeline`, for what is told of their mistakes."""

import importlib
import time

from pipeline import InputField, InputSchema, Pipeline, entity, pipe
from pipeline.objects.graph import Stream, Variable


class Settings(InputSchema):
    size: int = InputField(default=1, ge=0)
    prompt: str


@pipe
def of_settings(settings: Settings) -> Stream:
    return Stream(iter([settings.size]))


@pipe
def of_list(text: str) -> Stream:
    return Stream(list(text))


@pipe
def failing(how: str) -> Stream:
    def chars():
        yield from how
        if how == "import":
            importlib.import_module("no_such_module")
        if how == "cause":
            try:
                raise KeyError("first")
            except KeyError as error:
                raise RuntimeError("second") from error
        if how == "closed":
            try:
                while True:
                    time.sleep(0.01)
                    yield "more"
            finally:
                raise RuntimeError("while it is closed")
        raise ValueError("of an item")
    return Stream(Stream(chars()))


@pipe
def length(text: str) -> str:
    return len(text)


@pipe
async def failing_asynchronously(text: str) -> Stream:
    raise ValueError(text)


@entity
class Model:
    @pipe(run_once=True, on_startup=True)
    def load(self) -> None:
        raise RuntimeError("no weights")

    @pipe
    def predict(self, text: str) -> str:
        return text


def graph_of(kind, *pipes):
    with Pipeline() as builder:
        value = Variable(kind)
        for one in pipes:
            builder.output(one(value))
    return builder.get_pipeline()


settings = graph_of(Settings, of_settings)
lists = graph_of(str, of_list)
fails = graph_of(str, failing)
mistyped = graph_of(str, length)
fails_asynchronously = graph_of(str, failing_asynchronously)

with Pipeline() as never_started_builder:
    never_started_text = Variable(str)
    never_started_model = Model()
    never_started_model.load()
    never_started_builder.output(never_started_model.predict(never_started_text))
never_started = never_started_builder.get_pipeline()
