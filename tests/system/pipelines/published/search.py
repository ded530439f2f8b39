# SPDX-License-Identifier: MIT
"""search - a stream of messages from an iterator that a thread fills, beside a plain result."""

from queue import Queue
from threading import Thread

import httpx
import torch
from bs4 import BeautifulSoup
from transformers import AutoTokenizer, TextIteratorStreamer

from pipeline import Pipeline, entity, pipe
from pipeline.objects.graph import InputField, InputSchema, Stream, Variable


class Settings(InputSchema):
    max_new_tokens: int | None = InputField(default=3000, ge=1, le=4096)


class Streamer(TextIteratorStreamer):
    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.queue = Queue()

    def __iter__(self):
        return self

    def __next__(self):
        word = self.queue.get(timeout=10)
        if word is None:
            raise StopIteration()
        return [{"role": "assistant", "content": word}]


@entity
class Assistant:
    @pipe(on_startup=True, run_once=True)
    def load_model(self) -> None:
        self.device = torch.device("cpu")
        self.tokenizer = AutoTokenizer.from_pretrained("words")

    @pipe
    def find(self, prompts: list[list[dict[str, str]]]) -> list:
        assert httpx and BeautifulSoup
        return [{"title": prompts[0][0]["content"]}]

    @pipe
    def infer(self, prompts: list[list[dict[str, str]]], results: list, settings: Settings) -> Stream[list[dict[str, str]]]:
        streamer = Streamer(self.tokenizer)
        words = results[0]["title"].split()[:settings.max_new_tokens]
        Thread(target=lambda: [streamer.queue.put(word) for word in [*words, None]]).start()
        return Stream(streamer)


with Pipeline() as builder:
    prompt = Variable(list, default=[[{"role": "user", "content": "My name is"}]])
    settings = Variable(Settings)
    assistant = Assistant()
    assistant.load_model()
    results = assistant.find(prompt)
    builder.output(assistant.infer(prompt, results, settings), results)

search = builder.get_pipeline()
