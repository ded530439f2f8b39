# SPDX-License-Identifier: MIT
"""shown - what a type checker, and an editor that asks one, shows to the author of a pipeline and of a
client. Behind each reveal_type() stands what mypy has to say; tests/lint/types compares. Never run."""

import time
from typing import AsyncIterator, Dict, Iterator, List, Optional, Tuple

import millrace_worker
from pipeline import (LATER, Engine, File, GraphError, InputError, InputField, InputSchema, Later, Pipeline, Run, Stream,
                      Variable, entity, pipe)
from pipeline.cloud.pipelines import run_pipeline, stream_pipeline, stream_pipeline_async
from pipeline.cloud.runs import poll_for_run_completion


# ---- pipes: each has the signature of its function -------------------------------------------------

@pipe
def streamer(text: str, pause_s: float = 0.1) -> Stream[str]:
    def words() -> Iterator[str]:
        for word in text.split():
            time.sleep(pause_s)
            yield word
    return Stream(words())


@pipe(run_once=True, on_startup=True)
def load(path: str) -> Dict[str, int]:
    return {path: 1}


@pipe
async def embed(texts: List[str]) -> List[float]:
    return [float(len(text)) for text in texts]


@pipe
def split(text: str) -> Tuple[str, Stream[str]]:
    return text, streamer(text)


reveal_type(streamer)  # def (text: builtins.str, pause_s: builtins.float =) -> pipeline.objects.stream.Stream[builtins.str]
reveal_type(load)  # def (path: builtins.str) -> builtins.dict[builtins.str, builtins.int]
reveal_type(embed)  # def (texts: builtins.list[builtins.str]) -> typing.Coroutine[Any, Any, builtins.list[builtins.float]]


@entity
class Model:
    def __init__(self, weights: File) -> None:
        self.weights = weights

    @pipe(on_startup=True)
    def load(self) -> None:
        self.scale = 2.0

    @pipe
    def predict(self, text: str) -> Stream[float]:
        return Stream(len(word) * self.scale for word in text.split())


reveal_type(Model)  # def (weights: pipeline.objects.file.File) -> tests.types.shown.Model
reveal_type(Model(File(path="weights.npy")).predict)  # def (text: builtins.str) -> pipeline.objects.stream.Stream[builtins.float]


# ---- engines: many runs in one step ----------------------------------------------------------------

class Tokens(Engine[str]):
    def admit(self, run: Run) -> Optional[Later]:
        reveal_type(run.inputs)  # builtins.tuple[Any, ...]
        run.state = iter("abc")
        return None

    def step(self) -> Iterator[Optional[Later]]:
        yield LATER

    def evict(self, run: Run) -> None:
        reveal_type(run.is_cancelled)  # builtins.bool


def squares(numbers: List[int]) -> List[float]:
    return [number ** 2.0 for number in numbers]


async def squares_later(numbers: List[int]) -> List[float]:
    return squares(numbers)


batcher = millrace_worker.Batcher(squares, size=32)
reveal_type(Tokens()("prompt"))  # pipeline.objects.stream.Stream[builtins.str]
reveal_type(batcher)  # millrace_worker._batcher.Batcher[builtins.int, builtins.float]


async def ask() -> None:
    reveal_type(await batcher.step(3))  # builtins.float
    reveal_type(await millrace_worker.Batcher(squares_later).step(3))  # builtins.float


# ---- streams: what their items are -----------------------------------------------------------------

async def numbers() -> AsyncIterator[int]:
    yield 1


reveal_type(Stream(iter([1, 2, 3])))  # pipeline.objects.stream.Stream[builtins.int]
reveal_type(Stream(numbers()))  # pipeline.objects.stream.Stream[builtins.int]
reveal_type(Stream(streamer("a b")))  # pipeline.objects.stream.Stream[builtins.str]
reveal_type(next(streamer("a b")))  # builtins.str
for word in streamer("a b"):
    reveal_type(word)  # builtins.str


async def read() -> None:
    async for number in Stream(numbers()):
        reveal_type(number)  # builtins.int


# ---- building: a variable goes where a value of its type does --------------------------------------

class Settings(InputSchema):
    max_tokens: int = InputField(default=16, gt=0, le=4096, description="how many words at most")
    seed: Optional[int] = InputField(default=None, ge=0)
    prompt: str


reveal_type(Settings(prompt="a").max_tokens)  # builtins.int
reveal_type(Settings(prompt="a", max_tokens=3).to_dict())  # builtins.dict[builtins.str, Any]


@pipe
def generate(settings: Settings, count: int) -> Stream[str]:
    reveal_type(settings.seed)  # Union[builtins.int, None]
    if count < 0:
        raise InputError("count must not be negative")
    return Stream(iter([settings.prompt] * count))


with Pipeline() as builder:
    text = Variable(str, title="text", min_length=1)
    count = Variable(Optional[int], title="count", default=1)
    settings = Variable(Settings)
    reveal_type(builder)  # pipeline.objects.builder.Pipeline
    reveal_type(text)  # pipeline.objects.variables.Variable[builtins.str]
    reveal_type(count)  # pipeline.objects.variables.Variable[Any]
    reveal_type(settings)  # pipeline.objects.variables.Variable[tests.types.shown.Settings]
    first, rest = split(text)
    reveal_type(first)  # builtins.str
    builder.output(first, rest, generate(settings, count))
    builder.output(streamer(text, pause_s=0.0))

try:
    graph = builder.get_pipeline()
except GraphError as error:
    raise SystemExit(str(error))

reveal_type(graph)  # pipeline.objects.graph.Graph
reveal_type(graph.input_variables)  # builtins.list[pipeline.objects.variables.Variable[Any]]
reveal_type(millrace_worker.cancelled())  # builtins.bool
own_device = millrace_worker.device()
reveal_type(own_device)  # Union[millrace_worker._device.Device, None]
if own_device is not None:
    reveal_type(own_device.kind)  # builtins.str
    reveal_type(own_device.uuid)  # Union[builtins.str, None]


# ---- clients ---------------------------------------------------------------------------------------

for result in stream_pipeline("me/words:v1", "a b", timeout_s=10.0):
    reveal_type(result)  # pipeline.cloud.results.RunResult
    reveal_type(result.outputs_formatted())  # builtins.list[Any]

reveal_type(run_pipeline("me/words:v1", "a b").state)  # pipeline.cloud.schemas.runs.RunState
reveal_type(poll_for_run_completion("run_1", timeout_secs=3).error)  # Union[pipeline.cloud.results.RunError, None]


async def call() -> None:
    async for result in stream_pipeline_async("me/words:v1", "a b"):
        reveal_type(result.outputs)  # Union[builtins.list[pipeline.cloud.schemas.runs.RunOutput], None]
