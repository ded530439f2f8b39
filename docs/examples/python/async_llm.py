# SPDX-License-Identifier: MIT
"""async_llm.py - how an engine like vLLM's AsyncLLMEngine is hosted: an asynchronous generator for each run.

    millrace serve async_llm.py:chat --concurrency 256
    curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
         -d '{"inputs":[{"type":"string","value":"the mill turns slowly"},{"type":"integer","value":3}]}'

AsyncLLMEngine schedules and batches its requests itself, so that a pipeline has only to hand on what it gives.
StubEngine stands for it: generate() and abort() have the shape that vLLM documents, and its "model" says the
words of the prompt backwards, the next word of all requests in one call, by a Batcher. This file was tried
with the stub, and not with vLLM itself. With that, load() would be

    from vllm import AsyncEngineArgs, AsyncLLMEngine
    self.engine = AsyncLLMEngine.from_engine_args(AsyncEngineArgs(model="..."))

and the settings a vllm.SamplingParams. A client that does not read keeps its run's generator waiting; what the
engine computes meanwhile waits inside of it, max_tokens at most.
"""

from typing import List

import millrace_worker
from pipeline import Pipeline, Stream, Variable, entity, pipe


class CompletionOutput:
    def __init__(self, text, finish_reason):
        self.text = text  # all of it so far
        self.finish_reason = finish_reason


class RequestOutput:
    def __init__(self, request_id, output):
        self.request_id = request_id
        self.outputs = [output]
        self.finished = output.finish_reason is not None


class StubEngine:
    def __init__(self):
        self.requests = {}
        self.batcher = millrace_worker.Batcher(self.forward, size=256)

    def forward(self, requests: List[List[str]]) -> List[str]:
        """The next word of each request: the one call that a device would make."""
        return [request.pop() for request in requests]

    async def generate(self, prompt, max_tokens, request_id):
        words = self.requests[request_id] = prompt.split()
        text = ""
        try:
            for number in range(1, min(len(words), max_tokens) + 1):
                text += await self.batcher.step(words) + " "
                reason = "stop" if not words else "length" if number == max_tokens else None
                yield RequestOutput(request_id, CompletionOutput(text, reason))
        finally:
            self.requests.pop(request_id, None)

    async def abort(self, request_id):
        self.requests.pop(request_id, None)


@entity
class Chat:
    @pipe(on_startup=True)
    def load(self) -> None:
        self.engine = StubEngine()

    @pipe
    def answer(self, prompt: str, max_tokens: int) -> Stream:
        return Stream(self.words(prompt, 16 if max_tokens is None else max_tokens))

    async def words(self, prompt, max_tokens):
        """Each line has what is new. A run that is cancelled ends here, by CancelledError at the `async for`."""
        request_id = millrace_worker.run_id()
        sent = 0
        is_finished = False
        try:
            async for request in self.engine.generate(prompt, max_tokens, request_id):
                is_finished = request.finished
                text = request.outputs[0].text
                yield text[sent:]
                sent = len(text)
        finally:
            if not is_finished:
                await self.engine.abort(request_id)


with Pipeline() as builder:
    prompt = Variable(str, title="prompt")
    max_tokens = Variable(int, title="max_tokens", optional=True)
    model = Chat()
    model.load()
    builder.output(model.answer(prompt, max_tokens))

chat = builder.get_pipeline()
