# SPDX-License-Identifier: MIT
"""mistakes - what a type checker has to find in a pipeline and in a client: behind each line that is wrong
stands mypy's name of the rule; tests/lint/types looks for these and for no others. Never run."""

from typing import Iterator

from millrace_worker import Batcher
from pipeline import Engine, File, InputField, InputSchema, Pipeline, Run, Stream, Variable, entity, pipe
from pipeline import Piepline  # wrong: attr-defined
from pipeline.cloud.pipelines import run_pipeline, stream_pipeline


# ---- pipes -----------------------------------------------------------------------------------------

@pipe
def streamer(text: str, pause_s: float = 0.1) -> Stream[str]:
    return Stream(iter(text.split()))


@pipe
def lengths(text: str) -> Stream[str]:
    return Stream(len(word) for word in text.split())  # wrong: misc


@entity
class Model:
    @pipe
    def predict(self, text: str) -> Stream[float]:
        return Stream(iter(text))  # wrong: arg-type


streamer(5)  # wrong: arg-type
streamer("a", pause="b")  # wrong: call-arg
Model().predict(5)  # wrong: arg-type
pipe(run_twice=True)  # wrong: call-overload
pipe(5)  # wrong: call-overload
entity(5)  # wrong: call-overload


class Tokens(Engine[str]):
    def admit(self, run: Run) -> bool:  # wrong: override
        return run.emit()  # wrong: call-arg

    def evict(self, run: Run) -> None:
        run.inputs = ()  # wrong: misc


def length(text: str) -> int:
    return len(text)


Batcher(length)  # wrong: arg-type


# ---- streams ---------------------------------------------------------------------------------------

def words(text: str) -> Iterator[str]:
    yield from text.split()


Stream([1, 2, 3])  # wrong: arg-type
Stream(words)  # wrong: arg-type
for word in streamer("a b"):
    word + 1  # wrong: operator


# ---- building --------------------------------------------------------------------------------------

class Settings(InputSchema):
    max_tokens: int = InputField(default=16, gt="0")  # wrong: arg-type
    mode: str = InputField(default="plain", choises=["plain"])  # wrong: call-arg


text: str = Settings().max_tokens  # wrong: assignment
Settings().seed  # wrong: attr-defined

with Pipeline() as builder:
    title = Variable(str, titel="text")  # wrong: call-overload
    limit = Variable(int, ge="0")  # wrong: call-overload
    Variable()  # wrong: call-overload
    builder.outputs(title)  # wrong: operator

builder.get_pipeline().start("a")  # wrong: attr-defined
File(3)  # wrong: arg-type


# ---- clients ---------------------------------------------------------------------------------------

for result in stream_pipeline("me/words:v1", "a b", timeout="10"):  # wrong: call-arg
    print(result.output)  # wrong: attr-defined
run_pipeline("me/words:v1", timeout_s="10")  # wrong: arg-type
run_pipeline(5)  # wrong: arg-type
print(run_pipeline("me/words:v1").error.message)  # wrong: union-attr
